//! Changes that no honest author writes: a valid change taken apart, edited and put together with a right checksum.
//!
//! Include it from an integration test with `#[path = "crafted/changes.rs"] mod changes;`.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use automerge::legacy::{Key, ObjectId, Op, OpType};
use automerge::transaction::{CommitOptions, Transactable};
use automerge::{ActorId, AutoCommit, Change, ExpandedChange, ObjType, ROOT};
use sha2::{Digest, Sha256};

/// The actor of tests with this number.
pub(crate) fn actor(number: u8) -> ActorId {
    ActorId::from([number; 16])
}

/// A document of one actor and three changes: a value, a list of two elements in a map, and an update of the value.
pub(crate) fn small_document() -> AutoCommit {
    let mut document = AutoCommit::new().with_actor(actor(1));
    document.put(ROOT, "image", "web:1").unwrap();
    document.commit();
    let spec = document.put_object(ROOT, "spec", ObjType::Map).unwrap();
    let ports = document.put_object(&spec, "ports", ObjType::List).unwrap();
    document.insert(&ports, 0, 80_u64).unwrap();
    document.insert(&ports, 1, 443_u64).unwrap();
    document.commit();
    document.put(ROOT, "image", "web:2").unwrap();
    document.commit_with(CommitOptions::default().with_message("roll out"));
    document
}

/// All changes of a document, oldest first.
pub(crate) fn changes_of(document: &mut AutoCommit) -> Vec<Change> {
    document.get_changes(&[])
}

/// An operation as Automerge's own builder of changes takes it.
pub(crate) fn put(object: ObjectId, key: &str, value: &str) -> Op {
    Op {
        action: OpType::Put(value.into()),
        obj: object,
        key: Key::Map(key.into()),
        pred: Vec::new().into(),
        insert: false,
    }
}

/// The change that `edit` makes of a valid one, in the encoding of Automerge's writer.
pub(crate) fn edited(change: &Change, edit: impl FnOnce(&mut ExpandedChange)) -> Vec<u8> {
    let mut expanded = change.decode();
    edit(&mut expanded);
    Change::from(expanded).raw_bytes().to_vec()
}

/// A change taken apart. Writing it back unedited gives the same bytes.
#[derive(Debug, Clone)]
pub(crate) struct ChangeParts {
    pub(crate) chunk_type: u8,
    pub(crate) deps: Vec<[u8; 32]>,
    pub(crate) actor: Vec<u8>,
    pub(crate) seq: u64,
    pub(crate) start_op: u64,
    pub(crate) timestamp: i64,
    pub(crate) message: Vec<u8>,
    pub(crate) other_actors: Vec<Vec<u8>>,
    /// Specification (id times 16, plus 8 when deflated, plus type) and bytes of each column.
    pub(crate) columns: Vec<(u64, Vec<u8>)>,
    /// Bytes after the columns.
    pub(crate) extra: Vec<u8>,
}

/// Column specifications, for edits.
pub(crate) mod column {
    pub(crate) const OBJECT_ACTOR: u64 = 0x01;
    pub(crate) const KEY_ACTOR: u64 = 0x11;
    pub(crate) const KEY_COUNTER: u64 = 0x13;
    pub(crate) const KEY_TEXT: u64 = 0x15;
    pub(crate) const INSERT: u64 = 0x34;
    pub(crate) const ACTION: u64 = 0x42;
    pub(crate) const VALUE_METADATA: u64 = 0x56;
    pub(crate) const VALUE: u64 = 0x57;
    pub(crate) const PREDECESSOR_COUNT: u64 = 0x70;
    pub(crate) const PREDECESSOR_ACTOR: u64 = 0x71;
    pub(crate) const PREDECESSOR_COUNTER: u64 = 0x73;
}

