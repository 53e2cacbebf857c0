//! What can happen in a simulated world: plain values, the same at every depth.

use std::fmt;

use serde::{Deserialize, Serialize};
use sync_core::id::NodeId;
use sync_core::replica::Event;
use sync_core::state::observed::Stamp;

use super::text::Text;

/// A member's name.
pub type Member = Text;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Happening {
    /// A member's process has started and opened its store.
    Started {
        /// Who.
        member: Member,
        /// The how-manieth start, from 1.
        boot: u32,
        /// Its identity.
        node: NodeId,
        /// It is a hub.
        is_hub: bool,
        /// Its clock is wrong.
        clock_is_wrong: bool,
    },
    /// A member's process has ended.
    Stopped {
        /// Who.
        member: Member,
        /// In which way.
        how: Ended,
    },
    /// A task of a member has panicked, or its process ended by an error that no fault explains.
    Panicked {
        /// Who.
        member: Member,
        /// What it said.
        message: String,
    },
    /// A member's process has ended by itself or did not start, and says why.
    Failed {
        /// Who.
        member: Member,
        /// What it said.
        message: String,
    },
    /// A link lets through something else from now on.
    Link {
        /// The member that dials.
        from: Member,
        /// The member that is dialled.
        to: Member,
        /// Whether anything passes.
        is_up: bool,
        /// By which profile.
        profile: Text,
    },
    /// A fault took effect.
    Fault {
        /// At whom; for a fault of a link, at the one who dials.
        member: Member,
        /// Its kind, as in a scenario: `power-loss`.
        kind: Text,
        /// Whether it hit a state in which it matters: a loss of power with writes that were not synced, a cut within a transfer.
        mattered: bool,
    },
    /// A fault that lasts has ended.
    FaultEnded {
        /// At whom.
        member: Member,
        /// Its kind.
        kind: Text,
        /// Whether it mattered, as seen at its end.
        mattered: bool,
    },
    /// Work was done.
    Work {
        /// At whom.
        member: Member,
        /// Which.
        work: Work,
    },
    /// Both sides of a link have said hello, as this member sees it.
    LinkLive {
        /// At whom.
        member: Member,
        /// With whom.
        peer: NodeId,
    },
    /// A live link has ended, as this member sees it.
    LinkDown {
        /// At whom.
        member: Member,
        /// With whom.
        peer: NodeId,
    },
    /// A node recorded that its target holds another release.
    Applied {
        /// At whom.
        member: Member,
        /// The assignment.
        assignment: Stamp,
        /// The release.
        release: Stamp,
    },
    /// The agent put an object into its target.
    Put {
        /// At whom.
        member: Member,
        /// The object's key.
        key: Text,
    },
    /// The agent removed an object from its target.
    Removed {
        /// At whom.
        member: Member,
        /// The object's key.
        key: Text,
    },
    /// A replica said something worth telling.
    Replica {
        /// At whom.
        member: Member,
        /// What.
        event: Told,
    },
    /// Somebody with the key of a member has attacked, and is gone.
    Attacked {
        /// In whose name.
        member: Member,
        /// Which attack, as in a scenario: `replay`.
        attack: Text,
        /// Connections on which a hub had to deal with it.
        sessions: u64,
        /// Frames and other bytes that were sent in one go.
        frames: u64,
    },
    /// Every fault has ended, every link is up.
    Healed,
    /// All honest members agree.
    Agreed,
    /// An invariant is broken.
    Broken {
        /// Its number in `DESIGN.md`'s list, from 1.
        invariant: u8,
        /// What was found.
        sentence: String,
    },
    /// Figures of one member, now and then.
    Sample {
        /// Whose.
        member: Member,
        /// The figures.
        sample: Sample,
    },
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// It was asked to, and said goodbye.
    InOrder,
    /// It was killed.
    Killed,
    /// Its machine lost power.
    WithoutPower,
    /// By itself, which it should not.
    ByItself,
}

