//! Documents that were loaded for one change and are kept for the next: a node that reports makes one change after the
//! other, and reading a document again from its changes takes longer than all the rest.
//!
//! What is kept is a copy of what the store holds, and only whoever changes the store changes it: it is taken out before,
//! and kept again when everything was written. A transaction works on [`Loads::lend`]; when it fails, all of that is dropped.
//! What a document's newest frontier names is compared as well, so a copy of another past is never used.

use std::collections::BTreeMap;

use automerge::{Automerge, ReadDoc};

use crate::document::Heads;
use crate::document::history::{ChangeMeta, History};
use crate::document::operations::Operations;
use crate::id::DocumentId;
use crate::limits::{LOADED_DOCUMENT_OPERATIONS_MAX, LOADED_DOCUMENTS_MAX, LOADED_OPERATIONS_MAX};

/// A document and what received changes are checked against.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) document: Automerge,
    /// `None` until something was received.
    pub(super) ground: Option<(History, Operations)>,
}

impl Loaded {
    /// A change was made here on top.
    pub(super) fn made(&mut self, meta: &ChangeMeta, chunk: &[u8]) {
        if let Some((history, operations)) = &mut self.ground {
            operations.add_stored(chunk);
            if history.push(meta.clone()).is_err() {
                self.ground = None;
            }
        }
    }

    /// What it takes of memory, in operations.
    fn weight(&self) -> u64 {
        let stats = self.document.stats();
        let clocks = self.ground.as_ref().map_or(0, |(history, _)| clocks_weight(history));
        stats.num_ops.saturating_add(stats.num_changes).saturating_add(clocks)
    }

    fn is_at(&self, heads: &Heads) -> bool {
        let mut own = self.document.get_heads();
        own.sort_unstable();
        own == heads.to_automerge()
    }
}

/// Entries of clocks that take as much memory as an operation.
const CLOCK_ENTRIES_AN_OPERATION: u64 = 12;

fn clocks_weight(history: &History) -> u64 {
    history.clock_entries() / CLOCK_ENTRIES_AN_OPERATION
}

/// Whether what received changes are checked against is small enough to be kept.
pub(super) fn may_keep((history, operations): &(History, Operations)) -> bool {
    (operations.count() as u64).saturating_add(clocks_weight(history)) <= LOADED_DOCUMENT_OPERATIONS_MAX
}

struct Kept {
    generation: u32,
    weight: u64,
    last_used: u64,
    loaded: Loaded,
}

/// See the module's page.
#[derive(Default)]
pub(super) struct Loads {
    /// How many documents were loaded from the store.
    pub(super) count: u64,
    kept: BTreeMap<DocumentId, Kept>,
    /// What is kept, by when it was used last: a hub has thousands, and looks for the oldest often.
    by_turn: BTreeMap<u64, DocumentId>,
    weight: u64,
    turn: u64,
}

impl std::fmt::Debug for Loads {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loads").field("count", &self.count).field("kept", &self.kept.len()).finish_non_exhaustive()
    }
}

impl Loads {
    /// Everything that is kept, for the time of one transaction.
    pub(super) fn lend(&mut self) -> Self {
        let count = self.count;
        let lent = std::mem::take(self);
        self.count = count;
        Self { count: 0, ..lent }
    }

    /// The transaction is durable.
    pub(super) fn take_back(&mut self, lent: Self) {
        let count = self.count + lent.count;
        *self = Self { count, ..lent };
    }

    /// Takes out the document of this generation, if it is kept and stands at these heads.
    pub(super) fn take(&mut self, document: DocumentId, generation: u32, heads: &Heads) -> Option<Loaded> {
        let kept = self.forget(document)?;
        (kept.generation == generation && kept.loaded.is_at(heads)).then_some(kept.loaded)
    }

    /// Keeps a document as the store holds it now, in place of those that were not used for the longest time.
    pub(super) fn keep(&mut self, document: DocumentId, generation: u32, loaded: Loaded) {
        self.forget(document);
        let weight = loaded.weight();
        if weight > LOADED_DOCUMENT_OPERATIONS_MAX {
            return;
        }
        while self.kept.len() >= LOADED_DOCUMENTS_MAX || self.weight + weight > LOADED_OPERATIONS_MAX {
            let Some(oldest) = self.by_turn.first_key_value().map(|(_, id)| *id) else { break };
            self.forget(oldest);
        }
        self.turn += 1;
        self.weight += weight;
        self.by_turn.insert(self.turn, document);
        self.kept.insert(document, Kept { generation, weight, last_used: self.turn, loaded });
    }

