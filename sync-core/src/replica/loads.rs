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
use crate::limits::{LOADED_DOCUMENTS_MAX, LOADED_OPERATIONS_MAX};

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

    fn is_at(&self, heads: &Heads) -> bool {
        let mut own = self.document.get_heads();
        own.sort_unstable();
        own == heads.to_automerge()
    }
}

struct Kept {
    generation: u32,
    operations: u64,
    last_used: u64,
    loaded: Loaded,
}

/// See the module's page.
#[derive(Default)]
pub(super) struct Loads {
    /// How many documents were loaded from the store.
    pub(super) count: u64,
    kept: BTreeMap<DocumentId, Kept>,
    operations: u64,
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
        let operations = loaded.document.stats().num_ops;
        if operations > LOADED_OPERATIONS_MAX {
            return;
        }
        while self.kept.len() >= LOADED_DOCUMENTS_MAX || self.operations + operations > LOADED_OPERATIONS_MAX {
            let oldest = self.kept.iter().min_by_key(|(_, kept)| kept.last_used).map(|(id, _)| *id);
            let Some(oldest) = oldest else { break };
            self.forget(oldest);
        }
        self.turn += 1;
        self.operations += operations;
        self.kept.insert(document, Kept { generation, operations, last_used: self.turn, loaded });
    }

    /// Drops what is kept of a document.
    fn forget(&mut self, document: DocumentId) -> Option<Kept> {
        let kept = self.kept.remove(&document)?;
        self.operations -= kept.operations;
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
    use crate::document::{DocumentKey, materialise};
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
    fn a_document_of_another_generation_or_at_other_heads_is_dropped() {
        let (id, heads, _) = loaded(1);
        let (_, other, _) = loaded(2);
        for (generation, heads) in [(1, &heads), (0, &other)] {
            let mut loads = Loads::default();
            loads.keep(id, 0, loaded(1).2);
            assert!(loads.take(id, generation, heads).is_none());
            assert!(loads.kept.is_empty() && loads.operations == 0);
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
