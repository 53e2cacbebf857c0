//! What an edge is to run, from its own disk: the newest assignment, its release, and each layer at exactly the frontier
//! that the release names (invariant 4).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Replica;
use crate::document::materialise::{self, MaterialiseError};
use crate::document::{DocumentKey, DocumentKind, SignedFrontier};
use crate::id::{Name, NodeId};
use crate::state::desired::{AssignmentState, Labels, LayerPin, ReleaseState, from_state};
use crate::state::observed::Stamp;
use crate::store::StoreError;
#[cfg(feature = "mutants")]
use crate::{
    identity::Role,
    mutants::{Mutant, planted},
};

impl From<&SignedFrontier> for Stamp {
    fn from(signed: &SignedFrontier) -> Self {
        let frontier = signed.frontier();
        let heads = frontier.heads.to_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        Self { version: frontier.version, heads }
    }
}

/// A layer as released.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DesiredLayer {
    /// Its name.
    pub name: Name,
    /// Its version, for people.
    pub version: u64,
    /// Its state.
    pub state: Map<String, Value>,
}

/// What a node is to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Desired {
    /// The assignment.
    pub assignment: Stamp,
    /// The release.
    pub release: Stamp,
    /// The node's labels, as the hub knows them.
    pub labels: Labels,
    /// Layers from the base up.
    pub layers: Vec<DesiredLayer>,
    /// What a newer assignment or release still lacks, for people; `None` when this is the newest.
    pub waiting: Option<String>,
}

/// Why nothing can be applied right now. What was applied before stays.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DesiredError {
    /// No assignment has come yet.
    #[error("no assignment has come from a hub yet")]
    NotAssigned,
    /// Part of what the assignment names has not come yet.
    #[error("waiting for {0}")]
    Incomplete(DocumentKey),
    /// The assignment names a layer that its release does not hold.
    #[error("the assignment names the layer {0}, which is not released")]
    NotReleased(Name),
    /// A document does not have the shape of its kind.
    #[error("{0} does not have the shape of its kind; the hub that wrote it is newer or faulty")]
    Shape(DocumentKey),
    /// Stored changes no longer make a document.
    #[error("{key} cannot be loaded: {error}")]
    Damaged {
        /// The document.
        key: DocumentKey,
        /// What Automerge said.
        error: MaterialiseError,
    },
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The newest assignment and release of which everything was here, kept as a local value: history stays on disk, so their
/// state can be read again.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Whole {
    assignment: LayerPin,
    release: LayerPin,
    /// The layers of that release, by name.
    #[serde(default)]
    pub(super) layers: BTreeMap<Name, LayerPin>,
}

impl Whole {
    /// The generation of the document that this names.
    pub(super) fn generation_of(&self, key: &DocumentKey) -> Option<u32> {
        match key.kind {
            DocumentKind::Assignment => Some(self.assignment.generation),
            DocumentKind::Release => Some(self.release.generation),
            DocumentKind::Layer => {
                let layer = self.layers.iter().find(|(name, _)| name.as_str() == key.name);
                layer.map(|(_, pin)| pin.generation)
            }
            DocumentKind::Observed
            | DocumentKind::Override
            | DocumentKind::Journal
            | DocumentKind::Placement
            | DocumentKind::Roster => None,
        }
    }
}

/// A frontier and the state there.
type SignedState = (SignedFrontier, Map<String, Value>);

pub(super) const WHOLE: &str = "desired.whole";

impl Replica {
    /// What this node is to run. Reads the local disk and nothing else. While something newer is not complete, it is the
    /// newest that was (invariant 4), and [`Desired::waiting`] says for what.
    ///
    /// # Errors
    /// [`DesiredError`] when nothing was ever complete.
    pub fn desired(&mut self) -> Result<Desired, DesiredError> {
        let node = self.identity.id();
        let known: Option<Whole> = self.inspect(|tx| tx.local(WHOLE))?;
        let waiting = match self.gather(node, None) {
            Ok((desired, whole)) => {
                if known.as_ref() != Some(&whole) {
                    let tx = self.store.begin()?;
                    tx.set_local(WHOLE, &whole)?;
                    tx.commit()?;
                }
                return Ok(desired);
            }
            Err(DesiredError::Store(error)) => return Err(error.into()),
            Err(error) => error,
        };
        let Some(known) = known else { return Err(waiting) };
        let (desired, _) = self.gather(node, Some(&known))?;
        Ok(Desired { waiting: Some(waiting.to_string()), ..desired })
    }

