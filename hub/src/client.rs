//! The command line's side of the admin API: one connection and one typed call at a time.

use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use axum::http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sync_core::id::Name;
use tokio::net::UnixStream;

use crate::api::{AssignRequest, ErrorBody, LayerRequest, ReleaseRequest, TokenRequest, socket_path};
use crate::limits::{ADMIN_CONNECT_TIMEOUT, ADMIN_REPLY_BYTES_MAX, ADMIN_REPLY_TIMEOUT, SOCKET_PATH_BYTES_MAX};
use crate::service::{
    AdminError, AppliedLayer, Assigned, CreatedToken, DeletedLayer, HubStatus, LayerDetail, LayerList, NodeDetail,
    NodeList, Released,
};

mod bundle;
mod fleet;

/// Why a call to a hub failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// Nobody listens. Nothing was changed.
    #[error("no hub runs on {folder}; start it with `archipel-hub serve --data {folder}`", folder = data_folder.display())]
    NoHub {
        /// The data folder.
        data_folder: PathBuf,
    },
    /// The data folder is not there. Nothing was changed.
    #[error("there is no data folder {folder}; check --data, or make it with `archipel-hub serve --data {folder}`", folder = data_folder.display())]
    NoFolder {
        /// The data folder.
        data_folder: PathBuf,
    },
    /// The socket belongs to someone else. Nothing was changed.
    #[error("not allowed to open {}; run this as the user who runs the hub", path.display())]
    PermissionDenied {
        /// The socket.
        path: PathBuf,
    },
    /// No socket can have this path. Nothing was changed.
    #[error("the path {} has more than {SOCKET_PATH_BYTES_MAX} bytes; use a data folder with a shorter path, or a symbolic link to it", path.display())]
    PathTooLong {
        /// The path.
        path: PathBuf,
    },
    /// Nobody answered in time. What was asked may have happened.
    #[error("the hub did not answer within {seconds} s; look at its log, then at `archipel-hub status`")]
    Timeout {
        /// How long was waited.
        seconds: u64,
    },
    /// The connection broke. What was asked may have happened.
    #[error("the connection to the hub broke: {message}; look at its log, then at `archipel-hub status`")]
    Broken {
        /// What the connection said.
        message: String,
    },
    /// The answer makes no sense.
    #[error("cannot understand the hub's answer: {message}; are the hub and this program of the same version?")]
    Answer {
        /// What was wrong with it.
        message: String,
    },
    /// The request could not be built. A defect of this program; nothing was changed.
    #[error("cannot build the request: {message}; report this as a bug")]
    Request {
        /// What was wrong with it.
        message: String,
    },
    /// A file cannot be read or written. Nothing was changed.
    #[error("cannot use the file {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The hub refused.
    #[error(transparent)]
    Refused(#[from] AdminError),
}

/// A client of the hub that runs on one data folder.
#[derive(Debug, Clone)]
pub struct AdminClient {
    data_folder: PathBuf,
}

impl AdminClient {
    /// A client; nothing is opened yet.
    #[must_use]
    pub fn new(data_folder: &Path) -> Self {
        Self { data_folder: data_folder.to_owned() }
    }

    /// Makes a token.
    ///
    /// # Errors
    /// [`ClientError`], as of every call.
    pub async fn create_token(&self, request: &TokenRequest) -> Result<CreatedToken, ClientError> {
        self.call(Method::POST, "/v1/tokens", Some(request)).await
    }

    /// Makes a layer exactly these objects.
    ///
    /// # Errors
    /// [`ClientError`], as of every call.
    pub async fn apply_layer(&self, name: &Name, request: &LayerRequest) -> Result<AppliedLayer, ClientError> {
        self.call(Method::PUT, &format!("/v1/layers/{name}"), Some(request)).await
    }

    /// All layers.
    ///
    /// # Errors
    /// [`ClientError`], as of every call.
    pub async fn list_layers(&self) -> Result<LayerList, ClientError> {
        self.call(Method::GET, "/v1/layers", NO_BODY).await
    }

    /// One layer with its objects.
    ///
    /// # Errors
    /// [`ClientError`], as of every call.
    pub async fn show_layer(&self, name: &Name) -> Result<LayerDetail, ClientError> {
        self.call(Method::GET, &format!("/v1/layers/{name}"), NO_BODY).await
    }

