//! What entries of `event`, and what names them, must keep.

use std::collections::{BTreeMap, BTreeSet};

use super::{DURATION_MAX, Names, Place, strs};
use crate::scenario::event::{EventSource, Targets, matches};
use crate::scenario::{Kind, Scenario, Span};
use crate::workload::files::RELEASES_KEPT;

/// The most that something may happen to one member: once a second.
const PER_DAY_MAX: u64 = 86_400_000_000;

pub(super) fn check(scenario: &Scenario, names: &Names, root: &mut Place<'_>) {
    let mut drawn: BTreeMap<&str, usize> = BTreeMap::new();
    for (index, source) in scenario.event.iter().enumerate() {
        let mut list = root.at("event");
        let mut place = list.item(index);
        if source.kind == Kind::Override {
            place.at("kind").wrong("overrides on site are not built yet: leave the entry out");
            continue;
        }
        check_parameters(source, names, &mut place);
        check_when(source, scenario.heal_at(scenario.duration), &mut place);
        check_targets(source, names, &mut place);
        if (source.rate.is_some() || source.pick.is_some())
            && let Some(other) = drawn.insert(source.key(), index)
        {
            let what = format!("`event[{other}]` draws under `{}` too: give one of them a `name`", source.key());
            place.at(if source.name.is_some() { "name" } else { "kind" }).wrong(what);
        }
    }
    check_named(scenario, names, root);
    let keys: Vec<&str> = scenario.event.iter().flat_map(|source| [source.key(), source.kind.name()]).collect();
    let mut swarm = root.at("swarm");
    for (index, keep) in scenario.swarm.keep.iter().enumerate() {
        swarm.at("keep").item(index).known("event", keep, keys.iter().copied());
    }
    let factors = [("rates", scenario.swarm.rates), ("links", scenario.swarm.links)];
    for (key, factor) in factors {
        let sane = factor.least.0 >= 1000 && factor.most.0 <= 1_000_000_000;
        swarm.at(key).require(sane, "expected factors from 0.001 to 1000");
    }
    if let Some(nodes) = scenario.swarm.nodes {
        let fewest = u64::try_from(scenario.group.len()).unwrap_or(u64::MAX);
        swarm.at("nodes").within(nodes.least.0.into(), fewest, super::NODES_MAX.into());
        swarm.at("nodes").within(nodes.most.0.into(), fewest, super::NODES_MAX.into());
    }
}

/// Names that parameters refer to.
fn check_named(scenario: &Scenario, names: &Names, root: &mut Place<'_>) {
    for (index, source) in scenario.event.iter().enumerate() {
        let mut list = root.at("event");
        let mut place = list.item(index);
        for (key, kind, name, known) in [
            ("layer", "layer", &source.layer, &names.layers),
            ("node", "node", &source.node, &names.nodes),
            ("link", "link", &source.link, &names.links),
        ] {
            if let Some(name) = name {
                place.at(key).known(kind, name, strs(known));
            }
        }
    }
}

fn check_parameters(source: &EventSource, _: &Names, place: &mut Place<'_>) {
    let (spec, set) = (source.kind.spec(), source.parameters());
    let kind = source.kind.name();
    for parameter in spec.needs.iter().filter(|parameter| !set.contains(parameter)) {
        place.at("kind").wrong(format!("`{kind}` needs `{parameter}`"));
    }
    for parameter in set.iter().filter(|set| !spec.needs.contains(set) && !spec.takes.contains(set)) {
        let taken: Vec<&str> = spec.needs.iter().chain(spec.takes).copied().collect();
        let taken = if taken.is_empty() { "no parameter".to_owned() } else { taken.join(", ") };
        place.at(parameter).wrong(format!("`{parameter}` says nothing about `{kind}`, which takes {taken}"));
    }
    for (key, range) in [("lasts", source.lasts), ("age", source.age)] {
        let Some(range) = range else { continue };
        place.at(key).require(range.least.0.as_millis() > 0, "expected a millisecond or more");
        place.at(key).require(range.most <= DURATION_MAX, "expected ten years at most");
    }
    for (key, value, most) in [
        ("pick", source.pick, super::NODES_MAX),
        ("bits", source.bits, 1_000_000),
        ("objects", source.objects, 10_000),
        ("values", source.values, 10_000),
    ] {
        place.at(key).within(value.unwrap_or(1).into(), 1, most.into());
    }
    for (key, value, most) in
        [("add", source.add, 10_000), ("remove", source.remove, 10_000), ("back", source.back, RELEASES_KEPT - 1)]
    {
        place.at(key).within(value.unwrap_or(0).into(), 0, most.into());
    }
}

fn check_when(source: &EventSource, heal: Span, place: &mut Place<'_>) {
    let ways =
        usize::from(!source.at.is_empty()) + usize::from(source.every.is_some()) + usize::from(source.rate.is_some());
    place.at("kind").require(ways == 1, "say when it happens by one of `at`, `every` and `rate`");
    for (index, at) in source.at.iter().enumerate() {
        let what = format!("the world is healed at {heal}, and nothing happens at or after it");
        place.at("at").item(index).require(*at < heal, &what);
    }
    if let Some(every) = source.every {
        place.at("every").require(every >= Span::seconds(1), "expected a second or more");
    }
    if let Some(rate) = source.rate {
        place.at("rate").require((1..=PER_DAY_MAX).contains(&rate.0), "expected more than nothing and at most 60/min");
    }
    for (key, bound) in [("from", source.from), ("until", source.until)] {
        let Some(bound) = bound else { continue };
        place.at(key).require(source.at.is_empty(), "`at` says when already: `from` and `until` are for the others");
        place.at(key).require(bound <= heal, &format!("the world is healed at {heal}, and nothing happens after it"));
    }
    if let (Some(from), Some(until)) = (source.from, source.until) {
        place.at("from").require(from < until, "`from` must be before `until`");
    }
}

/// Whether a pattern is that of some name.
fn is_one_of(pattern: &str, names: &BTreeSet<String>) -> bool {
    if pattern.contains('*') { names.iter().any(|name| matches(pattern, name)) } else { names.contains(pattern) }
}

fn check_targets(source: &EventSource, names: &Names, place: &mut Place<'_>) {
    let targets = source.kind.spec().targets;
    if targets == Targets::HubLinks && names.hubs.len() < 2 {
        return place.at("kind").wrong("there is one hub, and no link between hubs");
    }
    for (index, pattern) in source.on.iter().enumerate() {
        let (hub, node) = (|name: &str| is_one_of(name, &names.hubs), |name: &str| is_one_of(name, &names.nodes));
        let (found, kind) = match targets {
            Targets::Nodes => (node(pattern), "node"),
            Targets::Hubs => (hub(pattern), "hub"),
            Targets::Members => (node(pattern) || hub(pattern), "node or hub"),
            Targets::Links | Targets::HubLinks => match pattern.split_once('/') {
                // Which of them exist says the plan; here it is enough that both ends do.
                Some((from, to)) => ((node(from) || hub(from)) && hub(to), "link"),
                None => (node(pattern) || hub(pattern), "node or hub"),
            },
        };
        if !found {
            let known = match targets {
                Targets::Nodes => strs(&names.nodes).collect::<Vec<_>>(),
                Targets::Hubs | Targets::HubLinks => strs(&names.hubs).collect(),
                Targets::Members | Targets::Links => strs(&names.nodes).chain(strs(&names.hubs)).collect(),
            };
            place.at("on").item(index).known(kind, pattern, known);
        }
    }
}
