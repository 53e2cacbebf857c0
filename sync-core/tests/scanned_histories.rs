//! Whatever Automerge's writer writes for maps, lists and values is scanned, and read as Automerge reads it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "crafted/histories.rs"]
mod histories;
#[path = "crafted/model.rs"]
mod model;

use automerge::transaction::Transactable;
use automerge::{ActorId, AutoCommit, Change, ObjType, ROOT};
use proptest::prelude::*;
use sync_core::document::scan::scan_change;

use crate::model::DocumentModel;

fn assert_scanned_as_automerge_reads_it(change: &Change) -> sync_core::document::scan::ScannedChange {
    let scanned = scan_change(change.raw_bytes()).unwrap_or_else(|error| panic!("{error}: {:?}", change.decode()));
    assert_eq!(scanned.hash.0, change.hash().0);
    assert_eq!(&scanned.actor.0[..], change.actor_id().to_bytes());
    let others: Vec<_> = change.other_actor_ids().iter().map(ActorId::to_bytes).collect();
    assert_eq!(scanned.other_actors.iter().map(|actor| &actor.0[..]).collect::<Vec<_>>(), others);
    assert_eq!((scanned.seq, scanned.start_op), (change.seq(), change.start_op().get()));
    assert_eq!((scanned.operation_count, scanned.operations.len()), (change.len() as u64, change.len()));
    assert_eq!(scanned.max_op(), change.max_op());
    let deps: Vec<_> = change.deps().iter().map(|dep| dep.0).collect();
    assert_eq!(scanned.deps.iter().map(|dep| dep.0).collect::<Vec<_>>(), deps);
    assert_eq!((scanned.timestamp, scanned.message.as_str()), (change.timestamp(), change.message().unwrap_or("")));
    scanned
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_change_of_an_honest_history_is_scanned_and_admitted(seed in any::<u64>(), steps in 1_usize..80) {
        let mut model = DocumentModel::default();
        for change in histories::random_document(seed, steps).get_changes(&[]) {
            let scanned = assert_scanned_as_automerge_reads_it(&change);
            prop_assert_eq!(model.admit(&scanned), Ok(()));
        }
    }
}

#[test]
fn a_large_change_is_scanned() {
    let mut document = AutoCommit::new().with_actor(ActorId::from([3; 16]));
    for object in 0..1000 {
        let id = document.put_object(ROOT, format!("object-{object}"), ObjType::Map).unwrap();
        for field in ["kind", "name", "image", "replicas", "a", "b", "c", "d", "e", "f", "g", "h"] {
            document.put(&id, field, format!("{field} of {object}")).unwrap();
        }
    }
    document.commit();
    for change in document.get_changes(&[]) {
        assert_scanned_as_automerge_reads_it(&change);
    }
}
