//! Your own code in a simulated world, from an ordinary Rust test: an [`Actuator`] in place of the simulated cluster of some
//! nodes, and workloads that people and programs of yours would be.
//!
//! A [`Rehearsal`] runs a scenario at depth 2: the hub's and the agent's real loops, quinn, rustls, SQLite and Automerge, on one
//! thread, in virtual time, over simulated links and disks. A day takes seconds. What your code is given (time, randomness,
//! the order in which it is asked) follows from the scenario and the seed, so a run that fails fails again, as long as your
//! code asks neither the system's clock nor its randomness, and starts no threads.
//!
//! ```
//! use std::time::Duration;
//! use simulator::{Fleet, Rehearsal};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let rehearsal = Rehearsal::parse(
//!     r#"
//!     name = "a-day"
//!     rehearses = "One node takes what is released"
//!     duration = "2h"
//!     [[group]]
//!     name = "kiosk"
//!     layers = ["base"]
//!     [[layer]]
//!     name = "base"
//!     objects = 2
//!     "#,
//! )?;
//! let rehearsed = rehearsal
//!     .workload(|mut fleet: Fleet| async move {
//!         fleet.sleep(Duration::from_secs(60)).await;
//!         let lucky = fleet.random().below(6);
//!         fleet.note("kiosk", &format!("a customer threw {lucky}"));
//!     })
//!     .run()?;
//! rehearsed.verdict()?;
//! assert_eq!(rehearsed.nodes["kiosk"].objects.len(), 2);
//! # Ok(())
//! # }
//! ```

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use edge_node::actuator::Actuator;

use crate::plan::{Plan, PlanError};
use crate::random::Random;
use crate::scenario::event::matches;
use crate::scenario::{Depth, Scenario, ScenarioError};
use crate::stack::book::Book;
use crate::stack::world;
use crate::trace::{Header, Trace};

mod actuator;
mod fleet;
mod rehearsed;

pub(crate) use actuator::{Guest, Maker};
pub use fleet::{Fleet, FleetError};
pub(crate) use fleet::{Request, Workloads};
pub use rehearsed::{Failure, HubEnd, NodeEnd, Rehearsed};

/// Entries of a trace that a failure shows.
const LAST_ENTRIES: usize = 24;

/// A start of a node's agent, for whoever makes its actuator.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Boot {
    /// The node's name in the scenario, such as `truck-3`.
    pub node: String,
    /// The how-manieth start of its machine's processes, from 1; enrolling was one.
    pub number: u64,
    /// Since the last start the machine lost its power: what was applied and not flushed may be gone, if your target is one
    /// that forgets.
    pub lost_power: bool,
    /// Randomness of this start, by the seed, the node and the number.
    pub random: Random,
}

/// A scenario with your code in it.
///
/// [`Rehearsal::parse`] or [`Rehearsal::load`] makes one, [`Rehearsal::run`] runs it. The guide's section "In your own tests"
/// has an example.
#[must_use = "nothing happens until it is run"]
pub struct Rehearsal {
    scenario: Scenario,
    seed: Option<u64>,
    makers: Vec<(String, Maker)>,
    workloads: Workloads,
}

impl std::fmt::Debug for Rehearsal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let patterns: Vec<_> = self.makers.iter().map(|(pattern, _)| pattern).collect();
        f.debug_struct("Rehearsal")
            .field("scenario", &self.scenario.name)
            .field("seed", &self.seed)
            .field("actuators", &patterns)
            .finish_non_exhaustive()
    }
}

/// Why a rehearsal did not begin. Nothing has happened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RehearsalError {
    /// The scenario has no plan at depth 2.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// An actuator is for nobody.
    #[error("no node is called `{pattern}`, for which there is an actuator; there are {nodes}")]
    NoNode {
        /// The name or pattern.
        pattern: String,
        /// The nodes that there are.
        nodes: String,
    },
    /// The system gave no runtime.
    #[error("cannot begin: {0}")]
    System(#[from] io::Error),
}

impl Rehearsal {
    /// A rehearsal of the scenario that this text is. `docs/simulator.md` says what can be in it.
    ///
    /// # Errors
    /// [`ScenarioError`] says in which line and field something is wrong.
    pub fn parse(text: &str) -> Result<Self, ScenarioError> {
        Scenario::parse("scenario", text).map(Self::of)
    }

