//! The disk as SQLite sees it: the traits of `simulated_vfs` over the disk's state.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use simulated_vfs::{Failure, FileSystem, LockLevel, OpenFile, OpenOptions, WalIndex, seed_randomness};

use super::crash::FileId;
use super::locks::Handle;
use super::state::State;

/// The first lock of a log's index: whoever holds it alone writes a transaction (`WAL_WRITE_LOCK`).
const WRITER: usize = 0;

#[derive(Debug, Clone)]
pub(super) struct System(pub(super) Arc<Mutex<State>>);

impl System {
    /// A disk whose code has panicked is broken for good.
    fn state(&self) -> Result<MutexGuard<'_, State>, Failure> {
        self.0.lock().map_err(|_| Failure::Gone)
    }

    /// What SQLite draws next follows from the disk's seed. Before each transaction: other disks of this process draw from the
    /// same generator in between.
    fn seed(&self) -> Result<(), Failure> {
        let seed = self.state()?.random.next_u64();
        seed_randomness(seed as u32);
        Ok(())
    }
}

impl FileSystem for System {
    fn open(&self, path: Option<&str>, options: OpenOptions) -> Result<Box<dyn OpenFile>, Failure> {
        let (id, handle) = self.state()?.open(path, options)?;
        if options.kind == simulated_vfs::FileKind::Journal {
            self.seed()?;
        }
        let index = Mutex::new(false);
        Ok(Box::new(Open { system: self.clone(), id, handle, options, index }))
    }

    fn delete(&self, path: &str, sync_folder: bool) -> Result<(), Failure> {
        self.state()?.delete(path, sync_folder)
    }

    fn exists(&self, path: &str) -> Result<bool, Failure> {
        self.state()?.exists(path)
    }

    fn fill_random(&self, target: &mut [u8]) {
        let Ok(mut state) = self.state() else { return };
        for chunk in target.chunks_mut(8) {
            let bytes = state.random.next_u64().to_le_bytes();
            chunk.copy_from_slice(&bytes[..chunk.len()]);
        }
    }

    fn sleep(&self, wait: Duration) {
        if let Ok(mut state) = self.state() {
            state.fate.spent += wait;
            state.unix_ms += i64::try_from(wait.as_millis()).unwrap_or(0);
        }
    }

    fn unix_ms(&self) -> i64 {
        self.state().map_or(0, |state| state.unix_ms)
    }
}

#[derive(Debug)]
struct Open {
    system: System,
    id: FileId,
    handle: Handle,
    options: OpenOptions,
    /// Whether this handle uses the log's index.
    index: Mutex<bool>,
}

impl Open {
    fn state(&self) -> Result<MutexGuard<'_, State>, Failure> {
        self.system.state()
    }

    /// Says whether this handle uses the index from now on, and whether it did.
    fn use_index(&self, uses: bool) -> bool {
        self.index.lock().is_ok_and(|mut index| std::mem::replace(&mut *index, uses))
    }
}

impl OpenFile for Open {
    fn read(&self, offset: u64, target: &mut [u8]) -> Result<usize, Failure> {
        self.state()?.read(self.id, offset, target)
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> Result<(), Failure> {
        if self.options.writable { self.state()?.write(self.id, offset, bytes) } else { Err(Failure::ReadOnly) }
    }

    fn truncate(&self, bytes: u64) -> Result<(), Failure> {
        if self.options.writable { self.state()?.resize(self.id, bytes) } else { Err(Failure::ReadOnly) }
    }

    fn sync(&self) -> Result<(), Failure> {
        self.state()?.sync(self.id)
    }

    fn length(&self) -> Result<u64, Failure> {
        self.state()?.length(self.id)
    }

    fn lock(&self, level: LockLevel) -> Result<(), Failure> {
        self.state()?.locks(self.id)?.lock(self.handle, level)
    }

    fn unlock(&self, level: LockLevel) -> Result<(), Failure> {
        self.state()?.locks(self.id)?.unlock(self.handle, level);
        Ok(())
    }

    fn is_reserved(&self) -> Result<bool, Failure> {
        Ok(self.state()?.locks(self.id)?.is_reserved())
    }

    fn sector_bytes(&self) -> u32 {
        self.state().map_or(4096, |state| state.geometry.sector_bytes)
    }

    fn is_powersafe(&self) -> bool {
        self.state().is_ok_and(|state| state.geometry.promised)
    }

    fn wal_index(&self) -> Result<Arc<WalIndex>, Failure> {
        let index = self.state()?.index(self.id)?;
        self.use_index(true);
        Ok(index)
    }

    fn lock_wal_index(&self, first: usize, count: usize, exclusive: bool) -> Result<(), Failure> {
        self.state()?.locks(self.id)?.lock_index(self.handle, first, count, exclusive)?;
        if first == WRITER && exclusive { self.system.seed() } else { Ok(()) }
    }

    fn unlock_wal_index(&self, first: usize, count: usize, exclusive: bool) -> Result<(), Failure> {
        let mut state = self.state()?;
        state.locks(self.id)?.unlock_index(self.handle, first, count);
        if first == WRITER && exclusive {
            state.recording.writer_left();
        }
        Ok(())
    }

    fn leave_wal_index(&self) {
        if self.use_index(false)
            && let Ok(mut state) = self.state()
        {
            state.leave_index(self.id);
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let maps_index = self.use_index(false);
        if let Ok(mut state) = self.system.state() {
            state.close(self.id, self.handle, maps_index, self.options.delete_on_close);
        }
    }
}
