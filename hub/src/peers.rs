//! Keeps links to the fleet's other hubs: whoever has an address of the other dials, and one link is enough for both.

use std::collections::BTreeMap;
use std::time::Duration;

use sync_core::document::DocumentKind;
use sync_core::id::NodeId;
use sync_core::limits::GOODBYE_WAIT;
use sync_core::replica::{Event, Now, Replica, roster};
use sync_core::session::dialer::Dialer;
use sync_core::store::StoreError;
use sync_core::transport::{Link, LinkEnd, ReplicaHandle, Settings, dial};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::admin::{NAMED_PEERS, NamedPeer};
use crate::founding::advertise;
use crate::limits::{PEERS_LOOK_EVERY, SECOND_DIALER_WAIT};

/// A hub to keep a link to.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Target {
    /// Who it is; `None` as long as nobody has answered at an address that was named by hand.
    id: Option<NodeId>,
    /// Where it is, in the order to try.
    addresses: Vec<String>,
}

type Stop = watch::Receiver<bool>;

/// Dials every other hub that has an address and no link, until told to stop; and writes this hub's own addresses into the
/// roster once that knows the hub.
pub(crate) async fn keep_hub_links(handle: ReplicaHandle, settings: Settings, own: Vec<String>, mut stop: Stop) {
    let mut events = handle.subscribe();
    let mut dialers: BTreeMap<String, tokio::task::AbortHandle> = BTreeMap::new();
    let mut tasks = JoinSet::new();
    let mut is_advertised = false;
    let mut found = Found::default();
    loop {
        if !is_advertised {
            let addresses = own.clone();
            let written = handle.call(move |replica, now| advertise(replica, now, &addresses)).await;
            match written {
                Ok(Ok(known)) => is_advertised = known,
                Ok(Err(error)) => tracing::error!(%error, "this hub's addresses cannot be written into the roster"),
                Err(_) => return,
            }
        }
        let Ok(looked) = handle.call(move |replica, _| found.look(replica)).await else { return };
        found = looked.unwrap_or_else(|error| {
            tracing::error!(%error, "the other hubs cannot be read");
            Found::default()
        });
        // A dialer ends by itself when its hub is no target any more.
        dialers.retain(|_, task| !task.is_finished());
        for name in &found.names {
            dialers
                .entry(name.clone())
                .or_insert_with(|| tasks.spawn(keep_one(handle.clone(), settings, name.clone(), stop.clone())));
        }
        // A hub that was named by hand makes no event, so it is also looked for now and then.
        let changed = async {
            loop {
                match events.recv().await {
                    Ok(Event::Changed(key)) if key.kind == DocumentKind::Roster => break,
                    Ok(_) => {}
                    Err(RecvError::Lagged(_)) => break,
                    Err(RecvError::Closed) => std::future::pending().await,
                }
            }
        };
        tokio::select! {
            biased;
            _ = timeout(PEERS_LOOK_EVERY, changed) => {}
            _ = stop.wait_for(|stop| *stop) => break,
        }
        while tasks.try_join_next().is_some() {}
    }
    // Peers that are gone take no goodbye.
    let _ = timeout(GOODBYE_WAIT, async { while tasks.join_next().await.is_some() {} }).await;
}

/// The names of targets as they were read last.
#[derive(Debug, Default)]
struct Found {
    /// [`Replica::rows_written`] then.
    rows_written: Option<u64>,
    names: Vec<String>,
}

impl Found {
    /// Reads them again, unless nothing was written since: the roster of a large fleet is long, and this is asked all the time.
    fn look(self, replica: &mut Replica) -> Result<Self, StoreError> {
        if self.rows_written == Some(replica.rows_written()) {
            return Ok(self);
        }
        let names = targets(replica)?.into_keys().collect();
        // Last, because reading may write contacts down.
        Ok(Self { rows_written: Some(replica.rows_written()), names })
    }
}

/// The hubs of the roster and those that were named by hand, by name.
fn targets(replica: &mut Replica) -> Result<BTreeMap<String, Target>, StoreError> {
    let own = replica.identity().id();
    replica.inspect(|tx| {
        let roster = roster::read(tx)?;
        let mut targets = BTreeMap::new();
        for (id, hub) in roster.dialled().into_iter().filter(|(id, _)| *id != own) {
            targets.insert(id.to_string(), Target { id: Some(id), addresses: hub.addresses.clone() });
        }
        for peer in tx.local::<Vec<NamedPeer>>(NAMED_PEERS)?.unwrap_or_default() {
            let is_known = peer.id.is_some_and(|id| {
                id == own || targets.contains_key(&id.to_string()) || roster.revoked.contains_key(&id)
            });
            let in_roster = roster.hubs.iter().any(|(id, hub)| {
                hub.addresses.contains(&peer.address) && (*id == own || targets.contains_key(&id.to_string()))
            });
            if !is_known && !in_roster {
                targets.insert(format!("named {}", peer.name), Target { id: peer.id, addresses: vec![peer.address] });
            }
        }
        Ok(targets)
    })
}

