//! The shape of a node's observed document.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::id::Name;

/// What one node applied, and how it fares.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ObservedState {
    /// What the target holds; `None` before the first release was applied.
    #[serde(default)]
    pub applied: Option<AppliedStamp>,
    /// The whole in one word.
    #[serde(default)]
    pub health: Health,
    /// Why, for people; empty when all is well.
    #[serde(default)]
    pub message: String,
    /// Each object, by its key.
    #[serde(default)]
    pub objects: BTreeMap<String, ObjectCondition>,
    /// How often something was put right that had been changed by hand, since the node joined.
    #[serde(default)]
    pub repairs: u64,
    /// The agent's version.
    #[serde(default)]
    pub agent: String,
}

/// Which assignment and which release the target holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppliedStamp {
    /// The assignment.
    pub assignment: Stamp,
    /// The release.
    pub release: Stamp,
    /// The versions of the layers.
    pub layers: BTreeMap<Name, u64>,
    /// When it was applied, in seconds since 1970; `None` when the node did not know the time.
    #[serde(default)]
    pub at: Option<u64>,
}

/// Which frontier of a document is meant: the version for people, the heads for comparing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// For people.
    pub version: u64,
    /// Hexadecimal, concatenated.
    pub heads: String,
}

/// One object on the node.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ObjectCondition {
    /// The hash of what was applied (`state::hash`), hexadecimal; `None` when it could not be.
    #[serde(default)]
    pub applied: Option<String>,
    /// What is wrong with it; empty when nothing is.
    #[serde(default)]
    pub message: String,
}

/// The whole in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// Nothing is known.
    #[default]
    Unknown,
    /// Everything is as desired.
    Healthy,
    /// On the way there.
    Progressing,
    /// Something is not as desired.
    Degraded,
}
