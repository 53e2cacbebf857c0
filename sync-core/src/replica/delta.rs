//! What brings a peer through one entry of its feed: the changes it lacks and the frontier above them, within the bounds of
//! one delta.

use super::known::{Holds, Known};
use crate::document::codec::{self, Base, Codec, Packed};
use crate::document::generation::{SignedRoot, UnverifiedRoot};
use crate::document::genesis::genesis_actor;
use crate::document::{ActorBytes, AuthorGroup, Clock, DocumentKey, DocumentKind, PackedFrontiers, UnverifiedFrontier};
use crate::id::ChangeHash;
use crate::identity::Role;
use crate::limits::{
    DELTA_BYTES_MAX, DELTA_CHANGES_MAX, DELTA_OPERATIONS_MAX, FRONTIER_ROOM, FRONTIERS_CHANGE_BYTES_MAX, FRONTIERS_MAX,
    PASSED_BY_MAX, ROOTS_BYTES_MAX,
};
#[cfg(feature = "mutants")]
use crate::mutants::{Mutant, planted};
use crate::part::Part;
use crate::position::Position;
use crate::store::{FeedEntry, LogRow, LogSeq, PeerRow, StoreError, StoredDocument, Tx, Weight};
use crate::wire::{DeltaFrame, PushEntry, Through};

/// What an entry of a feed asks for.
pub(super) enum Next {
    /// The document left the peer's scope.
    Leave(DocumentKey),
    /// Nothing: the peer holds where it leads.
    Held,
    /// Changes.
    Delta(Plan),
}

/// Which changes of a document are to travel. Packing them again gives the same bytes.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) document: StoredDocument,
    /// What the peer holds.
    pub(super) base: Clock,
    /// The frontiers that the peer holds then, at least one, in their order in the log. Several only when they are of a layer,
    /// below which each one counts.
    pub(super) frontiers: Vec<LogRow>,
    /// The changes below them.
    pub(super) upto: Clock,
    /// Whether the last is where the entry leads, or only an older frontier on the way.
    pub(super) arrives: bool,
    /// How much the changes are.
    pub(super) weight: Weight,
    /// The records of generations that the peer lacks.
    pub(super) roots: Vec<UnverifiedRoot>,
}

/// The next step through `entry` for a peer of which this is known.
pub(super) fn next(tx: &Tx<'_>, peer: &PeerRow, entry: &FeedEntry, known: &Known) -> Result<Next, StoreError> {
    let document = tx.document_by_row(entry.document)?;
    let Some(target) = tx.feed_target(peer, entry)? else { return Ok(Next::Leave(document.key)) };
    let Some(target) = lacked(tx, &document, target, known)? else { return Ok(Next::Held) };
    let generation = Generation::of(tx, &document, &target)?;
    let mut at = tx.feed_base(peer, entry)?;
    let mut base = Clock::default();
    if let Some((first, rest)) = at.split_first() {
        base = generation.held_at(first);
        rest.iter().for_each(|row| base.meet(&generation.held_at(row)));
    }
    for further in [known.reached(tx, peer, entry)?, known.newest_passed(document.row)].into_iter().flatten() {
        let further = tx.log_row(further)?;
        base.join(&generation.held_at(&further));
        at.push(further);
    }
    if generation.root.is_none() {
        // The first genesis follows from the document's name.
        base.raise(generation.genesis, 1);
    }
    // No two generations share an actor, so what a peer holds of another one adds nothing.
    known.clock_passed(document.row).into_iter().for_each(|clock| base.join(clock));
    let mut is_behind = false;
    for held in known.held(document.row) {
        is_behind |= !held.is_empty();
        base.join(held);
    }
    let stop = stop(tx, &document, &base, &target)?.unwrap_or_else(|| target.clone());
    let weight = tx.weight_between(document.row, &base, &stop.clock)?;
    let arrives = stop.seq == target.seq;
    let roots = generation.roots_for(tx, &document, &at, is_behind)?;
    let upto = stop.clock.clone();
    Ok(Next::Delta(Plan { document, base, frontiers: vec![stop], upto, arrives, weight, roots }))
}

