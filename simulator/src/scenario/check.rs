//! What a scenario must keep beyond its shape. Finds every problem, each with the path of the field.

use std::collections::{BTreeMap, BTreeSet};

use super::member::{is_pattern, names_of};
use super::quantity::Span;
use super::read::nearest;
use super::{DEFAULT, Depth, Scenario};

mod calendars;
mod events;

/// The longest run: ten years of virtual time.
pub const DURATION_MAX: Span = Span::seconds(10 * 366 * 86_400);

/// Nodes of one scenario: ten times what depth 1 is meant for.
pub const NODES_MAX: u32 = 100_000;

/// Bytes of a name, as for names in the engine.
const NAME_BYTES_MAX: usize = sync_core::limits::NAME_BYTES_MAX;

/// One step into a scenario.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A field.
    Key(String),
    /// A place in a list, from 0.
    Index(usize),
}

/// Something in a scenario that makes no sense.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The way to the field.
    pub path: Vec<Step>,
    /// What is wrong, and what was expected.
    pub what: String,
}

impl Problem {
    /// The field, such as `event[2].lasts`.
    #[must_use]
    pub fn field(&self) -> String {
        let mut written = String::new();
        for step in &self.path {
            match step {
                Step::Key(key) if written.is_empty() => written.push_str(key),
                Step::Key(key) => written.extend([".", key.as_str()]),
                Step::Index(index) => written.push_str(&format!("[{index}]")),
            }
        }
        written
    }
}

/// Collects problems below one place.
struct Place<'a> {
    path: Vec<Step>,
    problems: &'a mut Vec<Problem>,
}

impl Place<'_> {
    fn at(&mut self, key: &str) -> Place<'_> {
        let path = self.path.iter().cloned().chain([Step::Key(key.to_owned())]).collect();
        Place { path, problems: self.problems }
    }

    fn item(&mut self, index: usize) -> Place<'_> {
        let path = self.path.iter().cloned().chain([Step::Index(index)]).collect();
        Place { path, problems: self.problems }
    }

    fn wrong(&mut self, what: impl Into<String>) {
        self.problems.push(Problem { path: self.path.clone(), what: what.into() });
    }

    fn require(&mut self, holds: bool, what: &str) {
        if !holds {
            self.wrong(what);
        }
    }

    /// A number of a field with bounds, both allowed.
    fn within(&mut self, value: u64, least: u64, most: u64) {
        self.require((least..=most).contains(&value), &format!("expected {least} to {most}, found {value}"));
    }

    fn known<'n>(&mut self, kind: &str, name: &str, names: impl IntoIterator<Item = &'n str> + Clone) {
        if names.clone().into_iter().any(|known| known == name) {
            return;
        }
        let hint = match nearest(name, names.clone()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => match names.into_iter().take(12).collect::<Vec<_>>().join(", ") {
                none if none.is_empty() => "there is none".to_owned(),
                some => format!("there are: {some}"),
            },
        };
        self.wrong(format!("no {kind} is called `{name}`; {hint}"));
    }
}

/// The names that a scenario declares.
struct Names {
    hubs: BTreeSet<String>,
    nodes: BTreeSet<String>,
    layers: BTreeSet<String>,
    links: BTreeSet<String>,
    disks: BTreeSet<String>,
    clocks: BTreeSet<String>,
}

impl Names {
    fn new(scenario: &Scenario) -> Self {
        let with_default =
            |names: Vec<&String>| names.into_iter().cloned().chain([DEFAULT.to_owned()]).collect::<BTreeSet<_>>();
        let members = |name: &str, count: u32| names_of(name, count.min(NODES_MAX)).collect::<Vec<_>>();
        let mut hubs: BTreeSet<String> = scenario.hub.iter().flat_map(|hub| members(&hub.name, hub.count)).collect();
        if scenario.hub.is_empty() {
            hubs.insert("hub".to_owned());
        }
        Self {
            hubs,
            nodes: scenario.group.iter().flat_map(|group| members(&group.name, group.count)).collect(),
            layers: scenario.layer.iter().map(|layer| layer.name.clone()).collect(),
            links: with_default(scenario.link.keys().collect()),
            disks: with_default(scenario.disk.keys().collect()),
            clocks: with_default(scenario.clock.keys().collect()),
        }
    }
}

