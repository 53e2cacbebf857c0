//! What happens in a scenario: work and trouble, each with where, when and how.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::quantity::{Drift, Offset, Range, Rate, Share, Span};

mod kinds;
mod pattern;

pub use kinds::{Spec, Targets};
pub(crate) use pattern::matches;

/// Something that happens: once, at several times, regularly, or at random.
///
/// One of `at`, `every` and `rate` says when. The fields after `until` are parameters; each kind takes some of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EventSource {
    /// What happens.
    pub kind: Kind,
    /// A name for it. Unset: its kind. Entries that draw need names of their own, as their draws hang on them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Names of what it happens to, with `*` for any part of a name. None: all that the kind can happen to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub on: Vec<String>,
    /// How many of those, drawn by lot. Unset: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub pick: Option<u32>,
    /// When, from the start.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub at: Vec<Span>,
    /// Again and again after this time, from `from` on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<Span>,
    /// How often at random, for each of the targets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
    /// With `every` and `rate`: not before. Unset: the start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Span>,
    /// With `every` and `rate`: not at or after. Unset: the healing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Span>,
    /// How long it lasts; of a process, how long it is down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lasts: Option<Range<Span>>,
    /// `power-loss`: what becomes of writes that were not synced. Unset: as the disk says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unsynced: Option<Unsynced>,
    /// `io-errors`: how many reads, writes and syncs fail. Unset: `10%`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<Share>,
    /// `bit-rot`: how many bits flip, anywhere in the database's files. Unset: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub bits: Option<u32>,
    /// `restore-backup`: how old the copy is. Older than the member: the one of its first start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age: Option<Range<Span>>,
    /// `clock-jump`: by how much.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Range<Offset>>,
    /// `clock-drift`: how much faster it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drift: Option<Range<Drift>>,
    /// `cut`: which direction. Unset: both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub way: Option<Way>,
    /// `hostile`: what it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attack: Option<Attack>,
    /// `edit`: which layer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layer: Option<String>,
    /// `edit`, `target-edit`: how many objects change. Unset: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub objects: Option<u32>,
    /// `edit`: how many objects are added: some anew, some that were removed before. Unset: 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub add: Option<u32>,
    /// `edit`: how many objects are removed. One stays in any case. Unset: 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remove: Option<u32>,
    /// `edit`: whether it is released at once. Unset: `true`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<bool>,
    /// `release`: how many releases to go back: the layers as they were then are applied and released. Unset: 0, release what
    /// was edited since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub back: Option<u32>,
    /// `status`: how many values change in the reported state. Unset: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub values: Option<u32>,
    /// `revoke`: which node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// `link`: what the link is from then on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<LinkState>,
    /// `link`: by which link from then on. Unset: as before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    /// Where the event's own randomness begins (which bits flip, which objects change). Unset: drawn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub draw: Option<u32>,
}

/// What can happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The process is killed and started again; what it wrote is in the files.
    Crash,
    /// `crash` of a hub.
    HubCrash,
    /// The process stands still and goes on.
    Pause,
    /// The process is asked to stop and started again at once.
    Restart,
    /// The machine loses its power: what was not synced is lost or torn.
    PowerLoss,
    /// Nothing more fits on the disk.
    DiskFull,
    /// Bits flip on the disk.
    BitRot,
    /// The disk says that it synced, and did not.
    LyingFsync,
    /// The disk fails now and then.
    IoErrors,
    /// The files are set back to an older copy, and the process started on them.
    RestoreBackup,
    /// A second machine runs on a copy of the files.
    CloneDisk,
    /// The database is gone; the key is not.
    WipeStore,
    /// The clock is at 1970.
    #[serde(rename = "clock-1970")]
    Clock1970,
    /// The clock jumps.
    ClockJump,
    /// The clock runs too fast or too slow.
    ClockDrift,
    /// The node gets another address.
    AddressChange,
    /// The NAT gives the node another port.
    NatRebind,
    /// The link is cut, whatever its calendars say.
    Cut,
    /// Links between hubs are cut.
    HubSplit,
    /// The link's state from then on, in place of its calendars. Written by `shrink`; needs no calendar.
    Link,
    /// Someone who holds the node's key does something that it should not.
    Hostile,
    /// Somebody edits a layer at a hub.
    Edit,
    /// Somebody releases what was edited, or goes back to an older release.
    Release,
    /// A workload reports another status.
    Status,
    /// Somebody edits objects on site, in the target, by hand.
    TargetEdit,
    /// Somebody overrides a field on site. Not built yet, and refused.
    Override,
    /// A hub revokes a node.
    Revoke,
}

/// What becomes of writes that were not synced when the power fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Unsynced {
    /// Each is kept.
    Kept,
    /// Each is lost.
    Lost,
    /// Of each some sectors are kept.
    Torn,
    /// Each sector is kept, lost, or full of garbage.
    #[default]
    Mixed,
}

