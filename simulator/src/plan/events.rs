//! Entries of `event` become single events, and what they do to links.

use std::collections::BTreeMap;
use std::time::Duration;

use super::expand::{PlanError, TooMuch};
use super::links::{Ends, Meddling};
use super::stream::Stream;
use super::{Action, Event, Name, PlannedHub, PlannedNode};
use crate::scenario::event::{Targets, matches};
use crate::scenario::{Disk, EventSource, Kind, Rate, Scenario, Share, Span};

/// Events of one plan: ten thousand nodes with a hundred changes of status a day for a week, and room.
const EVENTS_MAX: usize = 8_000_000;

/// What a scenario's members are called.
pub(super) struct Fleet<'a> {
    pub(super) hubs: &'a [PlannedHub],
    pub(super) nodes: &'a [(PlannedNode, Span)],
    pub(super) ends: &'a [Ends<'a>],
}

/// Everything that happens before `end`: events of members, and what happens to links, by their names.
pub(super) fn events(
    scenario: &Scenario,
    seed: u64,
    fleet: &Fleet<'_>,
    end: Duration,
) -> Result<(Vec<Event>, BTreeMap<String, Meddling>), PlanError> {
    let mut events: Vec<Event> = Vec::new();
    let mut meddling: BTreeMap<String, Meddling> = BTreeMap::new();
    let joined: BTreeMap<&Name, Duration> = fleet.nodes.iter().map(|(node, at)| (&node.name, at.0)).collect();
    let disks: BTreeMap<&Name, &Disk> = disks(fleet);
    for (node, at) in fleet.nodes {
        events.push(Event { at: at.0, action: Action::Join, on: node.name.clone(), draw: 0 });
    }
    let mut meddled = 0;
    for source in &scenario.event {
        let targets = targets(source, fleet, seed)?;
        for target in targets {
            let left = EVENTS_MAX - events.len().min(EVENTS_MAX) - meddled;
            let times = times(source, seed, &target, end, left);
            if times.len() > left {
                return Err(PlanError::TooMuch(TooMuch { what: "events", most: EVENTS_MAX }));
            }
            for at in times {
                let mut stream = Stream::new(seed, &["event", source.key(), &target, &at.as_nanos().to_string()]);
                let draw = source.draw.unwrap_or_else(|| stream.next_u32());
                let lasts = source.lasts.map_or(Duration::ZERO, |lasts| stream.draw(lasts).0);
                if matches!(source.kind, Kind::Cut | Kind::HubSplit) {
                    let cut = (at, at + lasts, source.way.unwrap_or_default());
                    meddling.entry(target.to_string()).or_default().cuts.push(cut);
                    meddled += 1;
                } else if source.kind == Kind::Link {
                    let Some(state) = source.state else { continue };
                    let by = source.link.as_deref().map(Name::from);
                    meddling.entry(target.to_string()).or_default().set.push((at, state, by));
                    meddled += 1;
                } else {
                    // What cannot have happened yet is left out: the node is not there.
                    let there = joined.get(&target).is_none_or(|joined| *joined <= at);
                    let action = action(source, lasts, disks.get(&target).copied(), &mut stream);
                    if let Some(action) = action.filter(|_| there) {
                        events.push(Event { at, action, on: target.clone(), draw });
                    }
                }
            }
        }
    }
    events.sort_unstable();
    events.dedup();
    Ok((events, meddling))
}

fn disks<'a>(fleet: &Fleet<'a>) -> BTreeMap<&'a Name, &'a Disk> {
    let nodes = fleet.nodes.iter().map(|(node, _)| (&node.name, &node.disk));
    nodes.chain(fleet.hubs.iter().map(|hub| (&hub.name, &hub.disk))).collect()
}

/// The names of what an entry happens to.
fn targets(source: &EventSource, fleet: &Fleet<'_>, seed: u64) -> Result<Vec<Name>, PlanError> {
    let nodes = || fleet.nodes.iter().map(|(node, _)| node.name.clone());
    let hubs = || fleet.hubs.iter().map(|hub| hub.name.clone());
    let is_hub = |name: &Name| fleet.hubs.iter().any(|hub| hub.name == *name);
    let ends = |between_hubs: bool| {
        let ends = fleet.ends.iter().filter(move |ends| !between_hubs || is_hub(&ends.from));
        ends.map(|ends| Name::from(ends.name().as_str()))
    };
    let (all, implied): (Vec<Name>, Vec<Name>) = match source.kind.spec().targets {
        Targets::Nodes => (nodes().collect(), nodes().collect()),
        Targets::Hubs => (hubs().collect(), hubs().collect()),
        Targets::Members => (nodes().chain(hubs()).collect(), nodes().collect()),
        Targets::Links => {
            let of_nodes = fleet.ends.iter().filter(|ends| !is_hub(&ends.from));
            (ends(false).collect(), of_nodes.map(|ends| Name::from(ends.name().as_str())).collect())
        }
        Targets::HubLinks => (ends(true).collect(), ends(true).collect()),
    };
    let mut found = if source.on.is_empty() { implied } else { Vec::new() };
    for pattern in &source.on {
        let before = found.len();
        found.extend(all.iter().filter(|name| hits(pattern, name)).cloned());
        if found.len() == before {
            return Err(PlanError::NoTarget { event: source.key().to_owned(), target: pattern.clone() });
        }
    }
    found.sort_unstable();
    found.dedup();
    if let Some(pick) = source.pick {
        // Each target has a lot of its own: one target more or less changes who is drawn by one at most.
        found.sort_by_cached_key(|name| Stream::new(seed, &["lot", source.key(), name]).next_u64());
        found.truncate(usize::try_from(pick).unwrap_or(usize::MAX));
        found.sort_unstable();
    }
    Ok(found)
}

