//! Who holds which lock of one file: those of the database file, and those of the index of its write-ahead log.
//!
//! Rules: <https://sqlite.org/lockingv3.html> and `xShmLock` in <https://sqlite.org/c3ref/io_methods.html>.

use std::collections::{BTreeMap, BTreeSet};

use simulated_vfs::{Failure, LockLevel, WAL_INDEX_LOCKS};

/// An open handle of a file.
pub(super) type Handle = u64;

#[derive(Debug, Default)]
pub(super) struct Locks {
    held: BTreeMap<Handle, LockLevel>,
    index: [IndexLock; WAL_INDEX_LOCKS],
}

#[derive(Debug, Default)]
struct IndexLock {
    shared: BTreeSet<Handle>,
    exclusive: Option<Handle>,
}

impl Locks {
    fn others(&self, handle: Handle) -> impl Iterator<Item = LockLevel> {
        self.held.iter().filter(move |(other, _)| **other != handle).map(|(_, level)| *level)
    }

    pub(super) fn lock(&mut self, handle: Handle, wanted: LockLevel) -> Result<(), Failure> {
        let own = self.held.get(&handle).copied().unwrap_or(LockLevel::Unlocked);
        if wanted <= own {
            return Ok(());
        }
        let highest = self.others(handle).max().unwrap_or(LockLevel::Unlocked);
        let granted = match wanted {
            LockLevel::Unlocked => wanted,
            LockLevel::Shared if highest < LockLevel::Pending => wanted,
            LockLevel::Reserved if highest < LockLevel::Reserved => wanted,
            LockLevel::Pending | LockLevel::Exclusive if highest == LockLevel::Unlocked => LockLevel::Exclusive,
            // Nobody new may read while the last readers are waited for.
            LockLevel::Pending | LockLevel::Exclusive if highest == LockLevel::Shared => LockLevel::Pending,
            LockLevel::Shared | LockLevel::Reserved | LockLevel::Pending | LockLevel::Exclusive => {
                return Err(Failure::Busy);
            }
        };
        self.held.insert(handle, granted);
        if granted < wanted { Err(Failure::Busy) } else { Ok(()) }
    }

    pub(super) fn unlock(&mut self, handle: Handle, level: LockLevel) {
        match self.held.get_mut(&handle) {
            Some(_) if level == LockLevel::Unlocked => drop(self.held.remove(&handle)),
            Some(own) => *own = level.min(*own),
            None => {}
        }
    }

    pub(super) fn is_reserved(&self) -> bool {
        self.held.values().any(|level| *level >= LockLevel::Reserved)
    }

    pub(super) fn lock_index(
        &mut self,
        handle: Handle,
        first: usize,
        count: usize,
        exclusive: bool,
    ) -> Result<(), Failure> {
        let slots = self.index.get_mut(first..first.saturating_add(count)).ok_or(Failure::Gone)?;
        let free = slots.iter().all(|slot| {
            slot.exclusive.is_none_or(|holder| holder == handle)
                && (!exclusive || slot.shared.iter().all(|holder| *holder == handle))
        });
        if !free {
            return Err(Failure::Busy);
        }
        for slot in slots {
            if exclusive {
                slot.exclusive = Some(handle);
            } else {
                slot.shared.insert(handle);
            }
        }
        Ok(())
    }

    pub(super) fn unlock_index(&mut self, handle: Handle, first: usize, count: usize) {
        for slot in self.index.iter_mut().skip(first).take(count) {
            slot.shared.remove(&handle);
            if slot.exclusive == Some(handle) {
                slot.exclusive = None;
            }
        }
    }

    /// The handle is closed.
    pub(super) fn forget(&mut self, handle: Handle) {
        self.unlock(handle, LockLevel::Unlocked);
        self.unlock_index(handle, 0, WAL_INDEX_LOCKS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_writes_when_the_others_have_read() {
        let mut locks = Locks::default();
        for handle in [1, 2] {
            locks.lock(handle, LockLevel::Shared).unwrap();
        }
        locks.lock(1, LockLevel::Reserved).unwrap();
        assert!(locks.is_reserved());
        assert_eq!(locks.lock(2, LockLevel::Reserved), Err(Failure::Busy));
        assert_eq!(locks.lock(1, LockLevel::Exclusive), Err(Failure::Busy));
        assert_eq!(locks.lock(3, LockLevel::Shared), Err(Failure::Busy), "one waits to write");
        locks.unlock(2, LockLevel::Unlocked);
        locks.lock(1, LockLevel::Exclusive).unwrap();
        locks.unlock(1, LockLevel::Shared);
        locks.lock(3, LockLevel::Shared).unwrap();
        locks.forget(1);
        locks.lock(3, LockLevel::Exclusive).unwrap();
    }

    #[test]
    fn locks_of_an_index_are_shared_or_held_alone() {
        let mut locks = Locks::default();
        locks.lock_index(1, 3, 1, false).unwrap();
        locks.lock_index(2, 3, 1, false).unwrap();
        assert_eq!(locks.lock_index(2, 0, 8, true), Err(Failure::Busy));
        locks.lock_index(2, 0, 1, true).unwrap();
        assert_eq!(locks.lock_index(1, 0, 1, false), Err(Failure::Busy));
        locks.forget(1);
        locks.lock_index(2, 0, 8, true).unwrap();
        assert_eq!(locks.lock_index(2, 7, 2, true), Err(Failure::Gone));
    }
}
