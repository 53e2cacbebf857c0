//! Deltas that do not fit one frame, and histories that do not fit one delta.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "fleet/world.rs"]
mod world;

use proptest::prelude::*;
use serde_json::json;
use sync_core::limits::{DELTA_BYTES_MAX, PART_BYTES_MAX};

use world::{Fleet, Member, layer_key};

/// A config map of text that does not compress.
fn write_large(fleet: &mut Fleet, hub: Member, bytes: usize, number: usize) {
    let text: String = (0..bytes / 16).map(|_| format!("{:016x}", fleet.entropy.next())).collect();
    fleet.set_field(hub, "base", &format!("data-{number}"), json!(text));
}

fn staged(fleet: &mut Fleet, at: Member) -> u64 {
    fleet.at(at).inspect(|tx| tx.staged_bytes()).unwrap()
}

fn large(hub: Member, fleet: &mut Fleet, count: usize) {
    (0..count).for_each(|number| write_large(fleet, hub, 1024 * 1024, number));
}

#[test]
fn a_delta_above_the_bound_of_a_part_travels_in_parts() {
    let mut fleet = Fleet::new(1);
    let (hub, node) = (fleet.hub(), fleet.node());
    large(hub, &mut fleet, 6);
    fleet.release(hub, &["base"]);
    fleet.assign(hub, node, &["base"]);
    let passed = fleet.sync(node, hub);
    assert_eq!(fleet.state(node, &layer_key("base")), fleet.state(hub, &layer_key("base")));
    // Hexadecimal digits pack to half.
    let parts = passed.bytes / PART_BYTES_MAX as u64;
    assert!(parts >= 3 * 1024 * 1024 / PART_BYTES_MAX as u64 && passed.frames > parts, "{passed:?}");
    assert!(passed.bytes < 4 * 1024 * 1024, "{passed:?}");
    assert_eq!(staged(&mut fleet, node), 0);
    assert_eq!(fleet.sync(node, hub).frames, 2);
}

#[test]
fn a_transfer_that_is_cut_goes_on_where_it_was() {
    let mut fleet = Fleet::new(2);
    let (hub, node) = (fleet.hub(), fleet.node());
    large(hub, &mut fleet, 6);
    fleet.release(hub, &["base"]);
    fleet.assign(hub, node, &["base"]);
    let mut held = 0;
    let before = fleet.passed.bytes;
    for frames in 12..20 {
        fleet.sync_cut_after(node, hub, frames);
        fleet.restart(if frames % 2 == 0 { node } else { hub });
        let now = staged(&mut fleet, node);
        assert!(now > held, "{now} after {held}");
        held = now;
    }
    fleet.sync(node, hub);
    let bytes = fleet.passed.bytes - before;
    assert!(bytes < 3_700_000, "{bytes} bytes: something was sent again");
    assert_eq!(fleet.state(node, &layer_key("base")), fleet.state(hub, &layer_key("base")));
    assert_eq!(staged(&mut fleet, node), 0);
    assert_eq!(fleet.sync(node, hub).frames, 2);
}

#[test]
fn a_transfer_of_a_document_that_has_changed_starts_over() {
    let mut fleet = Fleet::new(5);
    let (hub, node) = (fleet.hub(), fleet.node());
    large(hub, &mut fleet, 2);
    fleet.release(hub, &["base"]);
    fleet.assign(hub, node, &["base"]);
    fleet.sync_cut_after(node, hub, 20);
    assert!(staged(&mut fleet, node) > 0);
    write_large(&mut fleet, hub, 1024 * 1024, 0);
    fleet.release(hub, &["base"]);
    fleet.sync(node, hub);
    assert_eq!(fleet.state(node, &layer_key("base")), fleet.state(hub, &layer_key("base")));
    assert!(fleet.quarantined(node).is_empty());
    assert_eq!(staged(&mut fleet, node), 0);
    assert_eq!(fleet.sync(node, hub).frames, 2);
}

/// The receiver takes so many bytes in one delta and no more; a longer history comes from frontier to frontier.
#[test]
fn a_history_above_the_bound_of_a_delta_travels_from_frontier_to_frontier() {
    for (seed, cut) in [(3, None), (4, Some(60))] {
        let mut fleet = Fleet::new(seed);
        let (hub, node) = (fleet.hub(), fleet.node());
        // The last state is small; what led to it is not.
        let count = DELTA_BYTES_MAX / (1024 * 1024) + 10;
        (0..count).for_each(|number| write_large(&mut fleet, hub, 1024 * 1024, number % 2));
        fleet.release(hub, &["base"]);
        fleet.assign(hub, node, &["base"]);
        if let Some(frames) = cut {
            fleet.sync_cut_after(node, hub, frames);
        }
        fleet.sync(node, hub);
        assert!(fleet.quarantined(node).is_empty(), "{:?}", fleet.quarantined(node));
        assert_eq!(fleet.state(node, &layer_key("base")), fleet.state(hub, &layer_key("base")));
        assert_eq!(fleet.sync(node, hub).frames, 2);
    }
}

