//! Deltas that do not fit one frame, and histories that do not fit one delta.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "fleet/world.rs"]
mod world;

use serde_json::json;
use sync_core::limits::{DELTA_BYTES_MAX, PART_BYTES_MAX};

use world::{Fleet, Member, layer_key};

/// A config map of text that does not compress.
fn write_large(fleet: &mut Fleet, hub: Member, bytes: usize, number: usize) {
    let text: String = (0..bytes / 16).map(|_| format!("{:016x}", fleet.entropy.next())).collect();
    fleet.set_field(hub, "base", &format!("data-{number}"), json!(text));
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
    assert!(passed.frames as usize >= 6 * 1024 * 1024 / PART_BYTES_MAX + 3, "{passed:?}");
    assert_eq!(fleet.sync(node, hub).frames, 2);
}

#[test]
fn a_link_that_dies_between_two_parts_leaves_no_part_behind() {
    let mut fleet = Fleet::new(2);
    let (hub, node) = (fleet.hub(), fleet.node());
    large(hub, &mut fleet, 6);
    fleet.release(hub, &["base"]);
    fleet.assign(hub, node, &["base"]);
    for frames in 2..6 {
        fleet.sync_cut_after(node, hub, frames);
        fleet.restart(node);
    }
    // The document has changed by the time the rest comes.
    write_large(&mut fleet, hub, 1024 * 1024, 0);
    fleet.release(hub, &["base"]);
    fleet.sync(node, hub);
    assert_eq!(fleet.state(node, &layer_key("base")), fleet.state(hub, &layer_key("base")));
    assert!(fleet.quarantined(node).is_empty());
    assert_eq!(fleet.sync(node, hub).frames, 2);
}

/// The receiver takes so many bytes in one delta and no more; a longer history comes from frontier to frontier.
#[test]
fn a_history_above_the_bound_of_a_delta_travels_from_frontier_to_frontier() {
    for (seed, cut) in [(3, None), (4, Some(14))] {
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
