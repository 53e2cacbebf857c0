//! Messages of a session and their bytes. The schema is `wire/sync.proto`; what they mean is in `docs/protocol.md`.
//!
//! Decoding checks every length and every number, so that a [`Message`] holds well-formed values. Whether they are *true*
//! (signatures, changes) is admission's to say.

pub mod bundle;
mod decode;
mod encode;

use crate::document::admission::Refusal;
use crate::document::codec::{Codec, UnpackError};
use crate::document::earlier::{EarlierError, PackedFrontiers};
use crate::document::generation::UnverifiedRoot;
use crate::document::{Clock, DocumentKey, FrontierDigest, Heads, UnverifiedFrontier};
use crate::id::{DocumentId, Incarnation, NodeId, StoreId, TransferId};
pub use crate::part::Part;
pub use crate::position::Position;

pub use decode::DecodeError;

#[allow(
    missing_docs,
    unreachable_pub,
    clippy::large_enum_variant,
    reason = "generated code; the .proto file has the docs"
)]
pub(crate) mod proto {
    include!("wire/generated/archipel.sync.v1.rs");
}

/// Messages of the join exchange, generated from `wire/join.proto`.
#[allow(missing_docs, unreachable_pub, reason = "generated code; the .proto file has the docs")]
pub(crate) mod join_proto {
    include!("wire/generated/archipel.join.v1.rs");
}

/// The oldest protocol version spoken here.
pub const VERSION_MIN: u32 = 1;
/// The newest protocol version spoken here.
pub const VERSION_MAX: u32 = 1;

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "a frame is moved a few times and dropped; a box would cost every push an allocation"
)]
pub enum Message {
    /// The first frame of each side.
    Hello(Hello),
    /// One step of the sender's feed.
    Push(Push),
    /// The sender made the receiver's feed durable up to the place of this number.
    Acknowledge(u64),
    /// The sender took a step of the feed without its content.
    Refuse(Refuse),
    /// The sender ends the session.
    Close(Close),
    /// What the sender's feed holds for the receiver.
    Summary(Summary),
    /// What the sender lacks of the receiver's feed.
    Want(Want),
    /// A message of negentropy.
    Reconcile(Reconcile),
    /// The receiver may push so many bytes more.
    Credit(u64),
    /// The sender holds the beginning of a transfer.
    Resume(Resume),
}

/// Who speaks, and how far each side is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// The oldest protocol version that the sender speaks.
    pub version_min: u32,
    /// The newest.
    pub version_max: u32,
    /// The sender's store.
    pub store: StoreId,
    /// Its incarnation.
    pub incarnation: Incarnation,
    /// The end of the sender's feed for the receiver.
    pub head: Position,
    /// How much of the receiver's feed is durable at the sender; `None` before the first contact.
    pub cursor: Option<Position>,
    /// Bytes of pushes that the receiver may send before it gets more.
    pub credit: u64,
}

/// How much of a transfer that was cut is durable at the sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resume {
    /// The document.
    pub document: DocumentId,
    /// The transfer.
    pub transfer: TransferId,
    /// How many bytes of it, from its beginning.
    pub offset: u64,
}

/// One step of a feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Push {
    /// What the receiver lacks; `None` when it has it already, and when the feed starts over (`through` is then 0).
    pub entry: Option<PushEntry>,
    /// With this frame the receiver holds the feed up to here; `None` when more frames belong to the step.
    pub through: Option<Through>,
    /// The sender's feed goes on after this frame.
    pub more: bool,
}

/// A place in the sender's feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Through {
    /// This one.
    Place(Position),
    /// The one of this number, which is one entry further than the place before, and that entry is what came.
    Next(u64),
}

impl From<Position> for Through {
    fn from(place: Position) -> Self {
        Self::Place(place)
    }
}

impl Through {
    /// Its number.
    #[must_use]
    pub fn number(&self) -> u64 {
        match self {
            Self::Place(place) => place.number,
            Self::Next(number) => *number,
        }
    }
}

