//! Plans and passes against an actuator that lives in memory.

use serde_json::json;

use super::*;
use crate::actuator::Digest;

fn object(kind: &str, name: &str, value: u64) -> DesiredObject {
    let manifest = json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": name}, "value": value});
    DesiredObject::new(format!("/{kind}//{name}"), manifest)
}

fn intent(object: &DesiredObject) -> Intent {
    Intent { place: object.key.to_lowercase(), content: object.hash }
}

fn entry(object: &DesiredObject, state: State) -> Entry {
    let Intent { place, content } = intent(object);
    Entry { place, stage: object.stage(), object: object.hash, content, state }
}

fn inventory(entries: &[(&DesiredObject, State)]) -> Inventory {
    Inventory(entries.iter().map(|(object, state)| (object.key.clone(), entry(object, *state))).collect())
}

fn seen(sights: &[(&DesiredObject, Sight)]) -> Seen {
    Seen(sights.iter().map(|(object, sight)| (intent(object).place, *sight)).collect())
}

fn present(object: &DesiredObject) -> Sight {
    Sight::Present(object.hash)
}

/// The steps in words.
fn steps(plan: &Plan<'_>) -> Vec<String> {
    let word = |action: &Action<'_>| match action {
        Action::Put { object, cause, .. } => format!("{cause:?} {}", object.key),
        Action::Remove { key, .. } => format!("Remove {key}"),
        Action::Forget { key, .. } => format!("Forget {key}"),
    };
    plan.actions().map(word).collect()
}

#[test]
fn puts_go_by_rising_stage_and_removals_by_falling_stage() {
    let (old_space, old_pod) = (object("Namespace", "old", 1), object("Pod", "old", 1));
    let desired = [object("Pod", "b", 1), object("Pod", "a", 1), object("Secret", "s", 1), object("Namespace", "z", 1)];
    let stored = inventory(&[(&old_space, State::Held), (&old_pod, State::Held)]);
    let seen = seen(&[(&old_space, present(&old_space)), (&old_pod, present(&old_pod))]);
    let plan = plan(&desired, &stored, &seen, intent).unwrap();
    assert_eq!(
        steps(&plan),
        [
            "New /Namespace//z",
            "New /Secret//s",
            "New /Pod//a",
            "New /Pod//b",
            "Remove /Pod//old",
            "Remove /Namespace//old"
        ]
    );
}

#[test]
fn why_an_object_is_put_follows_from_what_is_stored_and_seen() {
    let (old, new, hand) = (object("Pod", "a", 1), object("Pod", "a", 2), Sight::Present(Digest::of(b"hand")));
    let begun = State::Changing { before: None };
    let changing = State::Changing { before: Some(old.hash) };
    type Stored<'a> = Option<(&'a DesiredObject, State)>;
    let table: [(Stored<'_>, Option<Sight>, &str); 18] = [
        (None, None, "New"),
        (None, Some(present(&old)), "Adopted"),
        (None, Some(Sight::Altered), "Adopted"),
        (None, Some(present(&new)), "nothing"),
        (Some((&new, State::Held)), Some(present(&new)), "nothing"),
        (Some((&new, State::Held)), Some(hand), "Repaired"),
        (Some((&new, State::Held)), Some(Sight::Altered), "Repaired"),
        (Some((&new, State::Held)), None, "Restored"),
        (Some((&old, State::Held)), Some(present(&old)), "Changed"),
        (Some((&old, State::Held)), Some(present(&new)), "nothing"),
        (Some((&old, State::Held)), Some(hand), "Repaired"),
        (Some((&new, begun)), None, "New"),
        (Some((&new, begun)), Some(present(&new)), "nothing"),
        (Some((&new, begun)), Some(Sight::Leaving), "New"),
        (Some((&new, changing)), Some(present(&old)), "Changed"),
        (Some((&new, changing)), None, "Restored"),
        (Some((&new, changing)), Some(hand), "Repaired"),
        (Some((&new, State::Leaving)), Some(Sight::Left), "New"),
    ];
    for (stored, sight, expected) in table {
        let inventory = stored.map(|stored| inventory(&[stored])).unwrap_or_default();
        let seen = sight.map(|sight| seen(&[(&new, sight)])).unwrap_or_default();
        let desired = [new.clone()];
        let first = plan(&desired, &inventory, &seen, intent).unwrap();
        let words: Vec<_> = steps(&first);
        let expected_words = if expected == "nothing" { vec![] } else { vec![format!("{expected} /Pod//a")] };
        assert_eq!(words, expected_words, "{stored:?} {sight:?}");

        let mut wider = inventory.clone();
        let _ = first
            .record(|saved| {
                wider = saved.clone();
                Ok::<_, ()>(())
            })
            .unwrap();
        let again = plan(&desired, &wider, &seen, intent).unwrap();
        if expected != "Adopted" {
            assert_eq!(steps(&again), expected_words, "a crash before the write does not change the reason");
        }
        assert!(again.is_idle() || expected != "nothing", "what needs no step is settled once recorded");
    }
}

