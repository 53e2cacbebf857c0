//! `archipel-sim swarm`: many seeds, each with a variant of its own, side by side; what broke, and what was reached.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::scenario::{Depth, Scenario};

mod one;
mod sum;

pub use one::{Failure, Ran, Task};
pub use sum::Sum;

/// What is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Names of scenarios that come with the simulator, or files.
    pub scenarios: Vec<String>,
    /// How many seeds of each.
    pub seeds: u64,
    /// The first of them.
    pub first: u64,
    /// How many runs at a time; `None`: as many as there are processors.
    pub jobs: Option<usize>,
    /// How real the world is: machines or the stack.
    pub depth: Depth,
    /// Whether to go on after a failure.
    pub keep_going: bool,
    /// Seeds that this divides run twice and must give one trace; 0: none.
    pub twice: u64,
}

/// Runs the swarm and prints what it came to. The exit code is 0 when nothing broke.
#[must_use]
pub fn run(options: &Options) -> ExitCode {
    match read(options) {
        Ok(scenarios) => {
            let begun = Instant::now();
            let sum = fly(options, &scenarios);
            print!("{}", sum.told(options, begun.elapsed()));
            if sum.failed().is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("archipel-sim: {error}");
            ExitCode::FAILURE
        }
    }
}

fn read(options: &Options) -> Result<Vec<Scenario>, String> {
    let read = |name: &String| {
        let scenario = Scenario::load(name).map_err(|error| error.to_string())?;
        if scenario.depths().contains(&options.depth) {
            Ok(scenario)
        } else {
            Err(format!("{name} is not for depth {}", options.depth.number()))
        }
    };
    options.scenarios.iter().map(read).collect()
}

/// Makes all runs, some at a time, seed by seed.
fn fly(options: &Options, scenarios: &[Scenario]) -> Sum {
    let count = scenarios.len() as u64;
    let total = options.seeds.saturating_mul(count);
    let (next, stops) = (AtomicU64::new(0), AtomicBool::new(false));
    let bar = bar(options, scenarios);
    let (say, heard) = mpsc::channel();
    let jobs = options.jobs.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    let mut sum = Sum::of(scenarios);
    std::thread::scope(|scope| {
        for _ in 0..jobs.clamp(1, 256) {
            let (say, next, stops, bar) = (say.clone(), &next, &stops, &bar);
            scope.spawn(move || {
                while !stops.load(Ordering::Relaxed) {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let place = number.checked_rem(count).and_then(|place| usize::try_from(place).ok()).unwrap_or(0);
                    let (Some(scenario), Some(name)) = (scenarios.get(place), options.scenarios.get(place)) else {
                        break;
                    };
                    if number >= total {
                        break;
                    }
                    let seed = options.first.saturating_add(number / count);
                    let is_double = options.twice > 0 && seed.is_multiple_of(options.twice);
                    let task = Task { scenario, name, seed, depth: options.depth, is_double };
                    if say.send(watched(&task, bar)).is_err() {
                        break;
                    }
                }
            });
        }
        drop(say);
        for ran in heard {
            if let Some(failure) = ran.told() {
                // Also where no bar is shown, as in a log.
                bar.suspend(|| eprintln!("{failure}"));
                stops.fetch_or(!options.keep_going, Ordering::Relaxed);
            }
            sum.add(ran);
            bar.set_message(format!("{} of {total} runs, {} broken", sum.runs(), sum.failed().len()));
        }
    });
    bar.finish_and_clear();
    sum
}

/// Makes one run and moves the bar by its virtual time. A simulator that panics is a failure of that seed.
fn watched(task: &Task<'_>, bar: &ProgressBar) -> Ran {
    let mut shown = 0;
    let told = |at: Duration| {
        // One step an hour: there may be millions of events.
        let hours = at.as_secs() / 3600;
        bar.inc(hours.saturating_sub(shown));
        shown = shown.max(hours);
    };
    catch_unwind(AssertUnwindSafe(|| task.run(told))).unwrap_or_else(|panic| {
        let said = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
        Ran::nothing(task, format!("the simulator panicked: {}", said.unwrap_or("without a word")))
    })
}

/// A bar that shows how much of all virtual time has passed.
fn bar(options: &Options, scenarios: &[Scenario]) -> ProgressBar {
    let hours = |scenario: &Scenario| {
        let duration = scenario.limit(options.depth).duration.unwrap_or(scenario.duration);
        scenario.heal_at(duration).0.as_secs() / 3600
    };
    let bar = ProgressBar::new(scenarios.iter().map(hours).sum::<u64>().saturating_mul(options.seeds));
    if let Ok(style) =
        ProgressStyle::with_template("{bar:40} {msg}, {pos} of {len} h of virtual time, {elapsed} passed")
    {
        bar.set_style(style);
    }
    bar
}

#[cfg(test)]
mod tests;
