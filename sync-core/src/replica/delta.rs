//! What brings a peer through one entry of its feed: the changes it lacks and the frontier above them, within the bounds of
//! one delta, in frames of bounded size.

use std::collections::BTreeSet;

use crate::document::genesis::genesis_actor;
use crate::document::{Clock, DocumentKey, UnverifiedFrontier, batch};
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
    let mut base = tx.feed_base(peer, entry)?;
    if let Some(passed) = passed.last() {
        base.join(&tx.log_row(*passed)?.clock);
    }
    for held in held {
        base.join(held);
    }
    // The genesis is computed on both sides.
    base.raise(genesis_actor(&document.key, document.generation), 1);
    let target = tx.log_row(target)?;
    let stop = stop(tx, &document, &base, &target)?.unwrap_or_else(|| target.clone());
    let entries = frames(tx, &document, &base, &stop)?;
    Ok(Step { entries, brings_to: Some(stop.seq), arrives: stop.seq == target.seq })
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
        if is_above_last && target.clock.includes(&row.clock) && !base.includes(&row.clock) {
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
        let (key, generation) = (document.key.clone(), document.generation);
        Ok(PushEntry::Delta(DeltaFrame { key, generation, changes, frontier }))
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
