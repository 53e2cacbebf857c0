//! One replica's database: SQLite in WAL mode, `synchronous=FULL`, one writer. The file format is `store/schema.sql`.
//!
//! Everything is read and written inside a [`Tx`], so a caller decides what becomes durable together. Nothing here
//! knows of peers as connections or of messages.

mod compressed;
mod documents;
mod error;
mod feed;
mod feed_order;
mod generations;
mod local;
mod log;
mod members;
mod migrations;
mod owed;
mod peers;
mod quarantine;
mod reconcile;
mod setup;
mod sizes;
mod staging;
mod tokens;
mod untold;
mod views;

use std::fs::{File, TryLockError};
use std::ops::Deref;
use std::path::{Path, PathBuf};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::limits::STATEMENTS_KEPT_MAX;

pub use crate::position::chain_origin;
pub use documents::{DocumentRow, StoredDocument, Weight};
pub use error::{OpenError, StoreError};
pub use feed::{FeedEntry, Scope};
pub use log::{LogRow, LogSeq};
pub use peers::{PeerRow, PeerTraffic};
pub use quarantine::QuarantineEntry;
pub use setup::{Authority, StoreIdentity};
pub use sizes::{FeedRow, TableSize, TableSizes};
pub use staging::{Held, Staged};
pub use tokens::{Redemption, TokenRow};

/// The database file in a data folder.
pub const DATABASE_FILE: &str = "archipel.db";

/// The file whose lock says that a process holds the data folder.
pub const LOCK_FILE: &str = "archipel.lock";

/// How often a lock that is held is tried again, a millisecond apart, before it counts as another process's.
const LOCK_TRIES: usize = 250;

/// An open database. One process and one thread hold it.
#[derive(Debug)]
pub struct Store {
    connection: Connection,
    /// Held as long as the store lives; the system drops it with the process, however that ends.
    _lock: Option<File>,
}

/// A transaction. Dropped without [`Tx::commit`] it leaves the database as it was.
#[derive(Debug)]
pub struct Tx<'a> {
    inner: Begun<'a>,
}

/// What [`rusqlite::Transaction`] is, with statements that are parsed once: transactions are many and short.
#[derive(Debug)]
struct Begun<'a>(&'a Connection);

impl<'a> Begun<'a> {
    /// Nothing else begins one while the connection is borrowed.
    fn begin(connection: &'a mut Connection, sql: &str) -> rusqlite::Result<Self> {
        connection.prepare_cached(sql)?.execute([])?;
        Ok(Self(connection))
    }

    fn commit(self) -> rusqlite::Result<()> {
        self.0.prepare_cached("COMMIT")?.execute([]).map(drop)
    }
}

impl Deref for Begun<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.0
    }
}

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        if self.0.is_autocommit() {
            return;
        }
        let undone = self.0.prepare_cached("ROLLBACK").and_then(|mut statement| statement.execute([]));
        if let Err(error) = undone {
            tracing::error!(%error, "a transaction could not be undone");
        }
    }
}

