//! `archipel-sim report`: one page that shows runs from their traces: a timeline of each, distributions over all, and two sets of
//! runs beside each other.
//!
//! Traces are read into a [`Report`], a value; the page is a fixed file that draws it. The page asks no network for anything.

use std::fs::File;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::trace::{self, ReadError};

mod measures;
mod model;
mod page;
mod spans;
mod story;
#[cfg(test)]
mod tests;

pub(crate) use measures::late;
pub use measures::{Kind, Measure};
pub use model::{Fault, Figures, Link, Log, Member, Report, Run, Set, Span, Story};
pub use page::page;

/// Runs of which a report has the timeline. Of all others it has the figures: a page of hundreds of timelines opens slowly.
const STORIES_MAX: usize = 12;

/// What a report is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Traces of the runs to show.
    pub traces: Vec<PathBuf>,
    /// Traces of the runs to show beside them; perhaps none.
    pub compare: Vec<PathBuf>,
    /// The page.
    pub out: PathBuf,
}

/// A report cannot be made. Nothing was written, or half a page.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// A trace cannot be opened.
    #[error("{path}: {source}", path = path.display())]
    Open {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is no trace.
    #[error("{path}: {source}", path = path.display())]
    Trace {
        /// Which.
        path: PathBuf,
        /// Where and why.
        source: ReadError,
    },
    /// The scenario in a trace's header is none.
    #[error("{path}: the scenario in its header: {why}", path = path.display())]
    Scenario {
        /// Which.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// The page cannot be written.
    #[error("{path}: {source}; is there room, and does its folder exist?", path = path.display())]
    Write {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Writes the page. The exit code is 0 when it is written, whatever the runs came to.
#[must_use]
pub fn run(options: &Options) -> ExitCode {
    match write(options) {
        Ok(report) => {
            let runs: usize = report.sets.iter().map(|set| set.runs.len()).sum();
            println!("{runs} runs in {}: open it in a browser", options.out.display());
            if report.left_out > 0 {
                println!("  {} of them without their timeline, the page has {STORIES_MAX}", report.left_out);
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("archipel-sim: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Reads the traces and writes the page.
///
/// # Errors
/// [`ReportError`].
pub fn write(options: &Options) -> Result<Report, ReportError> {
    let report = read(&options.traces, &options.compare)?;
    let path = options.out.clone();
    std::fs::write(&path, page(&report)).map_err(|source| ReportError::Write { path, source })?;
    Ok(report)
}

/// Reads traces into a report.
///
/// # Errors
/// [`ReportError`], but for those of writing.
pub fn read(traces: &[PathBuf], compare: &[PathBuf]) -> Result<Report, ReportError> {
    let all: Vec<&PathBuf> = traces.iter().chain(compare).collect();
    let set = |name: &str, paths: &[PathBuf]| -> Result<Set, ReportError> {
        let runs = paths.iter().map(|path| read_run(path, label(path, &all))).collect::<Result<Vec<_>, _>>()?;
        Ok(Set::new(name.to_owned(), runs))
    };
    let mut sets = vec![set("runs", traces)?];
    if !compare.is_empty() {
        sets.push(set("compared with", compare)?);
    }
    Ok(Report::new(sets, STORIES_MAX))
}

fn read_run(path: &Path, label: String) -> Result<Run, ReportError> {
    let at = |source| ReportError::Trace { path: path.to_owned(), source };
    let file = File::open(path).map_err(|source| ReportError::Open { path: path.to_owned(), source })?;
    let reader = trace::read(BufReader::new(file)).map_err(at)?;
    let header = reader.header().clone();
    let run = Run::begin(label, &header).map_err(|why| ReportError::Scenario { path: path.to_owned(), why })?;
    let mut story = story::Teller::default();
    for entry in reader {
        story.happened(&entry.map_err(at)?);
    }
    Ok(story.finish(run))
}

/// The file's name; all of its path when another trace has that name too.
fn label(path: &Path, all: &[&PathBuf]) -> String {
    let is_alone = all.iter().filter(|other| other.file_name() == path.file_name()).count() == 1;
    let name = path.file_name().filter(|_| is_alone);
    name.map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
}
