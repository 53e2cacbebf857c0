//! From a scenario to a plan.

use std::collections::BTreeSet;
use std::time::Duration;

use super::events::{Fleet, events};
use super::links::live;
use super::members::{hub_entries, hubs, nodes};
use super::{Action, Event, Name, Plan};
use crate::scenario::check::Problem;
use crate::scenario::{Check, Depth, Scenario};

/// Why a scenario has no plan. Nothing has happened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// The scenario makes no sense. Cannot be the case for one that was read from a file.
    #[error("the scenario makes no sense: {}", told(.0))]
    Scenario(Vec<Problem>),
    /// The scenario says that it makes no sense at this depth.
    #[error("the scenario is not for depth {}; it is for {}", asked.number(), numbers(there))]
    Depth {
        /// What was asked for.
        asked: Depth,
        /// What there is.
        there: Vec<Depth>,
    },
    /// At this depth there are fewer nodes, and the one that is named is not there.
    #[error("at this depth nothing is called `{target}`, which the event `{event}` happens to: use a pattern, or `pick`")]
    NoTarget {
        /// The entry's name or kind.
        event: String,
        /// The name or pattern.
        target: String,
    },
    /// The plan would not fit.
    #[error("more than {} {}: shorten the run, lower rates, or take fewer nodes", .0.most, .0.what)]
    TooMuch(TooMuch),
}

/// What there would be too much of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooMuch {
    /// Of what.
    pub what: &'static str,
    /// How much a plan holds.
    pub most: usize,
}

fn told(problems: &[Problem]) -> String {
    problems.iter().map(|it| format!("{}: {}", it.field(), it.what)).collect::<Vec<_>>().join("; ")
}

fn numbers(depths: &[Depth]) -> String {
    depths.iter().map(|depth| depth.number().to_string()).collect::<Vec<_>>().join(", ")
}

impl Plan {
    /// What `scenario` comes to for `seed` at `depth`.
    ///
    /// # Errors
    /// [`PlanError`].
    pub fn expand(scenario: &Scenario, seed: u64, depth: Depth) -> Result<Self, PlanError> {
        let problems = scenario.check();
        if !problems.is_empty() {
            return Err(PlanError::Scenario(problems));
        }
        if !scenario.depths().contains(&depth) {
            return Err(PlanError::Depth { asked: depth, there: scenario.depths() });
        }
        let limit = scenario.limit(depth);
        let duration = limit.duration.unwrap_or(scenario.duration);
        let end = scenario.heal_at(duration).0;
        let entries = hub_entries(scenario);
        let (hubs, hub_ends) = hubs(scenario, seed, &entries);
        let (nodes, mut ends) = nodes(scenario, seed, &hubs, limit.nodes);
        ends.extend(hub_ends);
        let fleet = Fleet { hubs: &hubs, nodes: &nodes, ends: &ends };
        let (events, meddling) = events(scenario, seed, &fleet, end)?;
        let mut links = live(scenario, seed, ends, &meddling, end)?;
        links.sort_by(|one, other| (&one.from, &one.to).cmp(&(&other.from, &other.to)));
        links.dedup_by(|one, other| (&one.from, &one.to) == (&other.from, &other.to));
        let mut plan = Self {
            name: scenario.name.clone(),
            rehearses: scenario.rehearses.clone(),
            seed,
            depth,
            start: scenario.start,
            duration: duration.0,
            heal_at: end,
            heal_within: scenario.heal.within.0,
            hubs,
            nodes: nodes.into_iter().map(|(node, _)| node).collect(),
            links,
            profiles: [].into(),
            layers: scenario.layer.clone(),
            events,
            checks: checks(scenario),
            fresh_within: scenario.checks.fresh_within.map(|span| span.0),
        };
        plan.take_profiles(scenario);
        if let Some(speed) = limit.speed.filter(|speed| *speed > 1) {
            plan.hurry(speed);
        }
        Ok(plan)
    }

    /// Names every profile that some link has at some time.
    fn take_profiles(&mut self, scenario: &Scenario) {
        let used: BTreeSet<&Name> =
            self.links.iter().flat_map(|link| &link.changes).map(|change| &change.profile).collect();
        let profile = |name: &Name| {
            let mut link = scenario.link.get(&**name).cloned().unwrap_or_default();
            link.calendar.clear();
            (name.clone(), link)
        };
        self.profiles = used.into_iter().map(profile).collect();
    }

    /// Makes everything up to the healing happen `speed` times faster.
    fn hurry(&mut self, speed: u32) {
        let faster = |time: Duration| {
            let millis = u64::try_from((time / speed).as_millis()).unwrap_or(u64::MAX);
            Duration::from_millis(if time.is_zero() { 0 } else { millis.max(1) })
        };
        self.heal_at = faster(self.heal_at);
        self.duration = self.heal_at + self.heal_within;
        for event in &mut self.events {
            event.hurry(&faster);
        }
        // Two that were apart may have come together; the healing stays last.
        let heal_at = self.heal_at;
        self.events.retain(|event| event.at < heal_at);
        self.events.sort_unstable();
        self.events.dedup();
        for link in &mut self.links {
            let preferred = link.preferred();
            for change in &mut link.changes {
                change.at = faster(change.at);
            }
            link.settle(heal_at, &preferred);
        }
        self.take_profiles_in_use();
    }

    /// Forgets the profiles that no link has any more.
    pub(super) fn take_profiles_in_use(&mut self) {
        let used: BTreeSet<Name> =
            self.links.iter().flat_map(|link| &link.changes).map(|change| change.profile.clone()).collect();
        self.profiles.retain(|name, _| used.contains(name));
    }
}

impl Event {
    fn hurry(&mut self, faster: &impl Fn(Duration) -> Duration) {
        self.at = faster(self.at);
        if let Some(lasts) = self.action.lasts_mut() {
            *lasts = faster(*lasts);
        }
    }
}

impl Action {
    /// How long it lasts, if it does; of a backup, how old it is.
    #[must_use]
    pub const fn lasts(&self) -> Option<Duration> {
        match self {
            Self::Crash { down: lasts }
            | Self::PowerLoss { down: lasts, .. }
            | Self::Pause { lasts }
            | Self::DiskFull { lasts }
            | Self::LyingFsync { lasts }
            | Self::IoErrors { lasts, .. }
            | Self::RestoreBackup { age: lasts }
            | Self::CloneDisk { lasts }
            | Self::ClockDrift { lasts, .. } => Some(*lasts),
            _ => None,
        }
    }

    /// The same to change.
    pub(crate) const fn lasts_mut(&mut self) -> Option<&mut Duration> {
        match self {
            Self::Crash { down: lasts }
            | Self::PowerLoss { down: lasts, .. }
            | Self::Pause { lasts }
            | Self::DiskFull { lasts }
            | Self::LyingFsync { lasts }
            | Self::IoErrors { lasts, .. }
            | Self::RestoreBackup { age: lasts }
            | Self::CloneDisk { lasts }
            | Self::ClockDrift { lasts, .. } => Some(lasts),
            _ => None,
        }
    }
}

fn checks(scenario: &Scenario) -> Vec<Check> {
    let run = if scenario.checks.run.is_empty() { Check::ALL.to_vec() } else { scenario.checks.run.clone() };
    run.into_iter().collect::<BTreeSet<_>>().into_iter().collect()
}

