//! Checks the bytes of one received change before Automerge sees them (decision D6).
//!
//! Automerge 0.12 panics, hangs or swells on small crafted changes, and keeps what it should have refused. This scanner reads
//! the binary format itself, takes only what Automerge's writer writes for maps, lists and JSON values, and hands out what
//! the caller needs to check the change against its document. It takes time and memory in proportion to the bytes and to
//! the bounds in [`limits`](crate::limits), whatever the bytes claim.
//!
//! What only a document can tell is left to the caller: that the sequence number follows, that the dependencies are known,
//! that [`start_op`](ScannedChange::start_op) is one more than the highest counter below them, and for every id in
//! [`operations`](ScannedChange::operations) that it exists below the dependencies and is of the right kind. The tests'
//! `DocumentModel` (`tests/crafted/`) spells these rules out.
//!
//! The format: <https://automerge.org/automerge-binary-format-spec/>.

#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        reason = "its input comes from a network or a disk"
    )
)]

mod error;
pub(in crate::document) mod leb128;
mod operations;
mod runs;
mod value;

use std::sync::Arc;

use sha2::{Digest, Sha256};

pub use self::error::{Column, OperationError, ScanError};
pub use self::leb128::ReadError;
pub use self::runs::RunError;

use self::leb128::Reader;
use self::operations::{ChangeFrame, Columns, OperationReader};
use self::runs::Runs;
pub use crate::document::history::ActorBytes;
use crate::id::ChangeHash;
use crate::limits::{
    ACTOR_BYTES, CHANGE_ACTORS_MAX, CHANGE_BYTES_MAX, CHANGE_DEPENDENCIES_MAX, CHANGE_MESSAGE_BYTES_MAX,
    CHANGE_TIMESTAMP_MAX, OPERATION_COUNTER_MAX,
};

const MAGIC: [u8; 4] = [0x85, 0x6f, 0x4a, 0x83];
const CHUNK_TYPE_CHANGE: u8 = 1;

/// One uncompressed change, checked by itself. Nothing of it was checked against a document yet.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ScannedChange {
    /// SHA-256 of the chunk's type, length and body.
    pub hash: ChangeHash,
    /// Who made it.
    pub actor: ActorBytes,
    /// The other actors whose operations it refers to, ascending, each used.
    pub other_actors: Vec<ActorBytes>,
    /// Its place among the changes of its actor, from 1.
    pub seq: u64,
    /// The counter of its first operation, from 1. The others follow without gaps.
    pub start_op: u64,
    /// How many operations it has.
    pub operation_count: u64,
    /// The changes that it directly builds on, in the author's order, each once.
    pub deps: Vec<ChangeHash>,
    /// When it was made, as its author says.
    pub timestamp: i64,
    /// What its author says about it; empty when there is nothing.
    pub message: String,
    /// Its operations. The counter of the one at index `i` is `start_op + i`.
    pub operations: Vec<ScannedOperation>,
}

impl ScannedChange {
    /// The counter of its last operation; one less than [`start_op`](Self::start_op) when it has none.
    #[must_use]
    pub fn max_op(&self) -> u64 {
        self.start_op.saturating_add(self.operation_count).saturating_sub(1)
    }

    /// The actor of an id in this change; `None` for an index that is not in its list.
    #[must_use]
    pub fn actor_of(&self, id: OperationId) -> Option<ActorBytes> {
        match (id.actor as usize).checked_sub(1) {
            None => Some(self.actor),
            Some(index) => self.other_actors.get(index).copied(),
        }
    }

    /// The operation of this change that `id` names; `None` when the id is of another change.
    #[must_use]
    pub fn own_operation(&self, id: OperationId) -> Option<&ScannedOperation> {
        let index = id.counter.checked_sub(self.start_op).filter(|_| id.actor == 0)?;
        self.operations.get(usize::try_from(index).ok()?)
    }
}

/// The name of an operation, within a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OperationId {
    /// Its counter, from 1.
    pub counter: u64,
    /// Its actor: 0 is the change's own, `i` is `other_actors[i - 1]`.
    pub actor: u32,
}

