//! The only place where store and sessions meet. Sans-IO: `handle_*` in, [`Replica::poll_output`] out, SQLite called in line.
//!
//! After every call the owner drains `poll_output` and carries each output out, in order. It was durable before (invariants 1, 2).

mod admit;
mod believed;
pub mod bundle;
mod catch_ups;
mod certificates;
pub mod conflicts;
mod contacts;
mod delta;
mod desired;
mod edit;
mod exchange;
mod fetch;
mod flow;
mod generation;
pub mod in_process;
mod incarnation;
mod known;
mod late;
mod loads;
mod meet;
mod members;
mod open;
mod reconcile;
pub mod roster;
mod scope;
mod timeouts;
mod transfer;
mod write;
mod written;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use crate::document::generation::CutPolicy;
use crate::document::{ActorBytes, DocumentKey};
use crate::env::{CrashPoint, Instant, WallTime, Witness};
use crate::id::{Chain, DocumentId, Incarnation, LinkId, NodeId, StoreId};
use crate::identity::{Identity, Role, VerifiedPeer};
#[cfg(feature = "mutants")]
use crate::mutants::{Mutant, planted};
use crate::session::Session;
use crate::store::{DocumentRow, LogSeq, PeerTraffic, Store, StoreError, chain_origin};
use crate::wire::{Close, CloseCode, Message, Resume};

pub use desired::{Desired, DesiredError, DesiredLayer};
pub use edit::{Edit, View, read};
pub use open::{InitError, ReplicaError};
pub use write::WriteError;

/// The time of an input: the clock that timers use, and the one that people read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Now {
    /// Monotonic.
    pub instant: Instant,
    /// For people.
    pub wall: WallTime,
}

/// What the owner has to carry out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Hand these bytes to the link as one frame.
    Transmit {
        /// The link.
        link: LinkId,
        /// The frame, without its length.
        frame: Vec<u8>,
        /// Whether it carries changes.
        carries_changes: bool,
    },
    /// Close the link once everything transmitted before was handed over.
    Close {
        /// The link.
        link: LinkId,
        /// Why.
        close: Close,
    },
    /// Something that an embedding program may want to know.
    Event(Event),
}

/// What happened, for embedding programs, logs and counters.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A document has a newer frontier.
    Changed(DocumentKey),
    /// What was written here after the document's history was cut elsewhere was written again on top of the cut.
    Rebased {
        /// The document.
        key: DocumentKey,
        /// Fields that both sides had changed: each holds both values now, as a conflict.
        contested: Vec<String>,
        /// Fields that were left as the cut had them, because their parent or they themselves were deleted or changed there.
        left: Vec<String>,
    },
    /// Both sides of a link said hello.
    LinkLive(NodeId),
    /// A link ended.
    LinkDown(NodeId),
    /// Both sides of a link hold what they owe each other.
    Synced(NodeId),
    /// One side was lost, restored or replaced, or a node has written beside itself. What the other may lack is sent again.
    Diverged(NodeId),
    /// This store was set back to an older copy, and goes on under the incarnation of this number.
    NewIncarnation(u32),
    /// A second copy of this peer's store is in use, and was refused.
    Cloned(NodeId),
    /// This hub has refused this replica, because another copy of its store is in use.
    RefusedAsClone(NodeId),
    /// Input of a peer was refused and put into quarantine.
    Quarantined {
        /// Who sent it.
        peer: NodeId,
        /// The document that it named, if any: of a node's document another peer only carries what the node signed.
        document: Option<DocumentId>,
        /// Why.
        reason: String,
    },
    /// A peer refused something of ours.
    RefusedByPeer {
        /// Who refused it.
        peer: NodeId,
        /// Why.
        reason: String,
    },
}

