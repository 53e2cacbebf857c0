//! Two hubs that wrote one layer apart: whoever catches up is sent each change once.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "fleet/world.rs"]
mod world;

use serde_json::json;
use world::{Fleet, layer_key};

/// What a third hub is sent when two have written so many changes each.
fn catch_up(changes: usize) -> u64 {
    let mut fleet = Fleet::new(1);
    let (one, other, third) = (fleet.hub(), fleet.hub(), fleet.hub());
    fleet.set_field(one, "base", "start", json!(0));
    fleet.sync(other, one);
    fleet.sync(third, one);
    fleet.sync(third, other);
    for number in 0..changes {
        fleet.set_field(one, "base", &format!("a{}", number % 7), json!(number));
        fleet.set_field(other, "base", &format!("b{}", number % 7), json!(number));
    }
    fleet.sync(other, one);
    let passed = fleet.sync(third, one);
    assert_eq!(fleet.state(third, &layer_key("base")), fleet.state(one, &layer_key("base")));
    passed.bytes
}

#[test]
fn a_catch_up_over_two_lines_grows_with_their_changes_and_not_with_their_square() {
    let (short, long) = (catch_up(10), catch_up(40));
    assert!(long < 5 * short, "{short} bytes for 20 changes, {long} for 80");
}
