//! Every scenario that comes with the simulator converges at depth 1, with few nodes and no longer than it is by itself.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use simulator::machines::{Options, nobody, run};
use simulator::plan::Plan;
use simulator::scenario::{Depth, Scenario, shipped};

const NODES_MAX: u32 = 6;

fn converges(name: &str) {
    let mut scenario = Scenario::load(name).unwrap();
    assert!(scenario.depths().contains(&Depth::Machines), "{name} has no depth 1");
    if let Some(limit) = scenario.depth.get_mut(&Depth::Machines) {
        limit.nodes = Some(limit.nodes.unwrap_or(NODES_MAX).min(NODES_MAX));
        limit.duration = None;
    }
    let plan = Plan::expand(&scenario, scenario.seed, Depth::Machines).unwrap();
    let outcome = run(&plan, &mut Options { threads: 1, eyes: &mut nobody }, |_| {}).unwrap();
    assert_eq!((outcome.broken, outcome.disagreement), (Vec::new(), None));
    assert!(outcome.agreed_after.is_some());
    // Something took effect of whatever has a place.
    for (kind, tally) in &outcome.events {
        let is_left_out = outcome.left_out.contains_key(kind);
        assert!(is_left_out || tally.planned < 5 || tally.reached > 0, "{kind}: {tally:?}");
    }
}

macro_rules! scenarios {
    ($($test:ident $name:literal),+ $(,)?) => {
        const TESTED: &[&str] = &[$($name),+];
        $(#[test] fn $test() { converges($name); })+
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
