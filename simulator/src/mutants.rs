//! `archipel-sim mutants`: plants one bug after the other and says which check catches it, in which scenario, after how many runs.
//!
//! Each bug is planted in a process of its own, because it is there for good. That process goes through the scenarios of
//! [`one`], seed by seed, until a check breaks. What broke is run once more without a bug: a check that breaks there too
//! has caught nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use comfy_table::{Table, presets};
use sync_core::mutants::Mutant;

mod one;

pub use one::{Caught, child};

/// What is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Only these; none: all.
    pub only: Vec<Mutant>,
    /// How many seeds of each scenario.
    pub seeds: u64,
    /// How many bugs at a time; `None`: as many as there are processors.
    pub jobs: Option<usize>,
}

/// The bug of this name.
///
/// # Errors
/// A sentence for the command line.
pub fn named(name: &str) -> Result<Mutant, String> {
    let found = Mutant::ALL.iter().find(|mutant| format!("{mutant:?}") == name);
    found.copied().ok_or_else(|| format!("no bug is called `{name}`; `archipel-sim mutants` goes through all"))
}

/// Runs them all and prints the table. The exit code is 0 when each was caught.
#[must_use]
pub fn run(options: &Options) -> ExitCode {
    let begun = Instant::now();
    let mutants = if options.only.is_empty() { Mutant::ALL.to_vec() } else { options.only.clone() };
    let results = side_by_side(options.jobs, &mutants, |mutant| {
        let name = format!("{mutant:?}");
        let found = start(&[&name, &options.seeds.to_string()]);
        match &found {
            Ok(it) => {
                eprintln!("{name}: in {}, seed {}, after {} s: {}", it.scenario, it.seed, it.seconds, it.sentence)
            }
            Err(why) => eprintln!("{name}: {why}"),
        }
        found
    });
    let runs: BTreeSet<(String, u64)> =
        results.iter().flatten().map(|caught| (caught.scenario.clone(), caught.seed)).collect();
    let runs: Vec<_> = runs.into_iter().collect();
    let control = side_by_side(options.jobs, &runs, |(scenario, seed)| start(&["", scenario, &seed.to_string()]));
    let control: BTreeMap<_, _> = runs.into_iter().zip(control).collect();
    let (mut table, mut missed) = (Table::new(), 0);
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header(["bug", "what is wrong", "breaks", "caught by", "in", "seed", "runs"]);
    for (mutant, found) in mutants.iter().zip(&results) {
        let (name, about, breaks) = (format!("`{mutant:?}`"), mutant.about(), mutant.invariant().to_string());
        let verdict = match found {
            Ok(caught) => match control.get(&(caught.scenario.clone(), caught.seed)) {
                Some(Ok(same)) => Err(format!("not caught: without it {}", same.sentence)),
                _ => Ok(caught),
            },
            Err(why) => Err(why.clone()),
        };
        missed += usize::from(verdict.is_err());
        table.add_row(match verdict {
            Ok(it) => {
                let (check, scenario) = (format!("`{}`", it.check), format!("`{}`", it.scenario));
                [name, about.to_owned(), breaks, check, scenario, it.seed.to_string(), it.runs.to_string()]
            }
            Err(why) => [name, about.to_owned(), breaks, why, String::new(), String::new(), String::new()],
        });
    }
    println!("{table}");
    let caught = mutants.len() - missed;
    println!("{caught} of {} caught in {} s", mutants.len(), begun.elapsed().as_secs());
    if missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Asks a process of its own; why nothing was caught otherwise.
fn start(arguments: &[&str]) -> Result<Caught, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let arguments = ["mutants-child"].iter().chain(arguments).map(OsString::from);
    let output = Command::new(program).args(arguments).stderr(Stdio::null()).output();
    let output = output.map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&output.stdout);
    match serde_json::from_str(&text) {
        Ok(Some(caught)) => Ok(caught),
        Ok(None) => Err("not caught".to_owned()),
        Err(_) => Err(format!("not caught: the process ended by {}", output.status)),
    }
}

/// Works on all of `items`, some at a time, and gives back what came of each, in their order.
fn side_by_side<I: Sync, T: Send>(jobs: Option<usize>, items: &[I], work: impl Fn(&I) -> T + Sync) -> Vec<T> {
    let jobs = jobs.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    let (next, done) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    std::thread::scope(|scope| {
        for _ in 0..jobs.clamp(1, 256) {
            scope.spawn(|| {
                while let Some((place, item)) = {
                    let place = next.fetch_add(1, Ordering::Relaxed);
                    items.get(place).map(|item| (place, item))
                } {
                    let value = work(item);
                    done.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(place, value);
                }
            });
        }
    });
    done.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner).into_values().collect()
}