/// A conversation and what it passed over.
#[derive(Debug)]
struct Link {
    peer: NodeId,
    peer_role: Role,
    is_dialer: bool,
    session: Session,
    known: known::Known,
    /// The step under way that does not fit one frame.
    transfer: Option<transfer::Transfer>,
    /// Transfers of which the peer said that it holds the beginning, bounded as what it may hold is.
    resume: BTreeMap<DocumentId, Resume>,
    /// Older frontiers on the way through an entry, until the peer acknowledges them.
    stops: VecDeque<Stop>,
    /// Several frontiers of a document that were sent together, until the peer acknowledges them.
    batches: VecDeque<Batch>,
    /// Documents of which the peer refused several frontiers together: they travel one by one.
    alone: BTreeSet<DocumentRow>,
    /// Acknowledgements that came.
    acknowledgements: u64,
    /// What this link adds to [`flow::Flow`].
    counted: flow::Counted,
    pace: flow::Pace,
    /// Documents that were sent once more as a whole.
    sent_again: BTreeSet<DocumentRow>,
    /// Whose certificates the peer was shown over this link, or has.
    shown: BTreeSet<NodeId>,
    /// It was noted that one side lost its past.
    diverged: bool,
    /// What passed since it was last written down.
    traffic: PeerTraffic,
    /// When its session wants to be called, as [`timeouts::Timeouts`] has it.
    timeout: Option<Instant>,
}

/// An older frontier of a document that was sent on the way to an entry of the feed.
#[derive(Debug)]
struct Stop {
    /// The number of the acknowledgement that will mean it, over the whole link.
    acknowledged_with: u64,
    entry: u64,
    log: LogSeq,
}

/// Frontiers of a document that were sent together.
#[derive(Debug)]
struct Batch {
    /// The number of the acknowledgement that will mean it, over the whole link.
    acknowledged_with: u64,
    document: DocumentRow,
    logs: Vec<LogSeq>,
}

/// A store and the conversations it takes part in.
pub struct Replica {
    store: Store,
    identity: Arc<Identity>,
    store_id: StoreId,
    incarnation: Incarnation,
    /// Random, drawn when the replica was opened.
    seed: [u8; 32],
    /// Every start writes under an actor of its own (invariant 2).
    actor: ActorBytes,
    links: BTreeMap<LinkId, Link>,
    /// The same by peer, each of which has one at most: a hub with ten thousand links must not look at all for each frame.
    link_of: BTreeMap<NodeId, LinkId>,
    /// Peers with a link that are hubs.
    linked_hubs: BTreeSet<NodeId>,
    /// What one input leads to. Bounded by the links' windows; drained before the next input.
    outputs: VecDeque<Output>,
    flow: flow::Flow,
    packed: transfer::PackedTransfers,
    catch_ups: catch_ups::CatchUps,
    contacts: contacts::Contacts,
    timeouts: timeouts::Timeouts,
    witness: Witness,
    loads: loads::Loads,
    /// When a generation has grown enough to be cut.
    policy: CutPolicy,
    /// Rows that were written and are none of [`Replica::content_written`].
    aside: u64,
}

impl std::fmt::Debug for Replica {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Replica")
            .field("node", &self.identity.id())
            .field("store", &self.store_id)
            .field("links", &self.links.len())
            .finish_non_exhaustive()
    }
}

impl Replica {
    /// Who this replica is.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Who this replica is, for whoever dials for it.
    #[must_use]
    pub fn shared_identity(&self) -> Arc<Identity> {
        Arc::clone(&self.identity)
    }

    /// Which life of its store this is.
    #[must_use]
    pub fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    /// Cuts the histories of documents by another rule than the one in [`crate::limits`]. For tests and for stores that are
    /// unusually small; peers do not need to agree on it.
    pub fn set_cut_policy(&mut self, policy: CutPolicy) {
        self.policy = policy;
    }

    /// How many documents were loaded into Automerge since the start. Reconnecting must not raise it.
    #[must_use]
    pub fn documents_loaded(&self) -> u64 {
        self.loads.count
    }

    /// Peers with a live link.
    #[must_use]
    pub fn linked(&self) -> Vec<NodeId> {
        self.links.values().filter(|link| link.session.is_live()).map(|link| link.peer).collect()
    }

    /// What passed over the links that are up, not yet written down in [`crate::store::PeerRow::traffic`].
    #[must_use]
    pub fn live_traffic(&self) -> BTreeMap<NodeId, PeerTraffic> {
        let with_trips = |link: &Link| {
            let mut traffic = link.traffic;
            traffic.round_trips += link.session.round_trips();
            (link.peer, traffic)
        };
        self.links.values().map(with_trips).collect()
    }

