//! Words about the fleet as a whole: other hubs, homes of documents, conflicts, and the enrolment of nodes.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sync_core::id::Name;

use super::{CreatedToken, Link};

/// What can be asked about the fleet. Each holds the body of its request.
#[derive(Debug, Clone, PartialEq)]
pub enum FleetCommand {
    /// Makes a token for another hub. Answered by [`FleetReply::Token`].
    CreateHubToken(HubTokenRequest),
    /// Takes a node's enrolment back, for good. Answered by [`FleetReply::Nodes`].
    RevokeNode(NodeRequest),
    /// Takes staged nodes in. Answered by [`FleetReply::Nodes`].
    ConfirmNodes(ConfirmRequest),
    /// Gives a node another name. Answered by [`FleetReply::Nodes`].
    RenameNode(RenameRequest),
    /// Says where a hub is reached. Answered by [`FleetReply::Hubs`].
    AddPeer(PeerRequest),
    /// Takes a hub out of the fleet, for good. Answered by [`FleetReply::Hubs`].
    RemovePeer(NodeRequest),
    /// Answered by [`FleetReply::Hubs`].
    ListPeers,
    /// Moves the home of a layer, or of everything. Answered by [`FleetReply::Homes`].
    MoveHome(MoveHomeRequest),
    /// Answered by [`FleetReply::Homes`].
    ShowHomes,
    /// Answered by [`FleetReply::Conflicts`].
    ListConflicts,
    /// Settles a conflict. Answered by [`FleetReply::Conflicts`], with what is left of the document's.
    ResolveConflict(ResolveRequest),
}

/// Asks for a hub's token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HubTokenRequest {
    /// How long it may be redeemed.
    pub ttl_seconds: u64,
    /// Whether the hub that redeems it gets the fleet's certificate authority, and can enrol itself.
    #[serde(default)]
    pub with_authority: bool,
}

/// Names a node or a hub.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeRequest {
    /// Its name.
    pub name: Name,
}

/// Names a staged node, or all of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfirmRequest {
    /// Its name; all when left out.
    #[serde(default)]
    pub name: Option<Name>,
}

/// A node's new name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RenameRequest {
    /// What it is called.
    pub name: Name,
    /// What it is to be called.
    pub to: Name,
}

/// Where a hub is reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PeerRequest {
    /// The hub's name.
    pub name: Name,
    /// `HOST:PORT`.
    pub address: String,
}

/// A new home.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MoveHomeRequest {
    /// The layer; everything when left out.
    #[serde(default)]
    pub layer: Option<Name>,
    /// The hub.
    pub to: Name,
}

/// Which of the values of a conflict shall be the one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResolveRequest {
    /// The document as the list of conflicts names it: `layer/base`, `release/main`. A bare name is a layer's.
    pub document: String,
    /// The field: a JSON pointer (RFC 6901).
    pub path: String,
    /// The value's number in the list, from 1.
    pub take: usize,
}

/// What is answered about the fleet. Serialised as the value inside.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum FleetReply {
    /// A hub's token.
    Token(CreatedToken),
    /// The nodes that a command was for.
    Nodes(ChangedNodes),
    /// All hubs.
    Hubs(HubList),
    /// All homes.
    Homes(HomeList),
    /// Conflicts.
    Conflicts(ConflictList),
}

/// The nodes that a command changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangedNodes {
    /// What was done to them: `revoked`, `confirmed`, `renamed`.
    pub done: String,
    /// Their names.
    pub nodes: Vec<Name>,
}

/// All hubs of the fleet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HubList {
    /// By name.
    pub hubs: Vec<HubSummary>,
}

/// One hub.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HubSummary {
    /// Its name.
    pub name: String,
    /// Its id in hexadecimal; empty as long as it was never reached.
    pub id: String,
    /// Where it is reached.
    pub addresses: Vec<String>,
    /// The hub that was asked.
    pub is_this: bool,
    /// The default home of documents.
    pub is_home: bool,
    /// It holds the certificate authority, so it can enrol.
    pub has_authority: bool,
    /// Whether it is linked with the hub that was asked.
    pub link: Link,
    /// When it was last heard.
    pub last_contact_seconds_ago: Option<u64>,
}

/// Homes of documents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HomeList {
    /// The home of everything else; `None` before the fleet has a roster.
    pub default: Option<HomeEntry>,
    /// Documents that were moved on their own.
    pub moved: Vec<HomeEntry>,
}

/// One home.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HomeEntry {
    /// The document, `layer/NAME`; `*` for the default.
    pub document: String,
    /// The hub's name, or the start of its id.
    pub hub: String,
    /// How often homes had been moved by then.
    pub epoch: u64,
}

/// Fields in which hubs disagree.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ConflictList {
    /// By document and path.
    pub conflicts: Vec<ConflictEntry>,
}

/// One field.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ConflictEntry {
    /// The document: `layer/base`, `release/main`, `assignment/NODE`, `placement`, `roster`.
    pub document: String,
    /// A JSON pointer.
    pub path: String,
    /// The values; the first is in force until somebody writes the field.
    pub values: Vec<ConflictValue>,
}

/// One of the values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ConflictValue {
    /// To be named by, from 1.
    pub number: usize,
    /// The value; of a release the layer's version.
    pub value: Value,
    /// The hub that wrote it: its name or the start of its id.
    pub hub: String,
    /// When it came here.
    pub seconds_ago: Option<u64>,
}
