//! Depths 1 and 2 agree on the same plans: within a tenth in payload bytes, within a fifth in how late releases are.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use simulator::bench::{Comparison, compare, off};
use simulator::scenario::Scenario;

const PAYLOAD_OFF_MAX: f64 = 0.10;
const LATE_OFF_MAX: f64 = 0.20;

fn agree(name: &str) {
    let Comparison { machines, stack } = compare(&Scenario::load(name).unwrap(), 1..=1).unwrap();
    assert!(machines.payload > 10_000.0 && machines.late > 0.0, "{name} says nothing: {machines:?}");
    assert!(off(machines.payload, stack.payload).abs() < PAYLOAD_OFF_MAX, "{name}: {machines:?} {stack:?}");
    assert!(off(machines.late, stack.late).abs() < LATE_OFF_MAX, "{name}: {machines:?} {stack:?}");
}

macro_rules! scenarios {
    ($($test:ident $name:literal),+ $(,)?) => {
        $(#[test] fn $test() { agree($name); })+
    };
}

scenarios! {
    asymmetric_partition "asymmetric-partition",
    cloned_node "cloned-node",
    hub_restored_from_backup "hub-restored-from-backup",
    reconnect_herd "reconnect-herd",
    truck_in_tunnels "truck-in-tunnels",
    wrong_clocks "wrong-clocks",
}
