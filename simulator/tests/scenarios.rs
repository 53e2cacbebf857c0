//! Every scenario that comes with the simulator runs on the real stack: nothing breaks, and all agree after the healing.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::time::Duration;

use simulator::broke::Broke;
use simulator::plan::Plan;
use simulator::scenario::{Check, Depth, Scenario, Span, shipped};

/// What is longer than this costs minutes and shows little more. The year offline has its first edit on the second day.
const DURATION_MAX: Duration = Duration::from_secs(3 * 24 * 3600);

/// Checks that hang on what a scenario does: there they must have judged something.
const JUDGED: [(&str, Check); 5] = [
    ("everything", Check::MissingDeletesNothing),
    ("power-loss", Check::MissingDeletesNothing),
    ("truck-in-tunnels", Check::MissingDeletesNothing),
    ("two-hubs-split", Check::MissingDeletesNothing),
    ("wrong-clocks", Check::NoWallClock),
];

/// At its own seed, and at no more than three days of virtual time.
fn holds(name: &str) {
    let mut scenario = Scenario::load(name).unwrap();
    if !scenario.depths().contains(&Depth::Stack) {
        panic!("{name} has no depth 2");
    }
    let mut limit = scenario.limit(Depth::Stack);
    let duration = limit.duration.unwrap_or(scenario.duration).0;
    limit.duration = Some(Span(duration.min(DURATION_MAX)));
    scenario.depth.insert(Depth::Stack, limit);
    let plan = Plan::expand(&scenario, scenario.seed, Depth::Stack).unwrap();
    let asked: Vec<Check> = JUDGED.iter().filter(|(of, _)| *of == name).map(|(_, check)| *check).collect();
    let (broke, verdicts) = Broke::judged(&plan, asked.contains(&Check::NoWallClock)).unwrap();
    assert_eq!(broke, None, "{name}");
    for check in asked {
        let judged = verdicts.iter().find(|(of, _, _)| *of == check).map_or(0, |(_, judged, _)| *judged);
        assert!(judged > 0, "{name} gave no verdict on {}", check.name());
    }
}

macro_rules! scenarios {
    ($($test:ident $name:literal),+ $(,)?) => {
        const TESTED: &[&str] = &[$($name),+];
        $(#[test] fn $test() { holds($name); })+
    };
}

scenarios! {
    asymmetric_partition "asymmetric-partition",
    cloned_node "cloned-node",
    disk_full "disk-full",
    everything "everything",
    flapping_link "flapping-link",
    hostile_node "hostile-node",
    hub_restored_from_backup "hub-restored-from-backup",
    offshore_wind_farm "offshore-wind-farm",
    power_loss "power-loss",
    reconnect_herd "reconnect-herd",
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