    /// Drops what is kept of a document.
    fn forget(&mut self, document: DocumentId) -> Option<Kept> {
        let kept = self.kept.remove(&document)?;
        self.weight -= kept.weight;
        self.by_turn.remove(&kept.last_used);
        Some(kept)
    }

    /// What was written of a document is undone.
    pub(super) fn undo(&mut self, document: DocumentId) {
        drop(self.forget(document));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::genesis::genesis;
    use crate::document::{ActorBytes, DocumentKey, materialise};
    use crate::id::{ChangeHash, NodeId};

    fn loaded(number: u64) -> (DocumentId, Heads, Loaded) {
        let mut node = [0; 32];
        node[..8].copy_from_slice(&number.to_be_bytes());
        let key = DocumentKey::observed(NodeId(node));
        let document = materialise::load(&[genesis(&key).bytes], None).unwrap();
        let heads = document.get_heads().iter().map(|hash| ChangeHash(hash.0)).collect();
        (key.id(), Heads::new(heads).unwrap(), Loaded { document, ground: None })
    }

    #[test]
    fn the_documents_used_last_are_kept_and_no_more_than_allowed() {
        let mut loads = Loads::default();
        let count = LOADED_DOCUMENTS_MAX as u64 + 3;
        for number in 0..count {
            let (id, _, loaded) = loaded(number);
            loads.keep(id, 0, loaded);
        }
        assert_eq!(loads.kept.len(), LOADED_DOCUMENTS_MAX);
        let (first, heads, _) = loaded(0);
        assert!(loads.take(first, 0, &heads).is_none());
        let (last, heads, _) = loaded(count - 1);
        assert!(loads.take(last, 0, &heads).is_some());
    }

    #[test]
    fn a_document_of_long_clocks_is_not_kept() {
        let actor = |number: u64| ActorBytes(u128::from(number).to_be_bytes());
        let hash = |number: u64| {
            let mut hash = [0; 32];
            hash[..8].copy_from_slice(&number.to_be_bytes());
            ChangeHash(hash)
        };
        let mut history = History::default();
        // One on top of the other without an operation, each by another actor: 1 + 2 + 3... entries.
        let changes = (2 * CLOCK_ENTRIES_AN_OPERATION * (LOADED_DOCUMENT_OPERATIONS_MAX + 1)).isqrt() + 1;
        for number in 0..changes {
            let deps = number.checked_sub(1).map(hash).into_iter().collect();
            let meta = ChangeMeta { hash: hash(number), actor: actor(number), seq: 1, start_op: 1, max_op: 0, deps };
            history.push(meta).unwrap();
        }
        let ground = (history, Operations::default());
        assert!(!may_keep(&ground));
        let (id, heads, loaded) = loaded(1);
        let mut loads = Loads::default();
        loads.keep(id, 0, Loaded { ground: Some(ground), ..loaded });
        assert!(loads.take(id, 0, &heads).is_none());
    }

    #[test]
    fn a_document_of_another_generation_or_at_other_heads_is_dropped() {
        let (id, heads, _) = loaded(1);
        let (_, other, _) = loaded(2);
        for (generation, heads) in [(1, &heads), (0, &other)] {
            let mut loads = Loads::default();
            loads.keep(id, 0, loaded(1).2);
            assert!(loads.take(id, generation, heads).is_none());
            assert!(loads.kept.is_empty() && loads.by_turn.is_empty() && loads.weight == 0);
        }
    }

    #[test]
    fn what_a_failed_transaction_was_lent_is_gone_and_counts_stay() {
        let mut loads = Loads { count: 7, ..Loads::default() };
        let (id, heads, kept) = loaded(1);
        loads.keep(id, 0, kept);
        drop(loads.lend());
        assert!(loads.take(id, 0, &heads).is_none());
        assert_eq!(loads.count, 7);
        let lent = Loads { count: 2, ..loads.lend() };
        loads.take_back(lent);
        assert_eq!(loads.count, 9);
    }
}
