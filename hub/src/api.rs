//! The admin API: JSON over HTTP on a Unix socket in the data folder, for whoever may open that socket.

use std::future::Future;

use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sync_core::id::Name;
use tokio::net::UnixListener;

use crate::limits::{ADMIN_BODY_BYTES_MAX, ASSIGNED_LAYERS_MAX, TOKEN_TTL_SECONDS_MAX};
use crate::manifest::check_object;
use crate::service::{AdminCommand, AdminError, AdminErrorKind, AdminHandler, AssignTarget, KeyedObject, Labels};

mod bundle;
mod file_body;
mod fleet;
mod socket;

#[cfg(test)]
mod tests;

pub(crate) use bundle::ABOUT_BUNDLE;
pub(crate) use file_body::FileBody;
pub use socket::{SocketError, bind_socket, socket_path};

/// The body of `POST /v1/tokens`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenRequest {
    /// How long the token may be redeemed.
    pub ttl_seconds: u64,
    /// What its node is labelled.
    #[serde(default)]
    pub labels: Labels,
}

/// The body of `PUT /v1/layers/{name}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LayerRequest {
    /// All objects of the layer, in any order.
    pub objects: Vec<Value>,
    /// Whether to release the layer at once; yes when left out.
    #[serde(default = "yes")]
    pub release: bool,
}

fn yes() -> bool {
    true
}

/// The body of `POST /v1/releases`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReleaseRequest {
    /// The layers; none means all.
    #[serde(default)]
    pub layers: Vec<Name>,
}

/// The body of `POST /v1/assignments`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AssignRequest {
    /// The layers, in order.
    pub layers: Vec<Name>,
    /// The nodes: `{"node": NAME}` or `{"selector": {KEY: VALUE}}`.
    pub target: AssignTarget,
}

/// The body of every answer that is no success.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// What went wrong.
    pub error: AdminError,
}

/// Answers requests on `listener` until `shutdown` completes and open requests are answered.
///
/// # Errors
/// What the socket reports when it can take no more connections.
pub async fn serve(
    listener: UnixListener,
    handler: AdminHandler,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    // The socket is in the data folder.
    let address = listener.local_addr()?;
    let folder = address.as_pathname().and_then(std::path::Path::parent);
    let folder = folder.map_or_else(std::env::temp_dir, std::path::Path::to_owned);
    serve_router(listener, router(handler, &folder), shutdown).await
}

async fn serve_router(
    listener: UnixListener,
    router: Router,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    axum::serve(listener, router).with_graceful_shutdown(shutdown).await
}

/// The API's routes. Content that is too large for memory waits in `folder`.
pub fn router(handler: AdminHandler, folder: &std::path::Path) -> Router {
    bounded_router(handler, folder, ADMIN_BODY_BYTES_MAX)
}

fn bounded_router(handler: AdminHandler, folder: &std::path::Path, body_bytes_max: usize) -> Router {
    Router::new()
        .route("/v1/tokens", post(create_token))
        .route("/v1/layers", get(async |State(handler)| answer(&handler, Ok(AdminCommand::ListLayers)).await))
        .route("/v1/layers/{name}", put(apply_layer).get(show_layer).delete(delete_layer))
        .route("/v1/releases", post(release))
        .route("/v1/assignments", post(assign))
        .route("/v1/nodes", get(async |State(handler)| answer(&handler, Ok(AdminCommand::ListNodes)).await))
        .route("/v1/nodes/{name}", get(show_node))
        .route("/v1/status", get(async |State(handler)| answer(&handler, Ok(AdminCommand::Status)).await))
        .merge(fleet::routes())
        .merge(bundle::routes(folder.to_owned()))
        .method_not_allowed_fallback(async || {
            refuse(StatusCode::METHOD_NOT_ALLOWED, invalid("this path does not take this method", ""))
        })
        .fallback(async || {
            let hint =
                "paths are /v1/status, tokens, layers, releases, assignments, nodes, peers, homes, conflicts, bundles";
            refuse(StatusCode::NOT_FOUND, AdminError::new(AdminErrorKind::NotFound, "no such path", hint))
        })
        .layer(DefaultBodyLimit::max(body_bytes_max))
        .with_state(handler)
}

type NamePath = Result<Path<String>, PathRejection>;
type Body = Result<Bytes, BytesRejection>;

async fn create_token(State(handler): State<AdminHandler>, body: Body) -> Response {
    let command = parse::<TokenRequest>(body).and_then(|TokenRequest { ttl_seconds, labels }| {
        if !(1..=TOKEN_TTL_SECONDS_MAX).contains(&ttl_seconds) {
            let message = format!("a token lives 1 to {TOKEN_TTL_SECONDS_MAX} seconds, not {ttl_seconds}");
            return Err(invalid(message, ""));
        }
        check_labels(&labels)?;
        Ok(AdminCommand::CreateToken { ttl_seconds, labels })
    });
    answer(&handler, command).await
}

