//! The command line of `archipel-sim`.

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};

use crate::bench::{self, PeersSource, Section};
#[cfg(feature = "mutants")]
use crate::mutants;
use crate::scenario::{Depth, list, schema};
use crate::shrink::on_runs;
use crate::{embedded, live, rehearse, replay, report, swarm};

/// Rehearse disconnects on the real code.
#[derive(Debug, Parser)]
#[command(name = "archipel-sim", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a hub and agents as processes of this machine, cut a link, heal it, and check that everything converged; or do with
    /// them what a scenario says, as `run --depth 3`
    Live {
        /// The name of a scenario that comes with this program, or a file [default: one outage]
        #[arg(conflicts_with_all = ["nodes", "source"])]
        scenario: Option<String>,
        /// How many nodes to run
        #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=32))]
        nodes: u16,
        /// A folder with `fleet.json` and `layers/NAME/*.yaml` [default: a built-in chain of shops]
        #[arg(long, value_name = "DIR")]
        source: Option<PathBuf>,
        /// Keep the work folder (databases, targets, logs) and print its path
        #[arg(long)]
        keep: bool,
        #[command(flatten)]
        of_scenario: OfScenario,
    },
    /// Run a scenario, in virtual time unless it is at depth 3, heal the world, and check that all agree
    Run {
        /// The name of a scenario that comes with this program, or a file
        scenario: String,
        /// How real: 1 is thousands of replicas as machines, 2 the real stack, 3 processes in real time [default: 2, or what the
        /// scenario has]
        #[arg(long, value_parser = clap::value_parser!(u8).range(1..=3))]
        depth: Option<u8>,
        #[command(flatten)]
        of_scenario: OfScenario,
    },
    /// Make the run of a trace again, and say where it differs
    Replay {
        /// A file that `run` wrote
        trace: PathBuf,
    },
    /// Write a page that shows what happened in runs, and how runs differ
    Report {
        /// Files that `run` wrote
        #[arg(required = true)]
        traces: Vec<PathBuf>,
        /// Files of other runs, to be shown beside the first ones: of another commit, or of another scenario
        #[arg(long, value_name = "TRACE", num_args = 1..)]
        compare: Vec<PathBuf>,
        /// Where the page goes: one HTML file that needs no network
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Run many seeds side by side, each with a variant of its own, and say what broke and what was reached
    Swarm {
        /// Names of scenarios that come with this program, or files
        #[arg(required = true)]
        scenarios: Vec<String>,
        /// How many seeds of each
        #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
        seeds: u64,
        /// The first seed
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(..1 << 62))]
        first: u64,
        /// How many runs at a time [default: as many as there are processors]
        #[arg(long)]
        jobs: Option<usize>,
        /// How real: 1 is replicas as machines, 2 the real stack
        #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=2))]
        depth: u8,
        /// Go on after a failure and show all of them
        #[arg(long)]
        keep_going: bool,
        /// Seeds that this number divides run twice and must give the same trace; 0: none
        #[arg(long, value_name = "N", default_value_t = 10)]
        twice: u64,
    },
    /// Make a failing run smaller as long as the same check fails, and save it as a scenario
    Shrink {
        /// A trace that `run` or `swarm` wrote, or a scenario file (`.toml`) that fails
        file: PathBuf,
        /// Where the smaller scenario goes [default: beside the file, with `-small.toml` at its end]
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// How many seconds to look for it
        #[arg(long, value_name = "SECONDS", default_value_t = 600)]
        budget: u64,
    },
    /// Plant one bug after the other in the engine, and say which check catches it
    #[cfg(feature = "mutants")]
    Mutants {
        /// Only these, by name
        #[arg(long, value_name = "NAME", value_delimiter = ',', value_parser = mutants::named)]
        only: Vec<sync_core::mutants::Mutant>,
        /// How many seeds of each scenario
        #[arg(long, default_value_t = 20)]
        seeds: u64,
        /// How many bugs at a time [default: as many as there are processors]
        #[arg(long)]
        jobs: Option<usize>,
    },
    /// Show the scenarios that come with this program
    List,
    /// Print the JSON schema of scenario files, for editors
    Schema {
        /// Print the tables of fields of the guide instead
        #[arg(long)]
        markdown: bool,
    },
    /// Measure against other engines in the same run
    #[command(subcommand)]
    Bench(Bench),
    /// The hub, as a child process of this program
    #[command(hide = true, disable_help_flag = true)]
    Hub(Rest),
    /// The agent, as a child process of this program
    #[command(hide = true, disable_help_flag = true)]
    Edge(Rest),
    /// A bare QUIC server to compare the hub with
    #[command(hide = true)]
    BenchQuinn(Rest),
    /// Many agents in one process
    #[command(hide = true)]
    BenchAgents(Rest),
    /// One planted bug, as a child process of this program
    #[cfg(feature = "mutants")]
    #[command(hide = true)]
    MutantsChild(Rest),
}

