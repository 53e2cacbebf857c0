//! What a machine believes the time of day is, as a value.

use sync_core::env::WallTime;

use super::Micros;

/// 2026-01-01 in seconds since 1970: an earlier time is one that the engine's clock takes for unknown
/// (`sync_core::transport::clock`).
const EARLIEST_BELIEVED: u64 = 1_767_225_600;

/// A wall clock that may be wrong.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wall {
    since: Micros,
    /// What it showed then, in milliseconds since 1970.
    shown: i64,
    /// How much faster it runs, in millionths.
    drift: i32,
}

impl Wall {
    pub(super) fn new(unix_ms: i64, drift: i32) -> Self {
        Self { since: 0, shown: unix_ms, drift }
    }

    /// Milliseconds since 1970, as the machine believes.
    fn now_ms(&self, now: Micros) -> i64 {
        let passed = i128::from(now.saturating_sub(self.since)) / 1000;
        let shown = i128::from(self.shown) + passed + passed * i128::from(self.drift) / 1_000_000;
        i64::try_from(shown).unwrap_or(i64::MAX)
    }

    pub(super) fn set(&mut self, now: Micros, unix_ms: i64) {
        (self.since, self.shown) = (now, unix_ms);
    }

    pub(super) fn jump(&mut self, now: Micros, by_ms: i64) {
        self.set(now, self.now_ms(now).saturating_add(by_ms));
    }

    pub(super) fn set_drift(&mut self, now: Micros, drift: i32) {
        self.set(now, self.now_ms(now));
        self.drift = drift;
    }

    /// What the engine is told.
    pub(super) fn time(&self, now: Micros) -> WallTime {
        let seconds = u64::try_from(self.now_ms(now) / 1000).unwrap_or(0);
        WallTime(Some(seconds).filter(|seconds| *seconds >= EARLIEST_BELIEVED))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_runs_on_from_what_it_was_set_to() {
        let mut wall = Wall::new(1_767_571_200_000, 1_000_000);
        assert_eq!(wall.now_ms(1_000_000), 1_767_571_202_000);
        wall.set_drift(1_000_000, 0);
        assert_eq!(wall.now_ms(2_000_000), 1_767_571_203_000);
        wall.jump(2_000_000, -5_000);
        assert_eq!(wall.time(2_000_000), WallTime(Some(1_767_571_198)));
        wall.set(2_000_000, 0);
        assert_eq!(wall.time(9_000_000), WallTime(None));
    }
}
