//! What all runs of a swarm came to together, and how that is told.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use comfy_table::{CellAlignment, Table, presets};

use super::{Options, Ran};
use crate::machines::Quantiles;
use crate::rehearse::is_fault;
use crate::scenario::{Check, Depth, Kind, Scenario};
use crate::stack::world::Tally;

/// All runs together.
#[derive(Debug, Clone, Default)]
pub struct Sum {
    runs: u64,
    doubles: u64,
    virtual_time: Duration,
    events: BTreeMap<&'static str, Tally>,
    verdicts: BTreeMap<Check, (u64, u64)>,
    agreed_ms: Vec<u64>,
    failed: Vec<Ran>,
    /// Faults of the scenarios, whether a variant has them or not.
    faults: BTreeSet<&'static str>,
}

impl Sum {
    /// Of no run yet.
    #[must_use]
    pub fn of(scenarios: &[Scenario]) -> Self {
        let kinds = scenarios.iter().flat_map(|scenario| &scenario.event).map(|source| source.kind);
        let mut faults: BTreeSet<&'static str> = kinds.filter(|kind| !kind.is_work()).map(counted_as).collect();
        if scenarios.iter().any(|scenario| !scenario.calendar.is_empty()) {
            faults.insert(LINK_DOWN);
        }
        Self { faults, ..Self::default() }
    }

    /// One run more.
    pub fn add(&mut self, ran: Ran) {
        self.runs += 1;
        self.doubles += u64::from(ran.is_double);
        self.virtual_time += ran.virtual_time;
        for (kind, more) in &ran.events {
            let tally = self.events.entry(kind).or_default();
            tally.planned += more.planned;
            tally.reached += more.reached;
            tally.mattered += more.mattered;
        }
        for (check, given, not_given) in &ran.verdicts {
            let verdicts = self.verdicts.entry(*check).or_default();
            (verdicts.0, verdicts.1) = (verdicts.0 + given, verdicts.1 + not_given);
        }
        self.agreed_ms.extend(ran.agreed_after.map(|after| u64::try_from(after.as_millis()).unwrap_or(u64::MAX)));
        if ran.failure.is_some() {
            self.failed.push(ran);
            self.failed.sort_by(|one, other| (one.seed, &one.name).cmp(&(other.seed, &other.name)));
        }
    }

    /// How many runs there were.
    #[must_use]
    pub const fn runs(&self) -> u64 {
        self.runs
    }

    /// Those that failed, by seed.
    #[must_use]
    pub fn failed(&self) -> &[Ran] {
        &self.failed
    }

    /// Kinds of faults that hit no run in a state in which they matter; at depth 1, that took no effect.
    #[must_use]
    pub fn missed(&self, depth: Depth) -> Vec<&'static str> {
        let planned = self.events.iter().filter(|(kind, it)| it.planned > 0 && is_fault(kind)).map(|(kind, _)| *kind);
        let all: BTreeSet<&'static str> = self.faults.iter().copied().chain(planned).collect();
        let hits = |kind: &str| {
            let tally = self.events.get(kind).copied().unwrap_or_default();
            if depth == Depth::Stack { tally.mattered } else { tally.reached }
        };
        all.into_iter().filter(|kind| hits(kind) == 0).collect()
    }

    /// Everything, for people.
    #[must_use]
    pub fn told(&self, options: &Options, passed: Duration) -> String {
        let on_the_stack = options.depth == Depth::Stack;
        let mut parts = vec![self.faults_told(on_the_stack)];
        if on_the_stack {
            parts.push(self.checks_told());
        }
        let late = Quantiles::of(self.agreed_ms.clone());
        let mut lines = vec![format!(
            "agreed after the healing: {:.0?} (half), {:.0?} (nine tenths), {:.0?} (all) of {} runs",
            late.half, late.most, late.all, late.count
        )];
        let missed = self.missed(options.depth);
        if !missed.is_empty() {
            let short_of = if on_the_stack { "not reached where it matters" } else { "took no effect" };
            lines.push(format!("{short_of}: {}", missed.join(", ")));
        }
        let unjudged: Vec<&str> =
            self.verdicts.iter().filter(|(_, (given, _))| *given == 0).map(|(check, _)| check.name()).collect();
        if !unjudged.is_empty() {
            lines.push(format!("never judged: {}", unjudged.join(", ")));
        }
        let twice = if on_the_stack { "twice and with right clocks" } else { "twice" };
        lines.push(format!(
            "{} of {} runs, {} of them {twice}, depth {}: {:.1} days of virtual time in {:.0?}",
            self.runs,
            options.seeds.saturating_mul(options.scenarios.len() as u64),
            self.doubles,
            options.depth.number(),
            self.virtual_time.as_secs_f64() / 86_400.0,
            passed
        ));
        parts.push(lines.join("\n"));
        parts.extend(self.failed.iter().filter_map(Ran::told));
        parts.push(format!("{} of {} runs broke something", self.failed.len(), self.runs));
        parts.join("\n\n") + "\n"
    }

    fn faults_told(&self, on_the_stack: bool) -> String {
        let mut table = table(&["HAPPENED", "PLANNED", "TOOK EFFECT", "MATTERED"]);
        for (kind, tally) in &self.events {
            let mattered = if on_the_stack && is_fault(kind) { tally.mattered.to_string() } else { "-".to_owned() };
            table.add_row([(*kind).to_owned(), tally.planned.to_string(), tally.reached.to_string(), mattered]);
        }
        told(&table)
    }

    fn checks_told(&self) -> String {
        let mut table = table(&["CHECK", "VERDICTS", "NOT GIVEN"]);
        for (check, (given, not_given)) in &self.verdicts {
            table.add_row([check.name().to_owned(), given.to_string(), not_given.to_string()]);
        }
        told(&table)
    }
}

/// What a link that goes down is counted as, by a calendar or by an event.
const LINK_DOWN: &str = "link-down";

/// What an entry of this kind is counted as when it happens.
fn counted_as(kind: Kind) -> &'static str {
    if matches!(kind, Kind::Cut | Kind::HubSplit | Kind::Link) {
        LINK_DOWN
    } else if kind == Kind::HubCrash {
        Kind::Crash.name()
    } else {
        kind.name()
    }
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn told(table: &Table) -> String {
    table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}
