//! What one extension of a feed appends: what others need first, and the small before the large.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "fleet/world.rs"]
mod world;

use serde_json::json;
use sync_core::store::StoreError;

use world::{Fleet, Member};

/// The feed of `at` for `peer`, document by document.
fn feed(fleet: &mut Fleet, at: Member, peer: Member) -> Vec<String> {
    let row = fleet.peer_row(at, peer);
    let read = |tx: &sync_core::store::Tx<'_>| {
        let (mut names, mut after) = (Vec::new(), 0);
        while let Some(entry) = tx.feed_next(&row, after)? {
            names.push(tx.document_by_row(entry.document)?.key.to_string());
            after = entry.number;
        }
        Ok::<_, StoreError>(names)
    };
    fleet.at(at).inspect(read).unwrap()
}

#[test]
fn a_hub_sends_another_what_is_desired_before_what_was_observed_and_the_small_before_the_large() {
    let mut fleet = Fleet::new(1);
    let (a, b, node) = (fleet.hub(), fleet.hub(), fleet.node());
    fleet.report(node, json!({ "web": { "ready": 1 } }));
    fleet.sync(node, a);
    fleet.introduce(b, node);
    fleet.write_layer(a, "large", json!({ "text": "x".repeat(100_000) }));
    fleet.write_layer(a, "middle", json!({ "text": "x".repeat(10_000) }));
    fleet.release(a, &["large", "middle"]);
    fleet.assign(a, node, &["large", "middle"]);
    fleet.write_layer(a, "small", json!({ "text": "x" }));
    fleet.set_field(a, "middle", "text", json!("y"));
    fleet.sync_cut_after(b, a, 0);
    let id = fleet.id(node).short();
    let order = feed(&mut fleet, a, b);
    let expected = [
        "layer small".to_owned(),
        "layer middle".to_owned(),
        "layer middle".to_owned(),
        "layer large".to_owned(),
        "release main".to_owned(),
        format!("assignment of {id}"),
        format!("observed of {id}"),
    ];
    assert_eq!(order, expected);
    fleet.sync(b, a);
    assert!(fleet.views(a) == fleet.views(b));
    // A small change of a large document is small.
    fleet.set_field(a, "middle", "text", json!("z".repeat(1_000)));
    fleet.set_field(a, "large", "more", json!(1));
    fleet.sync_cut_after(b, a, 0);
    assert_eq!(feed(&mut fleet, a, b)[expected.len() - 1..], ["layer large", "layer middle"]);
}
