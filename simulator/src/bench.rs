//! Measurements against peers in the same run: `archipel-sim bench sync` and `archipel-sim bench agents`.
//!
//! Bytes and round trips are exact. Times and memory differ between machines: compare them within one run.

use std::fmt::{Display, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::ValueEnum;

use table::Table;

mod agents;
mod bare;
mod connections;
mod depths;
mod fleet;
mod idle;
mod ingest;
mod layer;
mod measure;
mod offline;
mod peers;
mod rest;
mod restored;
mod scale;
mod stage;
mod table;
mod workload;
mod year;

pub use agents::{AgentsOptions, run_agents, serve as serve_agents};
pub use bare::serve as serve_bare;
pub use depths::{COMPARED, Comparison, DepthsOptions, Said, compare, off, run_depths};
pub use peers::Source as PeersSource;
pub use scale::{ScaleOptions, run_scale};

/// What to measure.
#[derive(Debug, Clone)]
pub struct Options {
    /// Tiny sizes, which say that everything runs and nothing else.
    pub quick: bool,
    /// The page to write.
    pub out: Option<PathBuf>,
    /// Days of updates in the section `year`, as long as that takes; `None` for a year or as far as some seconds go.
    pub days: Option<f64>,
    /// The sections; empty for all.
    pub only: Vec<Section>,
    /// Where the other engines are measured.
    pub peers: PeersSource,
}

/// A part of the measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Section {
    /// Reconnect with nothing changed
    Idle,
    /// Updates made offline
    Offline,
    /// Changes of two hubs that must all travel
    Layer,
    /// Two hubs after one was restored
    Restored,
    /// A document that is updated for a long time
    Year,
    /// Changes made durable at the hub
    Ingest,
    /// The hub with many documents at rest
    Rest,
    /// The hub's cost of a reconnecting and of an idle node
    Connections,
}

impl Section {
    const ALL: [Self; 8] = [
        Self::Idle,
        Self::Offline,
        Self::Layer,
        Self::Restored,
        Self::Year,
        Self::Ingest,
        Self::Rest,
        Self::Connections,
    ];

    fn measure(self, options: &Options) -> Result<Table, BenchError> {
        match self {
            Self::Idle => idle::measure(options),
            Self::Offline => offline::measure(options),
            Self::Layer => layer::measure(options),
            Self::Restored => restored::measure(options),
            Self::Year => year::measure(options),
            Self::Ingest => ingest::measure(options),
            Self::Rest => rest::measure(options),
            Self::Connections => connections::measure(options),
        }
    }
}

/// Why a measurement has no result. Nothing that matters is left behind: all folders were temporary.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BenchError {
    /// A step failed, in the engine, a peer or the system.
    #[error("cannot {what}: {problem}")]
    Failed {
        /// What was tried.
        what: &'static str,
        /// What was said.
        problem: String,
    },
    /// What was measured did not do what it should, so its figures mean nothing.
    #[error("{0}")]
    Wrong(String),
}

/// Gives an error the step that it ended.
trait During<T> {
    fn during(self, what: &'static str) -> Result<T, BenchError>;
}

impl<T, E: Display> During<T> for Result<T, E> {
    fn during(self, what: &'static str) -> Result<T, BenchError> {
        self.map_err(|error| BenchError::Failed { what, problem: error.to_string() })
    }
}

/// Measures as `options` say, prints each table as soon as it is there, and writes the page. Returns 0, or 1 when a section
/// failed; the others are measured and written nevertheless.
#[must_use]
pub fn run_sync(options: &Options) -> ExitCode {
    let sections: &[Section] = if options.only.is_empty() { &Section::ALL } else { &options.only };
    let mut tables = Vec::new();
    let mut failed = false;
    for section in sections {
        match section.measure(options) {
            Ok(table) => {
                println!("{}\n", table.to_text());
                tables.push(table);
            }
            Err(error) => {
                eprintln!("{section:?}: {error}");
                failed = true;
            }
        }
    }
    if let Some(out) = &options.out
        && let Err(error) = write_page(out, "Synchronisation against peers", &tables)
    {
        eprintln!("cannot write {}: {error}", out.display());
        failed = true;
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Writes tables as a page with the date, the machine and the command.
fn write_page(path: &Path, title: &str, tables: &[Table]) -> std::io::Result<()> {
    let command: Vec<String> = std::env::args().skip(1).collect();
    let mut page = format!(
        "# {title}\n\n{}. {}. Written by\n\n```sh\ncargo run --release -p simulator -- {}\n```\n\nBytes and round trips are \
         exact. Times and memory differ between machines: compare them within this page.\n",
        measure::today(),
        measure::machine(),
        command.join(" ")
    );
    for table in tables {
        let _ = write!(page, "\n{}", table.to_markdown());
    }
    std::fs::write(path, page)
}
