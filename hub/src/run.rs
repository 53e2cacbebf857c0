//! Runs a hub: opens the data folder, listens for nodes and for admin commands, and stops in order.

use std::future::Future;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use sync_core::env::Witness;
use sync_core::identity::certificate::Role;
use sync_core::identity::{JoinRefusal, JoinReply};
use sync_core::limits::GOODBYE_WAIT;
use sync_core::replica::{Replica, ReplicaError};
use sync_core::store::{OpenError, Store, StoreError};
use sync_core::transport::{
    CloseCode, Endpoint, Incoming, JoinConnection, ListenError, Machine, ReplicaHandle, RequestError, Settings, Stopped,
};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::admin::{self, Context};
use crate::api::{SocketError, bind_socket};
use crate::enrol::enrol;
use crate::founding::{FoundingError, found_fleet};
use crate::limits::JOINS_AT_ONCE_MAX;
use crate::peers;
use crate::service::bundle::BundleCommand;
use crate::service::{AdminCommand, AdminError, AdminErrorKind, AdminHandler, AdminReply};

/// What a hub is started with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServeConfig {
    /// The folder of its database, keys and admin socket.
    pub data_folder: PathBuf,
    /// The UDP address where nodes reach it.
    pub listen: SocketAddr,
    /// `HOST:PORT` where others reach it, for the roster. Empty: what the roster says stays.
    pub advertise: Vec<String>,
    /// How long a silent link counts as alive, and the like.
    pub settings: Settings,
}

