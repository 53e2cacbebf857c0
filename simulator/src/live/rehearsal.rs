//! A scenario at depth 3: its plan in real time, on processes of this machine, with a verdict.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::world::{Place, World};
use super::{LiveError, Work, owners};
use crate::machines::{Quantiles, Tally};
use crate::plan::Plan;
use crate::rehearse::record;
use crate::report::late;
use crate::trace::{Header, Trace};

/// What a machine runs without getting in its own way.
const NODES_MAX: usize = 6;
const HUBS_MAX: usize = 2;

/// Entries of a trace that a failure shows.
const LAST_ENTRIES: usize = 24;

/// What is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The scenario as it was named, to say how to have the run again.
    pub scenario: String,
    /// How many times faster than the scenario the plan is.
    pub speed: u32,
    /// Where the trace goes, instead of a folder for temporary files.
    pub trace: Option<PathBuf>,
    /// Whether the work folder stays.
    pub keep: bool,
}

/// What a run came to.
#[derive(Debug)]
struct Outcome {
    agreed: Result<Duration, String>,
    broken: Vec<String>,
    events: BTreeMap<&'static str, Tally>,
    left_out: BTreeMap<&'static str, u64>,
    lateness: Quantiles,
    wire: [u64; 2],
    entries: u64,
    last: Vec<String>,
}

