//! A real hub and real agents on this machine, through one outage and back.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use crate::commands::CommandError;
use crate::process::ProcessError;

pub mod report;
mod script;
pub mod source;
pub mod target;

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

/// Runs a fleet as `options` say. Returns 0 when it converged, 1 when not, 130 when it was interrupted.
#[must_use]
pub fn run(options: &Options) -> ExitCode {
    let prepared = tempfile::Builder::new()
        .prefix("archipel-live-")
        .tempdir()
        .and_then(|folder| Ok((folder, std::env::current_exe()?, tokio::runtime::Runtime::new()?)));
    let (folder, program, runtime) = match prepared {
        Ok(prepared) => prepared,
        Err(error) => {
            eprintln!("cannot make a work folder or a runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    // The script owns every child; when it is dropped, at its end or at a signal, they are killed.
    let outcome = runtime.block_on(async {
        tokio::select! {
            outcome = script::play(options, &program, folder.path()) => Some(outcome),
            () = interrupted() => None,
        }
    });
    let failed = matches!(outcome, Some(Err(_)));
    // Ends the tasks that the script left, so that nothing of this program touches the folder any more.
    drop(runtime);
    let work = folder.keep();
    if !options.keep && !failed {
        remove(&work);
    }
    match outcome {
        Some(Ok(())) => {
            println!("converged: every node holds what its assignment says");
            if options.keep {
                println!("work folder: {}", work.display());
            }
            ExitCode::SUCCESS
        }
        Some(Err(error)) => {
            eprintln!("{error}\n{}", where_to_look(&work));
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
