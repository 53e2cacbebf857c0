//! The seam between deciding and doing: a closed vocabulary of objects, and the trait of whoever carries it out.
//!
//! Everything above the seam speaks of objects. Where an object lies in the target (a file, an API path) is a *place*:
//! a string that its actuator chooses once, that the inventory keeps, and that nobody else reads. A digest of what lies
//! there is all that is compared. So a folder, a Kubernetes API server and a command can stand behind one trait.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use sync_core::env::Instant;

pub mod directory;
pub mod inventory;
pub mod target;

#[cfg(test)]
mod conformance;

pub use directory::{Directory, DirectoryError};
pub use inventory::{Entry, Inventory, State};
pub use target::{Flavour, TargetSpec, TargetSpecError};

/// A BLAKE3 hash: of an object's manifest, or of what a target holds at a place.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// The hash of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&blake3::Hash::from_bytes(self.0).to_hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

impl Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let hash = blake3::Hash::from_hex(text.as_bytes()).map_err(serde::de::Error::custom)?;
        Ok(Self(*hash.as_bytes()))
    }
}

/// One Kubernetes object as it shall be.
#[derive(Debug, Clone, PartialEq)]
pub struct DesiredObject {
    /// Its name in the whole target: `group/kind/namespace/name`, for example `apps/Deployment/shop/cart`.
    pub key: String,
    /// The whole manifest.
    pub manifest: serde_json::Value,
    /// [`sync_core::state::ObjectHash`] of the manifest.
    pub hash: Digest,
}

impl DesiredObject {
    /// An object and its hash.
    ///
    /// ```
    /// use edge_node::actuator::DesiredObject;
    /// use serde_json::json;
    ///
    /// let one = DesiredObject::new("/Namespace//shop", json!({"kind": "Namespace", "apiVersion": "v1"}));
    /// let same = DesiredObject::new("/Namespace//shop", json!({"apiVersion": "v1", "kind": "Namespace"}));
    /// assert_eq!(one.hash, same.hash);
    /// ```
    #[must_use]
    pub fn new(key: impl Into<String>, manifest: serde_json::Value) -> Self {
        let hash = Digest(sync_core::state::ObjectHash::of(&manifest).0);
        Self { key: key.into(), manifest, hash }
    }

    /// When it is applied, relative to the others.
    #[must_use]
    pub fn stage(&self) -> Stage {
        let text = |name: &str| self.manifest.get(name).and_then(serde_json::Value::as_str).unwrap_or_default();
        let group = text("apiVersion").split_once('/').map_or("", |(group, _)| group);
        Stage::of(group, text("kind"))
    }
}

/// Objects of an earlier stage are applied first and removed last, because later ones need them to exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Namespaces: most others lie in one.
    Namespace,
    /// Custom resource definitions: without them the API server refuses their instances.
    Definition,
    /// What workloads name and wait for: accounts, roles, classes, volumes, configuration, secrets.
    Support,
    /// Everything else.
    Workload,
    /// What can refuse the others: admission webhooks and policies, aggregated APIs.
    Guard,
}

impl Stage {
    /// The stage of a kind; `group` is empty for the core group.
    #[must_use]
    pub fn of(group: &str, kind: &str) -> Self {
        match (group, kind) {
            ("", "Namespace") => Self::Namespace,
            ("apiextensions.k8s.io", "CustomResourceDefinition") => Self::Definition,
            (
                "",
                "ConfigMap"
                | "LimitRange"
                | "PersistentVolume"
                | "PersistentVolumeClaim"
                | "ResourceQuota"
                | "Secret"
                | "ServiceAccount",
            )
            | ("rbac.authorization.k8s.io", _)
            | ("scheduling.k8s.io", "PriorityClass")
            | ("storage.k8s.io", "StorageClass" | "CSIDriver")
            | ("node.k8s.io", "RuntimeClass") => Self::Support,
            ("admissionregistration.k8s.io", _) | ("apiregistration.k8s.io", _) => Self::Guard,
            _ => Self::Workload,
        }
    }
}

/// Where an actuator would keep an object, and what would lie there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intent {
    /// The place; legal for this target, the same for the same key at all times, different for different keys.
    pub place: String,
    /// What [`Actuator::observe`] reports there once the object is applied.
    pub content: Digest,
}

/// What lies at one place of the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sight {
    /// Something with this content.
    Present(Digest),
    /// Something in a form that the actuator never makes, such as a link where a file belongs.
    Altered,
    /// Asked to go, and not known to be gone.
    Leaving,
    /// The object is gone; only its trace is left, to be dropped with [`Action::Forget`].
    Left,
}

/// What the target holds that is, or could be, ours: place to sight. A place that is not listed is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen(pub BTreeMap<String, Sight>);

/// Why an object is put into the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The target never held it, or was asked to drop it and it is wanted again.
    New,
    /// A newer release changed it.
    Changed,
    /// Somebody changed it in the target; the change is undone.
    Repaired,
    /// Somebody removed it from the target; it is brought back.
    Restored,
    /// The target held it and the inventory did not: the database was lost, or is older than the target.
    Adopted,
}

