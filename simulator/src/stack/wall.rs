//! What a machine believes the time of day is.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sync_core::transport::clock::WallSource;

/// A wall clock that may be wrong. Clones are the same clock.
#[derive(Debug, Clone)]
pub struct WallClock(Arc<Mutex<Wall>>);

#[derive(Debug)]
struct Wall {
    /// When `shown` was true, by the paused clock.
    since: tokio::time::Instant,
    /// What it showed then, in milliseconds since 1970.
    shown: i64,
    /// How much faster it runs, in millionths.
    drift: i32,
}

impl WallClock {
    /// A clock that shows `unix_ms` now. To be called within a runtime.
    #[must_use]
    pub fn new(unix_ms: i64, drift: i32) -> Self {
        Self(Arc::new(Mutex::new(Wall { since: tokio::time::Instant::now(), shown: unix_ms, drift })))
    }

    /// Milliseconds since 1970, as the machine believes.
    #[must_use]
    pub fn now_ms(&self) -> i64 {
        self.wall().now_ms()
    }

    /// Sets it.
    pub fn set(&self, unix_ms: i64) {
        let mut wall = self.wall();
        (wall.since, wall.shown) = (tokio::time::Instant::now(), unix_ms);
    }

    /// Moves it.
    pub fn jump(&self, by_ms: i64) {
        let now = self.now_ms();
        self.set(now.saturating_add(by_ms));
    }

    /// How much faster it runs from now on, in millionths.
    pub fn set_drift(&self, drift: i32) {
        let mut wall = self.wall();
        (wall.shown, wall.since, wall.drift) = (wall.now_ms(), tokio::time::Instant::now(), drift);
    }

    /// For a machine's clock: whole seconds, 0 before 1970.
    #[must_use]
    pub fn source(&self) -> WallSource {
        let clock = self.clone();
        Arc::new(move || u64::try_from(clock.now_ms() / 1000).unwrap_or(0))
    }

    /// Plain numbers: a panic elsewhere leaves nothing half-written.
    fn wall(&self) -> MutexGuard<'_, Wall> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wall {
    fn now_ms(&self) -> i64 {
        let passed = i64::try_from(self.since.elapsed().as_millis()).unwrap_or(i64::MAX);
        let gained = i128::from(passed) * i128::from(self.drift) / 1_000_000;
        self.shown.saturating_add(passed).saturating_add(i64::try_from(gained).unwrap_or(i64::MAX))
    }
}
