//! What a hub writes reaches its nodes as far as it was released, what a node reports reaches the hub, and nothing else moves.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "fleet/world.rs"]
mod world;

use serde_json::json;
use sync_core::document::DocumentKey;
use sync_core::replica::{DesiredError, Event};

use world::{Fleet, Member, layer_key, name};

/// A hub with one released layer, and a node that is assigned to it and has it.
fn served(seed: u64) -> (Fleet, Member, Member) {
    let mut fleet = Fleet::new(seed);
    let (hub, node) = (fleet.hub(), fleet.node());
    fleet.write_layer(hub, "base", json!({ "image": "web:1" }));
    fleet.release(hub, &["base"]);
    fleet.assign(hub, node, &["base"]);
    fleet.sync(node, hub);
    (fleet, hub, node)
}

fn image(fleet: &mut Fleet, node: Member) -> serde_json::Value {
    fleet.at(node).desired().unwrap().layers[0].state["objects"]["one"]["image"].clone()
}

#[test]
fn a_node_gets_layers_as_far_as_they_were_released() {
    let (mut fleet, hub, node) = served(1);
    let released = fleet.pin(hub, "base");
    fleet.write_layer(hub, "base", json!({ "image": "web:2" }));
    fleet.write_layer(hub, "other", json!({ "image": "never assigned" }));
    fleet.sync(node, hub);
    assert_eq!(image(&mut fleet, node), "web:1");
    let held = fleet.at(node).read(&layer_key("base")).unwrap().unwrap();
    assert_eq!(held.frontier.frontier().heads, released.heads, "an edit that was not released left the hub");
    assert_eq!(fleet.at(node).read(&layer_key("other")).unwrap(), None);

    fleet.release(hub, &["base"]);
    fleet.sync(node, hub);
    assert_eq!(image(&mut fleet, node), "web:2");
    let id = fleet.id(node);
    assert_eq!(fleet.at(node).desired().unwrap(), fleet.at(hub).desired_of(id).unwrap());
}

#[test]
fn a_release_that_names_an_older_frontier_rolls_back_and_the_next_one_goes_on_from_there() {
    let (mut fleet, hub, node) = served(2);
    let first = fleet.pin(hub, "base");
    fleet.write_layer(hub, "base", json!({ "image": "web:2" }));
    fleet.release(hub, &["base"]);
    fleet.sync(node, hub);
    fleet.release_pins(hub, vec![(name("base"), first)]);
    fleet.sync(node, hub);
    assert_eq!(image(&mut fleet, node), "web:1");
    fleet.write_layer(hub, "base", json!({ "image": "web:3" }));
    fleet.release(hub, &["base"]);
    fleet.sync(node, hub);
    assert_eq!(image(&mut fleet, node), "web:3");
    assert!(fleet.quarantined(node).is_empty());
}

/// Of the entries that a link did not finish, the earlier ones were brought to where the last one pointed: below them, here.
#[test]
fn a_link_that_dies_within_a_rollback_leaves_nothing_that_cannot_be_built_on() {
    for frames in 0..12 {
        let mut fleet = Fleet::new(3);
        let (hub, node) = (fleet.hub(), fleet.node());
        fleet.assign(hub, node, &["base"]);
        fleet.sync(node, hub);
        let mut first = None;
        // Each release on a link of its own of which nothing but the hellos arrives, so that each has its entry.
        for version in 1..=3 {
            fleet.write_layer(hub, "base", json!({ "image": format!("web:{version}") }));
            let pin = fleet.pin(hub, "base");
            first.get_or_insert(pin.clone());
            fleet.release_pins(hub, vec![(name("base"), pin)]);
            fleet.sync_cut_after(node, hub, 1);
        }
        fleet.release_pins(hub, vec![(name("base"), first.unwrap())]);
        fleet.sync_cut_after(node, hub, frames);
        fleet.write_layer(hub, "base", json!({ "image": "web:4" }));
        fleet.release(hub, &["base"]);
        fleet.sync(node, hub);
        assert_eq!(image(&mut fleet, node), "web:4", "after {frames} frames");
        assert!(fleet.quarantined(node).is_empty(), "after {frames} frames: {:?}", fleet.quarantined(node));
    }
}

