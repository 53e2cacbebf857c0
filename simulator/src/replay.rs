//! `archipel-sim replay`: makes the run of a trace again and says where it differs.

use std::fs::File;
use std::io::{self, BufReader};
use std::path::Path;
use std::process::ExitCode;

use crate::plan::{Plan, PlanError};
use crate::rehearse::record::record;
use crate::scenario::{Depth, Scenario};
use crate::trace::{self, Entry, Header, ReadError};

/// A trace cannot be replayed. Nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// The file, or the one that the run is written to.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The file is no trace.
    #[error(transparent)]
    Trace(#[from] ReadError),
    /// The scenario in its header is none.
    #[error("the scenario in the trace's header: {0}")]
    Scenario(String),
    /// It cannot be expanded.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// Only runs of this depth can be made again from a trace.
    #[error("the trace is of depth {0}; `replay` makes runs of depth 2 again")]
    Depth(u8),
}

/// How a run compares to its trace.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Comparison {
    /// Entry by entry the same.
    Same {
        /// How many entries.
        length: u64,
    },
    /// From one entry on it is another run.
    Differs {
        /// Which, from 1.
        at: u64,
        /// In the trace; `None`: it has ended.
        then: Option<Box<Entry>>,
        /// In the run; `None`: it has ended.
        now: Option<Box<Entry>>,
    },
}

/// Replays a trace and prints what came of it. The exit code is 0 when the run is the same and nothing in it is broken.
#[must_use]
pub fn run(path: &Path) -> ExitCode {
    match replay(path) {
        Ok((comparison, broken)) => {
            match &comparison {
                Comparison::Same { length } => println!("the same run: {length} entries"),
                Comparison::Differs { at, then, now } => {
                    let said =
                        |entry: &Option<Box<Entry>>| entry.as_ref().map_or("nothing".to_owned(), ToString::to_string);
                    println!("another run from entry {at} on\n  trace: {}\n  now:   {}", said(then), said(now));
                }
            }
            broken.iter().for_each(|broken| println!("broken: {broken}"));
            let is_good = matches!(comparison, Comparison::Same { .. }) && broken.is_empty();
            if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("archipel-sim: {}: {error}", path.display());
            ExitCode::FAILURE
        }
    }
}

/// Makes the run again, beside its trace. With what is broken in it.
///
/// # Errors
/// [`ReplayError`].
pub fn replay(path: &Path) -> Result<(Comparison, Vec<String>), ReplayError> {
    let then = trace::read(BufReader::new(File::open(path)?))?;
    let plan = planned(path, then.header())?;
    let folder = tempfile::tempdir()?;
    let again = folder.path().join("trace.jsonl");
    let outcome = record(&plan, &again, |_| ())?;
    let now = trace::read(BufReader::new(File::open(&again)?))?;
    Ok((compare(then, now)?, outcome.broken))
}

/// The plan of a trace: that of its run.
///
/// # Errors
/// [`ReplayError`].
pub fn plan_of(path: &Path) -> Result<Plan, ReplayError> {
    planned(path, trace::read(BufReader::new(File::open(path)?))?.header())
}

fn planned(path: &Path, header: &Header) -> Result<Plan, ReplayError> {
    if header.depth != Depth::Stack.number() {
        return Err(ReplayError::Depth(header.depth));
    }
    let name = path.display().to_string();
    let scenario =
        Scenario::parse(&name, &header.scenario).map_err(|error| ReplayError::Scenario(error.to_string()))?;
    Ok(Plan::expand(&scenario, header.seed, Depth::Stack)?)
}

/// Entry by entry.
///
/// # Errors
/// [`ReadError`] of either.
pub fn compare(
    mut then: impl Iterator<Item = Result<Entry, ReadError>>,
    mut now: impl Iterator<Item = Result<Entry, ReadError>>,
) -> Result<Comparison, ReadError> {
    let mut length = 0;
    loop {
        let (one, other) = (then.next().transpose()?, now.next().transpose()?);
        if one != other {
            return Ok(Comparison::Differs { at: length + 1, then: one.map(Box::new), now: other.map(Box::new) });
        }
        if one.is_none() {
            return Ok(Comparison::Same { length });
        }
        length += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::Happening;

    const SHORT: &str = "name = \"short\"\nrehearses = \"x\"\nduration = \"40m\"\n[heal]\nwithin = \"30m\"\n\
        [[group]]\nname = \"a\"\nlayers = [\"base\"]\n[[layer]]\nname = \"base\"\n\
        [[event]]\nkind = \"restart\"\nat = [\"3m\"]\n";

    #[test]
    fn a_run_is_made_again_from_its_trace_and_a_change_in_the_trace_is_found() {
        let scenario = Scenario::parse("short.toml", SHORT).unwrap();
        let plan = Plan::expand(&scenario, 5, Depth::Stack).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trace.jsonl");
        let outcome = record(&plan, &path, |_| ()).unwrap();
        assert_eq!(outcome.broken, Vec::<String>::new());
        let (comparison, _) = replay(&path).unwrap();
        assert_eq!(comparison, Comparison::Same { length: outcome.trace.1 });
        let text = std::fs::read_to_string(&path).unwrap();
        let mut lines: Vec<&str> = text.lines().collect();
        lines.remove(7);
        std::fs::write(&path, lines.join("\n") + "\n").unwrap();
        let (comparison, _) = replay(&path).unwrap();
        assert!(matches!(comparison, Comparison::Differs { at: 7, .. }), "{comparison:?}");
    }

    #[test]
    fn the_first_entry_that_differs_is_named() {
        let entry = |at| Ok(Entry { at, what: Happening::Healed });
        let differs = compare([entry(1), entry(2)].into_iter(), [entry(1)].into_iter()).unwrap();
        let then = Some(Box::new(Entry { at: 2, what: Happening::Healed }));
        assert_eq!(differs, Comparison::Differs { at: 2, then, now: None });
        let same = compare([entry(1)].into_iter(), [entry(1)].into_iter()).unwrap();
        assert_eq!(same, Comparison::Same { length: 1 });
    }
}
