//! A simulated disk under the real SQLite: in memory, the same in every run, with the faults of real disks.
//!
//! A [`Disk`] is one machine's. SQLite reaches it by [`Disk::name`], the name of a file system: `Store::open_on(disk.name(),
//! "archipel.db")`. What was written and not synced is lost, kept or garbled in a crash ([`CrashPolicy`]), names in the folder
//! included. [`Faults`] are set while the machine runs, each with a counter of how often it took effect ([`Effects`]).
//!
//! **Reproducible:** SQLite's random numbers (salts, nonces), its clock and its waiting come from the disk: the same seed and the
//! same calls give the same bytes. SQLite has one generator for the whole process and it is seeded with each transaction, so
//! this holds while one thread at a time writes through SQLite; with more, only those few bytes differ.
//!
//! **Not modelled:** writes that go to another place, folders, a read that differs from the last one, a failed sync after
//! which the system forgets what it was for.

mod content;
mod crash;
mod faults;
mod file;
pub mod images;
mod locks;
mod moments;
mod state;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use simulated_vfs::Registration;

pub use crash::{CrashPolicy, DiskImage, Geometry};
pub use faults::{Counters, Effects, Failing, Faults, Latency, Traffic};
pub use moments::{Moment, Operation};

use crate::random::Random;
use state::State;

/// One machine's disk. Clones are the same disk.
#[derive(Debug, Clone)]
pub struct Disk {
    state: Arc<Mutex<State>>,
    registration: Arc<Registration>,
}

/// A bit that flipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rotten {
    /// The byte of the file.
    pub byte: u64,
    /// The bit of the byte.
    pub bit: u8,
}

impl Disk {
    /// An empty disk. Everything random that SQLite does on it follows from `seed`.
    #[must_use]
    pub fn new(seed: u64, geometry: Geometry) -> Self {
        Self::from_image(seed, &DiskImage { geometry, files: std::collections::BTreeMap::new() })
    }

    /// The disk of a machine that is switched on. It has no faults.
    ///
    /// # Panics
    /// When SQLite has no memory for one more file system.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a few hundred bytes; a simulation cannot go on without them")]
    pub fn from_image(seed: u64, image: &DiskImage) -> Self {
        let state = Arc::new(Mutex::new(State::new(seed, image)));
        let registration = Registration::new(Arc::new(file::System(Arc::clone(&state))));
        Self { state, registration: registration.expect("SQLite is out of memory") }
    }

    /// Another disk with what this one holds now, as its processes see it: a backup, or a clone.
    #[must_use]
    pub fn copy(&self, seed: u64) -> Self {
        Self::from_image(seed, &self.image())
    }

    /// What SQLite knows it by.
    #[must_use]
    pub fn name(&self) -> &str {
        self.registration.name()
    }

    /// Somebody who looks from outside sees what there is, whatever has panicked.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What it holds, as its processes see it.
    #[must_use]
    pub fn image(&self) -> DiskImage {
        self.state().image()
    }

    /// Bytes of all its files together.
    #[must_use]
    pub fn held_bytes(&self) -> u64 {
        self.state().held_bytes()
    }

    /// How many changes have not become durable.
    #[must_use]
    pub fn unsynced(&self) -> usize {
        self.state().unsynced()
    }

    /// The hash of what it holds.
    #[must_use]
    pub fn hash(&self) -> blake3::Hash {
        self.image().hash()
    }

    /// What a crash now would leave.
    #[must_use]
    pub fn crash_image(&self, policy: CrashPolicy, random: &mut Random) -> DiskImage {
        self.state().freeze().image(policy, random)
    }

    /// The power goes, or the process dies. Every later call through this disk and its files fails.
    #[must_use]
    pub fn crash(&self, policy: CrashPolicy, random: &mut Random) -> DiskImage {
        let mut state = self.state();
        state.is_dead = true;
        state.freeze().image(policy, random)
    }

    /// What goes wrong from now on.
    pub fn set_faults(&self, faults: Faults) {
        self.state().fate.faults = faults;
    }

    /// What goes wrong, with what is left of it.
    #[must_use]
    pub fn faults(&self) -> Faults {
        self.state().fate.faults
    }

    /// How often each fault took effect.
    #[must_use]
    pub fn effects(&self) -> Effects {
        self.state().fate.effects
    }

    /// Flips a random bit of what is durable in a file. `None` when there is no such file, or nothing in it.
    pub fn rot(&self, file: &str, random: &mut Random) -> Option<Rotten> {
        self.state().rot(file, random).map(|(byte, bit)| Rotten { byte, bit })
    }

    /// What passed through its files.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.state().counters.clone()
    }

    /// How long its calls and SQLite's waiting took since this was last asked, for the world to charge.
    #[must_use]
    pub fn take_latency(&self) -> Duration {
        std::mem::take(&mut self.state().fate.spent)
    }

    /// Sets the clock that SQLite reads, in milliseconds since 1970.
    pub fn set_clock(&self, unix_ms: i64) {
        self.state().unix_ms = unix_ms;
    }

    /// Records what a crash after each operation from now on could leave. What is recorded is kept until it is taken.
    pub fn record(&self) {
        self.state().recording.start();
    }

    /// Records no more.
    pub fn stop_recording(&self) {
        self.state().recording.stop();
    }

    /// What was recorded since this was last asked.
    #[must_use]
    pub fn take_moments(&self) -> Vec<Moment> {
        self.state().recording.take()
    }

    /// Notes a moment between two operations: the program has been told that something is done.
    pub fn mark(&self) {
        self.state().note(Operation::Mark, 0);
    }
}

#[cfg(test)]
mod tests;
