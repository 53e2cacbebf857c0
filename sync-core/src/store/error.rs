//! What can go wrong with a database, and what survives each.

use std::path::PathBuf;

use rusqlite::ErrorCode;

/// Why a statement or a commit failed. The transaction is undone; what was committed before stands.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The disk is full. Nothing was changed; reading still works; writing works again once there is room.
    #[error("the disk that holds the data folder is full; free some space, nothing was lost")]
    Full,
    /// The file system refuses to write. Nothing was changed.
    #[error("the data folder cannot be written to (read-only file system or missing permission)")]
    ReadOnly,
    /// A row does not have the form that this program writes: the file was damaged or edited.
    #[error("the database is damaged at {place}; restore it, or move the data folder away and join again")]
    Corrupt {
        /// The table, and the column where known.
        place: &'static str,
    },
    /// Anything else that SQLite says.
    #[error("the database failed: {0}")]
    Sqlite(#[source] rusqlite::Error),
}

impl StoreError {
    /// Whether the file is damaged: to try again does not help, to get the folder back does.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Corrupt { .. })
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full,
            Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => Self::ReadOnly,
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Corrupt { place: "a page" },
            _ => Self::Sqlite(error),
        }
    }
}

/// Why a data folder cannot be opened. It is as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The folder or its lock file cannot be made or opened.
    #[error("cannot use the data folder {path}: {source}")]
    Folder {
        /// The path that failed.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// Another process holds it.
    #[error("another process holds the data folder {path}; stop it first, or use another folder")]
    Held {
        /// The folder.
        path: PathBuf,
    },
    /// There is no database where one must be.
    #[error("there is no database at {path}; is this the right data folder?")]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// A later release of the program wrote it.
    #[error("{path} has format {found}, this program knows up to {known}; use the newer program that wrote it")]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest format known here.
        known: u32,
    },
    /// It was made by another program.
    #[error("{path} is a database of another program")]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
