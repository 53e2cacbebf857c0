//! What an agent says of itself, read from its database beside the running process.

use std::path::{Path, PathBuf};

use serde::Serialize;
use sync_core::document::DocumentKey;
use sync_core::id::{Name, NodeId};
use sync_core::identity::{Role, SigningKey};
use sync_core::replica::{ReplicaError, read};
use sync_core::state::observed::{AppliedStamp, Health, ObservedState};
use sync_core::store::{OpenError, Store, StoreError};

use crate::agent::OBSERVED;
use crate::join::NAME;
use crate::run::{HUB, HubAddress, LINK, LinkRecord};

/// An agent's status. Ages are in seconds; `null` when the clock was not known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Status {
    /// The node's name.
    pub name: Option<Name>,
    /// The node's id.
    pub node: NodeId,
    /// Whether an agent runs on this data folder.
    pub running: bool,
    /// The address of the hub that it is linked with; while there is no link, of the one that it joined.
    pub hub: Option<String>,
    /// Whether there is a link to the hub.
    pub link_up: bool,
    /// Why there is none.
    pub link_message: String,
    /// Since when, in seconds.
    pub link_age_seconds: Option<u64>,
    /// Version of the newest assignment that is held; `None` before the first.
    pub assignment_version: Option<u64>,
    /// What the target holds.
    pub applied: Option<AppliedStamp>,
    /// How that fares.
    pub health: Health,
    /// Why.
    pub message: String,
    /// How many objects the target holds.
    pub objects: usize,
    /// How often something changed by hand was put right.
    pub drift_repairs: u64,
    /// A report waits for a link.
    pub report_waiting: bool,
    /// Inputs of peers that were refused and kept.
    pub quarantined: u64,
    /// Which life of its database this is, from 1: it rises when the data folder was set back to an older copy.
    pub incarnation: u32,
}

/// Why there is no status. Nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StatusError {
    /// The data folder cannot be read.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The data folder belongs to a hub.
    #[error("{0} holds a hub's data; ask it with `archipel-hub status`")]
    NotANode(PathBuf),
    /// The node has not joined.
    #[error(transparent)]
    Replica(#[from] ReplicaError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Reads the status of the agent of `folder`, running or not. `now` is in seconds since 1970.
///
/// # Errors
/// [`StatusError`].
pub fn status(folder: &Path, now: Option<u64>) -> Result<Status, StatusError> {
    let mut store = Store::open_to_read(folder)?;
    let running = Store::is_held(folder);
    let tx = store.begin_read()?;
    let identity = tx.identity()?.ok_or(ReplicaError::NoIdentity)?;
    if identity.role != Role::Node {
        return Err(StatusError::NotANode(folder.to_owned()));
    }
    let node = SigningKey::from_seed(identity.seed).node_id();
    let observed: ObservedState = tx.local(OBSERVED)?.unwrap_or_default();
    let link: Option<LinkRecord> = tx.local(LINK)?;
    let link_up = running && link.as_ref().is_some_and(|link| link.is_up);
    let since = link.as_ref().and_then(|link| link.since);
    let assignment = read(&tx, &DocumentKey::assignment(node))?;
    Ok(Status {
        name: tx.local(NAME)?,
        node,
        running,
        hub: match link.as_ref().and_then(|link| link.hub.clone()).filter(|_| link_up) {
            Some(address) => Some(address),
            None => tx.local::<HubAddress>(HUB)?.map(|hub| hub.address),
        },
        link_up,
        link_message: link.map(|link| link.reason).unwrap_or_default(),
        link_age_seconds: now.zip(since).map(|(now, since)| now.saturating_sub(since)),
        assignment_version: assignment.map(|view| view.frontier.frontier().version),
        objects: observed.objects.values().filter(|object| object.applied.is_some()).count(),
        applied: observed.applied,
        health: observed.health,
        message: observed.message,
        drift_repairs: observed.repairs,
        report_waiting: !tx.all_pending()?.is_empty(),
        quarantined: tx.quarantine_length()?,
        incarnation: identity.incarnation,
    })
}
