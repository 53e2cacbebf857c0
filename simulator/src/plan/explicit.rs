//! From a plan back to a scenario: every node, change and event by name and time, nothing left to chance.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Action, Event, Name, Plan, PlannedClock, PlannedLink};
use crate::scenario::{
    Check, Checks, Clock, DEFAULT, DepthLimit, Disk, EventSource, Group, Heal, Hub, Kind, Link, Range, Scenario, Span,
    Swarm,
};

/// What members are made of, each kind under one name.
#[derive(Default)]
struct Parts {
    disks: Vec<Disk>,
    clocks: Vec<Clock>,
}

impl Parts {
    fn disk(&mut self, disk: &Disk) -> String {
        if *disk == Disk::default() { DEFAULT.to_owned() } else { format!("disk-{}", number(&mut self.disks, disk)) }
    }

    fn clock(&mut self, clock: PlannedClock) -> String {
        let PlannedClock { offset, drift, keeps_time } = clock;
        let clock = Clock { offset: Range::exactly(offset), drift: Range::exactly(drift), keeps_time };
        if clock == Clock::default() {
            DEFAULT.to_owned()
        } else {
            format!("clock-{}", number(&mut self.clocks, &clock))
        }
    }
}

/// The place of `part` among `parts`, from 1.
fn number<T: Clone + PartialEq>(parts: &mut Vec<T>, part: &T) -> usize {
    let place = parts.iter().position(|known| known == part).unwrap_or_else(|| {
        parts.push(part.clone());
        parts.len() - 1
    });
    place + 1
}

fn numbered<T>(name: &str, parts: Vec<T>) -> BTreeMap<String, T> {
    parts.into_iter().enumerate().map(|(index, part)| (format!("{name}-{}", index + 1), part)).collect()
}

impl Plan {
    /// The scenario that expands to this plan, with its seed at its depth.
    #[must_use]
    pub fn to_scenario(&self) -> Scenario {
        let mut parts = Parts::default();
        let joins: BTreeMap<&Name, Duration> =
            self.events.iter().filter(|it| it.action == Action::Join).map(|it| (&it.on, it.at)).collect();
        let mut links: BTreeMap<&Name, Vec<&PlannedLink>> = BTreeMap::new();
        for link in &self.links {
            links.entry(&link.from).or_default().push(link);
        }
        let preferred = |member: &Name| {
            let first = links.get(member).and_then(|links| links.first());
            vec![first.map_or_else(Name::default_profile, |link| link.preferred()).to_string()]
        };
        let hubs = self.hubs.iter().map(|hub| Hub {
            name: hub.name.to_string(),
            count: 1,
            peers: Some(links.get(&hub.name).into_iter().flatten().map(|link| link.to.to_string()).collect()),
            links: preferred(&hub.name),
            disk: parts.disk(&hub.disk),
            clock: parts.clock(hub.clock),
        });
        let hubs = hubs.collect();
        let groups = self.nodes.iter().map(|node| Group {
            name: node.name.to_string(),
            count: 1,
            labels: node.labels.clone(),
            layers: strings(&node.layers),
            workloads: node.workloads,
            hubs: strings(&node.hubs),
            links: preferred(&node.name),
            disk: parts.disk(&node.disk),
            clock: parts.clock(node.clock),
            joins: Range::exactly(Span(joins.get(&node.name).copied().unwrap_or_default())),
        });
        let groups = groups.collect();
        let events = self.events.iter().filter_map(entry).chain(self.links.iter().flat_map(entries));
        Scenario {
            name: self.name.clone(),
            rehearses: self.rehearses.clone(),
            seed: self.seed,
            start: self.start,
            duration: Span(self.duration),
            heal: Heal { at: Some(Span(self.heal_at)), within: Span(self.heal_within) },
            depth: [(self.depth, DepthLimit::default())].into(),
            hub: hubs,
            group: groups,
            link: self.profiles.iter().filter(|(name, link)| is_changed(name, link)).map(named).collect(),
            calendar: BTreeMap::new(),
            disk: numbered("disk", parts.disks),
            clock: numbered("clock", parts.clocks),
            layer: self.layers.clone(),
            event: events.collect(),
            checks: Checks {
                run: if self.checks == Check::ALL { Vec::new() } else { self.checks.clone() },
                fresh_within: self.fresh_within.map(Span),
            },
            swarm: Swarm::default(),
        }
    }
}