/// What can be said of a scenario's run.
#[derive(Debug, clap::Args)]
struct OfScenario {
    /// The seed, below 2^63 [default: the scenario's]
    #[arg(long, requires = "scenario", value_parser = clap::value_parser!(u64).range(..1 << 63))]
    seed: Option<u64>,
    /// Where the trace goes [default: archipel-sim/SCENARIO-SEED.jsonl in the folder for temporary files, with -live at depth 3]
    #[arg(long, requires = "scenario", value_name = "FILE")]
    trace: Option<PathBuf>,
    /// At depth 3, how many times faster everything up to the healing happens [default: what the scenario says]
    #[arg(long, requires = "scenario", value_name = "TIMES", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    speed: Option<u32>,
}

impl OfScenario {
    fn options(self, scenario: String, depth: Option<Depth>, keep: bool) -> rehearse::Options {
        rehearse::Options { scenario, seed: self.seed, depth, trace: self.trace, speed: self.speed, keep }
    }
}

#[derive(Debug, Subcommand)]
enum Bench {
    /// Bytes, round trips, time and memory of synchronisation
    Sync {
        /// Tiny sizes: shows that everything runs, not how well
        #[arg(long)]
        quick: bool,
        /// Write the tables to this file as markdown
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// Days of updates in the section `year`, however long that takes [default: a year, or as far as its time goes]
        #[arg(long)]
        days: Option<f64>,
        /// Only these sections
        #[arg(long, value_enum, value_delimiter = ',')]
        only: Vec<Section>,
        /// The program that measures samod-core and negentropy: `auto` (cargo builds it, from the repository's root), `none`
        /// or a path
        #[arg(long, default_value = "auto", value_parser = PeersSource::parse)]
        peers: PeersSource,
    },
    /// Memory and CPU time of many agents in one process against one hub
    Agents {
        /// How many agents; several numbers are several runs
        #[arg(long, default_value = "500", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..=20_000))]
        nodes: Vec<u32>,
        /// How many seconds the idle fleet is watched
        #[arg(long, default_value_t = 20)]
        idle_seconds: u64,
        /// How often an agent looks at its target, in milliseconds
        #[arg(long, default_value_t = 2_000)]
        interval_ms: u64,
        /// Databases on disk instead of in memory
        #[arg(long)]
        disk: bool,
        /// Write the table to this file as markdown
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Whether depths 1 and 2 agree on the same scenarios in bytes and in time
    Depths {
        /// Names of scenarios that come with this program, or files [default: those that both depths know all of]
        scenarios: Vec<String>,
        /// How many seeds of each
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=1000))]
        seeds: u64,
        /// Write the table to this file as markdown
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Virtual time of a fleet for a second of CPU time, and memory, at depths 1 and 2
    Scale {
        /// How many nodes at depth 1
        #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(2..=100_000))]
        nodes: u32,
        /// How many virtual days at depth 1
        #[arg(long, default_value_t = 7.0)]
        days: f64,
        /// Threads at depth 1, of which two can be busy
        #[arg(long, default_value_t = 2)]
        threads: usize,
        /// Leave depth 2 out
        #[arg(long)]
        machines_only: bool,
        /// Write the table to this file as markdown
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
}

