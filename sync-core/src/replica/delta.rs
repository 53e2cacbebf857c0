//! What brings a peer through one entry of its feed: the changes it lacks and the frontier above them, within the bounds of
//! one delta, in frames of bounded size.

use std::collections::BTreeSet;

use crate::document::generation::{SignedRoot, UnverifiedRoot};
use crate::document::genesis::genesis_actor;
use crate::document::{ActorBytes, AuthorGroup, Clock, DocumentKey, UnverifiedFrontier, batch};
use crate::limits::{DELTA_BYTES_MAX, DELTA_CHANGES_MAX, DELTA_OPERATIONS_MAX, PART_BYTES_MAX};
use crate::store::{FeedEntry, LogRow, LogSeq, PeerRow, StoreError, StoredDocument, Tx, Weight};
use crate::wire::{DeltaFrame, PushEntry};

/// One step towards the end of a feed.
pub(super) struct Step {
    /// The content of its frames; none when the peer has everything.
    pub(super) entries: Vec<PushEntry>,
    /// The frontier that the peer holds then.
    pub(super) brings_to: Option<LogSeq>,
    /// Whether it goes all the way through the entry, or only to an older frontier of the document.
    pub(super) arrives: bool,
}

/// The next step through `entry`. The peer holds the frontiers `passed`, because they passed over this link, and by its own
/// word or by what it reported elsewhere the changes `held`.
pub(super) fn step<'a>(
    tx: &Tx<'_>,
    peer: &PeerRow,
    entry: &FeedEntry,
    passed: &BTreeSet<LogSeq>,
    held: impl Iterator<Item = &'a Clock>,
) -> Result<Step, StoreError> {
    let document = tx.document_by_row(entry.document)?;
    let Some(target) = tx.feed_target(peer, entry)? else {
        let entries = vec![PushEntry::Leave(document.key)];
        return Ok(Step { entries, brings_to: None, arrives: true });
    };
    if passed.contains(&target) {
        return Ok(Step { entries: Vec::new(), brings_to: Some(target), arrives: true });
    }
    let target = tx.log_row(target)?;
    if !target.held {
        // Its generation was dropped here: who needs it gets what replaced it, which is further down the feed.
        return Ok(Step { entries: Vec::new(), brings_to: None, arrives: true });
    }
    let mut known = tx.feed_base(peer, entry)?;
    let generation = Generation::of(tx, &document, &target)?;
    let mut base = Clock::default();
    if let Some((first, rest)) = known.split_first() {
        base = generation.held_at(first);
        rest.iter().for_each(|row| base.meet(&generation.held_at(row)));
    }
    if let Some(passed) = passed.last() {
        let passed = tx.log_row(*passed)?;
        base.join(&generation.held_at(&passed));
        known.push(passed);
    }
    if generation.root.is_none() {
        // The first genesis follows from the document's name.
        base.raise(generation.genesis, 1);
    }
    // No two generations share an actor, so what a peer holds of another one adds nothing.
    let mut is_behind = false;
    for held in held {
        is_behind |= !held.is_empty();
        base.join(held);
    }
    let stop = stop(tx, &document, &base, &target)?.unwrap_or_else(|| target.clone());
    let mut entries = frames(tx, &document, &base, &stop)?;
    if let Some(PushEntry::Delta(last)) = entries.last_mut() {
        last.roots = generation.roots_for(tx, &document, &known, is_behind)?;
    }
    Ok(Step { entries, brings_to: Some(stop.seq), arrives: stop.seq == target.seq })
}

/// The generation that a delta is of, and what peers know of it that stand elsewhere.
struct Generation {
    number: u32,
    genesis: ActorBytes,
    root: Option<SignedRoot>,
}

impl Generation {
    fn of(tx: &Tx<'_>, document: &StoredDocument, target: &LogRow) -> Result<Self, StoreError> {
        let number = target.frontier.frontier().generation;
        let root = tx.root(document.row, number)?;
        if root.is_none() && number > 0 {
            return Err(StoreError::Corrupt { place: "root" });
        }
        let cut = root.as_ref().map(|signed| &signed.root().cut);
        Ok(Self { number, genesis: genesis_actor(&document.key, number, cut), root })
    }

    /// The changes of this generation that a peer at `row` has: it computes the genesis where it holds all that was cut.
    fn held_at(&self, row: &LogRow) -> Clock {
        let at = row.frontier.frontier().generation;
        let mut clock = Clock::default();
        match &self.root {
            _ if at == self.number => clock = row.clock.clone(),
            Some(signed) if at + 1 == self.number && row.clock.includes(&signed.root().clock) => {
                clock.raise(self.genesis, 1);
            }
            _ => {}
        }
        clock
    }

