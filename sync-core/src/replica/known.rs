//! What the peer at the other end of a link is known to hold, beside what it acknowledged: it is not sent (again).

use std::collections::{BTreeMap, BTreeSet};

use super::reconcile::Lacking;
use crate::document::Clock;
use crate::limits::PASSED_FRONTIERS_MAX;
use crate::store::{DocumentRow, FeedEntry, LogSeq, PeerRow, StoreError, Tx};

/// See the module's page.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// The newest frontiers of each document that passed over this link, either way.
    passed: BTreeMap<DocumentRow, BTreeSet<LogSeq>>,
    /// What it said that it lacks, when it was asked.
    pub(super) lacking: Lacking,
    /// What a node said that it holds, by whichever way it came there.
    pub(super) believed: BTreeMap<DocumentRow, Clock>,
    /// What it made durable on the way to an entry counts no more: it gets its feed from the start.
    pub(super) is_from_start: bool,
}

impl Known {
    /// Of a peer that gets its feed from the start, whatever it acknowledged.
    pub(super) fn of_nothing() -> Self {
        Self { is_from_start: true, ..Self::default() }
    }

    /// A frontier passed over the link.
    pub(super) fn passed(&mut self, document: DocumentRow, log: LogSeq) {
        let frontiers = self.passed.entry(document).or_default();
        frontiers.insert(log);
        if frontiers.len() > PASSED_FRONTIERS_MAX {
            frontiers.pop_first();
        }
    }

    pub(super) fn has_passed(&self, document: DocumentRow, log: LogSeq) -> bool {
        self.passed.get(&document).is_some_and(|frontiers| frontiers.contains(&log))
    }

    /// The newest frontier of the document that passed.
    pub(super) fn newest_passed(&self, document: DocumentRow) -> Option<LogSeq> {
        self.passed.get(&document)?.last().copied()
    }

    /// Changes that it holds by its own word.
    pub(super) fn held(&self, document: DocumentRow) -> impl Iterator<Item = &Clock> {
        self.lacking.held(document).into_iter().chain(self.believed.get(&document))
    }

    /// The next entry of its feed that it lacks.
    pub(super) fn next(&self, tx: &Tx<'_>, peer: &PeerRow, after: u64) -> Result<Option<FeedEntry>, StoreError> {
        self.lacking.next(tx, peer, after)
    }

    /// The older frontier on the way to the entry that it made durable.
    pub(super) fn reached(&self, tx: &Tx<'_>, peer: &PeerRow, entry: &FeedEntry) -> Result<Option<LogSeq>, StoreError> {
        if self.is_from_start { Ok(None) } else { tx.feed_reached(peer, entry) }
    }

    /// What was known of the document was wrong.
    pub(super) fn forget(&mut self, document: DocumentRow) {
        self.passed.remove(&document);
        self.lacking.forget(document);
        self.believed.remove(&document);
    }

    /// Its feed starts over.
    pub(super) fn forget_passed(&mut self) {
        self.passed.clear();
    }
}