/// Carries a plan of depth 3 out and prints the verdict. Returns 0 when nothing broke and all agreed after the healing, 1 when
/// not, 130 when it was interrupted. Whatever happens, every process that was started is gone at the end.
#[must_use]
pub fn run(plan: &Plan, options: &Options) -> ExitCode {
    if let Err(why) = fits(plan) {
        eprintln!("archipel-sim: {why}");
        return ExitCode::FAILURE;
    }
    let trace = options.trace.clone().unwrap_or_else(|| record::default_path(plan));
    let bar = bar(plan);
    let mut work = match Work::prepare() {
        Ok(work) => work,
        Err(error) => {
            eprintln!("archipel-sim: cannot make a work folder or a runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    let place = Place { program: work.program.clone(), work: work.folder(), speed: options.speed };
    // The world owns every process; when it is dropped, at its end, at a signal or by a panic, they are killed.
    let outcome = work.block_on(play(plan, &place, &trace, &bar));
    bar.finish_and_clear();
    let is_good = matches!(&outcome, Some(Ok(outcome)) if outcome.agreed.is_ok() && outcome.broken.is_empty());
    let kept = work.end(options.keep || (outcome.is_some() && !is_good));
    match &outcome {
        Some(Ok(outcome)) => print!("{}", verdict(plan, options, &trace, outcome)),
        Some(Err(error)) => eprintln!("archipel-sim: {error}"),
        None => eprintln!("interrupted; all processes were ended"),
    }
    if let Some(folder) = kept {
        println!("logs: {}\nwork folder: {}", folder.join("logs").display(), folder.display());
    }
    match (outcome, is_good) {
        (None, _) => ExitCode::from(130),
        (Some(_), true) => ExitCode::SUCCESS,
        (Some(_), false) => ExitCode::FAILURE,
    }
}

/// Whether this machine can do it.
fn fits(plan: &Plan) -> Result<(), String> {
    let (nodes, hubs) = (plan.nodes.len(), plan.hubs.len());
    if nodes > NODES_MAX || hubs > HUBS_MAX {
        return Err(format!(
            "depth 3 runs at most {NODES_MAX} nodes and {HUBS_MAX} hubs as processes, and here are {nodes} and {hubs}; say \
             `nodes` under [depth.3]"
        ));
    }
    if !owners::can_be_told() {
        return Err("depth 3 needs /proc/net/udp, by which Linux tells whose socket a port is".to_owned());
    }
    Ok(())
}

async fn play(plan: &Plan, place: &Place, trace: &Path, bar: &ProgressBar) -> Result<Outcome, LiveError> {
    let writing = |what: String| LiveError::system(format!("{what} {}", trace.display()));
    if let Some(folder) = trace.parent() {
        std::fs::create_dir_all(folder).map_err(writing("make the folder of".to_owned()))?;
    }
    let scenario = plan.to_scenario().to_toml().map_err(std::io::Error::other).map_err(writing("write".to_owned()))?;
    let header = Header::new(plan.seed, plan.depth.number(), scenario);
    let file = File::create(trace).map_err(writing("write".to_owned()))?;
    let writer = Trace::with_writer(LAST_ENTRIES, &header, Box::new(BufWriter::new(file)));
    let mut world = World::new(plan, place, writer.map_err(writing("write".to_owned()))?);
    bar.set_message("the fleet is set up");
    world.set_up().await?;
    world.begin();
    while let Some(at) = world.step().await? {
        bar.set_position(u64::try_from(at.as_millis()).unwrap_or(u64::MAX));
        bar.set_message(format!("{} of {} s", at.as_secs(), plan.heal_at.as_secs()));
    }
    let mut agreed = Err("nobody was asked".to_owned());
    if world.broken.is_empty() {
        world.sample().await;
        world.heal().await?;
        agreed = world.agree(&mut |why| bar.set_message(format!("healed; {why}"))).await?;
        world.sample().await;
    }
    world.stop_all().await?;
    let mut late_by = Vec::new();
    for seen in world.seen.values() {
        late_by.extend(late(&world.releases, &seen.applied).0);
    }
    let sent = |way| world.cables.iter().map(|cable| cable.state.sent(way).bytes).sum();
    let outcome = Outcome {
        agreed,
        lateness: Quantiles::of(late_by),
        wire: [crate::proxy::Way::ToHub, crate::proxy::Way::ToNode].map(sent),
        entries: world.trace.length(),
        last: world.trace.last().map(ToString::to_string).collect(),
        broken: std::mem::take(&mut world.broken),
        events: std::mem::take(&mut world.events),
        left_out: std::mem::take(&mut world.left_out),
    };
    world.trace.finish().map_err(writing("write".to_owned()))?;
    Ok(outcome)
}

/// A bar that shows how far the plan is.
fn bar(plan: &Plan) -> ProgressBar {
    let bar = ProgressBar::new(u64::try_from(plan.heal_at.as_millis()).unwrap_or(u64::MAX));
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {wide_msg}") {
        bar.set_style(style);
    }
    bar
}

fn verdict(plan: &Plan, options: &Options, trace: &Path, outcome: &Outcome) -> String {
    let (nodes, hubs) = (plan.nodes.len(), plan.hubs.len());
    let speed = if options.speed > 1 { format!(", {} times faster", options.speed) } else { String::new() };
    let mut lines =
        vec![format!("{}, seed {}, depth 3: {nodes} nodes, {hubs} hubs as processes{speed}", plan.name, plan.seed)];
    for (kind, tally) in &outcome.events {
        lines.push(format!("  {kind:<16} {} planned, {} took effect", tally.planned, tally.reached));
    }
    let [out, back] = outcome.wire;
    lines.push(format!("  on the wire      {out} B to hubs, {back} B to nodes"));
    lines.push(crate::rehearse::late(&outcome.lateness));
    let left_out = outcome.left_out.iter().map(|(kind, count)| format!("{count} {kind}")).collect::<Vec<_>>();
    if !left_out.is_empty() {
        lines.push(format!("  left out         {}: no place at depth 3", left_out.join(", ")));
    }
    lines.push(format!("  trace            {} entries in {}", outcome.entries, trace.display()));
    lines.extend(outcome.broken.iter().map(|broken| format!("broken: {broken}")));
    if !outcome.broken.is_empty() {
        lines.push("the last that happened:".to_owned());
        lines.extend(outcome.last.iter().map(|entry| format!("  {entry}")));
    }
    lines.push(match &outcome.agreed {
        Ok(after) => format!("all agreed {} s after the healing", after.as_secs()),
        Err(why) => format!("no agreement: {why}"),
    });
    if !outcome.broken.is_empty() || outcome.agreed.is_err() {
        let (scenario, seed, speed) = (&options.scenario, plan.seed, options.speed);
        lines.push(format!("again: archipel-sim run {scenario} --depth 3 --seed {seed} --speed {speed}"));
    }
    lines.join("\n") + "\n"
}
