//! From bytes to messages: every length and number is checked, nothing is believed.

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

use prost::Message as _;

use super::proto::{self, frame::Body, push::Entry};
use super::{
    Close, CloseCode, DeltaFrame, Hello, Message, Part, Push, PushEntry, Reason, Reconcile, Refuse, Resume, Summary,
    Through, Want, Wanted,
};
use crate::document::digest::DIGEST_BYTES;
use crate::document::generation::{Root, UnverifiedRoot};
use crate::document::{
    Clock, Codec, DocumentKey, DocumentKind, Frontier, FrontierDigest, Heads, PackedFrontiers, UnverifiedFrontier,
};
use crate::id::{Chain, ChangeHash, DocumentId, Incarnation, NodeId, Nonce, StoreId, TransferId};
use crate::identity::Signature;
use crate::limits::{
    CERTIFICATE_BYTES_MAX, CERTIFICATES_CARRIED_MAX, CHANGE_ACTORS_MAX, FRAME_BYTES_MAX, GENERATION_RECORDS_MAX,
    MESSAGE_TEXT_BYTES_MAX, PART_BYTES_MIN, RECONCILE_BYTES_MAX, SUMMARY_ITEMS_MAX, TRANSFER_BYTES_MAX,
    WANTED_ACTORS_MAX,
};
use crate::position::Position;

/// Why a frame is no message. Its sender is to blame; nothing was done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// Over [`FRAME_BYTES_MAX`].
    #[error("a frame of {bytes} bytes; at most {FRAME_BYTES_MAX} are allowed")]
    TooLarge {
        /// Its length.
        bytes: usize,
    },
    /// Not the protobuf of a frame.
    #[error("not a frame: {0}")]
    Protobuf(String),
    /// A frame of a kind that this version does not know.
    #[error("a frame of an unknown kind")]
    UnknownFrame,
    /// A field is missing or out of range.
    #[error("the field {field} is missing or out of range")]
    Field {
        /// Its path in the schema.
        field: &'static str,
    },
}

const fn field(field: &'static str) -> DecodeError {
    DecodeError::Field { field }
}

pub(super) fn decode(bytes: &[u8], sender: NodeId) -> Result<Message, DecodeError> {
    if bytes.len() > FRAME_BYTES_MAX {
        return Err(DecodeError::TooLarge { bytes: bytes.len() });
    }
    let frame = proto::Frame::decode(bytes).map_err(|error| DecodeError::Protobuf(error.to_string()))?;
    match frame.body.ok_or(DecodeError::UnknownFrame)? {
        Body::Hello(it) => hello(it).map(Message::Hello),
        Body::Push(it) => push(it, sender).map(Message::Push),
        Body::Acknowledge(it) => number(it.position).map(Message::Acknowledge).ok_or(field("acknowledge.position")),
        Body::Refuse(it) => refuse(it).map(Message::Refuse),
        Body::Close(it) => Ok(Message::Close(close(it))),
        Body::Summary(it) => summary(&it).map(Message::Summary),
        Body::Want(it) => want(&it).map(Message::Want),
        Body::Reconcile(it) if it.message.len() > RECONCILE_BYTES_MAX => Err(field("reconcile.message")),
        Body::Reconcile(it) => Ok(Message::Reconcile(Reconcile { message: it.message, answer: it.answer })),
        Body::Credit(it) => Ok(Message::Credit(it.bytes)),
        Body::Resume(it) => resume(&it).map(Message::Resume),
    }
}

fn resume(it: &proto::Resume) -> Result<Resume, DecodeError> {
    Ok(Resume {
        document: DocumentId::from_slice(&it.document).ok_or(field("resume.document"))?,
        transfer: TransferId::from_slice(&it.transfer).ok_or(field("resume.transfer"))?,
        offset: Some(it.offset).filter(|offset| *offset <= TRANSFER_BYTES_MAX).ok_or(field("resume.offset"))?,
    })
}

