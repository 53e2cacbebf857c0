//! What someone knows who has taken a node over: its key, and what is in its store.

use std::collections::BTreeMap;

use sync_core::document::generation::UnverifiedRoot;
use sync_core::document::genesis::{genesis, genesis_actor};
use sync_core::document::{Clock, DocumentKey, DocumentKind, SignedFrontier};
use sync_core::id::{Incarnation, NodeId, Nonce, StoreId};
use sync_core::identity::Identity;
use sync_core::replica::Replica;
use sync_core::store::{LogRow, StoreError, StoredDocument, Tx};
use sync_core::wire::{Hello, Position, VERSION_MAX, VERSION_MIN};

use crate::random::Random;

/// Frontiers that are taken along at most, of each document: old ones, and the newest.
const RECORDS_MAX: usize = 12;

/// Bytes that a hub may send before it was granted more: as an honest node has it.
const CREDIT: u64 = sync_core::limits::WINDOW_BYTES_MAX;

/// Someone with the key of a node.
#[derive(Debug)]
pub(super) struct Insider {
    /// The key and its certificate.
    pub(super) identity: Identity,
    /// The layers that the node is assigned.
    pub(super) layers: Vec<String>,
    /// All other nodes.
    pub(super) others: Vec<NodeId>,
    /// All hubs.
    pub(super) hubs: Vec<NodeId>,
    /// What was in the store.
    pub(super) loot: Loot,
}

/// What a node's store holds that is of use to an attacker.
#[derive(Debug, Default)]
pub(super) struct Loot {
    life: Option<(StoreId, Incarnation)>,
    /// By hub: the end of the node's feed for it, and how much of the hub's feed the node holds.
    places: BTreeMap<NodeId, (Position, Option<Position>)>,
    /// The node's own report.
    pub(super) own: Option<Own>,
    /// What honest members signed and sent.
    pub(super) records: Vec<Record>,
}

/// The present generation of the node's report.
#[derive(Debug, Clone)]
pub(super) struct Own {
    pub(super) generation: u32,
    pub(super) version: u64,
    /// Every change, the genesis first.
    pub(super) chunks: Vec<Vec<u8>>,
}

/// A signed frontier, with the changes below it.
#[derive(Debug, Clone)]
pub(super) struct Record {
    pub(super) key: DocumentKey,
    pub(super) signed: SignedFrontier,
    pub(super) roots: Vec<UnverifiedRoot>,
    pub(super) chunks: Vec<Vec<u8>>,
}

impl Loot {
    /// Takes along what the store holds.
    pub(super) fn read(replica: &mut Replica) -> Result<Self, StoreError> {
        replica.inspect(|tx| {
            let mut loot = Self::default();
            if let Some(it) = tx.identity()? {
                loot.life = Some((it.store, Incarnation { number: it.incarnation, nonce: it.nonce }));
            }
            for peer in tx.peers()? {
                loot.places.insert(peer.node, (peer.head, peer.cursor));
            }
            for document in tx.documents()? {
                let rows: Vec<LogRow> = tx.log_of(document.row)?.into_iter().filter(|row| row.held).collect();
                if document.key.kind == DocumentKind::Observed
                    && let Some(latest) = document.latest
                {
                    loot.own = Some(Own {
                        generation: document.generation,
                        version: tx.log_row(latest)?.frontier.frontier().version,
                        chunks: tx.chunks(document.row, document.generation)?,
                    });
                }
                let some = rows.len().div_ceil(RECORDS_MAX).max(1);
                for row in rows.iter().rev().step_by(some) {
                    loot.records.extend(record(tx, &document, row)?);
                }
            }
            Ok(loot)
        })
    }
}

fn record(tx: &Tx<'_>, document: &StoredDocument, row: &LogRow) -> Result<Option<Record>, StoreError> {
    let generation = row.frontier.frontier().generation;
    let root = tx.root(document.row, generation)?;
    if root.is_none() && generation > 0 {
        return Ok(None);
    }
    // Whoever holds what was cut computes the genesis.
    let mut base = Clock::default();
    base.raise(genesis_actor(&document.key, generation, root.as_ref().map(|root| &root.root().cut)), 1);
    Ok(Some(Record {
        key: document.key.clone(),
        signed: row.frontier.clone(),
        roots: root.iter().map(sync_core::document::generation::SignedRoot::to_claim).collect(),
        chunks: tx.chunks_between(document.row, &base, &row.clock)?,
    }))
}

impl Insider {
    /// Who the node is.
    pub(super) fn node(&self) -> NodeId {
        self.identity.id()
    }

    /// The node's report, or its beginning where there is none yet.
    pub(super) fn own(&self) -> Own {
        let first = || vec![genesis(&DocumentKey::observed(self.node())).bytes];
        self.loot.own.clone().unwrap_or_else(|| Own { generation: 0, version: 0, chunks: first() })
    }

    /// The hello that the node itself would say.
    pub(super) fn hello(&self, hub: NodeId, random: &mut Random) -> Hello {
        let fresh = self.other_hello(random);
        let (Some((store, incarnation)), Some((head, cursor))) = (self.loot.life, self.loot.places.get(&hub).copied())
        else {
            return fresh;
        };
        Hello { store, incarnation, head, cursor, ..fresh }
    }

    /// The hello of a store that was never heard of.
    pub(super) fn other_hello(&self, random: &mut Random) -> Hello {
        Hello {
            version_min: VERSION_MIN,
            version_max: VERSION_MAX,
            store: StoreId(bytes(random)),
            incarnation: Incarnation { number: 1, nonce: Nonce(bytes(random)) },
            head: Position { number: 0, chain: sync_core::id::Chain(bytes(random)) },
            cursor: None,
            credit: CREDIT,
        }
    }

    /// Whether the node may be sent this document.
    pub(super) fn may_read(&self, key: &DocumentKey) -> bool {
        let is_assigned = key.kind != DocumentKind::Layer || self.layers.contains(&key.name);
        let is_own = key.owner.is_none_or(|owner| owner == self.node());
        is_own && is_assigned && key.kind != DocumentKind::Placement
    }
}

/// So many random bytes.
pub(super) fn bytes<const N: usize>(random: &mut Random) -> [u8; N] {
    let mut drawn = [0; N];
    for chunk in drawn.chunks_mut(8) {
        let more = random.next_u64().to_le_bytes();
        chunk.iter_mut().zip(more).for_each(|(to, from)| *to = from);
    }
    drawn
}
