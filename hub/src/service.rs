//! The words between the admin API and the replica: what can be asked, and what comes back.
//!
//! Commands and replies are plain values, so the API, the command line and tests share them. Ages are in seconds and say
//! so; `None` means that it never happened.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sync_core::id::Name;

pub mod bundle;
pub mod fleet;

/// Labels of a token, a node or a selector.
pub type Labels = BTreeMap<String, String>;

/// Everything that an administrator can ask of a hub.
#[derive(Debug, Clone, PartialEq)]
pub enum AdminCommand {
    /// Makes a one-use token. Answered by [`AdminReply::Token`].
    CreateToken {
        /// How long it may be redeemed.
        ttl_seconds: u64,
        /// What the node that redeems it is labelled.
        labels: Labels,
    },
    /// Makes a layer exactly these objects. Answered by [`AdminReply::LayerApplied`].
    ApplyLayer {
        /// The layer; made when there is none.
        name: Name,
        /// All its objects, sorted by key, each key once.
        objects: Vec<KeyedObject>,
        /// Whether nodes that follow the layer get it now.
        release: bool,
    },
    /// Answered by [`AdminReply::Layers`].
    ListLayers,
    /// Answered by [`AdminReply::Layer`].
    ShowLayer {
        /// The layer.
        name: Name,
    },
    /// Deletes a layer. Answered by [`AdminReply::LayerDeleted`].
    DeleteLayer {
        /// The layer.
        name: Name,
    },
    /// Releases what was applied. Answered by [`AdminReply::Released`].
    Release {
        /// The layers; none means all.
        layers: Vec<Name>,
    },
    /// Says which layers nodes take. Answered by [`AdminReply::Assigned`].
    Assign {
        /// The layers in the order in which they are composed.
        layers: Vec<Name>,
        /// The nodes.
        target: AssignTarget,
    },
    /// Answered by [`AdminReply::Nodes`].
    ListNodes,
    /// Answered by [`AdminReply::Node`].
    ShowNode {
        /// The node.
        name: Name,
    },
    /// Answered by [`AdminReply::Status`].
    Status,
    /// About hubs, homes, conflicts and enrolment. Answered by [`AdminReply::Fleet`].
    Fleet(fleet::FleetCommand),
    /// About feeds as files. Answered by [`AdminReply::Bundle`].
    Bundle(bundle::BundleCommand),
}

/// Which nodes an assignment is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AssignTarget {
    /// One node.
    Node(Name),
    /// Every node, now or later, whose token's labels contain these.
    Selector(Labels),
}

/// One Kubernetes object and its identity.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KeyedObject {
    /// The text form of [`sync_core::state::ObjectKey`], such as `apps/Deployment/shop/cart` or `core/Namespace//shop`.
    pub key: String,
    /// The object.
    pub object: Value,
}

/// What a hub answers. Serialised as the value inside.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum AdminReply {
    /// To [`AdminCommand::CreateToken`].
    Token(CreatedToken),
    /// To [`AdminCommand::ApplyLayer`].
    LayerApplied(AppliedLayer),
    /// To [`AdminCommand::ListLayers`].
    Layers(LayerList),
    /// To [`AdminCommand::ShowLayer`].
    Layer(LayerDetail),
    /// To [`AdminCommand::DeleteLayer`].
    LayerDeleted(DeletedLayer),
    /// To [`AdminCommand::Release`].
    Released(Released),
    /// To [`AdminCommand::Assign`].
    Assigned(Assigned),
    /// To [`AdminCommand::ListNodes`].
    Nodes(NodeList),
    /// To [`AdminCommand::ShowNode`].
    Node(NodeDetail),
    /// To [`AdminCommand::Status`].
    Status(HubStatus),
    /// To [`AdminCommand::Fleet`].
    Fleet(fleet::FleetReply),
    /// To [`AdminCommand::Bundle`].
    Bundle(bundle::BundleReply),
}

/// A new token.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreatedToken {
    /// What the node is started with. A secret until it is redeemed.
    pub token: String,
    /// How long it may be redeemed.
    pub expires_in_seconds: u64,
    /// What its node will be labelled.
    pub labels: Labels,
}

