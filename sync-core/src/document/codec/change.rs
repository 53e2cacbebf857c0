//! One change, taken apart into what the codec sends, and put together again into its chunk.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::column::{booleans, differences, runs, write_signed, write_unsigned};
use super::value::Value;
use crate::document::history::ActorBytes;
use crate::document::scan::{
    Action, Column, OperationId, ScanError, ScannedChange, ScannedKey, ScannedOperation, read_values, scan_change,
};
use crate::id::ChangeHash;
use crate::limits::ACTOR_BYTES;

const MAGIC: [u8; 4] = [0x85, 0x6f, 0x4a, 0x83];
const CHUNK_TYPE_CHANGE: u8 = 1;

/// The name of an operation: its actor's index in the batch's list, and its counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct OperationName {
    pub(super) actor: u32,
    pub(super) counter: u32,
}

/// A place in an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum RowKey {
    Text(Arc<[u8]>),
    Head,
    Element(OperationName),
}

/// One operation. Its counter follows from its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) object: Option<OperationName>,
    pub(super) key: RowKey,
    pub(super) insert: bool,
    pub(super) value: Value,
    /// Ascending by counter and actor.
    pub(super) predecessors: Vec<OperationName>,
}

/// What stands before a change's operations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) actor: u32,
    pub(super) seq: u64,
    pub(super) start_op: u64,
    pub(super) timestamp: i64,
    pub(super) message: Vec<u8>,
    pub(super) deps: Vec<ChangeHash>,
}

/// A change taken apart.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) hash: ChangeHash,
    pub(super) max_op: u64,
    pub(super) header: Header,
    pub(super) rows: Vec<Row>,
}

/// The actors of a batch, in the order in which they were first met.
#[derive(Debug, Default)]
pub(super) struct Actors(pub(super) Vec<ActorBytes>);

impl Actors {
    pub(super) fn index(&mut self, actor: ActorBytes) -> u32 {
        let known = self.0.iter().position(|known| *known == actor);
        let index = known.unwrap_or_else(|| {
            self.0.push(actor);
            self.0.len().saturating_sub(1)
        });
        u32::try_from(index).unwrap_or(u32::MAX)
    }

    pub(super) fn get(&self, index: u32) -> Option<&ActorBytes> {
        self.0.get(index as usize)
    }
}

/// Takes a chunk apart.
///
/// # Errors
/// When the scanner does not take it; such a change travels as it is.
pub(super) fn take_apart(chunk: &[u8], actors: &mut Actors) -> Result<Parts, ScanError> {
    let scanned = scan_change(chunk)?;
    let values = read_values(chunk)?;
    let max_op = scanned.max_op();
    let own = actors.index(scanned.actor);
    let others: Vec<u32> = scanned.other_actors.iter().map(|actor| actors.index(*actor)).collect();
    let ScannedChange { hash, seq, start_op, deps, timestamp, message, operations, .. } = scanned;
    let name = |id: OperationId| OperationName {
        actor: (id.actor as usize).checked_sub(1).and_then(|other| others.get(other).copied()).unwrap_or(own),
        // The scanner takes no counter above 2^31.
        counter: u32::try_from(id.counter).unwrap_or(u32::MAX),
    };
    let row = |(operation, (metadata, raw)): (ScannedOperation, (u64, &[u8]))| Row {
        object: operation.object.map(name),
        key: match operation.key {
            ScannedKey::Map(text) => RowKey::Text(Arc::from(text.as_bytes())),
            ScannedKey::Head => RowKey::Head,
            ScannedKey::Element(id) => RowKey::Element(name(id)),
        },
        insert: operation.insert,
        value: match operation.action {
            Action::MakeMap => Value::MakeMap,
            Action::MakeList => Value::MakeList,
            Action::Delete => Value::Delete,
            Action::Put => Value::of(metadata, raw),
        },
        predecessors: operation.predecessors.into_iter().map(name).collect(),
    };
    let rows = operations.into_iter().zip(values).map(row).collect();
    let header = Header { actor: own, seq, start_op, timestamp, message: message.into_bytes(), deps };
    Ok(Parts { hash, max_op, header, rows })
}

