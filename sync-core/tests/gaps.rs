//! The end of a transfer whose beginning made room for others: the receiver does not count it as held.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "fleet/door.rs"]
mod door;
#[path = "fleet/world.rs"]
mod world;

use automerge::ROOT;
use automerge::transaction::Transactable;
use sync_core::document::DocumentKey;
use sync_core::part::{Part, transfer_id};
use sync_core::wire::{CloseCode, Message};

use door::{Door, changes_of, heads_of, pack};

#[test]
fn a_last_part_after_a_gap_moves_no_cursor() {
    let mut door = Door::open();
    let key = DocumentKey::observed(door.node.id());
    let mut document = door.document(&key);
    document.put(ROOT, "text", "more than one part").unwrap();
    let changes = pack(&changes_of(&mut document));
    let part = Part { transfer: transfer_id(&changes), offset: 10, total: changes.len() as u64 };
    let frontier = door.signed(&key, heads_of(&mut document));
    let answers = door.last_part(&key, part, changes[10..].to_vec(), frontier);
    assert!(matches!(&answers[..], [Message::Close(close)] if close.code == CloseCode::Busy), "{answers:?}");
    let node = door.node.id();
    let cursor = door.hub.inspect(|tx| tx.peer(node)).unwrap().unwrap().cursor;
    assert_eq!(cursor, None, "what did not come counts as held");
}