    /// The next thing to carry out.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// A link to a verified peer came up. An older link of the same peer is closed: the peer lost it, or is a twin.
    ///
    /// # Errors
    /// [`StoreError`]; the link is not taken.
    pub fn handle_link_up(
        &mut self,
        now: Now,
        id: LinkId,
        peer: &VerifiedPeer,
        is_dialer: bool,
    ) -> Result<(), StoreError> {
        if let Some(older) = self.link_of.get(&peer.id()).copied() {
            self.close_link(now, older, CloseCode::Replaced, "the same peer opened a newer link")?;
        }
        if self.meet_member(peer)? {
            let message = roster::REVOKED.to_owned();
            let close = Close { code: CloseCode::Revoked, message, retry_after_ms: 0, incarnation: 0 };
            // Said in a frame: a connection's code may be overtaken by the end of its stream.
            let frame = Message::Close(close.clone()).encode(self.identity.id());
            self.outputs.push_back(Output::Transmit { link: id, frame, carries_changes: false });
            self.outputs.push_back(Output::Close { link: id, close });
            return Ok(());
        }
        let row = self.bring_up_to_date(now, peer.id())?;
        let staged = self.store.begin_read()?.staged(&row)?;
        let (credit, counted) = self.flow.grant(peer.role());
        let facts = crate::session::Facts {
            store: self.store_id,
            incarnation: self.incarnation,
            head: row.head,
            cursor: row.cursor,
            credit,
            resume: staged.iter().map(resume).collect(),
        };
        let session = Session::open(now.instant, facts, is_dialer);
        let traffic = PeerTraffic { sessions: 1, ..PeerTraffic::default() };
        let link = Link {
            peer: peer.id(),
            peer_role: peer.role(),
            is_dialer,
            session,
            known: known::Known::default(),
            transfer: None,
            resume: BTreeMap::new(),
            stops: VecDeque::new(),
            batches: VecDeque::new(),
            alone: BTreeSet::new(),
            acknowledgements: 0,
            counted,
            pace: flow::Pace::default(),
            sent_again: BTreeSet::new(),
            shown: [self.identity.id(), peer.id()].into(),
            diverged: false,
            traffic,
            timeout: None,
        };
        self.links.insert(id, link);
        self.link_of.insert(peer.id(), id);
        if peer.role() == Role::Hub {
            self.linked_hubs.insert(peer.id());
        }
        self.carry_out(now, id)
    }

    /// Makes sure that a certified peer has a row with its certificate. Whether its enrolment was taken back.
    fn meet_member(&mut self, peer: &VerifiedPeer) -> Result<bool, StoreError> {
        let tx = self.store.begin_read()?;
        let known = tx.peer(peer.id())?;
        let is_member = known.is_some_and(|row| !row.revoked);
        #[cfg(feature = "mutants")]
        let is_member = is_member || planted(Mutant::RevokedIsMetAsKnown);
        if is_member && tx.certificate(peer.id())?.as_deref() == Some(peer.certificate()) {
            return Ok(false);
        }
        drop(tx);
        let tx = self.store.begin()?;
        let row = members::add(&tx, peer.key(), peer.role())?;
        if !row.revoked {
            tx.set_certificate(peer.id(), peer.certificate())?;
            tx.commit()?;
        }
        Ok(row.revoked)
    }

