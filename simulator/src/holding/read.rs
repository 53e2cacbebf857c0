//! Reads a [`Holding`] out of a replica's store, in one transaction.

use std::collections::BTreeMap;

use edge_node::actuator::{Inventory, State};
use serde::Deserialize;
use serde_json::{Map, Value};
use sync_core::document::generation::Extent;
use sync_core::document::genesis::genesis_actor;
use sync_core::document::{ActorBytes, Clock};
use sync_core::id::Incarnation;
use sync_core::identity::Role;
use sync_core::replica::{Desired, DesiredError, Replica};
use sync_core::state::ObjectHash;
use sync_core::state::observed::{AppliedStamp, ObservedState};
use sync_core::store::{DocumentRow, LogRow, PeerRow, StoreError, StoredDocument, Tx};

use super::{Agent, HeldChange, HeldDocument, HeldFrontier, HeldPeer, Holding, Look, Wanted, state_hash, timeless};
use crate::guests::NodeEnd;

/// Where the agent keeps its values (`edge-node/src/goal.rs`, `edge-node/src/agent.rs`).
const APPLIED: &str = "edge.applied";
const INVENTORY: &str = "edge.inventory";
const OBSERVED: &str = "edge.observed";
const INCARNATION: &str = "edge.incarnation";

impl Holding {
    /// What the replica's store says now.
    ///
    /// # Errors
    /// [`StoreError`]; the store is as it was.
    pub fn read(replica: &mut Replica, look: Look) -> Result<Self, StoreError> {
        replica.inspect(|tx| read(tx, look))
    }

    /// The same with what every node is to hold, when it is a hub's.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn with_wanted(mut self, replica: &mut Replica) -> Result<Self, StoreError> {
        let nodes = self.peers.iter().filter(|(_, peer)| self.role == Role::Hub && peer.role == Role::Node);
        for node in nodes.map(|(node, _)| *node).collect::<Vec<_>>() {
            match replica.desired_of(node) {
                Ok(desired) => drop(self.wanted.insert(node, wanted(&desired))),
                Err(DesiredError::Store(error)) => return Err(error),
                // Nothing is wanted yet, or not all of it is here.
                Err(_) => {}
            }
        }
        Ok(self)
    }
}

fn wanted(desired: &Desired) -> Wanted {
    let objects = desired.layers.iter().filter_map(|layer| layer.state.get("objects")?.as_object()).flatten();
    Wanted {
        assignment: desired.assignment.heads.clone(),
        release: desired.release.heads.clone(),
        objects: objects.map(|(key, object)| (key.clone(), ObjectHash::of(object))).collect(),
    }
}

fn read(tx: &Tx<'_>, look: Look) -> Result<Holding, StoreError> {
    let identity = tx.identity()?.ok_or(StoreError::Corrupt { place: "store" })?;
    let stored = tx.documents()?;
    let ids: BTreeMap<DocumentRow, &StoredDocument> = stored.iter().map(|document| (document.row, document)).collect();
    let mut documents = BTreeMap::new();
    let mut changes = Vec::new();
    for document in &stored {
        documents.insert(document.key.id(), read_document(tx, look, document, &mut changes)?);
    }
    let mut peers = BTreeMap::new();
    for row in tx.peers()? {
        peers.insert(row.node, read_peer(tx, look, &row, &ids)?);
    }
    let key = sync_core::identity::SigningKey::from_seed(identity.seed);
    Ok(Holding {
        look,
        node: key.node_id(),
        role: identity.role,
        store: identity.store,
        incarnation: Incarnation { number: identity.incarnation, nonce: identity.nonce },
        documents,
        peers,
        changes,
        sizes: (look >= Look::Acknowledged).then(|| tx.table_sizes()).transpose()?,
        agent: read_agent(tx)?,
        wanted: BTreeMap::new(),
    })
}

fn read_document(
    tx: &Tx<'_>,
    look: Look,
    document: &StoredDocument,
    changes: &mut Vec<HeldChange>,
) -> Result<HeldDocument, StoreError> {
    let latest = document.latest.map(|latest| tx.log_row(latest)).transpose()?.map(HeldFrontier::from);
    let view = tx.view(document.row)?;
    let pending = tx.pending(document.row)?;
    let mut held = HeldDocument {
        key: document.key.clone(),
        generation: document.generation,
        line: line(tx, document, document.generation)?,
        held: latest.as_ref().map(|latest| latest.clock.clone()).unwrap_or_default(),
        latest,
        view: view.as_ref().map(state_hash),
        timeless: None,
        pending: pending.as_ref().map(state_hash),
        generations: Vec::new(),
        extent: Extent::default(),
        signed: Vec::new(),
    };
    if look >= Look::Acknowledged {
        held.held = tx.clock_of(document.row)?;
        held.generations = tx.generations_held(document.row)?;
        held.extent = tx.extent(document.row, document.generation)?;
    }
    if look >= Look::Changes {
        held.timeless = view.as_ref().map(|view| state_hash(&timeless(view)));
        held.signed = tx.log_of(document.row)?.into_iter().map(HeldFrontier::from).collect();
        let id = document.key.id();
        for generation in held.generations.iter().copied() {
            let history = tx.history(document.row, generation)?;
            for actor in history.actors() {
                let made = (1..=history.seq(actor)).filter_map(|seq| history.change_of(actor, seq));
                changes.extend(made.map(|change| HeldChange {
                    document: id,
                    generation,
                    actor: change.actor,
                    seq: change.seq,
                    hash: change.hash,
                    is_genesis: change.deps.is_empty(),
                }));
            }
        }
    }
    Ok(held)
}