/// One step on one object. Every step may be taken again: the result is the same (idempotence).
#[derive(Debug, Clone, PartialEq)]
pub enum Action<'a> {
    /// Make the target hold the object, whatever lies at its place now.
    Put {
        /// The object.
        object: &'a DesiredObject,
        /// Where, and what will lie there.
        intent: Intent,
        /// Why; for the journal.
        cause: Cause,
    },
    /// Make the target drop the object. Where that takes time the answer is [`Applied::Leaving`].
    Remove {
        /// The object's key.
        key: String,
        /// Where it lies.
        place: String,
    },
    /// Drop the trace of an object that left.
    Forget {
        /// The object's key.
        key: String,
        /// Where its trace lies.
        place: String,
    },
}

impl Action<'_> {
    /// The key of the object it is about.
    #[must_use]
    pub fn key(&self) -> &str {
        match self {
            Self::Put { object, .. } => &object.key,
            Self::Remove { key, .. } | Self::Forget { key, .. } => key,
        }
    }
}

/// What became of an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// The target holds the object.
    Held,
    /// The target was asked to drop the object; its place is in use until [`Sight::Left`].
    Leaving,
    /// The target holds neither the object nor a trace of it.
    Gone,
}

/// Keeps one target equal to the desired objects, one step at a time.
///
/// An actuator decides nothing: [`crate::reconcile::plan`] does. It keeps no state that it needs after a restart, only
/// caches. It touches a place only when an [`Action`] names it.
pub trait Actuator {
    /// Where it would keep `object`, and what would lie there. Pure: it looks at nothing else.
    fn intent(&self, object: &DesiredObject) -> Intent;

    /// Looks at every place of the inventory, and at all others that could hold something of ours.
    ///
    /// `now` is this process's monotonic time; it decides how long something has been leaving, never whether to delete.
    ///
    /// # Errors
    /// [`ObserveError`]: the target as a whole could not be read. Nothing was changed.
    fn observe(&mut self, inventory: &Inventory, now: Instant) -> Result<Seen, ObserveError>;

    /// Takes one step. The step need not be durable before [`Actuator::flush`].
    ///
    /// # Errors
    /// [`ApplyError`]: the step was not taken, and what lay at the place before is still whole.
    fn apply(&mut self, action: &Action<'_>) -> Result<Applied, ApplyError>;

    /// Makes all steps so far durable.
    ///
    /// # Errors
    /// [`ApplyError`]: any of the steps since the last flush may be undone by a loss of power.
    fn flush(&mut self) -> Result<(), ApplyError>;

    /// What the target says of objects that it holds, by key, for people: part of the report. A key that is missing has
    /// nothing to say.
    fn remarks(&mut self) -> BTreeMap<String, String> {
        BTreeMap::new()
    }
}

/// Why the target could not be observed. The site's to mend; nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ObserveError {
    /// The folder of a directory target.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// A target of the embedding program's.
    #[error("{0}")]
    Target(String),
}

/// Why a step was not taken. The object at its place is as it was; the next pass tries again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApplyError {
    /// The folder of a directory target, or one file in it.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// A target of the embedding program's.
    #[error("{reason}")]
    Target {
        /// Why.
        reason: String,
        /// No other step can succeed either.
        stops: bool,
    },
}

impl ApplyError {
    /// True when no other step can succeed either, so that the pass ends here.
    #[must_use]
    pub fn stops_the_pass(&self) -> bool {
        match self {
            Self::Directory(error) => error.is_about_the_folder(),
            Self::Target { stops, .. } => *stops,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_text_of_a_manifest_is_canonical() {
        assert_eq!(json!({"b": {"d": 1, "c": 2}, "a": 3}).to_string(), r#"{"a":3,"b":{"c":2,"d":1}}"#);
    }

    #[test]
    fn a_digest_survives_its_text_form() {
        let digest = Digest::of(b"x");
        assert_eq!(serde_json::from_value::<Digest>(json!(digest)).unwrap(), digest);
        assert!(serde_json::from_value::<Digest>(json!("zz")).is_err());
    }

    #[test]
    fn stages_follow_group_and_kind() {
        let stage = |api: &str, kind: &str| DesiredObject::new("k", json!({"apiVersion": api, "kind": kind})).stage();
        assert_eq!(stage("v1", "Namespace"), Stage::Namespace);
        assert_eq!(stage("example.org/v1", "Namespace"), Stage::Workload);
        assert_eq!(stage("apiextensions.k8s.io/v1", "CustomResourceDefinition"), Stage::Definition);
        assert_eq!(stage("v1", "Secret"), Stage::Support);
        assert_eq!(stage("apps/v1", "Deployment"), Stage::Workload);
        assert_eq!(stage("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration"), Stage::Guard);
        assert!(Stage::Namespace < Stage::Definition && Stage::Workload < Stage::Guard);
    }
}