/// The frontier, if the peer is not known to hold it and it is held here. When its generation was dropped here, who needs it
/// gets what replaced it, which is further down the feed.
fn lacked(tx: &Tx<'_>, document: &StoredDocument, target: LogSeq, known: &Known) -> Result<Option<LogRow>, StoreError> {
    if known.has_passed(document.row, target) {
        return Ok(None);
    }
    Ok(Some(tx.log_row(target)?).filter(|row| row.held))
}

/// Where a step leads that ends with `entry`: further, when the entries after it need no content. When what was sent is that
/// entry and nothing else, and its receiver knows the place `after` before it, the chain need not be said.
pub(super) fn through(
    tx: &Tx<'_>,
    peer: &PeerRow,
    after: u64,
    entry: &FeedEntry,
    is_known: bool,
    known: &Known,
) -> Result<Through, StoreError> {
    let last = pass_by(tx, peer, entry.clone(), known)?;
    if is_known && last.number == after + 1 {
        return Ok(Through::Next(last.number));
    }
    Ok(Through::Place(Position { number: last.number, chain: last.chain }))
}

/// The last of the entries from `entry` on of which the peer needs no content, `entry` being one. Looks at a bounded number.
fn pass_by(tx: &Tx<'_>, peer: &PeerRow, entry: FeedEntry, known: &Known) -> Result<FeedEntry, StoreError> {
    let mut last = entry;
    for _ in 0..PASSED_BY_MAX {
        let Some(next) = known.next(tx, peer, last.number)? else { break };
        let Some(target) = tx.feed_target(peer, &next)? else { break };
        if lacked(tx, &tx.document_by_row(next.document)?, target, known)?.is_some() {
            break;
        }
        last = next;
    }
    Ok(last)
}

/// Adds to `plan`, which leads to `entry`, the frontiers of the entries after it: a layer goes to a hub frontier by frontier, and those
/// that follow each other in the feed travel together, as far as they are small. The entry to which the plan leads then.
pub(super) fn gather(
    tx: &Tx<'_>,
    peer: &PeerRow,
    entry: FeedEntry,
    known: &Known,
    plan: &mut Plan,
    room: u64,
) -> Result<FeedEntry, StoreError> {
    let is_layer_for_hub = peer.role == Role::Hub && plan.document.key.kind == DocumentKind::Layer;
    let mut last = entry;
    if !is_layer_for_hub || !plan.arrives || plan.weight.bytes > FRONTIERS_CHANGE_BYTES_MAX {
        return Ok(last);
    }
    let generation = plan.generation();
    let most = usize::try_from(room / FRONTIER_ROOM).unwrap_or(usize::MAX).min(FRONTIERS_MAX);
    for _ in 0..PASSED_BY_MAX {
        if plan.frontiers.len() >= most {
            break;
        }
        let Some(next) = known.next(tx, peer, last.number)?.filter(|next| next.document == plan.document.row) else {
            break;
        };
        let Some(target) = next.log else { break };
        if let Some(row) = lacked(tx, &plan.document, target, known)? {
            let mut held = plan.base.clone();
            held.join(&plan.upto);
            let weight = plan.weight.and(tx.weight_between(plan.document.row, &held, &row.clock)?);
            let is_of_generation = row.frontier.frontier().generation == generation;
            if !is_of_generation || !fits(weight) || weight.bytes > FRONTIERS_CHANGE_BYTES_MAX {
                break;
            }
            plan.weight = weight;
            plan.upto.join(&row.clock);
            plan.frontiers.push(row);
        }
        last = next;
    }
    Ok(last)
}

/// Packs the changes of a plan.
pub(super) fn pack(tx: &Tx<'_>, plan: &Plan) -> Result<Packed, StoreError> {
    let chunks = tx.chunks_between(plan.document.row, &plan.base, &plan.upto)?;
    let chunks: Vec<&[u8]> = chunks.iter().map(Vec::as_slice).collect();
    #[cfg(feature = "mutants")]
    let chunks = match chunks.split_last() {
        Some((_, rest)) if rest.len() > 1 && planted(Mutant::RunDropped) => rest.to_vec(),
        _ => chunks,
    };
    let find = |hash: &ChangeHash| tx.change(plan.document.row, hash).ok().flatten();
    // It only fails when zstd cannot have its memory.
    codec::pack(&Base::new(&plan.base, &find), &chunks).map_err(|_| StoreError::Corrupt { place: "a batch in memory" })
}

