//! Plans: what stays the same when something else goes, and that a plan comes back from its file.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::stream::Stream;
use super::*;
use crate::scenario::{EventSource, Kind, Scenario, Span, shipped};

fn shipped(name: &str) -> Scenario {
    Scenario::load(name).unwrap()
}

/// Any scenario that comes with the simulator, at any of its depths, with few nodes.
fn any_plan() -> impl Strategy<Value = (Scenario, u64, Depth)> {
    (0..shipped::ALL.len(), any::<u32>(), 0..3_usize).prop_map(|(index, seed, depth)| {
        let (name, text) = shipped::ALL[index];
        let mut scenario = Scenario::parse(name, text).unwrap();
        let depths = scenario.depths();
        for limit in scenario.depth.values_mut() {
            limit.duration = None;
            limit.nodes = limit.nodes.map(|nodes| nodes.min(12));
        }
        (scenario, u64::from(seed), depths[depth % depths.len()])
    })
}

/// The events of a plan without those that happen to `gone`, or are about it.
fn without<'a>(events: &'a [Event], gone: &str) -> Vec<&'a Event> {
    let about = |event: &Event| *event.on == *gone || matches!(&event.action, Action::Revoke { node } if **node == *gone);
    events.iter().filter(|event| !about(event)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn a_plan_comes_back_from_its_file((scenario, seed, depth) in any_plan()) {
        let plan = Plan::expand(&scenario, seed, depth).unwrap();
        let text = plan.to_scenario().to_toml().unwrap();
        let read = Scenario::parse("plan.toml", &text).map_err(|error| TestCaseError::fail(error.to_string()))?;
        prop_assert_eq!(read.seed, seed);
        let again = Plan::expand(&read, seed, depth).unwrap();
        prop_assert_eq!(&again, &plan);
        // Nothing was left to chance: another seed changes nothing but its own number.
        let other = Plan::expand(&read, seed + 1, depth).unwrap();
        prop_assert_eq!(Plan { seed, ..other }, plan);
    }

    #[test]
    fn without_a_node_everything_else_is_as_it_was((scenario, seed, depth) in any_plan(), which in any::<prop::sample::Index>()) {
        let mut scenario = scenario;
        // Who is picked by lot depends on who is there, and nothing else does.
        scenario.event.retain(|source| source.pick.is_none() && source.node.is_none());
        scenario.depth.values_mut().for_each(|limit| limit.nodes = None);
        let whole = Plan::expand(&scenario, seed, depth).unwrap();
        let groups: Vec<usize> = (0..scenario.group.len()).filter(|index| scenario.group[*index].count > 1).collect();
        prop_assume!(!groups.is_empty());
        let group = &mut scenario.group[groups[which.index(groups.len())]];
        let gone = group.name.replace("{n}", &group.count.to_string());
        group.count -= 1;
        let fewer = Plan::expand(&scenario, seed, depth).unwrap();
        prop_assert_eq!(whole.nodes.iter().filter(|node| *node.name != *gone).collect::<Vec<_>>(), fewer.nodes.iter().collect::<Vec<_>>());
        prop_assert_eq!(whole.links.iter().filter(|link| *link.from != *gone).collect::<Vec<_>>(), fewer.links.iter().collect::<Vec<_>>());
        prop_assert_eq!(without(&whole.events, &gone), fewer.events.iter().collect::<Vec<_>>());
        prop_assert_eq!(whole.hubs, fewer.hubs);
    }

    #[test]
    fn without_an_entry_every_other_event_is_as_it_was((scenario, seed, depth) in any_plan(), which in any::<prop::sample::Index>()) {
        let whole = Plan::expand(&scenario, seed, depth).unwrap();
        prop_assume!(!scenario.event.is_empty());
        let mut fewer = scenario.clone();
        let gone = fewer.event.remove(which.index(scenario.event.len()));
        fewer.swarm.keep.clear();
        let plan = Plan::expand(&fewer, seed, depth).unwrap();
        let kinds: Vec<&Event> = plan.events.iter().filter(|event| !whole.events.contains(event)).collect();
        prop_assert!(kinds.is_empty(), "without {gone:?} there is {kinds:?}");
        if !matches!(gone.kind, Kind::Cut | Kind::HubSplit) {
            prop_assert_eq!(&plan.links, &whole.links);
        }
        let alone = Scenario { event: vec![gone], ..fewer };
        let alone = Plan::expand(&alone, seed, depth).unwrap();
        let mut together: Vec<Event> = plan.events.into_iter().chain(alone.events).collect();
        together.sort_unstable();
        together.dedup();
        prop_assert_eq!(together, whole.events);
    }

    #[test]
    fn every_plan_keeps_what_worlds_assume((scenario, seed, depth) in any_plan()) {
        let plan = Plan::expand(&scenario, seed, depth).unwrap();
        prop_assert!(plan.heal_at + plan.heal_within <= plan.duration);
        prop_assert!(plan.events.is_sorted());
        prop_assert!(plan.events.iter().all(|event| event.at < plan.heal_at));
        let mut joined = BTreeMap::new();
        for event in &plan.events {
            if event.action == Action::Join {
                prop_assert!(joined.insert(event.on.clone(), event.at).is_none());
            } else if plan.nodes.iter().any(|node| node.name == event.on) {
                prop_assert!(joined.contains_key(&event.on), "{event:?} before the node joined");
            } else {
                prop_assert!(plan.hubs.iter().any(|hub| hub.name == event.on), "{event:?}");
            }
        }
        prop_assert_eq!(joined.len(), plan.nodes.len());
        for link in &plan.links {
            prop_assert!(link.changes.is_sorted_by(|one, next| one.at < next.at), "{:?}", link);
            prop_assert_eq!(link.changes[0].at, Duration::ZERO);
            let last = link.changes.last().unwrap();
            prop_assert_eq!((last.at, last.state), (plan.heal_at, LinkState::Up));
            prop_assert!(link.changes.iter().all(|change| plan.profiles.contains_key(&change.profile)));
            let unlike = |pair: &[LinkChange]| (pair[0].state, &pair[0].profile) != (pair[1].state, &pair[1].profile);
            prop_assert!(link.changes[..link.changes.len() - 1].windows(2).all(unlike), "{:?}", link);
        }
        let names: Vec<String> = plan.links.iter().map(PlannedLink::name).collect();
        prop_assert!(names.iter().collect::<std::collections::BTreeSet<_>>().len() == names.len());
    }

    #[test]
    fn a_variant_of_a_swarm_is_a_scenario_with_a_plan((scenario, seed, depth) in any_plan()) {
        let variant = randomise(&scenario, seed, depth);
        prop_assert_eq!(variant.check(), Vec::new());
        prop_assert_eq!(&randomise(&scenario, seed, depth), &variant);
        Plan::expand(&variant, seed, depth).map_err(|error| TestCaseError::fail(error.to_string()))?;
    }
}
