//! Small crafted changes: what Automerge alone does with each, and that the scanner refuses it or lets its caller refuse it.
//!
//! A test that says what Automerge does fails when an upgrade mends it. Correct its name then, and keep the scanner's rule.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "crafted/automerge_alone.rs"]
mod automerge_alone;
#[path = "crafted/changes.rs"]
mod changes;
#[path = "crafted/model.rs"]
mod model;

use automerge::legacy::{Key, ObjectId, Op, OpId, OpType};
use automerge::transaction::Transactable;
use automerge::{AutoCommit, Change, ChangeHash, ExpandedChange, ObjType, ROOT, ScalarValue};
use sync_core::document::scan::{Column, OperationError, RunError, ScanError, scan_change};
use sync_core::limits::CHANGE_OPERATIONS_MAX;

use crate::automerge_alone::catching;
use crate::changes::{ChangeParts, actor, changes_of, chunk, column, edited, put, small_document};
use crate::model::DocumentModel;

/// What happens when Automerge parses `bytes` and applies them to a copy of the small document.
fn automerge_applies(bytes: &[u8]) -> Result<Result<AutoCommit, String>, String> {
    let mut document = small_document();
    catching(move || {
        let change = Change::from_bytes(bytes.to_vec()).map_err(|error| error.to_string())?;
        document.apply_changes([change]).map_err(|error| error.to_string())?;
        Ok(document)
    })
}

/// What the rules that need a document say about a change which the scanner takes, on top of the small document.
fn admitted(bytes: &[u8]) -> Result<(), &'static str> {
    let mut model = DocumentModel::default();
    for change in changes_of(&mut small_document()) {
        model.admit(&scan_change(change.raw_bytes()).unwrap()).unwrap();
    }
    model.admit(&scan_change(bytes).unwrap())
}

/// A valid next change of the small document's actor, edited.
fn next_change(edit: impl FnOnce(&mut ExpandedChange)) -> Vec<u8> {
    let mut document = small_document();
    document.put(ROOT, "replicas", 3).unwrap();
    document.commit();
    edited(changes_of(&mut document).last().unwrap(), edit)
}

/// A first change of another actor, with one value, edited.
fn strangers_change(edit: impl FnOnce(&mut ExpandedChange)) -> Vec<u8> {
    let mut document = AutoCommit::new().with_actor(actor(9));
    document.put(ROOT, "replicas", 3).unwrap();
    document.commit();
    edited(&changes_of(&mut document)[0], edit)
}

/// The list of the small document and its second change, which made it: operations 2 to 5.
fn ports() -> ObjectId {
    ObjectId::Id(OpId(3, actor(1)))
}

#[test]
fn the_unedited_change_is_applied_and_admitted() {
    let bytes = next_change(|_| {});
    assert!(matches!(automerge_applies(&bytes), Ok(Ok(_))));
    assert_eq!(admitted(&bytes), Ok(()));
    assert_eq!(ChangeParts::of(&bytes).bytes(), bytes);
}

#[test]
fn automerge_panics_on_a_first_change_with_sequence_2_and_admission_can_refuse_it() {
    let bytes = strangers_change(|change| change.seq = 2);
    assert!(automerge_applies(&bytes).is_err());
    assert_eq!(scan_change(&bytes).unwrap().seq, 2);
    assert_eq!(admitted(&bytes), Err("its sequence number follows the last of its actor"));
}

#[test]
fn automerge_panics_on_a_gap_in_the_sequence_and_admission_can_refuse_it() {
    let bytes = next_change(|change| change.seq += 1);
    assert!(automerge_applies(&bytes).is_err());
    assert_eq!(admitted(&bytes), Err("its sequence number follows the last of its actor"));
}

#[test]
fn automerge_refuses_a_sequence_number_that_was_used_and_admission_can_refuse_it() {
    let bytes = next_change(|change| {
        change.seq -= 1;
        change.message = Some("the other".into());
    });
    let refusal = automerge_applies(&bytes).unwrap().unwrap_err();
    assert!(refusal.contains("duplicate seq"), "{refusal}");
    assert_eq!(admitted(&bytes), Err("its sequence number follows the last of its actor"));
}