impl Plan {
    /// A frame with all of the packed changes, or a part of them. The last has the frontiers.
    pub(super) fn frame(
        &self,
        tx: &Tx<'_>,
        codec: Codec,
        changes: Vec<u8>,
        part: Option<Part>,
        is_last: bool,
    ) -> Result<PushEntry, StoreError> {
        let (key, generation) = (self.document.key.clone(), self.generation());
        let mut frame = DeltaFrame {
            key,
            generation,
            codec,
            changes,
            frontier: None,
            earlier: PackedFrontiers::default(),
            roots: Vec::new(),
            part,
        };
        if let Some((last, earlier)) = self.frontiers.split_last().filter(|_| is_last) {
            frame.frontier = Some(claim(&self.document.key, last));
            frame.roots.clone_from(&self.roots);
            if !earlier.is_empty() {
                let batch = tx.hashes_between(self.document.row, &self.base, &self.upto)?;
                let earlier: Vec<_> = earlier.iter().map(|row| row.frontier.clone()).collect();
                frame.earlier = PackedFrontiers::pack(&earlier, last.frontier.author(), &batch);
            }
        }
        Ok(PushEntry::Delta(frame))
    }

    /// Their generation.
    fn generation(&self) -> u32 {
        self.frontiers.first().map_or(0, |row| row.frontier.frontier().generation)
    }

    /// Whether it is this entry and nothing else.
    pub(super) fn is_whole(&self, entry: &FeedEntry) -> bool {
        matches!(self.frontiers.as_slice(), [row] if entry.log == Some(row.seq))
    }

    /// Where in the log they are.
    pub(super) fn logs(&self) -> Vec<LogSeq> {
        self.frontiers.iter().map(|row| row.seq).collect()
    }

    /// Bytes that the frontiers before the last take in a frame, about.
    pub(super) fn earlier_bytes(&self) -> u64 {
        (self.frontiers.len() as u64).saturating_sub(1).saturating_mul(FRONTIER_ROOM / 2)
    }

    /// What the peer holds with it.
    pub(super) fn holds(&self) -> Holds {
        let is_layer = self.document.key.kind == DocumentKind::Layer;
        Holds { document: self.document.row, logs: self.logs(), clock: is_layer.then(|| self.upto.clone()) }
    }
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

    /// The generation in which a peer at `row` stands. One on a record of the same number that does not count stands before.
    fn place(&self, row: &LogRow) -> u32 {
        let at = row.frontier.frontier().generation;
        let is_other = at == self.number && self.root.is_some() && row.clock.seq(&self.genesis) == 0;
        if is_other { at.saturating_sub(1) } else { at }
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
        let at = known.iter().map(|row| self.place(row)).min();
        // By its own word it holds something, and it is not known of which generation.
        let at = if is_behind { Some(0) } else { at };
        let after = match at {
            Some(at) if at == self.number && known.iter().all(|row| self.place(row) == at) => {
                return Ok(Vec::new());
            }
            Some(at) if document.key.author_group() == AuthorGroup::Hubs => at.min(self.number.saturating_sub(1)),
            _ => self.number.saturating_sub(1),
        };
        let mut roots: Vec<_> =
            tx.roots_between(document.row, after, self.number)?.iter().map(SignedRoot::to_claim).collect();
        let mut bytes = 0;
        let fitting = roots.iter().rev().take_while(|claim| {
            bytes += claim.root.frame_bytes();
            bytes <= ROOTS_BYTES_MAX
        });
        let too_old = roots.len() - fitting.count().max(1).min(roots.len());
        Ok(roots.split_off(too_old))
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

fn claim(key: &DocumentKey, target: &LogRow) -> UnverifiedFrontier {
    debug_assert_eq!(key.id(), target.frontier.frontier().document);
    UnverifiedFrontier {
        frontier: target.frontier.frontier().clone(),
        author: target.frontier.author(),
        signature: *target.frontier.signature(),
        certificates: Vec::new(),
    }
}