/// The number of a place: SQLite's integers have 63 bits; no feed gets there.
fn number(position: u64) -> Option<u64> {
    Some(position).filter(|position| *position <= i64::MAX as u64)
}

fn cursor(it: &proto::Cursor) -> Result<Position, DecodeError> {
    let number = number(it.position).ok_or(field("cursor.position"))?;
    Ok(Position { number, chain: Chain::from_slice(&it.chain).ok_or(field("cursor.chain"))? })
}

fn through(it: &proto::Through) -> Result<Through, DecodeError> {
    let number = number(it.position).ok_or(field("through.position"))?;
    if it.chain.is_empty() {
        return Ok(Through::Next(number));
    }
    Ok(Through::Place(Position { number, chain: Chain::from_slice(&it.chain).ok_or(field("through.chain"))? }))
}

fn hello(it: proto::Hello) -> Result<Hello, DecodeError> {
    if it.version_min == 0 || it.version_max < it.version_min {
        return Err(field("hello.version_max"));
    }
    Ok(Hello {
        version_min: it.version_min,
        version_max: it.version_max,
        store: StoreId::from_slice(&it.store).ok_or(field("hello.store"))?,
        incarnation: Incarnation {
            number: it.incarnation,
            nonce: Nonce::from_slice(&it.nonce).ok_or(field("hello.nonce"))?,
        },
        head: cursor(it.head.as_ref().ok_or(field("hello.head"))?)?,
        cursor: it.cursor.as_ref().map(cursor).transpose()?,
        credit: it.credit,
    })
}

fn push(it: proto::Push, sender: NodeId) -> Result<Push, DecodeError> {
    let entry = match it.entry {
        Some(Entry::Delta(delta)) => Some(PushEntry::Delta(delta_frame(delta, sender)?)),
        Some(Entry::Leave(document)) => Some(PushEntry::Leave(document_key(&document)?)),
        None => None,
    };
    let through = it.through.as_ref().map(through).transpose()?;
    if entry.is_none() && through.is_none() {
        return Err(field("push.entry"));
    }
    Ok(Push { entry, through, more: it.more })
}

fn document_key(it: &proto::Document) -> Result<DocumentKey, DecodeError> {
    let kind = DocumentKind::from_number(it.kind).ok_or(field("document.kind"))?;
    let owner = match it.owner.as_slice() {
        [] => None,
        bytes => Some(NodeId::from_slice(bytes).ok_or(field("document.owner"))?),
    };
    let key = DocumentKey { kind, owner, name: it.name.clone() };
    if key.is_well_formed() { Ok(key) } else { Err(field("document.name")) }
}

fn delta_frame(it: proto::Delta, sender: NodeId) -> Result<DeltaFrame, DecodeError> {
    let codec = match proto::Codec::try_from(it.codec) {
        Ok(proto::Codec::RawZstd) => Codec::RawZstd,
        Ok(proto::Codec::Runs) => Codec::Runs,
        Ok(proto::Codec::Columns) => Codec::Columns,
        Ok(proto::Codec::Unspecified) | Err(_) => return Err(field("delta.codec")),
    };
    let key = document_key(it.document.as_ref().ok_or(field("delta.document"))?)?;
    let frontier = match it.frontier {
        Some(frontier) => Some(signed_frontier(&frontier, &key, it.generation, sender)?),
        None => None,
    };
    let part = part(&it.transfer, it.offset, it.total)?;
    // What is not the end of a batch proves nothing yet, and is worth a row of its own.
    let end = part.map(|part| (part.offset.saturating_add(it.changes.len() as u64), part.total));
    if end.is_some_and(|(end, total)| end > total) {
        return Err(field("delta.total"));
    }
    let is_last = end.is_none_or(|(end, total)| end == total);
    if is_last != frontier.is_some() {
        return Err(field("delta.frontier"));
    }
    if !is_last && it.changes.len() < PART_BYTES_MIN {
        return Err(field("delta.changes"));
    }
    if it.roots.len() > GENERATION_RECORDS_MAX || (!is_last && !it.roots.is_empty()) {
        return Err(field("delta.roots"));
    }
    let roots = it.roots.iter().map(|it| root(it, &key, sender)).collect::<Result<_, _>>()?;
    let earlier = match it.earlier {
        None => PackedFrontiers::default(),
        // Of other documents only the last frontier travels.
        Some(_) if frontier.is_none() || key.kind != DocumentKind::Layer => return Err(field("delta.earlier")),
        Some(proto::Frontiers { authors, signatures, rows, hashes }) => {
            PackedFrontiers { authors, signatures, rows, hashes }
        }
    };
    if earlier.is_empty() && earlier != PackedFrontiers::default() {
        return Err(field("delta.earlier"));
    }
    Ok(DeltaFrame { key, generation: it.generation, codec, changes: it.changes, frontier, earlier, roots, part })
}

