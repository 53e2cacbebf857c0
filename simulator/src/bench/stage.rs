//! Processes to measure: a hub, agents, and a bare server, as children of this program.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hub::api::TokenRequest;
use hub::client::AdminClient;
use tempfile::TempDir;

use super::fleet::Place;
use super::measure::{ProcessUse, process};
use super::{BenchError, During};
use crate::commands::HUB_READY;
use crate::process::{Process, Spec};

/// How long a child may take to say that it is ready.
const START_WITHIN: Duration = Duration::from_secs(60);

/// How long a child may take to end by itself.
const STOP_WITHIN: Duration = Duration::from_secs(10);

/// A folder for the data of some children.
#[derive(Debug)]
pub(super) struct Stage {
    folder: TempDir,
    program: PathBuf,
}

/// A child that listens.
#[derive(Debug)]
pub(super) struct Server {
    process: Process,
    /// Where.
    pub(super) address: SocketAddr,
}

impl Stage {
    /// A new folder.
    ///
    /// # Errors
    /// [`BenchError`] when the system gives none.
    pub(super) fn new(place: Place) -> Result<Self, BenchError> {
        Ok(Self { folder: place.folder()?, program: std::env::current_exe().during("find this program")? })
    }

    /// The folder.
    #[must_use]
    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The hub's data folder.
    #[must_use]
    pub(super) fn hub_folder(&self) -> PathBuf {
        self.folder().join("hub")
    }

    /// A client of the hub.
    #[must_use]
    pub(super) fn client(&self) -> AdminClient {
        AdminClient::new(&self.hub_folder())
    }

    /// Starts the hub on `folder`.
    ///
    /// # Errors
    /// [`BenchError`] when it does not come up.
    pub(super) async fn hub(&self, folder: &Path) -> Result<Server, BenchError> {
        let folder = folder.as_os_str().to_owned();
        self.server("hub", vec!["hub".into(), "serve".into(), "--data".into(), folder, "--listen".into(), LOCAL.into()])
            .await
    }

    /// Starts a child that says where it listens.
    ///
    /// # Errors
    /// [`BenchError`] when it does not come up.
    pub(super) async fn server(&self, name: &str, arguments: Vec<OsString>) -> Result<Server, BenchError> {
        let mut process = self.child(name, arguments)?;
        let line = process.line(HUB_READY, START_WITHIN).await.during("start a server")?;
        let address = line.parse().during("read where a server listens")?;
        Ok(Server { process, address })
    }

    /// Starts a child.
    ///
    /// # Errors
    /// [`BenchError`] when the system refuses.
    pub(super) fn child(&self, name: &str, arguments: Vec<OsString>) -> Result<Process, BenchError> {
        let log = self.folder().join(format!("{name}.log"));
        let environment = vec![("RUST_LOG".to_owned(), "error".to_owned())];
        Process::start(Spec { name: name.to_owned(), program: self.program.clone(), arguments, environment, log })
            .during("start a process")
    }

    /// Makes so many tokens, each with the label `fleet=bench`.
    ///
    /// # Errors
    /// [`BenchError`] when the hub refuses.
    pub(super) async fn tokens(&self, number: usize) -> Result<Vec<String>, BenchError> {
        let client = self.client();
        let labels = [("fleet".to_owned(), "bench".to_owned())].into();
        let request = TokenRequest { ttl_seconds: 3_600, labels };
        let mut tokens = Vec::with_capacity(number);
        for _ in 0..number {
            tokens.push(client.create_token(&request).await.during("make a token")?.token);
        }
        Ok(tokens)
    }
}

const LOCAL: &str = "127.0.0.1:0";

impl Server {
    /// What it has used up to now.
    ///
    /// # Errors
    /// [`BenchError`] when it is gone.
    pub(super) fn used(&self) -> Result<ProcessUse, BenchError> {
        used(&self.process)
    }

    /// Ends it.
    ///
    /// # Errors
    /// [`BenchError`] when it does not end.
    pub(super) async fn stop(mut self) -> Result<(), BenchError> {
        self.process.stop(STOP_WITHIN).await.during("end a server").map(drop)
    }
}

/// What a child has used up to now.
///
/// # Errors
/// [`BenchError`] when it is gone.
pub(super) fn used(child: &Process) -> Result<ProcessUse, BenchError> {
    let used = child.id().and_then(process);
    used.ok_or_else(|| BenchError::Wrong(format!("{} ended, or this system has no /proc", child.spec().name)))
}

/// A runtime of two threads for the parent's side.
///
/// # Errors
/// [`BenchError`] when the system gives none.
pub(super) fn runtime() -> Result<tokio::runtime::Runtime, BenchError> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().during("start a runtime")
}
