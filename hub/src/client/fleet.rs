//! Calls about the fleet as a whole.

use axum::http::Method;

use super::{AdminClient, ClientError, NO_BODY};
use crate::service::CreatedToken;
use crate::service::fleet::{
    ChangedNodes, ConfirmRequest, ConflictList, HomeList, HubList, HubTokenRequest, MoveHomeRequest, NodeRequest,
    PeerRequest, RenameRequest, ResolveRequest,
};

impl AdminClient {
    /// Makes a token for another hub.
    ///
    /// # Errors
    /// [`ClientError`], as of every call.
    pub async fn create_hub_token(&self, request: &HubTokenRequest) -> Result<CreatedToken, ClientError> {
        self.call(Method::POST, "/v1/hub-tokens", Some(request)).await
    }

    /// Takes a node's enrolment back.
    ///
    /// # Errors
    /// [`ClientError`], as of every call.
    pub async fn revoke_node(&self, request: &NodeRequest) -> Result<ChangedNodes, ClientError> {
        self.call(Method::POST, "/v1/revocations", Some(request)).await
    }

    /// Takes staged nodes in.
    ///
    /// # Errors
    /// [`ClientError`], as of every call.
    pub async fn confirm_nodes(&self, request: &ConfirmRequest) -> Result<ChangedNodes, ClientError> {
        self.call(Method::POST, "/v1/confirmations", Some(request)).await
    }

    /// Gives a node another name.
    ///
    /// # Errors
    /// [`ClientError`], as of every call.
    pub async fn rename_node(&self, request: &RenameRequest) -> Result<ChangedNodes, ClientError> {
        self.call(Method::POST, "/v1/names", Some(request)).await
    }

    /// All hubs.
    ///
    /// # Errors
    /// [`ClientError`], as of every call.
    pub async fn list_peers(&self) -> Result<HubList, ClientError> {
        self.call(Method::GET, "/v1/peers", NO_BODY).await
    }

    /// Says where a hub is reached.
    ///
    /// # Errors
    /// [`ClientError`], as of every call.
    pub async fn add_peer(&self, request: &PeerRequest) -> Result<HubList, ClientError> {
        self.call(Method::POST, "/v1/peers", Some(request)).await
    }

    /// Takes a hub out of the fleet.
    ///
    /// # Errors
    /// [`ClientError`], as of every call.
    pub async fn remove_peer(&self, name: &sync_core::id::Name) -> Result<HubList, ClientError> {
        self.call(Method::DELETE, &format!("/v1/peers/{name}"), NO_BODY).await
    }

    /// The homes of documents.
    ///
    /// # Errors
    /// [`ClientError`], as of every call.
    pub async fn show_homes(&self) -> Result<HomeList, ClientError> {
        self.call(Method::GET, "/v1/homes", NO_BODY).await
    }

    /// Moves a home.
    ///
    /// # Errors
    /// [`ClientError`], as of every call.
    pub async fn move_home(&self, request: &MoveHomeRequest) -> Result<HomeList, ClientError> {
        self.call(Method::POST, "/v1/homes", Some(request)).await
    }

    /// Fields in which hubs disagree.
    ///
    /// # Errors
    /// [`ClientError`], as of every call.
    pub async fn list_conflicts(&self) -> Result<ConflictList, ClientError> {
        self.call(Method::GET, "/v1/conflicts", NO_BODY).await
    }

    /// Settles a conflict.
    ///
    /// # Errors
    /// [`ClientError`], as of every call.
    pub async fn resolve_conflict(&self, request: &ResolveRequest) -> Result<ConflictList, ClientError> {
        self.call(Method::POST, "/v1/conflicts", Some(request)).await
    }
}