/// Whether a pattern is that of a member, of a link, or of one end of a link.
fn hits(pattern: &str, name: &str) -> bool {
    match (pattern.contains('/'), name.split_once('/')) {
        (false, Some((from, to))) => matches(pattern, from) || matches(pattern, to),
        _ => matches(pattern, name),
    }
}

/// When an entry happens to one target, before `end`. Stops past `most`.
fn times(source: &EventSource, seed: u64, target: &str, end: Duration, most: usize) -> Vec<Duration> {
    let from = source.from.unwrap_or_default().0;
    let until = source.until.map_or(end, |until| until.0.min(end));
    if let Some(every) = source.every {
        let all = std::iter::successors(Some(from), |at| at.checked_add(every.0));
        return all.take_while(|at| *at < until).take(most + 1).collect();
    }
    let Some(rate) = source.rate else {
        let mut at: Vec<Duration> = source.at.iter().map(|at| at.0).filter(|at| *at < end).collect();
        at.sort_unstable();
        at.dedup();
        return at;
    };
    let mut stream = Stream::new(seed, &["times", source.key(), target]);
    let mean = mean_gap(rate);
    let mut at = from;
    let arrivals = std::iter::from_fn(|| {
        // At the same millisecond there would be two of the same event.
        at = at.checked_add(Duration::from_millis(stream.exponential(mean).div_ceil(1000).max(1)))?;
        (at < until).then_some(at)
    });
    arrivals.take(most + 1).collect()
}

/// The mean time between two events, in microseconds.
fn mean_gap(rate: Rate) -> u64 {
    const DAY: u128 = 86_400_000_000;
    u64::try_from(DAY * 1_000_000 / u128::from(rate.0.max(1))).unwrap_or(u64::MAX)
}

fn action(source: &EventSource, lasts: Duration, disk: Option<&Disk>, stream: &mut Stream) -> Option<Action> {
    let fate = source.unsynced.or(disk.map(|disk| disk.unsynced)).unwrap_or_default();
    let name = |name: &Option<String>| name.as_deref().map(Name::from);
    Some(match source.kind {
        Kind::Crash | Kind::HubCrash => Action::Crash { down: lasts },
        Kind::Pause => Action::Pause { lasts },
        Kind::Restart => Action::Restart,
        Kind::PowerLoss => Action::PowerLoss { down: lasts, unsynced: fate },
        Kind::DiskFull => Action::DiskFull { lasts },
        Kind::BitRot => Action::BitRot { bits: source.bits.unwrap_or(1) },
        Kind::LyingFsync => Action::LyingFsync { lasts },
        Kind::IoErrors => Action::IoErrors { lasts, share: source.share.unwrap_or(Share(100_000)) },
        Kind::RestoreBackup => Action::RestoreBackup { age: stream.draw(source.age.unwrap_or_default()).0 },
        Kind::CloneDisk => Action::CloneDisk { lasts },
        Kind::WipeStore => Action::WipeStore,
        Kind::Clock1970 => Action::Clock1970,
        Kind::ClockJump => Action::ClockJump { by: stream.draw(source.by.unwrap_or_default()) },
        Kind::ClockDrift => Action::ClockDrift { drift: stream.draw(source.drift.unwrap_or_default()), lasts },
        Kind::AddressChange => Action::AddressChange,
        Kind::NatRebind => Action::NatRebind,
        Kind::Hostile => Action::Hostile { attack: source.attack? },
        Kind::Edit => Action::Edit {
            layer: name(&source.layer)?,
            objects: source.objects.unwrap_or(1),
            add: source.add.unwrap_or(0),
            remove: source.remove.unwrap_or(0),
            release: source.release.unwrap_or(true),
        },
        Kind::Release => Action::Release { back: source.back.unwrap_or(0) },
        Kind::Status => Action::Status { values: source.values.unwrap_or(1) },
        Kind::TargetEdit => Action::TargetEdit { objects: source.objects.unwrap_or(1) },
        Kind::Revoke => Action::Revoke { node: name(&source.node)? },
        // Links are not members, and overrides do not exist yet: a checked scenario has none.
        Kind::Cut | Kind::HubSplit | Kind::Link | Kind::Override => return None,
    })
}