async fn apply_layer(State(handler): State<AdminHandler>, name: NamePath, body: Body) -> Response {
    let command = parse_name(name).and_then(|name| {
        let LayerRequest { objects, release } = parse(body)?;
        Ok(AdminCommand::ApplyLayer { name, objects: keyed(objects)?, release })
    });
    answer(&handler, command).await
}

async fn show_layer(State(handler): State<AdminHandler>, name: NamePath) -> Response {
    answer(&handler, parse_name(name).map(|name| AdminCommand::ShowLayer { name })).await
}

async fn delete_layer(State(handler): State<AdminHandler>, name: NamePath) -> Response {
    answer(&handler, parse_name(name).map(|name| AdminCommand::DeleteLayer { name })).await
}

async fn show_node(State(handler): State<AdminHandler>, name: NamePath) -> Response {
    answer(&handler, parse_name(name).map(|name| AdminCommand::ShowNode { name })).await
}

async fn release(State(handler): State<AdminHandler>, body: Body) -> Response {
    let command = parse::<ReleaseRequest>(body).and_then(|ReleaseRequest { layers }| {
        check_layers(&layers)?;
        Ok(AdminCommand::Release { layers })
    });
    answer(&handler, command).await
}

async fn assign(State(handler): State<AdminHandler>, body: Body) -> Response {
    let command = parse::<AssignRequest>(body).and_then(|AssignRequest { layers, target }| {
        if layers.is_empty() || layers.len() > ASSIGNED_LAYERS_MAX {
            return Err(invalid(
                format!("an assignment names 1 to {ASSIGNED_LAYERS_MAX} layers, not {}", layers.len()),
                "",
            ));
        }
        check_layers(&layers)?;
        if let AssignTarget::Selector(labels) = &target {
            if labels.is_empty() {
                return Err(invalid("the selector is empty", "name at least one label, such as region=north"));
            }
            check_labels(labels)?;
        }
        Ok(AdminCommand::Assign { layers, target })
    });
    answer(&handler, command).await
}

async fn answer(handler: &AdminHandler, command: Result<AdminCommand, AdminError>) -> Response {
    let result = match command {
        Ok(command) => handler(command).await,
        Err(error) => Err(error),
    };
    match result {
        Ok(reply) => axum::Json(reply).into_response(),
        Err(error) => refuse(status_of(error.kind), error),
    }
}

fn refuse(status: StatusCode, error: AdminError) -> Response {
    (status, axum::Json(ErrorBody { error })).into_response()
}

fn status_of(kind: AdminErrorKind) -> StatusCode {
    match kind {
        AdminErrorKind::NotFound => StatusCode::NOT_FOUND,
        AdminErrorKind::Invalid => StatusCode::BAD_REQUEST,
        AdminErrorKind::Conflict => StatusCode::CONFLICT,
        AdminErrorKind::Storage => StatusCode::SERVICE_UNAVAILABLE,
        AdminErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

fn invalid(message: impl Into<String>, hint: &str) -> AdminError {
    AdminError::new(AdminErrorKind::Invalid, message, hint)
}

fn parse<T: DeserializeOwned>(body: Body) -> Result<T, AdminError> {
    let bytes = body.map_err(|rejection| {
        if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
            return invalid(
                format!("the request has more than {ADMIN_BODY_BYTES_MAX} bytes"),
                "split the manifests into several layers",
            );
        }
        invalid(format!("cannot read the request: {rejection}"), "")
    })?;
    serde_json::from_slice(&bytes).map_err(|error| invalid(format!("cannot understand the request: {error}"), ""))
}

fn parse_name(name: NamePath) -> Result<Name, AdminError> {
    let Path(text) = name.map_err(|rejection| invalid(rejection.to_string(), ""))?;
    Name::new(&text).map_err(|error| invalid(error.to_string(), ""))
}

/// The objects with their keys, sorted. The caller's own idea of the keys is not asked for.
fn keyed(objects: Vec<Value>) -> Result<Vec<KeyedObject>, AdminError> {
    let mut keyed = Vec::with_capacity(objects.len());
    for (index, object) in objects.into_iter().enumerate() {
        let key = check_object(&object).map_err(|problem| invalid(format!("objects[{index}]: {problem}"), ""))?;
        keyed.push(KeyedObject { key, object });
    }
    keyed.sort_by(|a, b| a.key.cmp(&b.key));
    let twice = keyed.iter().zip(keyed.iter().skip(1)).find(|(a, b)| a.key == b.key);
    match twice {
        Some((object, _)) => Err(invalid(format!("{} is in the request twice", object.key), "send each object once")),
        None => Ok(keyed),
    }
}

fn check_layers(layers: &[Name]) -> Result<(), AdminError> {
    let twice =
        layers.iter().enumerate().find(|(index, layer)| layers.iter().take(*index).any(|other| other == *layer));
    match twice {
        Some((_, layer)) => {
            Err(invalid(format!("the layer `{layer}` is named twice"), "name each layer once, in order"))
        }
        None => Ok(()),
    }
}

fn check_labels(labels: &Labels) -> Result<(), AdminError> {
    crate::cli::label::check_labels(labels).map_err(|error| invalid(error.to_string(), ""))
}
