//! One pass of the agent: what is desired, what the target holds, what to do, and what to report.
//!
//! The steps alternate between the replica's thread (short, in the database) and the target (slow, on whatever disk it
//! has). Whoever drives them, the process or a simulator, calls [`begin`], [`Pass::look`], [`save_inventory`] when that asks for
//! it, [`Pass::carry_out`] and [`commit`].

use std::collections::BTreeMap;

use sync_core::document::DocumentKey;
use sync_core::env::Witness;
use sync_core::replica::{Now, Replica, WriteError};
use sync_core::state::desired::to_state;
use sync_core::state::observed::{AppliedStamp, Health, ObjectCondition, ObservedState};
use sync_core::store::StoreError;

#[cfg(feature = "mutants")]
use crate::{
    actuator::Action,
    run::{LINK, LinkRecord},
};
#[cfg(feature = "mutants")]
use sync_core::mutants::{Mutant, planted};

use crate::actuator::{Actuator, Cause, Inventory, Seen};
use crate::goal::{APPLIED, AppliedRelease, Goal, HeldBack, goal};
use crate::reconcile::{Outcome, Plan, plan};

/// Where the inventory is kept in the replica's local values.
const INVENTORY: &str = "edge.inventory";
/// Where the last report is kept, so that an unchanged one is not written again.
pub(crate) const OBSERVED: &str = "edge.observed";
/// Under which incarnation that was: what was reported since may have been lost with the past, so it is said again.
const INCARNATION: &str = "edge.incarnation";

/// A pass with everything it needs from the database.
///
/// It can be run again while the database stands as it was: then a target that looks as it did when nothing had to be done
/// needs no plan, and a result that was said needs no word.
#[derive(Debug)]
pub struct Pass {
    goal: Option<Goal>,
    awaited: Option<HeldBack>,
    inventory: Inventory,
    /// [`Replica::content_written`] when it was read.
    content_written: u64,
    /// What the target looked like when it was as it should be, and what there was to say of it but for its remarks.
    idle: Option<(Seen, PassResult)>,
    /// What the database says already.
    said: Option<PassResult>,
    /// The last report, and the incarnation under which it was made, once they were read.
    reported: Option<Reported>,
}

type Reported = (Option<ObservedState>, Option<u32>);

/// What a pass found and did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PassResult {
    /// What was put right that had been changed or removed by hand.
    pub repaired: Vec<String>,
    /// What was newly written or removed because a release said so.
    pub changed: usize,
    /// What failed, with the reason; the next pass tries again.
    pub failed: BTreeMap<String, String>,
    /// Why the target as a whole could not be looked at.
    pub target_error: Option<String>,
    /// The target holds the goal.
    pub is_complete: bool,
    /// Objects on their way out: look again soon.
    pub leaving: usize,
    /// Places that look like ours and that nothing names.
    pub foreign: Vec<String>,
    /// What the target says of objects, by key.
    pub remarks: BTreeMap<String, String>,
}

/// Reads what a pass needs.
///
/// # Errors
/// [`StoreError`]; nothing was done.
pub fn begin(replica: &mut Replica) -> Result<Pass, StoreError> {
    let (goal, awaited) = goal(replica)?;
    let inventory = replica.inspect(|tx| tx.local::<Inventory>(INVENTORY))?.unwrap_or_default();
    // Last, because reading may write down what is complete.
    let content_written = replica.content_written();
    Ok(Pass { goal, awaited, inventory, content_written, idle: None, said: None, reported: None })
}

/// What the last report says that the target holds.
///
/// # Errors
/// [`StoreError`].
pub fn reported(replica: &mut Replica) -> Result<Option<AppliedStamp>, StoreError> {
    Ok(replica.inspect(|tx| tx.local::<ObservedState>(OBSERVED))?.and_then(|report| report.applied))
}