/// One operation of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScannedOperation {
    /// The object that it changes; `None` is the root map.
    pub object: Option<OperationId>,
    /// Where in the object.
    pub key: ScannedKey,
    /// Whether it inserts an element after `key`, or changes what is at `key`.
    pub insert: bool,
    /// What it does.
    pub action: Action,
    /// The operations that it replaces, ascending by counter and actor.
    pub predecessors: Vec<OperationId>,
}

/// A place in an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScannedKey {
    /// A key of a map.
    Map(Arc<str>),
    /// An element of a list, named by the operation that inserted it.
    Element(OperationId),
    /// The place before the first element of a list.
    Head,
}

/// What an operation does. Whatever else Automerge knows is refused: this project never writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Makes a map.
    MakeMap,
    /// Makes a list.
    MakeList,
    /// Sets a value.
    Put,
    /// Deletes what is there.
    Delete,
}

/// Checks that `bytes` are one change as Automerge's writer writes it, and reads it.
///
/// # Errors
/// [`ScanError`] says what is wrong. The bytes were not kept, and must not be handed to Automerge.
pub fn scan_change(bytes: &[u8]) -> Result<ScannedChange, ScanError> {
    if bytes.len() > CHANGE_BYTES_MAX {
        return Err(ScanError::TooLarge { bytes: bytes.len() });
    }
    let (hash, mut body) = open_chunk(bytes)?;
    let deps = read_dependencies(&mut body)?;
    let actor = read_actor(&mut body)?;
    let seq = body.unsigned().map_err(in_field("sequence number"))?;
    if seq == 0 {
        return Err(ScanError::SequenceZero);
    }
    let start_op = body.unsigned().map_err(in_field("first operation counter"))?;
    let timestamp = body.signed().map_err(in_field("timestamp"))?;
    if timestamp.unsigned_abs() > CHANGE_TIMESTAMP_MAX.unsigned_abs() {
        return Err(ScanError::Timestamp { timestamp });
    }
    let message = body.text().map_err(in_field("message"))?;
    if message.len() > CHANGE_MESSAGE_BYTES_MAX {
        let (count, max) = (message.len() as u64, CHANGE_MESSAGE_BYTES_MAX as u64);
        return Err(ScanError::TooMany { what: "bytes of message", count, max });
    }
    let other_actors = read_other_actors(&mut body, actor)?;
    let columns = Columns::read(&mut body)?;
    let operation_count = columns.count_operations()?;
    // The last counter; of a change without operations, the one before its first.
    let end = start_op.saturating_add(operation_count).saturating_sub(1);
    if start_op == 0 || start_op > OPERATION_COUNTER_MAX || end > OPERATION_COUNTER_MAX {
        return Err(ScanError::Counters { start: start_op, end });
    }
    let frame = ChangeFrame { actor, other_actors: &other_actors, start_op, operation_count };
    let operations = OperationReader::new(frame, &columns).read_all()?;
    let message = message.to_owned();
    Ok(ScannedChange {
        hash,
        actor,
        other_actors,
        seq,
        start_op,
        operation_count,
        deps,
        timestamp,
        message,
        operations,
    })
}

/// Checks that `bytes` are the chunk of a change with the length and the checksum that it claims: a damaged disk ends here.
/// What the chunk says is not looked at.
///
/// # Errors
/// [`ScanError`]; the bytes must not be handed to Automerge, which panics and hangs on damaged ones.
pub fn check_intact(bytes: &[u8]) -> Result<(), ScanError> {
    open_chunk(bytes).map(drop)
}