    /// The records that a peer lacks which stands at one of `known`: this generation's, and for hubs, which may have written
    /// since, those on the way.
    fn roots_for(
        &self,
        tx: &Tx<'_>,
        document: &StoredDocument,
        known: &[LogRow],
        is_behind: bool,
    ) -> Result<Vec<UnverifiedRoot>, StoreError> {
        let at = known.iter().map(|row| row.frontier.frontier().generation).min();
        // By its own word it holds something, and it is not known of which generation.
        let at = if is_behind { Some(0) } else { at };
        let after = match at {
            Some(at) if at == self.number && known.iter().all(|row| row.frontier.frontier().generation == at) => {
                return Ok(Vec::new());
            }
            Some(at) if document.key.author_group() == AuthorGroup::Hubs => at.min(self.number.saturating_sub(1)),
            _ => self.number.saturating_sub(1),
        };
        Ok(tx.roots_between(document.row, after, self.number)?.iter().map(SignedRoot::to_claim).collect())
    }
}

fn fits(weight: Weight) -> bool {
    weight.changes <= DELTA_CHANGES_MAX as u64
        && weight.operations <= DELTA_OPERATIONS_MAX
        && weight.bytes <= DELTA_BYTES_MAX as u64
}

/// When all that lies between `base` and `target` does not fit one delta: the furthest older frontier for which it does, or
/// the next one. A frontier authenticates what is below it, so a long history travels from frontier to frontier.
fn stop(tx: &Tx<'_>, document: &StoredDocument, base: &Clock, target: &LogRow) -> Result<Option<LogRow>, StoreError> {
    if fits(tx.weight_between(document.row, base, &target.clock)?) {
        return Ok(None);
    }
    let mut way: Vec<LogRow> = Vec::new();
    for row in tx.log_of(document.row)? {
        let is_above_last = way.last().is_none_or(|last| row.clock.includes(&last.clock));
        let is_of_generation = row.frontier.frontier().generation == target.frontier.frontier().generation;
        if is_of_generation && is_above_last && target.clock.includes(&row.clock) && !base.includes(&row.clock) {
            way.push(row);
        }
    }
    let (mut fitting, mut end) = (0, way.len());
    while fitting < end {
        let middle = usize::midpoint(fitting, end);
        match way.get(middle) {
            Some(row) if fits(tx.weight_between(document.row, base, &row.clock)?) => fitting = middle + 1,
            _ => end = middle,
        }
    }
    let furthest = fitting.saturating_sub(1);
    Ok(way.into_iter().nth(furthest))
}

/// The changes between `base` and `target`, in as many frames as they need; the last carries the frontier.
fn frames(tx: &Tx<'_>, document: &StoredDocument, base: &Clock, target: &LogRow) -> Result<Vec<PushEntry>, StoreError> {
    let chunks = tx.chunks_between(document.row, base, &target.clock)?;
    let mut parts: Vec<Vec<&[u8]>> = vec![Vec::new()];
    let mut bytes = 0;
    for chunk in &chunks {
        if bytes + chunk.len() > PART_BYTES_MAX && bytes > 0 {
            parts.push(Vec::new());
            bytes = 0;
        }
        bytes += chunk.len();
        if let Some(part) = parts.last_mut() {
            part.push(chunk);
        }
    }
    let last = parts.len() - 1;
    let frame = |(number, part): (usize, Vec<&[u8]>)| {
        let changes = batch::pack(part).map_err(|_| StoreError::Corrupt { place: "a batch in memory" })?;
        let frontier = (number == last).then(|| claim(&document.key, target));
        let (key, generation) = (document.key.clone(), target.frontier.frontier().generation);
        Ok(PushEntry::Delta(DeltaFrame { key, generation, changes, frontier, roots: Vec::new() }))
    };
    parts.into_iter().enumerate().map(frame).collect()
}

fn claim(key: &DocumentKey, target: &LogRow) -> UnverifiedFrontier {
    debug_assert_eq!(key.id(), target.frontier.frontier().document);
    UnverifiedFrontier {
        frontier: target.frontier.frontier().clone(),
        author: target.frontier.author(),
        signature: *target.frontier.signature(),
        certificates: Vec::new(),
    }
}
