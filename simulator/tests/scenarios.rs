//! Every scenario that comes with the simulator, at depths 1 and 2: nothing breaks, and all agree after the healing.
//!
//! At its own seed. `DAYS` says after how many days of virtual time a scenario is healed at the latest, and `NODES` how many
//! nodes it has at most at depth 1.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::time::Duration;

use simulator::broke::Broke;
use simulator::machines::{Options, nobody, run};
use simulator::plan::Plan;
use simulator::scenario::{Check, Depth, Scenario, Span, shipped};

/// In a run that nobody asked for more. The year offline has its first edit on the second day.
const DAYS: u32 = 1;

/// Likewise.
const NODES: u32 = 6;

/// Checks that hang on what a scenario does: there they must have judged something.
const JUDGED: [(&str, Check); 5] = [
    ("everything", Check::MissingDeletesNothing),
    ("power-loss", Check::MissingDeletesNothing),
    ("truck-in-tunnels", Check::MissingDeletesNothing),
    ("two-hubs-split", Check::MissingDeletesNothing),
    ("wrong-clocks", Check::NoWallClock),
];

fn number(name: &str, default: u32) -> u32 {
    std::env::var(name).ok().map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text}: no number")))
}

/// The plan of a scenario within those bounds.
fn planned(name: &str, depth: Depth) -> Plan {
    let mut scenario = Scenario::load(name).unwrap();
    assert!(scenario.depths().contains(&depth), "{name} has no depth {}", depth.number());
    let mut limit = scenario.limit(depth);
    let duration = limit.duration.unwrap_or(scenario.duration).0;
    limit.duration = Some(Span(duration.min(Duration::from_secs(24 * 3600) * number("DAYS", DAYS))));
    if depth == Depth::Machines {
        let most = number("NODES", NODES);
        limit.nodes = Some(limit.nodes.map_or(most, |nodes| nodes.min(most)));
    }
    scenario.depth.insert(depth, limit);
    Plan::expand(&scenario, scenario.seed, depth).unwrap()
}

fn holds_on_machines(name: &str) {
    let plan = planned(name, Depth::Machines);
    let outcome = run(&plan, &mut Options { threads: 1, eyes: &mut nobody }, |_| {}).unwrap();
    assert_eq!((outcome.broken, outcome.disagreement), (Vec::new(), None));
    assert!(outcome.agreed_after.is_some());
    // Something took effect of whatever has a place.
    for (kind, tally) in &outcome.events {
        let is_left_out = outcome.left_out.contains_key(kind);
        assert!(is_left_out || tally.planned < 5 || tally.reached > 0, "{kind}: {tally:?}");
    }
}

fn holds_on_the_stack(name: &str) {
    let asked: Vec<Check> = JUDGED.iter().filter(|(of, _)| *of == name).map(|(_, check)| *check).collect();
    let (broke, verdicts) = Broke::judged(&planned(name, Depth::Stack), asked.contains(&Check::NoWallClock)).unwrap();
    assert_eq!(broke, None, "{name}");
    for check in asked {
        let judged = verdicts.iter().find(|(of, _, _)| *of == check).map_or(0, |(_, judged, _)| *judged);
        assert!(judged > 0, "{name} gave no verdict on {}", check.name());
    }
}

macro_rules! scenarios {
    ($($test:ident $name:literal),+ $(,)?) => {
        const TESTED: &[&str] = &[$($name),+];
        mod depth_1 { $(#[test] fn $test() { super::holds_on_machines($name); })+ }
        mod depth_2 { $(#[test] fn $test() { super::holds_on_the_stack($name); })+ }
    };
}

scenarios! {
    asymmetric_partition "asymmetric-partition",
    busy_hubs "busy-hubs",
    cloned_node "cloned-node",
    disk_full "disk-full",
    everything "everything",
    flapping_link "flapping-link",
    hostile_node "hostile-node",
    hub_restored_from_backup "hub-restored-from-backup",
    offshore_wind_farm "offshore-wind-farm",
    power_loss "power-loss",
    reconnect_herd "reconnect-herd",
    restless_node "restless-node",
    slow_metered_link "slow-metered-link",
    truck_in_tunnels "truck-in-tunnels",
    two_hubs_split "two-hubs-split",
    wrong_clocks "wrong-clocks",
    year_offline "year-offline",
}

#[test]
fn every_scenario_is_tested() {
    let shipped: Vec<&str> = shipped::ALL.iter().map(|(name, _)| *name).collect();
    assert_eq!(shipped, TESTED);
}
