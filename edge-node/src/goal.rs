//! What the target is to hold, from the local disk alone: the newest complete release, or the one that was applied last.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
#[cfg(feature = "mutants")]
use sync_core::mutants::{Mutant, planted};
use sync_core::replica::{Desired, DesiredError, Replica};
use sync_core::state::observed::AppliedStamp;
use sync_core::state::{LayerState, compose};
use sync_core::store::StoreError;

use crate::actuator::DesiredObject;

/// Where the applied release is kept in the replica's local values.
pub(crate) const APPLIED: &str = "edge.applied";

/// A release as it was applied: enough to repair the target while a newer one has come in part or does not compose.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct AppliedRelease {
    pub(crate) stamp: AppliedStamp,
    pub(crate) objects: BTreeMap<String, Value>,
}

/// What to bring about.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Goal {
    /// What it is called.
    pub(crate) stamp: AppliedStamp,
    /// The objects, by key.
    pub(crate) objects: Vec<DesiredObject>,
    /// The target held this already, as far as the database knows.
    pub(crate) is_applied: bool,
    /// Why it is not the newest that was heard of.
    pub(crate) held_back: Option<HeldBack>,
}

/// Why the newest release is not the goal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum HeldBack {
    /// It is on its way: nothing is wrong.
    Waiting(String),
    /// It cannot be applied as it is.
    Refused(String),
}

impl HeldBack {
    /// Why, for people.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Waiting(text) | Self::Refused(text) => text.clone(),
        }
    }
}

/// The goal; `None` while nothing was ever assigned. The second value says what is awaited then.
pub(crate) fn goal(replica: &mut Replica) -> Result<(Option<Goal>, Option<HeldBack>), StoreError> {
    let applied: Option<AppliedRelease> = replica.inspect(|tx| tx.local(APPLIED))?;
    let held_back = match replica.desired() {
        Ok(desired) => {
            let stamp = stamp(&desired);
            let held_back = desired.waiting.clone().map(HeldBack::Waiting);
            if let Some(applied) = applied.as_ref().filter(|applied| is_same(&applied.stamp, &stamp)) {
                return Ok((Some(from_applied(applied, held_back)), None));
            }
            match objects(&desired) {
                Ok(objects) => return Ok((Some(Goal { stamp, objects, is_applied: false, held_back }), None)),
                Err(reason) => HeldBack::Refused(reason),
            }
        }
        Err(DesiredError::Store(error)) => return Err(error),
        Err(error @ (DesiredError::Damaged { .. } | DesiredError::Shape(_))) => HeldBack::Refused(error.to_string()),
        Err(error) => HeldBack::Waiting(error.to_string()),
    };
    Ok(match applied {
        Some(applied) => (Some(from_applied(&applied, Some(held_back))), None),
        None => (None, Some(held_back)),
    })
}

fn from_applied(applied: &AppliedRelease, held_back: Option<HeldBack>) -> Goal {
    let object = |(key, manifest): (&String, &Value)| DesiredObject::new(key.clone(), manifest.clone());
    Goal {
        stamp: applied.stamp.clone(),
        objects: applied.objects.iter().map(object).collect(),
        is_applied: true,
        held_back,
    }
}

fn stamp(desired: &Desired) -> AppliedStamp {
    AppliedStamp {
        assignment: desired.assignment.clone(),
        release: desired.release.clone(),
        layers: desired.layers.iter().map(|layer| (layer.name.clone(), layer.version)).collect(),
        at: None,
    }
}

/// Whether two stamps name the same frontiers; when they were applied does not matter.
fn is_same(a: &AppliedStamp, b: &AppliedStamp) -> bool {
    #[cfg(feature = "mutants")]
    if planted(Mutant::AppliedIsReleaseAlone) {
        return a.release.heads == b.release.heads;
    }
    a.assignment.heads == b.assignment.heads && a.release.heads == b.release.heads
}

fn objects(desired: &Desired) -> Result<Vec<DesiredObject>, String> {
    let layers: Vec<LayerState<'_>> =
        desired.layers.iter().map(|layer| LayerState { name: &layer.name, document: &layer.state }).collect();
    let effective = compose(&layers).map_err(|error| error.to_string())?;
    Ok(effective.objects.into_iter().map(|(key, object)| DesiredObject::new(key.to_string(), object)).collect())
}