fn part(transfer: &[u8], offset: u64, total: u64) -> Result<Option<Part>, DecodeError> {
    if transfer.is_empty() {
        return if offset == 0 && total == 0 { Ok(None) } else { Err(field("delta.transfer")) };
    }
    let transfer = TransferId::from_slice(transfer).ok_or(field("delta.transfer"))?;
    let total = Some(total).filter(|total| *total <= TRANSFER_BYTES_MAX).ok_or(field("delta.total"))?;
    Ok(Some(Part { transfer, offset, total }))
}

fn root(it: &proto::Root, key: &DocumentKey, sender: NodeId) -> Result<UnverifiedRoot, DecodeError> {
    let root = Root {
        document: key.id(),
        generation: it.generation,
        // SQLite's integers have 63 bits; no operator moves a home that often.
        epoch: Some(it.epoch).filter(|epoch| *epoch <= i64::MAX as u64).ok_or(field("root.epoch"))?,
        encoder: it.encoder,
        genesis: ChangeHash::from_slice(&it.genesis).ok_or(field("root.genesis"))?,
        cut: Heads::from_bytes(&it.cut).ok_or(field("root.cut"))?,
        clock: Clock::from_bytes(&it.clock)
            .filter(|clock| clock.len() <= CHANGE_ACTORS_MAX)
            .ok_or(field("root.clock"))?,
    };
    let author = author(&it.author, sender).ok_or(field("root.author"))?;
    let signature = it.signature.as_slice().try_into().map_err(|_| field("root.signature"))?;
    Ok(UnverifiedRoot { root, author, signature: Signature(signature) })
}

/// Who signed: the sender, unless the field says otherwise.
fn author(bytes: &[u8], sender: NodeId) -> Option<NodeId> {
    if bytes.is_empty() { Some(sender) } else { NodeId::from_slice(bytes) }
}

fn signed_frontier(
    it: &proto::SignedFrontier,
    key: &DocumentKey,
    generation: u32,
    sender: NodeId,
) -> Result<UnverifiedFrontier, DecodeError> {
    let version = Some(it.version).filter(|version| *version <= i64::MAX as u64).ok_or(field("frontier.version"))?;
    let heads = Heads::from_bytes(&it.heads).ok_or(field("frontier.heads"))?;
    let signature = it.signature.as_slice().try_into().map_err(|_| field("frontier.signature"))?;
    let author = author(&it.author, sender).ok_or(field("frontier.author"))?;
    let fits = |certificate: &Vec<u8>| certificate.len() <= CERTIFICATE_BYTES_MAX;
    if it.certificate.len() > CERTIFICATES_CARRIED_MAX || !it.certificate.iter().all(fits) {
        return Err(field("frontier.certificate"));
    }
    let frontier = Frontier { document: key.id(), generation, version, heads };
    Ok(UnverifiedFrontier { frontier, author, signature: Signature(signature), certificates: it.certificate.clone() })
}

