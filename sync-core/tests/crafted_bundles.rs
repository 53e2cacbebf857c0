//! What an enrolled member can put into a bundle under a valid signature of its own: nothing but what it may write gets in.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "fleet/bundled.rs"]
mod bundled;
#[path = "crafted/changes.rs"]
mod changes;
#[path = "fleet/door.rs"]
mod door;
#[path = "crafted/pushed.rs"]
mod pushed;
#[path = "fleet/world.rs"]
mod world;

use std::fmt::Write as _;
use std::io::Cursor;
use std::path::Path;

use automerge::ROOT;
use automerge::transaction::Transactable;
use serde_json::json;
use sync_core::document::{Codec, DocumentKey, PackedFrontiers, UnverifiedFrontier};
use sync_core::id::{Chain, NodeId};
use sync_core::identity::{Role, SigningKey};
use sync_core::limits::{BUNDLE_FRAMES_MAX, PART_BYTES_MIN};
use sync_core::part::{Part, transfer_id};
use sync_core::replica::bundle::{CheckedBundle, Fit, ImportError};
use sync_core::replica::{Event, Now};
use sync_core::wire::bundle::{BundleHeader, BundleReadError, BundleWriter};
use sync_core::wire::{DeltaFrame, Hello, Message, Position, Push, PushEntry, Reason};

use bundled::frames_of;
use door::{Door, changes_of, claim, document_of, frontier, hash_of, heads_of, pack};
use pushed::{crafted, small};
use world::{Seeded, layer_key, name};

fn place(number: u64) -> Position {
    Position { number, chain: Chain([number as u8; 16]) }
}

/// A step of the node's feed.
fn step(door: &Door, number: u64, key: &DocumentKey, changes: Vec<u8>, frontier: UnverifiedFrontier) -> Vec<u8> {
    let delta = DeltaFrame {
        key: key.clone(),
        generation: 0,
        codec: Codec::RawZstd,
        changes,
        frontier: Some(frontier),
        earlier: PackedFrontiers::default(),
        roots: Vec::new(),
        part: None,
    };
    let push = Push { entry: Some(PushEntry::Delta(delta)), through: Some(place(number).into()), more: false };
    Message::Push(push).encode(door.node.id())
}

/// The small document of the node's, as the first step.
fn honest(door: &Door) -> Vec<u8> {
    let (key, mut document) = small(door);
    let frontier = door.signed(&key, heads_of(&mut document));
    step(door, 1, &key, pack(&changes_of(&mut document)), frontier)
}

#[test]
fn every_crafted_change_in_a_bundle_is_refused_and_what_is_honest_afterwards_is_taken() {
    let mut door = Door::silent();
    let (key, document) = small(&door);
    let file = door.bundle(&[honest(&door)]);
    door.import(&file).unwrap();
    let before = door.dump();
    // A node may not write its own assignment.
    let other = DocumentKey::assignment(door.node.id());
    let mut assigned = door.document(&other);
    assigned.put(ROOT, "after", "all").unwrap();
    let heads = heads_of(&mut assigned);
    let assigned = step(&door, 3, &other, pack(&changes_of(&mut assigned)), door.signed(&other, heads));
    for (what, bytes, reason) in crafted(&door, &document) {
        let quarantined = door.quarantined();
        let bad = step(&door, 2, &key, pack(std::slice::from_ref(&bytes)), door.signed(&key, vec![hash_of(&bytes)]));
        let file = door.bundle(&[honest(&door), bad, assigned.clone()]);
        let imported = door.import(&file).unwrap();
        let reasons: Vec<Reason> = imported.refusals.iter().map(|refuse| refuse.reason).collect();
        assert_eq!(reasons, [reason, Reason::NotTheAuthor], "{what}: {imported:?}");
        assert_eq!((imported.fit, imported.held), (Fit::Refused, 1), "{what}");
        assert_eq!((door.dump(), door.quarantined()), (before.clone(), quarantined + 2), "{what}");
    }
    let kept = door.hub.inspect(|tx| tx.quarantined()).unwrap();
    assert!(kept.iter().all(|kept| kept.peer == door.node.id()));
    let mut document = document;
    document.put(ROOT, "after", "all").unwrap();
    let heads = heads_of(&mut document);
    let next = step(&door, 2, &key, pack(&changes_of(&mut document)), door.signed(&key, heads));
    let file = door.bundle(&[honest(&door), next]);
    assert_eq!(door.import(&file).unwrap().held, 2, "what is honest goes on");
}