#[test]
fn automerge_panics_on_a_late_author_footer_and_the_scanner_refuses_it() {
    let bytes = next_change(|change| change.extra_bytes = vec![1, 1, b'x']);
    assert!(automerge_applies(&bytes).is_err());
    assert!(matches!(scan_change(&bytes), Err(ScanError::ColumnsLength { .. })));
}

#[test]
fn automerge_panics_on_an_unknown_object_and_admission_can_refuse_it() {
    let bytes = next_change(|change| change.operations[0].obj = ObjectId::Id(OpId(1, actor(1))));
    assert!(automerge_applies(&bytes).is_err());
    assert_eq!(admitted(&bytes), Err("its object was made by an operation that makes one"));
}

#[test]
fn automerge_panics_on_an_unknown_actor_and_admission_can_refuse_it() {
    let bytes = next_change(|change| change.operations[0].pred = vec![OpId(1, actor(7))].into());
    assert!(automerge_applies(&bytes).is_err());
    assert_eq!(admitted(&bytes), Err("its predecessors are in its past"));
}

#[test]
fn automerge_takes_a_counter_near_2_to_the_32_and_can_never_write_again_and_the_scanner_refuses_it() {
    let bytes = next_change(|change| change.start_op = u64::from(u32::MAX).try_into().unwrap());
    let mut poisoned = automerge_applies(&bytes).unwrap().unwrap();
    assert!(catching(move || poisoned.put(ROOT, "image", "web:3")).is_err());
    assert!(matches!(scan_change(&bytes), Err(ScanError::Counters { .. })));
    let gap = next_change(|change| change.start_op = (1 << 30).try_into().unwrap());
    assert_eq!(admitted(&gap), Err("its counters start one above those of its past"));
}

#[test]
fn automerge_panics_when_it_decodes_an_actor_index_out_of_range_and_the_scanner_refuses_it() {
    let mut parts = ChangeParts::of(changes_of(&mut small_document())[2].raw_bytes());
    *parts.column(column::PREDECESSOR_ACTOR) = vec![0x7f, 9];
    let bytes = parts.bytes();
    let change = Change::from_bytes(bytes.clone()).unwrap();
    assert!(catching(|| change.decode()).is_err());
    let reason = OperationError::ActorIndex { index: 9 };
    assert_eq!(scan_change(&bytes), Err(ScanError::Operation { row: 0, reason }));
}

#[test]
fn automerge_inflates_a_compressed_change_and_the_scanner_takes_only_type_1() {
    let mut document = AutoCommit::new().with_actor(actor(1));
    document.put(ROOT, "zeros", vec![0_u8; 1024 * 1024]).unwrap();
    document.commit();
    let compressed = changes_of(&mut document)[0].bytes().to_vec();
    assert!(compressed.len() < 4096);
    assert_eq!(Change::from_bytes(compressed.clone()).unwrap().raw_bytes().len() >> 20, 1);
    assert_eq!(scan_change(&compressed), Err(ScanError::ChunkType { found: 2 }));
    for found in [0, 3, 4, 255] {
        assert_eq!(scan_change(&chunk(found, b"")), Err(ScanError::ChunkType { found }));
    }
}

/// Automerge is not tried: it would still be at it after seconds.
#[test]
fn a_change_that_claims_2_to_the_36_operations_is_refused_at_once() {
    let bytes = changes::change_of_equal_operations(1 << 36);
    assert!(bytes.len() < 160);
    let too_many = ScanError::TooMany { what: "operations", count: 1 << 36, max: CHANGE_OPERATIONS_MAX };
    assert_eq!(scan_change(&bytes), Err(too_many));
}

#[test]
fn a_change_has_as_many_operations_as_allowed_and_no_more() {
    let scan = |count| scan_change(&changes::change_of_equal_operations(count));
    assert_eq!(scan(CHANGE_OPERATIONS_MAX).unwrap().max_op(), CHANGE_OPERATIONS_MAX);
    assert!(matches!(scan(CHANGE_OPERATIONS_MAX + 1), Err(ScanError::TooMany { .. })));
}