fn strs(names: &BTreeSet<String>) -> impl Iterator<Item = &str> + Clone {
    names.iter().map(String::as_str)
}

impl Scenario {
    /// Everything in the scenario that makes no sense; empty for a good one.
    #[must_use]
    pub fn check(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut root = Place { path: Vec::new(), problems: &mut problems };
        let names = Names::new(self);
        self.check_run(&mut root);
        self.check_members(&mut root, &names);
        self.check_profiles(&mut root);
        for (name, calendar) in &self.calendar {
            calendars::check(calendar, &mut root.at("calendar").at(name));
        }
        events::check(self, &names, &mut root);
        problems
    }

    fn check_run(&self, root: &mut Place<'_>) {
        check_name(&mut root.at("name"), &self.name);
        let one_line = !self.rehearses.trim().is_empty() && !self.rehearses.contains('\n');
        root.at("rehearses").require(one_line, "expected one sentence in one line");
        root.at("seed").require(i64::try_from(self.seed).is_ok(), "expected a number below 2^63");
        let room = "healing must end within the duration: `heal.at` + `heal.within` is more";
        let fits = |duration: Span| {
            self.heal.within <= duration && self.heal_at(duration).0 + self.heal.within.0 <= duration.0
        };
        let long = self.duration > DURATION_MAX || self.heal.within > DURATION_MAX;
        root.at("duration").require(!long, "expected ten years at most, also for `heal.within`");
        if self.heal.at.is_some_and(|at| at > DURATION_MAX) || long {
            return root.at("heal").require(long, "expected ten years at most");
        }
        root.at(if self.heal.at.is_some() { "heal" } else { "duration" }).require(fits(self.duration), room);
        for (depth, limit) in &self.depth {
            let mut depths = root.at("depth");
            let mut place = depths.at(&depth.number().to_string());
            if let Some(duration) = limit.duration {
                place.at("duration").require(duration <= DURATION_MAX, "expected ten years at most");
                place.at("duration").require(fits(duration), room);
            }
            if let Some(nodes) = limit.nodes {
                let fewest = u32::try_from(self.group.len()).unwrap_or(u32::MAX);
                place.at("nodes").within(nodes.into(), fewest.into(), NODES_MAX.into());
                let stretches = self.group.iter().any(|group| is_pattern(&group.name));
                let count = self.group.iter().map(|group| group.count).fold(0, u32::saturating_add);
                place.at("nodes").require(
                    stretches || nodes == count,
                    "no group can grow or shrink: put `{n}` into the name of one",
                );
            }
            if let Some(speed) = limit.speed {
                place.at("speed").require(*depth == Depth::Live, "only depth 3 runs in real time and can be sped up");
                place.at("speed").within(speed.into(), 1, 100_000);
            }
        }
    }

    fn check_members(&self, root: &mut Place<'_>, names: &Names) {
        let mut taken = BTreeMap::new();
        let hubs = self.hub.iter().map(|hub| ("hub", &hub.name, hub.count, 16));
        let groups = self.group.iter().map(|group| ("group", &group.name, group.count, NODES_MAX));
        for (index, (kind, name, count, most)) in hubs.enumerate().chain(groups.enumerate()) {
            let mut list = root.at(kind);
            let mut place = list.item(index);
            check_name(&mut place.at("name"), &name.replace("{n}", "1"));
            place.at("count").within(count.into(), 1, most.into());
            place.at("name").require(count == 1 || is_pattern(name), "put `{n}` into the name: there are several");
            for member in names_of(name, count.min(most)) {
                if let Some(other) = taken.insert(member.clone(), (kind, index)) {
                    let what = format!("`{member}` is also a member of `{}[{}]`", other.0, other.1);
                    place.at("name").wrong(what);
                    break;
                }
            }
        }
        let total: u64 = self.group.iter().map(|group| u64::from(group.count)).sum();
        root.at("group").require(total <= NODES_MAX.into(), &format!("expected {NODES_MAX} nodes at most"));
        for (index, hub) in self.hub.iter().enumerate() {
            let mut list = root.at("hub");
            let mut place = list.item(index);
            for (at, peer) in hub.peers.iter().flatten().enumerate() {
                place.at("peers").item(at).known("hub", peer, strs(&names.hubs));
            }
            check_parts(&mut place, names, &hub.links, &hub.disk, &hub.clock);
        }
        for (index, group) in self.group.iter().enumerate() {
            let mut list = root.at("group");
            let mut place = list.item(index);
            for (at, layer) in group.layers.iter().enumerate() {
                place.at("layers").item(at).known("layer", layer, strs(&names.layers));
            }
            for (at, hub) in group.hubs.iter().enumerate() {
                place.at("hubs").item(at).known("hub", hub, strs(&names.hubs));
                let twice = group.hubs.iter().take(at).any(|other| other == hub);
                place.at("hubs").item(at).require(!twice, "the hub is named twice");
            }
            place.at("workloads").within(group.workloads.into(), 1, 1000);
            place.at("joins").require(group.joins.most <= DURATION_MAX, "expected ten years at most");
            check_parts(&mut place, names, &group.links, &group.disk, &group.clock);
        }
    }