    /// A rehearsal of a scenario that comes with the simulator, by its name, or of the one in a file.
    ///
    /// # Errors
    /// [`ScenarioError`], also when there is neither.
    pub fn load(name: &str) -> Result<Self, ScenarioError> {
        Scenario::load(name).map(Self::of)
    }

    fn of(scenario: Scenario) -> Self {
        Self { scenario, seed: None, makers: Vec::new(), workloads: Workloads::default() }
    }

    /// Uses this seed, below 2^63, instead of the scenario's own.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Gives the nodes of this name, or of this pattern (`truck-*`), an actuator of your own in place of the simulated cluster.
    /// Of several that match a node the last one counts.
    ///
    /// `make` is called at each start of such a node's agent. An actuator dies with its process; what it keeps as desired (a
    /// controller, a file, a cluster) does not, so keep that outside and share it, as between the agent and the world.
    ///
    /// The agent calls it on the thread of the run: it must not block. Of such a node the checks do not compare what the
    /// target holds (`comes-back-alone`), which only you can do; `status` and `target-edit` events have nothing to change
    /// there and take no effect.
    pub fn actuator(
        mut self,
        nodes: &str,
        make: impl Fn(Boot) -> Box<dyn Actuator + Send> + Send + Sync + 'static,
    ) -> Self {
        self.makers.push((nodes.to_owned(), Arc::new(make)));
        self
    }

    /// Runs this beside the scenario's own events, from the begin until the healing, where it is dropped at whatever it
    /// awaits. Several run side by side, each with its own randomness, by the order in which they were added.
    ///
    /// A panic in it, of a failed `assert!` for example, ends the run and goes on in the caller of [`Rehearsal::run`].
    pub fn workload<W, F>(mut self, work: W) -> Self
    where
        W: FnOnce(Fleet) -> F + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        self.workloads.add(work);
        self
    }

    /// Runs it to its end: the events and workloads, the healing, and until all agree or `heal.within` has passed.
    ///
    /// Every invariant is watched, but for `no-wall-clock`, which would take a second run.
    ///
    /// # Errors
    /// [`RehearsalError`] when it cannot begin. A run that breaks something is no error here: [`Rehearsed::verdict`] says so.
    ///
    /// # Panics
    /// When a workload did. Must not be called from within a `tokio` runtime.
    pub fn run(self) -> Result<Rehearsed, RehearsalError> {
        let seed = self.seed.unwrap_or(self.scenario.seed);
        let plan = Plan::expand(&self.scenario, seed, Depth::Stack)?;
        let mut makers: BTreeMap<String, Maker> = BTreeMap::new();
        for (pattern, make) in &self.makers {
            let mut nodes = plan.nodes.iter().filter(|node| matches(pattern, &node.name)).peekable();
            if nodes.peek().is_none() {
                let all = plan.nodes.iter().map(|node| &*node.name).collect::<Vec<_>>();
                return Err(RehearsalError::NoNode { pattern: pattern.clone(), nodes: all.join(", ") });
            }
            makers.extend(nodes.map(|node| (node.name.to_string(), Arc::clone(make))));
        }
        let text = Written::default();
        let scenario = plan.to_scenario().to_toml().map_err(io::Error::other)?;
        let header = Header::new(seed, plan.depth.number(), scenario);
        let trace = Trace::with_writer(LAST_ENTRIES, &header, Box::new(text.clone()))?;
        let mut guests = Guests { makers, workloads: self.workloads, asks_for_the_end: true, ..Guests::default() };
        let outcome = world::runtime()?.block_on(world::run_with(&plan, Book::new(trace), &mut guests, |_| ()));
        if let Some(panic) = guests.workloads.panic.take() {
            std::panic::resume_unwind(panic);
        }
        Ok(Rehearsed::new(outcome, guests, text.take()))
    }
}

/// Whoever takes part in a world and does not come with it, and what they want to know at its end.
#[derive(Default)]
pub(crate) struct Guests {
    pub(crate) makers: BTreeMap<String, Maker>,
    pub(crate) workloads: Workloads,
    /// Whether what follows is to be filled in.
    pub(crate) asks_for_the_end: bool,
    /// What each node came to.
    pub(crate) nodes: BTreeMap<String, NodeEnd>,
    /// What each hub came to.
    pub(crate) hubs: BTreeMap<String, HubEnd>,
}

/// A trace in memory. Clones are the same.
#[derive(Debug, Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Written {
    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
