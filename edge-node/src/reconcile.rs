//! Decides what to do: desired objects, inventory and what the target holds go in, an ordered plan comes out. Pure.
//!
//! # The protocol of one pass
//!
//! The target and the agent's database cannot change in one transaction, so a crash can fall between the two. The
//! inventory is therefore a write-ahead intent, as in Kubernetes' ApplySet (KEP-3659):
//!
//! 1. [`plan`] compares, and [`Plan::record`] makes the inventory *wider* durably: the union of what it named before
//!    and what is about to be written.
//! 2. [`Recorded::apply`] takes the steps. Only a recorded plan can be applied; the types leave no other way.
//! 3. The agent commits [`Outcome::inventory`], made *narrower* by what is gone, in the transaction that says what is
//!    applied.
//!
//! So whatever a crash leaves in the target is named by the inventory, and a newer release that does not want it
//! removes it. What the inventory does not name is never removed: after the loss of a database, objects that are
//! desired are adopted and the others are listed as foreign (invariant 5).
//!
//! ```
//! use edge_node::actuator::{Actuator, DesiredObject, Directory, Flavour, Inventory};
//! use edge_node::reconcile::plan;
//! use sync_core::env::{Instant, no_witness};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let scratch = tempfile::tempdir()?;
//! # let folder = scratch.path().join("target");
//! let mut stored = Inventory::default(); // from the database
//! let desired = [DesiredObject::new("/Namespace//shop", serde_json::json!({"apiVersion": "v1", "kind": "Namespace"}))];
//! let mut target = Directory::new(folder.clone(), Flavour::Plain);
//!
//! let seen = target.observe(&stored, Instant(0))?;
//! let plan = plan(&desired, &stored, &seen, |object| target.intent(object))?;
//! let recorded = plan.record(|wider| {
//!     stored = wider.clone(); // a transaction of its own
//!     Ok::<_, std::io::Error>(())
//! })?;
//! let outcome = recorded.apply(&mut target, &no_witness());
//! stored = outcome.inventory; // in the transaction that says what is applied
//! assert_eq!(std::fs::read_dir(folder)?.count(), 1);
//! # Ok(())
//! # }
//! ```

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

#[cfg(feature = "mutants")]
use sync_core::mutants::{Mutant, planted};

use crate::actuator::{Action, Cause, DesiredObject, Entry, Intent, Inventory, Seen, Sight, Stage, State};

mod pass;
#[cfg(test)]
mod tests;

pub use pass::{Done, Failure, Outcome, Recorded};

/// What to do, in a safe order. [`Plan::record`] is the next step.
#[derive(Debug)]
pub struct Plan<'a> {
    wider: Inventory,
    widens: bool,
    puts: Vec<Action<'a>>,
    removals: Vec<Action<'a>>,
    leaving: usize,
    foreign: Vec<String>,
}

impl<'a> Plan<'a> {
    /// The steps in their order: puts by rising stage, then removals by falling stage.
    pub fn actions(&self) -> impl Iterator<Item = &Action<'a>> {
        self.puts.iter().chain(&self.removals)
    }

    /// True when the target and the inventory are as they should be: the pass may end here, nothing is written.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        !self.widens && self.puts.is_empty() && self.removals.is_empty()
    }

    /// The inventory to make durable before the target is touched; `None` when the stored one names everything already.
    #[must_use]
    pub fn wider(&self) -> Option<&Inventory> {
        self.widens.then_some(&self.wider)
    }

    /// Objects that were asked to go and are not known to be gone: look again soon.
    #[must_use]
    pub fn leaving(&self) -> usize {
        self.leaving
    }

    /// Places that look like ours, but that neither the inventory nor the desired objects name. They are left alone.
    #[must_use]
    pub fn foreign(&self) -> &[String] {
        &self.foreign
    }

    /// Hands the wider inventory to `save`, which must return only once it is durable. Not called when the stored one
    /// names everything already, so repairing drift costs no write to the database.
    ///
    /// # Errors
    /// Whatever `save` says; the target was not touched.
    pub fn record<E>(self, save: impl FnOnce(&Inventory) -> Result<(), E>) -> Result<Recorded<'a>, E> {
        if self.widens {
            save(&self.wider)?;
        }
        Ok(Recorded::new(self.wider, self.puts, self.removals))
    }
}

/// Why no plan could be made. The fault of whoever composed the objects; nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// Two desired objects with one key.
    #[error("the object `{key}` is desired twice; composing must merge or refuse such a pair")]
    DuplicateKey {
        /// The key.
        key: String,
    },
    /// Two keys that the actuator would keep at one place. Their hashed names collide; by chance that is one in 2^32.
    #[error("`{first}` and `{second}` would share the place `{place}` in the target; rename one of the two objects")]
    PlaceTaken {
        /// The place.
        place: String,
        /// The key that holds it.
        first: String,
        /// The key that would get it as well.
        second: String,
    },
}

