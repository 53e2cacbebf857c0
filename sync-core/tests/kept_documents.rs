//! Documents that stay loaded between two changes: they save the loading, and never show what was undone.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "fleet/world.rs"]
mod world;

use serde_json::json;
use sync_core::document::{DocumentKey, materialise};
use sync_core::replica::WriteError;
use sync_core::store::StoreError;

use world::{Fleet, Member, layer_key, map};

/// The view of a document is what its stored changes make.
fn is_as_stored(fleet: &mut Fleet, at: Member, key: &DocumentKey) {
    let read = |tx: &sync_core::store::Tx<'_>| {
        let document = tx.document(key.id())?.unwrap();
        let frontier = tx.log_row(document.latest.unwrap())?.frontier;
        let chunks = tx.chunks(document.row, document.generation)?;
        Ok::<_, StoreError>((chunks, frontier.frontier().heads.clone(), tx.view(document.row)?.unwrap()))
    };
    let (chunks, heads, view) = fleet.at(at).inspect(read).unwrap();
    let loaded = materialise::load(&chunks, None).unwrap();
    assert_eq!(materialise::state_at(&loaded, &heads).unwrap(), view);
}

#[test]
fn a_node_that_reports_and_its_hub_load_the_document_once() {
    let mut fleet = Fleet::new(1);
    let (hub, node) = (fleet.hub(), fleet.node());
    let key = DocumentKey::observed(fleet.id(node));
    let mut loads = Vec::new();
    for number in 0..5 {
        fleet.report(node, json!({ "web": { "ready": number } }));
        fleet.sync(node, hub);
        loads.push((fleet.documents_loaded(node), fleet.documents_loaded(hub)));
    }
    assert!(loads.iter().all(|after| *after == loads[0]), "{loads:?}");
    for member in [hub, node] {
        is_as_stored(&mut fleet, member, &key);
        fleet.restart(member);
    }
    fleet.report(node, json!({ "web": { "ready": 9 } }));
    fleet.sync(node, hub);
    assert_eq!(fleet.observed(hub, node), json!({ "web": { "ready": 9 } }));
    is_as_stored(&mut fleet, hub, &key);
}

#[test]
fn what_a_failed_edit_wrote_is_not_built_upon() {
    let mut fleet = Fleet::new(2);
    let (a, b) = (fleet.hub(), fleet.hub());
    let key = layer_key("base");
    fleet.write_layer(a, "base", json!({ "replicas": 1 }));
    let (now, undone) = (fleet.now(), map(json!({ "objects": { "one": { "replicas": 2, "gone": true } } })));
    let failed = fleet.at(a).edit(now, |edit| {
        edit.write(&key, &undone)?;
        Err::<(), _>(WriteError::Name(key.clone()))
    });
    assert!(failed.is_err());
    fleet.set_field(a, "base", "replicas", json!(3));
    is_as_stored(&mut fleet, a, &key);
    fleet.sync(a, b);
    assert_eq!(fleet.views(a), fleet.views(b));
    assert_eq!(fleet.state(b, &key), json!({ "objects": { "one": { "replicas": 3 } } }));
}

#[test]
fn an_edit_that_goes_on_after_a_refused_write_builds_on_what_stands() {
    let mut fleet = Fleet::new(3);
    let (a, b) = (fleet.hub(), fleet.hub());
    let key = layer_key("base");
    let now = fleet.now();
    let mut too_long = map(json!({ "kept": 1 }));
    too_long.insert("k".repeat(5_000), json!(1));
    fleet
        .at(a)
        .edit(now, |edit| {
            edit.write(&key, &map(json!({ "kept": 0 })))?;
            assert!(edit.write(&key, &too_long).is_err());
            edit.write(&key, &map(json!({ "kept": 2 })))
        })
        .unwrap();
    fleet.drain(a);
    is_as_stored(&mut fleet, a, &key);
    fleet.sync(a, b);
    assert_eq!(fleet.state(b, &key), json!({ "kept": 2 }));
}

#[test]
fn hubs_that_write_one_layer_in_turn_show_what_they_store() {
    let mut fleet = Fleet::new(4);
    let (a, b) = (fleet.hub(), fleet.hub());
    let key = layer_key("base");
    fleet.write_layer(a, "base", json!({ "replicas": 0 }));
    for round in 0..6 {
        fleet.sync(a, b);
        // Apart, then one on top of the other's.
        fleet.set_field(a, "base", "replicas", json!(round));
        fleet.set_field(b, "base", "image", json!(format!("web:{round}")));
        fleet.sync(b, a);
        fleet.set_field(b, "base", "zone", json!(round));
        for hub in [a, b] {
            is_as_stored(&mut fleet, hub, &key);
        }
    }
    fleet.sync(a, b);
    assert_eq!(fleet.dump(a).len(), fleet.dump(b).len());
    assert_eq!(fleet.views(a), fleet.views(b));
}