/// Makes the inventory durable before the target is touched.
///
/// # Errors
/// [`StoreError`]; then the target must not be touched.
pub fn save_inventory(replica: &mut Replica, now: Now, inventory: &Inventory) -> Result<(), StoreError> {
    replica.edit(now, |edit| edit.tx().set_local(INVENTORY, inventory))
}

impl Pass {
    /// What the goal is called; `None` while nothing was ever assigned.
    #[must_use]
    pub fn stamp(&self) -> Option<&AppliedStamp> {
        self.goal.as_ref().map(|goal| &goal.stamp)
    }

    /// Whether [`begin`] would read the same again.
    #[must_use]
    pub fn is_current(&self, replica: &Replica) -> bool {
        self.content_written == replica.content_written()
    }

    /// Whether [`commit`] has nothing to write about this result, while the pass is current.
    #[must_use]
    pub fn has_said(&self, result: &PassResult) -> bool {
        self.said.as_ref() == Some(result)
    }

    /// Looks at the target. Nothing is changed.
    pub fn look(&mut self, actuator: &mut dyn Actuator, now: Now) -> Look {
        let Some(goal) = &self.goal else {
            #[cfg(feature = "mutants")]
            if planted(Mutant::UnassignedSweeps) {
                for place in
                    actuator.observe(&self.inventory, now.instant).map(|seen| seen.0).unwrap_or_default().into_keys()
                {
                    drop(actuator.apply(&Action::Remove { key: place.clone(), place }));
                }
                drop(actuator.flush());
            }
            return Look::Done(PassResult::default());
        };
        let seen = match actuator.observe(&self.inventory, now.instant) {
            Ok(seen) => seen,
            Err(error) => return Look::Done(PassResult::failed(&error)),
        };
        if let Some((_, result)) = self.idle.as_ref().filter(|(before, _)| *before == seen) {
            return Look::Done(PassResult { remarks: actuator.remarks(), ..result.clone() });
        }
        match plan(&goal.objects, &self.inventory, &seen, |object| actuator.intent(object)) {
            Ok(plan) if plan.is_idle() => {
                let result = PassResult { is_complete: true, ..PassResult::of(&plan) };
                self.idle = Some((seen, result.clone()));
                Look::Done(PassResult { remarks: actuator.remarks(), ..result })
            }
            Ok(plan) => Look::ToDo { wider: plan.wider().cloned(), seen },
            Err(error) => Look::Done(PassResult::failed(&error)),
        }
    }

    /// Does what has to be done about what was seen, once the wider inventory of [`Look::ToDo`] is durable.
    pub fn carry_out(
        &self,
        actuator: &mut dyn Actuator,
        seen: &Seen,
        saved: Result<(), StoreError>,
        witness: &Witness,
    ) -> (PassResult, Option<Inventory>) {
        let Some(goal) = &self.goal else { return (PassResult::default(), None) };
        let plan = match plan(&goal.objects, &self.inventory, seen, |object| actuator.intent(object)) {
            Ok(plan) => plan,
            Err(error) => return (PassResult::failed(&error), None),
        };
        let mut result = PassResult::of(&plan);
        let recorded = match plan.record(|_| saved) {
            Ok(recorded) => recorded,
            Err(error) => return (PassResult::failed(&error), None),
        };
        let outcome = recorded.apply(actuator, witness);
        result.take(&outcome);
        result.remarks = actuator.remarks();
        (result, Some(outcome.inventory))
    }
}

/// What a look at the target comes to.
#[derive(Debug)]
pub enum Look {
    /// There is nothing to do, or nothing that can be done.
    Done(PassResult),
    /// The target has to change.
    ToDo {
        /// To be made durable first; `None` when the stored one names everything already.
        wider: Option<Inventory>,
        /// What the target holds.
        seen: Seen,
    },
}

impl PassResult {
    fn failed(error: &dyn std::fmt::Display) -> Self {
        Self { target_error: Some(error.to_string()), ..Self::default() }
    }

