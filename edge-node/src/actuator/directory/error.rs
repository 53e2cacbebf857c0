//! What goes wrong with a folder, told apart by what somebody has to do about it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Why the folder, or one file in it, could not be used. The site's to mend, if not said otherwise. A file that was to
/// be replaced is as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DirectoryError {
    /// The folder does not exist; its parent does.
    #[error("the target folder {path} does not exist", path = path.display())]
    Missing {
        /// The folder.
        path: PathBuf,
    },
    /// Not even the parent of the folder exists, or the folder is a link to nowhere.
    #[error("the target folder {path} cannot be made, because {missing} does not exist; make it, mount what holds it, \
        or start the agent with another `--target`", path = path.display(), missing = missing.display())]
    ParentMissing {
        /// The folder.
        path: PathBuf,
        /// What is missing.
        missing: PathBuf,
    },
    /// The folder, or something on the way to it, is not a folder.
    #[error("the target folder {path} cannot be used, because {file} is not a directory; move it away, or start the \
        agent with another `--target`", path = path.display(), file = file.display())]
    NotADirectory {
        /// The folder.
        path: PathBuf,
        /// What is not a directory.
        file: PathBuf,
    },
    /// The agent's user may not.
    #[error("the agent may not use {path}; give its user read and write access to the target folder", path = path.display())]
    Permission {
        /// The folder or file.
        path: PathBuf,
    },
    /// The file system is mounted read-only.
    #[error("{path} is on a read-only file system; if it should not be, check the disk and remount it", path = path.display())]
    ReadOnly {
        /// The folder or file.
        path: PathBuf,
    },
    /// No space, or no quota left.
    #[error("no space left to write {path}; free some on its file system. The file keeps its former content",
        path = path.display())]
    Full {
        /// The file.
        path: PathBuf,
    },
    /// A directory lies where one of our files belongs. It is not ours to delete.
    #[error("{path} is a directory where the agent keeps a file; move it away", path = path.display())]
    Obstructed {
        /// The directory.
        path: PathBuf,
    },
    /// The object is larger than any file that the agent would read back. The fault of the layer's author.
    #[error("{path} would have {bytes} bytes, more than the {max} that a file may have; make the object smaller",
        path = path.display(), max = sync_core::limits::TARGET_FILE_BYTES_MAX)]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its length.
        bytes: usize,
    },
    /// More files of ours, or switch-offs, than an edge cluster can have.
    #[error("{path} holds more than {max} files that look like the agent's; clear it",
        path = path.display(), max = sync_core::limits::TARGET_FILES_MAX)]
    TooManyFiles {
        /// The folder.
        path: PathBuf,
    },
    /// The inventory names a file that the agent would never make: it is damaged, or of another kind of target.
    #[error("the inventory names {file:?} in {path}, which is no file of the agent's; it was not touched",
        path = path.display())]
    NotOurs {
        /// The folder.
        path: PathBuf,
        /// The name.
        file: String,
    },
    /// Anything else.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The folder or file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

impl DirectoryError {
    /// True when it holds for every file of the folder.
    pub(crate) fn is_about_the_folder(&self) -> bool {
        match self {
            Self::Missing { .. }
            | Self::ParentMissing { .. }
            | Self::NotADirectory { .. }
            | Self::Permission { .. }
            | Self::ReadOnly { .. }
            | Self::Full { .. }
            | Self::TooManyFiles { .. } => true,
            Self::Obstructed { .. } | Self::TooLarge { .. } | Self::NotOurs { .. } | Self::Io { .. } => false,
        }
    }

    /// Names an error of an operation on the folder itself.
    pub(super) fn of_folder(folder: &Path, source: io::Error) -> Self {
        let path = folder.to_path_buf();
        match (source.kind(), missing(folder)) {
            // Making a folder where a link to nowhere lies says that it exists.
            (io::ErrorKind::NotFound | io::ErrorKind::AlreadyExists, Some(missing)) => {
                Self::ParentMissing { path, missing }
            }
            (io::ErrorKind::NotFound, None) => Self::Missing { path },
            (io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists, _) => {
                Self::NotADirectory { path, file: not_a_directory(folder) }
            }
            _ => Self::named(path, source),
        }
    }

    /// Names an error of an operation on the file `path` in the folder.
    pub(super) fn of_file(folder: &Path, path: PathBuf, source: io::Error) -> Self {
        // Deleting a directory as a file is EISDIR on Linux, EPERM by POSIX.
        if fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_dir()) {
            return Self::Obstructed { path };
        }
        if matches!(source.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) {
            return Self::of_folder(folder, source);
        }
        Self::named(path, source)
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the standard library's list of kinds is long and open")]
    fn named(path: PathBuf, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::PermissionDenied => Self::Permission { path },
            io::ErrorKind::ReadOnlyFilesystem => Self::ReadOnly { path },
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full { path },
            _ => Self::Io { path, source },
        }
    }
}

/// The folder that holds `path`; `.` for a bare name.
pub(super) fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."))
}

/// What has to be made before the folder can be: its nearest missing ancestor, or what a dangling link points at.
fn missing(folder: &Path) -> Option<PathBuf> {
    if let Some(link) = fs::read_link(folder).ok().filter(|_| !folder.exists()) {
        return Some(parent(folder).join(link));
    }
    let mut highest = None;
    for ancestor in folder.ancestors().skip(1).take_while(|path| !path.as_os_str().is_empty()) {
        if ancestor.exists() {
            break;
        }
        highest = Some(ancestor.to_path_buf());
    }
    highest
}

/// The part of the path that is a file.
fn not_a_directory(folder: &Path) -> PathBuf {
    folder.ancestors().find(|path| path.exists()).unwrap_or(folder).to_path_buf()
}