/// The link dies between a layer and the release that names it; then both move on, and the newer release comes first.
#[test]
fn a_release_whose_layers_have_not_come_leaves_the_last_whole_one_in_force() {
    let mut waited = 0;
    for (first, second) in (2..8).flat_map(|first| (2..8).map(move |second| (first, second))) {
        let (mut fleet, hub, node) = served(4);
        fleet.write_layer(hub, "base", json!({ "image": "web:2" }));
        fleet.release(hub, &["base"]);
        fleet.sync_cut_after(node, hub, first);
        let before = fleet.at(node).desired().unwrap();
        fleet.write_layer(hub, "base", json!({ "image": "web:3" }));
        fleet.release(hub, &["base"]);
        fleet.sync_cut_after(node, hub, second);
        fleet.restart(node);
        let desired = fleet.at(node).desired().unwrap();
        if desired.waiting.is_some() {
            waited += 1;
            assert_eq!((&desired.release, &desired.layers), (&before.release, &before.layers));
        }
        fleet.sync(node, hub);
        assert_eq!(image(&mut fleet, node), "web:3");
        assert_eq!(fleet.at(node).desired().unwrap().waiting, None);
    }
    assert!(waited > 0, "no cut fell between the release and its layer");
}

#[test]
fn a_node_without_an_assignment_says_so() {
    let mut fleet = Fleet::new(5);
    let (hub, node) = (fleet.hub(), fleet.node());
    fleet.sync(node, hub);
    assert!(matches!(fleet.at(node).desired(), Err(DesiredError::NotAssigned)));
}

#[test]
fn many_reports_without_a_link_become_one_change() {
    let (mut fleet, hub, node) = served(6);
    for number in 0..50 {
        fleet.report(node, json!({ "web": { "ready": number } }));
    }
    fleet.sync(node, hub);
    assert_eq!(fleet.observed(hub, node), json!({ "web": { "ready": 49 } }));
    let key = DocumentKey::observed(fleet.id(node));
    let changes = fleet.at(hub).inspect(|tx| tx.chunks(tx.document(key.id())?.unwrap().row, 0)).unwrap();
    assert_eq!(changes.len(), 2, "the genesis and one change");
}

#[test]
fn a_report_over_a_live_link_travels_at_once() {
    let (mut fleet, hub, node) = served(7);
    fleet.link(node, hub);
    fleet.run();
    fleet.report(node, json!({ "web": { "ready": 1 } }));
    fleet.run();
    assert_eq!(fleet.observed(hub, node), json!({ "web": { "ready": 1 } }));
    assert_eq!(fleet.count(hub, |event| matches!(event, Event::Changed(_))), 4);
}

/// Between the two hellos a link is up and nothing is compared yet; what is written then must not wait for the next write.
#[test]
fn what_is_written_while_the_hellos_are_under_way_travels_on_this_link() {
    for frames in 0..2 {
        let (mut fleet, hub, node) = served(8);
        fleet.link(node, hub);
        (0..frames).for_each(|_| assert!(fleet.step()));
        fleet.write_layer(hub, "base", json!({ "image": "web:2" }));
        fleet.release(hub, &["base"]);
        fleet.report(node, json!({ "web": { "ready": 1 } }));
        fleet.run();
        assert_eq!(image(&mut fleet, node), "web:2");
        assert_eq!(fleet.observed(hub, node), json!({ "web": { "ready": 1 } }));
    }
}

#[test]
fn both_sides_are_told_once_when_a_conversation_is_through() {
    let (mut fleet, hub, node) = served(9);
    for layer in 0..20 {
        fleet.write_layer(hub, &format!("layer-{layer}"), json!({ "number": layer }));
    }
    let names: Vec<String> = (0..20).map(|layer| format!("layer-{layer}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    fleet.release(hub, &names);
    fleet.assign(hub, node, &names);
    fleet.events.clear();
    fleet.sync(node, hub);
    for member in [hub, node] {
        assert_eq!(fleet.count(member, |event| matches!(event, Event::Synced(_))), 1);
    }
}