/// Compares what is desired with what the inventory names and the target holds.
///
/// `intent` is [`crate::actuator::Actuator::intent`]. It is asked only about objects that are new, changed or drifted.
///
/// # Errors
/// [`PlanError`]: the desired objects contradict each other.
pub fn plan<'a>(
    desired: &'a [DesiredObject],
    inventory: &Inventory,
    seen: &Seen,
    intent: impl Fn(&DesiredObject) -> Intent,
) -> Result<Plan<'a>, PlanError> {
    let mut wanted = BTreeSet::new();
    let mut wider = inventory.clone();
    let mut puts = Vec::new();
    for object in desired {
        if !wanted.insert(object.key.as_str()) {
            return Err(PlanError::DuplicateKey { key: object.key.clone() });
        }
        if let Some((entry, cause)) = decide(object, inventory.0.get(&object.key), seen, &intent) {
            if let Some(cause) = cause {
                let intent = Intent { place: entry.place.clone(), content: entry.content };
                puts.push((entry.stage, Action::Put { object, intent, cause }));
            }
            wider.0.insert(object.key.clone(), entry);
        }
    }

    let mut removals = Vec::new();
    let mut leaving = 0;
    for (key, entry) in inventory.0.iter().filter(|(key, _)| !wanted.contains(key.as_str())) {
        let (key, place) = (key.clone(), entry.place.clone());
        match seen.0.get(&place) {
            // A trace that was asked to go is gone. Otherwise somebody else took the file away, and whether its object
            // went with it only the actuator can say.
            None if entry.state == State::Leaving => drop(wider.0.remove(&key)),
            Some(Sight::Leaving) => {
                leaving += 1;
                wider.0.insert(key, Entry { state: State::Leaving, ..entry.clone() });
            }
            Some(Sight::Left) => removals.push((entry.stage, Action::Forget { key, place })),
            None | Some(Sight::Present(_) | Sight::Altered) => {
                removals.push((entry.stage, Action::Remove { key, place }));
            }
        }
    }

    let foreign = foreign(&wider, seen)?;
    #[cfg(feature = "mutants")]
    if planted(Mutant::ForeignIsRemoved) {
        let present = foreign.iter().filter(|place| matches!(seen.0.get(*place), Some(Sight::Present(_))));
        removals.extend(
            present.map(|place| (Stage::Workload, Action::Remove { key: place.clone(), place: place.clone() })),
        );
    }
    puts.sort_by(|(a, x), (b, y)| (a, x.key()).cmp(&(b, y.key())));
    removals.sort_by(|(a, x), (b, y)| (Reverse(a), x.key()).cmp(&(Reverse(b), y.key())));
    let strip = |actions: Vec<(Stage, Action<'a>)>| actions.into_iter().map(|(_, action)| action).collect();
    let widens = wider != *inventory;
    Ok(Plan { wider, widens, puts: strip(puts), removals: strip(removals), leaving, foreign })
}

/// The entry of a desired object, and why to put it; no cause when the target holds it already. `None`: all is well.
fn decide(
    object: &DesiredObject,
    entry: Option<&Entry>,
    seen: &Seen,
    intent: impl Fn(&DesiredObject) -> Intent,
) -> Option<(Entry, Option<Cause>)> {
    let settled = |entry: &Entry| {
        entry.state == State::Held
            && entry.object == object.hash
            && seen.0.get(&entry.place) == Some(&Sight::Present(entry.content))
    };
    #[cfg(feature = "mutants")]
    let settled = |entry: &Entry| {
        let overlooks = planted(Mutant::DriftOverlooked);
        settled(entry) || overlooks && entry.state == State::Held && entry.object == object.hash
    };
    if entry.is_some_and(settled) {
        return None;
    }
    let Intent { place, content } = intent(object);
    let place = entry.map_or(place, |entry| entry.place.clone());
    let sight = seen.0.get(&place).copied();
    let make = |state| Entry { place: place.clone(), stage: object.stage(), object: object.hash, content, state };
    if sight == Some(Sight::Present(content)) {
        return Some((make(State::Held), None));
    }
    let cause = cause(entry, sight);
    // Undoing drift puts back what the stored entry says already: nothing to record.
    if let Some(entry) = entry.filter(|entry| **entry == make(State::Held)) {
        return Some((entry.clone(), Some(cause)));
    }
    let before = match (cause, sight, entry) {
        (Cause::New, ..) => None,
        (Cause::Changed | Cause::Adopted, Some(Sight::Present(held)), _) => Some(held),
        (_, _, Some(Entry { state: State::Changing { before: Some(before) }, .. })) => Some(*before),
        (_, _, entry) => entry.map(|entry| entry.content),
    };
    Some((make(State::Changing { before }), Some(cause)))
}

fn cause(entry: Option<&Entry>, sight: Option<Sight>) -> Cause {
    let Some(entry) = entry else {
        return if sight.is_none() { Cause::New } else { Cause::Adopted };
    };
    match (entry.state, sight) {
        (State::Leaving, _) | (State::Changing { before: None }, None) => Cause::New,
        (_, None) => Cause::Restored,
        (_, Some(Sight::Present(held))) if entry.wrote(held) => Cause::Changed,
        // A crash fell between recording and writing of an object that was wanted again while it left.
        (State::Changing { .. }, Some(Sight::Leaving | Sight::Left)) => Cause::New,
        (_, Some(Sight::Present(_) | Sight::Altered | Sight::Leaving | Sight::Left)) => Cause::Repaired,
    }
}

/// The places that nobody names, after a check that nobody names one twice.
fn foreign(inventory: &Inventory, seen: &Seen) -> Result<Vec<String>, PlanError> {
    let mut owners = BTreeMap::new();
    for (key, entry) in &inventory.0 {
        if let Some(first) = owners.insert(entry.place.as_str(), key) {
            let (first, second) = (first.clone(), key.clone());
            return Err(PlanError::PlaceTaken { place: entry.place.clone(), first, second });
        }
    }
    Ok(seen.0.keys().filter(|place| !owners.contains_key(place.as_str())).cloned().collect())
}
