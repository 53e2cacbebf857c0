//! `archipel-sim run`: one scenario, one seed, at one depth in virtual time, with a verdict.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::machines;
use crate::plan::Plan;
use crate::scenario::{Depth, Scenario, shipped};
use crate::stack::world;

/// What is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// A name of the shipped scenarios, or a file.
    pub scenario: String,
    /// Instead of the scenario's own.
    pub seed: Option<u64>,
    /// How real the world is. Unset: the real stack, or what the scenario has instead.
    pub depth: Option<Depth>,
}

/// What a run came to, at any depth.
struct Verdict {
    agreed_after: Option<Duration>,
    disagreement: Option<String>,
    broken: Vec<String>,
    /// What was measured, a line each.
    figures: Vec<String>,
}

/// Runs it. The exit code is 0 when nothing broke and all agreed after the healing.
#[must_use]
pub fn run(options: &Options) -> ExitCode {
    let outcome = read(&options.scenario).and_then(|scenario| {
        let seed = options.seed.unwrap_or(scenario.seed);
        let depths = scenario.depths();
        let usual = if depths.contains(&Depth::Stack) { Depth::Stack } else { Depth::Machines };
        let depth = options.depth.unwrap_or(usual);
        let plan = Plan::expand(&scenario, seed, depth).map_err(|error| error.to_string())?;
        let outcome = match depth {
            Depth::Machines => on_machines(&plan)?,
            Depth::Stack => on_the_stack(&plan).map_err(|error| error.to_string())?,
            Depth::Live => return Err("depth 3 runs processes in real time: `archipel-sim live`".to_owned()),
        };
        print!("{}", told(&plan, &outcome));
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

fn on_machines(plan: &Plan) -> Result<Verdict, String> {
    let bar = bar(plan);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut options = machines::Options { threads, eyes: &mut machines::nobody };
    let outcome = machines::run(plan, &mut options, |at| show(&bar, at)).map_err(|error| error.to_string())?;
    bar.finish_and_clear();
    let counted = |(kind, tally): (&&str, &machines::Tally)| counted(kind, tally.planned, tally.reached);
    let mut figures: Vec<String> = outcome.events.iter().map(counted).collect();
    let at_hubs = outcome.members.iter().filter(|it| plan.hubs.iter().any(|hub| hub.name == it.name));
    let payload = at_hubs.fold((0, 0), |sum, it| (sum.0 + it.payload_in, sum.1 + it.payload_out));
    let wire: u64 = outcome.members.iter().map(|it| it.wire_out).sum();
    figures
        .push(format!("  payload          {} B to hubs, {} B from hubs; on the wire {wire} B", payload.0, payload.1));
    figures.push(late(&outcome.lateness));
    let counts = outcome.counts;
    figures.push(format!(
        "  inputs           {}, of them {} passes and {} dials",
        counts.inputs, counts.passes, counts.dials
    ));
    let left_out = outcome.left_out.iter().map(|(kind, count)| format!("{count} {kind}")).collect::<Vec<_>>();
    if !left_out.is_empty() {
        figures.push(format!("  left out         {}: no place at depth 1", left_out.join(", ")));
    }
    figures.push(format!("  trace            {}", blake3::Hash::from_bytes(outcome.trace).to_hex()));
    let (agreed_after, disagreement, broken) = (outcome.agreed_after, outcome.disagreement, outcome.broken);
    Ok(Verdict { agreed_after, disagreement, broken, figures })
}

fn on_the_stack(plan: &Plan) -> std::io::Result<Verdict> {
    let bar = bar(plan);
    let outcome = world::runtime()?.block_on(world::run(plan, |at| show(&bar, at)));
    bar.finish_and_clear();
    let counted = |(kind, tally): (&&str, &world::Tally)| counted(kind, tally.planned, tally.reached);
    let mut figures: Vec<String> = outcome.events.iter().map(counted).collect();
    let [to_hubs, from_hubs] = outcome.payload_bytes;
    let wire = outcome.wire_bytes.iter().sum::<u64>();
    figures.push(format!("  payload          {to_hubs} B to hubs, {from_hubs} B from hubs; on the wire {wire} B"));
    figures.push(late(&outcome.lateness));
    let (agreed_after, disagreement, broken) = (outcome.agreed_after, outcome.disagreement, outcome.broken);
    Ok(Verdict { agreed_after, disagreement, broken, figures })
}

fn late(late: &machines::Quantiles) -> String {
    format!(
        "  releases         {} times late by {:.1?} (mean), {:.1?} (half), {:.1?} (nine tenths), {:.1?} (all)",
        late.count, late.mean, late.half, late.most, late.all
    )
}

fn counted(kind: &str, planned: u64, reached: u64) -> String {
    format!("  {kind:<16} {planned} planned, {reached} took effect")
}

fn told(plan: &Plan, verdict: &Verdict) -> String {
    let depth = plan.depth.number();
    let (nodes, hubs) = (plan.nodes.len(), plan.hubs.len());
    let mut lines = vec![format!("{}, seed {}, depth {depth}: {nodes} nodes, {hubs} hubs", plan.name, plan.seed)];
    lines.extend(verdict.figures.iter().cloned());
    lines.extend(verdict.broken.iter().map(|broken| format!("broken: {broken}")));
    lines.push(match (verdict.agreed_after, &verdict.disagreement) {
        (Some(after), _) => format!("all agreed {} s after the healing", after.as_secs()),
        (None, why) => format!("no agreement: {}", why.as_deref().unwrap_or("nobody was asked")),
    });
    if !verdict.broken.is_empty() || verdict.agreed_after.is_none() {
        lines.push(format!("again: archipel-sim run {} --depth {depth} --seed {}", plan.name, plan.seed));
    }
    lines.join("\n") + "\n"
}
