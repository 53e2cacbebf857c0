//! The paths about bundles, whose content is bytes and not JSON.

use std::io::Write;
use std::path::PathBuf;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use http_body_util::BodyExt;
use sync_core::limits::BUNDLE_BYTES_MAX;

use super::file_body::FileBody;
use super::{answer, invalid, parse, refuse, status_of};
use crate::service::bundle::{BundleCommand, BundleFile, BundleReply, ExportRequest};
use crate::service::{AdminCommand, AdminError, AdminErrorKind, AdminHandler, AdminReply};

/// The header in which what is said of an exported bundle travels, as JSON.
pub(crate) const ABOUT_BUNDLE: &str = "x-archipel-bundle";

/// `folder`: where the content of a bundle waits for the replica.
pub(super) fn routes(folder: PathBuf) -> Router<AdminHandler> {
    Router::new()
        .route("/v1/bundles/export", post(export))
        .route("/v1/bundles/import", post(async move |State(handler), body| import(&handler, folder, body).await))
}

async fn export(State(handler): State<AdminHandler>, body: super::Body) -> Response {
    let command = match parse::<ExportRequest>(body) {
        Ok(request) => AdminCommand::Bundle(BundleCommand::Export(request)),
        Err(error) => return refuse(status_of(error.kind), error),
    };
    match handler(command).await {
        Ok(AdminReply::Bundle(BundleReply::Exported(exported))) => {
            let about = serde_json::to_string(&exported).unwrap_or_default();
            let content = exported.file.ok_or(()).and_then(|file| FileBody::new(file).map_err(|_| ()));
            match content {
                Ok(content) => {
                    let headers =
                        [(header::CONTENT_TYPE.as_str(), "application/octet-stream".to_owned()), (ABOUT_BUNDLE, about)];
                    (headers, Body::new(content)).into_response()
                }
                Err(()) => {
                    let error = AdminError::new(AdminErrorKind::Storage, "the bundle cannot be read back", "try again");
                    refuse(status_of(error.kind), error)
                }
            }
        }
        Ok(_) => {
            let error =
                AdminError::new(AdminErrorKind::Internal, "the hub gave another answer", "report this as a bug");
            refuse(StatusCode::INTERNAL_SERVER_ERROR, error)
        }
        Err(error) => refuse(status_of(error.kind), error),
    }
}

async fn import(handler: &AdminHandler, folder: PathBuf, body: Body) -> Response {
    let bundle = receive(&folder, body).await;
    answer(handler, bundle.map(|bundle| AdminCommand::Bundle(BundleCommand::Import(bundle)))).await
}

/// Keeps the content on the disk, so that no bundle takes memory.
async fn receive(folder: &std::path::Path, mut body: Body) -> Result<BundleFile, AdminError> {
    let full = |error: std::io::Error| {
        let message = format!("the bundle cannot be kept in the data folder: {error}");
        AdminError::new(AdminErrorKind::Storage, message, "nothing of it was taken")
    };
    let bundle = BundleFile::temporary(folder).map_err(full)?;
    let mut bytes = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| invalid(format!("cannot read the request: {error}"), ""))?;
        let Ok(data) = frame.into_data() else { continue };
        bytes += data.len() as u64;
        if bytes > BUNDLE_BYTES_MAX {
            return Err(invalid(format!("a bundle has at most {BUNDLE_BYTES_MAX} bytes"), "is this the right file?"));
        }
        let mut file = bundle.file();
        file.write_all(&data).map_err(full)?;
    }
    Ok(bundle)
}
