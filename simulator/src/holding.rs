//! What a member's store says, as a value: all that the checks compare. Reading it changes nothing.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use sync_core::document::generation::Extent;
use sync_core::document::{ActorBytes, Clock, DocumentKey, Heads};
use sync_core::id::{ChangeHash, DocumentId, Incarnation, NodeId, StoreId};
use sync_core::identity::Role;
use sync_core::state::ObjectHash;
use sync_core::state::observed::AppliedStamp;
use sync_core::store::{PeerTraffic, TableSizes};

mod read;
#[cfg(test)]
mod tests;
pub(crate) use read::{applied, is_above, node_end};

/// How much is read. Each also reads what those before it do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Look {
    /// Documents with their newest frontiers, peers without their feeds, what the agent keeps.
    Frontiers,
    /// What each peer acknowledged, everything held by document, the sizes of tables.
    Acknowledged,
    /// Every change, and all who signed.
    Changes,
}

/// BLAKE3 of JSON with sorted keys and no white space.
pub type StateHash = [u8; 32];

/// What a member holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Holding {
    /// How much of it was read.
    pub look: Look,
    /// Who it is.
    pub node: NodeId,
    /// Hub or node.
    pub role: Role,
    /// Its store.
    pub store: StoreId,
    /// Which life of it.
    pub incarnation: Incarnation,
    /// Every document.
    pub documents: BTreeMap<DocumentId, HeldDocument>,
    /// Everyone it knows.
    pub peers: BTreeMap<NodeId, HeldPeer>,
    /// Every change; empty below [`Look::Changes`].
    pub changes: Vec<HeldChange>,
    /// What the tables hold; `None` below [`Look::Acknowledged`].
    pub sizes: Option<TableSizes>,
    /// What an agent keeps beside the documents.
    pub agent: Agent,
    /// At a hub, what each node is to hold by what is released; empty unless [`Holding::with_wanted`] was asked.
    pub wanted: BTreeMap<NodeId, Wanted>,
}

/// What a node is to hold, by a hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The heads of its assignment.
    pub assignment: String,
    /// The heads of the release.
    pub release: String,
    /// The objects of all its layers. No two layers of a simulated fleet name the same one, so nothing has to be merged.
    pub objects: BTreeMap<String, ObjectHash>,
}

/// A document as it is held.
#[derive(Debug, Clone, PartialEq)]
pub struct HeldDocument {
    /// Its name.
    pub key: DocumentKey,
    /// Its present generation.
    pub generation: u32,
    /// Who began that: the actor of its genesis. `None` when its record is gone.
    pub line: Option<ActorBytes>,
    /// Its newest frontier.
    pub latest: Option<HeldFrontier>,
    /// The hash of the state there.
    pub view: Option<StateHash>,
    /// The same without what clocks have written into it (fields `at`); only by [`Look::Changes`].
    pub timeless: Option<StateHash>,
    /// The hash of the report that waits to be cut.
    pub pending: Option<StateHash>,
    /// All changes held, of every generation; below [`Look::Acknowledged`] those at the newest frontier.
    pub held: Clock,
    /// The generations of which changes are held; empty below [`Look::Acknowledged`].
    pub generations: Vec<u32>,
    /// How much the present generation holds; zero below [`Look::Acknowledged`].
    pub extent: Extent,
    /// Frontiers in the log; empty below [`Look::Changes`].
    pub signed: Vec<HeldFrontier>,
}

/// A signed frontier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldFrontier {
    /// Its generation.
    pub generation: u32,
    /// Its heads.
    pub heads: Heads,
    /// For people.
    pub version: u64,
    /// Who signed it.
    pub author: NodeId,
    /// The changes at or below it.
    pub clock: Clock,
}

/// A change, without its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct HeldChange {
    /// Its document.
    pub document: DocumentId,
    /// Its generation.
    pub generation: u32,
    /// Who made it.
    pub actor: ActorBytes,
    /// The how-manieth of its actor.
    pub seq: u64,
    /// Its hash.
    pub hash: ChangeHash,
    /// It stands on nothing: the first of a generation.
    pub is_genesis: bool,
}

/// A peer as it is known.
#[derive(Debug, Clone, PartialEq)]
pub struct HeldPeer {
    /// Hub or node.
    pub role: Role,
    /// Its name, if it has one here.
    pub name: Option<String>,
    /// Its enrolment was taken back.
    pub is_revoked: bool,
    /// Nothing but the roster goes to it until an operator confirms it.
    pub is_staged: bool,
    /// Its store and incarnation at the last contact.
    pub store: Option<(StoreId, Incarnation)>,
    /// The end of its feed.
    pub head: u64,
    /// How far it acknowledged that.
    pub acked: u64,
    /// By document, what it has certainly made durable: the last entry that it acknowledged and did not refuse, where no later
    /// one points below it (what is sent for an entry is where the document's last one points). Empty below
    /// [`Look::Acknowledged`].
    pub acknowledged: BTreeMap<DocumentId, HeldFrontier>,
    /// Rows of its feed at or below what it acknowledged, and above.
    pub feed: (u64, u64),
    /// Second copies of its store that were refused.
    pub clones: u64,
    /// Times that one side was seen to have lost its past.
    pub forks: u64,
    /// What passed.
    pub traffic: PeerTraffic,
}

/// What an agent keeps in its store.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Agent {
    /// What its target holds, as far as it knows.
    pub applied: Option<AppliedStamp>,
    /// The objects of that.
    pub objects: BTreeMap<String, ObjectHash>,
    /// The objects that it may have put. `true`: the target holds it, and nothing is under way.
    pub inventory: BTreeMap<String, bool>,
    /// The hash of its last report.
    pub report: Option<StateHash>,
    /// The incarnation under which that was made.
    pub reported_as: Option<u32>,
    /// The names of all values.
    pub keys: Vec<String>,
}

/// The hash of a document's state.
#[must_use]
pub fn state_hash(state: &Map<String, Value>) -> StateHash {
    struct Hasher(blake3::Hasher);
    impl std::io::Write for Hasher {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.update(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut hasher = Hasher(blake3::Hasher::new_derive_key("archipel 2026 simulated state"));
    // Text keys and a writer that takes all: neither can fail.
    let written = serde_json::to_writer(&mut hasher, state);
    debug_assert!(written.is_ok());
    *hasher.0.finalize().as_bytes()
}

/// The state without every field `at`, in which members write what their clock says.
#[must_use]
pub fn timeless(state: &Map<String, Value>) -> Map<String, Value> {
    fn strip(value: &Value) -> Value {
        match value {
            Value::Object(map) => Value::Object(timeless(map)),
            Value::Array(items) => Value::Array(items.iter().map(strip).collect()),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
        }
    }
    state.iter().filter(|(key, _)| *key != "at").map(|(key, value)| (key.clone(), strip(value))).collect()
}
