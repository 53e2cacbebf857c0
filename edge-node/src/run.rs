//! Runs an agent: keeps a link to the hub, keeps the target as desired, and stops in order.

use std::future::Future;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sync_core::env::Witness;
use sync_core::identity::certificate::Role;
use sync_core::limits::GOODBYE_WAIT;
#[cfg(feature = "mutants")]
use sync_core::mutants::{Mutant, planted};
use sync_core::replica::{Event, Replica, ReplicaError};
use sync_core::session::dialer::Dialer;
use sync_core::store::{OpenError, Store, StoreError};
use sync_core::transport::{Link, LinkEnd, Machine, ReplicaHandle, Settings, Stopped, dial};
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::{broadcast, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::actuator::{Actuator, Directory, TargetSpec};
use crate::agent::{self, Look, Pass};
use crate::hubs::{Rounds, candidates};

/// Where the hub's address is kept in the replica's local values.
pub(crate) const HUB: &str = "edge.hub";
/// Where the state of the link is kept, for `status`.
pub(crate) const LINK: &str = "edge.link";

/// What an agent is started with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunConfig {
    /// The folder of its database.
    pub data_folder: PathBuf,
    /// What it keeps as desired.
    pub target: TargetSpec,
    /// How often it looks whether the target was changed by hand.
    pub interval: Duration,
    /// How long a silent link counts as alive, and the like.
    pub settings: Settings,
}

/// The hub that a node joined.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HubAddress {
    /// `HOST:PORT`.
    pub(crate) address: String,
}

/// The link as it was last known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LinkRecord {
    pub(crate) is_up: bool,
    /// Why it is down.
    pub(crate) reason: String,
    /// Since when, in seconds since 1970.
    pub(crate) since: Option<u64>,
    /// The address of the hub at the other end.
    #[serde(default)]
    pub(crate) hub: Option<String>,
}

