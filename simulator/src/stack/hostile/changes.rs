//! Changes that no honest author writes, made out of a valid next change of the node's own report.
//!
//! What Automerge alone does with many of them, and why the door refuses each, is in `docs/admission.md`.

use automerge::legacy::{Key, ObjectId, Op, OpId, OpType};
use automerge::transaction::Transactable;
use automerge::{AutoCommit, Change, ExpandedChange, ObjType, ROOT, ScalarValue};
use sha2::{Digest, Sha256};
use sync_core::document::ActorBytes;
use sync_core::id::{ChangeHash, NodeId};

use super::insider::{Insider, bytes};
use super::pushes::actor;
use crate::random::Random;

/// Bytes of a chunk before its checksum is over: the magic, and four bytes of the checksum itself.
const CHECKED_FROM: usize = 8;

/// A change as it is sent, and the hash that a frontier names it by.
#[derive(Debug, Clone)]
pub(super) struct Chunk {
    pub(super) bytes: Vec<u8>,
    pub(super) hash: ChangeHash,
}

impl Chunk {
    fn of(bytes: Vec<u8>) -> Self {
        let hash = ChangeHash(Sha256::digest(bytes.get(CHECKED_FROM..).unwrap_or_default()).into());
        Self { bytes, hash }
    }
}

/// The document of these changes, to be written by `actor`.
pub(super) fn document_of(chunks: &[Vec<u8>], author: ActorBytes) -> Option<AutoCommit> {
    let changes: Result<Vec<Change>, _> = chunks.iter().map(|chunk| Change::from_bytes(chunk.clone())).collect();
    let mut document = AutoCommit::new().with_actor(actor(author));
    document.apply_changes(changes.ok()?).ok()?;
    Some(document)
}

/// Makes changes on top of what the node has reported.
pub(super) struct Forge {
    document: AutoCommit,
    own: ActorBytes,
    node: NodeId,
    other: NodeId,
}

impl Forge {
    /// With a new actor of the node's own.
    pub(super) fn new(insider: &Insider, random: &mut Random) -> Option<Self> {
        let node = insider.node();
        Self::with_actor(insider, ActorBytes::mint(&node, bytes(random)))
    }

    /// With any actor.
    pub(super) fn with_actor(insider: &Insider, own: ActorBytes) -> Option<Self> {
        let other = insider.others.first().or(insider.hubs.first()).copied();
        let node = insider.node();
        let document = document_of(&insider.own().chunks, own)?;
        Some(Self { document, own, node, other: other.unwrap_or(node) })
    }

    /// A valid next change that writes `value`, edited.
    pub(super) fn next(&self, value: u64, edit: impl FnOnce(&mut ExpandedChange)) -> Option<Chunk> {
        let mut document = self.document.clone();
        document.put(ROOT, "stolen", value).ok()?;
        document.commit();
        let mut expanded = document.get_changes(&[]).last()?.decode();
        edit(&mut expanded);
        Some(Chunk::of(Change::from(expanded).raw_bytes().to_vec()))
    }

    /// The last change that the node wrote itself, edited: its number is used twice.
    pub(super) fn last(&self, edit: impl FnOnce(&mut ExpandedChange)) -> Option<Chunk> {
        let changes = self.document.clone().get_changes(&[]);
        let of_node = |change: &&Change| change.actor_id().to_bytes().get(..8) == self.node.0.get(..8);
        let mut expanded = changes.iter().rev().find(of_node)?.decode();
        edit(&mut expanded);
        Some(Chunk::of(Change::from(expanded).raw_bytes().to_vec()))
    }

    /// Everything that is known to break a parser, or to leave what it parses into between two states.
    pub(super) fn crafted(&self, random: &mut Random) -> Vec<Chunk> {
        let own = |counter: u64| OpId(counter, actor(self.own));
        let unseen = OpId(1, actor(ActorBytes::mint(&self.node, bytes(random))));
        let stranger = OpId(1, actor(ActorBytes::mint(&self.other, bytes(random))));
        let value = random.next_u64();
        let op =
            |edit: &dyn Fn(&mut Op)| self.next(value, |change| change.operations.iter_mut().take(1).for_each(edit));
        let change = |edit: &dyn Fn(&mut ExpandedChange)| self.next(value, |change| edit(change));
        let ids = [1, 2, 3, 1 << 20].map(own);
        let mut chunks = vec![
            change(&|it| it.extra_bytes = vec![1, 1, b'x']),
            change(&|it| it.deps = vec![automerge::ChangeHash([7; 32])]),
            change(&|it| it.deps.clear()),
            change(&|it| it.start_op = counter(1 << 30)),
            change(&|it| it.start_op = counter(u64::from(u32::MAX))),
            change(&|it| it.message = Some("m".repeat(70_000))),
            op(&|op| op.pred = vec![unseen.clone()].into()),
            op(&|op| op.pred = vec![stranger.clone()].into()),
            op(&|op| op.action = OpType::Make(ObjType::Text)),
            op(&|op| op.action = OpType::Put(ScalarValue::counter(1))),
            op(&|op| op.action = OpType::Increment(1)),
            op(&|op| op.action = OpType::Delete),
            op(&|op| op.insert = true),
            op(&|op| op.key = Key::Seq(own(2).into())),
        ];
        for id in ids {
            chunks.push(op(&|op| op.obj = ObjectId::Id(id.clone())));
            chunks.push(op(&|op| op.pred = vec![id.clone()].into()));
        }
        chunks.extend(self.containers());
        if let Some(whole) = self.next(value, |_| {}) {
            chunks.extend(damaged(&whole.bytes, random).into_iter().map(Some));
        }
        chunks.extend([Some(Chunk::of(Vec::new())), Some(chunk(0, b"")), Some(chunk(255, b""))]);
        chunks.into_iter().flatten().collect()
    }