/// Each link carries less than one delta: a long history needs many, and each goes on from the last frontier that arrived.
#[test]
fn a_long_history_arrives_over_links_that_do_not_live_long_enough_for_one_delta() {
    let mut fleet = Fleet::new(6);
    let (hub, node) = (fleet.hub(), fleet.node());
    let count = 2 * DELTA_BYTES_MAX / (1024 * 1024) + 4;
    (0..count).for_each(|number| write_large(&mut fleet, hub, 1024 * 1024, number % 2));
    fleet.release(hub, &["base"]);
    fleet.assign(hub, node, &["base"]);
    let before = fleet.passed.bytes;
    let mut links = 0;
    while fleet.at(node).desired().is_err() {
        fleet.sync_cut_after(node, hub, 160);
        fleet.restart(if links % 2 == 0 { node } else { hub });
        links += 1;
        assert!(links < 60, "it does not arrive");
    }
    let bytes = fleet.passed.bytes - before;
    let packed = (count * 1024 * 1024 / 2) as u64;
    assert!(bytes < packed * 6 / 5, "{bytes} of {packed}");
    fleet.sync(node, hub);
    assert!(fleet.quarantined(node).is_empty());
    assert_eq!(fleet.state(node, &layer_key("base")), fleet.state(hub, &layer_key("base")));
}

#[derive(Debug, Clone)]
enum Step {
    Write { layer: usize, kilobytes: usize },
    Release,
    Assign { count: usize },
    Report { kilobytes: usize },
    Cut { frames: u64 },
    Link,
    Deliver { frames: u64 },
    Restart { hub: bool },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (0..3usize, prop_oneof![Just(1usize), Just(40), Just(150)])
            .prop_map(|(layer, kilobytes)| Step::Write { layer, kilobytes }),
        2 => Just(Step::Release),
        1 => (1..4usize).prop_map(|count| Step::Assign { count }),
        1 => prop_oneof![Just(1usize), Just(100)].prop_map(|kilobytes| Step::Report { kilobytes }),
        4 => (0..24u64).prop_map(|frames| Step::Cut { frames }),
        1 => Just(Step::Link),
        2 => (1..12u64).prop_map(|frames| Step::Deliver { frames }),
        1 => any::<bool>().prop_map(|hub| Step::Restart { hub }),
    ];
    prop::collection::vec(step, 1..30)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn cuts_between_any_frames_lose_nothing(seed in any::<u64>(), steps in steps()) {
        const LAYERS: [&str; 3] = ["base", "north", "shop"];
        let mut fleet = Fleet::new(seed);
        let (hub, node) = (fleet.hub(), fleet.node());
        fleet.introduce(hub, node);
        LAYERS.iter().for_each(|layer| fleet.write_layer(hub, layer, json!({})));
        fleet.release(hub, &LAYERS);
        fleet.assign(hub, node, &LAYERS);
        let text = |fleet: &mut Fleet, kilobytes: usize| -> String {
            (0..kilobytes * 64).map(|_| format!("{:016x}", fleet.entropy.next())).collect()
        };
        for step in &steps {
            match *step {
                Step::Write { layer, kilobytes } => {
                    let text = text(&mut fleet, kilobytes);
                    fleet.set_field(hub, LAYERS[layer], &format!("data-{kilobytes}"), json!(text));
                }
                Step::Release => fleet.release(hub, &LAYERS),
                Step::Assign { count } => fleet.assign(hub, node, &LAYERS[..count]),
                Step::Report { kilobytes } => {
                    let text = text(&mut fleet, kilobytes);
                    fleet.report(node, json!({ "web": text }));
                }
                Step::Cut { frames } => fleet.sync_cut_after(node, hub, frames),
                Step::Link => fleet.link(node, hub),
                Step::Deliver { frames } => (0..frames).for_each(|_| {
                    fleet.step();
                }),
                Step::Restart { hub: true } => fleet.restart(hub),
                Step::Restart { hub: false } => fleet.restart(node),
            }
        }
        fleet.cut_all();
        fleet.sync(node, hub);
        let id = fleet.id(node);
        prop_assert_eq!(fleet.at(node).desired().unwrap(), fleet.at(hub).desired_of(id).unwrap());
        prop_assert_eq!(fleet.observed(hub, node), fleet.observed(node, node));
        for member in [hub, node] {
            prop_assert!(fleet.quarantined(member).is_empty(), "{:?}", fleet.quarantined(member));
        }
        prop_assert_eq!(fleet.sync(node, hub).frames, 2);
    }
}