/// Work, with what it made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Work {
    /// A layer was edited.
    Edit {
        /// The layer.
        layer: Text,
        /// Its new frontier.
        made: Stamp,
    },
    /// A hub made a release: layers were released, or a release set back.
    Release {
        /// Its version.
        version: u64,
    },
    /// A node was given an assignment.
    Assign {
        /// The node.
        node: Member,
        /// Its new frontier.
        made: Stamp,
    },
    /// The member joined the fleet.
    Join,
    /// A workload said how it fares.
    Status {
        /// The object's key.
        key: Text,
    },
    /// Somebody changed an object behind the agent's back.
    HandEdit {
        /// The object's key.
        key: Text,
    },
    /// Anything else that people do, in a word: `move-home`, `revoke`, `confirm`.
    Other {
        /// The word.
        word: Text,
    },
}

/// An event of a replica, as plain values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Told {
    /// It holds a newer frontier of this document, durably.
    Changed(String),
    /// It and this peer hold what they owe each other.
    Synced(NodeId),
    /// It goes on under this incarnation.
    NewIncarnation(u32),
    /// It and this peer had parted.
    Diverged(NodeId),
    /// A second copy of this peer's store was refused.
    Cloned(NodeId),
    /// It was refused as a copy by this hub.
    RefusedAsClone(NodeId),
    /// Input of this peer was refused here.
    Quarantined {
        /// Of whom.
        peer: NodeId,
        /// The id of the document that it was about, if of one.
        document: Option<String>,
        /// Why.
        reason: String,
    },
    /// This peer refused something of ours.
    RefusedByPeer(NodeId, String),
    /// Late work was written again on top of a cut of this document.
    Rebased {
        /// The document.
        document: String,
        /// Fields that became conflicts.
        contested: Vec<String>,
        /// Fields that were left.
        left: Vec<String>,
    },
}

/// Figures of one member. What counts payload is in its own books: a store that was wiped or set back forgets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Sample {
    /// Bytes of frames that came, with their lengths.
    pub payload_in: u64,
    /// Bytes of frames that went.
    pub payload_out: u64,
    /// Bytes of datagrams that came; 0 where there are none.
    pub datagrams_in: u64,
    /// Bytes of datagrams that went.
    pub datagrams_out: u64,
    /// Documents held.
    pub documents: u64,
    /// Bytes of the database.
    pub database_bytes: u64,
    /// The version of the applied release; at a hub, and before the first, none.
    pub applied: Option<u64>,
}

impl Happening {
    /// What a replica said, as happenings of this member; `None` for what says nothing that others do not.
    #[must_use]
    pub fn of_event(member: &Member, event: Event) -> Option<Self> {
        let member = member.clone();
        let told = match event {
            Event::LinkLive(peer) => return Some(Self::LinkLive { member, peer }),
            Event::LinkDown(peer) => return Some(Self::LinkDown { member, peer }),
            Event::NewIncarnation(number) => Told::NewIncarnation(number),
            Event::Diverged(peer) => Told::Diverged(peer),
            Event::Cloned(peer) => Told::Cloned(peer),
            Event::RefusedAsClone(peer) => Told::RefusedAsClone(peer),
            Event::Quarantined { peer, document, reason } => {
                Told::Quarantined { peer, document: document.map(|document| document.to_string()), reason }
            }
            Event::RefusedByPeer { peer, reason } => Told::RefusedByPeer(peer, reason),
            Event::Rebased { key, contested, left } => Told::Rebased { document: key.to_string(), contested, left },
            Event::Changed(key) => Told::Changed(key.to_string()),
            Event::Synced(peer) => Told::Synced(peer),
            _ => return None,
        };
        Some(Self::Replica { member, event: told })
    }

    /// To whom it happened, if to one.
    #[must_use]
    pub fn member(&self) -> Option<&Member> {
        match self {
            Self::Started { member, .. }
            | Self::Stopped { member, .. }
            | Self::Panicked { member, .. }
            | Self::Failed { member, .. }
            | Self::Link { from: member, .. }
            | Self::Fault { member, .. }
            | Self::FaultEnded { member, .. }
            | Self::Work { member, .. }
            | Self::LinkLive { member, .. }
            | Self::LinkDown { member, .. }
            | Self::Applied { member, .. }
            | Self::Put { member, .. }
            | Self::Removed { member, .. }
            | Self::Replica { member, .. }
            | Self::Sample { member, .. }
            | Self::Attacked { member, .. } => Some(member),
            Self::Healed | Self::Agreed | Self::Broken { .. } => None,
        }
    }
}

