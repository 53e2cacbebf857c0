//! The thread that owns a replica, and the driver of each link. SQLite blocks here and nowhere else.
//!
//! Jobs come in through one bounded queue, so a busy replica slows its links down instead of growing. A link's frames go
//! out through a bounded queue of its own; a peer that does not read fills it and loses the link.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::task::JoinSet;

use super::Clock;
use super::link::{CloseCode, FrameSender, Link, LinkControl, LinkError};
use super::machine::{Machine, Threads};
use super::outbox::{LinkOut, Outbox, Waiting, outbox};
use crate::env::{CrashPoint, Witness};
use crate::id::LinkId;
use crate::identity::{Identity, VerifiedPeer};
use crate::limits::{CLONED_WAIT_SECONDS, EVENTS_KEPT, JOBS_WAITING_MAX, LAST_FRAMES_WAIT};
use crate::replica::{Event, Now, Output, Replica};
use crate::store::StoreError;
use crate::wire::{self, Close};

type Call = Box<dyn FnOnce(&mut Replica, Now) + Send>;

enum Job {
    Call(Call),
    LinkUp { link: LinkId, peer: VerifiedPeer, is_dialer: bool, out: LinkQueue },
    Frame { link: LinkId, frame: Vec<u8> },
    LinkDown { link: LinkId },
    Stop,
}

/// The way out to a link's driver.
struct LinkQueue {
    frames: Outbox,
    control: LinkControl,
}

/// The replica's thread is gone: it was stopped, or it died.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the replica was stopped")]
pub struct Stopped;

/// How a link ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkEnd {
    /// Why, for people.
    pub reason: String,
    /// How long the peer asked to stay away.
    pub retry_after: Option<Duration>,
    /// Whether the peer, or this side, took the peer's enrolment back.
    pub revoked: bool,
    /// Whether a side has taken a new incarnation: dial again at once.
    pub restarted: bool,
    /// Whether a side could not go on: its store failed, or the two do not understand each other. A link that comes soon
    /// after would end alike, so it is to be dialled as one that never came up.
    pub failed: bool,
}

impl LinkEnd {
    /// A link that ended, or never came up, for no fault of either side.
    #[must_use]
    pub fn lost(reason: String) -> Self {
        Self { reason, retry_after: None, revoked: false, restarted: false, failed: false }
    }
}

/// A handle to a replica on its own thread. Cheap to clone; the thread ends with [`ReplicaHandle::stop`] or with the last
/// handle.
#[derive(Clone)]
pub struct ReplicaHandle {
    jobs: mpsc::Sender<Job>,
    events: broadcast::Sender<Event>,
    next_link: Arc<AtomicU64>,
    machine: Machine,
    identity: Arc<Identity>,
    witness: Witness,
}

impl std::fmt::Debug for ReplicaHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReplicaHandle").finish_non_exhaustive()
    }
}

impl ReplicaHandle {
    /// Gives the replica a thread. To be called within a `tokio` runtime, which the thread uses for its timer.
    ///
    /// # Errors
    /// When the system has no thread to give.
    pub fn start(replica: Replica, machine: Machine, witness: Witness) -> std::io::Result<(Self, ReplicaThread)> {
        let (jobs, queue) = mpsc::channel(JOBS_WAITING_MAX);
        let (events, _) = broadcast::channel(EVENTS_KEPT);
        let identity = replica.shared_identity();
        let clock = machine.clock().clone();
        let owner = Owner { replica, links: BTreeMap::new(), events: events.clone(), clock };
        let mut task = JoinSet::new();
        let thread = match machine.threads() {
            Threads::System => {
                let runtime = tokio::runtime::Handle::current();
                let thread = std::thread::Builder::new().name("replica".to_owned());
                Some(thread.spawn(move || runtime.block_on(owner.run(queue)))?)
            }
            Threads::Single => {
                task.spawn(owner.run(queue));
                None
            }
        };
        let handle = Self { jobs, events, next_link: Arc::new(AtomicU64::new(1)), machine, identity, witness };
        Ok((handle, ReplicaThread { thread, task }))
    }

