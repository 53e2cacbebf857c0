//! The inventory: every object that we may have put into the target, and where.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Digest, Stage};

/// Every object that we put, or were about to put, into the target: key to entry.
///
/// The agent keeps it in its database. It is made wider there *before* the target is touched and narrower after, so at
/// no moment does the target hold something of ours that the inventory does not name (see [`crate::reconcile`]).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Inventory(pub BTreeMap<String, Entry>);

/// One object in the inventory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Where the actuator keeps it. Kept for good, also when a later version would choose another place.
    pub place: String,
    /// Removal goes by falling stage, and the manifest is not at hand any more by then.
    pub stage: Stage,
    /// Hash of the manifest that was last put there, or is about to be.
    pub object: Digest,
    /// Digest of what that put there, or is about to.
    pub content: Digest,
    /// How far it got.
    pub state: State,
}

/// How far an entry got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// The target holds `content`, durably.
    Held,
    /// A write is, or was, under way: the target holds `content`, or what it held before.
    Changing {
        /// What it held before; `None` when that was nothing.
        before: Option<Digest>,
    },
    /// The target was asked to drop the object; its place is not free yet.
    Leaving,
}

impl Entry {
    /// True when `content` at this place can be our own work.
    #[must_use]
    pub fn wrote(&self, content: Digest) -> bool {
        content == self.content || self.state == State::Changing { before: Some(content) }
    }
}