impl fmt::Display for Happening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(member) = self.member() {
            write!(f, "{member} ")?;
        }
        match self {
            Self::Started { boot, .. } => write!(f, "started (boot {boot})"),
            Self::Stopped { how, .. } => f.write_str(match how {
                Ended::InOrder => "stopped",
                Ended::Killed => "was killed",
                Ended::WithoutPower => "lost power",
                Ended::ByItself => "ended by itself",
            }),
            Self::Panicked { message, .. } => write!(f, "panicked: {message}"),
            Self::Failed { message, .. } => write!(f, "does not run: {message}"),
            Self::Link { to, is_up, profile, .. } => {
                write!(f, "to {to}: link {} ({profile})", if *is_up { "up" } else { "down" })
            }
            Self::Fault { kind, mattered, .. } => {
                write!(f, "met {kind}{}", if *mattered { "" } else { ", where it does not matter" })
            }
            Self::FaultEnded { kind, mattered, .. } => {
                write!(f, "is over {kind}{}", if *mattered { "" } else { ", which did not matter" })
            }
            Self::Work { work, .. } => work.fmt(f),
            Self::LinkLive { peer, .. } => write!(f, "talks to {}", peer.short()),
            Self::LinkDown { peer, .. } => write!(f, "talks to {} no more", peer.short()),
            Self::Applied { assignment, release, .. } => {
                write!(f, "applied release {} (assignment {})", short(release), short(assignment))
            }
            Self::Put { key, .. } => write!(f, "put {key}"),
            Self::Removed { key, .. } => write!(f, "removed {key}"),
            Self::Replica { event, .. } => event.fmt(f),
            Self::Attacked { attack, sessions, frames, .. } => {
                write!(f, "was the name behind {attack}: {sessions} sessions, {frames} frames")
            }
            Self::Healed => f.write_str("the world is healed"),
            Self::Agreed => f.write_str("all honest members agree"),
            Self::Broken { invariant, sentence } => write!(f, "invariant {invariant} is broken: {sentence}"),
            Self::Sample { sample, .. } => write!(
                f,
                "has {} documents in {} bytes, payload {} in and {} out",
                sample.documents, sample.database_bytes, sample.payload_in, sample.payload_out
            ),
        }
    }
}

/// A stamp for people: its version and the first digits of its heads.
pub(crate) fn short(stamp: &Stamp) -> String {
    format!("v{} {}", stamp.version, stamp.heads.get(..8).unwrap_or(&stamp.heads))
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Edit { layer, made } => write!(f, "edited layer {layer}: {}", short(made)),
            Self::Release { version } => write!(f, "made release v{version}"),
            Self::Assign { node, made } => write!(f, "assigned to {node}: {}", short(made)),
            Self::Join => f.write_str("joined"),
            Self::Status { key } => write!(f, "has a new status of {key}"),
            Self::HandEdit { key } => write!(f, "had {key} changed by hand"),
            Self::Other { word } => f.write_str(word),
        }
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Changed(document) => write!(f, "holds a newer {document}"),
            Self::Synced(peer) => write!(f, "and {} owe each other nothing", peer.short()),
            Self::NewIncarnation(number) => write!(f, "goes on under incarnation {number}"),
            Self::Diverged(peer) => write!(f, "and {} had parted", peer.short()),
            Self::Cloned(peer) => write!(f, "refused a second copy of {}", peer.short()),
            Self::RefusedAsClone(hub) => write!(f, "was refused as a copy by {}", hub.short()),
            Self::Quarantined { peer, reason, .. } => write!(f, "refused input of {}: {reason}", peer.short()),
            Self::RefusedByPeer(peer, reason) => write!(f, "was refused by {}: {reason}", peer.short()),
            Self::Rebased { document, contested, left } => {
                write!(f, "rebased {document}: {} contested, {} left", contested.len(), left.len())
            }
        }
    }
}