impl fmt::Debug for CreatedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { token: _, expires_in_seconds, labels } = self;
        f.debug_struct("CreatedToken")
            .field("token", &"(secret)")
            .field("expires_in_seconds", expires_in_seconds)
            .field("labels", labels)
            .finish()
    }
}

/// What applying a layer changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppliedLayer {
    /// The layer.
    pub name: Name,
    /// Its version now; the same as before when nothing changed.
    pub layer_version: u64,
    /// Keys of objects that are new.
    pub added: Vec<String>,
    /// Keys of objects that differ.
    pub changed: Vec<String>,
    /// Keys of objects that are gone.
    pub removed: Vec<String>,
    /// How many objects stayed as they were.
    pub unchanged_count: u64,
    /// The release that carries it; `None` when it was not released.
    pub release_version: Option<u64>,
}

/// All layers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerList {
    /// Sorted by name.
    pub layers: Vec<LayerSummary>,
}

/// One layer, without its objects.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerSummary {
    /// Its name.
    pub name: Name,
    /// The version that was applied last.
    pub layer_version: u64,
    /// The version that nodes get; `None` when it was never released.
    pub released_layer_version: Option<u64>,
    /// How many objects it has.
    pub object_count: u64,
    /// Bytes of its objects as compact JSON.
    pub object_bytes: u64,
    /// How long ago it changed; `None` when the hub's clock was unknown.
    pub changed_seconds_ago: Option<u64>,
    /// How many nodes are assigned to it.
    pub assigned_node_count: u64,
}

/// One layer with its objects, as it was applied last.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LayerDetail {
    /// What the list shows of it.
    pub layer: LayerSummary,
    /// Sorted by key.
    pub objects: Vec<KeyedObject>,
    /// Fields in which hubs disagree.
    #[serde(default)]
    pub conflicts: Vec<fleet::ConflictEntry>,
}

/// A layer that is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeletedLayer {
    /// Its name.
    pub name: Name,
    /// Keys of the objects it had.
    pub removed: Vec<String>,
}

/// A new release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Released {
    /// Its version; that of the last release when there was nothing to release.
    pub release_version: u64,
    /// The layers that it moved forward.
    pub layers: Vec<LayerVersion>,
}

/// A layer at a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerVersion {
    /// The layer.
    pub name: Name,
    /// Its version.
    pub layer_version: u64,
}

/// A new assignment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assigned {
    /// The layers, in order.
    pub layers: Vec<Name>,
    /// Names of the known nodes that it is for, sorted.
    pub nodes: Vec<Name>,
}

/// All nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeList {
    /// Sorted by name.
    pub nodes: Vec<NodeSummary>,
}

/// What the hub knows of a node, and how old each fact is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeSummary {
    /// Its name.
    pub name: Name,
    /// Its id in hexadecimal.
    pub id: String,
    /// The labels that its token or a hub gave it.
    pub labels: Labels,
    /// Whether it is connected.
    pub link: Link,
    /// When it was last heard; zero while it is connected.
    pub last_contact_seconds_ago: Option<u64>,
    /// What it should run; `None` without an assignment.
    pub desired: Option<NodeVersion>,
    /// What it said that it runs; `None` before its first report.
    pub applied: Option<NodeVersion>,
    /// When it applied that.
    pub applied_age_seconds: Option<u64>,
    /// How its workloads do.
    pub health: Health,
    /// Why, in a few words; empty when all is well.
    pub health_message: String,
    /// How old the newest report is that the hub holds.
    pub observed_age_seconds: Option<u64>,
    /// Payload received from it since it was enrolled: frames with their length.
    pub payload_bytes_in: u64,
    /// Payload sent to it, likewise.
    pub payload_bytes_out: u64,
    /// Times that the hub waited for it, likewise.
    pub round_trips: u64,
    /// Inputs of its that were refused and kept.
    pub quarantined_count: u64,
    /// What is known of copies of its data folder.
    #[serde(default)]
    pub past: Past,
    /// Whether it is a member of the fleet here.
    #[serde(default)]
    pub enrolment: Enrolment,
}

/// What became known of copies of a data folder: it was set back to an older one, or runs twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Past {
    /// Which life of its database this is, from 1; zero before the first contact. Rises when it was set back.
    pub incarnation: u32,
    /// How often one side was seen to have lost or changed its past.
    pub fork_count: u64,
    /// How often a second copy was refused.
    pub clone_count: u64,
}

