//! Batches of symbols (codecs 2 and 3) that no honest sender packs: a few hundred bytes that ask for as much as they can.
//!
//! Include it from an integration test with `#[path = "crafted/batches.rs"] mod batches;`.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use sync_core::limits::CHANGE_OPERATIONS_MAX;

/// Flags of a change: its dependencies are listed, its operations counted, its message given.
const DEPENDENCIES: u8 = 2;
const COUNT: u8 = 4;
const MESSAGE: u8 = 32;

/// Flags of an operation: object, key, kind, predecessors, insertion.
const OBJECT: u8 = 1;
const KEY: u8 = 2;
const KIND: u8 = 4;
const PREDECESSORS: u8 = 8;

const MAKE_MAP: u8 = 0;
const NULL: u8 = 3;
const UNSIGNED: u8 = 6;
const TEXT: u8 = 9;
const BYTES: u8 = 10;
const HEX_TEXT: u8 = 12;

/// One row of symbols.
#[derive(Debug, Clone, Default)]
struct Row(Vec<u8>);

impl Row {
    fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    fn number(mut self, mut value: u64) -> Self {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
        self
    }

    /// The head of a batch of `changes` by one actor.
    fn batch(changes: u64) -> Self {
        Self::default().number(changes).bytes(&[1, 1]).bytes(&[7; 16])
    }

    /// The first change of the batch, of so many operations.
    fn first_change(self, operations: u64) -> Self {
        self.bytes(&[DEPENDENCIES | COUNT, 1, 0]).number(operations)
    }

    fn repeat(mut self, times: u64, bytes: &[u8]) -> Self {
        self.0.extend(std::iter::repeat_n(bytes, times as usize).flatten());
        self
    }

    /// As a batch of codec 2, compressed.
    fn packed(self) -> Vec<u8> {
        let frame = zstd::bulk::compress(&self.0, 12).unwrap();
        // No checksum that fits; one of the bytes after it says zstd, whose frame goes without its magic number.
        [&[0; 4][..], &[1], &frame[4..]].concat()
    }
}

/// What comes before the changes of a batch: `noise` bytes that do not compress, as the value of one operation. With more bytes
/// that came a batch may take more.
fn noise(row: Row, bytes: u64) -> Row {
    let noise = (0..bytes).map(|number| (number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8 ^ number as u8);
    let row = row.bytes(&[DEPENDENCIES | COUNT, 1, 0, 1, KEY | KIND, 0, 0, BYTES]).number(bytes);
    row.bytes(&noise.collect::<Vec<u8>>())
}

/// What a batch is made of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    /// Bytes of its symbols.
    pub(crate) symbols: u64,
    /// Of these such that do not compress.
    pub(crate) noise: u64,
}

/// As many changes as the symbols suffice for, each of as many operations as one change may have, all the same.
fn operations(size: Size, operation: &[u8]) -> Vec<u8> {
    let fitting = (size.symbols - size.noise - 200) / operation.len() as u64;
    let (full, rest) = (fitting / CHANGE_OPERATIONS_MAX, fitting % CHANGE_OPERATIONS_MAX);
    let full = full.min(3);
    let row = noise(Row::batch(full + 2), size.noise);
    let change = |row: Row, count| row.bytes(&[COUNT]).number(count).repeat(count, operation);
    let row = (0..full).fold(row, |row, _| change(row, CHANGE_OPERATIONS_MAX));
    change(row, if full > 0 { rest.min(CHANGE_OPERATIONS_MAX - 1) } else { rest }).packed()
}

/// What each asks for most of, and the batch.
pub(crate) fn greedy(size: Size) -> Vec<(&'static str, Vec<u8>)> {
    let bytes = size.symbols - size.noise - 200;
    let first = |row: Row, head: &[u8]| row.bytes(&[COUNT, 1, KEY | KIND]).bytes(head);
    let one = |head: &[u8]| {
        let row = first(noise(Row::batch(2), size.noise), head);
        row.number(bytes).repeat(bytes, b"v").packed()
    };
    let actors = |each: u64, what: &[u8]| {
        let row = Row::default().number(1).number(bytes / each).bytes(&[1; 17]);
        row.repeat(bytes / each - 20, what).packed()
    };
    let dependencies =
        (1..7_000).fold(Row::batch(7_000).first_change(0), |row, _| row.bytes(&[DEPENDENCIES, 64]).repeat(64, &[2]));
    let message = Row::batch(1).bytes(&[DEPENDENCIES | COUNT | MESSAGE, 1, 0, 1]).number(bytes).repeat(bytes, b"m");
    vec![
        ("maps in maps", operations(size, &[KEY | KIND, 0, 0, MAKE_MAP])),
        ("maps of before", operations(size, &[OBJECT | KEY | KIND, 0, 0, 2, 0, 0, MAKE_MAP])),
        ("numbers under new keys", operations(size, &[KEY | KIND, 0, 0, UNSIGNED, 2])),
        ("new keys", operations(size, &[KEY | KIND, 0, 1, b'k', NULL])),
        ("elements of before", operations(size, &[KEY | KIND | PREDECESSORS, 2, 0, 2, NULL, 1])),
        ("new texts", operations(size, &[KEY | KIND, 0, 0, TEXT, 0, 1, b'x'])),
        ("nulls", operations(size, &[KEY | KIND, 3, NULL])),
        ("predecessors", operations(size, &[KEY | KIND | PREDECESSORS, 0, 0, NULL, 3, 0, 0, 2, 0, 0, 2])),
        ("one operation each", operations(size, &[0])),
        ("actors by bytes", actors(17, &[1; 17])),
        ("actors alike", actors(9, &[2; 9])),
        ("a long message", message.packed()),
        ("one long value", one(&[0, 0, BYTES])),
        ("one long text of digits", one(&[0, 0, HEX_TEXT, 0])),
        ("dependencies", dependencies.packed()),
    ]
}
