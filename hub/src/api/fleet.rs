//! The paths about the fleet as a whole.

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::{delete, get, post};
use serde::de::DeserializeOwned;

use super::{Body, NamePath, answer, parse, parse_name};
use crate::service::fleet::{FleetCommand, NodeRequest};
use crate::service::{AdminCommand, AdminHandler};

pub(super) fn routes() -> Router<AdminHandler> {
    Router::new()
        .route("/v1/hub-tokens", post(async |handler, body| ask(handler, body, FleetCommand::CreateHubToken).await))
        .route("/v1/revocations", post(async |handler, body| ask(handler, body, FleetCommand::RevokeNode).await))
        .route("/v1/confirmations", post(async |handler, body| ask(handler, body, FleetCommand::ConfirmNodes).await))
        .route("/v1/names", post(async |handler, body| ask(handler, body, FleetCommand::RenameNode).await))
        .route(
            "/v1/peers",
            get(async |handler| show(handler, FleetCommand::ListPeers).await)
                .post(async |handler, body| ask(handler, body, FleetCommand::AddPeer).await),
        )
        .route("/v1/peers/{name}", delete(remove_peer))
        .route(
            "/v1/homes",
            get(async |handler| show(handler, FleetCommand::ShowHomes).await)
                .post(async |handler, body| ask(handler, body, FleetCommand::MoveHome).await),
        )
        .route(
            "/v1/conflicts",
            get(async |handler| show(handler, FleetCommand::ListConflicts).await)
                .post(async |handler, body| ask(handler, body, FleetCommand::ResolveConflict).await),
        )
}

async fn show(State(handler): State<AdminHandler>, command: FleetCommand) -> Response {
    answer(&handler, Ok(AdminCommand::Fleet(command))).await
}

async fn ask<T: DeserializeOwned>(
    State(handler): State<AdminHandler>,
    body: Body,
    command: fn(T) -> FleetCommand,
) -> Response {
    answer(&handler, parse(body).map(command).map(AdminCommand::Fleet)).await
}

async fn remove_peer(State(handler): State<AdminHandler>, name: NamePath) -> Response {
    let command = parse_name(name).map(|name| FleetCommand::RemovePeer(NodeRequest { name }));
    answer(&handler, command.map(AdminCommand::Fleet)).await
}