fn is_changed(name: &Name, link: &Link) -> bool {
    **name != *DEFAULT || *link != Link::default()
}

fn named((name, link): (&Name, &Link)) -> (String, Link) {
    (name.to_string(), link.clone())
}

fn strings(names: &[Name]) -> Vec<String> {
    names.iter().map(Name::to_string).collect()
}

/// What a link is from each change on. What every link is anyway is not said.
fn entries(link: &PlannedLink) -> Vec<EventSource> {
    let changes = link.changes.get(link.told()).unwrap_or_default();
    changes
        .iter()
        .map(|change| EventSource {
            on: vec![link.name()],
            at: vec![Span(change.at)],
            state: Some(change.state),
            link: Some(change.profile.to_string()),
            ..EventSource::new(Kind::Link)
        })
        .collect()
}

/// One event; `None` for a join, which its node tells.
fn entry(event: &Event) -> Option<EventSource> {
    let new = EventSource::new;
    let lasting = |kind, lasts: &Duration| EventSource { lasts: Some(Range::exactly(Span(*lasts))), ..new(kind) };
    let entry = match &event.action {
        Action::Join => return None,
        Action::Crash { down } => lasting(Kind::Crash, down),
        Action::Pause { lasts } => lasting(Kind::Pause, lasts),
        Action::Restart => new(Kind::Restart),
        Action::PowerLoss { down, unsynced } => {
            EventSource { unsynced: Some(*unsynced), ..lasting(Kind::PowerLoss, down) }
        }
        Action::DiskFull { lasts } => lasting(Kind::DiskFull, lasts),
        Action::BitRot { bits } => EventSource { bits: Some(*bits), ..new(Kind::BitRot) },
        Action::LyingFsync { lasts } => lasting(Kind::LyingFsync, lasts),
        Action::IoErrors { lasts, share } => EventSource { share: Some(*share), ..lasting(Kind::IoErrors, lasts) },
        Action::RestoreBackup { age } => {
            EventSource { age: Some(Range::exactly(Span(*age))), ..new(Kind::RestoreBackup) }
        }
        Action::CloneDisk { lasts } => lasting(Kind::CloneDisk, lasts),
        Action::WipeStore => new(Kind::WipeStore),
        Action::Clock1970 => new(Kind::Clock1970),
        Action::ClockJump { by } => EventSource { by: Some(Range::exactly(*by)), ..new(Kind::ClockJump) },
        Action::ClockDrift { drift, lasts } => {
            EventSource { drift: Some(Range::exactly(*drift)), ..lasting(Kind::ClockDrift, lasts) }
        }
        Action::AddressChange => new(Kind::AddressChange),
        Action::NatRebind => new(Kind::NatRebind),
        Action::Hostile { attack } => EventSource { attack: Some(*attack), ..new(Kind::Hostile) },
        Action::Edit { layer, objects, add, remove, release } => EventSource {
            layer: Some(layer.to_string()),
            objects: Some(*objects),
            add: Some(*add).filter(|add| *add > 0),
            remove: Some(*remove).filter(|remove| *remove > 0),
            release: Some(*release),
            ..new(Kind::Edit)
        },
        Action::Release { back } => EventSource { back: Some(*back), ..new(Kind::Release) },
        Action::Status { values } => EventSource { values: Some(*values), ..new(Kind::Status) },
        Action::TargetEdit { objects } => EventSource { objects: Some(*objects), ..new(Kind::TargetEdit) },
        Action::Revoke { node } => EventSource { node: Some(node.to_string()), ..new(Kind::Revoke) },
    };
    Some(EventSource { on: vec![event.on.to_string()], at: vec![Span(event.at)], draw: Some(event.draw), ..entry })
}