    fn of(plan: &Plan<'_>) -> Self {
        Self { leaving: plan.leaving(), foreign: plan.foreign().to_vec(), ..Self::default() }
    }

    fn take(&mut self, outcome: &Outcome) {
        for done in &outcome.done {
            match done.cause {
                Some(Cause::Repaired | Cause::Restored) => self.repaired.push(done.key.clone()),
                _ => self.changed += 1,
            }
        }
        for failure in &outcome.failed {
            let key = failure.key.clone().unwrap_or_default();
            self.failed.insert(key, failure.error.to_string());
        }
        self.is_complete = outcome.is_complete();
    }

    /// Whether anything happened that a person may want to read about.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.repaired.is_empty() && self.changed == 0 && self.failed.is_empty() && self.target_error.is_none()
    }
}

/// Makes durable what the pass did, and the report about it, in one transaction. Writes nothing when nothing changed.
///
/// # Errors
/// [`WriteError`]; the next pass finds the target as it is and says the same again.
pub fn commit(
    replica: &mut Replica,
    now: Now,
    pass: &mut Pass,
    result: &PassResult,
    inventory: Option<&Inventory>,
) -> Result<(), WriteError> {
    let incarnation = replica.incarnation().number;
    let was_current = pass.is_current(replica);
    let (before, reported): Reported = match pass.reported.take().filter(|_| was_current) {
        Some(reported) => reported,
        None => replica.inspect(|tx| Ok::<_, StoreError>((tx.local(OBSERVED)?, tx.local(INCARNATION)?)))?,
    };
    let newly_applied = pass.goal.as_ref().filter(|goal| result.is_complete && !goal.is_applied);
    let observed = observe(now, pass, result, before.as_ref());
    let report = before.as_ref() != Some(&observed) || reported.unwrap_or(1) != incarnation;
    let stored = inventory.filter(|inventory| **inventory != pass.inventory);
    if stored.is_none() && newly_applied.is_none() && !report {
        pass.said = Some(result.clone());
        pass.reported = Some((before, reported));
        return Ok(());
    }
    let is_report_alone = stored.is_none() && newly_applied.is_none();
    let own = DocumentKey::observed(replica.identity().id());
    replica.edit(now, |edit| {
        if let Some(inventory) = stored {
            edit.tx().set_local(INVENTORY, inventory)?;
        }
        if let (Some(goal), Some(applied)) = (newly_applied, &observed.applied) {
            let objects = goal.objects.iter().map(|object| (object.key.clone(), object.manifest.clone())).collect();
            edit.tx().set_local(APPLIED, &AppliedRelease { stamp: applied.clone(), objects })?;
        }
        if report {
            edit.tx().set_local(OBSERVED, &observed)?;
            if reported != Some(incarnation) {
                edit.tx().set_local(INCARNATION, &incarnation)?;
            }
            #[cfg(feature = "mutants")]
            if planted(Mutant::ReportLostOffline)
                && !edit.tx().local::<LinkRecord>(LINK)?.is_some_and(|link| link.is_up)
            {
                return Ok(());
            }
            edit.report(&own, &to_state(&observed))?;
        }
        Ok::<_, WriteError>(())
    })?;
    if was_current && is_report_alone {
        // A report is nothing that a pass reads but here, so the pass stays current. What was repaired counts once.
        pass.content_written = replica.content_written();
        pass.said = Some(result.clone()).filter(|result| result.repaired.is_empty());
        pass.reported = Some((Some(observed), Some(incarnation)));
    }
    Ok(())
}

