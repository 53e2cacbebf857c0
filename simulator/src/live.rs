//! Depth 3: real hubs and agents as processes of this machine, through one outage and back ([`run`]), or through what a
//! scenario says ([`mod@rehearsal`]).
//!
//! **Real:** the hub and the agents (the code of `archipel-hub` and `archipel-edge`, run under hidden subcommands of this
//! binary), their command lines, SQLite and its files, QUIC and TLS over UDP sockets, process kills and restarts, the
//! clock.
//!
//! **Simulated:** the network is UDP proxies on loopback ([`crate::proxy`]) that do to datagrams what lines of simulated
//! networks do; the cluster is a folder that the agent writes objects to.
//!
//! **Not covered:** power loss (a killed process leaves its writes in the page cache), full or broken disks, wrong clocks,
//! a Kubernetes API server, more than a few dozen nodes, and machines other than Unix ones. A live run is not
//! reproducible from its seed: the operating system schedules it.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use crate::commands::CommandError;
use crate::process::ProcessError;

mod acts;
mod member;
mod owners;
pub mod rehearsal;
pub mod report;
mod script;
mod set_up;
pub mod source;
pub mod target;
mod watch;
mod world;

/// How often the work folder is removed before this gives up, and the pause in between: a second in all.
const REMOVALS_MAX: u32 = 50;
const REMOVE_EVERY: Duration = Duration::from_millis(20);

/// What to run.
#[derive(Debug, Clone)]
pub struct Options {
    /// How many nodes.
    pub nodes: u16,
    /// The source folder; `None` for the built-in fleet.
    pub source: Option<PathBuf>,
    /// Whether the work folder stays.
    pub keep: bool,
}

/// Why a live run did not end well. All processes are gone; the work folder stays.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LiveError {
    /// A process did not start, ended, or did not reach a state in time.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// A command failed.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// The source folder cannot be used.
    #[error(transparent)]
    Source(#[from] source::SourceError),
    /// A file, folder or socket of this program's own.
    #[error("cannot {what}: {source}")]
    System {
        /// What was tried.
        what: String,
        /// The operating system's answer.
        source: io::Error,
    },
    /// The fleet of a scenario could not be set up, over links that are all up.
    #[error("the fleet could not be set up: {0}")]
    SetUp(String),
    /// Everything ran, and the outcome is wrong.
    #[error("the fleet did not converge:\n  {}", .0.join("\n  "))]
    Differs(Vec<String>),
}

impl LiveError {
    fn system(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::System { what, source }
    }
}

/// A temporary folder and a runtime, for as long as something runs on them.
#[derive(Debug)]
struct Work {
    // Dropped first: its tasks hold files of the folder open.
    runtime: tokio::runtime::Runtime,
    folder: tempfile::TempDir,
    /// This program, which hubs and agents are run with.
    program: PathBuf,
}

impl Work {
    fn prepare() -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix("archipel-live-").tempdir()?;
        Ok(Self { runtime: tokio::runtime::Runtime::new()?, folder, program: std::env::current_exe()? })
    }

    fn folder(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    /// Runs to the end, which is dropped where it stands, with all that it owns, when this program is told to stop: then
    /// there is none.
    fn block_on<T>(&mut self, play: impl Future<Output = T>) -> Option<T> {
        self.runtime.block_on(async {
            tokio::select! {
                outcome = play => Some(outcome),
                () = interrupted() => None,
            }
        })
    }

    /// Ends the tasks that are left, so that nothing of this program touches the folder any more, and removes that unless it
    /// is to be kept; then it is returned.
    fn end(self, keep: bool) -> Option<PathBuf> {
        drop(self.runtime);
        let folder = self.folder.keep();
        if keep {
            return Some(folder);
        }
        remove(&folder);
        None
    }
}

/// Runs a fleet as `options` say. Returns 0 when it converged, 1 when not, 130 when it was interrupted.
#[must_use]
pub fn run(options: &Options) -> ExitCode {
    let mut work = match Work::prepare() {
        Ok(work) => work,
        Err(error) => {
            eprintln!("cannot make a work folder or a runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    let (program, folder) = (work.program.clone(), work.folder());
    // The script owns every child; when it is dropped, at its end or at a signal, they are killed.
    let outcome = work.block_on(script::play(options, &program, &folder));
    let failed = matches!(outcome, Some(Err(_)));
    let kept = work.end(options.keep || failed);
    match outcome {
        Some(Ok(())) => {
            println!("converged: every node holds what its assignment says");
            if let Some(folder) = kept {
                println!("work folder: {}", folder.display());
            }
            ExitCode::SUCCESS
        }
        Some(Err(error)) => {
            eprintln!("{error}\n{}", where_to_look(&folder));
            ExitCode::FAILURE
        }
        None => {
            eprintln!("interrupted; all processes were ended");
            ExitCode::from(130)
        }
    }
}

/// Removes the work folder. A child that was just killed may still finish a write and put a file back, so this looks again.
fn remove(work: &Path) {
    for _ in 0..REMOVALS_MAX {
        match std::fs::remove_dir_all(work) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return,
            Ok(()) | Err(_) => std::thread::sleep(REMOVE_EVERY),
        }
    }
    if work.exists() {
        eprintln!("{} could not be removed", work.display());
    }
}

fn where_to_look(work: &Path) -> String {
    format!("logs: {}\nwork folder: {}", work.join("logs").display(), work.display())
}

/// Returns at Ctrl-C or a request to terminate.
async fn interrupted() {
    let arrival = async |kind| match signal(kind) {
        Ok(mut signals) => drop(signals.recv().await),
        // Without a handler the default applies: this process ends, and its children see the end of their input.
        Err(_) => std::future::pending().await,
    };
    tokio::select! {
        () = arrival(SignalKind::interrupt()) => {}
        () = arrival(SignalKind::terminate()) => {}
    }
}
