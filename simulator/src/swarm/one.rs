//! One run of a swarm: the variant of a seed, run once or twice, and what it came to.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::broke::Broke;
use crate::checks::clocks;
use crate::machines;
use crate::plan::{Plan, randomise};
use crate::rehearse::record::{judge_clocks, record};
use crate::replay::{Comparison, compare};
use crate::scenario::{Check, Depth, Scenario};
use crate::stack::world::Tally;
use crate::trace;

/// A run to be made.
#[derive(Debug, Clone, Copy)]
pub struct Task<'a> {
    /// What is varied.
    pub scenario: &'a Scenario,
    /// What it is called on the command line.
    pub name: &'a str,
    /// The seed, of the variant and of its plan.
    pub seed: u64,
    /// The depth.
    pub depth: Depth,
    /// Whether it runs twice, and once with right clocks.
    pub is_double: bool,
}

/// Why a run is a failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What is broken, in one sentence.
    pub sentence: String,
    /// From what it can be made again and made smaller: a trace, or at depth 1 a scenario without chance.
    pub file: Option<PathBuf>,
}

/// What one run came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// The scenario, as it is called on the command line.
    pub name: String,
    /// The seed.
    pub seed: u64,
    /// The depth.
    pub depth: Depth,
    /// Whether it ran twice.
    pub is_double: bool,
    /// How much virtual time passed, once.
    pub virtual_time: Duration,
    /// What happened, by kind.
    pub events: BTreeMap<&'static str, Tally>,
    /// By check, verdicts that were given, and that could not be.
    pub verdicts: Vec<(Check, u64, u64)>,
    /// How long after the healing all agreed.
    pub agreed_after: Option<Duration>,
    /// What broke.
    pub failure: Option<Failure>,
}

impl Task<'_> {
    /// Makes the run. What it leaves behind when nothing breaks is nothing.
    #[must_use]
    pub fn run(&self, told: impl FnMut(Duration)) -> Ran {
        let variant = randomise(self.scenario, self.seed, self.depth);
        let ran =
            Plan::expand(&variant, self.seed, self.depth).map_err(|error| error.to_string()).and_then(
                |plan| match self.depth {
                    Depth::Machines => self.on_machines(&plan, told),
                    Depth::Stack | Depth::Live => self.on_the_stack(&plan, told),
                },
            );
        ran.unwrap_or_else(|error| Ran::nothing(self, format!("it could not be run: {error}")))
    }

    fn on_machines(&self, plan: &Plan, mut told: impl FnMut(Duration)) -> Result<Ran, String> {
        let mut run = || {
            let mut options = machines::Options { threads: 1, eyes: &mut machines::nobody };
            machines::run(plan, &mut options, &mut told).map_err(|error| error.to_string())
        };
        let outcome = run()?;
        let mut broke = Broke::of(&outcome.broken, outcome.agreed_after, outcome.disagreement.as_deref());
        if self.is_double && run()?.trace != outcome.trace {
            let sentence = "two runs of one seed have different traces".to_owned();
            broke.get_or_insert(Broke { check: None, sentence });
        }
        let file = kept_in()?.join(format!("{}-{}-depth-1.toml", plan.name, self.seed));
        if broke.is_some() {
            let text = plan.to_scenario().to_toml().map_err(|error| error.to_string())?;
            std::fs::write(&file, text).map_err(at(&file))?;
        }
        let tally = |it: &machines::Tally| Tally { planned: it.planned, reached: it.reached, mattered: 0 };
        Ok(Ran {
            virtual_time: outcome.ended_at,
            events: outcome.events.iter().map(|(kind, it)| (*kind, tally(it))).collect(),
            agreed_after: outcome.agreed_after,
            failure: broke.map(|broke| Failure { sentence: broke.sentence, file: Some(file) }),
            ..Ran::new(self)
        })
    }

    fn on_the_stack(&self, plan: &Plan, mut told: impl FnMut(Duration)) -> Result<Ran, String> {
        let folder = kept_in()?;
        let working = tempfile::tempdir_in(&folder).map_err(at(&folder))?;
        let trace = working.path().join("trace.jsonl");
        let mut last = Duration::ZERO;
        let watch = |at: Duration| {
            last = at;
            told(at);
        };
        let mut outcome = record(plan, &trace, watch).map_err(at(&trace))?;
        let mut differs = None;
        if self.is_double {
            differs = again(plan, &trace, &outcome.trace)?;
            if clocks::hangs_on_timers(plan) {
                outcome.verdicts.push((Check::NoWallClock, 0, 1));
            } else if outcome.broken.is_empty() {
                judge_clocks(plan, &mut outcome).map_err(|error| error.to_string())?;
            }
        }
        let broke = Broke::of(&outcome.broken, outcome.agreed_after, outcome.disagreement.as_deref());
        let sentence = broke.map(|broke| broke.sentence).or(differs);
        let file = folder.join(format!("{}-{}.jsonl", plan.name, self.seed));
        if sentence.is_some() {
            std::fs::rename(&trace, &file).map_err(at(&file))?;
        }
        let after = plan.heal_at + outcome.agreed_after.unwrap_or(plan.heal_within);
        Ok(Ran {
            virtual_time: if outcome.broken.is_empty() { after } else { last },
            events: outcome.events,
            verdicts: outcome.verdicts,
            agreed_after: outcome.agreed_after,
            failure: sentence.map(|sentence| Failure { sentence, file: Some(file) }),
            ..Ran::new(self)
        })
    }
}

