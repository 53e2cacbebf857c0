//! The ten invariants of the design, and that all agree in the end, as checks that watch a run. One file each.
//!
//! A check is a value. It is shown what happens ([`crate::trace::Entry`]) and what stores say ([`Held`]), in the order in which that
//! was so, and says in one sentence what is broken. Where it cannot judge, because a fault has taken away what it compares,
//! it counts that ([`Found::unjudged`]): a check that never judged has shown nothing.

use std::collections::BTreeMap;
use std::fmt;

use sync_core::state::ObjectHash;

use crate::holding::Holding;
use crate::scenario::Check;
use crate::trace::{Entry, Member};

mod acknowledged;
mod alone;
mod bounded;
mod causal;
pub mod clocks;
mod converges;
mod durable;
mod facts;
mod input;
mod missing;
mod signed;
mod states;
#[cfg(test)]
mod tests;

pub use converges::difference;
pub use facts::Facts;

/// What a member's store says, and its target at the same moment.
#[derive(Debug, Clone, Copy)]
pub struct Held<'a> {
    /// Whose.
    pub member: &'a Member,
    /// Virtual time, in microseconds.
    pub at: u64,
    /// What it holds.
    pub holding: &'a Holding,
    /// The objects of its target; `None` when that was not looked at.
    pub target: Option<&'a BTreeMap<String, ObjectHash>>,
}

/// What one check found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Found {
    /// Sentences that say what is broken.
    pub broken: Vec<String>,
    /// Verdicts.
    pub judged: u64,
    /// Verdicts that could not be given.
    pub unjudged: u64,
}

impl Found {
    fn judge(&mut self, holds: bool, sentence: impl FnOnce() -> String) {
        self.judged += 1;
        if !holds {
            self.broken.push(sentence());
        }
    }
}

/// A check as it watches.
trait Watch: fmt::Debug + Send {
    /// Something happened. The facts know of it.
    fn happened(&mut self, _facts: &Facts, _entry: &Entry, _found: &mut Found) {}

    /// A store was read. Everything that came before it has been shown.
    fn held(&mut self, _facts: &Facts, _held: &Held<'_>, _found: &mut Found) {}
}

/// A broken invariant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// Its number in the design; 0 for what is not one of them.
    pub invariant: u8,
    /// One sentence.
    pub sentence: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.invariant {
            0 => f.write_str(&self.sentence),
            number => write!(f, "invariant {number}: {}", self.sentence),
        }
    }
}

/// All checks of a run.
#[derive(Debug)]
pub struct Checks {
    facts: Facts,
    watches: Vec<(Check, Box<dyn Watch>, Found)>,
}

impl Checks {
    /// Those that `run` names; all of them when it names none.
    #[must_use]
    pub fn new(run: &[Check]) -> Self {
        let runs = |check: &Check| run.is_empty() || run.contains(check);
        let watches =
            Check::ALL.into_iter().filter(runs).filter_map(|check| Some((check, watch(check)?, Found::default())));
        Self { facts: Facts::default(), watches: watches.collect() }
    }

    /// What they know of the run.
    #[must_use]
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Whether no check looks at stores while the run goes on.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.watches.is_empty()
    }

    /// Something happened.
    pub fn happened(&mut self, entry: &Entry) {
        self.facts.happened(entry);
        for (_, watch, found) in &mut self.watches {
            watch.happened(&self.facts, entry, found);
        }
    }

    /// A store was read; everything that came before has been shown.
    pub fn held(&mut self, held: &Held<'_>) {
        self.facts.held(held);
        for (_, watch, found) in &mut self.watches {
            watch.held(&self.facts, held, found);
        }
    }

    /// A release may have been made at a hub that could not be read then.
    pub fn missed_a_release(&mut self) {
        self.facts.missed_a_release();
    }

    /// What was found broken since this was last asked.
    pub fn take_broken(&mut self) -> Vec<Broken> {
        let of = |(check, _, found): &mut (Check, Box<dyn Watch>, Found)| {
            let invariant = check.number();
            let sentences = std::mem::take(&mut found.broken);
            sentences.into_iter().map(move |sentence| Broken { invariant, sentence }).collect::<Vec<_>>()
        };
        self.watches.iter_mut().flat_map(of).collect()
    }

    /// By check, verdicts given and not given.
    pub fn verdicts(&self) -> impl Iterator<Item = (Check, u64, u64)> {
        self.watches.iter().map(|(check, _, found)| (*check, found.judged, found.unjudged))
    }
}

/// `None` for what is judged over the whole run: wall clocks by comparing two runs ([`clocks`]), agreement at its end
/// ([`difference`]).
fn watch(check: Check) -> Option<Box<dyn Watch>> {
    let watch: Box<dyn Watch> = match check {
        Check::AcknowledgedIsKept => Box::<acknowledged::Acknowledged>::default(),
        Check::DurableBeforeSent => Box::<durable::Durable>::default(),
        Check::SameChangesSameState => Box::<states::States>::default(),
        Check::SignedAndComplete => Box::<causal::Causal>::default(),
        Check::MissingDeletesNothing => Box::<missing::Missing>::default(),
        Check::WhoSigned => Box::<signed::Signed>::default(),
        Check::Bounded => Box::<bounded::Bounded>::default(),
        Check::NoInputBreaks => Box::<input::Input>::default(),
        Check::ComesBackAlone => Box::<alone::Alone>::default(),
        Check::NoWallClock | Check::Converges => return None,
    };
    Some(watch)
}
