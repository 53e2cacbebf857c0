//! The scenarios that come with the simulator, inside the binary.

macro_rules! shipped {
    ($($name:literal),+ $(,)?) => {
        &[$(($name, include_str!(concat!("../../scenarios/", $name, ".toml")))),+]
    };
}

/// Names and texts, sorted by name.
pub const ALL: &[(&str, &str)] = shipped![
    "asymmetric-partition",
    "busy-hubs",
    "cloned-node",
    "disk-full",
    "everything",
    "flapping-link",
    "hostile-node",
    "hub-restored-from-backup",
    "offshore-wind-farm",
    "power-loss",
    "reconnect-herd",
    "restless-node",
    "slow-metered-link",
    "truck-in-tunnels",
    "two-hubs-split",
    "wrong-clocks",
    "year-offline",
];

/// The text of a scenario that comes with the simulator.
#[must_use]
pub fn text(name: &str) -> Option<&'static str> {
    ALL.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
}
