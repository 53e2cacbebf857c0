//! The frames of one link, from an enrolled node, into a live hub; afterwards the hub still answers the node.

use automerge::ROOT;
use automerge::transaction::Transactable;
use sync_core::document::generation::{ENCODER, Root};
use sync_core::document::genesis::genesis_after_cut;
use sync_core::document::{ActorBytes, Clock, Codec, FrontierDigest, Heads, PackedFrontiers, UnverifiedFrontier};
use sync_core::identity::Role;
use sync_core::limits::{FRAME_BYTES_MAX, PART_BYTES_MIN, WINDOW_BYTES_MAX};
use sync_core::part::{Part, transfer_id};
use sync_core::transport::frame::{FrameDecoder, prefixed};
use sync_core::wire::{
    Close, CloseCode, DeltaFrame, Message, Push, PushEntry, Reconcile, Summary, Through, Want, Wanted,
};

use crate::Seed;
use crate::door::{Door, changes_of, hash_of, heads_of, pack};
use crate::lines::{Lines, bad, together};
use crate::pushed;
use crate::world::Seeded;

/// Runs a stream of frames with their lengths.
pub fn run(bytes: &[u8]) {
    let mut decoder = FrameDecoder::new(FRAME_BYTES_MAX);
    decoder.push(bytes);
    let mut door = Door::silent();
    while let Ok(Some(frame)) = decoder.next_frame() {
        door.say_bytes(&frame);
    }
    door.dial();
    let answers = door.say(&Message::Hello(door.hello()));
    // It may have spoken for a newer life of its store, or for one that goes on beside this one.
    let is_told_apart = |close: &Close| matches!(close.code, CloseCode::Restarted | CloseCode::Cloned);
    let is_greeted = match answers.first() {
        Some(Message::Hello(_)) => true,
        Some(Message::Close(close)) => is_told_apart(close),
        _ => false,
    };
    assert!(is_greeted, "{answers:?}");
}

/// What a node may say on one link, as frames: an honest first contact, one in parts, and each crafted change.
pub(crate) fn conversations() -> Vec<(String, Vec<Vec<u8>>)> {
    let door = Door::silent();
    let (key, mut document) = pushed::small(&door);
    let say = |message: Message| message.encode(door.node.id());
    let hello = say(Message::Hello(door.hello()));
    let delta = |batch: Vec<u8>, heads| {
        let delta = DeltaFrame {
            key: key.clone(),
            generation: 0,
            codec: Codec::RawZstd,
            changes: batch,
            frontier: Some(door.signed(&key, heads)),
            earlier: PackedFrontiers::default(),
            roots: Vec::new(),
            part: None,
        };
        say(Message::Push(Push {
            entry: Some(PushEntry::Delta(delta)),
            through: Some(door.place().into()),
            more: false,
        }))
    };
    let heads = heads_of(&mut document);
    let cut = Heads::new(heads.clone()).expect("one head");
    let honest = delta(pack(&changes_of(&mut document)), heads.clone());
    let parts = parts(&door);
    let leave = say(Message::Push(Push { entry: Some(PushEntry::Leave(key.clone())), through: None, more: true }));
    let over = say(Message::Push(Push { entry: None, through: Some(door.place().into()), more: true }));
    let acknowledge = say(Message::Acknowledge(door.place().number));
    document.put(ROOT, "image", "web:3").unwrap();
    let next_heads = heads_of(&mut document);
    let next = delta(pack(&changes_of(&mut document)), next_heads);
    let mut all = vec![
        ("hello".to_owned(), vec![hello.clone()]),
        ("honest".to_owned(), vec![hello.clone(), honest.clone(), acknowledge, next]),
        ("in-parts".to_owned(), [vec![hello.clone()], parts, vec![leave, over]].concat()),
    ];
    let generation = {
        let genesis = genesis_after_cut(&key, 1, &cut, &serde_json::Map::new());
        let genesis = genesis.ok().flatten().map_or(hash_of(&[]), |genesis| genesis.meta.hash);
        let mut clock = Clock::default();
        clock.raise(ActorBytes([7; 16]), 3);
        let root = Root { document: key.id(), generation: 1, epoch: 0, encoder: ENCODER, genesis, cut, clock };
        let roots = vec![root.sign(door.node.key()).to_claim()];
        let mut frontier = door.signed(&key, vec![genesis]);
        frontier.frontier.generation = 1;
        let delta = DeltaFrame {
            key: key.clone(),
            generation: 1,
            codec: Codec::RawZstd,
            changes: pack(&[]),
            frontier: Some(frontier),
            earlier: PackedFrontiers::default(),
            roots,
            part: None,
        };
        say(Message::Push(Push {
            entry: Some(PushEntry::Delta(delta)),
            through: Some(door.place().into()),
            more: false,
        }))
    };
    all.push(("generation".to_owned(), vec![hello.clone(), honest.clone(), generation]));
    let digest = FrontierDigest::new(key.id(), 0, &Heads::new(heads_of(&mut document)).expect("one head"));
    let mut clock = Clock::default();
    clock.raise(ActorBytes([7; 16]), 3);
    let wanted = vec![Wanted { document: key.id(), clock }];
    let reconcile = [
        say(Message::Summary(Summary::Listed(vec![digest]))),
        say(Message::Want(Want { documents: wanted, more: false })),
        say(Message::Summary(Summary::Counted(3_000))),
        say(Message::Reconcile(Reconcile { message: vec![0x61, 0, 0, 2, 0], answer: false })),
        say(Message::Reconcile(Reconcile { message: vec![0x61, 0, 0, 1, 1, 2, 3], answer: true })),
    ];
    all.push(("reconcile".to_owned(), [hello.clone()].into_iter().chain(reconcile).collect()));
    let another_total = {
        let mut parts = self::parts(&door);
        let Ok(Message::Push(mut push)) = Message::decode(&parts[1], door.node.id()) else { unreachable!() };
        if let Some(PushEntry::Delta(DeltaFrame { part: Some(part), frontier, .. })) = &mut push.entry {
            (part.total, *frontier) = (part.total + 1, None);
        }
        (push.through, push.more) = (None, true);
        parts[1] = say(Message::Push(push));
        parts
    };
    all.push(("another-total".to_owned(), [vec![hello.clone()], another_total].concat()));
    let credit = say(Message::Credit(WINDOW_BYTES_MAX));
    all.push(("credit".to_owned(), [vec![hello.clone()], vec![credit; 8]].concat()));
    for (what, bytes, _) in pushed::crafted(&door, &document).into_iter().filter(|(_, bytes, _)| bytes.len() < 1000) {
        let bad = delta(pack(&[bytes.clone()]), vec![hash_of(&bytes)]);
        all.push((what.to_owned(), vec![hello.clone(), honest.clone(), bad]));
    }
    for (what, frame) in batches() {
        let push = Push { entry: Some(PushEntry::Delta(frame)), through: Some(door.place().into()), more: false };
        all.push((what.to_owned(), vec![hello.clone(), say(Message::Push(push))]));
    }
    let next = {
        let delta = Message::decode(&honest, door.node.id());
        let Ok(Message::Push(push)) = delta else { unreachable!() };
        say(Message::Push(Push { through: Some(Through::Next(1)), ..push }))
    };
    let start = Message::Push(Push { entry: None, through: Some(door.place().into()), more: true });
    all.push(("a-place-without-its-chain".to_owned(), vec![hello, say(start), next]));
    all
}

