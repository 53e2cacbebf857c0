//! What each kind of event happens to and which parameters it takes.

use super::Kind;

/// What a kind of event happens to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Targets {
    /// Nodes.
    Nodes,
    /// Hubs.
    Hubs,
    /// Nodes and hubs; nodes if nothing is named.
    Members,
    /// Links, named `node/hub` (or by one end, for all its links); those of nodes if nothing is named.
    Links,
    /// Links between hubs.
    HubLinks,
}

/// What can be said about a kind of event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spec {
    /// What it happens to.
    pub targets: Targets,
    /// Parameters that must be set.
    pub needs: &'static [&'static str],
    /// Parameters that may be set.
    pub takes: &'static [&'static str],
}

impl Targets {
    /// In words, with what is meant if nothing is named.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Nodes => "nodes",
            Self::Hubs => "hubs",
            Self::Members => "nodes; hubs if named",
            Self::Links => "links of nodes; of hubs if named",
            Self::HubLinks => "links between hubs",
        }
    }
}

impl Kind {
    /// Every kind: trouble with processes, disks, clocks and networks, hostile nodes, work.
    pub const ALL: [Self; 27] = [
        Self::Crash,
        Self::HubCrash,
        Self::Pause,
        Self::Restart,
        Self::PowerLoss,
        Self::DiskFull,
        Self::BitRot,
        Self::LyingFsync,
        Self::IoErrors,
        Self::RestoreBackup,
        Self::CloneDisk,
        Self::WipeStore,
        Self::Clock1970,
        Self::ClockJump,
        Self::ClockDrift,
        Self::AddressChange,
        Self::NatRebind,
        Self::Cut,
        Self::HubSplit,
        Self::Link,
        Self::Hostile,
        Self::Edit,
        Self::Release,
        Self::Status,
        Self::TargetEdit,
        Self::Override,
        Self::Revoke,
    ];

    /// The name in a scenario file.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Crash => "crash",
            Self::HubCrash => "hub-crash",
            Self::Pause => "pause",
            Self::Restart => "restart",
            Self::PowerLoss => "power-loss",
            Self::DiskFull => "disk-full",
            Self::BitRot => "bit-rot",
            Self::LyingFsync => "lying-fsync",
            Self::IoErrors => "io-errors",
            Self::RestoreBackup => "restore-backup",
            Self::CloneDisk => "clone-disk",
            Self::WipeStore => "wipe-store",
            Self::Clock1970 => "clock-1970",
            Self::ClockJump => "clock-jump",
            Self::ClockDrift => "clock-drift",
            Self::AddressChange => "address-change",
            Self::NatRebind => "nat-rebind",
            Self::Cut => "cut",
            Self::HubSplit => "hub-split",
            Self::Link => "link",
            Self::Hostile => "hostile",
            Self::Edit => "edit",
            Self::Release => "release",
            Self::Status => "status",
            Self::TargetEdit => "target-edit",
            Self::Override => "override",
            Self::Revoke => "revoke",
        }
    }

    /// Whether it is work that a healthy fleet does, rather than trouble.
    #[must_use]
    pub const fn is_work(self) -> bool {
        matches!(self, Self::Edit | Self::Release | Self::Status | Self::TargetEdit | Self::Override | Self::Revoke)
    }

    /// What it happens to and which parameters it takes.
    #[must_use]
    pub const fn spec(self) -> Spec {
        let (targets, needs, takes): (_, &'static [&'static str], &'static [&'static str]) = match self {
            Self::Crash | Self::Pause | Self::DiskFull | Self::LyingFsync | Self::CloneDisk => {
                (Targets::Members, &["lasts"], &[])
            }
            Self::HubCrash => (Targets::Hubs, &["lasts"], &[]),
            Self::Restart | Self::Clock1970 | Self::WipeStore => (Targets::Members, &[], &[]),
            Self::PowerLoss => (Targets::Members, &["lasts"], &["unsynced"]),
            Self::BitRot => (Targets::Members, &[], &["bits"]),
            Self::IoErrors => (Targets::Members, &["lasts"], &["share"]),
            Self::RestoreBackup => (Targets::Members, &["age"], &[]),
            Self::ClockJump => (Targets::Members, &["by"], &[]),
            Self::ClockDrift => (Targets::Members, &["drift", "lasts"], &[]),
            Self::AddressChange | Self::NatRebind => (Targets::Nodes, &[], &[]),
            Self::Cut => (Targets::Links, &["lasts"], &["way"]),
            Self::HubSplit => (Targets::HubLinks, &["lasts"], &["way"]),
            Self::Link => (Targets::Links, &["state"], &["link"]),
            Self::Hostile => (Targets::Nodes, &["attack"], &[]),
            Self::Edit => (Targets::Hubs, &["layer"], &["objects", "add", "remove", "release"]),
            Self::Release => (Targets::Hubs, &[], &["back"]),
            Self::Status => (Targets::Nodes, &[], &["values"]),
            Self::TargetEdit => (Targets::Nodes, &[], &["objects"]),
            Self::Override => (Targets::Nodes, &[], &[]),
            Self::Revoke => (Targets::Hubs, &["node"], &[]),
        };
        Spec { targets, needs, takes }
    }
}
