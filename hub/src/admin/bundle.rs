//! Writes and takes bundles. A bundle is taken step by step, so that links are served meanwhile.

use std::path::Path;

use sync_core::id::NodeId;
use sync_core::replica::bundle::{CheckedBundle, ExportError, ExportFrom, ImportError};
use sync_core::replica::{Now, Replica};
use sync_core::store::StoreError;
use sync_core::transport::ReplicaHandle;
use sync_core::wire::bundle::BundleReadError;

use crate::service::bundle::{BundleCommand, BundleFile, BundlePeer, BundleReply, ExportRequest, ExportedBundle};
use crate::service::{AdminError, AdminErrorKind};

/// Takes a bundle while the replica goes on with other work: the check of the whole needs no replica, and each step is a turn
/// of its own in the queue.
///
/// # Errors
/// [`AdminError`].
pub(crate) async fn import(handle: &ReplicaHandle, bundle: BundleFile) -> Result<BundleReply, AdminError> {
    let gone = |reason: String| AdminError::new(AdminErrorKind::Internal, reason, "see the hub's log");
    let checking = handle.clone();
    let check = move || CheckedBundle::check(checking.identity(), bundle.into_source());
    let checked = tokio::task::spawn_blocking(check).await.map_err(|error| gone(error.to_string()))?;
    let checked = checked.map_err(not_imported)?;
    let begun = handle.call(move |replica, now| replica.begin_import(now, checked)).await;
    let mut import = begun.map_err(|stopped| gone(stopped.to_string()))?.map_err(not_imported)?;
    loop {
        let step = move |replica: &mut Replica, now| (replica.import_step(now, &mut import), import);
        let (step, going_on) = handle.call(step).await.map_err(|stopped| gone(stopped.to_string()))?;
        if let Some(imported) = step.map_err(not_imported)? {
            return Ok(BundleReply::Imported(imported.into()));
        }
        import = going_on;
    }
}

/// Answers one command. An import holds up everything else on the replica: [`import`] does not.
pub(super) fn answer(
    replica: &mut Replica,
    now: Now,
    folder: &Path,
    command: BundleCommand,
) -> Result<BundleReply, AdminError> {
    match command {
        BundleCommand::Export(request) => export(replica, now, folder, &request).map(BundleReply::Exported),
        BundleCommand::Import(bundle) => {
            let imported = replica.import_bundle(now, bundle.file()).map_err(not_imported)?;
            Ok(BundleReply::Imported(imported.into()))
        }
    }
}

fn export(
    replica: &mut Replica,
    now: Now,
    folder: &Path,
    request: &ExportRequest,
) -> Result<ExportedBundle, AdminError> {
    let recipient = find(replica, &request.to)?;
    let from = if request.all { ExportFrom::Start } else { ExportFrom::Known };
    let bundle = BundleFile::temporary(folder).map_err(|error| not_exported(error.into()))?;
    let mut out = std::io::BufWriter::new(bundle.file());
    let exported = replica.export_bundle(now, recipient, from, &mut out).map_err(not_exported)?;
    drop(out);
    Ok(ExportedBundle {
        recipient: exported.recipient.to_string(),
        from: exported.from,
        through: exported.through,
        head: exported.head,
        entry_count: exported.entries,
        bytes: exported.bytes,
        file: Some(bundle),
    })
}

fn find(replica: &mut Replica, peer: &BundlePeer) -> Result<NodeId, AdminError> {
    let storage =
        |error: StoreError| AdminError::new(AdminErrorKind::Storage, error.to_string(), "nothing was changed");
    let (kind, name, found) = match peer {
        BundlePeer::Node(name) => {
            let row = replica.inspect(|tx| tx.peer_by_name(name.as_str())).map_err(storage)?;
            ("node", name, row.map(|row| row.node))
        }
        BundlePeer::Hub(name) => {
            let roster = replica.roster().map_err(storage)?;
            let found = roster.hubs.iter().find(|(_, hub)| hub.name == *name).map(|(id, _)| *id);
            ("hub", name, found)
        }
    };
    found.ok_or_else(|| {
        let hint = "see `archipel-hub nodes` and `archipel-hub peer list`";
        AdminError::new(AdminErrorKind::NotFound, format!("there is no {kind} `{name}`"), hint)
    })
}

fn not_exported(error: ExportError) -> AdminError {
    let kind = if matches!(error, ExportError::Io(_) | ExportError::Store(_)) {
        AdminErrorKind::Storage
    } else {
        AdminErrorKind::Conflict
    };
    AdminError::new(kind, error.to_string(), "")
}

fn not_imported(error: ImportError) -> AdminError {
    let kind = if matches!(error, ImportError::Store(_) | ImportError::Read(BundleReadError::Io(_))) {
        AdminErrorKind::Storage
    } else {
        AdminErrorKind::Invalid
    };
    AdminError::new(kind, error.to_string(), "")
}