impl Store {
    /// Opens the database in `folder`, making folder and file when they are missing, and brings it to the current format.
    ///
    /// # Errors
    /// [`OpenError`]; an existing database is as it was.
    pub fn open(folder: &Path) -> Result<Self, OpenError> {
        std::fs::create_dir_all(folder).map_err(|source| OpenError::Folder { path: folder.to_owned(), source })?;
        restrict_to_owner(folder);
        let lock = lock(folder)?;
        let path = folder.join(DATABASE_FILE);
        let reader = path.exists().then(|| Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_ONLY));
        Self::open_file(&path, reader, Some(lock), || Connection::open(&path))
    }

    /// Opens the database `path` on a file system that SQLite knows by the name `vfs` (`sqlite3_vfs_register`), as
    /// [`Store::open`] does. Nothing else is touched: no folder, and no lock but those that SQLite takes there, so whoever
    /// registered it sees to it that one process holds the database. For simulated disks.
    ///
    /// # Errors
    /// [`OpenError`]; an existing database is as it was.
    pub fn open_on(vfs: &str, path: &str) -> Result<Self, OpenError> {
        let connect = |flags| Connection::open_with_flags_and_vfs(path, flags, vfs);
        let reader = Some(connect(OpenFlags::SQLITE_OPEN_READ_ONLY));
        // Only SQLite can say whether it is there.
        let is_missing = |error: &rusqlite::Error| error.sqlite_error_code() == Some(ErrorCode::CannotOpen);
        let reader = reader.filter(|reader| !reader.as_ref().is_err_and(is_missing));
        Self::open_file(Path::new(path), reader, None, || connect(OpenFlags::default()))
    }

    /// `reader` has opened the file for reading, if it is there.
    fn open_file(
        path: &Path,
        reader: Option<rusqlite::Result<Connection>>,
        lock: Option<File>,
        connect: impl FnOnce() -> rusqlite::Result<Connection>,
    ) -> Result<Self, OpenError> {
        if let Some(reader) = reader {
            // The settings below write to the file, so whose it is has to be known before.
            match migrations::check_before_writing(&reader.map_err(StoreError::from)?, path) {
                // A power loss during the first start leaves a journal, which takes a connection that may write to undo.
                Ok(()) | Err(OpenError::Store(StoreError::ReadOnly)) => {}
                Err(error) => return Err(error),
            }
        }
        let connection = connect().map_err(StoreError::from)?;
        migrations::check_before_writing(&connection, path)?;
        Self::prepare(connection, lock, path)
    }

    /// A database in memory, for tests and examples. It dies with the value.
    ///
    /// # Errors
    /// [`OpenError`] when SQLite cannot allocate.
    pub fn open_in_memory() -> Result<Self, OpenError> {
        let connection = Connection::open_in_memory().map_err(StoreError::from)?;
        Self::prepare(connection, None, Path::new(":memory:"))
    }

    /// Opens an existing database for reading beside the process that holds it, for status commands.
    ///
    /// # Errors
    /// [`OpenError::Missing`] when there is none.
    pub fn open_to_read(folder: &Path) -> Result<Self, OpenError> {
        let path = folder.join(DATABASE_FILE);
        if !path.exists() {
            return Err(OpenError::Missing { path });
        }
        let connection =
            Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(StoreError::from)?;
        connection.execute_batch("PRAGMA query_only = ON; PRAGMA busy_timeout = 2000;").map_err(StoreError::from)?;
        migrations::check(&connection, &path)?;
        Ok(Self { connection, _lock: None })
    }

    /// Whether a process holds the data folder right now.
    #[must_use]
    pub fn is_held(folder: &Path) -> bool {
        let file = File::open(folder.join(LOCK_FILE));
        // Shared, so that a process that opens the store meanwhile can tell this look from a holder.
        file.is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }

    fn prepare(mut connection: Connection, lock: Option<File>, path: &Path) -> Result<Self, OpenError> {
        connection
            .execute_batch(
                // The page's size counts for a new file only.
                "PRAGMA page_size = 1024;
                 PRAGMA journal_mode = WAL;
                 PRAGMA synchronous = FULL;
                 PRAGMA foreign_keys = ON;
                 PRAGMA trusted_schema = OFF;
                 PRAGMA cell_size_check = ON;
                 PRAGMA busy_timeout = 5000;
                 PRAGMA cache_size = -2048;
                 PRAGMA journal_size_limit = 4194304;",
            )
            .map_err(StoreError::from)?;
        #[cfg(feature = "mutants")]
        if crate::mutants::planted(crate::mutants::Mutant::CommitsAreNotSynced) {
            connection.execute_batch("PRAGMA synchronous = NORMAL;").map_err(StoreError::from)?;
        }
        // Otherwise SQLite parses a statement again for values that might call for another plan, which none of ours do.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map_err(StoreError::from)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT_MAX);
        migrations::migrate(&mut connection, path)?;
        Ok(Self { connection, _lock: lock })
    }

    /// Rows that were written since the store was opened, undone ones included. While the number stands still, what was read
    /// is as it was.
    #[must_use]
    pub fn rows_written(&self) -> u64 {
        self.connection.total_changes()
    }

    /// Commits return before they are durable from now on.
    #[cfg(feature = "mutants")]
    pub(crate) fn stop_syncing(&self) -> Result<(), StoreError> {
        Ok(self.connection.execute_batch("PRAGMA synchronous = NORMAL")?)
    }

    /// Begins a transaction that may write.
    ///
    /// # Errors
    /// [`StoreError`]; nothing was changed.
    pub fn begin(&mut self) -> Result<Tx<'_>, StoreError> {
        Ok(Tx { inner: Begun::begin(&mut self.connection, "BEGIN IMMEDIATE")? })
    }

    /// Begins a transaction that only reads.
    ///
    /// # Errors
    /// [`StoreError`]; nothing was changed.
    pub fn begin_read(&mut self) -> Result<Tx<'_>, StoreError> {
        Ok(Tx { inner: Begun::begin(&mut self.connection, "BEGIN DEFERRED")? })
    }
}

