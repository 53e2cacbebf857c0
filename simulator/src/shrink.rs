//! Makes a failing plan small: fewer nodes, events and changes of links, then simpler values, as long as it fails.
//!
//! Delta debugging (Zeller and Hildebrandt, "Simplifying and isolating failure-inducing input", 2002) over each kind of part
//! in turn, the largest parts first, until nothing more can go. What remains is as it was, because every draw of a plan hangs
//! on names. The predicate is everything that costs: it is asked at most as often as allowed, and never twice about one plan.

use std::collections::BTreeSet;

use crate::plan::Plan;

mod minimise;
pub mod on_runs;
mod parts;
mod simplify;

use minimise::minimise;
use parts::Part;

/// How far to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// How often the predicate may be asked.
    pub tries: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        // At a second for a run of depth 2 this is some minutes.
        Self { tries: 500 }
    }
}

/// What a plan was made to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shrunk {
    /// The smallest plan found that fails.
    pub plan: Plan,
    /// What was tried, in order.
    pub tried: Vec<Try>,
    /// Whether nothing more can go; otherwise the tries ran out.
    pub minimal: bool,
}

/// One question to the predicate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Try {
    /// What was different from the smallest plan so far.
    pub what: String,
    /// The size of the plan that was tried.
    pub size: Size,
    /// Whether it still failed, and was kept.
    pub failed: bool,
}

/// How large a plan is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Hubs and nodes.
    pub members: usize,
    /// Events but joins.
    pub events: usize,
    /// Changes of links but those that every link has.
    pub link_changes: usize,
}

/// Why there is nothing to make small.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ShrinkError {
    /// The plan does not fail, or does not always.
    #[error("the plan does not fail when it is run again: there is nothing to shrink")]
    DoesNotFail,
}

/// The search so far.
struct Search<'f> {
    fails: &'f mut dyn FnMut(&Plan) -> bool,
    smallest: Plan,
    tried: Vec<Try>,
    left: usize,
    /// Digests of plans that passed.
    passed: BTreeSet<[u8; 32]>,
}

impl Search<'_> {
    /// Asks about `plan`; keeps it if it fails. `false` also when it is known, or no try is left.
    fn try_plan(&mut self, what: impl FnOnce() -> String, mut plan: Plan) -> bool {
        plan.take_profiles_in_use();
        if self.left == 0 || plan == self.smallest {
            return false;
        }
        let digest = digest(&plan);
        if self.passed.contains(&digest) {
            return false;
        }
        self.left -= 1;
        let failed = (self.fails)(&plan);
        self.tried.push(Try { what: what(), size: plan.size(), failed });
        if failed {
            self.smallest = plan;
        } else {
            self.passed.insert(digest);
        }
        failed
    }
}

/// A plan's identity. The derived text names every field, so two plans with one text are one plan.
fn digest(plan: &Plan) -> [u8; 32] {
    use std::io::Write as _;
    let mut hasher = blake3::Hasher::new();
    // A hasher takes everything.
    let _ = write!(hasher, "{plan:?}");
    *hasher.finalize().as_bytes()
}

/// The smallest plan that can be found from `plan` for which `fails` says so too. The same arguments give the same result, if
/// `fails` gives the same answers.
///
/// # Errors
/// [`ShrinkError::DoesNotFail`] when `plan` itself does not fail.
pub fn shrink(plan: &Plan, bounds: Bounds, fails: &mut dyn FnMut(&Plan) -> bool) -> Result<Shrunk, ShrinkError> {
    if !fails(plan) {
        return Err(ShrinkError::DoesNotFail);
    }
    let mut search =
        Search { fails, smallest: plan.clone(), tried: Vec::new(), left: bounds.tries, passed: BTreeSet::new() };
    // What comes after the failure goes first: every run after this is shorter.
    simplify::shorten(&mut search);
    // What went in one round may make room for more in the next.
    let minimal = loop {
        let kept = search.tried.iter().filter(|it| it.failed).count();
        for part in Part::ALL {
            minimise(&mut search, part);
        }
        simplify::simplify(&mut search);
        if search.left == 0 {
            break false;
        }
        if search.tried.iter().filter(|it| it.failed).count() == kept {
            break true;
        }
    };
    Ok(Shrunk { plan: search.smallest, tried: search.tried, minimal })
}

impl Plan {
    /// How large the plan is.
    #[must_use]
    pub fn size(&self) -> Size {
        Size {
            members: self.hubs.len() + self.nodes.len(),
            events: self.events.len() - self.nodes.len().min(self.events.len()),
            link_changes: self.links.iter().map(|link| link.told().len()).sum(),
        }
    }
}

#[cfg(test)]
mod tests;
