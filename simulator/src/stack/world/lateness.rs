//! How late nodes are with releases: what each says of itself, as soon as it says so.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use hub::service::AdminReply;
use sync_core::document::DocumentKind;
use sync_core::replica::{Event, Replica};
use sync_core::transport::ReplicaHandle;
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::World;
use crate::holding;
use crate::plan::Name;
use crate::stack::book::Book;

/// Releases, and what became of them.
#[derive(Debug, Default)]
pub(in crate::stack) struct Lateness {
    releases: Vec<(Instant, u64)>,
    reports: Arc<Mutex<Vec<Report>>>,
    readers: JoinSet<()>,
}

/// A node holds a release from then on.
#[derive(Debug, Clone)]
struct Report {
    at: Instant,
    node: Name,
    version: u64,
}

impl Lateness {
    /// A hub has answered: perhaps it made a release, of this version.
    pub(super) fn handle_reply(&mut self, reply: &AdminReply) -> Option<u64> {
        let version = if let AdminReply::LayerApplied(applied) = reply {
            applied.release_version
        } else if let AdminReply::Released(released) = reply {
            Some(released.release_version)
        } else {
            None
        };
        self.releases.extend(version.map(|version| (Instant::now(), version)));
        version
    }

    /// Reads what a node that has just started reports, for as long as it runs.
    fn read(&mut self, node: Name, handle: ReplicaHandle, book: Book) {
        let reports = self.reports.clone();
        let mut events = handle.subscribe();
        self.readers.spawn(async move {
            loop {
                let event = tokio::select! {
                    () = handle.stopped() => return,
                    event = events.recv() => event,
                };
                match event {
                    Ok(Event::Changed(key)) if key.kind == DocumentKind::Observed => {}
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return,
                    Ok(_) => continue,
                }
                let read = |replica: &mut Replica, _| {
                    let applied = replica.inspect(holding::applied);
                    (applied, edge_node::agent::reported(replica))
                };
                let Ok((applied, reported)) = handle.call(read).await else { continue };
                if let Ok(Some(stamp)) = applied {
                    book.tell_applied(&(&*node).into(), &stamp);
                }
                let Ok(Some(stamp)) = reported else { continue };
                let (at, node, version) = (Instant::now(), node.clone(), stamp.release.version);
                reports.lock().unwrap_or_else(PoisonError::into_inner).push(Report { at, node, version });
            }
        });
    }

    /// In milliseconds, one for each release and each node that had an older one.
    fn all(&self) -> Vec<u64> {
        let reports = self.reports.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut held: BTreeMap<Name, (Instant, u64)> = BTreeMap::new();
        let mut lateness = Vec::new();
        for Report { at, node, version } in reports {
            let (joined, before) = *held.entry(node.clone()).or_insert((at, version));
            let newly = |made: &&(Instant, u64)| before < made.1 && made.1 <= version;
            for (made, _) in self.releases.iter().filter(newly) {
                let late = at.saturating_duration_since((*made).max(joined));
                lateness.push(u64::try_from(late.as_millis()).unwrap_or(u64::MAX));
            }
            held.insert(node, (joined, version));
        }
        lateness
    }
}

impl World<'_> {
    /// Reads the reports of a node that has started.
    pub(super) fn read_reports(&mut self, name: &Name) {
        if self.plan.hubs.iter().any(|hub| hub.name == *name) {
            return;
        }
        if let Some(handle) = self.sites.get(name).and_then(|site| site.handle()) {
            self.lateness.read(name.clone(), handle.clone(), self.book.clone());
        }
    }

    /// How late nodes were with releases.
    pub(super) fn lateness(&self) -> crate::machines::Quantiles {
        crate::machines::Quantiles::of(self.lateness.all())
    }
}
