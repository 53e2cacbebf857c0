//! What is known of a document's changes without loading it: who made them, in which order, on top of what.

#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        reason = "its input comes from a network or a disk"
    )
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::id::{ChangeHash, NodeId};
use crate::limits::ACTOR_BYTES;

/// An Automerge actor: the first 8 bytes of its author's node id, then 8 random ones (invariant 2).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ActorBytes(pub [u8; ACTOR_BYTES]);

impl ActorBytes {
    /// A fresh actor of `author`.
    #[must_use]
    pub fn mint(author: &NodeId, random: [u8; 8]) -> Self {
        let mut bytes = [0; ACTOR_BYTES];
        for (target, source) in bytes.iter_mut().zip(author.0.iter().take(8).chain(&random)) {
            *target = *source;
        }
        Self(bytes)
    }

    /// The actor that this one's author uses in the generation with this genesis: a number that was used in one generation
    /// says nothing in another.
    #[must_use]
    pub fn in_generation(&self, genesis: &ChangeHash) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("archipel 2026 generation actor");
        hasher.update(&self.0).update(&genesis.0);
        let mut actor = *self;
        hasher.finalize_xof().fill(&mut actor.0[8..]);
        actor
    }

    /// Whether an actor of `author` may look like this.
    #[must_use]
    pub fn belongs_to(&self, author: &NodeId) -> bool {
        self.0.iter().zip(&author.0).take(8).all(|(a, b)| a == b)
    }

    /// Reads an actor of exactly the right length.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

impl fmt::Debug for ActorBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// How many changes of each actor lie at or below a frontier. Exact, because admission takes each actor's changes
/// without gaps and each change names its actor's previous one as a dependency.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Clock(BTreeMap<ActorBytes, u64>);

/// How two clocks of one document stand to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Causality {
    /// Both hold the same changes.
    Equal,
    /// The first holds all changes of the second, and more.
    Newer,
    /// The second holds all changes of the first, and more.
    Older,
    /// Each holds changes that the other lacks.
    Concurrent,
}

impl Clock {
    /// How many changes of `actor` it holds.
    #[must_use]
    pub fn seq(&self, actor: &ActorBytes) -> u64 {
        self.0.get(actor).copied().unwrap_or(0)
    }

    /// Raises `actor` to at least `seq`.
    pub fn raise(&mut self, actor: ActorBytes, seq: u64) {
        let entry = self.0.entry(actor).or_insert(0);
        *entry = (*entry).max(seq);
    }

    /// Raises every actor to at least what `other` holds.
    pub fn join(&mut self, other: &Self) {
        for (actor, seq) in &other.0 {
            self.raise(*actor, *seq);
        }
    }

    /// Lowers every actor to at most what `other` holds.
    pub fn meet(&mut self, other: &Self) {
        self.0.retain(|actor, seq| {
            *seq = (*seq).min(other.seq(actor));
            *seq > 0
        });
    }

    /// Whether every change of `other` is in `self`.
    #[must_use]
    pub fn includes(&self, other: &Self) -> bool {
        other.0.iter().all(|(actor, seq)| self.seq(actor) >= *seq)
    }

    /// How many actors it names.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it holds nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How `self` stands to `other`.
    #[must_use]
    pub fn compare(&self, other: &Self) -> Causality {
        match (self.includes(other), other.includes(self)) {
            (true, true) => Causality::Equal,
            (true, false) => Causality::Newer,
            (false, true) => Causality::Older,
            (false, false) => Causality::Concurrent,
        }
    }

    /// Actors with the number of their changes, ascending by actor.
    pub fn iter(&self) -> impl Iterator<Item = (&ActorBytes, u64)> {
        self.0.iter().map(|(actor, seq)| (actor, *seq))
    }

    /// The stored form: actor (16) and seq (u64, big endian), repeated.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.iter().flat_map(|(actor, seq)| actor.0.into_iter().chain(seq.to_be_bytes())).collect()
    }

    /// Reads the stored form; `None` when it is damaged.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (chunks, rest) = bytes.as_chunks::<{ ACTOR_BYTES + 8 }>();
        if !rest.is_empty() {
            return None;
        }
        let entry = |chunk: &[u8; ACTOR_BYTES + 8]| {
            let (actor, seq) = chunk.split_at(ACTOR_BYTES);
            Some((ActorBytes::from_slice(actor)?, u64::from_be_bytes(seq.try_into().ok()?)))
        };
        chunks.iter().map(entry).collect::<Option<_>>().map(Self)
    }
}

/// One change as far as causality goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeMeta {
    /// Its hash.
    pub hash: ChangeHash,
    /// Who made it.
    pub actor: ActorBytes,
    /// The how-manieth of its actor, from 1.
    pub seq: u64,
    /// The counter of its first operation.
    pub start_op: u64,
    /// The counter of its last operation; `start_op - 1` when it has none.
    pub max_op: u64,
    /// The changes it was made on top of.
    pub deps: Vec<ChangeHash>,
}

