//! SQLite's file system interface (VFS) as safe traits. All `unsafe` of the workspace is in `shim.rs` and `shim/opened.rs`.
//!
//! [`Registration::new`] makes SQLite know a [`FileSystem`] by a name. Registrations are reused: SQLite never knows more of
//! them than lived at one time, and none is ever freed, so that no connection can be left with a dangling one.
//!
//! Interface: <https://sqlite.org/vfs.html>, <https://sqlite.org/c3ref/io_methods.html>.

mod shim;
mod wal_index;

use std::sync::Arc;
use std::time::Duration;

pub use shim::{Registration, seed_randomness};
pub use wal_index::{WAL_INDEX_LOCKS, WalIndex};

/// Why a call failed. Each becomes one of SQLite's result codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// Somebody else holds the lock.
    Busy,
    /// No room is left.
    Full,
    /// The file was opened for reading.
    ReadOnly,
    /// The file is not there, or may not be opened.
    CannotOpen,
    /// There is nothing to delete.
    Missing,
    /// Reading failed.
    Read,
    /// Writing failed.
    Write,
    /// Making durable failed.
    Sync,
    /// Cutting or growing failed.
    Truncate,
    /// The machine is gone, or the file system is broken.
    Gone,
}

/// What SQLite keeps in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FileKind {
    /// The database.
    Database,
    /// Its rollback journal, or that of several databases.
    Journal,
    /// Its write-ahead log.
    Wal,
    /// What nobody needs after a crash.
    Temporary,
}

/// How a file is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenOptions {
    /// What will be in it.
    pub kind: FileKind,
    /// Whether it may be written through this handle.
    pub writable: bool,
    /// Whether it is made when it is not there.
    pub create: bool,
    /// Whether it must not be there yet.
    pub exclusive: bool,
    /// Whether it goes when it is closed.
    pub delete_on_close: bool,
}

/// The locks on a database file, each with what the ones before it allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LockLevel {
    /// None.
    Unlocked,
    /// Reading.
    Shared,
    /// Reading, and going to write.
    Reserved,
    /// Waiting for the last readers.
    Pending,
    /// Writing.
    Exclusive,
}

/// What SQLite asks of an operating system. Called by every connection on it, from any thread.
pub trait FileSystem: Send + Sync {
    /// Opens a file; without a path a temporary one that nobody else can name.
    ///
    /// # Errors
    /// [`Failure`].
    fn open(&self, path: Option<&str>, options: OpenOptions) -> Result<Box<dyn OpenFile>, Failure>;

    /// Deletes a file, durably when `sync_folder` says so.
    ///
    /// # Errors
    /// [`Failure::Missing`] when it is not there.
    fn delete(&self, path: &str, sync_folder: bool) -> Result<(), Failure>;

    /// Whether there is a file with something in it.
    ///
    /// # Errors
    /// [`Failure`].
    fn exists(&self, path: &str) -> Result<bool, Failure>;

    /// Random bytes. SQLite draws from them only when this is its default file system; see [`seed_randomness`].
    fn fill_random(&self, target: &mut [u8]);

    /// Waits, because a lock is held.
    fn sleep(&self, wait: Duration);

    /// The time, in milliseconds since 1970.
    fn unix_ms(&self) -> i64;
}

/// An open file. Dropped, it is closed; its locks go with it.
pub trait OpenFile: Send {
    /// Reads from `offset` on and says how much there was before the file ended.
    ///
    /// # Errors
    /// [`Failure`].
    fn read(&self, offset: u64, target: &mut [u8]) -> Result<usize, Failure>;

    /// Writes everything.
    ///
    /// # Errors
    /// [`Failure`]; a part may have been written.
    fn write(&self, offset: u64, bytes: &[u8]) -> Result<(), Failure>;

    /// Makes the file this long.
    ///
    /// # Errors
    /// [`Failure`].
    fn truncate(&self, bytes: u64) -> Result<(), Failure>;

    /// Makes what was written durable.
    ///
    /// # Errors
    /// [`Failure`]; it is not known what is durable.
    fn sync(&self) -> Result<(), Failure>;

    /// Its length in bytes.
    ///
    /// # Errors
    /// [`Failure`].
    fn length(&self) -> Result<u64, Failure>;

    /// Raises the lock that this handle holds.
    ///
    /// # Errors
    /// [`Failure::Busy`].
    fn lock(&self, level: LockLevel) -> Result<(), Failure>;

    /// Lowers the lock that this handle holds.
    ///
    /// # Errors
    /// [`Failure`].
    fn unlock(&self, level: LockLevel) -> Result<(), Failure>;

    /// Whether anybody holds [`LockLevel::Reserved`] or more.
    ///
    /// # Errors
    /// [`Failure`].
    fn is_reserved(&self) -> Result<bool, Failure>;

    /// Bytes that the device writes as one.
    fn sector_bytes(&self) -> u32;

    /// Whether a write that is cut by a power loss leaves the bytes beside it alone (`SQLITE_IOCAP_POWERSAFE_OVERWRITE`).
    /// No other property of the device is ever promised to SQLite.
    fn is_powersafe(&self) -> bool;

    /// The memory beside a write-ahead log that all connections to this file share.
    ///
    /// # Errors
    /// [`Failure`].
    fn wal_index(&self) -> Result<Arc<WalIndex>, Failure>;

    /// Takes locks of the index: `count` from `first` on, for this handle alone or together with others.
    ///
    /// # Errors
    /// [`Failure::Busy`].
    fn lock_wal_index(&self, first: usize, count: usize, exclusive: bool) -> Result<(), Failure>;

    /// Gives them back.
    ///
    /// # Errors
    /// [`Failure`].
    fn unlock_wal_index(&self, first: usize, count: usize, exclusive: bool) -> Result<(), Failure>;

    /// This handle needs the index no more.
    fn leave_wal_index(&self);
}