/// The actor of the genesis of a generation, as the document's name or the generation's record has it.
pub(crate) fn line(tx: &Tx<'_>, document: &StoredDocument, generation: u32) -> Result<Option<ActorBytes>, StoreError> {
    if generation == 0 {
        return Ok(Some(genesis_actor(&document.key, 0, None)));
    }
    let root = tx.root(document.row, generation)?;
    Ok(root.map(|root| genesis_actor(&document.key, generation, Some(&root.root().cut))))
}

fn read_peer(
    tx: &Tx<'_>,
    look: Look,
    row: &PeerRow,
    documents: &BTreeMap<DocumentRow, &StoredDocument>,
) -> Result<HeldPeer, StoreError> {
    let mut acknowledged = BTreeMap::new();
    let mut feed = (0, 0);
    if look >= Look::Acknowledged {
        let rows = tx.feed_rows(row)?;
        let taken = rows.iter().filter(|feed| feed.entry.number <= row.acked).count() as u64;
        feed = (taken, rows.len() as u64 - taken);
        let mut by_document: BTreeMap<DocumentRow, Vec<_>> = BTreeMap::new();
        for feed in rows {
            by_document.entry(feed.entry.document).or_default().push(feed);
        }
        for (document, rows) in by_document {
            let Some(stored) = documents.get(&document) else { continue };
            let last = rows.iter().rposition(|feed| feed.entry.number <= row.acked);
            let Some((promise, later)) = last.and_then(|last| rows.get(last..)).and_then(<[_]>::split_first) else {
                continue;
            };
            let (false, Some(log)) = (promise.refused, promise.entry.log) else { continue };
            let promise = HeldFrontier::from(tx.log_row(log)?);
            let mut is_sure = true;
            for later in later {
                let above = later.entry.log.map(|log| tx.log_row(log)).transpose()?.map(HeldFrontier::from);
                is_sure &= above.is_some_and(|above| above.is_above(&promise));
            }
            if is_sure {
                acknowledged.insert(stored.key.id(), promise);
            }
        }
    }
    Ok(HeldPeer {
        role: row.role,
        name: row.name.clone(),
        is_revoked: row.revoked,
        is_staged: row.staged,
        store: row.their_store,
        head: row.head.number,
        acked: row.acked,
        acknowledged,
        feed,
        clones: row.clones,
        forks: row.forks,
        traffic: row.traffic,
    })
}

/// What the agent keeps for its applied release.
#[derive(Deserialize)]
struct Applied {
    stamp: AppliedStamp,
    objects: BTreeMap<String, Value>,
}

/// What the agent's target holds, as far as it knows.
///
/// # Errors
/// [`StoreError`].
pub(crate) fn applied(tx: &Tx<'_>) -> Result<Option<AppliedStamp>, StoreError> {
    /// Without the objects, which may be many.
    #[derive(Deserialize)]
    struct Named {
        stamp: AppliedStamp,
    }
    Ok(tx.local::<Named>(APPLIED)?.map(|applied| applied.stamp))
}

/// What a node holds and says, for whoever asserts about it.
///
/// # Errors
/// [`StoreError`].
pub(crate) fn node_end(tx: &Tx<'_>) -> Result<NodeEnd, StoreError> {
    let applied: Option<Applied> = tx.local(APPLIED)?;
    let report: Option<ObservedState> = tx.local(OBSERVED)?;
    let (applied, objects) = applied.map(|it| (it.stamp, it.objects)).unzip();
    Ok(NodeEnd { applied, objects: objects.unwrap_or_default(), report })
}

fn read_agent(tx: &Tx<'_>) -> Result<Agent, StoreError> {
    let applied: Option<Applied> = tx.local(APPLIED)?;
    let inventory: Inventory = tx.local(INVENTORY)?.unwrap_or_default();
    let report: Option<Map<String, Value>> = tx.local(OBSERVED)?;
    let objects = applied.iter().flat_map(|applied| &applied.objects);
    Ok(Agent {
        objects: objects.map(|(key, object)| (key.clone(), ObjectHash::of(object))).collect(),
        applied: applied.map(|applied| applied.stamp),
        inventory: inventory.0.into_iter().map(|(key, entry)| (key, entry.state == State::Held)).collect(),
        report: report.as_ref().map(state_hash),
        reported_as: tx.local(INCARNATION)?,
        keys: tx.local_keys()?,
    })
}

impl From<LogRow> for HeldFrontier {
    fn from(row: LogRow) -> Self {
        let frontier = row.frontier.frontier();
        Self {
            generation: frontier.generation,
            heads: frontier.heads.clone(),
            version: frontier.version,
            author: row.frontier.author(),
            clock: row.clock,
        }
    }
}

impl HeldFrontier {
    /// Whether it includes the other, which is of the same document.
    #[must_use]
    pub fn is_above(&self, other: &Self) -> bool {
        is_above((self.generation, &self.clock), (other.generation, &other.clock))
    }
}

/// Generations come before causality.
pub(crate) fn is_above(above: (u32, &Clock), below: (u32, &Clock)) -> bool {
    above.0 > below.0 || (above.0 == below.0 && above.1.includes(below.1))
}