impl ChangeParts {
    /// Takes a valid change apart.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let mut rest = &bytes[8..];
        let chunk_type = take(&mut rest, 1)[0];
        unsigned(&mut rest);
        let deps = (0..unsigned(&mut rest)).map(|_| take(&mut rest, 32).try_into().unwrap()).collect();
        let actor = prefixed(&mut rest);
        let seq = unsigned(&mut rest);
        let start_op = unsigned(&mut rest);
        let timestamp = signed(&mut rest);
        let message = prefixed(&mut rest);
        let other_actors = (0..unsigned(&mut rest)).map(|_| prefixed(&mut rest)).collect();
        let listed: Vec<_> = (0..unsigned(&mut rest)).map(|_| (unsigned(&mut rest), unsigned(&mut rest))).collect();
        let columns = listed.iter().map(|(spec, length)| (*spec, take(&mut rest, *length as usize))).collect();
        let extra = rest.to_vec();
        Self { chunk_type, deps, actor, seq, start_op, timestamp, message, other_actors, columns, extra }
    }

    /// The chunk, with the right length and checksum.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut body = Vec::new();
        write_unsigned(&mut body, self.deps.len() as u64);
        self.deps.iter().for_each(|dep| body.extend(dep));
        write_prefixed(&mut body, &self.actor);
        write_unsigned(&mut body, self.seq);
        write_unsigned(&mut body, self.start_op);
        write_signed(&mut body, self.timestamp);
        write_prefixed(&mut body, &self.message);
        write_unsigned(&mut body, self.other_actors.len() as u64);
        self.other_actors.iter().for_each(|actor| write_prefixed(&mut body, actor));
        write_unsigned(&mut body, self.columns.len() as u64);
        for (specification, column) in &self.columns {
            write_unsigned(&mut body, *specification);
            write_unsigned(&mut body, column.len() as u64);
        }
        self.columns.iter().for_each(|(_, column)| body.extend(column));
        body.extend(&self.extra);
        chunk(self.chunk_type, &body)
    }

    /// The column of this specification, put in its place when the change has none.
    pub(crate) fn column(&mut self, specification: u64) -> &mut Vec<u8> {
        let index = self.columns.partition_point(|(listed, _)| *listed < specification);
        if self.columns.get(index).is_none_or(|(listed, _)| *listed != specification) {
            self.columns.insert(index, (specification, Vec::new()));
        }
        &mut self.columns[index].1
    }
}

/// A chunk of this type and body, with the right length and checksum.
pub(crate) fn chunk(chunk_type: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x85, 0x6f, 0x4a, 0x83, 0, 0, 0, 0, chunk_type];
    write_unsigned(&mut bytes, body.len() as u64);
    bytes.extend(body);
    with_checksum(bytes)
}

/// The same bytes with the right checksum.
pub(crate) fn with_checksum(mut bytes: Vec<u8>) -> Vec<u8> {
    let hash = Sha256::digest(&bytes[8..]);
    bytes[4..8].copy_from_slice(&hash[..4]);
    bytes
}

/// Some hundred bytes whose run lengths claim `count` operations, each of which sets one field to null.
///
/// Do not hand 2^36 to Automerge: it does not come back within seconds.
pub(crate) fn change_of_equal_operations(count: u64) -> Vec<u8> {
    let length = |value: &[u8]| {
        let mut run = Vec::new();
        write_signed(&mut run, count as i64);
        [&run, value].concat()
    };
    let mut parts = ChangeParts::of(changes_of(&mut small_document())[0].raw_bytes());
    *parts.column(column::KEY_TEXT) = length(b"\x01k");
    parts.column(column::INSERT).clear();
    write_unsigned(parts.column(column::INSERT), count);
    *parts.column(column::ACTION) = length(&[1]);
    *parts.column(column::VALUE_METADATA) = length(&[0]);
    *parts.column(column::PREDECESSOR_COUNT) = length(&[0]);
    parts.columns.retain(|(specification, _)| *specification != column::VALUE);
    parts.bytes()
}

fn take(rest: &mut &[u8], count: usize) -> Vec<u8> {
    let (taken, left) = rest.split_at(count);
    *rest = left;
    taken.to_vec()
}

fn prefixed(rest: &mut &[u8]) -> Vec<u8> {
    let length = unsigned(rest) as usize;
    take(rest, length)
}

fn unsigned(rest: &mut &[u8]) -> u64 {
    let (mut value, mut shift) = (0, 0);
    loop {
        let byte = take(rest, 1)[0];
        value |= u64::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            return value;
        }
    }
}

fn signed(rest: &mut &[u8]) -> i64 {
    let (mut value, mut shift) = (0_i64, 0);
    loop {
        let byte = take(rest, 1)[0];
        value |= i64::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            return if byte & 0x40 != 0 && shift < 64 { value | -1 << shift } else { value };
        }
    }
}

/// Appends an unsigned LEB128 integer.
pub(crate) fn write_unsigned(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a signed LEB128 integer.
pub(crate) fn write_signed(out: &mut Vec<u8>, mut value: i64) {
    while !(-64..64).contains(&value) {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push((value & 0x7f) as u8);
}

fn write_prefixed(out: &mut Vec<u8>, bytes: &[u8]) {
    write_unsigned(out, bytes.len() as u64);
    out.extend(bytes);
}
