//! The fleet as a workload has it: virtual time, seeded randomness, and handles to hubs and nodes.

use std::any::Any;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use hub::service::{AdminCommand, AdminError, AdminReply};
use sync_core::transport::ReplicaHandle;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::plan::stream::Stream;
use crate::random::Random;
use crate::stack::book::Book;
use crate::trace::{Happening, Work};

/// Requests of a workload that wait for the world. Each waits for its answer, so this is how many may ask at once.
const WAITING_MAX: usize = 64;

/// A running fleet, as a workload has it.
///
/// Members go by their names in the scenario. Nothing here waits in real time.
#[derive(Debug)]
pub struct Fleet {
    requests: mpsc::Sender<Request>,
    book: Book,
    start: Instant,
    random: Random,
    hubs: Vec<String>,
    nodes: Vec<String>,
}

/// Why a member of the fleet did not do what it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FleetError {
    /// The scenario has no member of this name, or none that can be asked this.
    #[error("nobody who can be asked this is called `{0}`")]
    Unknown(String),
    /// Its process does not run now. Nothing was changed.
    #[error("{0} does not run now")]
    Off(String),
    /// The hub refused, and says why.
    #[error(transparent)]
    Refused(#[from] AdminError),
    /// The workload's time is over.
    #[error("the world is being healed; nobody is asked any more")]
    Over,
}

/// What a workload asks of the world.
#[derive(Debug)]
pub(crate) enum Request {
    /// A command for a hub.
    Ask { hub: String, command: AdminCommand, reply: oneshot::Sender<Result<AdminReply, FleetError>> },
    /// The way to a member's replica.
    Handle { member: String, reply: oneshot::Sender<Result<ReplicaHandle, FleetError>> },
    /// A workload has panicked.
    Panicked,
}

impl Fleet {
    /// Virtual time since the run began. Setting the fleet up takes none.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// Lets so much virtual time pass.
    pub async fn sleep(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    /// Lets time pass until this long after the begin of the run.
    pub async fn sleep_until(&self, at: Duration) {
        sleep_until(self.start + at).await;
    }

    /// This workload's randomness, by the seed and the workload's place.
    pub fn random(&mut self) -> &mut Random {
        &mut self.random
    }

    /// The hubs' names; the first one founded the fleet.
    #[must_use]
    pub fn hubs(&self) -> &[String] {
        &self.hubs
    }

    /// The nodes' names. One that has not joined yet does not run.
    #[must_use]
    pub fn nodes(&self) -> &[String] {
        &self.nodes
    }

    /// Asks a hub, as its administrator does: [`AdminCommand::ApplyLayer`], [`AdminCommand::ShowNode`] and so on. The reply is
    /// the one that the command names.
    ///
    /// # Errors
    /// [`FleetError`].
    pub async fn ask(&self, hub: &str, command: AdminCommand) -> Result<AdminReply, FleetError> {
        let (reply, answer) = oneshot::channel();
        self.request(Request::Ask { hub: hub.to_owned(), command, reply }, answer).await
    }

    /// The way to the replica of a hub or a node, for as long as its present process runs. [`ReplicaHandle::call`] reads and
    /// writes it between two of its own steps, [`ReplicaHandle::subscribe`] tells what happens to it.
    ///
    /// # Errors
    /// [`FleetError`].
    pub async fn replica(&self, member: &str) -> Result<ReplicaHandle, FleetError> {
        let (reply, answer) = oneshot::channel();
        self.request(Request::Handle { member: member.to_owned(), reply }, answer).await
    }

    /// Writes something that happened to a member into the trace, for people who read it.
    pub fn note(&self, member: &str, text: &str) {
        self.book.tell(Happening::Work { member: member.into(), work: Work::Other { word: text.into() } });
    }

    async fn request<T>(
        &self,
        request: Request,
        answer: oneshot::Receiver<Result<T, FleetError>>,
    ) -> Result<T, FleetError> {
        self.requests.send(request).await.map_err(|_| FleetError::Over)?;
        answer.await.map_err(|_| FleetError::Over)?
    }
}

type Begun = Pin<Box<dyn Future<Output = ()> + Send>>;
type Beginning = Box<dyn FnOnce(Fleet) -> Begun + Send>;

/// The workloads of a world, before and while they run.
#[derive(Default)]
pub(crate) struct Workloads {
    waiting: Vec<Beginning>,
    running: JoinSet<()>,
    requests: Option<mpsc::Receiver<Request>>,
    pub(super) panic: Option<Box<dyn Any + Send>>,
}

impl Workloads {
    pub(super) fn add<W, F>(&mut self, work: W)
    where
        W: FnOnce(Fleet) -> F + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        self.waiting.push(Box::new(move |fleet| Box::pin(work(fleet))));
    }

    /// Begins them all, within a runtime. `hubs` and `nodes` are the members' names.
    pub(crate) fn begin(&mut self, seed: u64, book: &Book, hubs: &[String], nodes: &[String]) {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        for (number, work) in self.waiting.drain(..).enumerate() {
            let random = Stream::new(seed, &["workload", &number.to_string()]).next_u64();
            self.running.spawn(work(Fleet {
                requests: sender.clone(),
                book: book.clone(),
                start: Instant::now(),
                random: Random::new(random),
                hubs: hubs.to_vec(),
                nodes: nodes.to_vec(),
            }));
        }
        self.requests = Some(receiver);
    }

    /// What one of them asks next; for ever when none does.
    pub(crate) async fn next(&mut self) -> Request {
        loop {
            let Some(requests) = &mut self.requests else { return std::future::pending().await };
            tokio::select! {
                biased;
                Some(ended) = self.running.join_next() => {
                    if let Err(panic) = ended.map_err(tokio::task::JoinError::into_panic) {
                        self.panic = Some(panic);
                        return Request::Panicked;
                    }
                }
                request = requests.recv() => match request {
                    Some(request) => return request,
                    // All have ended.
                    None => self.requests = None,
                },
            }
        }
    }

    /// Their time is over.
    pub(crate) async fn end(&mut self) {
        self.requests = None;
        self.running.abort_all();
        while let Some(ended) = self.running.join_next().await {
            if let Err(error) = ended
                && let Ok(panic) = error.try_into_panic()
            {
                self.panic.get_or_insert(panic);
            }
        }
    }
}