    /// Runs `work` on the replica and gives back what it returns. What it wrote is on its way to the links by then.
    ///
    /// # Errors
    /// [`Stopped`]; then `work` may or may not have run.
    pub async fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Replica, Now) -> T + Send + 'static,
    ) -> Result<T, Stopped> {
        let (answer, answered) = oneshot::channel();
        let call: Call = Box::new(move |replica, now| drop(answer.send(work(replica, now))));
        self.jobs.send(Job::Call(call)).await.map_err(|_| Stopped)?;
        answered.await.map_err(|_| Stopped)
    }

    /// What happens from now on. A subscriber that falls behind loses the oldest events and is told so.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    /// Who the replica is.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The clock that the replica lives by.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        self.machine.clock()
    }

    /// The machine that it lives on.
    #[must_use]
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// Tells every peer, closes the database and ends the thread. Links end when their peers took the goodbye: whoever
    /// drives them waits for that, with a bound of their own.
    pub async fn stop(&self) {
        let _ = self.jobs.send(Job::Stop).await;
        self.stopped().await;
    }

    /// Waits until the thread takes no more work, because it was stopped or died.
    pub async fn stopped(&self) {
        self.jobs.closed().await;
    }

    /// Drives a link until it ends.
    pub async fn drive(&self, link: Link, is_dialer: bool) -> LinkEnd {
        let id = LinkId(self.next_link.fetch_add(1, Ordering::Relaxed));
        let (out, frames) = outbox();
        let Link { peer, control, sender, mut receiver, .. } = link;
        let out = LinkQueue { frames: out, control: control.clone() };
        let up = Job::LinkUp { link: id, peer, is_dialer, out };
        if self.jobs.send(up).await.is_err() {
            control.close(CloseCode::SHUTTING_DOWN, "stopped");
            return ended("the replica was stopped");
        }
        let read = async {
            loop {
                match receiver.recv().await {
                    Ok(Some(frame)) => {
                        if self.jobs.send(Job::Frame { link: id, frame }).await.is_err() {
                            return ended("the replica was stopped");
                        }
                    }
                    Ok(None) => return ended("the peer has finished"),
                    Err(error) => return lost(&error),
                }
            }
        };
        let write = write_frames(frames, sender, &control, &self.witness);
        tokio::pin!(write);
        let read_end = tokio::select! {
            biased;
            end = &mut write => Err(end),
            end = read => Ok(end),
        };
        let _ = self.jobs.send(Job::LinkDown { link: id }).await;
        let end = match read_end {
            // What was read last may be the peer's close, which says more than the silence after it. The replica answers
            // its frames in order, then lets go of the queue; that ends the writer.
            Ok(read_end) => match tokio::time::timeout(LAST_FRAMES_WAIT, write).await {
                Ok(Some(closed)) => closed,
                Ok(None) | Err(_) => read_end,
            },
            Err(Some(closed)) => closed,
            Err(None) => ended("the replica let go of the link"),
        };
        control.close(CloseCode::DONE, "");
        end
    }
}

/// What a replica runs on. Dropped on a machine of a single thread it ends the replica where it stands.
#[derive(Debug)]
pub struct ReplicaThread {
    thread: Option<std::thread::JoinHandle<()>>,
    task: JoinSet<()>,
}