#[test]
fn what_is_not_desired_is_removed_step_by_step() {
    let a = object("Pod", "a", 1);
    let table = [
        (State::Held, Some(present(&a)), "Remove", true),
        (State::Held, Some(Sight::Altered), "Remove", true),
        (State::Held, None, "Remove", true),
        (State::Changing { before: None }, None, "Remove", true),
        (State::Held, Some(Sight::Leaving), "", true),
        (State::Leaving, Some(Sight::Leaving), "", true),
        (State::Leaving, Some(present(&a)), "Remove", true),
        (State::Leaving, Some(Sight::Left), "Forget", true),
        (State::Leaving, None, "", false),
    ];
    for (state, sight, step, kept) in table {
        let seen = sight.map(|sight| seen(&[(&a, sight)])).unwrap_or_default();
        let plan = plan(&[], &inventory(&[(&a, state)]), &seen, intent).unwrap();
        let expected = if step.is_empty() { vec![] } else { vec![format!("{step} /Pod//a")] };
        assert_eq!(steps(&plan), expected, "{state:?} {sight:?}");
        assert_eq!(plan.wider.0.contains_key(&a.key), kept, "the inventory stays wide until the step is taken");
        assert_eq!(plan.leaving(), usize::from(sight == Some(Sight::Leaving)));
    }
}

#[test]
fn what_the_inventory_does_not_name_is_never_removed() {
    let (a, lost) = (object("Pod", "a", 1), object("Pod", "lost", 1));
    let seen = seen(&[(&a, present(&a)), (&lost, present(&lost))]);
    for desired in [vec![], vec![a.clone()]] {
        let plan = plan(&desired, &Inventory::default(), &seen, intent).unwrap();
        assert!(steps(&plan).is_empty());
        assert!(plan.foreign().contains(&intent(&lost).place));
        assert_eq!(plan.wider.0.len(), desired.len(), "what is desired and there is adopted");
    }
}

#[test]
fn the_wider_inventory_is_the_union_and_is_saved_before_anything_is_applied() {
    let (old, new) = (object("Pod", "old", 1), object("Pod", "new", 1));
    let stored = inventory(&[(&old, State::Held)]);
    let desired = [new.clone()];
    let plan = plan(&desired, &stored, &seen(&[(&old, present(&old))]), intent).unwrap();
    let mut saved = Inventory::default();
    let _ = plan
        .record(|wider| {
            saved = wider.clone();
            Ok::<_, ()>(())
        })
        .unwrap();
    assert_eq!(saved.0.keys().collect::<Vec<_>>(), [&new.key, &old.key]);
}

#[test]
fn a_failed_record_leaves_nothing_to_apply() {
    let desired = [object("Pod", "a", 1)];
    let plan = plan(&desired, &Inventory::default(), &Seen::default(), intent).unwrap();
    assert_eq!(plan.record(|_| Err("disk full")).err(), Some("disk full"));
}

#[test]
fn a_recorded_place_is_kept_when_the_actuator_would_choose_another() {
    let a = object("Pod", "a", 1);
    let mut stored = inventory(&[(&a, State::Held)]);
    stored.0.get_mut(&a.key).unwrap().place = "elsewhere".to_owned();
    let plan = plan(std::slice::from_ref(&a), &stored, &Seen::default(), intent).unwrap();
    assert!(matches!(plan.actions().next(), Some(Action::Put { intent, .. }) if intent.place == "elsewhere"));
}

#[test]
fn contradictory_objects_are_refused() {
    let twice = [object("Pod", "a", 1), object("Pod", "a", 2)];
    let error = |desired: &[DesiredObject]| plan(desired, &Inventory::default(), &Seen::default(), intent).unwrap_err();
    assert!(matches!(error(&twice), PlanError::DuplicateKey { .. }));
    assert!(matches!(error(&[object("Pod", "a", 1), object("Pod", "A", 1)]), PlanError::PlaceTaken { .. }));
}
