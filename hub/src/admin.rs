//! Answers admin commands from the replica. Runs on the replica's thread, so that a command sees one state of the fleet.

mod assign;
mod bundle;
mod conflicts;
mod fleet;
mod layers;
mod nodes;

use std::path::PathBuf;

use serde_json::{Map, Value};
use sync_core::document::DocumentKey;
use sync_core::id::Name;
use sync_core::identity::{Role, Token};
use sync_core::replica::{Now, Replica, View, WriteError};
use sync_core::state::desired::{DEFAULT_RELEASE, ReleaseState, from_state};
use sync_core::store::{StoreError, TokenRow, Tx};
use sync_core::transport::Machine;

use crate::service::{AdminCommand, AdminError, AdminErrorKind, AdminReply, CreatedToken, HubStatus, Labels, Past};

pub(crate) use assign::first_assignment;
pub(crate) use bundle::import as import_bundle;
pub(crate) use fleet::{NAMED_PEERS, NamedPeer, check_address};

/// What answers need to know of the process.
#[derive(Debug, Clone)]
pub struct Context {
    /// Where nodes reach the hub.
    pub listen: String,
    /// The data folder.
    pub data_folder: PathBuf,
    /// When the process started, by the replica's clock.
    pub started: sync_core::env::Instant,
    /// Where random bytes come from.
    pub machine: Machine,
}

/// Answers one command.
///
/// # Errors
/// [`AdminError`]; then nothing was changed.
pub fn answer(
    replica: &mut Replica,
    now: Now,
    context: &Context,
    command: AdminCommand,
) -> Result<AdminReply, AdminError> {
    match command {
        AdminCommand::CreateToken { ttl_seconds, labels } => {
            create_token(replica, now, context, ttl_seconds, labels).map(AdminReply::Token)
        }
        AdminCommand::ApplyLayer { name, objects, release } => {
            layers::apply(replica, now, &name, objects, release).map(AdminReply::LayerApplied)
        }
        AdminCommand::ListLayers => layers::list(replica, now).map(AdminReply::Layers),
        AdminCommand::ShowLayer { name } => layers::show(replica, now, &name).map(AdminReply::Layer),
        AdminCommand::DeleteLayer { name } => layers::delete(replica, now, &name).map(AdminReply::LayerDeleted),
        AdminCommand::Release { layers } => layers::release(replica, now, &layers).map(AdminReply::Released),
        AdminCommand::Assign { layers, target } => {
            assign::assign(replica, now, &layers, target).map(AdminReply::Assigned)
        }
        AdminCommand::ListNodes => nodes::list(replica, now).map(AdminReply::Nodes),
        AdminCommand::ShowNode { name } => nodes::show(replica, now, &name).map(AdminReply::Node),
        AdminCommand::Status => status(replica, now, context).map(AdminReply::Status),
        AdminCommand::Fleet(command) => fleet::answer(replica, now, context, command).map(AdminReply::Fleet),
        AdminCommand::Bundle(command) => {
            bundle::answer(replica, now, &context.data_folder, command).map(AdminReply::Bundle)
        }
    }
}

fn create_token(
    replica: &mut Replica,
    now: Now,
    context: &Context,
    ttl_seconds: u64,
    labels: Labels,
) -> Result<CreatedToken, AdminError> {
    let (pin, hub) = (replica.identity().pin(), replica.identity().id());
    let token = Token::create(&mut *context.machine.entropy(), pin, &hub);
    let row = TokenRow {
        id: token.id,
        secret_hash: token.secret_hash(),
        labels: labels.clone(),
        expires: now.wall.0.unwrap_or(0).saturating_add(ttl_seconds),
        redeemed_by: None,
        role: Role::Node,
        authority: false,
    };
    fleet::add_token(replica, now, &row)?;
    Ok(CreatedToken { token: token.to_string(), expires_in_seconds: ttl_seconds, labels })
}

