//! Runs a plan: parts side by side where nothing joins them, one after the other where something does; heals, and waits until
//! all agree.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use hub::service::{AdminCommand, AdminReply, Health};

use super::carrier::{Carrier, Shape};
use super::end::{End, Place};
use super::eyes::Eyes;
use super::figures::{Counts, MemberFigures, Quantiles, Tally, has_place};
use super::member::{Member, Role};
use super::part::{Due, Part};
use super::queue::Queue;
use super::set_up::{back_ups, set_up};
use super::{Micros, micros};
use crate::plan::stream::Stream;
use crate::plan::{Action, LinkChange, Name, Plan, PlannedLink};
use crate::scenario::LinkState;
use crate::workload::files::Files;

/// How long after a link between parts went down something may still be under way on it: an idle timeout that began anew with a
/// last word, and a keep-alive before that, with room.
const SETTLES_WITHIN: Duration = Duration::from_secs(120);

/// Parts run side by side for this long at least, or not at all: threads are not free.
const APART_AT_LEAST: Duration = Duration::from_secs(600);

/// How a plan is run.
pub struct Options<'e> {
    /// Parts that may run side by side.
    pub threads: usize,
    /// Makes who watches each part.
    pub eyes: &'e mut dyn FnMut(usize) -> Box<dyn Eyes>,
}

impl std::fmt::Debug for Options<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options").field("threads", &self.threads).finish_non_exhaustive()
    }
}

/// Why a plan could not be run. A defect of this program, as a plan says nothing that cannot be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MachinesError {
    /// The fleet could not be set up.
    #[error("the fleet could not be set up: {0}")]
    SetUp(String),
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// How long after the healing all agreed.
    pub agreed_after: Option<Duration>,
    /// What kept them from it.
    pub disagreement: Option<String>,
    /// What broke. Nothing may.
    pub broken: Vec<String>,
    /// Hubs and nodes in the plan's order.
    pub members: Vec<MemberFigures>,
    /// How late nodes were with releases that they applied.
    pub lateness: Quantiles,
    /// How often things happened.
    pub counts: Counts,
    /// How often each kind of event was asked for, and how often it took effect.
    pub events: BTreeMap<&'static str, Tally>,
    /// Kinds of events that have no place at this depth, and how many there were.
    pub left_out: BTreeMap<&'static str, u64>,
    /// Which parts ran side by side, and for how long.
    pub parts: usize,
    /// The time in which they could.
    pub apart: Duration,
    /// The hash of everything that happened.
    pub trace: [u8; 32],
    /// The virtual time at the end.
    pub ended_at: Duration,
}

/// Runs `plan`. `told` is told the virtual time now and then.
///
/// # Errors
/// [`MachinesError`].
pub fn run(plan: &Plan, options: &mut Options<'_>, mut told: impl FnMut(Duration)) -> Result<Outcome, MachinesError> {
    let mut world = World::new(plan, options);
    set_up(&mut world.parts, plan).map_err(MachinesError::SetUp)?;
    for part in &mut world.parts {
        back_ups(part);
    }
    let heal_at = micros(plan.heal_at);
    for (until, is_apart) in segments(plan, &world.parts, options.threads) {
        if is_apart { world.run_apart(until, &mut told) } else { world.run_together(until, &mut told) }
    }
    for part in &mut world.parts {
        part.heal(heal_at);
    }
    world.carry();
    Ok(world.agree(&mut told))
}

struct World<'p> {
    plan: &'p Plan,
    parts: Vec<Part<'p>>,
    apart: Duration,
}

