//! Machines that lose their past: wiped, or set back to an older copy of their folder (decision D4), with links that die on
//! the way. Who is told apart from whom, and what it costs, is in `forks.rs`.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "fleet/world.rs"]
mod world;

use serde_json::json;
use sync_core::replica::Event;

use world::{Fleet, Member, layer_key, release_key};

fn diverged(fleet: &Fleet, at: Member) -> usize {
    fleet.count(at, |event| matches!(event, Event::Diverged(_)))
}

fn image(fleet: &mut Fleet, node: Member) -> serde_json::Value {
    fleet.at(node).desired().unwrap().layers[0].state["objects"]["one"]["image"].clone()
}

fn release(fleet: &mut Fleet, hub: Member, image: &str) {
    fleet.write_layer(hub, "base", json!({ "image": image }));
    fleet.release(hub, &["base"]);
}

/// A hub and a node that have talked twice.
fn served(seed: u64) -> (Fleet, Member, Member) {
    let mut fleet = Fleet::new(seed);
    let (hub, node) = (fleet.hub(), fleet.node());
    fleet.assign(hub, node, &["base"]);
    for version in 1..=2 {
        release(&mut fleet, hub, &format!("web:{version}"));
        fleet.report(node, json!({ "web": { "ready": version } }));
        fleet.sync(node, hub);
    }
    (fleet, hub, node)
}

/// After at most two more conversations there is nothing left to say, and nobody starts over again.
fn comes_to_rest(fleet: &mut Fleet, node: Member, hub: Member) {
    fleet.sync(node, hub);
    fleet.sync(node, hub);
    let forks = (fleet.peer_row(hub, node).forks, fleet.peer_row(node, hub).forks);
    for _ in 0..3 {
        assert_eq!(fleet.sync(node, hub).frames, 2);
    }
    assert_eq!((fleet.peer_row(hub, node).forks, fleet.peer_row(node, hub).forks), forks);
}

#[test]
fn a_wiped_node_gets_everything_again_and_its_reports_count() {
    let (mut fleet, hub, node) = served(1);
    fleet.wipe(node);
    fleet.report(node, json!({ "web": { "ready": "new" } }));
    fleet.sync(node, hub);
    assert_eq!(image(&mut fleet, node), "web:2");
    assert_eq!((diverged(&fleet, hub), diverged(&fleet, node)), (1, 1));
    assert_eq!(fleet.peer_row(hub, node).forks, 1);
    comes_to_rest(&mut fleet, node, hub);
    assert_eq!(fleet.observed(hub, node), json!({ "web": { "ready": "new" } }));
    assert_eq!(fleet.observed(node, node), json!({ "web": { "ready": "new" } }));
    release(&mut fleet, hub, "web:3");
    fleet.report(node, json!({ "web": { "ready": "newer" } }));
    fleet.sync(node, hub);
    assert_eq!(image(&mut fleet, node), "web:3");
    assert_eq!(fleet.observed(hub, node), json!({ "web": { "ready": "newer" } }));
}

#[test]
fn a_wiped_node_whose_links_keep_dying_gets_there() {
    for frames in 0..10 {
        let (mut fleet, hub, node) = served(2);
        fleet.wipe(node);
        fleet.sync_cut_after(node, hub, frames);
        fleet.report(node, json!({ "web": { "ready": "new" } }));
        fleet.sync_cut_after(node, hub, frames);
        comes_to_rest(&mut fleet, node, hub);
        assert_eq!(image(&mut fleet, node), "web:2");
        assert_eq!(fleet.observed(hub, node), json!({ "web": { "ready": "new" } }));
    }
}

#[test]
fn a_node_set_back_to_an_older_copy_catches_up_and_its_reports_count() {
    let (mut fleet, hub, node) = served(3);
    let copy = fleet.backup(node);
    release(&mut fleet, hub, "web:3");
    fleet.report(node, json!({ "web": { "ready": 3 } }));
    fleet.sync(node, hub);
    fleet.restore(node, &copy);
    assert_eq!(image(&mut fleet, node), "web:2");
    fleet.report(node, json!({ "web": { "ready": "again" } }));
    fleet.sync(node, hub);
    assert_eq!(image(&mut fleet, node), "web:3");
    assert!(diverged(&fleet, hub) > 0);
    assert_eq!(fleet.count(node, |event| matches!(event, Event::NewIncarnation(2))), 1);
    comes_to_rest(&mut fleet, node, hub);
    assert_eq!(fleet.observed(hub, node), json!({ "web": { "ready": "again" } }));
}

#[test]
fn a_node_set_back_while_it_has_nothing_to_report_is_seen_by_its_cursor() {
    let (mut fleet, hub, node) = served(4);
    let copy = fleet.backup(node);
    release(&mut fleet, hub, "web:3");
    fleet.sync(node, hub);
    fleet.restore(node, &copy);
    fleet.sync(node, hub);
    assert_eq!(image(&mut fleet, node), "web:3");
    assert_eq!(diverged(&fleet, hub), 1);
    comes_to_rest(&mut fleet, node, hub);
}