/// Keeps one link: dials unless the other side has, drives, waits, dials again, as long as there is such a target.
async fn keep_one(handle: ReplicaHandle, settings: Settings, name: String, mut stop: Stop) {
    let mut dialer = Dialer::default();
    let mut entropy = handle.machine().entropy();
    let own = handle.identity().id();
    loop {
        let Ok(Ok(mut found)) = handle.call(|replica, _| targets(replica)).await else { return };
        let Some(target) = found.remove(&name) else { return };
        let mut events = handle.subscribe();
        let wait = async {
            // Where both know where the other is, the one with the lower id dials, and the other only when that fails.
            if target.id.is_some_and(|id| own > id) {
                sleep(SECOND_DIALER_WAIT).await;
            }
            if let Some(id) = target.id {
                while is_linked(&handle, id).await {
                    let _ = timeout(PEERS_LOOK_EVERY, ended(&mut events, id)).await;
                }
            }
            dial_any(&handle, &target.addresses, &settings).await
        };
        let dialled = tokio::select! {
            biased;
            dialled = wait => dialled,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        let end = match dialled {
            Ok(link) if link.peer.id() == own => {
                tracing::warn!(hub = %name, "the address of another hub leads to this one; correct it with `peer add`");
                return remember(&handle, &target, own).await;
            }
            Ok(link) => {
                let peer = link.peer.id();
                if target.id.is_none() {
                    remember(&handle, &target, peer).await;
                }
                if is_linked(&handle, peer).await {
                    continue;
                }
                tracing::info!(peer = %peer.short(), remote = %link.remote, "link to another hub up");
                let control = link.control.clone();
                let end = handle.drive(link, true).await;
                if !end.failed {
                    dialer.handle_live();
                }
                if *stop.borrow() {
                    let _ = timeout(GOODBYE_WAIT, control.drained()).await;
                    return;
                }
                end
            }
            Err(reason) => LinkEnd::lost(reason),
        };
        if end.revoked {
            tracing::error!(hub = %name, "this hub or the other was revoked; it is not dialled again");
            return;
        }
        let now = handle.clock().now();
        let again = dialer.handle_down(now, end.retry_after, &mut *entropy);
        tracing::info!(hub = %name, reason = %end.reason, again_in_ms = again.since(now).as_millis() as u64, "no link");
        tokio::select! {
            biased;
            () = tokio::time::sleep_until(handle.clock().deadline(again)) => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
    }
}

async fn is_linked(handle: &ReplicaHandle, peer: NodeId) -> bool {
    handle.call(move |replica, _| replica.linked().contains(&peer)).await.unwrap_or(false)
}

/// Returns when a link of this peer has ended, or when that may have been missed.
async fn ended(events: &mut tokio::sync::broadcast::Receiver<Event>, peer: NodeId) {
    loop {
        match events.recv().await {
            Ok(Event::LinkDown(node)) if node == peer => return,
            Ok(_) => {}
            Err(RecvError::Lagged(_)) => return,
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}

/// Writes down who answered at an address that was named by hand.
async fn remember(handle: &ReplicaHandle, target: &Target, id: NodeId) {
    let addresses = target.addresses.clone();
    let work = move |replica: &mut Replica, now: Now| {
        replica.edit(now, |edit| {
            let mut named: Vec<NamedPeer> = edit.tx().local(NAMED_PEERS)?.unwrap_or_default();
            for peer in named.iter_mut().filter(|peer| addresses.contains(&peer.address)) {
                peer.id = Some(id);
            }
            edit.tx().set_local(NAMED_PEERS, &named)
        })
    };
    if let Ok(Err(error)) = handle.call(work).await.map(|result: Result<(), StoreError>| result) {
        tracing::warn!(%error, "who answered at a hub's address could not be written down");
    }
}

async fn dial_any(handle: &ReplicaHandle, addresses: &[String], settings: &Settings) -> Result<Link, String> {
    let mut reason = "it has no address".to_owned();
    for address in addresses {
        let resolved = match handle.machine().network().resolve(address).await {
            Ok(resolved) => resolved,
            Err(error) => {
                reason = error.to_string();
                continue;
            }
        };
        for address in resolved {
            match dial(handle.machine(), address, handle.identity(), settings).await {
                Ok(link) => return Ok(link),
                Err(error) => reason = error.to_string(),
            }
        }
    }
    Err(reason)
}

/// The settings of links that this hub dials: kept open often enough not to count as lost.
pub(crate) fn dialled(settings: Settings) -> Settings {
    let third = settings.idle_timeout / 3;
    Settings {
        keep_alive: Some(settings.keep_alive.unwrap_or(third).min(third).max(Duration::from_millis(100))),
        ..settings
    }
}