impl Push {
    /// The place that the receiver holds with this frame, when it held `before`. `None` when it cannot be told.
    #[must_use]
    pub fn place(&self, through: Through, before: Option<Position>) -> Option<Position> {
        let number = match through {
            Through::Place(place) => return Some(place),
            Through::Next(number) => number,
        };
        let (before, entry) = (before?, self.entry.as_ref()?);
        let place = match entry {
            PushEntry::Leave(key) => before.next(key.id(), None),
            PushEntry::Delta(delta) if !delta.earlier.is_empty() => return None,
            PushEntry::Delta(delta) => {
                let frontier = &delta.frontier.as_ref()?.frontier;
                before.next(frontier.document, Some((frontier.generation, &frontier.heads)))
            }
        };
        Some(place).filter(|place| place.number == number)
    }

    /// Bytes of its frame as `sender` sends it, without the length before it.
    #[must_use]
    pub fn frame_len(&self, sender: NodeId) -> u64 {
        encode::push_len(self, sender)
    }
}

/// The content of a [`Push`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "a frame is moved a few times and dropped; a box would cost every push an allocation"
)]
pub enum PushEntry {
    /// Changes of one document.
    Delta(DeltaFrame),
    /// The document left the receiver's scope.
    Leave(DocumentKey),
}

/// Changes of one document, and the frontier above them unless more parts follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeltaFrame {
    /// The document.
    pub key: DocumentKey,
    /// Its generation.
    pub generation: u32,
    /// How the batch is packed.
    pub codec: Codec,
    /// A packed batch (`document::codec`), or a part of one.
    pub changes: Vec<u8>,
    /// The frontier; `None` in every part of a transfer but the last.
    pub frontier: Option<UnverifiedFrontier>,
    /// Frontiers of the same document and generation that were signed before it; only of layers, and only with it.
    pub earlier: PackedFrontiers,
    /// Which part `changes` is; `None` when it is all of the batch.
    pub part: Option<Part>,
    /// The records of this generation and of those between it and the receiver's, ascending; only with the frontier.
    pub roots: Vec<UnverifiedRoot>,
}

/// Which frontier the sender will not have, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refuse {
    /// The document.
    pub document: DocumentId,
    /// The frontier's heads; `None` when the delta had none.
    pub heads: Option<Heads>,
    /// Why, as a closed list.
    pub reason: Reason,
    /// Why, for people.
    pub message: String,
}

/// Why an entry is refused. The numbers are those of the schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// A reason that this version does not know.
    Other,
    /// The delta, the batch or a change is not well formed.
    Malformed,
    /// The key of the frontier's author is not known.
    UnknownAuthor,
    /// This author may not write this document.
    NotTheAuthor,
    /// The signature does not verify.
    Signature,
    /// A change does not connect to what is held.
    Disconnected,
    /// An actor's number was used twice.
    Forked,
    /// The frontier does not cover exactly these changes.
    NotBelow,
    /// The changes passed every check and could not be applied.
    Poison,
    /// Over a bound.
    TooLarge,
    /// A generation that is not known.
    Generation,
    /// The author is revoked, and this is past what was taken of it before.
    Revoked,
    /// A certificate that came with the frontier is not of this fleet.
    Certificate,
    /// Of a generation that is over at the receiver, or that began there with another record. Nothing is wrong with it.
    Past,
}

impl Reason {
    /// Whether the same content may be taken in another form: the receiver lacks what the sender thought it held, or the
    /// roster that says what still counts of a revoked author. Then the document comes again as a whole.
    #[must_use]
    pub fn may_pass_later(self) -> bool {
        matches!(self, Self::Disconnected | Self::NotBelow | Self::Revoked | Self::Generation)
    }
}

