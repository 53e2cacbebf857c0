//! How far one CPU second goes at depths 1 and 2: `archipel-sim bench scale`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use super::measure::process;
use super::table::{Table, count};
use super::{BenchError, During, write_page};
use crate::machines;
use crate::plan::Plan;
use crate::scenario::{Depth, Scenario};
use crate::stack::book::Book;
use crate::stack::world;
use crate::trace::Trace;

/// The workload of "Numbers to aim at": five workloads a node, a status change an hour, four outages a day, three releases
/// and a restart in a week.
const WORKLOAD: &str = include_str!("scale.toml");

/// How much of it runs at depth 2, where time is dearer.
const STACK: Size = Size { nodes: 6, days: 1.0 };

/// How large a run is.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Size {
    nodes: u32,
    days: f64,
}

/// What to measure.
#[derive(Debug, Clone, PartialEq)]
pub struct ScaleOptions {
    /// Nodes at depth 1, at two hubs.
    pub nodes: u32,
    /// Virtual days at depth 1.
    pub days: f64,
    /// Parts that may run side by side.
    pub threads: usize,
    /// Only depth 1.
    pub machines_only: bool,
    /// The page to write.
    pub out: Option<PathBuf>,
}

/// Measures, prints the table, and writes the page. Returns 0, or 1 when a run broke something or did not converge.
#[must_use]
pub fn run_scale(options: &ScaleOptions) -> ExitCode {
    let written = measure(options).and_then(|table| {
        println!("{}", table.to_text());
        let Some(out) = &options.out else { return Ok(()) };
        write_page(out, "How far a CPU second goes", &[table]).during("write the page")
    });
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("scale: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(options: &ScaleOptions) -> Result<Table, BenchError> {
    let header = [
        "depth",
        "nodes",
        "virtual days",
        "wall s",
        "CPU s",
        "node days per CPU s",
        "node CPU us per report",
        "peak MB",
    ];
    let mut table = Table::new("Virtual time", &header);
    table.say(
        "Each node has 5 workloads, a status change an hour, 4 outages a day, 3 releases and 1 restart a week, at one of two \
         hubs that meet once a day. Setting the fleet up and letting every node join is in it. Memory is what is resident \
         beyond what was before the run, at its peak.",
    );
    let size = Size { nodes: options.nodes, days: options.days };
    row(&mut table, Depth::Machines, size, options.threads)?;
    if !options.machines_only {
        row(&mut table, Depth::Stack, STACK, 1)?;
    }
    Ok(table)
}

fn row(table: &mut Table, depth: Depth, size: Size, threads: usize) -> Result<(), BenchError> {
    let plan = plan(size, depth)?;
    let mut meter = Meter::start();
    let (converged, broken) = match depth {
        Depth::Machines => {
            let mut options = machines::Options { threads, eyes: &mut machines::nobody };
            let outcome = machines::run(&plan, &mut options, |at| meter.look(at)).during("set the fleet up")?;
            (outcome.agreed_after.ok_or(outcome.disagreement), outcome.broken)
        }
        Depth::Stack | Depth::Live => {
            let runtime = world::runtime().during("start a runtime")?;
            let outcome = runtime.block_on(world::run(&plan, Book::new(Trace::new(0)), |at| meter.look(at)));
            (outcome.agreed_after.ok_or(outcome.disagreement), outcome.broken)
        }
    };
    let (wall, cpu, peak) = meter.end();
    if let Some(first) = broken.first() {
        return Err(BenchError::Wrong(format!("{} things broke, first: {first}", broken.len())));
    }
    converged.map_err(|why| BenchError::Wrong(format!("no agreement: {}", why.unwrap_or_default())))?;
    let node_days = f64::from(size.nodes) * size.days;
    table.row([
        depth.number().to_string(),
        count(u64::from(size.nodes)),
        format!("{:.1}", size.days),
        format!("{:.1}", wall.as_secs_f64()),
        format!("{:.1}", cpu.as_secs_f64()),
        format!("{:.0}", node_days / cpu.as_secs_f64().max(0.01)),
        format!("{:.0}", cpu.as_secs_f64() * 1e6 / (node_days * 24.0)),
        format!("{:.0}", peak as f64 / 1e6),
    ]);
    Ok(())
}

/// The workload at this size.
fn plan(size: Size, depth: Depth) -> Result<Plan, BenchError> {
    let hours = (size.days * 24.0).max(3.0);
    let releases: Vec<String> =
        [1.0, 3.0, 5.0].map(|part| format!("\"{}m\"", (hours * 60.0 * part / 7.0) as u64)).into();
    let text = WORKLOAD
        .replace("DURATION", &format!("{}m", (hours * 60.0) as u64))
        .replace("HALF", &(size.nodes / 2).max(1).to_string())
        .replace("RELEASES", &releases.join(", "));
    let scenario = Scenario::parse("scale", &text).during("read the workload")?;
    Plan::expand(&scenario, scenario.seed, depth).during("plan the workload")
}

/// What a run takes.
struct Meter {
    started: Instant,
    cpu: Duration,
    resident: u64,
    peak: u64,
    looked_at: Duration,
}

impl Meter {
    fn start() -> Self {
        let used = process(std::process::id()).unwrap_or_default();
        let (started, looked_at) = (Instant::now(), Duration::ZERO);
        Self { started, cpu: used.cpu, resident: used.resident, peak: used.resident, looked_at }
    }

    /// Looks at the memory, once in a virtual hour.
    fn look(&mut self, at: Duration) {
        if at >= self.looked_at {
            self.looked_at = at + Duration::from_secs(3600);
            self.peak = self.peak.max(process(std::process::id()).unwrap_or_default().resident);
        }
    }

    fn end(self) -> (Duration, Duration, u64) {
        let used = process(std::process::id()).unwrap_or_default();
        let peak = self.peak.max(used.resident).saturating_sub(self.resident);
        (self.started.elapsed(), used.cpu.saturating_sub(self.cpu), peak)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Action;

    #[test]
    fn the_workload_is_what_the_aim_says() {
        let plan = plan(Size { nodes: 100, days: 7.0 }, Depth::Machines).unwrap();
        let each =
            |is: fn(&Action) -> bool| plan.events.iter().filter(|event| is(&event.action)).count() as f64 / 100.0;
        assert!((160.0..170.0).contains(&each(|it| matches!(it, Action::Status { .. }))));
        assert!((0.7..1.3).contains(&each(|it| *it == Action::Restart)));
        assert_eq!(plan.events.iter().filter(|event| matches!(event.action, Action::Edit { .. })).count(), 3);
        assert!(plan.nodes.iter().all(|node| node.workloads == 5));
        let downs: usize = plan.links.iter().map(|link| link.changes.len() / 2).sum();
        assert!((2500..3000).contains(&downs), "{downs}");
    }
}