    fn check_profiles(&self, root: &mut Place<'_>) {
        for (name, link) in &self.link {
            let mut links = root.at("link");
            let mut place = links.at(name);
            check_name(&mut place, name);
            for (at, calendar) in link.calendar.iter().enumerate() {
                let known = self.calendar.keys().map(String::as_str);
                place.at("calendar").item(at).known("calendar", calendar, known);
            }
            place.at("loss_burst").within(link.loss_burst.into(), 1, 1000);
            place.at("mtu").within(link.mtu.into(), 1228, 65_535);
            place.at("queue").require(link.queue.0 >= link.mtu.into(), "a queue must hold one packet of `mtu` bytes");
            for (key, bandwidth) in [("to_hub", link.to_hub), ("to_node", link.to_node)] {
                let passes = bandwidth.is_none_or(|bandwidth| bandwidth.0 >= 1000);
                place.at(key).require(passes, "expected 1kbit/s or more; a `cut` lets nothing through");
            }
            for (key, span) in [("latency", link.latency), ("jitter", link.jitter)] {
                place.at(key).require(span <= Span::seconds(3600), "expected an hour at most");
            }
        }
        for (name, disk) in &self.disk {
            let mut disks = root.at("disk");
            let mut place = disks.at(name);
            check_name(&mut place, name);
            let sector = disk.sector.0;
            let whole = sector.is_power_of_two() && (512..=65_536).contains(&sector);
            place.at("sector").require(whole, "expected a power of two from 512B to 64KiB");
            let room = disk.capacity.is_none_or(|capacity| capacity.0 >= 1_000_000);
            place.at("capacity").require(room, "expected 1MB or more");
        }
        for name in self.clock.keys() {
            check_name(&mut root.at("clock").at(name), name);
        }
        let mut layers = BTreeSet::new();
        for (index, layer) in self.layer.iter().enumerate() {
            let mut list = root.at("layer");
            let mut place = list.item(index);
            check_name(&mut place.at("name"), &layer.name);
            place.at("name").require(layers.insert(&layer.name), "another layer has that name");
            place.at("objects").within(layer.objects.into(), 1, 10_000);
            let least = u64::from(layer.objects) * 100;
            place.at("size").require(layer.size.0 >= least, "expected at least 100B for each object");
        }
    }
}

/// Names become file names, labels and parts of other names.
fn check_name(place: &mut Place<'_>, name: &str) {
    let good = (1..=NAME_BYTES_MAX).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.ends_with(|c: char| c.is_ascii_alphanumeric());
    place.require(good, "expected a name of lower-case letters, digits and `-` between them, 63 at most");
}

fn check_parts(place: &mut Place<'_>, names: &Names, links: &[String], disk: &str, clock: &str) {
    place.at("links").require(!links.is_empty(), "expected one link or more; `cut` takes a link away");
    for (at, link) in links.iter().enumerate() {
        place.at("links").item(at).known("link", link, strs(&names.links));
    }
    place.at("disk").known("disk", disk, strs(&names.disks));
    place.at("clock").known("clock", clock, strs(&names.clocks));
}

#[cfg(test)]
mod tests;
