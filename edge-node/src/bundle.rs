//! Feeds as files, for a node that no link reaches: what it owes to a hub goes out, a hub's file comes in.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use sync_core::env::no_witness;
use sync_core::id::{Name, NodeId};
use sync_core::identity::Role;
use sync_core::replica::bundle::{ExportError, ExportFrom, Exported, ImportError, Imported};
use sync_core::replica::{Now, Replica, ReplicaError};
use sync_core::store::{OpenError, Store, StoreError};
use sync_core::transport::{Clock, SystemEntropy};

/// Why nothing was written or taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BundleError {
    /// An agent runs on the data folder.
    #[error("an agent runs on {0}; stop it, run this command, and start it again")]
    Running(PathBuf),
    /// The data folder cannot be used. It is as it was.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The node has not joined.
    #[error(transparent)]
    Replica(#[from] ReplicaError),
    /// The data folder belongs to a hub.
    #[error("{0} holds a hub's data; use `archipel-hub bundle`")]
    NotANode(PathBuf),
    /// No hub is known yet.
    #[error("this node has met no hub since it joined; import a bundle of a hub's first, or link once")]
    NoHub,
    /// Several hubs are known, and none is the home.
    #[error("this node knows {hubs} hubs; say with --hub NAME which one the bundle is for")]
    WhichHub {
        /// How many.
        hubs: usize,
    },
    /// No hub has this name.
    #[error("no hub is called `{0}` here")]
    UnknownHub(Name),
    /// The bundle cannot be written. A file of its name is as it was.
    #[error(transparent)]
    Export(#[from] ExportError),
    /// The bundle was not taken.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// The file cannot be read or written.
    #[error("cannot use the file {path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn open(folder: &Path) -> Result<Replica, BundleError> {
    // A node that never joined has no folder, and asking must not leave one behind.
    if !folder.join(sync_core::store::DATABASE_FILE).exists() {
        return Err(ReplicaError::NoIdentity.into());
    }
    let store = match Store::open(folder) {
        Err(OpenError::Held { path }) => return Err(BundleError::Running(path)),
        other => other?,
    };
    let replica = Replica::open(store, &mut SystemEntropy::new(), no_witness())?;
    if replica.identity().role() != Role::Node {
        return Err(BundleError::NotANode(folder.to_owned()));
    }
    Ok(replica)
}

fn now() -> Now {
    let clock = Clock::start();
    Now { instant: clock.now(), wall: clock.wall() }
}

/// Writes what the node owes to a hub into `out`; a file of that name is replaced once the bundle is whole and on the disk.
/// Without a name it is for the home hub, or for the only one that is known. To be called within a `tokio` runtime, while no
/// agent runs on the folder.
///
/// # Errors
/// [`BundleError`].
pub fn export(folder: &Path, hub: Option<&Name>, from: ExportFrom, out: &Path) -> Result<Exported, BundleError> {
    let mut replica = open(folder)?;
    let recipient = find(&mut replica, hub)?;
    let failed = |source| BundleError::File { path: out.to_owned(), source };
    let partial = PathBuf::from(format!("{}.partial", out.display()));
    let mut write = || {
        let mut file = BufWriter::new(File::create(&partial).map_err(failed)?);
        let exported = replica.export_bundle(now(), recipient, from, &mut file)?;
        file.flush().and_then(|()| file.get_ref().sync_all()).map_err(failed)?;
        // A stick may be pulled out at any time: the file has its name only when all of it is on the disk.
        std::fs::rename(&partial, out).map_err(failed)?;
        Ok(exported)
    };
    let written = write();
    if written.is_err() {
        let _ = std::fs::remove_file(&partial);
    }
    written
}

/// Takes what a hub wrote into `file` for this node. To be called within a `tokio` runtime, while no agent runs on the
/// folder.
///
/// # Errors
/// [`BundleError`].
pub fn import(folder: &Path, file: &Path) -> Result<Imported, BundleError> {
    let mut replica = open(folder)?;
    let source = File::open(file).map_err(|source| BundleError::File { path: file.to_owned(), source })?;
    Ok(replica.import_bundle(now(), source)?)
}

fn find(replica: &mut Replica, name: Option<&Name>) -> Result<NodeId, BundleError> {
    let roster = replica.roster()?;
    if let Some(name) = name {
        let found = roster.hubs.iter().find(|(_, hub)| hub.name == *name);
        return found.map(|(id, _)| *id).ok_or_else(|| BundleError::UnknownHub(name.clone()));
    }
    let hubs = replica.inspect(|tx| tx.hubs())?;
    match (hubs.as_slice(), roster.home.hub) {
        ([], _) => Err(BundleError::NoHub),
        ([hub], _) => Ok(*hub),
        (hubs, Some(home)) if hubs.contains(&home) => Ok(home),
        (hubs, _) => Err(BundleError::WhichHub { hubs: hubs.len() }),
    }
}
