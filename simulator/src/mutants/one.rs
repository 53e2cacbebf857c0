//! One bug in a process of its own: the scenarios in turn, seed by seed, until a check breaks.

use std::ffi::OsString;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use sync_core::mutants::plant;

use crate::broke::Broke;
use crate::checks::clocks;
use crate::plan::{Plan, randomise};
use crate::scenario::{Depth, Scenario};

/// What every bug is looked for in. Of `everything` each seed is a variant.
const SCENARIOS: [&str; 13] = [
    "restless-node",
    "flapping-link",
    "two-hubs-split",
    "hub-restored-from-backup",
    "wrong-clocks",
    "slow-metered-link",
    "disk-full",
    "power-loss",
    "cloned-node",
    "reconnect-herd",
    "asymmetric-partition",
    "busy-hubs",
    "everything",
];

/// Those that rehearse what an invariant is about, to begin with; 0 is that all agree in the end.
fn about(invariant: u8) -> &'static [&'static str] {
    match invariant {
        0 => &["reconnect-herd", "hub-restored-from-backup", "two-hubs-split"],
        1 => &["power-loss", "disk-full", "hub-restored-from-backup", "busy-hubs"],
        2 => &["power-loss", "hub-restored-from-backup"],
        3 => &["busy-hubs", "two-hubs-split"],
        4 => &["asymmetric-partition", "two-hubs-split", "slow-metered-link"],
        5 => &["everything", "hub-restored-from-backup", "slow-metered-link"],
        6 => &["two-hubs-split", "cloned-node", "hostile-node"],
        7 => &["restless-node", "busy-hubs"],
        8 => &["wrong-clocks", "two-hubs-split"],
        9 => &["wrong-clocks"],
        10 => &["flapping-link", "restless-node", "everything"],
        _ => &[],
    }
}

/// How long one bug is looked for before the process gives up, for runs that a bug makes endless.
const GIVES_UP_AFTER: Duration = Duration::from_secs(600);

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caught {
    /// The check.
    pub check: String,
    /// What it said.
    pub sentence: String,
    /// The scenario.
    pub scenario: String,
    /// The seed.
    pub seed: u64,
    /// How many runs it took, this one included.
    pub runs: u64,
    /// How long they took together.
    pub seconds: u64,
}

/// The process that [`super::run`] starts: `NAME SEEDS` plants a bug and looks for it, `"" SCENARIO SEED` makes one run without.
/// Prints what was found as JSON.
#[must_use]
pub fn child(arguments: &[OsString]) -> ExitCode {
    std::thread::spawn(|| {
        std::thread::sleep(GIVES_UP_AFTER);
        std::process::exit(3);
    });
    let arguments: Vec<&str> = arguments.iter().filter_map(|argument| argument.to_str()).collect();
    let found = match arguments.as_slice() {
        ["", scenario, seed] => {
            seed.parse().map_err(|_| "no seed".to_owned()).and_then(|seed| judge(scenario, seed, 1))
        }
        [name, seeds] => super::named(name).and_then(|mutant| {
            plant(mutant);
            look(about(mutant.invariant()), seeds.parse().map_err(|_| "no number of seeds".to_owned())?)
        }),
        _ => Err("NAME SEEDS".to_owned()),
    };
    match found.map(|found| serde_json::to_string(&found)) {
        Ok(Ok(text)) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Ok(Err(error)) => fail(&error.to_string()),
        Err(error) => fail(&error),
    }
}

fn fail(error: &str) -> ExitCode {
    eprintln!("archipel-sim: {error}");
    ExitCode::FAILURE
}

fn look(first: &[&str], seeds: u64) -> Result<Option<Caught>, String> {
    let mut runs = 0;
    let rest = SCENARIOS.iter().filter(|scenario| !first.contains(scenario));
    for seed in 1..=seeds {
        for scenario in first.iter().chain(rest.clone()) {
            runs += 1;
            let found = judge(scenario, seed, runs)?;
            if found.is_some() {
                return Ok(found);
            }
        }
    }
    Ok(None)
}

/// When the first run began.
static BEGUN: OnceLock<Instant> = OnceLock::new();

fn judge(name: &str, seed: u64, runs: u64) -> Result<Option<Caught>, String> {
    let mut scenario = Scenario::load(name).map_err(|error| error.to_string())?;
    if name == "everything" {
        scenario = randomise(&scenario, seed, Depth::Stack);
    }
    let plan = Plan::expand(&scenario, seed, Depth::Stack).map_err(|error| error.to_string())?;
    // A second run costs as much as the first: for the scenario that is about clocks alone.
    let begun = BEGUN.get_or_init(Instant::now);
    let with_clocks = name == "wrong-clocks" && !clocks::hangs_on_timers(&plan);
    let caught = |check: String, sentence| Caught {
        check,
        sentence,
        scenario: name.to_owned(),
        seed,
        runs,
        seconds: begun.elapsed().as_secs(),
    };
    match catch_unwind(AssertUnwindSafe(|| Broke::by(&plan, with_clocks))) {
        Ok(broke) => {
            let broke = broke.map_err(|error| error.to_string())?;
            Ok(broke.and_then(|broke| Some(caught(broke.check?.name().to_owned(), broke.sentence))))
        }
        Err(_) => Err("the simulator panicked".to_owned()),
    }
}
