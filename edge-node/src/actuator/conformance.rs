//! What every actuator must do: the tests of each call [`check`] with a bench of their own.

use serde_json::json;
use sync_core::env::{Instant, no_witness};

use super::{Action, Actuator, Applied, Cause, DesiredObject, Inventory, Sight, State};
use crate::reconcile::{Outcome, plan};

/// A target that a test can reach behind the actuator's back.
pub(crate) trait Bench {
    type Actuator: Actuator;

    /// Another actuator for the same target, as after a restart.
    fn actuator(&self) -> Self::Actuator;
    /// Changes what lies at a place by hand.
    fn alter(&self, place: &str);
    /// Takes away what lies at a place by hand.
    fn take_away(&self, place: &str);
    /// Lets the target do what it does by itself when told to drop objects.
    fn let_leave(&self);
    /// How long an object may be leaving.
    fn leaves_within(&self) -> Instant;
}

/// Checks an actuator against the contract of [`Actuator`]. `fresh` makes a bench with an empty target.
pub(crate) fn check<B: Bench>(fresh: impl Fn() -> B) {
    the_intent_is_pure_and_different_for_different_keys(&fresh());
    what_was_applied_is_seen_as_intended(&fresh());
    every_step_can_be_taken_twice(&fresh());
    drift_is_seen_and_undone(&fresh());
    what_is_removed_goes_in_the_end(&fresh());
    an_update_replaces_what_was_there(&fresh());
}

pub(crate) fn object(name: &str, value: u64) -> DesiredObject {
    let manifest = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "shop"}, "data": {"value": value},
    });
    DesiredObject::new(format!("/ConfigMap/shop/{name}"), manifest)
}

/// One whole pass, with the inventory kept in a variable.
pub(crate) fn pass(
    actuator: &mut impl Actuator,
    stored: &mut Inventory,
    desired: &[DesiredObject],
    now: Instant,
) -> Outcome {
    let seen = actuator.observe(stored, now).unwrap();
    let plan = plan(desired, stored, &seen, |object| actuator.intent(object)).unwrap();
    let recorded = plan
        .record(|wider| {
            *stored = wider.clone();
            Ok::<_, ()>(())
        })
        .unwrap();
    let outcome = recorded.apply(actuator, &no_witness());
    *stored = outcome.inventory.clone();
    outcome
}

fn causes(outcome: &Outcome) -> Vec<Option<Cause>> {
    outcome.done.iter().map(|done| done.cause).collect()
}

fn the_intent_is_pure_and_different_for_different_keys(bench: &impl Bench) {
    let actuator = bench.actuator();
    assert_eq!(actuator.intent(&object("a", 1)), bench.actuator().intent(&object("a", 1)));
    assert_eq!(actuator.intent(&object("a", 1)).place, actuator.intent(&object("a", 2)).place);
    assert_ne!(actuator.intent(&object("a", 1)).content, actuator.intent(&object("a", 2)).content);
    assert_ne!(actuator.intent(&object("a", 1)).place, actuator.intent(&object("b", 1)).place);
}

fn what_was_applied_is_seen_as_intended(bench: &impl Bench) {
    let (mut actuator, mut stored) = (bench.actuator(), Inventory::default());
    let desired = [object("a", 1), object("b", 1)];
    assert_eq!(causes(&pass(&mut actuator, &mut stored, &desired, Instant(0))), [Some(Cause::New); 2]);
    for actuator in [&mut actuator, &mut bench.actuator()] {
        let seen = actuator.observe(&stored, Instant(0)).unwrap();
        for object in &desired {
            let intent = actuator.intent(object);
            assert_eq!(seen.0.get(&intent.place), Some(&Sight::Present(intent.content)));
        }
        assert!(pass(actuator, &mut stored, &desired, Instant(0)).done.is_empty(), "nothing is left to do");
    }
}

fn every_step_can_be_taken_twice(bench: &impl Bench) {
    let (mut actuator, a) = (bench.actuator(), object("a", 1));
    let intent = actuator.intent(&a);
    let place = intent.place.clone();
    let put = Action::Put { object: &a, intent, cause: Cause::New };
    let remove = Action::Remove { key: a.key.clone(), place: place.clone() };
    let forget = Action::Forget { key: a.key.clone(), place: place.clone() };
    for step in [&put, &remove, &forget] {
        let first = actuator.apply(step).unwrap();
        actuator.flush().unwrap();
        assert_eq!(actuator.apply(step).unwrap(), first);
        actuator.flush().unwrap();
    }
    assert_eq!(actuator.observe(&Inventory::default(), Instant(0)).unwrap().0.get(&place), None);
    assert_eq!(actuator.apply(&forget).unwrap(), Applied::Gone, "there was nothing to forget");
}

fn drift_is_seen_and_undone(bench: &impl Bench) {
    let (mut actuator, mut stored) = (bench.actuator(), Inventory::default());
    let desired = [object("a", 1), object("b", 1)];
    let _ = pass(&mut actuator, &mut stored, &desired, Instant(0));
    let before = stored.clone();
    let place = actuator.intent(&desired[0]).place;
    bench.alter(&place);
    assert_eq!(causes(&pass(&mut actuator, &mut stored, &desired, Instant(1))), [Some(Cause::Repaired)]);
    bench.take_away(&place);
    assert_eq!(causes(&pass(&mut actuator, &mut stored, &desired, Instant(2))), [Some(Cause::Restored)]);
    assert!(pass(&mut actuator, &mut stored, &desired, Instant(3)).done.is_empty());
    assert_eq!(stored, before, "undoing drift changes nothing that is stored");
}

fn what_is_removed_goes_in_the_end(bench: &impl Bench) {
    let (mut actuator, mut stored) = (bench.actuator(), Inventory::default());
    let desired = [object("a", 1), object("b", 1)];
    let _ = pass(&mut actuator, &mut stored, &desired, Instant(0));
    let kept = &desired[1..];
    assert!(pass(&mut actuator, &mut stored, kept, Instant(0)).is_complete());
    assert!(stored.0.get(&desired[0].key).is_none_or(|entry| entry.state == State::Leaving));
    let _ = pass(&mut actuator, &mut stored, kept, Instant(0));
    bench.let_leave();
    let _ = pass(&mut actuator, &mut stored, kept, bench.leaves_within());
    assert_eq!(stored.0.keys().collect::<Vec<_>>(), [&desired[1].key]);
    let seen = actuator.observe(&stored, bench.leaves_within()).unwrap();
    assert_eq!(seen.0.keys().collect::<Vec<_>>(), [&actuator.intent(&desired[1]).place]);
}

fn an_update_replaces_what_was_there(bench: &impl Bench) {
    let (mut actuator, mut stored) = (bench.actuator(), Inventory::default());
    let _ = pass(&mut actuator, &mut stored, &[object("a", 1)], Instant(0));
    let outcome = pass(&mut actuator, &mut stored, &[object("a", 2)], Instant(0));
    assert_eq!(causes(&outcome), [Some(Cause::Changed)]);
    let intent = actuator.intent(&object("a", 2));
    let seen = actuator.observe(&stored, Instant(0)).unwrap();
    assert_eq!(seen.0.get(&intent.place), Some(&Sight::Present(intent.content)));
}
