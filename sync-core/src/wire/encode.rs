//! From messages to bytes.

use prost::Message as _;

use super::proto::{self, frame::Body, push::Entry};
use super::{
    Close, CloseCode, DeltaFrame, Hello, Message, Push, PushEntry, Reason, Refuse, Resume, Summary, Through, Want,
};
use crate::document::generation::UnverifiedRoot;
use crate::document::{Codec, DocumentKey, PackedFrontiers};
use crate::id::NodeId;
use crate::position::Position;

pub(super) fn encode(message: &Message, sender: NodeId) -> Vec<u8> {
    let body = match message {
        Message::Hello(it) => Body::Hello(hello(it)),
        Message::Push(it) => Body::Push(push(it, sender)),
        Message::Acknowledge(position) => Body::Acknowledge(proto::Acknowledge { position: *position }),
        Message::Refuse(it) => Body::Refuse(refuse(it)),
        Message::Close(it) => Body::Close(close(it)),
        Message::Summary(it) => Body::Summary(summary(it)),
        Message::Want(it) => Body::Want(want(it)),
        Message::Reconcile(it) => Body::Reconcile(proto::Reconcile { message: it.message.clone(), answer: it.answer }),
        Message::Credit(bytes) => Body::Credit(proto::Credit { bytes: *bytes }),
        Message::Resume(it) => Body::Resume(resume(it)),
    };
    proto::Frame { body: Some(body) }.encode_to_vec()
}

pub(super) fn push_len(it: &Push, sender: NodeId) -> u64 {
    proto::Frame { body: Some(Body::Push(push(it, sender))) }.encoded_len() as u64
}

fn resume(it: &Resume) -> proto::Resume {
    proto::Resume { document: it.document.0.to_vec(), transfer: it.transfer.0.to_vec(), offset: it.offset }
}

fn cursor(place: Position) -> proto::Cursor {
    proto::Cursor { position: place.number, chain: place.chain.0.to_vec() }
}

fn hello(it: &Hello) -> proto::Hello {
    proto::Hello {
        version_min: it.version_min,
        version_max: it.version_max,
        store: it.store.0.to_vec(),
        incarnation: it.incarnation.number,
        nonce: it.incarnation.nonce.0.to_vec(),
        head: Some(cursor(it.head)),
        cursor: it.cursor.map(cursor),
        credit: it.credit,
    }
}

fn push(it: &Push, sender: NodeId) -> proto::Push {
    let entry = it.entry.as_ref().map(|entry| match entry {
        PushEntry::Delta(frame) => Entry::Delta(delta(frame, sender)),
        PushEntry::Leave(key) => Entry::Leave(document(key)),
    });
    proto::Push { entry, through: it.through.map(through), more: it.more }
}

fn through(it: Through) -> proto::Through {
    match it {
        Through::Place(place) => proto::Through { position: place.number, chain: place.chain.0.to_vec() },
        Through::Next(position) => proto::Through { position, chain: Vec::new() },
    }
}

fn document(key: &DocumentKey) -> proto::Document {
    proto::Document {
        kind: u32::from(key.kind.number()),
        owner: key.owner.map(|owner| owner.0.to_vec()).unwrap_or_default(),
        name: key.name.clone(),
    }
}

fn delta(frame: &DeltaFrame, sender: NodeId) -> proto::Delta {
    let frontier = frame.frontier.as_ref().map(|claim| proto::SignedFrontier {
        version: claim.frontier.version,
        heads: claim.frontier.heads.to_bytes(),
        signature: claim.signature.0.to_vec(),
        author: if claim.author == sender { Vec::new() } else { claim.author.0.to_vec() },
        certificate: claim.certificates.clone(),
    });
    proto::Delta {
        document: Some(document(&frame.key)),
        generation: frame.generation,
        codec: codec(frame.codec).into(),
        changes: frame.changes.clone(),
        frontier,
        roots: frame.roots.iter().map(|claim| root(claim, sender)).collect(),
        transfer: frame.part.map(|part| part.transfer.0.to_vec()).unwrap_or_default(),
        offset: frame.part.map_or(0, |part| part.offset),
        total: frame.part.map_or(0, |part| part.total),
        earlier: Some(&frame.earlier).filter(|earlier| !earlier.is_empty()).map(frontiers),
    }
}