#[test]
fn automerge_copies_a_long_key_for_every_operation_and_the_scanner_bounds_their_sum() {
    let key = "k".repeat(4000);
    let bytes = strangers_change(|change| {
        change.operations = vec![put(ObjectId::Root, &key, ""); 20_000];
    });
    assert!(bytes.len() < 4400);
    let Err(ScanError::Operation { reason, .. }) = scan_change(&bytes) else { panic!("80 MB of keys in 4 KB") };
    assert_eq!(reason, OperationError::KeysTooLong);
}

#[test]
fn automerge_takes_a_damaged_change_under_another_hash_and_the_scanner_refuses_it() {
    let mut bytes = next_change(|change| change.message = Some("intact".into()));
    let message = bytes.windows(6).position(|window| window == b"intact").unwrap();
    bytes[message] = b'I';
    assert!(matches!(automerge_applies(&bytes), Ok(Ok(_))));
    assert_eq!(scan_change(&bytes), Err(ScanError::Checksum));
}

#[test]
fn automerge_takes_an_encoding_that_it_does_not_write_back_and_the_scanner_refuses_it() {
    let mut parts = ChangeParts::of(&next_change(|_| {}));
    *parts.column(column::ACTION) = vec![1, 1];
    let bytes = parts.bytes();
    let mut document = automerge_applies(&bytes).unwrap().unwrap();
    assert!(changes_of(&mut document).iter().all(|change| change.raw_bytes() != bytes), "the change was lost");
    let split = ScanError::Column { column: Column::Action, reason: RunError::Split };
    assert_eq!(scan_change(&bytes), Err(split));
}

#[test]
fn columns_that_disagree_are_refused() {
    let two_rows = |specification, bytes: &[u8]| {
        let mut parts = ChangeParts::of(&next_change(|_| {}));
        *parts.column(specification) = bytes.to_vec();
        scan_change(&parts.bytes())
    };
    for (specification, bytes, name) in [
        (column::INSERT, &[2][..], Column::Insert),
        (column::KEY_TEXT, &[2, 1, b'k'], Column::KeyText),
        (column::VALUE_METADATA, &[2, 0x14], Column::ValueMetadata),
        (column::PREDECESSOR_COUNT, &[2, 0], Column::PredecessorCount),
        (column::PREDECESSOR_COUNTER, &[0x7f, 1], Column::PredecessorCounter),
        (column::VALUE, &[3, 3], Column::Value),
    ] {
        let expected = ScanError::Column { column: name, reason: RunError::TooManyRows };
        assert_eq!(two_rows(specification, bytes), Err(expected), "{name:?}");
    }
    let expected = ScanError::Column { column: Column::KeyText, reason: RunError::TooFewRows };
    assert_eq!(two_rows(column::ACTION, &[2, 1]), Err(expected));
    assert_eq!(two_rows(0x94, &[0, 1]), Err(ScanError::ColumnUnknown { specification: 0x94 }));
    assert_eq!(two_rows(0x35, &[1]), Err(ScanError::ColumnUnknown { specification: 0x35 }));
    assert_eq!(two_rows(0x3c, &[1]), Err(ScanError::ColumnDeflated { specification: 0x3c }));
    assert_eq!(two_rows(column::KEY_ACTOR, &[]), Err(ScanError::ColumnEmpty { column: Column::KeyActor }));
}

#[test]
fn what_this_project_never_writes_is_refused() {
    let reason_of = |edit: &dyn Fn(&mut Op)| match scan_change(&next_change(|change| edit(&mut change.operations[0]))) {
        Err(ScanError::Operation { row: 0, reason }) => reason,
        other => panic!("{other:?}"),
    };
    for (action, number) in [
        (OpType::Make(ObjType::Text), 4),
        (OpType::Increment(1), 5),
        (OpType::Make(ObjType::Table), 6),
        (OpType::MarkEnd(false), 7),
    ] {
        let reason = reason_of(&|operation| operation.action = action.clone());
        assert_eq!(reason, OperationError::ActionNotTaken { action: number });
    }
    let counter = reason_of(&|operation| operation.action = OpType::Put(ScalarValue::counter(1)));
    assert_eq!(counter, OperationError::ValueType { value_type: 8 });
}

