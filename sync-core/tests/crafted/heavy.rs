//! Changes of a few hundred bytes that hold as much as one change may: operations, predecessors, dependencies.
//!
//! Include it from an integration test with `#[path = "crafted/heavy.rs"] mod heavy;`, beside `changes` and `door`.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use automerge::ROOT;
use automerge::transaction::Transactable;
use sync_core::document::{ActorBytes, DocumentKey};
use sync_core::id::ChangeHash;

use crate::changes::{ChangeParts, column, write_signed, write_unsigned};
use crate::door::{Door, hash_of};

/// One actor's line of changes on a document's genesis.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    next: ChangeParts,
    pub(crate) chunks: Vec<Vec<u8>>,
}

fn run(count: u64, value: &[u8]) -> Vec<u8> {
    let mut run = Vec::new();
    // One value alone is a literal.
    write_signed(&mut run, if count == 1 { -1 } else { count as i64 });
    [&run, value].concat()
}

impl Line {
    pub(crate) fn of(door: &Door, key: &DocumentKey, number: u8) -> Self {
        let mut document = door.document(key);
        document.put(ROOT, "k", ()).unwrap();
        let mut next = ChangeParts::of(&crate::door::changes_of(&mut document)[0]);
        next.actor = ActorBytes::mint(&door.node.id(), [number; 8]).0.to_vec();
        Self { next, chunks: Vec::new() }
    }

    pub(crate) fn head(&self) -> ChangeHash {
        hash_of(self.chunks.last().unwrap())
    }

    /// A further change by another actor, on this line's last one.
    pub(crate) fn by_another(&mut self, actor: u32) {
        let random = [&[0; 4][..], &actor.to_be_bytes()].concat();
        self.next.actor[8..].copy_from_slice(&random);
        self.next.seq = 1;
    }

    /// Puts `count` operations on the field `k`, each null and beside what is there.
    pub(crate) fn beside(&mut self, count: u64) {
        *self.next.column(column::KEY_TEXT) = run(count, b"\x01k");
        *self.next.column(column::PREDECESSOR_COUNT) = run(count, &[0]);
        self.next
            .columns
            .retain(|(listed, _)| ![column::PREDECESSOR_ACTOR, column::PREDECESSOR_COUNTER].contains(listed));
        self.push(count);
    }

    /// One operation on the field `k` in place of the `count` from the counter `first` on.
    pub(crate) fn instead_of(&mut self, first: u64, count: u64) {
        *self.next.column(column::KEY_TEXT) = run(1, b"\x01k");
        let mut number = Vec::new();
        write_unsigned(&mut number, count);
        *self.next.column(column::PREDECESSOR_COUNT) = run(1, &number);
        *self.next.column(column::PREDECESSOR_ACTOR) = run(count, &[0]);
        let mut difference = Vec::new();
        write_signed(&mut difference, first as i64);
        *self.next.column(column::PREDECESSOR_COUNTER) = [run(1, &difference), run(count - 1, &[1])].concat();
        self.push(1);
    }

    fn push(&mut self, count: u64) {
        *self.next.column(column::ACTION) = run(count, &[1]);
        *self.next.column(column::VALUE_METADATA) = run(count, &[0]);
        self.next.column(column::INSERT).clear();
        write_unsigned(self.next.column(column::INSERT), count);
        let chunk = self.next.bytes();
        self.next.deps = vec![hash_of(&chunk).0];
        self.next.seq += 1;
        self.next.start_op += count;
        self.chunks.push(chunk);
    }

    /// What the next change builds on beside its actor's last one.
    pub(crate) fn build_on(&mut self, others: &[ChangeHash]) {
        self.next.deps.extend(others.iter().map(|hash| hash.0));
    }

    /// The counter of the next operation.
    pub(crate) fn next_counter(&self) -> u64 {
        self.next.start_op
    }

    /// A text of `bytes` bytes for the field `k`, beside what is there.
    pub(crate) fn value(&mut self, bytes: u64) {
        let mut metadata = Vec::new();
        write_unsigned(&mut metadata, bytes << 4 | 6);
        *self.next.column(column::KEY_TEXT) = run(1, b"\x01k");
        *self.next.column(column::PREDECESSOR_COUNT) = run(1, &[0]);
        *self.next.column(column::VALUE) = vec![b'v'; bytes as usize];
        *self.next.column(column::ACTION) = run(1, &[1]);
        *self.next.column(column::VALUE_METADATA) = run(1, &metadata);
        self.next.column(column::INSERT).clear();
        write_unsigned(self.next.column(column::INSERT), 1);
        let chunk = self.next.bytes();
        self.next.deps = vec![hash_of(&chunk).0];
        self.next.seq += 1;
        self.next.start_op += 1;
        self.chunks.push(chunk);
    }
}