/// A direction of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// Both.
    #[default]
    Both,
    /// Away from the member that dials.
    ToHub,
    /// Towards the member that dials.
    ToNode,
}

/// What a link lets through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LinkState {
    /// Both directions.
    Up,
    /// Nothing.
    Down,
    /// Only what goes away from the member that dials.
    ToHubOnly,
    /// Only what comes to the member that dials.
    ToNodeOnly,
}

/// What someone with a node's key does to the fleet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Attack {
    /// Sends bytes that are no message.
    Garbage,
    /// Announces frames and transfers of all sizes and never ends them.
    EndlessTransfers,
    /// Sends little that unpacks to much.
    Bomb,
    /// Claims more operations, columns or changes than there are.
    HugeClaims,
    /// Sends changes that are crafted to break a parser, under valid signatures.
    CraftedChanges,
    /// Uses a sequence number twice.
    ForkedActor,
    /// Leaves a gap in its sequence numbers.
    SequenceGap,
    /// Writes under an actor of another node.
    ForeignActor,
    /// Writes a document of the hubs or of another node.
    ForeignDocument,
    /// Sends frontiers with signatures that are not the author's.
    ForgedSignature,
    /// Sends old frontiers of its own and of others again.
    Replay,
    /// Asks for what is not in its scope.
    ForeignScope,
    /// Opens connections and says nothing on them.
    SilentConnections,
    /// Never acknowledges anything.
    NeverAcknowledges,
    /// Acknowledges what it was not sent.
    FalseAcknowledgements,
}

impl Attack {
    /// The whole catalogue.
    pub const ALL: [Self; 15] = [
        Self::Garbage,
        Self::EndlessTransfers,
        Self::Bomb,
        Self::HugeClaims,
        Self::CraftedChanges,
        Self::ForkedActor,
        Self::SequenceGap,
        Self::ForeignActor,
        Self::ForeignDocument,
        Self::ForgedSignature,
        Self::Replay,
        Self::ForeignScope,
        Self::SilentConnections,
        Self::NeverAcknowledges,
        Self::FalseAcknowledgements,
    ];

    /// The name in a scenario file.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Garbage => "garbage",
            Self::EndlessTransfers => "endless-transfers",
            Self::Bomb => "bomb",
            Self::HugeClaims => "huge-claims",
            Self::CraftedChanges => "crafted-changes",
            Self::ForkedActor => "forked-actor",
            Self::SequenceGap => "sequence-gap",
            Self::ForeignActor => "foreign-actor",
            Self::ForeignDocument => "foreign-document",
            Self::ForgedSignature => "forged-signature",
            Self::Replay => "replay",
            Self::ForeignScope => "foreign-scope",
            Self::SilentConnections => "silent-connections",
            Self::NeverAcknowledges => "never-acknowledges",
            Self::FalseAcknowledgements => "false-acknowledgements",
        }
    }
}

impl EventSource {
    /// An entry of which nothing but the kind is said.
    #[must_use]
    pub const fn new(kind: Kind) -> Self {
        Self {
            kind,
            name: None,
            on: Vec::new(),
            pick: None,
            at: Vec::new(),
            every: None,
            rate: None,
            from: None,
            until: None,
            lasts: None,
            unsynced: None,
            share: None,
            bits: None,
            age: None,
            by: None,
            drift: None,
            way: None,
            attack: None,
            layer: None,
            objects: None,
            add: None,
            remove: None,
            release: None,
            back: None,
            values: None,
            node: None,
            state: None,
            link: None,
            draw: None,
        }
    }

    /// The name that its draws hang on.
    #[must_use]
    pub fn key(&self) -> &str {
        self.name.as_deref().unwrap_or(self.kind.name())
    }

    /// The parameters that are set, by name.
    #[must_use]
    pub fn parameters(&self) -> Vec<&'static str> {
        let set = [
            ("lasts", self.lasts.is_some()),
            ("unsynced", self.unsynced.is_some()),
            ("share", self.share.is_some()),
            ("bits", self.bits.is_some()),
            ("age", self.age.is_some()),
            ("by", self.by.is_some()),
            ("drift", self.drift.is_some()),
            ("way", self.way.is_some()),
            ("attack", self.attack.is_some()),
            ("layer", self.layer.is_some()),
            ("objects", self.objects.is_some()),
            ("add", self.add.is_some()),
            ("remove", self.remove.is_some()),
            ("release", self.release.is_some()),
            ("back", self.back.is_some()),
            ("values", self.values.is_some()),
            ("node", self.node.is_some()),
            ("state", self.state.is_some()),
            ("link", self.link.is_some()),
        ];
        set.into_iter().filter(|(_, set)| *set).map(|(name, _)| name).collect()
    }
}
