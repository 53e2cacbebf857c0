//! The trace of a world of depth 2 as it is written: by the world, by sites, and by a task beside each replica.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sync_core::state::observed::{AppliedStamp, Stamp};
use sync_core::transport::ReplicaHandle;
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::target::{Change, Target};
use crate::trace::{Entry, Happening, Member, Trace};

/// The trace of a run, and what the checks have not seen of it. Clones are the same book.
#[derive(Debug, Clone)]
pub struct Book(Arc<Mutex<Pages>>);

#[derive(Debug)]
struct Pages {
    trace: Trace,
    fresh: Vec<Entry>,
    /// What each node was last told to have applied: assignment and release.
    applied: BTreeMap<Member, (Stamp, Stamp)>,
    /// When the run began. `None` while it is set up, which all happens at zero.
    start: Option<Instant>,
}

impl Pages {
    fn now(&self) -> u64 {
        self.start.map_or(0, |start| u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    fn tell(&mut self, what: Happening) {
        let at = self.now();
        self.trace.push(at, what.clone());
        self.fresh.push(Entry { at, what });
    }
}

impl Book {
    /// A book that writes into `trace`.
    #[must_use]
    pub fn new(trace: Trace) -> Self {
        Self(Arc::new(Mutex::new(Pages { trace, fresh: Vec::new(), applied: BTreeMap::new(), start: None })))
    }

    /// Time begins to count.
    pub fn begin(&self) {
        self.pages().start = Some(Instant::now());
    }

    /// Writes what happens now.
    pub fn tell(&self, what: Happening) {
        self.pages().tell(what);
    }

    /// Writes what a node has applied, unless that is what was last written of it: whoever sees it first tells it.
    pub fn tell_applied(&self, member: &Member, stamp: &AppliedStamp) {
        let mut pages = self.pages();
        let now = (stamp.assignment.clone(), stamp.release.clone());
        if pages.applied.insert(member.clone(), now.clone()).as_ref() != Some(&now) {
            let (assignment, release) = now;
            pages.tell(Happening::Applied { member: member.clone(), assignment, release });
        }
    }

    /// Virtual time since the run began, in microseconds.
    #[must_use]
    pub fn now(&self) -> u64 {
        self.pages().now()
    }

    /// How many entries there are: whoever reads a store within the same turn knows what came before it.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.pages().trace.length()
    }

    /// The entries up to this length that were not taken before.
    #[must_use]
    pub fn take(&self, length: u64) -> Vec<Entry> {
        let mut pages = self.pages();
        let later = usize::try_from(pages.trace.length().saturating_sub(length)).unwrap_or(usize::MAX);
        let count = pages.fresh.len().saturating_sub(later);
        pages.fresh.drain(..count).collect()
    }

    /// Looks at the trace.
    pub fn with_trace<T>(&self, look: impl FnOnce(&mut Trace) -> T) -> T {
        look(&mut self.pages().trace)
    }

    /// A panic elsewhere leaves whole entries.
    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes what a replica says, for as long as the tasks are kept. What an agent does to its target is written at once.
pub(super) fn observe(book: &Book, member: &Member, handle: &ReplicaHandle, target: &Target, tasks: &mut JoinSet<()>) {
    let mut events = handle.subscribe();
    let (told, who) = (book.clone(), member.clone());
    tasks.spawn(async move {
        loop {
            match events.recv().await {
                Ok(event) => {
                    if let Some(what) = Happening::of_event(&who, event) {
                        told.tell(what);
                    }
                }
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => break,
            }
        }
    });
    let (book, member) = (book.clone(), member.clone());
    target.listen(move |change| {
        let member = member.clone();
        book.tell(match change {
            Change::Put { key, .. } => Happening::Put { member, key: key.as_str().into() },
            Change::Removed { key } => Happening::Removed { member, key: key.as_str().into() },
        });
    });
}