/// Which part each member is in: nodes and their hubs belong together.
fn parts_of(plan: &Plan) -> (BTreeMap<Name, usize>, usize) {
    let mut group: BTreeMap<&Name, usize> = plan.hubs.iter().enumerate().map(|(at, hub)| (&hub.name, at)).collect();
    for node in &plan.nodes {
        let of: BTreeSet<usize> = node.hubs.iter().filter_map(|hub| group.get(hub).copied()).collect();
        if let Some(first) = of.first().copied() {
            group.values_mut().filter(|it| of.contains(it)).for_each(|it| *it = first);
        }
    }
    let used: BTreeSet<usize> = group.values().copied().collect();
    let number = |of: usize| used.iter().position(|it| *it == of).unwrap_or(0);
    let hubs = plan.hubs.iter().map(|hub| (hub.name.clone(), number(group.get(&hub.name).copied().unwrap_or(0))));
    let mut parts: BTreeMap<Name, usize> = hubs.collect();
    for node in &plan.nodes {
        let part = node.hubs.first().and_then(|hub| parts.get(hub)).copied().unwrap_or(0);
        parts.insert(node.name.clone(), part);
    }
    (parts, used.len().max(1))
}

/// Up to when the parts run, and whether side by side.
fn segments(plan: &Plan, parts: &[Part<'_>], threads: usize) -> Vec<(Micros, bool)> {
    let end = micros(plan.heal_at);
    if parts.len() < 2 || threads < 2 {
        return vec![(end, false)];
    }
    let part = |name: &Name| parts.iter().position(|part| part.by_name.contains_key(name));
    let mut joined: Vec<(Micros, Micros)> = Vec::new();
    for link in plan.links.iter().filter(|link| part(&link.from) != part(&link.to)) {
        for (place, change) in link.changes.iter().enumerate() {
            if change.state == LinkState::Down {
                continue;
            }
            let next = link.changes.get(place + 1).map_or(end, |next| micros(next.at));
            let under_way = 8 * Shape::of(plan.profile(change)).round_trip();
            joined.push((micros(change.at), next.saturating_add(micros(SETTLES_WITHIN) + under_way)));
        }
    }
    // Links are up from the end on.
    joined.push((end, end));
    joined.sort_unstable();
    let mut segments = Vec::new();
    let mut now = 0;
    for (from, until) in joined.into_iter().filter(|(from, _)| *from <= end) {
        if from > now + micros(APART_AT_LEAST) {
            segments.push((from, true));
            now = from;
        }
        let until = until.min(end);
        if until > now {
            now = until;
            segments.push((now, false));
        }
    }
    segments
}

impl<'p> World<'p> {
    fn new(plan: &'p Plan, options: &mut Options<'_>) -> Self {
        let (part_of, count) = parts_of(plan);
        let part = |number: usize| Part {
            plan,
            number,
            now: 0,
            members: Vec::new(),
            by_name: BTreeMap::new(),
            queue: Queue::new(),
            outbox: Vec::new(),
            events: Vec::new(),
            next_event: 0,
            files: Files::new(&plan.layers, plan.seed),
            twins: BTreeMap::new(),
            backups: BTreeMap::new(),
            releases: Vec::new(),
            lateness: Vec::new(),
            last_change: 0,
            counts: Counts::default(),
            tallies: BTreeMap::new(),
            broken: Vec::new(),
            is_healed: false,
            eyes: (options.eyes)(number),
        };
        let mut world = Self { plan, parts: (0..count).map(part).collect(), apart: Duration::ZERO };
        let place = |name: &Name| part_of.get(name).copied().unwrap_or(0);
        for hub in &plan.hubs {
            world.add(
                place(&hub.name),
                Member::new(&hub.name, &hub.name, Role::Hub, hub.clock, plan.seed, plan.start.0),
            );
        }
        for (number, node) in plan.nodes.iter().enumerate() {
            let role = Role::Node(number);
            world
                .add(place(&node.name), Member::new(&node.name, &node.name, role, node.clock, plan.seed, plan.start.0));
        }
        for (number, link) in plan.links.iter().enumerate() {
            world.join_ends(number, link);
        }
        for (number, event) in plan.events.iter().enumerate() {
            let part = part_of.get(&event.on).copied().unwrap_or(0);
            for (other, it) in world.parts.iter_mut().enumerate() {
                if other == part || matches!(event.action, Action::Edit { .. }) {
                    it.events.push(number);
                }
            }
            if matches!(event.action, Action::CloneDisk { .. } | Action::RestoreBackup { .. }) {
                world.prepare_copies(part, number, &event.on);
            }
        }
        world
    }

    fn add(&mut self, part: usize, member: Member) -> usize {
        let Some(part) = self.parts.get_mut(part) else { return 0 };
        if !member.is_twin() {
            part.by_name.insert(member.name.clone(), part.members.len());
        }
        part.members.push(member);
        part.members.len() - 1
    }

    fn find(&self, name: &Name) -> Option<(usize, usize)> {
        self.parts.iter().find_map(|part| Some((part.number, *part.by_name.get(name)?)))
    }

    fn join_ends(&mut self, number: usize, link: &PlannedLink) {
        let (Some(from), Some(to)) = (self.find(&link.from), self.find(&link.to)) else { return };
        let Some(first) = link.changes.first() else { return };
        let (one, other) = self.connect(from, to, &link.name(), first);
        for (place, end) in [(from, one), (to, other)] {
            if let Some(part) = self.parts.get_mut(place.0) {
                part.queue.put(0, Due::Link { member: place.1, end, link: number, change: 0 });
            }
        }
    }

    /// Makes both ends of a link, with the one who dials by the plan first.
    fn connect(&mut self, from: (usize, usize), to: (usize, usize), name: &str, change: &LinkChange) -> (usize, usize) {
        let ends = |world: &Self, place: (usize, usize)| {
            world.parts.get(place.0).and_then(|part| part.members.get(place.1)).map_or(0, |it| it.ends.len())
        };
        let (one, other) = (ends(self, from), ends(self, to));
        let shape = Shape::of(self.plan.profile(change));
        for (own, end, peer, peer_end, is_away) in [(from, one, to, other, true), (to, other, from, one, false)] {
            let peer_name = self.parts.get(peer.0).and_then(|part| part.members.get(peer.1)).map(|it| it.name.clone());
            let seed = Stream::new(self.plan.seed, &["carrier", name, if is_away { "away" } else { "back" }]);
            let Some(it) = self.parts.get_mut(own.0).and_then(|part| part.members.get_mut(own.1)) else { continue };
            debug_assert_eq!(it.ends.len(), end);
            it.ends.push(End {
                peer: Place { part: peer.0, member: peer.1, end: peer_end },
                peer_name: peer_name.unwrap_or_else(|| Name::from("")),
                peer_id: None,
                is_away,
                shape,
                can_send: true,
                can_hear: true,
                carrier: Carrier::new(seed.clone().next_u64()),
                tries: 0,
                dialling: None,
                answered: None,
                connection: None,
            });
        }
        (one, other)
    }

    /// Files that will be copied are on a disk; a copy that will run has a machine.
    fn prepare_copies(&mut self, part: usize, number: usize, name: &Name) {
        let plan = self.plan;
        let Some((_, member)) = self.find(name) else { return };
        let Some(it) = self.parts.get_mut(part).and_then(|part| part.members.get_mut(member)) else { return };
        it.needs_disk = true;
        let (role, clock) = (it.role, it.clock);
        let is_clone = plan.events.get(number).is_some_and(|event| matches!(event.action, Action::CloneDisk { .. }));
        let Role::Node(node) = role else { return };
        if !is_clone {
            return;
        }
        let seeded = format!("{name} twin {number}");
        let mut twin = Member::new(name, &seeded, Role::Twin(node), clock, plan.seed, plan.start.0);
        twin.needs_disk = true;
        let twin = self.add(part, twin);
        for link in plan.links.iter().filter(|link| link.from == *name) {
            let at = plan.events.get(number).map_or(Duration::ZERO, |event| event.at);
            let change = link.changes.iter().rev().find(|change| change.at <= at).or(link.changes.first());
            if let (Some(change), Some(hub)) = (change, self.find(&link.to)) {
                self.connect((part, twin), hub, &format!("{seeded} {}", link.to), change);
            }
        }
        if let Some(part) = self.parts.get_mut(part) {
            part.twins.insert(number, twin);
        }
    }

    /// Hands over what parts have for each other.
    fn carry(&mut self) {
        for number in 0..self.parts.len() {
            let out = self.parts.get_mut(number).map(|part| std::mem::take(&mut part.outbox)).unwrap_or_default();
            for (to, at, due) in out {
                if let Some(part) = self.parts.get_mut(to) {
                    part.queue.put(at, due);
                }
            }
        }
    }

    /// Always the earliest of all parts.
    fn run_together(&mut self, until: Micros, told: &mut impl FnMut(Duration)) {
        loop {
            let next = |part: &Part<'_>| part.next_at().filter(|at| *at < until).map(|at| (at, part.number));
            let Some((at, number)) = self.parts.iter().filter_map(next).min() else { return };
            let Some(part) = self.parts.get_mut(number) else { return };
            part.step();
            if !part.outbox.is_empty() {
                self.carry();
            }
            told(Duration::from_micros(at));
        }
    }

    /// Each part on a thread of its own: nothing joins them before `until`.
    fn run_apart(&mut self, until: Micros, told: &mut impl FnMut(Duration)) {
        let begin = self.parts.iter().map(|part| part.now).max().unwrap_or(0);
        self.apart += Duration::from_micros(until.saturating_sub(begin));
        let Some((first, others)) = self.parts.split_first_mut() else { return };
        std::thread::scope(|scope| {
            for part in others {
                scope.spawn(|| part.run_until(until, |_| {}));
            }
            first.run_until(until, |at| told(Duration::from_micros(at)));
        });
        for part in &mut self.parts {
            if !part.outbox.is_empty() {
                part.breaks("a part reached another while nothing joined them: a defect of the simulator".to_owned());
            }
        }
        self.carry();
    }

    /// Lets time pass until every node runs what it should and every hub says so.
    fn agree(mut self, told: &mut impl FnMut(Duration)) -> Outcome {
        let healed = micros(self.plan.heal_at);
        let last = healed.saturating_add(micros(self.plan.heal_within));
        // A look at all nodes of a hub takes a while; with few it is taken each second.
        let every =
            Duration::from_secs(1).max(Duration::from_millis(5) * u32::try_from(self.plan.nodes.len()).unwrap_or(0));
        let mut now = healed;
        let mut looked_at = None;
        let mut disagreement = None;
        let agreed_after = loop {
            let changed = self.parts.iter().map(|part| part.last_change).max().unwrap_or(0);
            if looked_at != Some(changed) {
                looked_at = Some(changed);
                disagreement = self.disagreement(now);
                if disagreement.is_none() {
                    break Some(Duration::from_micros(changed.max(healed) - healed));
                }
            }
            if now >= last {
                break None;
            }
            now = (now + micros(every)).min(last);
            self.run_together(now, told);
        };
        self.account(agreed_after, disagreement, now)
    }

    /// Why the fleet does not agree yet.
    fn disagreement(&mut self, now: Micros) -> Option<String> {
        let plan = self.plan;
        let mut versions = Vec::new();
        for part in &mut self.parts {
            part.now = now;
        }
        for hub in &plan.hubs {
            let (part, place) = self.find(&hub.name)?;
            let part = self.parts.get_mut(part)?;
            let Some(AdminReply::Nodes(list)) = part.ask(place, AdminCommand::ListNodes) else {
                return Some(format!("{} does not answer", hub.name));
            };
            let Some(AdminReply::Layers(layers)) = part.ask(place, AdminCommand::ListLayers) else {
                return Some(format!("{} does not answer", hub.name));
            };
            let by_name: BTreeMap<&str, _> = list.nodes.iter().map(|node| (node.name.as_str(), node)).collect();
            for it in self.parts.iter().flat_map(|part| &part.members) {
                if it.is_hub() || it.is_twin() || it.is_revoked || it.joined.is_none() {
                    continue;
                }
                let Some(node) = by_name.get(&*it.name) else {
                    return Some(format!("{} does not know {}", hub.name, it.name));
                };
                if node.desired.is_none() || node.desired != node.applied {
                    let (name, runs, desired) = (&it.name, &node.applied, &node.desired);
                    return Some(format!("{}: {name} runs {runs:?}, not {desired:?}", hub.name));
                }
                if node.health != Health::Healthy {
                    return Some(format!("{}: {} is {:?}", hub.name, it.name, node.health));
                }
            }
            let summary: Vec<_> = layers.layers.into_iter().map(|layer| (layer.name, layer.layer_version)).collect();
            versions.push((&hub.name, summary));
        }
        let (first, rest) = versions.split_first()?;
        let other = rest.iter().find(|(_, layers)| *layers != first.1);
        other.map(|(hub, layers)| format!("{hub} has layers {layers:?}, {} has {:?}", first.0, first.1))
    }

    fn account(mut self, agreed_after: Option<Duration>, disagreement: Option<String>, now: Micros) -> Outcome {
        let mut outcome = Outcome {
            agreed_after,
            disagreement,
            broken: Vec::new(),
            members: Vec::new(),
            lateness: Quantiles::default(),
            counts: Counts::default(),
            events: BTreeMap::new(),
            left_out: BTreeMap::new(),
            parts: self.parts.len(),
            apart: self.apart,
            trace: [0; 32],
            ended_at: Duration::from_micros(now),
        };
        for event in self.plan.events.iter().filter(|event| !has_place(&event.action)) {
            *outcome.left_out.entry(event.action.name()).or_default() += 1;
        }
        let mut lateness = Vec::new();
        for part in &mut self.parts {
            outcome.broken.append(&mut part.broken);
            lateness.append(&mut part.lateness);
            outcome.counts.add(&part.counts);
            for (kind, more) in &part.tallies {
                let tally = outcome.events.entry(kind).or_default();
                (tally.planned, tally.reached) = (tally.planned + more.planned, tally.reached + more.reached);
            }
        }
        outcome.lateness = Quantiles::of(lateness);
        let mut trace = blake3::Hasher::new();
        let names = self.plan.hubs.iter().map(|hub| &hub.name).chain(self.plan.nodes.iter().map(|node| &node.name));
        for name in names {
            let Some((part, member)) = self.find(name) else { continue };
            let Some(it) = self.parts.get(part).and_then(|part| part.members.get(member)) else { continue };
            trace.update(&it.trace);
            outcome.members.push(it.figures.clone());
        }
        outcome.trace = *trace.finalize().as_bytes();
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{Depth, Scenario};

    const TWO_HUBS: &str = r#"
        name = "two"
        rehearses = "Two hubs that meet now and then"
        duration = "12h"
        hub = [{ name = "hub-{n}", count = 2, links = ["window"] }]
        [[group]]
        name = "a-{n}"
        count = 2
        hubs = ["hub-1"]
        [[group]]
        name = "b-{n}"
        count = 2
        hubs = ["hub-2"]
        [link.window]
        calendar = ["windows"]
        [calendar.windows]
        kind = "windows"
        windows = [{ from = "2h", until = "2h 10m" }, { from = "8h", until = "9h" }]
    "#;

    #[test]
    fn parts_run_apart_while_nothing_joins_them() {
        let scenario = Scenario::parse("two.toml", TWO_HUBS).unwrap();
        let plan = Plan::expand(&scenario, 1, Depth::Machines).unwrap();
        let (parts, count) = parts_of(&plan);
        assert_eq!(count, 2);
        assert_eq!(parts[&Name::from("a-1")], parts[&Name::from("hub-1")]);
        assert_ne!(parts[&Name::from("b-2")], parts[&Name::from("hub-1")]);
        let mut eyes = crate::machines::nobody;
        let world = World::new(&plan, &mut Options { threads: 2, eyes: &mut eyes });
        let minutes =
            |it: Vec<(Micros, bool)>| it.into_iter().map(|(at, apart)| (at / 60_000_000, apart)).collect::<Vec<_>>();
        let segments = minutes(segments(&plan, &world.parts, 2));
        assert_eq!(segments, [(120, true), (132, false), (480, true), (542, false), (690, true)]);
    }
}
