//! The memory that the connections to one database share beside its write-ahead log (`-shm` of the Unix file system). It is
//! no file: nothing of it outlives the process.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};

/// Locks of an index (`SQLITE_SHM_NLOCK`).
pub const WAL_INDEX_LOCKS: usize = 8;

/// Regions of an index: more than a log of 64 GiB needs.
const REGIONS_MAX: usize = 4096;

/// Regions of memory at addresses that stay, zeroed at first. SQLite writes to them through pointers, under locks of its own.
#[derive(Debug, Default)]
pub struct WalIndex {
    regions: Mutex<Vec<Arc<[AtomicU64]>>>,
}

impl WalIndex {
    /// The region of this number, of which each has `bytes` bytes. `None` when it is not there and `extend` does not ask for
    /// it, or when it is out of bounds. The pointer is good as long as this value lives.
    pub(crate) fn region(&self, number: usize, bytes: usize, extend: bool) -> Option<*mut u8> {
        let mut regions = self.regions.lock().unwrap_or_else(PoisonError::into_inner);
        if number >= REGIONS_MAX {
            return None;
        }
        while extend && regions.len() <= number {
            regions.push((0..bytes.div_ceil(8)).map(|_| AtomicU64::new(0)).collect());
        }
        let region = regions.get(number).filter(|region| region.len() * 8 >= bytes)?;
        // Behind an `Arc` of atomics: neither moving nor sharing the vector says anything about who writes there.
        Some(region.as_ptr().cast::<u8>().cast_mut())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_stays_where_it_is_while_others_are_added() {
        let index = WalIndex::default();
        assert_eq!(index.region(0, 32_768, false), None);
        let first = index.region(0, 32_768, true).unwrap();
        (1..100).for_each(|number| assert!(index.region(number, 32_768, true).is_some()));
        assert_eq!(index.region(0, 32_768, false), Some(first));
        assert_eq!(first as usize % 8, 0);
        assert_eq!(index.region(0, 65_536, false), None, "it is not that long");
        assert_eq!(index.region(REGIONS_MAX, 32_768, true), None);
    }
}
