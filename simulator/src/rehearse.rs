//! `archipel-sim run`: one scenario, one seed, at one depth, with a verdict.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;

use crate::live::rehearsal;
use crate::plan::Plan;
use crate::scenario::{Depth, Kind, Scenario, shipped};
use crate::stack::world::{Outcome, Tally};

mod on_machines;
pub(crate) mod record;

pub(crate) use on_machines::late;

/// What is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// A name of the shipped scenarios, or a file.
    pub scenario: String,
    /// Instead of the scenario's own.
    pub seed: Option<u64>,
    /// How real the world is. Unset: the real stack, or what the scenario has instead.
    pub depth: Option<Depth>,
    /// Where the trace goes, instead of a folder for temporary files.
    pub trace: Option<PathBuf>,
    /// At depth 3: how many times faster than it says the scenario happens, instead of what it says itself.
    pub speed: Option<u32>,
    /// At depth 3: whether the folder of the processes stays.
    pub keep: bool,
}

/// Runs it. The exit code is 0 when nothing broke and all agreed after the healing.
#[must_use]
pub fn run(options: &Options) -> ExitCode {
    start_log();
    match read(&options.scenario).and_then(|scenario| judge(options, scenario)) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("archipel-sim: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs it and prints the verdict.
fn judge(options: &Options, mut scenario: Scenario) -> Result<ExitCode, String> {
    let seed = options.seed.unwrap_or(scenario.seed);
    let has_stack = scenario.depths().contains(&Depth::Stack);
    let depth = options.depth.unwrap_or(if has_stack { Depth::Stack } else { Depth::Machines });
    if let Some(speed) = options.speed {
        if depth != Depth::Live {
            return Err("`--speed` is for depth 3: time is virtual at the others".to_owned());
        }
        // None listed is all of them, and one that is not listed is refused below.
        if scenario.depth.is_empty() || scenario.depth.contains_key(&depth) {
            scenario.depth.entry(depth).or_default().speed = Some(speed);
        }
    }
    let plan = Plan::expand(&scenario, seed, depth).map_err(|error| error.to_string())?;
    let is_good = match depth {
        Depth::Machines => on_machines::run(&plan, &options.scenario)?,
        Depth::Stack => on_the_stack(&plan, options)?,
        Depth::Live => {
            let speed = scenario.limit(depth).speed.unwrap_or(1).max(1);
            let Options { scenario, trace, keep, .. } = options.clone();
            return Ok(rehearsal::run(&plan, &rehearsal::Options { scenario, speed, trace, keep }));
        }
    };
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn on_the_stack(plan: &Plan, options: &Options) -> Result<bool, String> {
    let trace = options.trace.clone().unwrap_or_else(|| record::default_path(plan));
    let bar = bar(plan);
    let told = |at| show(&bar, at);
    let outcome = record::record(plan, &trace, told);
    bar.finish_and_clear();
    let mut outcome = outcome.map_err(|error| format!("{}: {error}", trace.display()))?;
    if outcome.broken.is_empty() {
        record::judge_clocks(plan, &mut outcome).map_err(|error| error.to_string())?;
    }
    print!("{}", verdict(plan, &options.scenario, &trace, &outcome));
    Ok(outcome.broken.is_empty() && outcome.agreed_after.is_some())
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

/// A bar that shows how far virtual time is.
fn bar(plan: &Plan) -> ProgressBar {
    let bar = ProgressBar::new(plan.heal_at.as_secs());
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {msg} of virtual time, {elapsed} passed") {
        bar.set_style(style);
    }
    bar
}

fn show(bar: &ProgressBar, at: Duration) {
    // One step an hour: there may be millions of events.
    if at.as_secs() / 3600 != bar.position() / 3600 {
        bar.set_position(at.as_secs());
        bar.set_message(format!("{}h", at.as_secs() / 3600));
    }
}

fn verdict(plan: &Plan, scenario: &str, trace: &Path, outcome: &Outcome) -> String {
    let mut lines = vec![format!(
        "{}, seed {}, depth 2: {} nodes, {} hubs",
        plan.name,
        plan.seed,
        plan.nodes.len(),
        plan.hubs.len()
    )];
    for (kind, tally) in &outcome.events {
        lines.push(format!("  {kind:<16} {} planned, {} took effect", tally.planned, tally.reached));
    }
    lines.extend(coverage(outcome));
    lines.extend(outcome.verdicts.iter().map(|(check, judged, unjudged)| {
        format!("  {:<26} {judged} verdicts, {unjudged} could not be given", check.name())
    }));
    if outcome.unread > 0 {
        lines.push(format!("  {} times a store could not be read", outcome.unread));
    }
    let [out, back] = outcome.wire_bytes;
    lines.push(format!("  on the wire      {out} B to hubs, {back} B to nodes"));
    let [taken, sent] = outcome.payload_bytes;
    lines.push(format!("  in frames        {taken} B to hubs, {sent} B from hubs"));
    lines.push(late(&outcome.lateness));
    let (hash, length) = outcome.trace;
    lines.push(format!("  trace            {length} entries, hash {}, in {}", short(&hash), trace.display()));
    lines.extend(outcome.broken.iter().map(|broken| format!("broken: {broken}")));
    if !outcome.broken.is_empty() {
        lines.push("the last that happened:".to_owned());
        lines.extend(outcome.last.iter().map(|entry| format!("  {entry}")));
    }
    lines.push(match (outcome.agreed_after, &outcome.disagreement) {
        (Some(after), _) => format!("all agreed {} s after the healing", after.as_secs()),
        (None, why) => format!("no agreement: {}", why.as_deref().unwrap_or("nobody was asked")),
    });
    if !outcome.broken.is_empty() || outcome.agreed_after.is_none() {
        lines.push(format!("again: archipel-sim run {scenario} --seed {}", plan.seed));
        lines.push(format!("       archipel-sim replay {}", trace.display()));
    }
    lines.join("\n") + "\n"
}

/// The kinds of faults that were planned and never hit a state in which they matter.
fn coverage(outcome: &Outcome) -> Option<String> {
    let is_idle = |(kind, tally): &(&&str, &Tally)| is_fault(kind) && tally.planned > 0 && tally.mattered == 0;
    let idle: Vec<&str> = outcome.events.iter().filter(is_idle).map(|(kind, _)| *kind).collect();
    (!idle.is_empty()).then(|| format!("not reached where it matters: {}", idle.join(", ")))
}

/// Whether events of this kind are trouble rather than work.
pub(crate) fn is_fault(kind: &str) -> bool {
    kind != "join" && Kind::ALL.iter().find(|known| known.name() == kind).is_none_or(|known| !known.is_work())
}

fn short(hash: &[u8; 32]) -> String {
    hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}
