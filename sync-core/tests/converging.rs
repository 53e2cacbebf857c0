//! Random histories of writes, cuts, restarts and reconnects: in the end everyone holds what they should.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "fleet/world.rs"]
mod world;

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::json;
use sync_core::document::DocumentKey;
use sync_core::document::generation::CutPolicy;
use sync_core::document::{json as document_json, materialise};
use sync_core::replica::Event;
use sync_core::store::StoreError;

use world::{Fleet, Member, layer_key, name};

#[derive(Debug, Clone)]
enum Step {
    /// A field of a layer becomes a number, at this hub.
    Layer {
        hub: usize,
        layer: usize,
        field: usize,
        value: u32,
    },
    /// The layers are released as they stand.
    Release {
        hub: usize,
    },
    /// One layer is released as it stood so many frontiers ago.
    Rollback {
        layer: usize,
        back: usize,
    },
    Assign {
        count: usize,
    },
    Report {
        value: u32,
    },
    /// A link comes up; after so many frames it dies.
    Cut {
        link: usize,
        frames: u64,
    },
    /// It lives until nothing is under way.
    Sync {
        link: usize,
    },
    /// A link that stays while other things happen.
    Link {
        link: usize,
    },
    Deliver {
        frames: u64,
    },
    Restart {
        member: usize,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..2usize, 0..3usize, 0..3usize, 0..100u32)
            .prop_map(|(hub, layer, field, value)| Step::Layer { hub, layer, field, value }),
        2 => (0..2usize).prop_map(|hub| Step::Release { hub }),
        1 => (0..3usize, 0..4usize).prop_map(|(layer, back)| Step::Rollback { layer, back }),
        1 => (1..4usize).prop_map(|count| Step::Assign { count }),
        2 => (0..100u32).prop_map(|value| Step::Report { value }),
        3 => (0..4usize, 0..14u64).prop_map(|(link, frames)| Step::Cut { link, frames }),
        1 => (0..4usize).prop_map(|link| Step::Sync { link }),
        1 => (0..4usize).prop_map(|link| Step::Link { link }),
        2 => (1..8u64).prop_map(|frames| Step::Deliver { frames }),
        1 => (0..4usize).prop_map(|member| Step::Restart { member }),
    ];
    prop::collection::vec(step, 1..40)
}

const LAYERS: [&str; 3] = ["base", "north", "shop"];

/// One or two hubs, and a node.
struct World {
    fleet: Fleet,
    hubs: Vec<Member>,
    node: Member,
    released: BTreeMap<usize, Vec<sync_core::state::desired::LayerPin>>,
    reported: Option<u32>,
}

impl World {
    fn new(seed: u64, hubs: usize, policy: CutPolicy) -> Self {
        let mut fleet = Fleet::new(seed);
        fleet.policy = policy;
        let hubs: Vec<Member> = (0..hubs).map(|_| fleet.hub()).collect();
        let node = fleet.node();
        let everyone: Vec<Member> = hubs.iter().copied().chain([node]).collect();
        for at in &everyone {
            everyone.iter().filter(|other| *other != at).for_each(|other| fleet.introduce(*at, *other));
        }
        fleet.home(hubs[0], hubs[0]);
        Self { fleet, hubs, node, released: BTreeMap::new(), reported: None }
    }

    fn hub(&self, number: usize) -> Member {
        self.hubs[number % self.hubs.len()]
    }

    /// Node to first hub, first hub to second, second to first, node to second.
    fn ends(&self, link: usize) -> (Member, Member) {
        match (link, self.hubs.as_slice()) {
            (0 | 3, [hub]) => (self.node, *hub),
            (_, [hub]) => (*hub, self.node),
            (0, [a, ..]) => (self.node, *a),
            (1, [a, b, ..]) => (*a, *b),
            (2, [a, b, ..]) => (*b, *a),
            (_, [_, b, ..]) => (self.node, *b),
            (_, []) => unreachable!("there is a hub"),
        }
    }

    fn carry_out(&mut self, step: &Step) {
        self.fleet.seconds += 1;
        match *step {
            Step::Layer { hub, layer, field, value } => {
                let hub = self.hub(hub);
                self.fleet.set_field(hub, LAYERS[layer], &format!("field-{field}"), json!(value));
            }
            Step::Release { hub } => {
                let hub = self.hub(hub);
                let held: Vec<&str> = self.held(hub);
                for layer in &held {
                    let pin = self.fleet.pin(hub, layer);
                    let number = LAYERS.iter().position(|name| name == layer).unwrap();
                    self.released.entry(number).or_default().push(pin);
                }
                self.fleet.release(hub, &held);
            }
            Step::Rollback { layer, back } => {
                let pins = self.released.get(&layer).cloned().unwrap_or_default();
                let hub = self.hub(0);
                if let Some(pin) = pins.iter().rev().nth(back)
                    && self.holds(hub, layer, pin)
                {
                    self.fleet.release_pins(hub, vec![(name(LAYERS[layer]), pin.clone())]);
                }
            }
            Step::Assign { count } => {
                let (hub, node) = (self.hub(0), self.node);
                self.fleet.assign(hub, node, &LAYERS[..count]);
            }
            Step::Report { value } => {
                self.fleet.report(self.node, json!({ "web": { "ready": value } }));
                self.reported = Some(value);
            }
            Step::Cut { link, frames } => {
                let (dialer, acceptor) = self.ends(link);
                self.fleet.sync_cut_after(dialer, acceptor, frames);
            }
            Step::Sync { link } => {
                let (dialer, acceptor) = self.ends(link);
                self.fleet.sync(dialer, acceptor);
            }
            Step::Link { link } => {
                let (dialer, acceptor) = self.ends(link);
                self.fleet.link(dialer, acceptor);
            }
            Step::Deliver { frames } => (0..frames).for_each(|_| {
                self.fleet.step();
            }),
            Step::Restart { member } => {
                let member = if member == 0 { self.node } else { self.hub(member) };
                self.fleet.restart(member);
            }
        }
    }