impl From<&Refusal> for Reason {
    fn from(refusal: &Refusal) -> Self {
        match refusal {
            Refusal::Batch(UnpackError::TooLarge | UnpackError::TooMany) => Self::TooLarge,
            // The sender then sends the whole document, which builds on nothing.
            Refusal::Batch(UnpackError::NotHeld | UnpackError::Differs) => Self::Disconnected,
            Refusal::OneOf { refusal, .. } => Self::from(&**refusal),
            Refusal::Earlier(EarlierError::TooMany { .. }) => Self::TooLarge,
            Refusal::Earlier(_) => Self::Malformed,
            Refusal::Key | Refusal::Batch(_) | Refusal::Scan { .. } => Self::Malformed,
            Refusal::Misfit { .. } => Self::Malformed,
            Refusal::UnknownAuthor { .. } => Self::UnknownAuthor,
            Refusal::NotTheAuthor { .. } | Refusal::ForeignActor { .. } => Self::NotTheAuthor,
            Refusal::Signature => Self::Signature,
            Refusal::Unconnected { .. } => Self::Disconnected,
            Refusal::Forked { .. } => Self::Forked,
            Refusal::NotBelow => Self::NotBelow,
            Refusal::Poison { .. } => Self::Poison,
            Refusal::TooMany { .. } | Refusal::GenerationFull { .. } => Self::TooLarge,
            Refusal::Generation { .. } | Refusal::Root { .. } => Self::Generation,
            Refusal::GenesisMissing { .. } | Refusal::OtherRecord { .. } => Self::Generation,
            Refusal::Revoked { .. } => Self::Revoked,
            Refusal::Certificate { .. } => Self::Certificate,
        }
    }
}

/// What the sender's feed holds for the receiver, where it is not known how much of that the receiver has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Summary {
    /// Each frontier, ascending.
    Listed(Vec<FrontierDigest>),
    /// So many: the receiver begins to reconcile.
    Counted(u64),
}

/// What the sender lacks of the receiver's feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Want {
    /// The documents.
    pub documents: Vec<Wanted>,
    /// Another frame with wants follows.
    pub more: bool,
}

/// A document of which the sender lacks something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Which.
    pub document: DocumentId,
    /// The changes that the sender holds of it.
    pub clock: Clock,
}

/// A message of negentropy, which finds the differences of two sets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reconcile {
    /// Its bytes.
    pub message: Vec<u8>,
    /// It comes from the sender of the feed.
    pub answer: bool,
}

/// Why and how the sender ends the session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Close {
    /// Why, as a closed list.
    pub code: CloseCode,
    /// Why, for people.
    pub message: String,
    /// How long the receiver should wait before it comes again, in milliseconds; 0 leaves it to the receiver.
    pub retry_after_ms: u32,
    /// With [`CloseCode::Restarted`]: which incarnation of the receiver the sender knows; 0 when the sender's own is new.
    pub incarnation: u32,
}

/// Why a session ends. The numbers are those of the schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CloseCode {
    /// A code that this version does not know.
    Other,
    /// The two sides share no protocol version.
    NoCommonVersion,
    /// The receiver of the close broke the protocol.
    Protocol,
    /// The receiver's enrolment was taken back.
    Revoked,
    /// The sender has too much to do.
    Busy,
    /// The sender's process ends.
    Shutdown,
    /// The sender cannot write to its disk.
    Storage,
    /// The same peer opened a newer link.
    Replaced,
    /// Another copy of the receiver's store is in use.
    Cloned,
    /// The sender has taken a new incarnation, or the receiver has to: dial again at once.
    Restarted,
}

impl CloseCode {
    /// Whether a side could not go on, and could not soon after either.
    #[must_use]
    pub fn is_failure(self) -> bool {
        matches!(self, Self::NoCommonVersion | Self::Protocol | Self::Storage)
    }
}

impl Message {
    /// The frame's bytes as `sender` sends it, without the length before it.
    #[must_use]
    pub fn encode(&self, sender: NodeId) -> Vec<u8> {
        encode::encode(self, sender)
    }

    /// Reads a frame that `sender` sent.
    ///
    /// # Errors
    /// [`DecodeError`] names the field that is wrong.
    pub fn decode(bytes: &[u8], sender: NodeId) -> Result<Self, DecodeError> {
        decode::decode(bytes, sender)
    }

    /// Whether the frame carries changes.
    #[must_use]
    pub fn carries_changes(&self) -> bool {
        matches!(self, Self::Push(Push { entry: Some(PushEntry::Delta(_)), .. }))
    }
}
