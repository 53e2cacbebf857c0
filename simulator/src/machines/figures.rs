//! What a run measured.

use std::time::Duration;

use crate::plan::{Action, Name};

/// What passed at one member, and how it kept up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberFigures {
    /// Its name.
    pub name: Name,
    /// Bytes of frames that came, with their lengths.
    pub payload_in: u64,
    /// Bytes of frames that it sent.
    pub payload_out: u64,
    /// Frames that came.
    pub frames_in: u64,
    /// Frames that it sent.
    pub frames_out: u64,
    /// Bytes of IP packets that it sent, as `overhead.rs` has them.
    pub wire_out: u64,
    /// Links on which both sides said hello.
    pub sessions: u64,
    /// The longest that it took to apply a release that was made for it while it was a member; zero at a hub.
    pub stalest: Duration,
}

impl MemberFigures {
    pub(super) fn new(name: Name) -> Self {
        Self {
            name,
            payload_in: 0,
            payload_out: 0,
            frames_in: 0,
            frames_out: 0,
            wire_out: 0,
            sessions: 0,
            stalest: Duration::ZERO,
        }
    }
}

/// How often something was to happen and did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Asked for.
    pub planned: u64,
    /// Took effect.
    pub reached: u64,
}

/// How often things happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Inputs of members: frames, links, timers, passes, commands.
    pub inputs: u64,
    /// Tries to dial.
    pub dials: u64,
    /// Passes of agents.
    pub passes: u64,
    /// Releases that nodes applied.
    pub applied: u64,
    /// Documents that have a newer frontier somewhere.
    pub changes: u64,
    /// Starts of processes.
    pub starts: u64,
}

impl Counts {
    pub(super) fn add(&mut self, more: &Self) {
        self.inputs += more.inputs;
        self.dials += more.dials;
        self.passes += more.passes;
        self.applied += more.applied;
        self.changes += more.changes;
        self.starts += more.starts;
    }
}

/// A distribution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Quantiles {
    /// How many values there are.
    pub count: usize,
    /// Half are at most this.
    pub half: Duration,
    /// Nine tenths are.
    pub most: Duration,
    /// All are.
    pub all: Duration,
    /// The mean.
    pub mean: Duration,
}

impl Quantiles {
    pub(crate) fn of(mut millis: Vec<u64>) -> Self {
        millis.sort_unstable();
        let at = |tenths: usize| {
            let place = (millis.len() * tenths).div_ceil(10).saturating_sub(1);
            Duration::from_millis(millis.get(place).copied().unwrap_or(0))
        };
        let mean = millis.iter().sum::<u64>().checked_div(millis.len() as u64).unwrap_or(0);
        Self { count: millis.len(), half: at(5), most: at(9), all: at(10), mean: Duration::from_millis(mean) }
    }
}

/// Whether it has a place at this depth.
pub(super) fn has_place(action: &Action) -> bool {
    !matches!(
        action,
        Action::DiskFull { .. }
            | Action::BitRot { .. }
            | Action::LyingFsync { .. }
            | Action::IoErrors { .. }
            | Action::NatRebind
            | Action::Hostile { .. }
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_that_were_there() {
        let quantiles = Quantiles::of((1..=20).rev().collect());
        let expected = [10, 18, 20].map(Duration::from_millis);
        assert_eq!([quantiles.half, quantiles.most, quantiles.all], expected);
        assert_eq!(Quantiles::of(Vec::new()), Quantiles::default());
    }
}