    fn held(&mut self, hub: Member) -> Vec<&'static str> {
        let held = |layer: &&str| self.fleet.at(hub).read(&layer_key(layer)).unwrap().is_some();
        LAYERS.into_iter().filter(held).collect()
    }

    fn holds(&mut self, hub: Member, layer: usize, pin: &sync_core::state::desired::LayerPin) -> bool {
        let id = layer_key(LAYERS[layer]).id();
        let found = self.fleet.at(hub).inspect(|tx| {
            let Some(document) = tx.document(id)? else { return Ok(None) };
            tx.find_frontier(document.row, pin.generation, &pin.heads)
        });
        let found: Result<_, StoreError> = found;
        found.unwrap().is_some_and(|row| row.held)
    }

    fn settle(&mut self) {
        self.fleet.cut_all();
        for _ in 0..3 {
            for link in 0..4 {
                let (dialer, acceptor) = self.ends(link);
                self.fleet.sync(dialer, acceptor);
            }
        }
    }

    fn check(&mut self) {
        let node = self.node;
        for hub in self.hubs.clone() {
            assert!(self.fleet.quarantined(hub).is_empty(), "{:?}", self.fleet.quarantined(hub));
            let expected = self.reported.map_or(json!(null), |value| json!({ "web": { "ready": value } }));
            assert_eq!(self.fleet.observed(hub, node), expected);
            assert_eq!(self.fleet.views(self.hubs[0]), self.fleet.views(hub));
            let id = self.fleet.id(node);
            match (self.fleet.at(hub).desired_of(id), self.fleet.at(node).desired()) {
                (Ok(wanted), Ok(found)) => assert_eq!(wanted, found),
                (Err(wanted), Err(found)) => assert_eq!(wanted.to_string(), found.to_string()),
                // The hub cannot say what the node is to run: a layer that was never released. The node stays with the last.
                (Err(wanted), Ok(found)) => assert_eq!(found.waiting, Some(wanted.to_string())),
                (Ok(wanted), Err(found)) => panic!("{wanted:?} is wanted, the node has {found}"),
            }
        }
        assert!(self.fleet.quarantined(node).is_empty(), "{:?}", self.fleet.quarantined(node));
        let everyone: Vec<Member> = self.hubs.iter().copied().chain([node]).collect();
        for member in everyone {
            assert_eq!(self.fleet.count(member, |event| matches!(event, Event::Diverged(_))), 0);
        }
        // And then nothing is left to say.
        for link in 0..4 {
            let (dialer, acceptor) = self.ends(link);
            assert_eq!(self.fleet.sync(dialer, acceptor).frames, 2);
        }
    }
}

/// A generation ends with almost every write.
const EAGER: CutPolicy = CutPolicy {
    changes: 3,
    actors: 64,
    log_ratio: 1000,
    log_bytes_min: 1 << 20,
    log_bytes_max: u64::MAX,
    log_operations: u64::MAX,
};

fn run(seed: u64, hubs: usize, policy: CutPolicy, steps: &[Step]) {
    let mut world = World::new(seed, hubs, policy);
    steps.iter().for_each(|step| world.carry_out(step));
    world.settle();
    world.check();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_hub_and_a_node_agree_in_the_end(seed in any::<u64>(), steps in steps()) {
        run(seed, 1, CutPolicy::default(), &steps);
    }

    #[test]
    fn two_hubs_and_a_node_of_both_agree_in_the_end(seed in any::<u64>(), steps in steps()) {
        run(seed, 2, CutPolicy::default(), &steps);
    }

    #[test]
    fn a_hub_and_a_node_that_cut_their_histories_agree_in_the_end(seed in any::<u64>(), steps in steps()) {
        run(seed, 1, EAGER, &steps);
    }

    #[test]
    fn two_hubs_of_which_one_cuts_histories_agree_in_the_end(seed in any::<u64>(), steps in steps()) {
        run(seed, 2, EAGER, &steps);
    }
}