impl ChangeMeta {
    /// The place of a change that Automerge read or wrote; `None` when its actor has another length than ours.
    #[must_use]
    pub fn of(change: &automerge::Change) -> Option<Self> {
        Some(Self {
            hash: ChangeHash(change.hash().0),
            actor: ActorBytes::from_slice(change.actor_id().to_bytes())?,
            seq: change.seq(),
            start_op: change.start_op().get(),
            max_op: change.max_op(),
            deps: change.deps().iter().map(|dep| ChangeHash(dep.0)).collect(),
        })
    }
}

/// The changes of one document, in a causal order, with the clock at each.
///
/// Memory is one [`ChangeMeta`] and one clock a change; generations bound the number of changes (decision D5).
#[derive(Debug, Clone, Default)]
pub struct History {
    by_hash: BTreeMap<ChangeHash, (ChangeMeta, Clock)>,
    by_actor: BTreeMap<ActorBytes, Vec<ChangeHash>>,
    clock_entries: u64,
}

impl History {
    /// Adds a change whose dependencies are all known and whose seq continues its actor's.
    ///
    /// # Errors
    /// [`Unconnected`] says what is missing; the history is as it was.
    pub fn push(&mut self, meta: ChangeMeta) -> Result<&Clock, Unconnected> {
        let made = self.by_actor.get(&meta.actor).map_or(0, Vec::len) as u64;
        let expected = made.saturating_add(1);
        if meta.seq != expected {
            return Err(Unconnected::Sequence { expected, found: meta.seq });
        }
        let mut clock = Clock::default();
        let mut highest = 0;
        for dep in &meta.deps {
            let (known, below) = self.by_hash.get(dep).ok_or(Unconnected::Dependency { missing: *dep })?;
            clock.join(below);
            highest = highest.max(known.max_op);
        }
        if clock.seq(&meta.actor) != made {
            return Err(Unconnected::OwnPrevious);
        }
        let expected = highest.saturating_add(1);
        if meta.start_op != expected {
            return Err(Unconnected::Counter { expected, found: meta.start_op });
        }
        clock.raise(meta.actor, meta.seq);
        self.clock_entries = self.clock_entries.saturating_add(clock.len() as u64);
        self.by_actor.entry(meta.actor).or_default().push(meta.hash);
        Ok(&self.by_hash.entry(meta.hash).or_insert((meta, clock)).1)
    }

    /// Whether the change is known.
    #[must_use]
    pub fn contains(&self, hash: &ChangeHash) -> bool {
        self.by_hash.contains_key(hash)
    }

    /// The clock at `heads`; `None` when one of them is not known.
    #[must_use]
    pub fn clock_at(&self, heads: &[ChangeHash]) -> Option<Clock> {
        let mut clock = Clock::default();
        for head in heads {
            clock.join(&self.by_hash.get(head)?.1);
        }
        Some(clock)
    }

    /// The change of `actor` that holds the operation `counter`, if it is known.
    #[must_use]
    pub fn change_with_operation(&self, actor: &ActorBytes, counter: u64) -> Option<&ChangeMeta> {
        let hashes = self.by_actor.get(actor)?;
        let meta = |hash: &ChangeHash| self.by_hash.get(hash).map(|(meta, _)| meta);
        let after = hashes.partition_point(|hash| meta(hash).is_some_and(|meta| meta.max_op < counter));
        hashes.get(after).and_then(meta).filter(|meta| meta.start_op <= counter)
    }

    /// The heads of the changes that `clock` holds, which must be closed: with a change it holds all that it builds on.
    #[must_use]
    pub fn heads_at(&self, clock: &Clock) -> Vec<ChangeHash> {
        let held = |(meta, _): &&(ChangeMeta, Clock)| meta.seq <= clock.seq(&meta.actor);
        let mut heads: BTreeSet<ChangeHash> = self.by_hash.values().filter(held).map(|(meta, _)| meta.hash).collect();
        for (meta, _) in self.by_hash.values().filter(held) {
            for dep in &meta.deps {
                heads.remove(dep);
            }
        }
        heads.into_iter().collect()
    }

    /// Whether some change was made beside another one: without that no field is in conflict.
    #[must_use]
    pub fn is_forked(&self) -> bool {
        let mut below = BTreeSet::new();
        let mut deps = self.by_hash.values().map(|(meta, _)| meta.deps.as_slice());
        // In one line each change stands on one other, and no two on the same; the first stands on none.
        !deps.all(|deps| matches!(deps, [] | [_]) && below.insert(deps))
    }

