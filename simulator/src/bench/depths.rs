//! Whether depths 1 and 2 agree on the same plans: `archipel-sim bench depths`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use super::table::{Table, count};
use super::{BenchError, During, write_page};
use crate::machines;
use crate::plan::Plan;
use crate::scenario::{Depth, Scenario};
use crate::stack::book::Book;
use crate::stack::world;
use crate::trace::Trace;

/// Scenarios of which everything that matters has a place at depth 1.
pub const COMPARED: [&str; 8] = [
    "asymmetric-partition",
    "cloned-node",
    "flapping-link",
    "hub-restored-from-backup",
    "reconnect-herd",
    "truck-in-tunnels",
    "two-hubs-split",
    "wrong-clocks",
];

/// What to compare.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DepthsOptions {
    /// Names of shipped scenarios; none for [`COMPARED`].
    pub scenarios: Vec<String>,
    /// Seeds of each, from 1. Figures are means over them.
    pub seeds: u64,
    /// The page to write.
    pub out: Option<PathBuf>,
}

/// What one depth says, as a mean over seeds.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Said {
    /// Bytes of frames with their lengths that hubs sent and got.
    pub payload: f64,
    /// How late nodes were with a release on average, in seconds.
    pub late: f64,
    /// How long after the healing all agreed, in seconds.
    pub agreed: f64,
}

/// What both say of one scenario.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Comparison {
    /// Depth 1.
    pub machines: Said,
    /// Depth 2.
    pub stack: Said,
}

/// Compares, prints the table, and writes the page. Returns 0, or 1 when a run broke something or did not converge.
#[must_use]
pub fn run_depths(options: &DepthsOptions) -> ExitCode {
    let written = measure(options).and_then(|table| {
        println!("{}", table.to_text());
        let Some(out) = &options.out else { return Ok(()) };
        write_page(out, "Two depths, one scenario", &[table]).during("write the page")
    });
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("depths: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(options: &DepthsOptions) -> Result<Table, BenchError> {
    let header = [
        "scenario",
        "seeds",
        "payload B, depth 1",
        "depth 2",
        "off by",
        "late s, depth 1",
        "depth 2",
        "off by",
        "agreed s, depth 1",
        "depth 2",
    ];
    let mut table = Table::new("Depth 1 beside depth 2", &header);
    table.say(
        "The same plan at both depths, of the size that it has at depth 2. Payload: frames with their lengths that hubs \
         sent and got. Late: how long after a release a node held it, over all releases and nodes. Agreed: how long after the \
         healing all did; depth 2 looks once a second. All are means over the seeds.",
    );
    let shipped: Vec<String> = COMPARED.map(str::to_owned).into();
    for name in if options.scenarios.is_empty() { &shipped } else { &options.scenarios } {
        let scenario = Scenario::load(name).during("read the scenario")?;
        let Comparison { machines, stack } = compare(&scenario, 1..=options.seeds)?;
        table.row([
            name.clone(),
            options.seeds.to_string(),
            count(machines.payload as u64),
            count(stack.payload as u64),
            format!("{:+.1} %", 100.0 * off(machines.payload, stack.payload)),
            format!("{:.2}", machines.late),
            format!("{:.2}", stack.late),
            format!("{:+.1} %", 100.0 * off(machines.late, stack.late)),
            format!("{:.1}", machines.agreed),
            format!("{:.1}", stack.agreed),
        ]);
    }
    Ok(table)
}

/// How far `one` is from `other`, as a share of that.
#[must_use]
pub fn off(one: f64, other: f64) -> f64 {
    if other == 0.0 { one } else { one / other - 1.0 }
}

/// Runs the plans of a scenario for some seeds, each at both depths.
///
/// # Errors
/// [`BenchError`] when something broke or did not converge: then the figures mean nothing.
pub fn compare(scenario: &Scenario, seeds: std::ops::RangeInclusive<u64>) -> Result<Comparison, BenchError> {
    let mut sum = Comparison::default();
    let mut runs = 0.0;
    for seed in seeds {
        let plan = Plan::expand(scenario, seed, Depth::Stack).during("plan")?;
        let plan = Plan { depth: Depth::Machines, ..plan };
        sum.machines.add(on_machines(&plan)?);
        sum.stack.add(on_the_stack(&Plan { depth: Depth::Stack, ..plan })?);
        runs += 1.0;
    }
    Ok(Comparison { machines: sum.machines.over(runs), stack: sum.stack.over(runs) })
}

fn on_machines(plan: &Plan) -> Result<Said, BenchError> {
    let mut options = machines::Options { threads: 1, eyes: &mut machines::nobody };
    let outcome = machines::run(plan, &mut options, |_| {}).during("set the fleet up")?;
    let agreed = judge(plan, outcome.broken, outcome.agreed_after, outcome.disagreement)?;
    let at_hubs = outcome.members.iter().filter(|it| plan.hubs.iter().any(|hub| hub.name == it.name));
    let payload = at_hubs.map(|it| it.payload_in + it.payload_out).sum::<u64>() as f64;
    Ok(Said { payload, late: outcome.lateness.mean.as_secs_f64(), agreed })
}

fn on_the_stack(plan: &Plan) -> Result<Said, BenchError> {
    let outcome =
        world::runtime().during("start a runtime")?.block_on(world::run(plan, Book::new(Trace::new(0)), |_| {}));
    let agreed = judge(plan, outcome.broken, outcome.agreed_after, outcome.disagreement)?;
    let payload = outcome.payload_bytes.iter().sum::<u64>() as f64;
    Ok(Said { payload, late: outcome.lateness.mean.as_secs_f64(), agreed })
}

fn judge(
    plan: &Plan,
    broken: Vec<String>,
    agreed: Option<Duration>,
    disagreement: Option<String>,
) -> Result<f64, BenchError> {
    let (name, seed, depth) = (&plan.name, plan.seed, plan.depth.number());
    let run = format!("{name}, seed {seed}, depth {depth}");
    if let Some(first) = broken.first() {
        return Err(BenchError::Wrong(format!("{run}: {first}")));
    }
    let none = || BenchError::Wrong(format!("{run}: no agreement: {}", disagreement.unwrap_or_default()));
    Ok(agreed.ok_or_else(none)?.as_secs_f64())
}

impl Said {
    fn add(&mut self, more: Self) {
        self.payload += more.payload;
        self.late += more.late;
        self.agreed += more.agreed;
    }

    fn over(self, runs: f64) -> Self {
        Self { payload: self.payload / runs, late: self.late / runs, agreed: self.agreed / runs }
    }
}