fn conflicts(fleet: &mut Fleet, hub: Member, key: &DocumentKey) -> Vec<document_json::Conflict> {
    let chunks = fleet.at(hub).inspect(|tx| tx.chunks(tx.document(key.id())?.unwrap().row, 0)).unwrap();
    document_json::conflicts(&materialise::load(&chunks, None).unwrap(), None).unwrap()
}

#[test]
fn hubs_that_edit_different_fields_at_the_same_time_merge_without_another_write() {
    let mut fleet = Fleet::new(1);
    let (a, b) = (fleet.hub(), fleet.hub());
    fleet.write_layer(a, "base", json!({ "image": "web:1" }));
    fleet.sync(a, b);
    fleet.set_field(a, "base", "image", json!("web:2"));
    fleet.set_field(b, "base", "replicas", json!(3));
    let passed = fleet.sync(a, b);
    let merged = json!({ "objects": { "one": { "image": "web:2", "replicas": 3 } } });
    for hub in [a, b] {
        assert_eq!(fleet.state(hub, &layer_key("base")), merged);
    }
    assert!(passed.frames < 20, "{passed:?}");
    assert_eq!(fleet.views(a), fleet.views(b));
    assert_eq!(fleet.sync(b, a).frames, 2, "the hubs answer each other's merges");
}

#[test]
fn hubs_that_edit_one_field_at_the_same_time_show_both_values_until_someone_decides() {
    let mut fleet = Fleet::new(2);
    let (a, b) = (fleet.hub(), fleet.hub());
    let key = layer_key("base");
    fleet.write_layer(a, "base", json!({ "image": "web:1" }));
    fleet.sync(a, b);
    fleet.set_field(a, "base", "image", json!("web:2"));
    fleet.set_field(b, "base", "image", json!("web:3"));
    fleet.sync(a, b);
    assert_eq!(fleet.views(a), fleet.views(b));
    let found = conflicts(&mut fleet, a, &key);
    assert_eq!(found.len(), 1);
    assert_eq!(found, conflicts(&mut fleet, b, &key));
    let mut values: Vec<String> = found[0].values.iter().map(ToString::to_string).collect();
    values.sort();
    assert_eq!(values, ["\"web:2\"", "\"web:3\""]);
    fleet.set_field(b, "base", "image", json!("web:4"));
    fleet.sync(a, b);
    assert!(conflicts(&mut fleet, a, &key).is_empty());
    assert_eq!(fleet.state(a, &key)["objects"]["one"]["image"], "web:4");
}

/// What nodes follow is merged by the first hub that holds both sides, and a node changes only then.
#[test]
fn a_node_of_two_hubs_waits_for_the_merge_and_carries_one_hub_s_word_to_the_other() {
    let mut fleet = Fleet::new(3);
    let (a, b, node) = (fleet.hub(), fleet.hub(), fleet.node());
    for (at, other) in [(a, b), (b, a), (node, a), (node, b), (a, node), (b, node)] {
        fleet.introduce(at, other);
    }
    fleet.write_layer(a, "base", json!({ "image": "web:1" }));
    fleet.release(a, &["base"]);
    fleet.assign(a, node, &["base"]);
    fleet.sync(a, b);
    fleet.sync(node, a);
    fleet.write_layer(a, "north", json!({ "image": "north:1" }));
    fleet.release(a, &["north"]);
    fleet.write_layer(b, "shop", json!({ "image": "shop:1" }));
    fleet.release(b, &["shop"]);
    fleet.sync(node, a);
    let before = fleet.at(node).desired().unwrap();
    // The hubs never meet: the node brings the release of the one to the other, which merges.
    fleet.sync(node, b);
    fleet.sync(node, b);
    let after = fleet.at(node).desired().unwrap();
    assert_ne!(before.release, after.release);
    let state = fleet.state(node, &world::release_key());
    let names: Vec<&String> = state["layers"].as_object().unwrap().keys().collect();
    assert_eq!(names, ["base", "north", "shop"]);
}

#[test]
fn three_hubs_in_a_ring_come_to_rest() {
    let mut fleet = Fleet::new(4);
    let hubs = [fleet.hub(), fleet.hub(), fleet.hub()];
    for at in hubs {
        hubs.iter().filter(|other| **other != at).for_each(|other| fleet.introduce(at, *other));
    }
    for (number, hub) in hubs.into_iter().enumerate() {
        fleet.write_layer(hub, "base", json!({ format!("field-{number}"): number }));
    }
    for number in 0..3 {
        fleet.link(hubs[number], hubs[(number + 1) % 3]);
    }
    fleet.run();
    for round in 0..5 {
        for (number, hub) in hubs.into_iter().enumerate() {
            fleet.set_field(hub, "base", &format!("field-{number}"), json!(round));
        }
        fleet.run();
    }
    for hub in hubs {
        let merged = json!({ "field-0": 4, "field-1": 4, "field-2": 4 });
        assert_eq!(fleet.state(hub, &layer_key("base"))["objects"]["one"], merged);
        assert_eq!(fleet.views(hubs[0]), fleet.views(hub));
        assert!(fleet.quarantined(hub).is_empty());
    }
}