/// Puts a chunk together: its bytes and its hash. `None` when a row names an actor that is not in the list.
pub(super) fn put_together(header: &Header, rows: &[Row], actors: &Actors) -> Option<(Vec<u8>, ChangeHash)> {
    let own = actors.get(header.actor)?;
    let mut others = BTreeSet::new();
    for name in rows.iter().flat_map(names) {
        if name.actor != header.actor {
            others.insert((actors.get(name.actor)?, name.actor));
        }
    }
    let indexes: BTreeMap<u32, u64> = others.iter().map(|(_, index)| *index).zip(1..).collect();
    let index = |name: OperationName| indexes.get(&name.actor).copied().unwrap_or(0);

    let mut body = Vec::new();
    write_unsigned(&mut body, header.deps.len() as u64);
    header.deps.iter().for_each(|dep| body.extend_from_slice(&dep.0));
    write_actor(&mut body, own);
    write_unsigned(&mut body, header.seq);
    write_unsigned(&mut body, header.start_op);
    write_signed(&mut body, header.timestamp);
    write_unsigned(&mut body, header.message.len() as u64);
    body.extend_from_slice(&header.message);
    write_unsigned(&mut body, others.len() as u64);
    others.iter().for_each(|(actor, _)| write_actor(&mut body, actor));
    write_columns(&mut body, rows, index);

    let mut hashed = vec![CHUNK_TYPE_CHANGE];
    write_unsigned(&mut hashed, body.len() as u64);
    hashed.append(&mut body);
    let hash: [u8; 32] = Sha256::digest(&hashed).into();
    let checksum = hash.first_chunk::<4>()?;
    let chunk = [&MAGIC[..], checksum, &hashed].concat();
    Some((chunk, ChangeHash(hash)))
}

fn names(row: &Row) -> impl Iterator<Item = OperationName> {
    let element = match &row.key {
        RowKey::Element(name) => Some(*name),
        RowKey::Text(_) | RowKey::Head => None,
    };
    row.object.into_iter().chain(element).chain(row.predecessors.iter().copied())
}

fn write_actor(out: &mut Vec<u8>, actor: &ActorBytes) {
    write_unsigned(out, ACTOR_BYTES as u64);
    out.extend_from_slice(&actor.0);
}

fn text_of(row: &Row) -> Option<&[u8]> {
    match &row.key {
        RowKey::Text(text) => Some(text),
        RowKey::Head | RowKey::Element(_) => None,
    }
}

fn write_columns(out: &mut Vec<u8>, rows: &[Row], index: impl Fn(OperationName) -> u64) {
    let element = |row: &Row| match &row.key {
        RowKey::Element(name) => Some(*name),
        RowKey::Text(_) | RowKey::Head => None,
    };
    let counter = |row: &Row| match &row.key {
        RowKey::Element(name) => Some(u64::from(name.counter)),
        RowKey::Head => Some(0),
        RowKey::Text(_) => None,
    };
    let all_predecessors = || rows.iter().flat_map(|row| row.predecessors.iter());
    let values: Vec<u8> = rows.iter().flat_map(|row| row.value.raw().iter().copied()).collect();
    let columns = [
        (Column::ObjectActor, runs(rows.iter().map(|row| row.object.map(&index)))),
        (Column::ObjectCounter, runs(rows.iter().map(|row| row.object.map(|name| u64::from(name.counter))))),
        (Column::KeyActor, runs(rows.iter().map(|row| element(row).map(&index)))),
        (Column::KeyCounter, differences(rows.iter().map(counter))),
        (Column::KeyText, runs(rows.iter().map(text_of))),
        (Column::Insert, booleans(rows.iter().map(|row| row.insert))),
        (Column::Action, runs(rows.iter().map(|row| Some(row.value.action())))),
        (Column::ValueMetadata, runs(rows.iter().map(|row| Some(row.value.metadata())))),
        (Column::Value, values),
        (Column::PredecessorCount, runs(rows.iter().map(|row| Some(row.predecessors.len() as u64)))),
        (Column::PredecessorActor, runs(all_predecessors().map(|name| Some(index(*name))))),
        (Column::PredecessorCounter, differences(all_predecessors().map(|name| Some(u64::from(name.counter))))),
    ];
    let present = || columns.iter().filter(|(_, column)| !column.is_empty());
    write_unsigned(out, present().count() as u64);
    for (column, bytes) in present() {
        write_unsigned(out, column.specification());
        write_unsigned(out, bytes.len() as u64);
    }
    present().for_each(|(_, bytes)| out.extend_from_slice(bytes));
}
