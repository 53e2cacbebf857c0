//! What the peer at the other end of a link is known to hold, beside what it acknowledged: it is not sent (again).

use std::collections::BTreeMap;

use super::reconcile::Lacking;
use crate::document::Clock;
use crate::limits::PASSED_RANGES_MAX;
use crate::store::{DocumentRow, FeedEntry, LogSeq, PeerRow, StoreError, Tx};

/// See the module's page.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// The frontiers of each document that passed over this link, either way.
    passed: BTreeMap<DocumentRow, Passed>,
    /// What it said that it lacks, when it was asked.
    pub(super) lacking: Lacking,
    /// What a node said that it holds, by whichever way it came there.
    pub(super) believed: BTreeMap<DocumentRow, Clock>,
    /// What it made durable on the way to an entry counts no more: it gets its feed from the start.
    pub(super) is_from_start: bool,
}

/// What a peer showed that it holds.
#[derive(Debug)]
pub(super) struct Holds {
    pub(super) document: DocumentRow,
    pub(super) logs: Vec<LogSeq>,
    /// Of a layer, the changes below them.
    pub(super) clock: Option<Clock>,
}

/// Frontiers of one document.
#[derive(Debug, Default)]
struct Passed {
    /// Those that follow each other in the log, by the first: the last.
    ranges: BTreeMap<LogSeq, LogSeq>,
    /// Changes below them, where that is more than what is below the newest: a layer may be written on several lines.
    clock: Clock,
}

impl Passed {
    fn insert(&mut self, log: LogSeq) {
        if self.contains(log) {
            return;
        }
        let before = self.ranges.range(..log).next_back().map(|(first, last)| (*first, *last));
        let after = self.ranges.range(log..).next().map(|(first, last)| (*first, *last));
        let first = before.filter(|(_, last)| log.follows(*last)).map_or(log, |(first, _)| first);
        let last = match after.filter(|(first, _)| first.follows(log)) {
            Some((first, last)) => {
                self.ranges.remove(&first);
                last
            }
            None => log,
        };
        self.ranges.insert(first, last);
        if self.ranges.len() > PASSED_RANGES_MAX {
            self.ranges.pop_first();
        }
    }

    fn contains(&self, log: LogSeq) -> bool {
        self.ranges.range(..=log).next_back().is_some_and(|(_, last)| log <= *last)
    }
}

impl Known {
    /// Of a peer that gets its feed from the start, whatever it acknowledged.
    pub(super) fn of_nothing() -> Self {
        Self { is_from_start: true, ..Self::default() }
    }

    /// What passed, or what the peer showed.
    pub(super) fn holds(&mut self, holds: &Holds) {
        let passed = self.passed.entry(holds.document).or_default();
        holds.logs.iter().for_each(|log| passed.insert(*log));
        holds.clock.iter().for_each(|clock| passed.clock.join(clock));
    }

    /// Changes below what passed.
    pub(super) fn clock_passed(&self, document: DocumentRow) -> Option<&Clock> {
        self.passed.get(&document).map(|passed| &passed.clock)
    }

    pub(super) fn has_passed(&self, document: DocumentRow, log: LogSeq) -> bool {
        self.passed.get(&document).is_some_and(|passed| passed.contains(log))
    }

    /// The newest frontier of the document that passed.
    pub(super) fn newest_passed(&self, document: DocumentRow) -> Option<LogSeq> {
        self.passed.get(&document)?.ranges.last_key_value().map(|(_, last)| *last)
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
