//! The frames of one link, from an enrolled node, into a live hub; afterwards the hub still greets the node.

use automerge::ROOT;
use automerge::transaction::Transactable;
use sync_core::limits::FRAME_BYTES_MAX;
use sync_core::transport::frame::{FrameDecoder, prefixed};
use sync_core::wire::{DeltaFrame, Message, Push, PushEntry};

use crate::Seed;
use crate::door::{Door, changes_of, hash_of, heads_of, pack};
use crate::pushed;

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
    assert!(matches!(answers.first(), Some(Message::Hello(_))), "{answers:?}");
}

/// What a node may say on one link, as frames: an honest first contact, one in parts, and each crafted change.
pub(crate) fn conversations() -> Vec<(String, Vec<Vec<u8>>)> {
    let door = Door::silent();
    let (key, mut document) = pushed::small(&door);
    let say = |message: Message| message.encode(door.node.id());
    let hello = say(Message::Hello(door.hello()));
    let delta = |batch: Vec<u8>, heads| {
        let delta =
            DeltaFrame { key: key.clone(), generation: 0, changes: batch, frontier: Some(door.signed(&key, heads)) };
        say(Message::Push(Push { entry: Some(PushEntry::Delta(delta)), through: Some(door.place()), more: false }))
    };
    let heads = heads_of(&mut document);
    let honest = delta(pack(&changes_of(&mut document)), heads.clone());
    let part = {
        let part =
            DeltaFrame { key: key.clone(), generation: 0, changes: pack(&changes_of(&mut document)), frontier: None };
        say(Message::Push(Push { entry: Some(PushEntry::Delta(part)), through: None, more: true }))
    };
    let leave = say(Message::Push(Push { entry: Some(PushEntry::Leave(key.clone())), through: None, more: true }));
    let over = say(Message::Push(Push { entry: None, through: Some(door.place()), more: true }));
    let acknowledge = say(Message::Acknowledge(door.place()));
    document.put(ROOT, "image", "web:3").unwrap();
    let next_heads = heads_of(&mut document);
    let next = delta(pack(&changes_of(&mut document)), next_heads);
    let mut all = vec![
        ("hello".to_owned(), vec![hello.clone()]),
        ("honest".to_owned(), vec![hello.clone(), honest.clone(), acknowledge, next]),
        ("in-parts".to_owned(), vec![hello.clone(), part, delta(pack(&[]), heads), leave, over]),
    ];
    for (what, bytes, _) in pushed::crafted(&door, &document).into_iter().filter(|(_, bytes, _)| bytes.len() < 1000) {
        let bad = delta(pack(&[bytes.clone()]), vec![hash_of(&bytes)]);
        all.push((what.to_owned(), vec![hello.clone(), honest.clone(), bad]));
    }
    all
}

/// The same as streams.
pub fn seeds() -> Vec<Seed> {
    let stream = |frames: Vec<Vec<u8>>| frames.into_iter().flat_map(prefixed).collect();
    conversations().into_iter().map(|(name, frames)| (name, stream(frames))).collect()
}