/// Frontiers of a layer that travel together: two hubs', one of which a fresh hub learns of by its certificate.
fn batches() -> Vec<(&'static str, DeltaFrame)> {
    let mut door = Door::silent();
    let other = door.stranger(Role::Hub);
    let hubs = [&other, door.hub.identity()];
    let mut lines = Lines::new(hubs);
    [(0, false), (1, true), (0, true), (0, false), (1, false)]
        .into_iter()
        .for_each(|(by, above)| lines.edit(by, above));
    let certificate = other.chain().first().map(|certificate| certificate.to_vec());
    let honest = [("frontiers-that-travel-together", together(&lines.edits))];
    let bad = bad(hubs, &door.node).into_iter().map(|(what, frame, ..)| (what, frame));
    let mut all: Vec<_> = honest.into_iter().chain(bad).collect();
    for (_, frame) in &mut all {
        frame.frontier.iter_mut().for_each(|claim| claim.certificates.extend(certificate.clone()));
    }
    all
}

/// A delta that is just large enough for two parts.
fn parts(door: &Door) -> Vec<Vec<u8>> {
    let (key, mut document) = pushed::small(door);
    let mut random = Seeded(1);
    let text: String = (0..600).map(|_| format!("{:016x}", random.next())).collect();
    document.put(ROOT, "text", text).unwrap();
    let changes = pack(&changes_of(&mut document));
    let heads = heads_of(&mut document);
    let (transfer, total) = (transfer_id(&changes), changes.len() as u64);
    let (first, last) = changes.split_at(PART_BYTES_MIN);
    let frame = |offset: usize, changes: &[u8], frontier: Option<UnverifiedFrontier>| {
        let (changes, earlier, roots) = (changes.to_vec(), PackedFrontiers::default(), Vec::new());
        let part = Some(Part { transfer, offset: offset as u64, total });
        let (through, more) = (frontier.is_some().then(|| door.place().into()), frontier.is_none());
        let delta = DeltaFrame {
            key: key.clone(),
            generation: 0,
            codec: Codec::RawZstd,
            changes,
            frontier,
            earlier,
            roots,
            part,
        };
        Message::Push(Push { entry: Some(PushEntry::Delta(delta)), through, more }).encode(door.node.id())
    };
    vec![frame(0, first, None), frame(first.len(), last, Some(door.signed(&key, heads)))]
}

/// The same as streams.
pub fn seeds() -> Vec<Seed> {
    let stream = |frames: Vec<Vec<u8>>| frames.into_iter().flat_map(prefixed).collect();
    conversations().into_iter().map(|(name, frames)| (name, stream(frames))).collect()
}
