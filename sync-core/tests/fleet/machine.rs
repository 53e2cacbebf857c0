//! A replica on a folder that can die at any of its crash points, and goes on from what its disk held at that moment.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sync_core::env::{CrashPoint, Instant, WallTime, Witness};
use sync_core::id::StoreId;
use sync_core::identity::{CertificateAuthority, Role, SigningKey, VerifiedPeer};
use sync_core::replica::{Now, Replica};
use sync_core::store::{Store, StoreError};
use tempfile::TempDir;

use crate::world::{Seeded, memory_folder};

pub(crate) const NOW: Now = Now { instant: Instant(0), wall: WallTime(None) };

/// Where a machine died, and its disk at that moment.
#[derive(Debug)]
pub(crate) struct Crashed {
    pub(crate) point: CrashPoint,
    disk: TempDir,
}

/// Ends the machine at a passing of a point.
#[derive(Default)]
struct Trap {
    armed: Option<(CrashPoint, u64)>,
    folder: PathBuf,
}

impl Trap {
    fn pass(&mut self, point: CrashPoint) {
        let Some((wanted, passings)) = &mut self.armed else { return };
        if *wanted != point {
            return;
        }
        *passings -= 1;
        if *passings == 0 {
            self.armed = None;
            // Unlike a panic, this is not printed.
            resume_unwind(Box::new(Crashed { point, disk: copy(&self.folder) }));
        }
    }
}

pub(crate) struct Machine {
    folder: TempDir,
    replica: Option<Replica>,
    trap: Arc<Mutex<Trap>>,
    pub(crate) peer: VerifiedPeer,
    /// The points at which it was ended.
    pub(crate) ended_at: Vec<CrashPoint>,
}

impl Machine {
    pub(crate) fn new(authority: &CertificateAuthority, role: Role, numbers: &mut Seeded) -> Self {
        let key = SigningKey::generate(numbers);
        let identity = authority.identity(numbers, key, role).unwrap();
        let folder = memory_folder();
        let mut store = Store::open(folder.path()).unwrap();
        Replica::init(&mut store, &identity, numbers).unwrap();
        drop(store);
        let peer = VerifiedPeer::in_process(&identity);
        let mut machine = Self { folder, replica: None, trap: Arc::default(), peer, ended_at: Vec::new() };
        machine.start(numbers);
        machine
    }

    fn start(&mut self, numbers: &mut Seeded) {
        self.trap().folder = self.folder.path().to_owned();
        let trap = Arc::clone(&self.trap);
        let witness: Witness = Arc::new(move |point| {
            lock(&trap).pass(point);
        });
        let store = Store::open(self.folder.path()).unwrap();
        self.replica = Some(Replica::open(store, numbers, witness).unwrap());
    }

    fn trap(&self) -> MutexGuard<'_, Trap> {
        lock(&self.trap)
    }

    pub(crate) fn replica(&mut self) -> &mut Replica {
        self.replica.as_mut().unwrap()
    }

    pub(crate) fn store_id(&mut self) -> StoreId {
        self.replica().inspect(|tx| Ok::<_, StoreError>(tx.identity()?.unwrap().store)).unwrap()
    }

    pub(crate) fn arm(&mut self, point: CrashPoint, passing: u64) {
        self.trap().armed = Some((point, passing));
    }

    pub(crate) fn disarm(&mut self) {
        self.trap().armed = None;
    }

    pub(crate) fn is_armed(&self) -> bool {
        self.trap().armed.is_some()
    }

    /// Lets the replica work, until it is done or its trap springs.
    pub(crate) fn call<T>(&mut self, work: impl FnOnce(&mut Replica) -> T) -> Result<T, Crashed> {
        let replica = self.replica.as_mut().unwrap();
        catch_unwind(AssertUnwindSafe(|| work(replica))).map_err(|payload| match payload.downcast::<Crashed>() {
            Ok(crashed) => *crashed,
            Err(panic) => resume_unwind(panic),
        })
    }

    /// Dies between two calls.
    pub(crate) fn crash_now(&mut self) -> Crashed {
        Crashed { point: CrashPoint::AfterSend, disk: copy(self.folder.path()) }
    }

    /// Starts again on the disk that the crash left.
    pub(crate) fn start_from(&mut self, crashed: Crashed, numbers: &mut Seeded) {
        self.ended_at.push(crashed.point);
        self.replica = None;
        self.folder = crashed.disk;
        self.start(numbers);
    }
}

/// A trap is not broken by what it springs.
fn lock(trap: &Mutex<Trap>) -> MutexGuard<'_, Trap> {
    trap.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The disk as it is now: what an open transaction wrote is in the log of SQLite without its commit, or not at all.
fn copy(folder: &Path) -> TempDir {
    let to = memory_folder();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.path().join(entry.file_name())).unwrap();
    }
    to
}
