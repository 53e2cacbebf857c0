//! `archipel-sim run`: one scenario, one seed, on the real stack in virtual time, with a verdict.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;

use crate::plan::Plan;
use crate::scenario::{Depth, Scenario, shipped};
use crate::stack::world::{self, Outcome};

/// What is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// A name of the shipped scenarios, or a file.
    pub scenario: String,
    /// Instead of the scenario's own.
    pub seed: Option<u64>,
}

/// Runs it. The exit code is 0 when nothing broke and all agreed after the healing.
#[must_use]
pub fn run(options: &Options) -> ExitCode {
    start_log();
    let outcome = read(&options.scenario).and_then(|scenario| {
        let seed = options.seed.unwrap_or(scenario.seed);
        let plan = Plan::expand(&scenario, seed, Depth::Stack).map_err(|error| error.to_string())?;
        let outcome = rehearse(&plan).map_err(|error| error.to_string())?;
        print!("{}", verdict(&plan, &outcome));
        Ok(outcome)
    });
    match outcome {
        Ok(outcome) if outcome.broken.is_empty() && outcome.agreed_after.is_some() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("archipel-sim: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What members log goes to the standard error when `RUST_LOG` asks for it, with the virtual time.
fn start_log() {
    if let Ok(filter) = tracing_subscriber::EnvFilter::try_from_default_env() {
        let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
        // Fails only when there is a log already.
        let _ = log.with_timer(VirtualTime(tokio::time::Instant::now())).with_ansi(false).try_init();
    }
}

/// Time since the program started, as the paused clock has it.
struct VirtualTime(tokio::time::Instant);

impl FormatTime for VirtualTime {
    fn format_time(&self, writer: &mut Writer<'_>) -> std::fmt::Result {
        let passed = self.0.elapsed().as_secs();
        write!(writer, "{}:{:02}:{:02}", passed / 3600, passed / 60 % 60, passed % 60)
    }
}

fn read(name: &str) -> Result<Scenario, String> {
    let text = match shipped::text(name) {
        Some(text) => text.to_owned(),
        None => std::fs::read_to_string(Path::new(name))
            .map_err(|error| format!("{name}: {error}; `archipel-sim list` shows the scenarios that come with it"))?,
    };
    Scenario::parse(name, &text).map_err(|error| error.to_string())
}

fn rehearse(plan: &Plan) -> std::io::Result<Outcome> {
    let total = plan.heal_at.as_secs();
    let bar = ProgressBar::new(total);
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {msg} of virtual time, {elapsed} passed") {
        bar.set_style(style);
    }
    let told = |at: Duration| {
        bar.set_position(at.as_secs());
        bar.set_message(format!("{}h", at.as_secs() / 3600));
    };
    let outcome = world::runtime()?.block_on(world::run(plan, told));
    bar.finish_and_clear();
    Ok(outcome)
}

fn verdict(plan: &Plan, outcome: &Outcome) -> String {
    let mut lines =
        vec![format!("{}, seed {}: {} nodes, {} hubs", plan.name, plan.seed, plan.nodes.len(), plan.hubs.len())];
    for (kind, tally) in &outcome.events {
        lines.push(format!("  {kind:<16} {} planned, {} took effect", tally.planned, tally.reached));
    }
    let [out, back] = outcome.wire_bytes;
    lines.push(format!("  on the wire      {out} B to hubs, {back} B to nodes"));
    let [taken, sent] = outcome.payload_bytes;
    lines.push(format!("  in frames        {taken} B to hubs, {sent} B to nodes, since the hubs started last"));
    lines.extend(outcome.broken.iter().map(|broken| format!("broken: {broken}")));
    lines.push(match (outcome.agreed_after, &outcome.disagreement) {
        (Some(after), _) => format!("all agreed {} s after the healing", after.as_secs()),
        (None, why) => format!("no agreement: {}", why.as_deref().unwrap_or("nobody was asked")),
    });
    if !outcome.broken.is_empty() || outcome.agreed_after.is_none() {
        lines.push(format!("again: archipel-sim run {} --seed {}", plan.name, plan.seed));
    }
    lines.join("\n") + "\n"
}