#[test]
fn nobody_puts_words_into_the_mouth_of_another() {
    let mut door = Door::silent();
    let other = door.member(Role::Node);
    let hub = door.hub.identity().id();
    let forged = |door: &Door, key: DocumentKey, writer: NodeId, author: NodeId| {
        let mut document = document_of(&key, writer, 1);
        document.put(ROOT, "image", "evil").unwrap();
        let heads = heads_of(&mut document);
        let signed = claim(&frontier(&key, heads).sign(door.node.key()));
        step(door, 1, &key, pack(&changes_of(&mut document)), UnverifiedFrontier { author, ..signed })
    };
    let own = door.node.id();
    let tries = [
        (DocumentKey::observed(other.id()), own, own, Reason::NotTheAuthor),
        (DocumentKey::observed(other.id()), other.id(), other.id(), Reason::Signature),
        (layer_key("base"), own, own, Reason::NotTheAuthor),
        (layer_key("base"), hub, hub, Reason::Signature),
        (DocumentKey::release(&name("main")), own, own, Reason::NotTheAuthor),
        (DocumentKey::observed(own), other.id(), own, Reason::NotTheAuthor),
    ];
    let before = door.dump();
    for (key, writer, author, reason) in tries {
        let file = door.bundle(&[forged(&door, key.clone(), writer, author)]);
        let imported = door.import(&file).unwrap();
        assert_eq!(imported.refusals.first().map(|refuse| refuse.reason), Some(reason), "{key}: {imported:?}");
        assert_eq!((imported.fit, imported.held, door.dump()), (Fit::Refused, 0, before.clone()), "{key}");
    }
    while let Some(output) = door.hub.poll_output() {
        if let sync_core::replica::Output::Event(event) = output {
            assert!(matches!(event, Event::Quarantined { peer, .. } if peer == own), "{event:?}");
        }
    }
}

#[test]
fn what_somebody_else_has_signed_may_be_carried() {
    let mut door = Door::silent();
    let other = door.member(Role::Node);
    let key = DocumentKey::observed(other.id());
    let mut document = document_of(&key, other.id(), 1);
    document.put(ROOT, "image", "web:1").unwrap();
    let signed = claim(&frontier(&key, heads_of(&mut document)).sign(other.key()));
    let file = door.bundle(&[step(&door, 1, &key, pack(&changes_of(&mut document)), signed)]);
    let imported = door.import(&file).unwrap();
    assert_eq!((imported.fit, imported.refused), (Fit::Continues, 0), "{imported:?}");
}

#[test]
fn frames_that_do_not_belong_into_a_bundle_end_its_import_and_what_came_before_stands() {
    for frame in [Message::Acknowledge(1), Message::Hello(Door::silent().hello())] {
        let mut door = Door::silent();
        let file = door.bundle(&[honest(&door), frame.encode(door.node.id())]);
        let refused = door.import(&file);
        assert!(matches!(refused, Err(ImportError::Unexpected)), "{refused:?}");
        assert!(door.hub.read(&small(&door).0).unwrap().is_some());
    }
    let mut door = Door::silent();
    let file = door.bundle(&[honest(&door), vec![0xff; 40]]);
    assert!(matches!(door.import(&file), Err(ImportError::Frame(_))));
    // Without a hello nobody knows which feed it is.
    let hub = door.hub.identity().id();
    let file = bundled::bundle_of(&door.node, hub, &door.hello(), &[honest(&door)]);
    assert!(matches!(door.import(&file), Err(ImportError::Unexpected)));
}