    /// The change of this hash, if it is known.
    #[must_use]
    pub fn meta(&self, hash: &ChangeHash) -> Option<&ChangeMeta> {
        self.by_hash.get(hash).map(|(meta, _)| meta)
    }

    /// The `seq`th change of `actor`, if it is known.
    #[must_use]
    pub fn change_of(&self, actor: &ActorBytes, seq: u64) -> Option<&ChangeMeta> {
        let place = usize::try_from(seq.checked_sub(1)?).ok()?;
        let hash = self.by_actor.get(actor)?.get(place)?;
        self.by_hash.get(hash).map(|(meta, _)| meta)
    }

    /// Every actor with a change.
    pub fn actors(&self) -> impl Iterator<Item = &ActorBytes> {
        self.by_actor.keys()
    }

    /// How many changes of `actor` are known.
    #[must_use]
    pub fn seq(&self, actor: &ActorBytes) -> u64 {
        self.by_actor.get(actor).map_or(0, Vec::len) as u64
    }

    /// How many changes are known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_hash.len()
    }

    /// Entries in the clocks of all changes together.
    #[must_use]
    pub fn clock_entries(&self) -> u64 {
        self.clock_entries
    }

    /// Whether no change is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_hash.is_empty()
    }
}

/// Why a change does not connect to a history. The change's author is to blame; the history is as it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unconnected {
    /// The actor's changes would have a gap or a repeat.
    #[error("change number {found} of its actor where number {expected} is due")]
    Sequence {
        /// The number that is due.
        expected: u64,
        /// The number it carries.
        found: u64,
    },
    /// A dependency is not known.
    #[error("depends on {missing}, which is not known here")]
    Dependency {
        /// The missing change.
        missing: ChangeHash,
    },
    /// The actor's previous change is not below it.
    #[error("does not build on its actor's previous change")]
    OwnPrevious,
    /// Its first operation does not follow the highest one below it.
    #[error("operations start at {found} where {expected} is due")]
    Counter {
        /// The counter that is due.
        expected: u64,
        /// The counter it carries.
        found: u64,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta(hash: u8, actor: u8, seq: u64, start_op: u64, max_op: u64, deps: &[u8]) -> ChangeMeta {
        ChangeMeta {
            hash: ChangeHash([hash; 32]),
            actor: ActorBytes([actor; 16]),
            seq,
            start_op,
            max_op,
            deps: deps.iter().map(|dep| ChangeHash([*dep; 32])).collect(),
        }
    }

    #[test]
    fn concurrent_changes_of_two_actors_are_told_from_ordered_ones() {
        let mut history = History::default();
        history.push(meta(1, 1, 1, 1, 3, &[])).unwrap();
        let a = history.push(meta(2, 1, 2, 4, 4, &[1])).unwrap().clone();
        assert!(!history.is_forked());
        let b = history.push(meta(3, 2, 1, 4, 6, &[1])).unwrap().clone();
        assert!(history.is_forked());
        let both = history.push(meta(4, 2, 2, 7, 7, &[2, 3])).unwrap().clone();
        assert!(history.is_forked(), "merged, and a field may still hold both values");
        assert_eq!(a.compare(&b), Causality::Concurrent);
        assert_eq!(both.compare(&a), Causality::Newer);
        assert_eq!(b.compare(&both), Causality::Older);
        assert_eq!(history.change_with_operation(&ActorBytes([2; 16]), 5).unwrap().seq, 1);
        assert_eq!(history.change_with_operation(&ActorBytes([2; 16]), 9), None);
    }

    #[test]
    fn gaps_unknown_dependencies_and_wrong_counters_do_not_connect() {
        let mut history = History::default();
        history.push(meta(1, 1, 1, 1, 3, &[])).unwrap();
        assert_eq!(
            history.push(meta(2, 1, 3, 4, 4, &[1])).unwrap_err(),
            Unconnected::Sequence { expected: 2, found: 3 }
        );
        assert!(matches!(history.push(meta(2, 1, 2, 4, 4, &[9])).unwrap_err(), Unconnected::Dependency { .. }));
        assert_eq!(history.push(meta(2, 1, 2, 1, 1, &[])).unwrap_err(), Unconnected::OwnPrevious);
        assert!(matches!(history.push(meta(2, 1, 2, 9, 9, &[1])).unwrap_err(), Unconnected::Counter { .. }));
        assert_eq!(history.len(), 1);
    }

    #[test]
    fn a_clock_survives_its_stored_form() {
        let mut clock = Clock::default();
        clock.raise(ActorBytes([1; 16]), 7);
        clock.raise(ActorBytes([2; 16]), u64::MAX);
        assert_eq!(Clock::from_bytes(&clock.to_bytes()), Some(clock));
        assert_eq!(Clock::from_bytes(&[0; 23]), None);
    }
}
