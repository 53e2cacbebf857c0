//! What a rehearsal with guests came to.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::time::Duration;

use hub::service::{LayerDetail, NodeDetail};
use serde_json::Value;
use sync_core::state::observed::{AppliedStamp, ObservedState};

use super::Guests;
use crate::stack::world::Outcome;
use crate::trace::{Entry, read};

/// A rehearsal that has ended.
#[derive(Debug)]
#[non_exhaustive]
pub struct Rehearsed {
    /// What each node that had joined held at the end, by name.
    pub nodes: BTreeMap<String, NodeEnd>,
    /// What each hub knew at the end, by name.
    pub hubs: BTreeMap<String, HubEnd>,
    outcome: Outcome,
    trace: Vec<u8>,
}

/// A node at the end, by its own store.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct NodeEnd {
    /// Which assignment and release its target holds, as far as the agent knows.
    pub applied: Option<AppliedStamp>,
    /// The objects of those, composed from their layers, by key (`apps/Deployment/shop/cart`).
    pub objects: BTreeMap<String, Value>,
    /// What it reported last, or would.
    pub report: Option<ObservedState>,
}

/// A hub at the end, by its own answers.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct HubEnd {
    /// Every node: what it should run, what it said that it runs, and in what these differ.
    pub nodes: BTreeMap<String, NodeDetail>,
    /// Every layer with its objects.
    pub layers: BTreeMap<String, LayerDetail>,
}

/// Why a run is no good.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .sentences.join("\n"))]
#[non_exhaustive]
pub struct Failure {
    /// What broke, each beginning with `invariant N: `, or why not all agreed; then the last that happened.
    pub sentences: Vec<String>,
}

impl Rehearsed {
    pub(super) fn new(outcome: Outcome, guests: Guests, trace: Vec<u8>) -> Self {
        Self { nodes: guests.nodes, hubs: guests.hubs, outcome, trace }
    }

    /// How long after the healing all agreed, in virtual time.
    ///
    /// # Errors
    /// [`Failure`]: an invariant is broken, or they did not agree within `heal.within`.
    pub fn verdict(&self) -> Result<Duration, Failure> {
        if let (true, Some(after)) = (self.outcome.broken.is_empty(), self.outcome.agreed_after) {
            return Ok(after);
        }
        let mut sentences = self.outcome.broken.clone();
        if sentences.is_empty() {
            let why = self.outcome.disagreement.as_deref().unwrap_or("nobody was asked");
            sentences.push(format!("no agreement: {why}"));
        }
        sentences.push("the last that happened:".to_owned());
        sentences.extend(self.outcome.last.iter().map(|entry| format!("  {entry}")));
        Err(Failure { sentences })
    }

    /// How often events of this kind (`power-loss`, `edit`, `join`) were planned, and how often they took effect. Zero twice
    /// when the plan has none.
    #[must_use]
    pub fn events(&self, kind: &str) -> (u64, u64) {
        self.outcome.events.get(kind).map_or((0, 0), |tally| (tally.planned, tally.reached))
    }

    /// Everything that happened, in order.
    pub fn trace(&self) -> impl Iterator<Item = Entry> {
        // It was written by this program a moment ago.
        read(self.trace.as_slice()).into_iter().flatten().map_while(Result::ok)
    }

    /// BLAKE3 over the entries of the trace: the same for two runs in which the same happened.
    #[must_use]
    pub fn trace_hash(&self) -> [u8; 32] {
        self.outcome.trace.0
    }

    /// Writes the trace into a file, for `archipel-sim report`. `archipel-sim replay` makes the run again without your code,
    /// which is another run.
    ///
    /// # Errors
    /// The system's.
    pub fn save_trace(&self, path: impl AsRef<Path>) -> io::Result<()> {
        std::fs::write(path, &self.trace)
    }
}