fn refuse(it: proto::Refuse) -> Result<Refuse, DecodeError> {
    let heads = match it.heads.as_slice() {
        [] => None,
        bytes => Some(Heads::from_bytes(bytes).ok_or(field("refuse.heads"))?),
    };
    let reason = match it.reason() {
        proto::Reason::Unspecified => Reason::Other,
        proto::Reason::Malformed => Reason::Malformed,
        proto::Reason::UnknownAuthor => Reason::UnknownAuthor,
        proto::Reason::NotTheAuthor => Reason::NotTheAuthor,
        proto::Reason::Signature => Reason::Signature,
        proto::Reason::Disconnected => Reason::Disconnected,
        proto::Reason::Forked => Reason::Forked,
        proto::Reason::NotBelow => Reason::NotBelow,
        proto::Reason::Poison => Reason::Poison,
        proto::Reason::TooLarge => Reason::TooLarge,
        proto::Reason::Generation => Reason::Generation,
        proto::Reason::Revoked => Reason::Revoked,
        proto::Reason::Certificate => Reason::Certificate,
        proto::Reason::Past => Reason::Past,
    };
    let document = DocumentId::from_slice(&it.document).ok_or(field("refuse.document"))?;
    Ok(Refuse { document, heads, reason, message: bounded(it.message) })
}

fn close(it: proto::Close) -> Close {
    let code = match it.code() {
        proto::CloseCode::Unspecified => CloseCode::Other,
        proto::CloseCode::NoCommonVersion => CloseCode::NoCommonVersion,
        proto::CloseCode::Protocol => CloseCode::Protocol,
        proto::CloseCode::Revoked => CloseCode::Revoked,
        proto::CloseCode::Busy => CloseCode::Busy,
        proto::CloseCode::Shutdown => CloseCode::Shutdown,
        proto::CloseCode::Storage => CloseCode::Storage,
        proto::CloseCode::Replaced => CloseCode::Replaced,
        proto::CloseCode::Cloned => CloseCode::Cloned,
        proto::CloseCode::Restarted => CloseCode::Restarted,
    };
    let message = bounded(it.message);
    Close { code, message, retry_after_ms: it.retry_after_ms, incarnation: it.incarnation }
}

fn summary(it: &proto::Summary) -> Result<Summary, DecodeError> {
    let (items, rest) = it.items.as_chunks::<DIGEST_BYTES>();
    let is_list = rest.is_empty() && items.len() <= SUMMARY_ITEMS_MAX && items.is_sorted_by(|a, b| a < b);
    match (items, it.count) {
        _ if !is_list => Err(field("summary.items")),
        (items, 0) => Ok(Summary::Listed(items.iter().map(FrontierDigest::from_bytes).collect())),
        ([], count) => Ok(Summary::Counted(count)),
        _ => Err(field("summary.count")),
    }
}

fn want(it: &proto::Want) -> Result<Want, DecodeError> {
    let wanted = |it: &proto::Wanted| {
        let document = DocumentId::from_slice(&it.document).ok_or(field("wanted.document"))?;
        let clock = Clock::from_bytes(&it.clock).ok_or(field("wanted.clock"))?;
        // SQLite's integers have 63 bits; no actor gets there.
        let fits = clock.len() <= WANTED_ACTORS_MAX && clock.iter().all(|(_, seq)| seq <= i64::MAX as u64);
        if fits { Ok(Wanted { document, clock }) } else { Err(field("wanted.clock")) }
    };
    Ok(Want { documents: it.documents.iter().map(wanted).collect::<Result<_, _>>()?, more: it.more })
}

/// A text of a peer's, for logs and tables: cut, and without control characters.
fn bounded(text: String) -> String {
    text.chars().filter(|c| !c.is_control()).take(MESSAGE_TEXT_BYTES_MAX).collect()
}