#[test]
fn parts_that_do_not_make_up_a_transfer_change_nothing() {
    let mut door = Door::silent();
    let (key, mut document) = small(&door);
    let mut entropy = Seeded(3);
    // Half of it is more than the smallest part.
    let text: String = (0..1_000).map(|_| format!("{:016x}", entropy.next())).collect();
    document.put(ROOT, "text", text).unwrap();
    let changes = pack(&changes_of(&mut document));
    let (total, half, transfer) = (changes.len() as u64, changes.len() / 2, transfer_id(&changes));
    assert!(half >= PART_BYTES_MIN);
    let heads = heads_of(&mut document);
    let part = |door: &Door, offset: u64, changes: &[u8], is_last: bool| {
        let part = Some(Part { transfer, offset, total });
        let frontier = is_last.then(|| door.signed(&key, heads.clone()));
        let roots = Vec::new();
        let delta = DeltaFrame {
            key: key.clone(),
            generation: 0,
            codec: Codec::RawZstd,
            changes: changes.to_vec(),
            frontier,
            earlier: PackedFrontiers::default(),
            roots,
            part,
        };
        let through = is_last.then(|| place(1).into());
        Message::Push(Push { entry: Some(PushEntry::Delta(delta)), through, more: !is_last }).encode(door.node.id())
    };
    let (first, last) = (part(&door, 0, &changes[..half], false), part(&door, half as u64, &changes[half..], true));
    let before = door.dump();
    let file = door.bundle(std::slice::from_ref(&last));
    let refused = door.import(&file);
    assert!(matches!(refused, Err(ImportError::Unexpected)), "an end without a beginning: {refused:?}");
    let damaged = part(&door, 0, &vec![7; half], false);
    let file = door.bundle(&[damaged, last.clone()]);
    assert_eq!((door.import(&file).unwrap().held, door.dump()), (0, before.clone()));
    let file = door.bundle(std::slice::from_ref(&first));
    assert_eq!((door.import(&file).unwrap().held, door.dump()), (0, before), "a beginning without an end");
    let file = door.bundle(&[first, last]);
    assert_eq!(door.import(&file).unwrap().held, 1);
}

fn bare(door: &Door, number: u64) -> Vec<u8> {
    Message::Push(Push { entry: None, through: Some(place(number).into()), more: true }).encode(door.node.id())
}

#[test]
fn a_bundle_of_millions_of_tiny_frames_ends_at_the_bound() {
    let mut door = Door::silent();
    let frames = vec![bare(&door, 1); BUNDLE_FRAMES_MAX as usize - 1];
    let file = door.bundle(&frames);
    assert_eq!(door.import(&file).unwrap().held, 1, "as many as there may be");
    let file = door.bundle(&[frames, vec![bare(&door, 1)]].concat());
    let refused = door.import(&file);
    assert!(matches!(refused, Err(ImportError::Read(BundleReadError::TooManyFrames))), "{refused:?}");
}

#[test]
fn links_are_served_between_the_steps_of_an_import() {
    let mut door = Door::silent();
    let file = door.bundle(&(1..100).map(|number| bare(&door, number)).collect::<Vec<_>>());
    let checked = CheckedBundle::check(door.hub.identity(), Cursor::new(file)).unwrap();
    let mut import = door.hub.begin_import(Now::default(), checked).unwrap();
    assert_eq!(door.hub.import_step(Now::default(), &mut import).unwrap(), None);
    // The exporter itself comes, with something of its own, and its word of how far its feed goes counts.
    door.dial();
    door.greet();
    let (key, mut document) = small(&door);
    let frontier = door.signed(&key, heads_of(&mut document));
    let answers = door.push(&key, 0, pack(&changes_of(&mut document)), frontier);
    assert!(matches!(answers[..], [Message::Acknowledge(_)]), "{answers:?}");
    let imported = loop {
        if let Some(imported) = door.hub.import_step(Now::default(), &mut import).unwrap() {
            break imported;
        }
    };
    let node = door.node.id();
    let held = door.hub.inspect(|tx| tx.peer(node)).unwrap().unwrap().cursor.unwrap().number;
    assert_eq!((imported.held, imported.fit, imported.through), (held, Fit::Gap, 99));
}