/// Why a hub stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The data folder cannot be used. It is as it was.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The stored identity cannot be used. The data folder is as it was.
    #[error(transparent)]
    Replica(#[from] ReplicaError),
    /// A new data folder could not be made a hub's. It is as it was.
    #[error(transparent)]
    Founding(#[from] FoundingError),
    /// The data folder belongs to a node.
    #[error("{0} holds a node's data; give the hub a folder of its own")]
    NotAHub(PathBuf),
    /// The address cannot be listened on.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The admin socket cannot be made.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// The replica's thread died. A defect of this program; what was durable stands.
    #[error("the replica stopped unexpectedly; see the log")]
    Stopped(#[from] Stopped),
    /// The system refused something.
    #[error("cannot start: {0}")]
    System(#[from] std::io::Error),
}

/// Serves until the process is told to stop (SIGINT or SIGTERM).
///
/// # Errors
/// [`ServeError`] says why the hub could not start or had to stop.
pub async fn serve(config: ServeConfig, witness: Witness) -> Result<(), ServeError> {
    let machine = Machine::system();
    let replica = open(Store::open(&config.data_folder)?, &config, &machine, witness.clone())?;
    let endpoint = Endpoint::listen(&machine, config.listen, replica.identity(), config.settings)?;
    let socket = bind_socket(&config.data_folder).await?;
    let data = config.data_folder.clone();
    let started = |address: SocketAddr, _: &ReplicaHandle| {
        // Scripts wait for this line. When nobody can read it, nodes still can be served.
        let _unread = writeln!(std::io::stdout(), "listening on {address}");
        tracing::info!(%address, data = %data.display(), "serving");
    };
    let api = |handler, stopped| crate::api::serve(socket, handler, stopped);
    serve_on(replica, endpoint, config, machine, witness, api, started, shutdown_signal()).await
}

/// Opens the replica of a hub's store; a new store becomes the first hub of a new fleet.
///
/// # Errors
/// [`ServeError`]; an existing store is as it was.
pub fn open(
    mut store: Store,
    config: &ServeConfig,
    machine: &Machine,
    witness: Witness,
) -> Result<Replica, ServeError> {
    let mut entropy = machine.entropy();
    let identity = store.begin_read()?.identity()?;
    match identity {
        Some(identity) if identity.role != Role::Hub => {
            return Err(ServeError::NotAHub(config.data_folder.clone()));
        }
        Some(_) => {}
        None => {
            found_fleet(&mut store, &mut *entropy, None)?;
        }
    }
    Ok(Replica::open(store, &mut *entropy, witness)?)
}

/// When the admin API ends.
pub type ApiStop = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

/// Serves until `stop` ends, on a replica, a socket and a machine of the caller's making: whoever embeds or simulates a hub.
/// `api` makes the task that takes admin commands; it ends when the future that it is given does. `started` is told the
/// address and the way to the replica.
///
/// # Errors
/// [`ServeError`] says why it could not start or had to stop.
#[expect(clippy::too_many_arguments, reason = "each is a part of the world that a process or a simulator brings")]
pub async fn serve_on<A: Future<Output = std::io::Result<()>> + Send + 'static>(
    replica: Replica,
    mut endpoint: Endpoint,
    config: ServeConfig,
    machine: Machine,
    witness: Witness,
    api: impl FnOnce(AdminHandler, ApiStop) -> A,
    started: impl FnOnce(SocketAddr, &ReplicaHandle),
    stop: impl Future<Output = std::io::Result<()>>,
) -> Result<(), ServeError> {
    let address = endpoint.local_addr()?;
    let started_at = machine.clock().now();
    let data_folder = config.data_folder.clone();
    let context = Context { listen: address.to_string(), data_folder, started: started_at, machine: machine.clone() };
    let (handle, thread) = ReplicaHandle::start(replica, machine, witness)?;
    let (stop_all, stopped) = tokio::sync::watch::channel(false);
    let mut stopped_api = stopped.clone();
    let mut admin = JoinSet::new();
    admin.spawn(api(
        handler(handle.clone(), context),
        Box::pin(async move {
            let _ = stopped_api.wait_for(|stop| *stop).await;
        }),
    ));
    let dialled = peers::dialled(config.settings);
    let mut hubs = JoinSet::new();
    hubs.spawn(peers::keep_hub_links(handle.clone(), dialled, config.advertise, stopped));
    started(address, &handle);
    let mut tasks = JoinSet::new();
    let mut joins = 0;
    tokio::pin!(stop);
    let result = loop {
        tokio::select! {
            biased;
            stop = &mut stop => break stop.map_err(ServeError::from),
            // Without it no node and no command can be served: whoever started the hub has to start it again.
            () = handle.stopped() => break Err(Stopped.into()),
            Some(done) = tasks.join_next() => joins -= usize::from(matches!(done, Ok(Task::Join))),
            incoming = endpoint.accept() => match incoming {
                Some(Incoming::Sync(link)) => {
                    let handle = handle.clone();
                    tasks.spawn(async move { drive(&handle, link).await });
                }
                Some(Incoming::Join(join)) if joins < JOINS_AT_ONCE_MAX => {
                    joins += 1;
                    let handle = handle.clone();
                    tasks.spawn(async move { serve_join(&handle, join).await });
                }
                // Dropping it ends the connection; the node tries again.
                Some(Incoming::Join(join)) => drop(join),
                None => break Ok(()),
            },
        }
    };
    tracing::info!("stopping");
    let _ = stop_all.send(true);
    handle.stop().await;
    // Peers that are gone take no goodbye, and a reader that hangs takes no answer: neither keeps the hub from ending.
    let _ = timeout(GOODBYE_WAIT, hubs.join_next()).await;
    let _ = timeout(GOODBYE_WAIT, async { while tasks.join_next().await.is_some() {} }).await;
    endpoint.close(CloseCode::SHUTTING_DOWN, "the hub stops");
    let _ = timeout(GOODBYE_WAIT, async { tokio::join!(endpoint.drained(), admin.join_next()) }).await;
    tasks.shutdown().await;
    admin.shutdown().await;
    thread.ended().await;
    result
}

/// What a task was for.
enum Task {
    Link,
    Join,
}

async fn drive(handle: &ReplicaHandle, link: sync_core::transport::Link) -> Task {
    let (peer, remote) = (link.peer.id(), link.remote);
    tracing::info!(peer = %peer.short(), %remote, "link up");
    let end = handle.drive(link, false).await;
    tracing::info!(peer = %peer.short(), reason = %end.reason, "link down");
    Task::Link
}

async fn serve_join(handle: &ReplicaHandle, mut join: JoinConnection) -> Task {
    let remote = join.remote;
    let reply = match join.request().await {
        Ok(request) => {
            let name = request.name.clone();
            let mut entropy = handle.machine().entropy();
            let reply = handle.call(move |replica, now| enrol(replica, now, &mut *entropy, &request)).await;
            let Ok(reply) = reply else { return Task::Join };
            match &reply {
                JoinReply::Accepted { .. } => tracing::info!(%remote, node = %name, "enrolled"),
                JoinReply::Refused { reason, message } => {
                    tracing::warn!(%remote, node = %name, %reason, detail = message, "refused to enrol")
                }
            }
            reply
        }
        Err(RequestError::Link(error)) => {
            tracing::debug!(%remote, %error, "a join request did not come");
            return Task::Join;
        }
        Err(error) => {
            tracing::warn!(%remote, %error, "a join request could not be read");
            JoinReply::Refused { reason: JoinRefusal::BadRequest, message: error.to_string() }
        }
    };
    if let Err(error) = join.reply(&reply).await {
        tracing::debug!(%remote, %error, "the answer to a join request may not have arrived");
    }
    Task::Join
}

fn handler(handle: ReplicaHandle, context: Context) -> AdminHandler {
    Arc::new(move |command| {
        let (handle, context) = (handle.clone(), context.clone());
        Box::pin(async move {
            if let AdminCommand::Bundle(BundleCommand::Import(bundle)) = command {
                return admin::import_bundle(&handle, bundle).await.map(AdminReply::Bundle);
            }
            let answer = handle.call(move |replica, now| admin::answer(replica, now, &context, command)).await;
            answer.unwrap_or_else(|stopped| {
                Err(AdminError::new(AdminErrorKind::Internal, stopped.to_string(), "see the hub's log"))
            })
        })
    })
}

async fn shutdown_signal() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        result = tokio::signal::ctrl_c() => result,
        _ = terminate.recv() => Ok(()),
    }
}