/// Why an agent stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The data folder cannot be used. It is as it was.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The replica cannot be opened. The data folder is as it was.
    #[error(transparent)]
    Replica(#[from] ReplicaError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The data folder belongs to a hub.
    #[error("{0} holds a hub's data; give the agent a folder of its own")]
    NotANode(PathBuf),
    /// The replica's thread died. A defect of this program; what was durable stands.
    #[error("the replica stopped unexpectedly; see the log")]
    Stopped(#[from] Stopped),
    /// The system refused something.
    #[error("cannot start: {0}")]
    System(#[from] std::io::Error),
}

/// Runs until the process is told to stop (SIGINT or SIGTERM). Needs no hub: the target is kept as desired from the local
/// disk (invariant 10).
///
/// # Errors
/// [`RunError`] says why the agent could not start or had to stop.
pub async fn run(config: RunConfig, witness: Witness) -> Result<(), RunError> {
    let machine = Machine::system();
    // An agent that was never joined has no folder, and starting it must not leave one behind.
    if !config.data_folder.join(sync_core::store::DATABASE_FILE).exists() {
        return Err(ReplicaError::NoIdentity.into());
    }
    let replica = Replica::open(Store::open(&config.data_folder)?, &mut *machine.entropy(), witness.clone())?;
    if replica.identity().role() != Role::Node {
        return Err(RunError::NotANode(config.data_folder.clone()));
    }
    let island = Island {
        target: actuator(&config.target),
        interval: config.interval,
        settings: config.settings,
        witness,
        machine,
    };
    tracing::info!(data = %config.data_folder.display(), target = %config.target, "running");
    let started = |_: &ReplicaHandle| {
        // Scripts wait for this line. When nobody can read it, the target still can be kept.
        let _unread = writeln!(std::io::stdout(), "running");
    };
    island.run(replica, started, shutdown_signal()).await
}

/// An agent without a process around it: whoever embeds or simulates it brings the machine and the target.
pub struct Island {
    /// What is kept as desired.
    pub target: Box<dyn Actuator + Send>,
    /// How often it is looked at for changes by hand.
    pub interval: Duration,
    /// Of links.
    pub settings: Settings,
    /// Is told of crash points.
    pub witness: Witness,
    /// Where it runs.
    pub machine: Machine,
}

impl std::fmt::Debug for Island {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Island").field("interval", &self.interval).finish_non_exhaustive()
    }
}

impl Island {
    /// Runs until `stop` ends, on the replica of a node that has joined. `started` is called once, with the way to the
    /// replica.
    ///
    /// # Errors
    /// [`RunError`] says why it had to stop.
    pub async fn run(
        self,
        mut replica: Replica,
        started: impl FnOnce(&ReplicaHandle),
        stop: impl Future<Output = std::io::Result<()>>,
    ) -> Result<(), RunError> {
        let hub: HubAddress = replica.inspect(|tx| tx.local(HUB))?.ok_or(ReplicaError::NoIdentity)?;
        let (handle, thread) = ReplicaHandle::start(replica, self.machine, self.witness.clone())?;
        let (stop_links, stopped) = watch::channel(false);
        let mut links = JoinSet::new();
        links.spawn(keep_link(handle.clone(), hub.address, self.settings, stopped));
        #[cfg(feature = "mutants")]
        if planted(Mutant::AppliedForgotten) {
            let forget = |edit: &mut sync_core::replica::Edit<'_>| edit.tx().remove_local(crate::goal::APPLIED);
            drop(handle.call(move |replica, now| replica.edit(now, forget)).await?);
        }
        started(&handle);
        let result = tokio::select! {
            biased;
            stop = stop => stop.map_err(RunError::from),
            result = keep_target(&handle, self.target, self.interval, &self.witness) => result,
        };
        let _ = stop_links.send(true);
        handle.stop().await;
        // A hub that is gone takes no goodbye; that does not keep the agent from ending.
        let _ = timeout(GOODBYE_WAIT * 2, links.join_next()).await;
        thread.ended().await;
        result
    }
}

fn actuator(target: &TargetSpec) -> Box<dyn Actuator + Send> {
    match target {
        TargetSpec::Directory { flavour, path } => Box::new(Directory::new(path.clone(), *flavour)),
    }
}

/// Passes, one after the other: at once when something desired changed, otherwise at the interval.
async fn keep_target(
    handle: &ReplicaHandle,
    mut target: Box<dyn Actuator + Send>,
    interval: Duration,
    witness: &Witness,
) -> Result<(), RunError> {
    let mut events = handle.subscribe();
    let mut last = None;
    loop {
        (target, last) = pass(handle, target, last, witness).await?;
        let changed = async {
            loop {
                match events.recv().await {
                    Ok(Event::Changed(key)) if key.kind != sync_core::document::DocumentKind::Observed => break,
                    Ok(_) => {}
                    // Missed some: look.
                    Err(RecvError::Lagged(_)) => break,
                    Err(RecvError::Closed) => std::future::pending().await,
                }
            }
        };
        let _ = timeout(interval, changed).await;
    }
}

/// What a pass leaves for the next one.
type Left = (Box<dyn Actuator + Send>, Option<Pass>);

/// One pass. The target's own disk may be slow, so it is worked on where blocking is allowed.
async fn pass(
    handle: &ReplicaHandle,
    mut target: Box<dyn Actuator + Send>,
    last: Option<Pass>,
    witness: &Witness,
) -> Result<Left, RunError> {
    let begin = |replica: &mut Replica, now| match last.filter(|last| last.is_current(replica)) {
        Some(last) => Ok((last, now)),
        None => agent::begin(replica).map(|pass| (pass, now)),
    };
    let pass = match handle.call(begin).await? {
        Ok(pass) => pass,
        Err(error) => {
            tracing::error!(%error, "the database cannot be read; the target stays as it is");
            return Ok((target, None));
        }
    };
    let (mut pass, now) = pass;
    let looked = handle.machine().blocking(move || {
        let look = pass.look(target.as_mut(), now);
        (target, pass, look)
    });
    let (mut target, mut pass, look) = looked.await?;
    let (result, inventory) = match look {
        Look::Done(result) => (result, None),
        Look::ToDo { wider, seen } => {
            let saved = match wider {
                Some(wider) => handle.call(move |replica, now| agent::save_inventory(replica, now, &wider)).await?,
                None => Ok(()),
            };
            let hook = witness.clone();
            let worked = handle.machine().blocking(move || {
                let done = pass.carry_out(target.as_mut(), &seen, saved, &hook);
                (target, pass, done)
            });
            let done;
            (target, pass, done) = worked.await?;
            done
        }
    };
    log(&result);
    if inventory.is_none() && pass.has_said(&result) {
        return Ok((target, Some(pass)));
    }
    let commit = move |replica: &mut Replica, now| {
        let committed = agent::commit(replica, now, &mut pass, &result, inventory.as_ref());
        (pass, committed)
    };
    let (pass, committed) = handle.call(commit).await?;
    if let Err(error) = committed {
        tracing::error!(%error, "what was done could not be written down; the next pass says it again");
    }
    Ok((target, Some(pass)))
}

fn log(result: &agent::PassResult) {
    if result.is_quiet() {
        return;
    }
    if let Some(error) = &result.target_error {
        tracing::warn!(%error, "the target cannot be kept as desired");
    }
    for (key, error) in &result.failed {
        tracing::warn!(%key, %error, "could not apply");
    }
    for key in &result.repaired {
        tracing::info!(%key, "drift repaired: it had been changed or removed by hand");
    }
    if result.changed > 0 {
        tracing::info!(objects = result.changed, "applied");
    }
}

/// Keeps a link to a hub: dials the home first and the others in turn, drives, waits, dials again.
async fn keep_link(handle: ReplicaHandle, joined_at: String, settings: Settings, mut stop: watch::Receiver<bool>) {
    let mut dialer = Dialer::default();
    let mut rounds = Rounds::default();
    let mut entropy = handle.machine().entropy();
    // The longest wait that a hub of this round asked for.
    let mut asked = None;
    loop {
        let roster = handle.call(|replica, _| replica.roster()).await;
        let addresses = candidates(&joined_at, &roster.ok().and_then(Result::ok).unwrap_or_default());
        let Some(address) = addresses.get(rounds.place(addresses.len())) else { return };
        let patience = rounds.patience(addresses.len(), settings.handshake_timeout);
        let dialling = Settings { handshake_timeout: patience, ..settings };
        let mut events = handle.subscribe();
        let dialled = tokio::select! {
            biased;
            dialled = dial_once(&handle, address, &dialling) => dialled,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        let end = match dialled {
            Ok(link) => {
                let control = link.control.clone();
                let end = handle.drive(link, true).await;
                if *stop.borrow() {
                    let _ = timeout(GOODBYE_WAIT, control.drained()).await;
                    return;
                }
                end
            }
            Err(reason) => LinkEnd::lost(reason),
        };
        let was_good = (saw_live(&mut events) || end.restarted) && !end.failed;
        if was_good {
            dialer.handle_live();
            rounds.handle_live();
        }
        if end.revoked {
            tracing::error!("this node was revoked; it will not dial again");
            return;
        }
        asked = asked.max(end.retry_after);
        if !was_good && rounds.handle_failure(addresses.len()) {
            tracing::info!(hub = %address, reason = %end.reason, "no link; the next hub is tried");
            continue;
        }
        let now = handle.clock().now();
        let again = dialer.handle_down(now, asked.take(), &mut *entropy);
        #[cfg(feature = "mutants")]
        if planted(Mutant::GivesUpDialling) && again.since(now) > Duration::from_secs(60) {
            return;
        }
        tracing::info!(hub = %address, reason = %end.reason, again_in_ms = again.since(now).as_millis() as u64, "no link");
        record_link(&handle, false, end.reason, None).await;
        tokio::select! {
            biased;
            () = tokio::time::sleep_until(handle.clock().deadline(again)) => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
    }
}

/// Whether a link came up. A subscriber that fell behind missed the oldest events; that many come from live links only.
fn saw_live(events: &mut broadcast::Receiver<Event>) -> bool {
    loop {
        match events.try_recv() {
            Ok(Event::LinkLive(_)) | Err(TryRecvError::Lagged(_)) => return true,
            Ok(_) => {}
            Err(TryRecvError::Empty | TryRecvError::Closed) => return false,
        }
    }
}

async fn dial_once(handle: &ReplicaHandle, address: &str, settings: &Settings) -> Result<Link, String> {
    let addresses = handle.machine().network().resolve(address).await.map_err(|error| error.to_string())?;
    let mut reason = format!("{address} has no address");
    for resolved in addresses {
        match dial(handle.machine(), resolved, handle.identity(), settings).await {
            Ok(link) => {
                tracing::info!(address = %resolved, hub = %link.peer.id().short(), "link up");
                record_link(handle, true, String::new(), Some(address.to_owned())).await;
                return Ok(link);
            }
            Err(error) => reason = error.to_string(),
        }
    }
    Err(reason)
}

async fn record_link(handle: &ReplicaHandle, is_up: bool, reason: String, hub: Option<String>) {
    let record = handle.call(move |replica, now| {
        let before: Option<LinkRecord> = replica.inspect(|tx| tx.local(LINK))?;
        if before.is_some_and(|before| (before.is_up, &before.reason, &before.hub) == (is_up, &reason, &hub)) {
            return Ok(());
        }
        replica.edit(now, |edit| edit.tx().set_local(LINK, &LinkRecord { is_up, reason, since: now.wall.0, hub }))
    });
    if let Ok(Err(error)) = record.await.map(|result: Result<(), StoreError>| result) {
        tracing::warn!(%error, "the state of the link could not be written down");
    }
}

async fn shutdown_signal() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        result = tokio::signal::ctrl_c() => result,
        _ = terminate.recv() => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sync_core::id::NodeId;

    #[test]
    fn a_link_that_was_live_long_ago_counts_as_live() {
        let (sender, mut events) = broadcast::channel(2);
        assert!(!saw_live(&mut events));
        sender.send(Event::LinkLive(NodeId([1; 32]))).unwrap();
        // More than the channel keeps: the event itself is lost.
        for _ in 0..4 {
            sender.send(Event::Synced(NodeId([1; 32]))).unwrap();
        }
        assert!(saw_live(&mut events));
    }
}