#[test]
fn what_the_hello_acknowledges_stands_though_a_later_frame_is_broken() {
    for broken in [vec![0xff; 40], Message::Acknowledge(1).encode(NodeId([0; 32]))] {
        let mut door = Door::open();
        let (node, hub) = (door.node.id(), door.hub.identity().id());
        // Something that the node is owed: the roster.
        door.hub.edit(Now::default(), |edit| edit.write(&DocumentKey::roster(), &world::map(json!({})))).unwrap();
        let row = |door: &mut Door| door.hub.inspect(|tx| tx.peer(node)).unwrap().unwrap();
        let before = row(&mut door);
        assert!(before.head.number > before.acked, "{before:?}");
        let hello = Hello { cursor: Some(before.head), ..door.hello() };
        let frames = [Message::Hello(hello.clone()).encode(node), broken];
        let file = bundled::bundle_of(&door.node, hub, &hello, &frames);
        assert!(door.import(&file).is_err());
        assert_eq!(row(&mut door).acked, before.head.number);
        // Nor does an older one take it back.
        let older = Hello { cursor: Some(Position { number: 0, ..before.head }), ..door.hello() };
        let file = bundled::bundle_of(&door.node, hub, &older, &[Message::Hello(older.clone()).encode(node)]);
        assert_eq!(door.import(&file).unwrap().acknowledged, before.head.number);
    }
}

#[test]
fn lengths_that_lie_are_refused() {
    let door = Door::silent();
    let file = door.bundle(&[honest(&door)]);
    let header = file.len() - frames_of(&file).iter().map(|frame| frame.len() + 4).sum::<usize>() - 4 - 64;
    let mut door = Door::silent();
    for length in [u32::MAX, 0, 1] {
        let mut changed = file.clone();
        changed[header..header + 4].copy_from_slice(&length.to_le_bytes());
        let end = changed.len() - 64;
        // Signed as it is: the exporter itself lies.
        let hash = blake3::Hasher::new_derive_key("archipel 2026 bundle content").update(&changed[..end]).finalize();
        let message = [&b"archipel 2026 bundle\0"[..], hash.as_bytes()].concat();
        let signature = door.node.key().sign(&message);
        changed[end..].copy_from_slice(&signature.0);
        let refused = door.import(&changed);
        assert!(
            matches!(
                refused,
                Err(ImportError::Read(BundleReadError::Malformed { .. })
                    | ImportError::Unexpected
                    | ImportError::Frame(_))
            ),
            "{length}: {refused:?}"
        );
    }
}

#[test]
fn a_bundle_has_the_bytes_it_always_had() {
    let header = BundleHeader { recipient: NodeId([2; 32]), from: place(3), certificate: vec![4; 5] };
    let mut file = Vec::new();
    let mut writer = BundleWriter::begin(&mut file, &header).unwrap();
    writer.frame(&[6, 7]).unwrap();
    writer.frame(&[8]).unwrap();
    writer.finish(&SigningKey::from_seed([1; 32])).unwrap();
    let mut hex = String::new();
    for line in file.chunks(32) {
        line.iter().for_each(|byte| write!(hex, "{byte:02x}").unwrap());
        hex.push('\n');
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/bundle.hex");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &hex).unwrap();
    }
    let refresh = "UPDATE_GOLDEN=1 cargo test -p sync-core --test crafted_bundles";
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(hex, golden, "older programs read other bytes; if that is meant, {refresh}");
    assert_eq!(frames_of(&file), [vec![6, 7], vec![8]]);
}