fn status(replica: &mut Replica, now: Now, context: &Context) -> Result<HubStatus, AdminError> {
    let nodes = nodes::list(replica, now)?.nodes;
    let layers = layers::list(replica, now)?.layers;
    let id = replica.identity().id().to_string();
    let wall = now.wall.0.unwrap_or(0);
    let incarnation = replica.incarnation().number;
    let (release, open_token_count, quarantined_count, past) = replica
        .inspect(|tx| {
            let peers = tx.peers()?;
            let (forks, clones) = (peers.iter().map(|peer| peer.forks), peers.iter().map(|peer| peer.clones));
            let past = Past { incarnation, fork_count: forks.sum(), clone_count: clones.sum() };
            Ok::<_, Failure>((release_of(tx)?.0, tx.open_tokens(wall)?, tx.quarantine_length()?, past))
        })
        .map_err(AdminError::from)?;
    let unreleased = layers.iter().filter(|layer| layer.released_layer_version != Some(layer.layer_version));
    // SQLite's own log beside the file holds what was written last.
    let bytes = |suffix: &str| {
        let file = context.data_folder.join(format!("{}{suffix}", sync_core::store::DATABASE_FILE));
        std::fs::metadata(file).map_or(0, |data| data.len())
    };
    let count = |matches: &dyn Fn(&crate::service::NodeSummary) -> bool| {
        nodes.iter().filter(|node| matches(node)).count() as u64
    };
    Ok(HubStatus {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        id,
        listen: context.listen.clone(),
        uptime_seconds: now.instant.since(context.started).as_secs(),
        release_version: release,
        unreleased_layers: unreleased.map(|layer| layer.name.clone()).collect(),
        layer_count: layers.len() as u64,
        node_count: nodes.len() as u64,
        connected_count: count(&|node| node.link == crate::service::Link::Up),
        behind_count: count(&|node| node.desired != node.applied),
        degraded_count: count(&|node| node.health == crate::service::Health::Degraded),
        open_token_count,
        quarantined_count,
        past,
        database_bytes: bytes("") + bytes("-wal"),
    })
}

/// What can go wrong below an answer.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Write(#[from] WriteError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Admin(#[from] AdminError),
}

impl From<Failure> for AdminError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Admin(error) => error,
            Failure::Store(error) | Failure::Write(WriteError::Store(error)) => {
                Self::new(AdminErrorKind::Storage, error.to_string(), "nothing was changed")
            }
            Failure::Write(error) => Self::new(AdminErrorKind::Invalid, error.to_string(), "nothing was changed"),
        }
    }
}

fn default_release() -> Name {
    #[expect(clippy::expect_used, reason = "the constant is a name; a test says so")]
    Name::new(DEFAULT_RELEASE).expect("a valid name")
}

/// Version and content of the release that everyone follows; version 0 before the first.
fn release_of(tx: &Tx<'_>) -> Result<(u64, ReleaseState), Failure> {
    let Some(view) = sync_core::replica::read(tx, &DocumentKey::release(&default_release()))? else {
        return Ok((0, ReleaseState::default()));
    };
    let state = from_state(&view.state).ok_or_else(|| shape("the release"))?;
    Ok((view.frontier.frontier().version, state))
}

fn shape(what: &str) -> Failure {
    let hint = "a newer or faulty hub wrote it";
    AdminError::new(AdminErrorKind::Internal, format!("{what} has an unknown shape"), hint).into()
}

/// The objects of a layer document, by key; empty when there are none.
fn objects_of(state: &Map<String, Value>) -> Map<String, Value> {
    state.get("objects").and_then(Value::as_object).cloned().unwrap_or_default()
}

/// Whether a layer document says that the layer was deleted.
fn is_deleted(view: &View) -> bool {
    view.state.get("about").and_then(|about| about.get("deleted")) == Some(&Value::Bool(true))
}

/// Seconds since a time; `None` when either end is not known.
fn age(now: Now, then: Option<u64>) -> Option<u64> {
    Some(now.wall.0?.saturating_sub(then?))
}

#[cfg(test)]
mod tests;