    /// What this node, or at a hub any node, is to run by the newest frontiers.
    ///
    /// # Errors
    /// [`DesiredError`].
    pub fn desired_of(&mut self, node: NodeId) -> Result<Desired, DesiredError> {
        self.gather(node, None).map(|(desired, _)| desired)
    }

    fn gather(&mut self, node: NodeId, whole: Option<&Whole>) -> Result<(Desired, Whole), DesiredError> {
        let assignment_key = DocumentKey::assignment(node);
        let assignment = self.state_of(&assignment_key, whole.map(|whole| &whole.assignment));
        let (assignment, state) = assignment?.ok_or(DesiredError::NotAssigned)?;
        let state: AssignmentState = from_state(&state).ok_or(DesiredError::Shape(assignment_key))?;
        let release_key = DocumentKey::release(&state.release);
        let release = self.state_of(&release_key, whole.map(|whole| &whole.release));
        let (release, pins) = release?.ok_or_else(|| DesiredError::Incomplete(release_key.clone()))?;
        let pins: ReleaseState = from_state(&pins).ok_or(DesiredError::Shape(release_key))?;
        let mut layers = Vec::new();
        for name in &state.layers {
            let pin = pins.layers.get(name).ok_or_else(|| DesiredError::NotReleased(name.clone()))?;
            let key = DocumentKey::layer(name);
            let held = self.state_of(&key, Some(pin))?;
            #[cfg(feature = "mutants")]
            let held = match self.identity.role() {
                Role::Node if planted(Mutant::NewestLayerTaken) => self.state_of(&key, None)?,
                Role::Node if held.is_none() && planted(Mutant::MissingLayerLeftOut) => continue,
                _ => held,
            };
            let (_, state) = held.ok_or(DesiredError::Incomplete(key))?;
            layers.push(DesiredLayer { name: name.clone(), version: pin.version, state });
        }
        let named = pins.layers.into_iter().filter(|(name, _)| state.layers.contains(name)).collect();
        let whole = Whole { assignment: pin_of(&assignment), release: pin_of(&release), layers: named };
        let (assignment, release) = (Stamp::from(&assignment), Stamp::from(&release));
        Ok((Desired { assignment, release, labels: state.labels, layers, waiting: None }, whole))
    }

    /// A document at its newest frontier, or at the one that a pin names. Only a frontier that is in the log counts: then all
    /// below is held.
    fn state_of(&mut self, key: &DocumentKey, pin: Option<&LayerPin>) -> Result<Option<SignedState>, DesiredError> {
        let tx = self.store.begin_read()?;
        let Some(document) = tx.document(key.id())? else { return Ok(None) };
        let row = match (pin, document.latest) {
            (Some(pin), _) => tx.find_frontier(document.row, pin.generation, &pin.heads)?,
            (None, latest) => latest.map(|latest| tx.log_row(latest)).transpose()?,
        };
        let Some(row) = row.filter(|row| row.held) else { return Ok(None) };
        let state = match tx.view(document.row)? {
            Some(view) if document.latest == Some(row.seq) => view,
            _ => {
                self.loads.count += 1;
                let frontier = row.frontier.frontier();
                let loaded = materialise::load(&tx.chunks(document.row, frontier.generation)?, None);
                let state = loaded.and_then(|loaded| materialise::state_at(&loaded, &frontier.heads));
                state.map_err(|error| DesiredError::Damaged { key: key.clone(), error })?
            }
        };
        Ok(Some((row.frontier, state)))
    }
}

fn pin_of(signed: &SignedFrontier) -> LayerPin {
    let frontier = signed.frontier();
    LayerPin { generation: frontier.generation, version: frontier.version, heads: frontier.heads.clone() }
}