    /// What Automerge's own load takes beside changes.
    fn containers(&self) -> Vec<Option<Chunk>> {
        let mut document = self.document.clone();
        let saved = document.save();
        let hashes: Vec<_> = document.get_changes(&[]).iter().map(Change::hash).collect();
        let bundle = document.bundle(hashes).ok().map(|bundle| bundle.bytes().to_vec());
        let torn = bundle.clone().map(|mut bundle| {
            let middle = bundle.len() / 2;
            if let Some(byte) = bundle.get_mut(middle) {
                *byte ^= 1;
            }
            Chunk::of(bundle)
        });
        vec![Some(Chunk::of(saved)), bundle.map(Chunk::of), torn]
    }

    /// Little that unpacks to much, each as a change.
    pub(super) fn bombs(&self) -> Vec<Chunk> {
        let mut document = self.document.clone();
        let deflated = document.put(ROOT, "zeros", "0".repeat(1 << 20)).ok().and_then(|()| {
            document.commit();
            document.get_changes(&[]).last().map(|change| Chunk::of(change.clone().bytes().to_vec()))
        });
        let long = "k".repeat(4000);
        let put = Op {
            action: OpType::Put("".into()),
            obj: ObjectId::Root,
            key: Key::Map(long.into()),
            pred: Vec::new().into(),
            insert: false,
        };
        let keys = self.next(0, |change| change.operations = vec![put; 20_000]);
        deflated.into_iter().chain(keys).collect()
    }

    /// Claims more operations than anything could hold, in some hundred bytes of run lengths.
    pub(super) fn claims(&self) -> Vec<Chunk> {
        [1 << 20, 1 << 36, i64::MAX].map(|count| equal_operations(self.own, count)).into()
    }
}

fn counter(number: u64) -> std::num::NonZeroU64 {
    std::num::NonZeroU64::new(number).unwrap_or(std::num::NonZeroU64::MIN)
}

/// A valid change with a bit flipped, under the right checksum; with bytes after it; cut short.
fn damaged(whole: &[u8], random: &mut Random) -> Vec<Chunk> {
    let mut damaged = Vec::new();
    for _ in 0..16 {
        let mut bytes = whole.to_vec();
        let place = CHECKED_FROM + usize::try_from(random.below(whole.len() as u64)).unwrap_or(0);
        if let Some(byte) = bytes.get_mut(place) {
            *byte ^= 1 << random.below(8);
        }
        damaged.push(Chunk::of(with_checksum(bytes)));
    }
    damaged.push(Chunk::of([whole, &[0]].concat()));
    damaged.push(Chunk::of(whole.get(..whole.len() / 2).unwrap_or_default().to_vec()));
    damaged
}

/// A chunk of this type and body, with the right length and checksum.
fn chunk(kind: u8, body: &[u8]) -> Chunk {
    let mut bytes = vec![0x85, 0x6f, 0x4a, 0x83, 0, 0, 0, 0, kind];
    write_unsigned(&mut bytes, body.len() as u64);
    bytes.extend(body);
    Chunk::of(with_checksum(bytes))
}

fn with_checksum(mut bytes: Vec<u8>) -> Vec<u8> {
    let hash = Sha256::digest(bytes.get(CHECKED_FROM..).unwrap_or_default());
    if let Some(sum) = bytes.get_mut(4..CHECKED_FROM) {
        sum.iter_mut().zip(hash).for_each(|(to, from)| *to = from);
    }
    bytes
}

/// A first change of `own` that sets one field to null `count` times, as run lengths.
fn equal_operations(own: ActorBytes, count: i64) -> Chunk {
    let run = |value: &[u8]| {
        let mut run = Vec::new();
        write_signed(&mut run, count);
        run.extend(value);
        run
    };
    let mut never = Vec::new();
    write_unsigned(&mut never, count.unsigned_abs());
    // Columns as Automerge numbers them: key, insert, action, metadata of values, count of predecessors.
    let columns = [(0x15, run(b"\x01k")), (0x34, never), (0x42, run(&[1])), (0x56, run(&[0])), (0x70, run(&[0]))];
    let mut body = vec![0, 16];
    body.extend(own.0);
    // Number 1, operation 1, time 0, no message, no other actors.
    body.extend([1, 1, 0, 0, 0]);
    write_unsigned(&mut body, columns.len() as u64);
    for (number, column) in &columns {
        write_unsigned(&mut body, *number);
        write_unsigned(&mut body, column.len() as u64);
    }
    columns.iter().for_each(|(_, column)| body.extend(column));
    chunk(1, &body)
}

fn write_unsigned(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push((value & 0x7f) as u8);
}

fn write_signed(out: &mut Vec<u8>, mut value: i64) {
    while !(-64..64).contains(&value) {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push((value & 0x7f) as u8);
}