/// Where what failed is kept: apart from the traces of `run`, which are of plans that were not varied.
fn kept_in() -> Result<PathBuf, String> {
    let folder = std::env::temp_dir().join("archipel-sim").join("swarm");
    std::fs::create_dir_all(&folder).map_err(at(&folder))?;
    Ok(folder)
}

/// Makes the run of a trace again; where it differs.
fn again(plan: &Plan, file: &Path, first: &([u8; 32], u64)) -> Result<Option<String>, String> {
    let other = file.with_extension("again.jsonl");
    let outcome = record(plan, &other, |_| ()).map_err(at(&other))?;
    let mut differs = None;
    if outcome.trace != *first {
        let open = |path: &Path| File::open(path).map_err(at(path));
        let read = |path: &Path| trace::read(BufReader::new(open(path)?)).map_err(|error| error.to_string());
        let said = |entry: Option<Box<trace::Entry>>| entry.map_or("nothing".to_owned(), |entry| entry.to_string());
        differs = Some(match compare(read(file)?, read(&other)?).map_err(|error| error.to_string())? {
            Comparison::Differs { at, then, now } => {
                format!("two runs of one seed differ from entry {at} on: `{}` and `{}`", said(then), said(now))
            }
            Comparison::Same { .. } => "two runs of one seed have one trace and two hashes".to_owned(),
        });
    }
    Ok(differs)
}

fn at(path: &Path) -> impl FnOnce(std::io::Error) -> String {
    let path = path.display().to_string();
    move |error| format!("{path}: {error}")
}

impl Ran {
    fn new(task: &Task<'_>) -> Self {
        Self {
            name: task.name.to_owned(),
            seed: task.seed,
            depth: task.depth,
            is_double: task.is_double,
            virtual_time: Duration::ZERO,
            events: BTreeMap::new(),
            verdicts: Vec::new(),
            agreed_after: None,
            failure: None,
        }
    }

    /// A run that came to nothing, and why.
    #[must_use]
    pub fn nothing(task: &Task<'_>, sentence: String) -> Self {
        Self { failure: Some(Failure { sentence, file: None }), ..Self::new(task) }
    }

    /// What broke and what to do next; `None` when nothing did.
    #[must_use]
    pub fn told(&self) -> Option<String> {
        let failure = self.failure.as_ref()?;
        let depth =
            if self.depth == Depth::Stack { String::new() } else { format!(" --depth {}", self.depth.number()) };
        let twice = if self.is_double { " --twice 1" } else { "" };
        let (name, seed) = (&self.name, self.seed);
        let mut lines = vec![
            format!("{name}, seed {seed}: {}", failure.sentence),
            format!("  again:   archipel-sim swarm {name}{depth} --first {seed} --seeds 1{twice}"),
        ];
        if let Some(file) = &failure.file {
            if self.depth == Depth::Stack {
                lines.push(format!("  replay:  archipel-sim replay {}", file.display()));
            }
            lines.push(format!("  smaller: archipel-sim shrink {}", file.display()));
        }
        Some(lines.join("\n"))
    }
}