/// The values of a change that [`scan_change`] took, in the order of its operations: metadata word and raw bytes.
pub(in crate::document) fn read_values(bytes: &[u8]) -> Result<Vec<(u64, &[u8])>, ScanError> {
    let (_, mut body) = open_chunk(bytes)?;
    read_dependencies(&mut body)?;
    let actor = read_actor(&mut body)?;
    for field in ["sequence number", "first operation counter"] {
        body.unsigned().map_err(in_field(field))?;
    }
    body.signed().map_err(in_field("timestamp"))?;
    body.text().map_err(in_field("message"))?;
    read_other_actors(&mut body, actor)?;
    let columns = Columns::read(&mut body)?;
    let of = |column| move |reason| ScanError::Column { column, reason };
    let mut metadata = Runs::<'_, u64>::new(columns.slice(Column::ValueMetadata));
    let mut raw = Reader::new(columns.slice(Column::Value));
    let mut values = Vec::new();
    for _ in 0..columns.count_operations()? {
        let word = metadata.next_present().map_err(of(Column::ValueMetadata))?;
        let value = raw.take(word >> 4).map_err(|reason| of(Column::Value)(reason.into()))?;
        values.push((word, value));
    }
    Ok(values)
}

fn in_field(field: &'static str) -> impl Fn(ReadError) -> ScanError {
    move |reason| ScanError::Field { field, reason }
}

/// The hash of the change and a reader at the start of its body.
fn open_chunk(bytes: &[u8]) -> Result<(ChangeHash, Reader<'_>), ScanError> {
    let mut reader = Reader::new(bytes);
    let magic: [u8; 4] = reader.array().map_err(|_| ScanError::NotAChunk)?;
    if magic != MAGIC {
        return Err(ScanError::NotAChunk);
    }
    let checksum: [u8; 4] = reader.array().map_err(in_field("checksum"))?;
    let hashed = reader.rest();
    let found = reader.byte().map_err(in_field("chunk type"))?;
    if found != CHUNK_TYPE_CHANGE {
        return Err(ScanError::ChunkType { found });
    }
    let claimed = reader.unsigned().map_err(in_field("length"))?;
    let actual = reader.rest().len();
    if claimed != actual as u64 {
        return Err(ScanError::ChunkLength { claimed, actual });
    }
    let hash: [u8; 32] = Sha256::digest(hashed).into();
    if !hash.starts_with(&checksum) {
        return Err(ScanError::Checksum);
    }
    Ok((ChangeHash(hash), reader))
}

fn read_dependencies(body: &mut Reader<'_>) -> Result<Vec<ChangeHash>, ScanError> {
    let field = in_field("list of dependencies");
    let count = body.unsigned().map_err(&field)?;
    let max = CHANGE_DEPENDENCIES_MAX as u64;
    if count > max {
        return Err(ScanError::TooMany { what: "dependencies", count, max });
    }
    // Automerge appends the author's own last change to the sorted heads, so the order is not checked.
    let mut dependencies = Vec::new();
    for _ in 0..count {
        let dependency = ChangeHash(body.array().map_err(&field)?);
        if dependencies.contains(&dependency) {
            return Err(ScanError::DependencyRepeated);
        }
        dependencies.push(dependency);
    }
    Ok(dependencies)
}

fn read_actor(body: &mut Reader<'_>) -> Result<ActorBytes, ScanError> {
    let bytes = body.unsigned().map_err(in_field("actor"))?;
    if bytes != ACTOR_BYTES as u64 {
        return Err(ScanError::ActorLength { bytes });
    }
    body.array().map(ActorBytes).map_err(in_field("actor"))
}

fn read_other_actors(body: &mut Reader<'_>, own: ActorBytes) -> Result<Vec<ActorBytes>, ScanError> {
    let count = body.unsigned().map_err(in_field("list of other actors"))?;
    let max = CHANGE_ACTORS_MAX as u64;
    if count > max {
        return Err(ScanError::TooMany { what: "other actors", count, max });
    }
    let mut actors: Vec<ActorBytes> = Vec::new();
    for _ in 0..count {
        let actor = read_actor(body)?;
        if actor == own || actors.last().is_some_and(|last| *last >= actor) {
            return Err(ScanError::ActorOrder);
        }
        actors.push(actor);
    }
    Ok(actors)
}
