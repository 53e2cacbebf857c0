//! Entries of a feed as an attacker makes them.

use automerge::transaction::Transactable;
use automerge::{ActorId, AutoCommit, Change, ROOT};
use sync_core::document::codec::{Base, Codec, pack_as};
use sync_core::document::genesis::genesis;
use sync_core::document::{
    ActorBytes, Clock, DocumentKey, DocumentKind, Frontier, Heads, PackedFrontiers, SignedFrontier, UnverifiedFrontier,
};
use sync_core::id::{ChangeHash, Name, NodeId};
use sync_core::identity::Signature;
use sync_core::state::desired::DEFAULT_RELEASE;
use sync_core::wire::{DeltaFrame, Part, PushEntry};

use super::changes::{Chunk, document_of};
use super::insider::{Insider, Record, bytes};
use crate::random::Random;

/// Changes as they are, under zstd.
pub(super) fn raw(chunks: &[Vec<u8>]) -> Vec<u8> {
    let chunks: Vec<&[u8]> = chunks.iter().map(Vec::as_slice).collect();
    let packed = pack_as(Codec::RawZstd, &Base::nothing(&Clock::default()), &chunks);
    packed.ok().flatten().map(|packed| packed.bytes).unwrap_or_default()
}

/// A delta that is all of its batch.
pub(super) fn delta(key: DocumentKey, changes: Vec<u8>, frontier: Option<UnverifiedFrontier>) -> DeltaFrame {
    let generation = frontier.as_ref().map_or(0, |claim| claim.frontier.generation);
    DeltaFrame {
        key,
        generation,
        codec: Codec::RawZstd,
        changes,
        frontier,
        earlier: PackedFrontiers::default(),
        part: None,
        roots: Vec::new(),
    }
}

/// A part of a transfer of which the rest never comes.
pub(super) fn endless(key: DocumentKey, part: Part, changes: Vec<u8>) -> PushEntry {
    PushEntry::Delta(DeltaFrame { part: Some(part), ..delta(key, changes, None) })
}

/// A frontier under the node's key.
pub(super) fn signed(
    insider: &Insider,
    key: &DocumentKey,
    (generation, version): (u32, u64),
    heads: Vec<ChangeHash>,
) -> Option<UnverifiedFrontier> {
    let frontier = Frontier { document: key.id(), generation, version, heads: Heads::new(heads)? };
    Some(claim(&frontier.sign(insider.identity.key())))
}

fn claim(signed: &SignedFrontier) -> UnverifiedFrontier {
    UnverifiedFrontier {
        frontier: signed.frontier().clone(),
        author: signed.author(),
        signature: *signed.signature(),
        certificates: Vec::new(),
    }
}

/// One change of the node's own report, under a signature of its own.
pub(super) fn of_own(insider: &Insider, chunk: Chunk) -> Option<PushEntry> {
    let (key, own) = (DocumentKey::observed(insider.node()), insider.own());
    let frontier = signed(insider, &key, (own.generation, own.version.saturating_add(1)), vec![chunk.hash])?;
    Some(PushEntry::Delta(delta(key, raw(&[chunk.bytes]), Some(frontier))))
}

/// What was signed and sent before, once more.
pub(super) fn again(record: &Record) -> PushEntry {
    let frame = delta(record.key.clone(), raw(&record.chunks), Some(claim(&record.signed)));
    PushEntry::Delta(DeltaFrame { roots: record.roots.clone(), ..frame })
}

/// Documents that the node has no right to write.
pub(super) fn foreign(insider: &Insider) -> Vec<DocumentKey> {
    let mut keys = vec![DocumentKey::assignment(insider.node()), DocumentKey::placement(), DocumentKey::roster()];
    keys.extend(Name::new(DEFAULT_RELEASE).ok().map(|name| DocumentKey::release(&name)));
    let layers = insider.layers.iter().map(String::as_str).chain(["not-yet"]);
    keys.extend(layers.filter_map(|name| Name::new(name).ok()).map(|name| DocumentKey::layer(&name)));
    for other in &insider.others {
        keys.extend(DocumentKey::written_by(*other));
        keys.push(DocumentKey::assignment(*other));
    }
    keys
}

/// A change of `key` by an actor of `author`, on nothing but the document's genesis, under a frontier that `author` is said to
/// have signed: the node in its own name, or with a signature that is not the author's.
pub(super) fn forged(insider: &Insider, key: &DocumentKey, author: NodeId, random: &mut Random) -> Option<PushEntry> {
    let actor = ActorBytes::mint(&author, bytes(random));
    let mut document = document_of(&[genesis(key).bytes], actor)?;
    document.put(ROOT, "stolen", random.next_u64()).ok()?;
    let (change, heads) = (last(&mut document)?, heads(&mut document));
    let mut frontier = signed(insider, key, (0, 1 << 20), heads)?;
    if author != insider.node() {
        frontier.author = author;
        if random.below(2) == 0 {
            frontier.signature = Signature(bytes(random));
        }
    }
    Some(PushEntry::Delta(delta(key.clone(), raw(&[change]), Some(frontier))))
}

/// A frontier of somebody else with another version, or other heads, under its old signature.
pub(super) fn altered(record: &Record, random: &mut Random) -> PushEntry {
    let mut frontier = claim(&record.signed);
    if random.below(2) == 0 {
        frontier.frontier.version += 1 + random.below(1000);
    } else {
        frontier.frontier.heads = Heads::new(vec![ChangeHash(bytes(random))]).unwrap_or(frontier.frontier.heads);
    }
    PushEntry::Delta(delta(record.key.clone(), raw(&record.chunks), Some(frontier)))
}

/// The document that an actor has written into, as bytes of its last change.
fn last(document: &mut AutoCommit) -> Option<Vec<u8>> {
    document.commit();
    document.get_changes(&[]).last().map(|change: &Change| change.raw_bytes().to_vec())
}

fn heads(document: &mut AutoCommit) -> Vec<ChangeHash> {
    document.get_heads().into_iter().map(|hash| ChangeHash(hash.0)).collect()
}

/// An actor as Automerge has it.
pub(super) fn actor(bytes: ActorBytes) -> ActorId {
    ActorId::from(&bytes.0[..])
}

/// Layers that are none.
pub(super) fn no_layers(count: usize) -> Vec<DocumentKey> {
    let name = |number| Name::new(&format!("layer-{number}")).ok();
    let keys = (0..count).filter_map(name).map(|name| DocumentKey::layer(&name));
    keys.filter(|key| key.kind == DocumentKind::Layer).collect()
}