#[test]
fn a_hub_set_back_that_writes_past_its_head_is_brought_forward_by_its_node() {
    let (mut fleet, hub, node) = served(5);
    let copy = fleet.backup(hub);
    release(&mut fleet, hub, "web:3");
    fleet.report(node, json!({ "web": { "ready": 3 } }));
    fleet.sync(node, hub);
    fleet.restore(hub, &copy);
    fleet.set_field(hub, "base", "replicas", json!(5));
    fleet.release(hub, &["base"]);
    fleet.sync(node, hub);
    assert!(diverged(&fleet, hub) == 1 && diverged(&fleet, node) == 1);
    comes_to_rest(&mut fleet, node, hub);
    // The node had web:3 and keeps it until a hub that holds both has signed: here its own hub, which the node told.
    let merged = json!({ "image": "web:3", "replicas": 5 });
    assert_eq!(fleet.state(hub, &layer_key("base"))["objects"]["one"], merged);
    assert_eq!(fleet.observed(hub, node), json!({ "web": { "ready": 3 } }));
    // Both releases name one layer frontier in one field: a conflict of which one value is shown. The next release decides.
    fleet.release(hub, &["base"]);
    comes_to_rest(&mut fleet, node, hub);
    assert_eq!(fleet.at(node).desired().unwrap().layers[0].state["objects"]["one"], merged);
    assert_eq!(fleet.state(node, &release_key()), fleet.state(hub, &release_key()));
}

#[test]
fn a_hub_set_back_that_writes_nothing_gets_back_from_its_node_what_it_forgot() {
    let (mut fleet, hub, node) = served(6);
    let copy = fleet.backup(hub);
    release(&mut fleet, hub, "web:3");
    fleet.report(node, json!({ "web": { "ready": 3 } }));
    fleet.sync(node, hub);
    fleet.restore(hub, &copy);
    comes_to_rest(&mut fleet, node, hub);
    assert_eq!(image(&mut fleet, node), "web:3");
    assert_eq!(fleet.observed(hub, node), json!({ "web": { "ready": 3 } }), "the hub has back what the node wrote");
    assert_eq!(fleet.state(hub, &layer_key("base"))["objects"]["one"]["image"], "web:3");
}

/// Each link dies after some frames, and so does the hub; what the node has begun to give back is not forgotten.
#[test]
fn a_hub_set_back_whose_links_keep_dying_is_brought_forward() {
    for frames in 0..14 {
        let (mut fleet, hub, node) = served(10);
        let copy = fleet.backup(hub);
        for version in 3..=5 {
            release(&mut fleet, hub, &format!("web:{version}"));
            fleet.report(node, json!({ "web": { "ready": version } }));
            fleet.sync(node, hub);
        }
        fleet.restore(hub, &copy);
        for turn in 0..4 {
            fleet.sync_cut_after(node, hub, frames);
            fleet.restart(if turn % 2 == 0 { hub } else { node });
        }
        comes_to_rest(&mut fleet, node, hub);
        let shown = &fleet.state(hub, &layer_key("base"))["objects"]["one"]["image"];
        assert_eq!(shown, "web:5", "links of {frames} frames");
        assert_eq!(fleet.observed(hub, node), json!({ "web": { "ready": 5 } }), "links of {frames} frames");
    }
}

#[test]
fn a_hub_set_back_gets_everything_from_another_hub() {
    let mut fleet = Fleet::new(7);
    let (a, b) = (fleet.hub(), fleet.hub());
    fleet.write_layer(a, "base", json!({ "image": "web:1" }));
    fleet.sync(a, b);
    let copy = fleet.backup(a);
    fleet.set_field(a, "base", "image", json!("web:2"));
    fleet.write_layer(a, "more", json!({ "image": "more:1" }));
    fleet.sync(a, b);
    for writes in [false, true] {
        fleet.restore(a, &copy);
        if writes {
            fleet.set_field(a, "base", "replicas", json!(5));
        }
        fleet.sync(a, b);
        comes_to_rest(&mut fleet, a, b);
        assert_eq!(fleet.state(a, &layer_key("base"))["objects"]["one"]["image"], "web:2");
        assert_eq!(fleet.state(a, &layer_key("more"))["objects"]["one"]["image"], "more:1");
        assert_eq!(fleet.views(a), fleet.views(b));
    }
}

#[test]
fn a_wiped_hub_gets_everything_from_another_hub() {
    let mut fleet = Fleet::new(8);
    let (a, b) = (fleet.hub(), fleet.hub());
    for version in 1..=3 {
        fleet.write_layer(a, "base", json!({ "image": format!("web:{version}") }));
        fleet.release(a, &["base"]);
        fleet.sync(a, b);
    }
    let views = fleet.views(b);
    fleet.wipe(a);
    fleet.sync(a, b);
    assert_eq!(fleet.views(a), views);
    comes_to_rest(&mut fleet, a, b);
}

/// A node that is assigned nothing has an empty feed; a hub that was set back finds it nowhere, once.
#[test]
fn an_empty_scope_starts_over_once() {
    let mut fleet = Fleet::new(9);
    let (hub, node) = (fleet.hub(), fleet.node());
    let copy = fleet.backup(hub);
    fleet.assign(hub, node, &[]);
    fleet.sync(node, hub);
    fleet.restore(hub, &copy);
    fleet.sync(node, hub);
    assert_eq!(diverged(&fleet, hub), 1);
    fleet.events.clear();
    fleet.sync(node, hub);
    assert_eq!((diverged(&fleet, hub), diverged(&fleet, node)), (0, 0));
}
