//! Runs a plan with its trace going into a file, and judges what takes two runs to judge.

use std::fs::File;
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::checks::clocks;
use crate::plan::Plan;
use crate::scenario::{Check, Depth};
use crate::stack::book::Book;
use crate::stack::world::{self, Outcome};
use crate::trace::{Header, Trace};

/// Entries of a trace that a failure shows.
const LAST_ENTRIES: usize = 24;

/// Where a trace goes when nobody says where.
#[must_use]
pub(crate) fn default_path(plan: &Plan) -> PathBuf {
    let live = if plan.depth == Depth::Live { "-live" } else { "" };
    std::env::temp_dir().join("archipel-sim").join(format!("{}-{}{live}.jsonl", plan.name, plan.seed))
}

/// Runs `plan` at depth 2 and writes its trace.
///
/// # Errors
/// Those of writing the trace, and of the system that gives no runtime.
pub(crate) fn record(plan: &Plan, trace: &Path, told: impl FnMut(Duration)) -> io::Result<Outcome> {
    if let Some(folder) = trace.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let scenario = plan.to_scenario().to_toml().map_err(io::Error::other)?;
    let header = Header::new(plan.seed, plan.depth.number(), scenario);
    let writer = Box::new(BufWriter::new(File::create(trace)?));
    let book = Book::new(Trace::with_writer(LAST_ENTRIES, &header, writer)?);
    let outcome = world::runtime()?.block_on(world::run(plan, book.clone(), told));
    book.with_trace(Trace::finish)?;
    Ok(outcome)
}

/// Runs `plan` once more with clocks that are right, when some are wrong, and adds to `outcome` what hangs on them. No other check
/// watches that run.
///
/// # Errors
/// When the system gives no runtime.
pub(crate) fn judge_clocks(plan: &Plan, outcome: &mut Outcome) -> io::Result<()> {
    let is_asked = plan.checks.is_empty() || plan.checks.contains(&Check::NoWallClock);
    let Some(mut right) = clocks::with_right_clocks(plan).filter(|_| is_asked) else { return Ok(()) };
    // Nothing else is asked of that run: reading all stores again and again is most of what a run takes.
    right.checks = vec![Check::NoWallClock];
    let other = world::runtime()?.block_on(world::run(&right, Book::new(Trace::new(0)), |_| ()));
    // Without agreement in both the ends are of no meaning.
    let is_judged = outcome.agreed_after.is_some() && other.agreed_after.is_some();
    outcome.verdicts.push((Check::NoWallClock, u64::from(is_judged), u64::from(!is_judged)));
    if is_judged && let Some(sentence) = clocks::difference(&outcome.ending, &other.ending) {
        outcome.broken.push(format!("invariant 9: {sentence}"));
    }
    Ok(())
}
