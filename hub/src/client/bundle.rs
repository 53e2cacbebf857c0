//! Calls about bundles, whose content goes from and to files.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use axum::http::{Method, Request, Response, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;

use super::{AdminClient, ClientError};
use crate::api::{ABOUT_BUNDLE, ErrorBody, FileBody};
use crate::limits::{ADMIN_REPLY_BYTES_MAX, BUNDLE_REPLY_TIMEOUT};
use crate::service::bundle::{BundleFile, ExportRequest, ExportedBundle, ImportedBundle};

impl AdminClient {
    /// Has a bundle written, into `out`; a file of that name is replaced once the bundle is whole and on the disk.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn export_bundle(&self, request: &ExportRequest, out: &Path) -> Result<ExportedBundle, ClientError> {
        let body = serde_json::to_vec(request).map_err(|error| ClientError::Request { message: error.to_string() })?;
        self.in_time(async {
            let response = self.send("/v1/bundles/export", Full::new(Bytes::from(body))).await?;
            if !response.status().is_success() {
                return answer(response).await;
            }
            let about = response.headers().get(ABOUT_BUNDLE).map(|value| value.as_bytes().to_vec()).unwrap_or_default();
            let about: ExportedBundle = serde_json::from_slice(&about).map_err(bad_answer)?;
            let partial = PathBuf::from(format!("{}.partial", out.display()));
            let written = write(response, &partial, out, about.bytes).await;
            if written.is_err() {
                let _ = std::fs::remove_file(&partial);
            }
            written.map(|()| about)
        })
        .await
    }

    /// Has a bundle taken.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn import_bundle(&self, file: &Path) -> Result<ImportedBundle, ClientError> {
        let failed = |source| ClientError::File { path: file.to_owned(), source };
        let bundle = BundleFile::from(File::open(file).map_err(failed)?);
        let content = FileBody::new(bundle).map_err(failed)?;
        self.in_time(async { answer(self.send("/v1/bundles/import", content).await?).await }).await
    }

    async fn in_time<T>(&self, work: impl Future<Output = Result<T, ClientError>>) -> Result<T, ClientError> {
        let seconds = BUNDLE_REPLY_TIMEOUT.as_secs();
        tokio::time::timeout(BUNDLE_REPLY_TIMEOUT, work).await.map_err(|_| ClientError::Timeout { seconds })?
    }

    async fn send<B>(&self, path: &str, body: B) -> Result<Response<Incoming>, ClientError>
    where
        B: hyper::body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let request = Request::builder()
            .method(Method::POST)
            .uri(path)
            .header(header::HOST, "archipel-hub")
            .header(header::CONTENT_TYPE, "application/json")
            .body(body)
            .map_err(|error| ClientError::Request { message: error.to_string() })?;
        let stream = self.connect().await?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        // It ends with the response's body.
        let _driver = tokio::spawn(connection);
        sender.send_request(request).await.map_err(broken)
    }
}

fn broken(error: hyper::Error) -> ClientError {
    ClientError::Broken { message: error.to_string() }
}

fn bad_answer(error: serde_json::Error) -> ClientError {
    ClientError::Answer { message: error.to_string() }
}

async fn answer<T: DeserializeOwned>(response: Response<Incoming>) -> Result<T, ClientError> {
    let is_success = response.status().is_success();
    let collected = Limited::new(response.into_body(), ADMIN_REPLY_BYTES_MAX).collect().await;
    let bytes = collected.map_err(|error| ClientError::Answer { message: error.to_string() })?.to_bytes();
    if is_success {
        return serde_json::from_slice(&bytes).map_err(bad_answer);
    }
    let ErrorBody { error } = serde_json::from_slice(&bytes).map_err(bad_answer)?;
    Err(ClientError::Refused(error))
}

/// A stick may be pulled out at any time: the file has its name only when all of it is on the disk.
async fn write(response: Response<Incoming>, partial: &Path, out: &Path, bytes: u64) -> Result<(), ClientError> {
    let failed = |source| ClientError::File { path: out.to_owned(), source };
    let mut file = File::create(partial).map_err(failed)?;
    let mut body = response.into_body();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.map_err(broken)?.into_data() {
            file.write_all(&data).map_err(failed)?;
        }
    }
    let written = file.metadata().map_err(failed)?.len();
    if written != bytes {
        return Err(ClientError::Broken { message: format!("{written} of {bytes} bytes came") });
    }
    file.sync_all().map_err(failed)?;
    std::fs::rename(partial, out).map_err(failed)
}
