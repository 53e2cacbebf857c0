//! Who takes part: hubs and nodes with everything that they are made of.

use super::links::Ends;
use super::stream::Stream;
use super::{Name, PlannedClock, PlannedHub, PlannedNode};
use crate::scenario::member::{is_pattern, names_of};
use crate::scenario::{Clock, Disk, Group, Hub, Range, Scenario, Span};

/// The hubs of a scenario; one called `hub` if it names none.
pub(super) fn hub_entries(scenario: &Scenario) -> Vec<Hub> {
    if !scenario.hub.is_empty() {
        return scenario.hub.clone();
    }
    let default = || Name::default_profile().to_string();
    let hub = Hub {
        name: "hub".to_owned(),
        count: 1,
        peers: None,
        links: vec![default()],
        disk: default(),
        clock: default(),
    };
    vec![hub]
}

/// The hubs, and the links by which they dial each other.
pub(super) fn hubs<'a>(scenario: &Scenario, seed: u64, entries: &'a [Hub]) -> (Vec<PlannedHub>, Vec<Ends<'a>>) {
    let mut hubs: Vec<PlannedHub> = Vec::new();
    let mut links = Vec::new();
    for entry in entries {
        for name in names_of(&entry.name, entry.count) {
            let name = Name::from(name.as_str());
            let peers = match &entry.peers {
                Some(peers) => peers.iter().map(|peer| Name::from(peer.as_str())).filter(|peer| *peer != name).collect(),
                None => hubs.iter().map(|hub| hub.name.clone()).collect::<Vec<_>>(),
            };
            links.extend(peers.into_iter().map(|to| Ends { from: name.clone(), to, links: &entry.links }));
            let clock = clock(scenario, seed, &name, &entry.clock);
            hubs.push(PlannedHub { disk: disk(scenario, &entry.disk), clock, name });
        }
    }
    (hubs, links)
}

/// The nodes, when each joins, and their links. `total` nodes if that is said.
pub(super) fn nodes<'a>(
    scenario: &'a Scenario,
    seed: u64,
    hubs: &[PlannedHub],
    total: Option<u32>,
) -> (Vec<(PlannedNode, Span)>, Vec<Ends<'a>>) {
    let mut nodes = Vec::new();
    let mut links = Vec::new();
    for (group, count) in scenario.group.iter().zip(counts(&scenario.group, total)) {
        let in_reach: Vec<Name> = if group.hubs.is_empty() {
            hubs.iter().map(|hub| hub.name.clone()).collect()
        } else {
            group.hubs.iter().map(|hub| Name::from(hub.as_str())).collect()
        };
        let disk = disk(scenario, &group.disk);
        let layers: Vec<Name> = group.layers.iter().map(|layer| Name::from(layer.as_str())).collect();
        for name in names_of(&group.name, count) {
            let name = Name::from(name.as_str());
            let joins = Stream::new(seed, &["join", &name]).draw(group.joins);
            links.extend(in_reach.iter().map(|to| Ends { from: name.clone(), to: to.clone(), links: &group.links }));
            let node = PlannedNode {
                labels: group.labels.clone(),
                layers: layers.clone(),
                workloads: group.workloads,
                hubs: in_reach.clone(),
                disk: disk.clone(),
                clock: clock(scenario, seed, &name, &group.clock),
                name,
            };
            nodes.push((node, joins));
        }
    }
    (nodes, links)
}

/// How many nodes each group has if there are `total`: groups of one keep it, the others get their share, one at least.
pub(super) fn counts(groups: &[Group], total: Option<u32>) -> Vec<u32> {
    let said: Vec<u32> = groups.iter().map(|group| if is_pattern(&group.name) { group.count } else { 1 }).collect();
    let Some(total) = total else { return said };
    let fixed = groups.iter().filter(|group| !is_pattern(&group.name)).count();
    let rest = i64::from(total) - i64::try_from(fixed).unwrap_or(i64::MAX);
    let weights: i64 = groups.iter().zip(&said).filter(|(group, _)| is_pattern(&group.name)).map(|(_, n)| i64::from(*n)).sum();
    // Shares are compared as products with `weights`, so that nothing is rounded.
    let mut shares: Vec<(usize, i64, i64)> = groups
        .iter()
        .zip(&said)
        .enumerate()
        .filter(|(_, (group, _))| is_pattern(&group.name))
        .map(|(index, (_, count))| (index, i64::from(*count) * rest, (i64::from(*count) * rest / weights.max(1)).max(1)))
        .collect();
    while let Some(missing) = Some(rest - shares.iter().map(|share| share.2).sum::<i64>()).filter(|it| *it != 0) {
        let owed = |share: &(usize, i64, i64)| share.1 - share.2 * weights;
        // Of several alike the first gets more and the last gives.
        let next = if missing > 0 {
            shares.iter_mut().rev().max_by_key(|share| owed(share))
        } else {
            shares.iter_mut().filter(|share| share.2 > 1).min_by_key(|share| owed(share))
        };
        let Some(share) = next else { break };
        share.2 += missing.signum();
    }
    let mut counts = said;
    for (index, _, count) in shares {
        if let Some(place) = counts.get_mut(index) {
            *place = u32::try_from(count).unwrap_or(1);
        }
    }
    counts
}

fn disk(scenario: &Scenario, name: &str) -> Disk {
    scenario.disk.get(name).cloned().unwrap_or_default()
}

fn clock(scenario: &Scenario, seed: u64, member: &str, name: &str) -> PlannedClock {
    let default = Clock::default();
    let clock = scenario.clock.get(name).unwrap_or(&default);
    let drawn = |concern: &str| Stream::new(seed, &["clock", concern, member]);
    PlannedClock {
        offset: drawn("offset").draw(if clock.keeps_time { clock.offset } else { Range::default() }),
        drift: drawn("drift").draw(clock.drift),
        keeps_time: clock.keeps_time,
    }
}
