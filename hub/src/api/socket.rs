//! The admin socket: where it is, and how a hub takes its place.

use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixStream};

use crate::limits::SOCKET_PATH_BYTES_MAX;

/// Appended to the socket's name until its mode is set.
const UNFINISHED: &str = ".new";

/// Why a hub cannot open its admin socket. Nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SocketError {
    /// The path does not fit into a socket address.
    #[error(
        "the path {} has {bytes} bytes, and a Unix socket's path at most {}; use a data folder with a shorter path, \
         or a symbolic link to it", path.display(), SOCKET_PATH_BYTES_MAX - UNFINISHED.len()
    )]
    PathTooLong {
        /// The path.
        path: PathBuf,
        /// Its length.
        bytes: usize,
    },
    /// Another hub answers on it.
    #[error("a hub already runs on {}; stop it first, or use another data folder", path.display())]
    InUse {
        /// The socket.
        path: PathBuf,
    },
    /// Something that is no socket has its name.
    #[error("{} is not a socket; move it away", path.display())]
    NotASocket {
        /// The path.
        path: PathBuf,
    },
    /// The system refused.
    #[error("cannot open the admin socket {}: {source}", path.display())]
    Io {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// Where the hub of a data folder has its admin socket.
#[must_use]
pub fn socket_path(data_folder: &Path) -> PathBuf {
    data_folder.join("admin.sock")
}

/// Opens the admin socket of a data folder, for its owner alone (mode 0600). The socket of a hub that is gone is
/// replaced. Must run in a Tokio runtime.
///
/// # Errors
/// [`SocketError`] says what is in the way.
pub async fn bind_socket(data_folder: &Path) -> Result<UnixListener, SocketError> {
    let path = socket_path(data_folder);
    let bytes = path.as_os_str().as_bytes().len();
    if bytes + UNFINISHED.len() > SOCKET_PATH_BYTES_MAX {
        return Err(SocketError::PathTooLong { path, bytes });
    }
    let failed = |source| SocketError::Io { path: path.clone(), source };
    match std::fs::symlink_metadata(&path) {
        Ok(metadata) if !metadata.file_type().is_socket() => return Err(SocketError::NotASocket { path }),
        Ok(_) => match UnixStream::connect(&path).await {
            Ok(_) => return Err(SocketError::InUse { path }),
            Err(error) if matches!(error.kind(), ErrorKind::ConnectionRefused | ErrorKind::NotFound) => {}
            Err(error) => return Err(failed(error)),
        },
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    // Bound under another name first, so that nobody can connect before the mode is set.
    let mut unfinished = path.clone().into_os_string();
    unfinished.push(UNFINISHED);
    let unfinished = PathBuf::from(unfinished);
    match std::fs::remove_file(&unfinished) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    let listener = UnixListener::bind(&unfinished).map_err(failed)?;
    std::fs::set_permissions(&unfinished, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
    std::fs::rename(&unfinished, &path).map_err(failed)?;
    Ok(listener)
}
