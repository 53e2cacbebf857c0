//! The one place that reads clocks.

use std::fmt;
use std::sync::Arc;

use crate::env::{Instant, WallTime};

/// 2026-01-01 in seconds since 1970. A machine that says it is earlier has lost its clock: this program is younger.
const EARLIEST_BELIEVED: u64 = 1_767_225_600;

/// Monotonic time since the clock was made, and wall time. Under a paused `tokio` runtime it follows the runtime's time.
#[derive(Clone)]
pub struct Clock {
    start: tokio::time::Instant,
    wall: Wall,
}

/// Seconds since 1970 as a machine's wall clock has them, right or wrong.
pub type WallSource = Arc<dyn Fn() -> u64 + Send + Sync>;

#[derive(Clone)]
enum Wall {
    System,
    Given(WallSource),
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clock").field("start", &self.start).finish_non_exhaustive()
    }
}

impl Clock {
    /// A clock that starts now.
    #[must_use]
    pub fn start() -> Self {
        Self { start: tokio::time::Instant::now(), wall: Wall::System }
    }

    /// A clock that starts now and takes the time of day from the caller.
    #[must_use]
    pub fn start_with(wall: WallSource) -> Self {
        Self { start: tokio::time::Instant::now(), wall: Wall::Given(wall) }
    }

    /// Microseconds since the start.
    #[must_use]
    pub fn now(&self) -> Instant {
        Instant::default().after(self.start.elapsed())
    }

    /// The runtime's form of a point of this clock, to sleep until it.
    #[must_use]
    pub fn deadline(&self, at: Instant) -> tokio::time::Instant {
        self.start + at.since(Instant::default())
    }

    /// What the machine's wall clock says; unknown when that cannot be true.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
    pub fn wall(&self) -> WallTime {
        let seconds = match &self.wall {
            Wall::System => {
                let since_1970 = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
                since_1970.ok().map(|time| time.as_secs())
            }
            Wall::Given(wall) => Some(wall()),
        };
        WallTime(seconds.filter(|seconds| *seconds >= EARLIEST_BELIEVED))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_deadline_is_the_runtimes_form_of_a_point() {
        let clock = Clock::start();
        let wait = Duration::from_secs(5);
        let at = clock.now().after(wait);
        assert!(clock.deadline(at) <= tokio::time::Instant::now() + wait);
        assert_eq!(clock.deadline(at.after(wait)) - clock.deadline(at), wait);
    }
}