/// Whether a node is a member of the fleet, as far as the hub knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Enrolment {
    /// It is.
    #[default]
    Enrolled,
    /// It has a valid certificate, and no hub has said here that it is enrolled: it is sent the roster and nothing else.
    Staged,
    /// It was, and that was taken back.
    Revoked,
}

/// A node's link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Link {
    /// Connected now.
    Up,
    /// Was connected before.
    Down,
    /// Never connected.
    Never,
}

/// What a node runs or should run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeVersion {
    /// Version of its assignment.
    pub assignment_version: u64,
    /// Version of the release.
    pub release_version: u64,
    /// The layers, in order, at the versions that the release names.
    pub layers: Vec<LayerVersion>,
}

/// How a node's workloads do, worst first in nothing but name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// No report yet.
    Unknown,
    /// All workloads run as desired.
    Healthy,
    /// On the way there.
    Progressing,
    /// Something does not run.
    Degraded,
}

/// One node in full.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeDetail {
    /// What the list shows of it.
    pub node: NodeSummary,
    /// Each object that is desired, applied or observed there, sorted by key.
    pub objects: Vec<NodeObject>,
    /// Where observed differs from desired.
    pub differences: Vec<Difference>,
}

/// One object on a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeObject {
    /// The object.
    pub key: String,
    /// Whether the desired state holds it.
    pub desired: bool,
    /// Whether the node applied it.
    pub applied: bool,
    /// How it does there; `None` when the node did not report it.
    pub observed: Option<Health>,
    /// What the node says about it.
    pub message: String,
}

/// One value that differs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// The object.
    pub key: String,
    /// JSON pointer (RFC 6901) into it; empty for the object as a whole.
    pub path: String,
    /// The desired value; `None` when it should be absent.
    pub desired: Option<Value>,
    /// The observed value; `None` when it is absent.
    pub observed: Option<Value>,
}

/// The hub as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HubStatus {
    /// The program's version.
    pub version: String,
    /// The hub's id in hexadecimal.
    pub id: String,
    /// Where nodes reach it.
    pub listen: String,
    /// Time since it started.
    pub uptime_seconds: u64,
    /// The newest release; zero before the first.
    pub release_version: u64,
    /// Layers that were applied and not released since.
    pub unreleased_layers: Vec<Name>,
    /// How many layers there are.
    pub layer_count: u64,
    /// How many nodes are enrolled.
    pub node_count: u64,
    /// How many of them are connected.
    pub connected_count: u64,
    /// How many of them run something else than they should.
    pub behind_count: u64,
    /// How many of them are degraded.
    pub degraded_count: u64,
    /// Tokens that can still be redeemed.
    pub open_token_count: u64,
    /// Refused inputs that are kept.
    pub quarantined_count: u64,
    /// Which life of the hub's own database this is, and what all peers together lost or have twice.
    #[serde(default)]
    pub past: Past,
    /// Bytes of the database on disk.
    pub database_bytes: u64,
}

/// Why a command failed. Unless `kind` is [`AdminErrorKind::Internal`], nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}{}", hint_suffix(hint))]
pub struct AdminError {
    /// Who is to blame.
    pub kind: AdminErrorKind,
    /// What was wrong, and where.
    pub message: String,
    /// What to do; empty when the message says it.
    pub hint: String,
}

impl AdminError {
    /// An error with a hint; an empty hint is left out when it is shown.
    #[must_use]
    pub fn new(kind: AdminErrorKind, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hint: hint.into() }
    }
}

fn hint_suffix(hint: &str) -> String {
    if hint.is_empty() { String::new() } else { format!("; {hint}") }
}

/// Who is to blame for a failed command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AdminErrorKind {
    /// The caller named something that is not there.
    NotFound,
    /// The caller's command makes no sense.
    Invalid,
    /// The command makes sense, but not in the present state.
    Conflict,
    /// The disk or the database refused.
    Storage,
    /// A defect of the hub.
    Internal,
}

/// A future in a box.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Whoever answers commands. Answers with the reply that the command names, or with an error.
pub type AdminHandler = Arc<dyn Fn(AdminCommand) -> BoxFuture<Result<AdminReply, AdminError>> + Send + Sync>;