impl Tx<'_> {
    /// Makes everything done in this transaction durable: after it returns, a power cut does not undo it.
    ///
    /// # Errors
    /// [`StoreError`]; then nothing of it happened.
    pub fn commit(self) -> Result<(), StoreError> {
        Ok(self.inner.commit()?)
    }

    /// Runs `work` so that, when it fails, what it wrote is undone and the rest of the transaction stands.
    ///
    /// # Errors
    /// Those of `work`, and [`StoreError`] of the savepoint itself.
    pub fn attempt<T, E: From<StoreError>>(&self, work: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        let run = |sql: &str| -> Result<(), StoreError> {
            self.inner.prepare_cached(sql)?.execute([])?;
            Ok(())
        };
        run("SAVEPOINT attempt")?;
        match work() {
            Ok(value) => {
                run("RELEASE attempt")?;
                Ok(value)
            }
            Err(error) => {
                run("ROLLBACK TO attempt")?;
                run("RELEASE attempt")?;
                Err(error)
            }
        }
    }
}

fn lock(folder: &Path) -> Result<File, OpenError> {
    let path: PathBuf = folder.join(LOCK_FILE);
    let file = File::options().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(|source| OpenError::Folder { path: path.clone(), source })?;
    for _ in 0..LOCK_TRIES {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            // A status command looks for an instant, and a child between fork and exec still shares what its parent closed.
            Err(TryLockError::WouldBlock) => pause(),
            Err(TryLockError::Error(source)) => return Err(OpenError::Folder { path, source }),
        }
    }
    Err(OpenError::Held { path: folder.to_owned() })
}

#[expect(clippy::disallowed_methods, reason = "opening a file waits for the system; no replica runs yet")]
fn pause() {
    std::thread::sleep(std::time::Duration::from_millis(1));
}

/// The folder holds private keys. Where this fails (a file system without modes), SQLite still opens the file.
fn restrict_to_owner(folder: &Path) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        if let Err(error) = std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700)) {
            tracing::warn!(folder = %folder.display(), %error, "the data folder could not be made private");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};

    #[test]
    fn a_look_at_the_lock_never_keeps_a_store_from_opening() {
        let folder = tempfile::tempdir().unwrap();
        drop(Store::open(folder.path()).unwrap());
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let _ = Store::is_held(folder.path());
                    std::thread::yield_now();
                }
            });
            let refused = (0..200).filter(|_| Store::open(folder.path()).is_err()).count();
            done.store(true, Ordering::Relaxed);
            assert_eq!(refused, 0);
        });
        let _held = Store::open(folder.path()).unwrap();
        assert!(Store::is_held(folder.path()));
        assert!(matches!(Store::open(folder.path()), Err(OpenError::Held { .. })));
    }
}
