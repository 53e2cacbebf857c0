//! Why a change was refused.

use super::leb128::ReadError;
use super::runs::RunError;
use crate::limits::{
    ACTOR_BYTES, CHANGE_BYTES_MAX, CHANGE_KEY_BYTES_MAX, CHANGE_PREDECESSORS_MAX, CHANGE_TIMESTAMP_MAX, KEY_BYTES_MAX,
    OPERATION_COUNTER_MAX, VALUE_BYTES_MAX,
};

/// Why bytes are no change that this engine takes. Always the fault of whoever wrote them, or of the way they came;
/// nothing was stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScanError {
    /// More bytes than [`CHANGE_BYTES_MAX`].
    #[error("the change has {bytes} bytes, at most {CHANGE_BYTES_MAX} are taken; write it as several changes")]
    TooLarge {
        /// Its bytes.
        bytes: usize,
    },
    /// The bytes do not start as an Automerge chunk does.
    #[error("these bytes are no Automerge chunk")]
    NotAChunk,
    /// A chunk of another type: a document (0), a compressed change (2), a bundle (3) or an unknown one.
    #[error("the chunk has type {found}; only uncompressed changes (type 1) are taken")]
    ChunkType {
        /// The type it has.
        found: u8,
    },
    /// The chunk says that it has another length than it has.
    #[error("the chunk claims {claimed} bytes and has {actual}")]
    ChunkLength {
        /// What it claims.
        claimed: u64,
        /// What follows its header.
        actual: usize,
    },
    /// The checksum is not the start of the hash. The bytes were damaged on the way.
    #[error("the checksum does not match the content; send the change again")]
    Checksum,
    /// A field of the header could not be read.
    #[error("the change's {field} cannot be read: {reason}")]
    Field {
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        reason: ReadError,
    },
    /// More of something than its bound in `limits` allows.
    #[error("the change has {count} {what}, at most {max} are taken")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// How many the change claims.
        count: u64,
        /// How many are taken.
        max: u64,
    },
    /// A dependency that is named twice.
    #[error("the change names a dependency twice")]
    DependencyRepeated,
    /// An actor id of another length.
    #[error("the change names an actor of {bytes} bytes, actors have {ACTOR_BYTES}")]
    ActorLength {
        /// Its bytes.
        bytes: u64,
    },
    /// The other actors are not in ascending order, or the change's own is among them.
    #[error("the change's list of other actors is not in ascending order, or names its own")]
    ActorOrder,
    /// An actor in the list that no operation refers to. Automerge would not write it again.
    #[error("actor {index} of the change is named but not used")]
    ActorUnused {
        /// Its index; 0 is the change's own.
        index: u32,
    },
    /// A sequence number of 0.
    #[error("the change's sequence number is 0, they start at 1")]
    SequenceZero,
    /// Operation counters that start at 0 or end above [`OPERATION_COUNTER_MAX`].
    #[error("the change's operations are {start} to {end}, counters go from 1 to {OPERATION_COUNTER_MAX}")]
    Counters {
        /// Counter of the first operation.
        start: u64,
        /// Counter of the last operation, as far as it was computed.
        end: u64,
    },
    /// A timestamp that Automerge's columns may not hold.
    #[error("the change's timestamp {timestamp} is further from 1970 than {CHANGE_TIMESTAMP_MAX}")]
    Timestamp {
        /// The timestamp.
        timestamp: i64,
    },
    /// A column that no change of this project has, for example of a text's marks.
    #[error("the change has a column of specification {specification}, which is not taken")]
    ColumnUnknown {
        /// The column's specification: id times 16, plus 8 when deflated, plus its type.
        specification: u64,
    },
    /// A deflated column.
    #[error("the change has a deflated column (specification {specification}), which is not taken")]
    ColumnDeflated {
        /// The column's specification.
        specification: u64,
    },
    /// Columns that are repeated or not in ascending order.
    #[error("the change's columns are not in ascending order")]
    ColumnOrder,
    /// A column of no bytes, which the writer leaves out.
    #[error("column {column:?} is listed and empty")]
    ColumnEmpty {
        /// The column.
        column: Column,
    },
    /// Bytes after the last column, such as an author's footer, or fewer than the columns claim.
    #[error("the change's columns claim {claimed} bytes and {actual} follow")]
    ColumnsLength {
        /// What they claim together.
        claimed: u64,
        /// What follows.
        actual: usize,
    },
    /// A column whose encoding is wrong, or not the writer's.
    #[error("column {column:?} is refused: {reason}")]
    Column {
        /// The column.
        column: Column,
        /// What is wrong with it.
        reason: RunError,
    },
    /// An operation that breaks a rule.
    #[error("operation {row} of the change is refused: {reason}")]
    Operation {
        /// Its index in the change.
        row: u64,
        /// The rule.
        reason: OperationError,
    },
}

/// A column of a change's operations, by what it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the names say it: a part of an operation")]
pub enum Column {
    ObjectActor,
    ObjectCounter,
    KeyActor,
    KeyCounter,
    KeyText,
    Insert,
    Action,
    ValueMetadata,
    Value,
    PredecessorCount,
    PredecessorActor,
    PredecessorCounter,
}

