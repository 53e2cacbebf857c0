//! `archipel-sim shrink`: makes the run of a trace smaller as long as the same check fails, and saves what remains as a scenario.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::{Bounds, ShrinkError, Shrunk, Size, shrink};
use crate::broke::Broke;
use crate::plan::{Plan, PlanError};
use crate::replay::{self, ReplayError};
use crate::scenario::{Depth, Scenario, ScenarioError};

/// What is made smaller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// A trace, or a scenario file (`.toml`) that fails with its own seed.
    pub file: PathBuf,
    /// Where the smaller scenario goes, instead of beside the file.
    pub out: Option<PathBuf>,
    /// When to stop looking for a smaller one. A run under way is made to its end.
    pub budget: Duration,
}

/// A failing run was not made smaller. Nothing was saved.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// The trace.
    #[error(transparent)]
    Trace(#[from] ReplayError),
    /// The scenario.
    #[error(transparent)]
    Scenario(#[from] ScenarioError),
    /// The scenario has no plan.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// Its run does not fail.
    #[error(transparent)]
    Shrink(#[from] ShrinkError),
    /// The smaller scenario cannot be written, or the system gives no runtime.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// A smaller run that fails as the first one did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Smaller {
    /// How large the run was.
    pub before: Size,
    /// What it is now, and what was tried.
    pub shrunk: Shrunk,
    /// What it fails by now.
    pub broke: Broke,
    /// How many runs it took.
    pub runs: usize,
    /// Whether the budget ran out before nothing more could go.
    pub is_late: bool,
}

/// Makes it smaller, saves it, and says so. The exit code is 0 when there is a smaller scenario.
#[must_use]
pub fn run(options: &Options) -> ExitCode {
    let begun = Instant::now();
    match reduce(options) {
        Ok((small, out)) => {
            print!("{}", told(&small, &out, begun.elapsed()));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("archipel-sim: {}: {error}", options.file.display());
            ExitCode::FAILURE
        }
    }
}

fn reduce(options: &Options) -> Result<(Smaller, PathBuf), CommandError> {
    let plan = read(&options.file)?;
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}, {elapsed} passed") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    let small =
        smaller(&plan, options.budget, |runs, size| bar.set_message(format!("{runs} runs, at {}", sized(size))));
    bar.finish_and_clear();
    let small = small?;
    let stem = options.file.file_stem().unwrap_or_default().to_string_lossy();
    let out = options.out.clone().unwrap_or_else(|| options.file.with_file_name(format!("{stem}-small.toml")));
    std::fs::write(&out, file(&small)?)?;
    Ok((small, out))
}

/// The plan of a trace, or of a scenario with its own seed.
fn read(file: &Path) -> Result<Plan, CommandError> {
    if file.extension().is_none_or(|end| end != "toml") {
        return Ok(replay::plan_of(file)?);
    }
    let scenario = Scenario::load(&file.display().to_string())?;
    let depths = scenario.depths();
    let depth = if depths.contains(&Depth::Stack) { Depth::Stack } else { Depth::Machines };
    Ok(Plan::expand(&scenario, scenario.seed, depth)?)
}

/// The smallest plan found within the budget whose run fails by the same check.
///
/// # Errors
/// [`CommandError::Shrink`] when the run of `plan` does not fail; [`CommandError::Io`].
pub fn smaller(plan: &Plan, budget: Duration, mut told: impl FnMut(usize, Size)) -> Result<Smaller, CommandError> {
    let until = Instant::now() + budget;
    // A run with right clocks costs as much again, so it is asked for only if nothing else fails.
    let without = Broke::by(plan, false)?;
    let with_clocks = without.is_none();
    let first = if with_clocks { Broke::by(plan, true)? } else { without };
    let first = first.ok_or(ShrinkError::DoesNotFail)?;
    let (mut broke, mut runs, mut is_late, mut trouble) = (first.clone(), 1, false, None);
    let mut smallest = plan.size();
    let mut is_known = true;
    let mut fails = |plan: &Plan| {
        if std::mem::take(&mut is_known) {
            return true;
        }
        is_late |= Instant::now() >= until;
        if is_late || trouble.is_some() {
            return false;
        }
        told(runs, smallest);
        runs += 1;
        match Broke::by(plan, with_clocks) {
            Ok(Some(now)) if now.is_like(&first) => {
                (broke, smallest) = (now, plan.size());
                true
            }
            Ok(_) => false,
            Err(error) => {
                trouble = Some(error);
                false
            }
        }
    };
    let shrunk = shrink(plan, Bounds::default(), &mut fails)?;
    match trouble {
        Some(error) => Err(error.into()),
        None => Ok(Smaller { before: plan.size(), shrunk, broke, runs, is_late }),
    }
}

/// The scenario file, with a comment that says what it is.
fn file(small: &Smaller) -> io::Result<String> {
    let plan = &small.shrunk.plan;
    let text = plan.to_scenario().to_toml().map_err(io::Error::other)?;
    let sentence = small.broke.sentence.lines().next().unwrap_or_default();
    let (before, after) = (sized(small.before), sized(plan.size()));
    Ok(format!("# A run of `{}` made smaller: from {before} to {after}.\n# {sentence}\n{text}", plan.name))
}

fn told(small: &Smaller, out: &Path, passed: Duration) -> String {
    let after = sized(small.shrunk.plan.size());
    let end = match (small.shrunk.minimal && !small.is_late, small.is_late) {
        (true, _) => "nothing more can go",
        (false, true) => "the budget ran out: run `shrink` on the saved file to go on",
        (false, false) => "enough was tried: run `shrink` on the saved file to go on",
    };
    [
        format!("from {} to {after} in {} runs and {passed:.0?}; {end}", sized(small.before), small.runs),
        format!("it fails by: {}", small.broke),
        format!("saved:   {}", out.display()),
        format!("again:   archipel-sim run {}", out.display()),
        "for good: move it to simulator/scenarios/regressions once it is mended".to_owned(),
    ]
    .join("\n")
        + "\n"
}

fn sized(size: Size) -> String {
    format!("{} members, {} events, {} changes of links", size.members, size.events, size.link_changes)
}
