//! What can be said about every action.

use std::time::Duration;

use super::{Action, Event};
use crate::scenario::Kind;

impl Action {
    /// The kind of entry that says it in a scenario; `None` for joining.
    #[must_use]
    pub const fn kind(&self) -> Option<Kind> {
        Some(match self {
            Self::Join => return None,
            Self::Crash { .. } => Kind::Crash,
            Self::Pause { .. } => Kind::Pause,
            Self::Restart => Kind::Restart,
            Self::PowerLoss { .. } => Kind::PowerLoss,
            Self::DiskFull { .. } => Kind::DiskFull,
            Self::BitRot { .. } => Kind::BitRot,
            Self::LyingFsync { .. } => Kind::LyingFsync,
            Self::IoErrors { .. } => Kind::IoErrors,
            Self::RestoreBackup { .. } => Kind::RestoreBackup,
            Self::CloneDisk { .. } => Kind::CloneDisk,
            Self::WipeStore => Kind::WipeStore,
            Self::Clock1970 => Kind::Clock1970,
            Self::ClockJump { .. } => Kind::ClockJump,
            Self::ClockDrift { .. } => Kind::ClockDrift,
            Self::AddressChange => Kind::AddressChange,
            Self::NatRebind => Kind::NatRebind,
            Self::Hostile { .. } => Kind::Hostile,
            Self::Edit { .. } => Kind::Edit,
            Self::Release { .. } => Kind::Release,
            Self::Status { .. } => Kind::Status,
            Self::TargetEdit { .. } => Kind::TargetEdit,
            Self::Revoke { .. } => Kind::Revoke,
        })
    }

    /// Its name, that of its kind in a scenario.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self.kind() {
            Some(kind) => kind.name(),
            None => "join",
        }
    }

    /// Whether it is work that a healthy fleet does, rather than trouble.
    #[must_use]
    pub const fn is_work(&self) -> bool {
        match self.kind() {
            Some(kind) => kind.is_work(),
            None => true,
        }
    }

    /// How long it lasts, if it does; of a backup, how old it is.
    #[must_use]
    pub fn lasts(&self) -> Option<Duration> {
        self.clone().lasts_mut().copied()
    }

    /// The same to change.
    pub(crate) const fn lasts_mut(&mut self) -> Option<&mut Duration> {
        match self {
            Self::Crash { down: lasts }
            | Self::PowerLoss { down: lasts, .. }
            | Self::Pause { lasts }
            | Self::DiskFull { lasts }
            | Self::LyingFsync { lasts }
            | Self::IoErrors { lasts, .. }
            | Self::RestoreBackup { age: lasts }
            | Self::CloneDisk { lasts }
            | Self::ClockDrift { lasts, .. } => Some(lasts),
            Self::Join
            | Self::Restart
            | Self::BitRot { .. }
            | Self::WipeStore
            | Self::Clock1970
            | Self::ClockJump { .. }
            | Self::AddressChange
            | Self::NatRebind
            | Self::Hostile { .. }
            | Self::Edit { .. }
            | Self::Release { .. }
            | Self::Status { .. }
            | Self::TargetEdit { .. }
            | Self::Revoke { .. } => None,
        }
    }

    /// How many things it changes, to make it fewer.
    pub(crate) const fn amount_mut(&mut self) -> Option<&mut u32> {
        match self {
            Self::BitRot { bits: amount }
            | Self::Edit { objects: amount, .. }
            | Self::Status { values: amount }
            | Self::TargetEdit { objects: amount } => Some(amount),
            Self::Join
            | Self::Crash { .. }
            | Self::Pause { .. }
            | Self::Restart
            | Self::PowerLoss { .. }
            | Self::DiskFull { .. }
            | Self::LyingFsync { .. }
            | Self::IoErrors { .. }
            | Self::RestoreBackup { .. }
            | Self::CloneDisk { .. }
            | Self::WipeStore
            | Self::Clock1970
            | Self::ClockJump { .. }
            | Self::ClockDrift { .. }
            | Self::AddressChange
            | Self::NatRebind
            | Self::Hostile { .. }
            | Self::Release { .. }
            | Self::Revoke { .. } => None,
        }
    }
}

impl Event {
    /// Moves it and its length by a function of time.
    pub(super) fn hurry(&mut self, faster: &impl Fn(Duration) -> Duration) {
        self.at = faster(self.at);
        if let Some(lasts) = self.action.lasts_mut() {
            *lasts = faster(*lasts);
        }
    }
}