#[test]
fn operations_that_contradict_themselves_are_refused() {
    let reason_of = |edit: &dyn Fn(&mut Op)| match scan_change(&next_change(|change| edit(&mut change.operations[0]))) {
        Err(ScanError::Operation { row: 0, reason }) => reason,
        other => panic!("{other:?}"),
    };
    let future = OpId(7, actor(1));
    assert_eq!(reason_of(&|op| op.obj = ObjectId::Id(future.clone())), OperationError::NotBefore { counter: 7 });
    assert_eq!(reason_of(&|op| op.pred = vec![future.clone()].into()), OperationError::NotBefore { counter: 7 });
    assert_eq!(reason_of(&|op| op.key = Key::head()), OperationError::KeyKind);
    assert_eq!(reason_of(&|op| op.insert = true), OperationError::MalformedInsertion);
    assert_eq!(reason_of(&|op| op.action = OpType::Delete), OperationError::NoPredecessor);
    let replaces_head = |op: &mut Op| (op.obj, op.key) = (ports(), Key::head());
    assert_eq!(reason_of(&replaces_head), OperationError::MalformedKey);
    let own_value = scan_change(&next_change(|change| {
        change.operations.push(put(ObjectId::Id(OpId(7, actor(1))), "k", "v"));
    }));
    assert_eq!(own_value, Err(ScanError::Operation { row: 1, reason: OperationError::NotAnObject }));
    let elsewhere = scan_change(&next_change(|change| {
        let replaces = Op { pred: vec![OpId(7, actor(1))].into(), ..put(ObjectId::Root, "k", "v") };
        change.operations.push(replaces);
    }));
    assert_eq!(elsewhere, Err(ScanError::Operation { row: 1, reason: OperationError::PredecessorElsewhere }));
}

#[test]
fn a_text_as_key_of_an_older_list_is_left_to_admission() {
    let bytes = next_change(|change| change.operations[0].obj = ports());
    assert_eq!(admitted(&bytes), Err("its key is of its object's kind"));
}

#[test]
fn headers_out_of_bounds_are_refused() {
    let scan = |edit: &dyn Fn(&mut ChangeParts)| {
        let mut parts = ChangeParts::of(&next_change(|_| {}));
        edit(&mut parts);
        scan_change(&parts.bytes())
    };
    assert_eq!(scan(&|parts| parts.deps.push(parts.deps[0])), Err(ScanError::DependencyRepeated));
    assert!(matches!(scan(&|parts| parts.deps = vec![[0; 32]; 65]), Err(ScanError::TooMany { count: 65, .. })));
    assert_eq!(scan(&|parts| parts.actor = vec![1; 15]), Err(ScanError::ActorLength { bytes: 15 }));
    assert_eq!(scan(&|parts| parts.seq = 0), Err(ScanError::SequenceZero));
    assert_eq!(scan(&|parts| parts.start_op = 0), Err(ScanError::Counters { start: 0, end: 0 }));
    let timestamp = i64::MIN;
    assert_eq!(scan(&|parts| parts.timestamp = timestamp), Err(ScanError::Timestamp { timestamp }));
    assert!(matches!(scan(&|parts| parts.message = vec![b'm'; 1025]), Err(ScanError::TooMany { count: 1025, .. })));
    assert_eq!(scan(&|parts| parts.other_actors = vec![vec![1; 16]]), Err(ScanError::ActorOrder));
    assert_eq!(scan(&|parts| parts.other_actors = vec![vec![2; 16]]), Err(ScanError::ActorUnused { index: 1 }));
    let (first, second) = (vec![3; 16], vec![2; 16]);
    assert_eq!(scan(&|parts| parts.other_actors = vec![first.clone(), second.clone()]), Err(ScanError::ActorOrder));
    let mut trailing = next_change(|_| {});
    trailing.push(0);
    assert!(matches!(scan_change(&trailing), Err(ScanError::ChunkLength { .. })));
    assert_eq!(scan_change(&vec![0; 5 * 1024 * 1024]), Err(ScanError::TooLarge { bytes: 5 * 1024 * 1024 }));
    assert_eq!(scan_change(b""), Err(ScanError::NotAChunk));
}

#[test]
fn an_unknown_dependency_is_left_to_admission() {
    let bytes = next_change(|change| change.deps = vec![ChangeHash([7; 32])]);
    assert_eq!(admitted(&bytes), Err("its dependencies are known"));
}
