//! An idle reconnect costs the same for one document and for ten thousand (decision D2).
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "fleet/world.rs"]
mod world;

use serde_json::json;
use sync_core::replica::WriteError;

use world::{Fleet, Member, layer_key, map};

/// Writes so many layers in one edit.
fn write_layers(fleet: &mut Fleet, hub: Member, count: usize) -> Vec<String> {
    let names: Vec<String> = (0..count).map(|number| format!("layer-{number}")).collect();
    let now = fleet.now();
    fleet
        .at(hub)
        .edit(now, |edit| {
            for name in &names {
                edit.write(&layer_key(name), &map(json!({ "objects": { "one": { "name": name } } })))?;
            }
            Ok::<_, WriteError>(())
        })
        .unwrap();
    fleet.drain(hub);
    names
}

fn reconnect_moves_two_hellos(fleet: &mut Fleet, dialer: Member, acceptor: Member) {
    for _ in 0..2 {
        let loaded = (fleet.documents_loaded(dialer), fleet.documents_loaded(acceptor));
        let trips = fleet.peer_row(dialer, acceptor).traffic.round_trips;
        let passed = fleet.sync(dialer, acceptor);
        assert_eq!(passed.frames, 2);
        assert!(passed.bytes <= 256, "{} bytes", passed.bytes);
        assert_eq!((fleet.documents_loaded(dialer), fleet.documents_loaded(acceptor)), loaded);
        assert_eq!(fleet.peer_row(dialer, acceptor).traffic.round_trips, trips + 1);
        fleet.restart(dialer);
        fleet.restart(acceptor);
    }
}

#[test]
fn ten_thousand_documents_reconnect_with_two_hellos() {
    let mut fleet = Fleet::new(1);
    let (a, b) = (fleet.hub(), fleet.hub());
    write_layers(&mut fleet, a, 10_000);
    fleet.sync(a, b);
    assert_eq!(fleet.views(a).len(), 10_000);
    assert_eq!(fleet.views(a), fleet.views(b));
    reconnect_moves_two_hellos(&mut fleet, a, b);
    reconnect_moves_two_hellos(&mut fleet, b, a);
}

#[test]
fn a_node_of_three_hundred_layers_reconnects_with_two_hellos() {
    let mut fleet = Fleet::new(2);
    let (hub, node) = (fleet.hub(), fleet.node());
    let names = write_layers(&mut fleet, hub, 300);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    fleet.release(hub, &names);
    fleet.assign(hub, node, &names);
    fleet.report(node, json!({ "web": { "ready": 1 } }));
    fleet.sync(node, hub);
    assert_eq!(fleet.at(node).desired().unwrap().layers.len(), 300);
    reconnect_moves_two_hellos(&mut fleet, node, hub);
}