impl ReplicaThread {
    /// Waits until the replica has ended and its database is closed.
    pub async fn ended(mut self) {
        if let Some(thread) = self.thread.take() {
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
        while self.task.join_next().await.is_some() {}
    }
}

fn ended(reason: &str) -> LinkEnd {
    LinkEnd::lost(reason.to_owned())
}

fn lost(error: &LinkError) -> LinkEnd {
    let mut end = ended(&error.to_string());
    if let LinkError::ClosedByPeer { code, .. } = error {
        end.revoked = *code == CloseCode::REVOKED;
        end.restarted = *code == CloseCode::RESTARTED;
        end.failed = [CloseCode::PROTOCOL, CloseCode::BUSY].contains(code);
        let cloned = *code == CloseCode::CLONED;
        end.retry_after = cloned.then(|| Duration::from_secs(u64::from(CLONED_WAIT_SECONDS)));
    }
    end
}

/// Sends until a close was sent or the link failed; `None` when the replica lets go of the queue.
async fn write_frames(
    mut frames: Waiting,
    mut sender: FrameSender,
    control: &LinkControl,
    witness: &Witness,
) -> Option<LinkEnd> {
    while let Some(out) = frames.next().await {
        match out {
            LinkOut::Frame { frame, carries_changes } => {
                if carries_changes {
                    witness(CrashPoint::BeforeSend);
                }
                if let Err(error) = sender.send(frame).await {
                    return Some(lost(&error));
                }
                if carries_changes {
                    witness(CrashPoint::AfterSend);
                }
            }
            LinkOut::Close(close) => {
                sender.finish();
                // Bounded by the idle timeout: `delivered` fails when the connection is lost.
                let _ = sender.delivered().await;
                control.close(quic_code(close.code), &close.message);
                let retry = Some(Duration::from_millis(u64::from(close.retry_after_ms)));
                return Some(LinkEnd {
                    revoked: close.code == wire::CloseCode::Revoked,
                    restarted: close.code == wire::CloseCode::Restarted,
                    failed: close.code.is_failure(),
                    retry_after: retry.filter(|wait| !wait.is_zero()),
                    reason: close.message,
                });
            }
        }
    }
    None
}

fn quic_code(code: wire::CloseCode) -> CloseCode {
    match code {
        wire::CloseCode::NoCommonVersion | wire::CloseCode::Protocol => CloseCode::PROTOCOL,
        wire::CloseCode::Revoked => CloseCode::REVOKED,
        wire::CloseCode::Busy | wire::CloseCode::Storage => CloseCode::BUSY,
        wire::CloseCode::Shutdown => CloseCode::SHUTTING_DOWN,
        wire::CloseCode::Replaced => CloseCode::REPLACED,
        wire::CloseCode::Cloned => CloseCode::CLONED,
        wire::CloseCode::Restarted => CloseCode::RESTARTED,
        wire::CloseCode::Other => CloseCode::DONE,
    }
}

/// What lives on the thread.
struct Owner {
    replica: Replica,
    links: BTreeMap<LinkId, LinkQueue>,
    events: broadcast::Sender<Event>,
    clock: Clock,
}

impl Owner {
    async fn run(mut self, mut queue: mpsc::Receiver<Job>) {
        loop {
            let timeout = self.replica.poll_timeout().map(|at| self.clock.deadline(at));
            let job = tokio::select! {
                biased;
                () = sleep_until(timeout) => {
                    let now = self.now();
                    let result = self.replica.handle_timeout(now);
                    self.finish(result);
                    continue;
                }
                job = queue.recv() => job,
            };
            let Some(job) = job else { break };
            if matches!(job, Job::Stop) {
                break;
            }
            self.handle(job);
        }
        let now = self.now();
        let result = self.replica.shut_down(now);
        self.finish(result);
    }

    fn now(&self) -> Now {
        Now { instant: self.clock.now(), wall: self.clock.wall() }
    }

    fn handle(&mut self, job: Job) {
        let now = self.now();
        let result = match job {
            Job::Call(call) => {
                call(&mut self.replica, now);
                Ok(())
            }
            Job::LinkUp { link, peer, is_dialer, out } => {
                self.links.insert(link, out);
                let result = self.replica.handle_link_up(now, link, &peer, is_dialer);
                if let Err(error) = &result
                    && let Some(queue) = self.links.remove(&link)
                {
                    let message = format!("the other side cannot take the link: {error}");
                    let close = Close { code: wire::CloseCode::Storage, message, retry_after_ms: 0, incarnation: 0 };
                    let _ = queue.frames.put(LinkOut::Close(close));
                }
                result
            }
            Job::Frame { link, frame } => self.replica.handle_frame(now, link, &frame),
            Job::LinkDown { link } => {
                self.links.remove(&link);
                self.replica.handle_link_down(now, link)
            }
            Job::Stop => Ok(()),
        };
        self.finish(result);
    }

    /// Carries out what the replica wants, after each input.
    fn finish(&mut self, result: Result<(), StoreError>) {
        if let Err(error) = result {
            tracing::error!(%error, "the store failed");
        }
        while let Some(output) = self.replica.poll_output() {
            match output {
                Output::Transmit { link, frame, carries_changes } => {
                    self.put(link, LinkOut::Frame { frame, carries_changes });
                }
                Output::Close { link, close } => self.put(link, LinkOut::Close(close)),
                // Nobody listens: then nobody wants to know.
                Output::Event(event) => drop(self.events.send(event)),
            }
        }
    }

    /// A full queue means that the peer has not read for a whole window. Its driver is in the middle of a frame that will
    /// not leave, so the link is cut under it.
    fn put(&mut self, link: LinkId, out: LinkOut) {
        if let Some(queue) = self.links.get(&link)
            && queue.frames.put(out).is_err()
        {
            queue.control.close(CloseCode::TOO_SLOW, "what was sent is not read");
            self.links.remove(&link);
        }
    }
}

async fn sleep_until(at: Option<tokio::time::Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