fn frontiers(it: &PackedFrontiers) -> proto::Frontiers {
    proto::Frontiers {
        authors: it.authors.clone(),
        signatures: it.signatures.clone(),
        rows: it.rows.clone(),
        hashes: it.hashes.clone(),
    }
}

fn codec(codec: Codec) -> proto::Codec {
    match codec {
        Codec::RawZstd => proto::Codec::RawZstd,
        Codec::Runs => proto::Codec::Runs,
        Codec::Columns => proto::Codec::Columns,
    }
}

fn root(claim: &UnverifiedRoot, sender: NodeId) -> proto::Root {
    let root = &claim.root;
    proto::Root {
        generation: root.generation,
        epoch: root.epoch,
        encoder: root.encoder,
        genesis: root.genesis.0.to_vec(),
        cut: root.cut.to_bytes(),
        clock: root.clock.to_bytes(),
        author: if claim.author == sender { Vec::new() } else { claim.author.0.to_vec() },
        signature: claim.signature.0.to_vec(),
    }
}

fn refuse(it: &Refuse) -> proto::Refuse {
    let reason = match it.reason {
        Reason::Other => proto::Reason::Unspecified,
        Reason::Malformed => proto::Reason::Malformed,
        Reason::UnknownAuthor => proto::Reason::UnknownAuthor,
        Reason::NotTheAuthor => proto::Reason::NotTheAuthor,
        Reason::Signature => proto::Reason::Signature,
        Reason::Disconnected => proto::Reason::Disconnected,
        Reason::Forked => proto::Reason::Forked,
        Reason::NotBelow => proto::Reason::NotBelow,
        Reason::Poison => proto::Reason::Poison,
        Reason::TooLarge => proto::Reason::TooLarge,
        Reason::Generation => proto::Reason::Generation,
        Reason::Revoked => proto::Reason::Revoked,
        Reason::Certificate => proto::Reason::Certificate,
        Reason::Past => proto::Reason::Past,
    };
    proto::Refuse {
        document: it.document.0.to_vec(),
        heads: it.heads.as_ref().map(crate::document::Heads::to_bytes).unwrap_or_default(),
        reason: reason.into(),
        message: it.message.clone(),
    }
}

fn close(it: &Close) -> proto::Close {
    let code = match it.code {
        CloseCode::Other => proto::CloseCode::Unspecified,
        CloseCode::NoCommonVersion => proto::CloseCode::NoCommonVersion,
        CloseCode::Protocol => proto::CloseCode::Protocol,
        CloseCode::Revoked => proto::CloseCode::Revoked,
        CloseCode::Busy => proto::CloseCode::Busy,
        CloseCode::Shutdown => proto::CloseCode::Shutdown,
        CloseCode::Storage => proto::CloseCode::Storage,
        CloseCode::Replaced => proto::CloseCode::Replaced,
        CloseCode::Cloned => proto::CloseCode::Cloned,
        CloseCode::Restarted => proto::CloseCode::Restarted,
    };
    proto::Close {
        code: code.into(),
        message: it.message.clone(),
        retry_after_ms: it.retry_after_ms,
        incarnation: it.incarnation,
    }
}

fn summary(it: &Summary) -> proto::Summary {
    match it {
        Summary::Listed(items) => {
            proto::Summary { items: items.iter().flat_map(|item| item.to_bytes()).collect(), count: 0 }
        }
        Summary::Counted(count) => proto::Summary { items: Vec::new(), count: *count },
    }
}

fn want(it: &Want) -> proto::Want {
    let wanted = it
        .documents
        .iter()
        .map(|wanted| proto::Wanted { document: wanted.document.0.to_vec(), clock: wanted.clock.to_bytes() });
    proto::Want { documents: wanted.collect(), more: it.more }
}