#[derive(Debug, clap::Args)]
struct Rest {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

/// Runs the command that `arguments` name (the program's own name first).
///
/// Exit codes: 0 everything converged, 1 it did not or could not be run, 2 the command line is wrong, 130 interrupted.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // Nothing better can be done when the terminal is gone.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    match cli.command {
        Command::Live { scenario: None, nodes, source, keep, .. } => live::run(&live::Options { nodes, source, keep }),
        Command::Live { scenario: Some(scenario), keep, of_scenario, .. } => {
            rehearse::run(&of_scenario.options(scenario, Some(Depth::Live), keep))
        }
        Command::Run { scenario, depth, of_scenario } => {
            rehearse::run(&of_scenario.options(scenario, depth.and_then(numbered), false))
        }
        Command::Replay { trace } => replay::run(&trace),
        Command::Report { traces, compare, out } => report::run(&report::Options { traces, compare, out }),
        Command::Swarm { scenarios, seeds, first, jobs, depth, keep_going, twice } => {
            let depth = numbered(depth).unwrap_or(Depth::Stack);
            swarm::run(&swarm::Options { scenarios, seeds, first, jobs, depth, keep_going, twice })
        }
        Command::Shrink { file, out, budget } => {
            on_runs::run(&on_runs::Options { file, out, budget: Duration::from_secs(budget) })
        }
        #[cfg(feature = "mutants")]
        Command::Mutants { only, seeds, jobs } => mutants::run(&mutants::Options { only, seeds, jobs }),
        #[cfg(feature = "mutants")]
        Command::MutantsChild(rest) => mutants::child(&rest.arguments),
        Command::List => list(),
        Command::Schema { markdown: false } => say(&format!("{:#}\n", schema::schema())),
        Command::Schema { markdown: true } => say(&schema::markdown()),
        Command::Bench(Bench::Sync { quick, out, days, only, peers }) => {
            bench::run_sync(&bench::Options { quick, out, days, only, peers })
        }
        Command::Bench(Bench::Agents { nodes, idle_seconds, interval_ms, disk, out }) => {
            bench::run_agents(&bench::AgentsOptions {
                nodes: nodes.into_iter().map(|nodes| nodes as usize).collect(),
                idle: Duration::from_secs(idle_seconds.max(1)),
                interval: Duration::from_millis(interval_ms.max(1)),
                disk,
                out,
            })
        }
        Command::Bench(Bench::Depths { scenarios, seeds, out }) => {
            bench::run_depths(&bench::DepthsOptions { scenarios, seeds, out })
        }
        Command::Bench(Bench::Scale { nodes, days, threads, machines_only, out }) => {
            bench::run_scale(&bench::ScaleOptions { nodes, days: days.clamp(0.25, 365.0), threads, machines_only, out })
        }
        Command::BenchQuinn(rest) => bench::serve_bare(rest.arguments),
        Command::BenchAgents(rest) => bench::serve_agents(rest.arguments),
        Command::Hub(rest) => embedded::hub(rest.arguments),
        Command::Edge(rest) => embedded::edge(rest.arguments),
    }
}

fn numbered(number: u8) -> Option<Depth> {
    Depth::ALL.into_iter().find(|depth| depth.number() == number)
}

fn list() -> ExitCode {
    match list::table() {
        Ok(table) => say(&format!("{table}\n")),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Prints text that may be longer than what its reader takes: `list | head` is no error.
fn say(text: &str) -> ExitCode {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            eprintln!("cannot print: {error}");
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hidden_commands_hand_every_argument_on() {
        let cli = Cli::try_parse_from(["archipel-sim", "hub", "serve", "--data", "x", "--help", "-o", "json"]).unwrap();
        let Command::Hub(rest) = cli.command else { panic!("not the hub") };
        assert_eq!(rest.arguments, ["serve", "--data", "x", "--help", "-o", "json"].map(OsString::from));
    }

    #[test]
    fn what_is_said_of_a_scenario_needs_one() {
        for arguments in [&["live", "--speed", "2"][..], &["live", "x", "--nodes", "2"], &["run", "x", "--speed", "0"]]
        {
            let all = std::iter::once("archipel-sim").chain(arguments.iter().copied());
            assert!(Cli::try_parse_from(all).is_err(), "{arguments:?}");
        }
        assert!(Cli::try_parse_from(["archipel-sim", "live", "x", "--speed", "2", "--seed", "3", "--keep"]).is_ok());
    }

    #[test]
    fn a_fleet_has_at_least_one_node() {
        assert!(Cli::try_parse_from(["archipel-sim", "live", "--nodes", "0"]).is_err());
    }
}