fn observe(now: Now, pass: &Pass, result: &PassResult, before: Option<&ObservedState>) -> ObservedState {
    let repairs = before.map_or(0, |before| before.repairs) + result.repaired.len() as u64;
    let mut observed = ObservedState { repairs, agent: env!("CARGO_PKG_VERSION").to_owned(), ..Default::default() };
    let Some(goal) = &pass.goal else {
        observed.health = Health::Progressing;
        observed.message = pass.awaited.as_ref().map(HeldBack::text).unwrap_or_default();
        return observed;
    };
    let stamp = |at| AppliedStamp { at, ..goal.stamp.clone() };
    observed.applied = match (goal.is_applied, result.is_complete) {
        // Keeps the time of the first time.
        (true, _) => Some(goal.stamp.clone()),
        (false, true) => Some(stamp(now.wall.0)),
        (false, false) => before.and_then(|before| before.applied.clone()),
    };
    observed.objects =
        goal.objects.iter().map(|object| (object.key.clone(), condition(object, result, before))).collect();
    let held_back = goal.held_back.as_ref();
    (observed.health, observed.message) = match (&result.target_error, result.failed.iter().next(), held_back) {
        (Some(error), _, _) => (Health::Degraded, error.clone()),
        (None, Some((key, error)), _) => (Health::Degraded, format!("{key}: {error}")),
        (None, None, Some(held @ HeldBack::Refused(_))) => (Health::Degraded, held.text()),
        (None, None, Some(held @ HeldBack::Waiting(_))) => (Health::Progressing, held.text()),
        (None, None, None) if !result.is_complete => (Health::Progressing, String::new()),
        (None, None, None) => (Health::Healthy, String::new()),
    };
    observed
}

fn condition(
    object: &crate::actuator::DesiredObject,
    result: &PassResult,
    before: Option<&ObservedState>,
) -> ObjectCondition {
    let error = result.failed.get(&object.key).or(result.target_error.as_ref());
    match error {
        None if result.is_complete => {
            let message = result.remarks.get(&object.key).cloned().unwrap_or_default();
            ObjectCondition { applied: Some(object.hash.to_string()), message }
        }
        // Not known to be there in this form: what was said of it last stands, with the error.
        _ => {
            let last = before.and_then(|before| before.objects.get(&object.key));
            ObjectCondition {
                applied: last.and_then(|last| last.applied.clone()),
                message: error.cloned().unwrap_or_default(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use sync_core::env::{Entropy, no_witness};
    use sync_core::id::Name;
    use sync_core::identity::{CertificateAuthority, Role, SigningKey};
    use sync_core::store::Store;

    use super::*;

    struct Zeros;

    impl Entropy for Zeros {
        fn fill(&mut self, target: &mut [u8]) {
            target.fill(0);
        }
    }

    fn replica() -> Replica {
        let authority = CertificateAuthority::create(&mut Zeros, Name::new("fleet").unwrap()).unwrap();
        let identity = authority.identity(&mut Zeros, SigningKey::from_seed([1; 32]), Role::Node).unwrap();
        let mut store = Store::open_in_memory().unwrap();
        Replica::init(&mut store, &identity, &mut Zeros).unwrap();
        Replica::open(store, &mut Zeros, no_witness()).unwrap()
    }

    #[test]
    fn a_pass_goes_on_after_its_own_report_and_not_after_anything_else_was_written() {
        let mut replica = replica();
        let mut pass = begin(&mut replica).unwrap();
        let quiet = PassResult::default();
        commit(&mut replica, Now::default(), &mut pass, &quiet, None).unwrap();
        assert!(pass.is_current(&replica) && pass.has_said(&quiet));
        let repaired = PassResult { repaired: vec!["apps/Deployment/shop/web".to_owned()], ..PassResult::default() };
        for times in 1..=3 {
            commit(&mut replica, Now::default(), &mut pass, &repaired, None).unwrap();
            assert!(pass.is_current(&replica) && !pass.has_said(&repaired));
            let report = replica.inspect(|tx| tx.local::<ObservedState>(OBSERVED)).unwrap().unwrap();
            assert_eq!(report.repairs, times);
        }
        let link = |replica: &mut Replica| replica.edit(Now::default(), |edit| edit.tx().set_local("edge.link", &1));
        link(&mut replica).unwrap();
        assert!(!pass.is_current(&replica));
    }
}