    /// A frame arrived on a link.
    ///
    /// # Errors
    /// [`StoreError`]: the disk failed; what the frame carried was not acknowledged and comes again.
    pub fn handle_frame(&mut self, now: Now, id: LinkId, frame: &[u8]) -> Result<(), StoreError> {
        self.set_window(id);
        let Some(link) = self.links.get_mut(&id) else { return Ok(()) };
        link.traffic.bytes_in += framed_length(frame.len());
        match Message::decode(frame, link.peer) {
            Ok(Message::Hello(hello)) if link.is_busy_with(&hello, self.identity.role()) => {
                match self.catch_ups.admit(now.instant, id) {
                    Ok(()) => link.session.handle_message(Message::Hello(hello)),
                    Err(wait) => link.session.turn_away(wait),
                }
            }
            Ok(message) => {
                if let Message::Push(_) = message {
                    link.session.charge(frame.len() as u64);
                }
                if let Message::Credit(bytes) = message {
                    link.pace.confirm(now.instant, bytes);
                    link.session.handle_window(self.flow.window(link));
                }
                if matches!(message, Message::Acknowledge(_)) {
                    (self.witness)(CrashPoint::AcknowledgeBeforeCommit);
                } else if message.carries_changes() {
                    (self.witness)(CrashPoint::ReceiveBeforeCommit);
                }
                link.session.handle_message(message);
            }
            Err(error) => {
                let (peer, reason) = (link.peer, error.to_string());
                link.session.close(CloseCode::Protocol, &reason);
                let tx = self.store.begin()?;
                tx.quarantine(peer, None, &reason, frame, now.wall)?;
                tx.commit()?;
                self.outputs.push_back(Output::Event(Event::Quarantined { peer, document: None, reason }));
            }
        }
        self.carry_out(now, id)
    }

    /// A link ended, for whatever reason. What passed over it is written down later, with that of others.
    ///
    /// # Errors
    /// [`StoreError`]: the traffic of links that ended could not be written down; nothing else is lost.
    pub fn handle_link_down(&mut self, now: Now, id: LinkId) -> Result<(), StoreError> {
        let Some(link) = self.links.remove(&id) else { return Ok(()) };
        self.timeouts.forget(id, link.timeout);
        self.link_of.remove(&link.peer);
        self.linked_hubs.remove(&link.peer);
        self.flow.forget(link.counted);
        self.catch_ups.done(now.instant, id);
        self.outputs.push_back(Output::Event(Event::LinkDown(link.peer)));
        let mut traffic = link.traffic;
        traffic.round_trips += link.session.round_trips();
        self.note_contact(now, link.peer, traffic)
    }

    fn close_link(&mut self, now: Now, id: LinkId, code: CloseCode, message: &str) -> Result<(), StoreError> {
        if let Some(link) = self.links.get_mut(&id) {
            link.session.close(code, message);
        }
        self.carry_out(now, id)?;
        self.handle_link_down(now, id)
    }

    /// The chain of an empty feed for this peer.
    fn origin(&self, peer: NodeId) -> Chain {
        chain_origin(self.store_id, self.incarnation.number, peer)
    }

    /// Ends every link, because the process ends.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn shut_down(&mut self, now: Now) -> Result<(), StoreError> {
        let ids: Vec<LinkId> = self.links.keys().copied().collect();
        ids.into_iter().try_for_each(|id| self.close_link(now, id, CloseCode::Shutdown, "the process ends"))?;
        self.write_down_contacts()
    }
}

impl Link {
    /// Whether the hello of a node that dialled this hub begins a catch-up, either way. One who has nothing to say, and other
    /// hubs, are no burden.
    fn is_busy_with(&self, hello: &crate::wire::Hello, own: Role) -> bool {
        own == Role::Hub && self.peer_role == Role::Node && !self.is_dialer && self.session.has_work(hello)
    }
}

fn resume(held: &crate::store::Held) -> Resume {
    Resume { document: held.document, transfer: held.transfer, offset: held.bytes }
}

/// Bytes of a frame on the wire: the transport puts its length before it, as a varint of seven bits a byte (LEB128).
fn framed_length(frame: usize) -> u64 {
    let bits = usize::BITS - frame.leading_zeros();
    frame as u64 + u64::from(bits.div_ceil(7).max(1))
}

/// Whether frontiers of this document are written by the replica's own side.
fn is_own(identity: &Identity, key: &DocumentKey) -> bool {
    match key.author_group() {
        crate::document::AuthorGroup::Hubs => identity.role() == Role::Hub,
        crate::document::AuthorGroup::Node(node) => identity.id() == node,
    }
}

#[cfg(test)]
mod tests {
    use super::framed_length;

    #[test]
    #[cfg(feature = "quic")]
    fn a_frame_counts_as_many_bytes_as_the_transport_writes() {
        for length in [0, 1, 63, 64, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152] {
            let written = crate::transport::frame::prefixed(vec![0; length]).len() as u64;
            assert_eq!(framed_length(length), written, "{length}");
        }
    }
}
