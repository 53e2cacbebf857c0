//! Shrinking, with predicates that say what is needed to fail.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::plan::{Action, Name};
use crate::scenario::{Depth, LinkState, Scenario};

fn everything(seed: u64) -> Plan {
    Plan::expand(&Scenario::load("everything").unwrap(), seed, Depth::Stack).unwrap()
}

fn shrunk(plan: &Plan, tries: usize, fails: impl Fn(&Plan) -> bool) -> Shrunk {
    shrink(plan, Bounds { tries }, &mut |plan| fails(plan)).unwrap()
}

fn happens(plan: &Plan, name: &str) -> bool {
    plan.events.iter().any(|event| event.action.name() == name)
}

#[test]
fn what_does_not_fail_is_not_shrunk() {
    let error = shrink(&everything(1), Bounds::default(), &mut |_| false).unwrap_err();
    assert_eq!(error, ShrinkError::DoesNotFail);
}

#[test]
fn one_event_that_is_enough_is_all_that_stays() {
    let plan = everything(1);
    let fails = |plan: &Plan| happens(plan, "restore-backup");
    let small = shrunk(&plan, 1000, fails);
    assert!(small.minimal && fails(&small.plan), "{:?}", small.plan.size());
    assert!(happens(&plan, "crash") && plan.size().members > 6 && plan.size().link_changes > 100);
    let size = small.plan.size();
    assert_eq!((size.events, size.link_changes), (1, 0), "{:?}", small.plan.events);
    assert!(size.members <= 2, "{:?}", small.plan.nodes);
    assert!(small.plan.layers.is_empty() && small.plan.heal_at <= plan.heal_at);
}

#[test]
fn events_that_are_needed_together_stay_together() {
    // A crash of one node while another one's disk is full, and an edit after both.
    let plan = everything(3);
    let fails = |plan: &Plan| {
        let first = |name: &str| plan.events.iter().find(|event| event.action.name() == name);
        let (Some(crash), Some(full), Some(edit)) = (first("crash"), first("disk-full"), first("edit")) else {
            return false;
        };
        crash.on != full.on
            && plan.events.iter().any(|it| it.action.name() == "edit" && it.at > crash.at.min(full.at).min(edit.at))
    };
    assert!(fails(&plan));
    let small = shrunk(&plan, 2000, fails);
    assert!(small.minimal && fails(&small.plan));
    assert!(small.plan.size().events <= 4, "{:?}", small.plan.events);
}

#[test]
fn a_change_of_a_link_that_is_needed_stays() {
    let plan = everything(5);
    let long_cut = |plan: &Plan| {
        plan.links.iter().any(|link| {
            let mut pairs = link.changes.iter().zip(link.changes.iter().skip(1));
            pairs.any(|(down, up)| down.state == LinkState::Down && up.at - down.at > Duration::from_secs(600))
        })
    };
    assert!(long_cut(&plan));
    let small = shrunk(&plan, 3000, long_cut);
    assert!(small.minimal && long_cut(&small.plan));
    let size = small.plan.size();
    assert!(size.events == 0 && size.link_changes <= 2 && size.members <= 2, "{size:?}");
}

#[test]
fn values_become_simple_unless_they_are_needed() {
    let plan = everything(7);
    let lossy = |plan: &Plan| plan.profiles.values().any(|link| link.loss.0 > 5_000);
    let small = shrunk(&plan, 2000, |plan| happens(plan, "power-loss") && lossy(plan));
    let kept: Vec<_> = small.plan.profiles.values().filter(|link| link.loss.0 > 0).collect();
    assert_eq!(kept.len(), 1, "{kept:?}");
    assert_eq!(kept[0].jitter.0, Duration::ZERO);
    let Some(Action::PowerLoss { down, .. }) =
        small.plan.events.iter().map(|it| &it.action).find(|it| **it != Action::Join)
    else {
        panic!("{:?}", small.plan.events)
    };
    assert!(*down < Duration::from_secs(300), "{down:?}");
}

#[test]
fn a_predicate_that_holds_for_one_node_keeps_that_node_as_it_was() {
    let plan = everything(9);
    let name = Name::from("edge-3");
    let before = plan.nodes.iter().find(|node| node.name == name).unwrap().clone();
    let small = shrunk(&plan, 2000, |plan| {
        plan.nodes.iter().any(|node| node.name == name && node.disk == before.disk && node.clock == before.clock)
    });
    assert_eq!(small.plan.nodes.len(), 1);
    assert_eq!((&small.plan.nodes[0].disk, small.plan.nodes[0].clock), (&before.disk, before.clock));
}

#[test]
fn tries_are_bounded_and_no_plan_is_asked_about_twice() {
    let plan = everything(11);
    for tries in [0, 1, 12] {
        let mut asked = Vec::new();
        let result = shrink(&plan, Bounds { tries }, &mut |plan| {
            assert!(!asked.contains(plan), "the same plan again");
            asked.push(plan.clone());
            happens(plan, "crash")
        });
        let small = result.unwrap();
        assert_eq!(small.tried.len(), asked.len() - 1);
        assert!(small.tried.len() <= tries && !small.minimal);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_found_fails_is_a_plan_and_is_found_again(seed in any::<u32>(), kind in 0..8_usize) {
        let plan = everything(seed.into());
        let name = ["crash", "power-loss", "pause", "restart", "clock-jump", "nat-rebind", "status", "edit"][kind];
        let fails = |plan: &Plan| plan.events.iter().filter(|event| event.action.name() == name).count() >= 2;
        prop_assume!(fails(&plan));
        let small = shrunk(&plan, 300, fails);
        prop_assert!(fails(&small.plan));
        prop_assert_eq!(&shrunk(&plan, 300, fails), &small);
        // It can be saved: its file expands to it.
        let text = small.plan.to_scenario().to_toml().unwrap();
        let read = Scenario::parse("small.toml", &text).map_err(|error| TestCaseError::fail(error.to_string()))?;
        prop_assert_eq!(Plan::expand(&read, small.plan.seed, small.plan.depth).unwrap(), small.plan);
    }
}