impl Column {
    /// All columns, in the order in which a change has them.
    pub(super) const ALL: [Self; 12] = [
        Self::ObjectActor,
        Self::ObjectCounter,
        Self::KeyActor,
        Self::KeyCounter,
        Self::KeyText,
        Self::Insert,
        Self::Action,
        Self::ValueMetadata,
        Self::Value,
        Self::PredecessorCount,
        Self::PredecessorActor,
        Self::PredecessorCounter,
    ];

    /// The column's number in the file format: its id times 16, plus its type.
    pub(in crate::document) fn specification(self) -> u64 {
        match self {
            Self::ObjectActor => 0x01,
            Self::ObjectCounter => 0x02,
            Self::KeyActor => 0x11,
            Self::KeyCounter => 0x13,
            Self::KeyText => 0x15,
            Self::Insert => 0x34,
            Self::Action => 0x42,
            Self::ValueMetadata => 0x56,
            Self::Value => 0x57,
            Self::PredecessorCount => 0x70,
            Self::PredecessorActor => 0x71,
            Self::PredecessorCounter => 0x73,
        }
    }
}

/// The rule that an operation breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OperationError {
    /// An actor index that is not in the change's list.
    #[error("it refers to actor {index}, which the change does not name")]
    ActorIndex {
        /// The index.
        index: u64,
    },
    /// An id with an actor and no counter, or the other way round, or with a counter outside of 1 to 2^31.
    #[error("an id in it has no counter, no actor, or a counter out of range")]
    MalformedId,
    /// An id of an operation that its author cannot have seen: of the future, or of this change but later.
    #[error("it refers to operation {counter}, which is not before it")]
    NotBefore {
        /// The counter of the id.
        counter: u64,
    },
    /// A key that is both a text and an element, or neither.
    #[error("its key is not exactly one of a text and an element")]
    MalformedKey,
    /// A map key of more than [`KEY_BYTES_MAX`] bytes.
    #[error("its key has {bytes} bytes, at most {KEY_BYTES_MAX} are taken")]
    KeyTooLong {
        /// Its bytes.
        bytes: usize,
    },
    /// Keys of more than [`CHANGE_KEY_BYTES_MAX`] bytes together, when each is written out.
    #[error("the keys up to it have more than {CHANGE_KEY_BYTES_MAX} bytes when each is written out")]
    KeysTooLong,
    /// An element as key of a map, or a text as key of a list.
    #[error("its key is not of the kind that its object has")]
    KeyKind,
    /// An object id that is an operation of this change which makes no object.
    #[error("its object is an operation that makes none")]
    NotAnObject,
    /// An element id that is an operation of this change which is no insertion into the same list.
    #[error("its element was not inserted into its list")]
    NotAnElement,
    /// A predecessor in this change under another key, in another object, or which is a deletion.
    #[error("a predecessor is not a value of the same field")]
    PredecessorElsewhere,
    /// Predecessors out of order or repeated.
    #[error("its predecessors are not in ascending order")]
    PredecessorOrder,
    /// More predecessors than [`CHANGE_PREDECESSORS_MAX`] in the change.
    #[error("the predecessors up to it are more than {CHANGE_PREDECESSORS_MAX}")]
    TooManyPredecessors,
    /// An insertion with predecessors, under a text, or that deletes.
    #[error("it is a malformed insertion")]
    MalformedInsertion,
    /// A deletion, or an update of a list's element, that replaces nothing.
    #[error("it replaces something and names no predecessor")]
    NoPredecessor,
    /// Text, table, increment or mark: valid Automerge which this project never writes.
    #[error("its action is {action}; only maps, lists, values and deletions are taken")]
    ActionNotTaken {
        /// Automerge's number: 4 makes a text, 5 increments, 6 makes a table, 7 marks.
        action: u64,
    },
    /// An action that Automerge does not know.
    #[error("its action {action} is unknown")]
    ActionUnknown {
        /// The number.
        action: u64,
    },
    /// A value on an operation that takes none.
    #[error("it has a value although its action takes none")]
    ValueNotTaken,
    /// A value of a type that this project never writes: a counter (8) or an unknown one.
    #[error("its value has type {value_type}, which is not taken")]
    ValueType {
        /// Automerge's number of the type.
        value_type: u64,
    },
    /// A value of more than [`VALUE_BYTES_MAX`] bytes.
    #[error("its value has {bytes} bytes, at most {VALUE_BYTES_MAX} are taken")]
    ValueTooLong {
        /// Its bytes.
        bytes: u64,
    },
    /// A value that its type does not allow: not UTF-8, not eight bytes, an integer in another form than the shortest.
    #[error("its value is not valid for its type: {0}")]
    MalformedValue(ReadError),
    /// A value with another length than its type has.
    #[error("its value has {bytes} bytes, which its type does not have")]
    ValueLength {
        /// Its bytes.
        bytes: u64,
    },
}