    /// Deletes a layer.
    ///
    /// # Errors
    /// [`ClientError`], as of every call.
    pub async fn delete_layer(&self, name: &Name) -> Result<DeletedLayer, ClientError> {
        self.call(Method::DELETE, &format!("/v1/layers/{name}"), NO_BODY).await
    }

    /// Releases what was applied.
    ///
    /// # Errors
    /// [`ClientError`], as of every call.
    pub async fn release(&self, request: &ReleaseRequest) -> Result<Released, ClientError> {
        self.call(Method::POST, "/v1/releases", Some(request)).await
    }

    /// Says which layers nodes take.
    ///
    /// # Errors
    /// [`ClientError`], as of every call.
    pub async fn assign(&self, request: &AssignRequest) -> Result<Assigned, ClientError> {
        self.call(Method::POST, "/v1/assignments", Some(request)).await
    }

    /// All nodes.
    ///
    /// # Errors
    /// [`ClientError`], as of every call.
    pub async fn list_nodes(&self) -> Result<NodeList, ClientError> {
        self.call(Method::GET, "/v1/nodes", NO_BODY).await
    }

    /// One node in full.
    ///
    /// # Errors
    /// [`ClientError`], as of every call.
    pub async fn show_node(&self, name: &Name) -> Result<NodeDetail, ClientError> {
        self.call(Method::GET, &format!("/v1/nodes/{name}"), NO_BODY).await
    }

    /// The hub as a whole.
    ///
    /// # Errors
    /// [`ClientError`], as of every call.
    pub async fn status(&self) -> Result<HubStatus, ClientError> {
        self.call(Method::GET, "/v1/status", NO_BODY).await
    }

    async fn connect(&self) -> Result<UnixStream, ClientError> {
        let path = socket_path(&self.data_folder);
        if path.as_os_str().as_bytes().len() > SOCKET_PATH_BYTES_MAX {
            return Err(ClientError::PathTooLong { path });
        }
        let timeout = || ClientError::Timeout { seconds: ADMIN_CONNECT_TIMEOUT.as_secs() };
        let connected =
            tokio::time::timeout(ADMIN_CONNECT_TIMEOUT, UnixStream::connect(&path)).await.map_err(|_| timeout())?;
        connected.map_err(|error| {
            let data_folder = self.data_folder.clone();
            if error.kind() == ErrorKind::PermissionDenied {
                return ClientError::PermissionDenied { path };
            }
            if error.kind() == ErrorKind::NotFound && !data_folder.exists() {
                return ClientError::NoFolder { data_folder };
            }
            if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) {
                return ClientError::NoHub { data_folder };
            }
            ClientError::Broken { message: error.to_string() }
        })
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<T, ClientError> {
        let bad_request = |message: String| ClientError::Request { message };
        let body = match body {
            Some(body) => serde_json::to_vec(body).map_err(|error| bad_request(error.to_string()))?,
            None => Vec::new(),
        };
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "archipel-hub")
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| bad_request(error.to_string()))?;
        let stream = self.connect().await?;
        let (status, bytes) = tokio::time::timeout(ADMIN_REPLY_TIMEOUT, exchange(stream, request))
            .await
            .map_err(|_| ClientError::Timeout { seconds: ADMIN_REPLY_TIMEOUT.as_secs() })??;
        let bad_answer = |error: serde_json::Error| ClientError::Answer { message: format!("{status}: {error}") };
        if status.is_success() {
            return serde_json::from_slice(&bytes).map_err(bad_answer);
        }
        let ErrorBody { error } = serde_json::from_slice(&bytes).map_err(bad_answer)?;
        Err(ClientError::Refused(error))
    }
}

const NO_BODY: Option<&Value> = None;

/// Sends one request and reads the whole answer.
async fn exchange(stream: UnixStream, request: Request<Full<Bytes>>) -> Result<(StatusCode, Bytes), ClientError> {
    let broken = |error: hyper::Error| ClientError::Broken { message: error.to_string() };
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let driver = tokio::spawn(connection);
    let response = sender.send_request(request).await.map_err(broken)?;
    let status = response.status();
    let collected = Limited::new(response.into_body(), ADMIN_REPLY_BYTES_MAX).collect().await;
    driver.abort();
    let bytes = collected.map_err(|error| ClientError::Answer { message: error.to_string() })?.to_bytes();
    Ok((status, bytes))
}
