//! What an enrolled peer can push through the door: each crafted input is refused with a reason, quarantined, and leaves no
//! trace; other documents of the session go through, and honest changes afterwards are taken.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "crafted/changes.rs"]
mod changes;
#[path = "fleet/door.rs"]
mod door;
#[path = "crafted/pushed.rs"]
mod pushed;
#[path = "crafted/waiting.rs"]
mod waiting;
#[path = "fleet/world.rs"]
mod world;

use automerge::transaction::Transactable;
use automerge::{AutoCommit, Change, ROOT};
use sync_core::document::{DocumentKey, DocumentKind, UnverifiedFrontier};
use sync_core::id::{ChangeHash, TransferId};
use sync_core::identity::{Role, Signature};
use sync_core::limits::{
    DELTA_BYTES_MAX, DELTA_CHANGES_MAX, PART_BYTES_MAX, PART_BYTES_MIN, STAGED_TRANSFERS_MAX, STAGING_BYTES_MAX,
    TRANSFER_BYTES_MAX, UNTOLD_TELLS_MAX,
};
use sync_core::part::{Part, transfer_id};
use sync_core::wire::{CloseCode, Hello, Message, Reason};

use door::{Door, changes_of, claim, document_of, frontier, hash_of, heads_of, pack};
use pushed::{crafted, next, small};
use waiting::in_time;

/// A door through which the small document has come.
fn open_with_small() -> (Door, DocumentKey, AutoCommit) {
    let mut door = Door::open();
    let (key, mut document) = small(&door);
    let frontier = door.signed(&key, heads_of(&mut document));
    let answers = door.push(&key, 0, pack(&changes_of(&mut document)), frontier);
    assert!(matches!(answers[..], [Message::Acknowledge(_)]), "{answers:?}");
    (door, key, document)
}

/// The step is acknowledged without its content, the reason is named, and nothing but the quarantine has changed.
fn is_refused(door: &mut Door, what: &str, reason: Reason, send: impl FnOnce(&mut Door) -> Vec<Message>) {
    let (before, quarantined) = (door.dump(), door.quarantined());
    let answers = send(door);
    let [Message::Refuse(refuse), Message::Acknowledge(_)] = &answers[..] else { panic!("{what}: {answers:?}") };
    assert_eq!(refuse.reason, reason, "{what}: {}", refuse.message);
    assert_eq!(door.dump(), before, "{what}");
    assert_eq!(door.quarantined(), quarantined + 1, "{what}");
    let kept = door.hub.inspect(|tx| tx.quarantined()).unwrap().swap_remove(0);
    assert_eq!((kept.peer, kept.document), (door.node.id(), Some(refuse.document)), "{what}");
    assert!(!kept.reason.is_empty() && refuse.message == kept.reason, "{what}: {}", kept.reason);
}

/// What an honest node does next still goes through, in this document and in others.
fn goes_on(door: &mut Door, key: &DocumentKey, mut document: AutoCommit) {
    let other = DocumentKey { kind: DocumentKind::Override, ..key.clone() };
    for (key, document) in [(&other, &mut door.document(&other)), (key, &mut document)] {
        document.put(ROOT, "after", "all").unwrap();
        let frontier = door.signed(key, heads_of(document));
        let answers = door.push(key, 0, pack(&changes_of(document)), frontier);
        assert!(matches!(answers[..], [Message::Acknowledge(_)]), "{answers:?}");
        let view = door.hub.read(key).unwrap().unwrap();
        assert_eq!(view.state["after"], "all");
    }
}

#[test]
fn every_crafted_change_is_refused_under_a_valid_signature() {
    in_time(|progress| {
        let (mut door, key, document) = open_with_small();
        for (what, bytes, reason) in crafted(&door, &document) {
            progress.at(what);
            let frontier = door.signed(&key, vec![hash_of(&bytes)]);
            is_refused(&mut door, what, reason, |door| door.push(&key, 0, pack(&[bytes]), frontier));
        }
        progress.at("what an honest node does next");
        goes_on(&mut door, &key, document);
    });
}

/// The same as the first thing that is ever heard of the document: not even its genesis stays.
#[test]
fn every_crafted_change_is_refused_as_the_first_of_its_document() {
    in_time(|progress| {
        let mut door = Door::open();
        let (key, document) = small(&door);
        for (what, bytes, _) in crafted(&door, &document) {
            progress.at(what);
            let frontier = door.signed(&key, vec![hash_of(&bytes)]);
            let before = door.dump();
            let answers = door.push(&key, 0, pack(&[bytes]), frontier);
            assert!(matches!(answers[..], [Message::Refuse(_), Message::Acknowledge(_)]), "{what}: {answers:?}");
            assert_eq!(door.dump(), before, "{what}");
        }
        progress.at("what an honest node does next");
        goes_on(&mut door, &key, document);
    });
}

/// One actor on two lines, as a cloned disk makes them. Alone Automerge stays stuck on it; here the line that came first
/// goes on, and the other gets its reasons.
#[test]
fn the_second_line_of_a_forked_actor_stays_out_and_the_first_goes_on() {
    let (mut door, key, mut document) = open_with_small();
    let mut twin = document.clone();
    document.put(ROOT, "image", "web:3").unwrap();
    let frontier = door.signed(&key, heads_of(&mut document));
    let answers = door.push(&key, 0, pack(&changes_of(&mut document)), frontier);
    assert!(matches!(answers[..], [Message::Acknowledge(_)]), "{answers:?}");
    for (image, reason) in [("web:4", Reason::Forked), ("web:5", Reason::Disconnected), ("web:6", Reason::Disconnected)]
    {
        twin.put(ROOT, "image", image).unwrap();
        let frontier = door.signed(&key, heads_of(&mut twin));
        let change = changes_of(&mut twin).pop().unwrap();
        is_refused(&mut door, image, reason, |door| door.push(&key, 0, pack(&[change]), frontier));
    }
    goes_on(&mut door, &key, document);
}

/// A bad change among good ones takes all of them with it.
#[test]
fn a_delta_is_taken_as_a_whole_or_not_at_all() {
    let (mut door, key, document) = open_with_small();
    let mut honest = document.clone();
    honest.put(ROOT, "image", "web:3").unwrap();
    let good = changes_of(&mut honest).pop().unwrap();
    let bad = next(&honest, |change| change.seq += 1);
    let frontier = door.signed(&key, vec![hash_of(&bad)]);
    is_refused(&mut door, "good, then bad", Reason::Disconnected, |door| {
        door.push(&key, 0, pack(&[good, bad]), frontier)
    });
    goes_on(&mut door, &key, document);
}

#[test]
fn frontiers_that_do_not_fit_their_changes_are_refused() {
    let (mut door, key, document) = open_with_small();
    let mut ahead = document.clone();
    ahead.put(ROOT, "image", "web:3").unwrap();
    let first = heads_of(&mut ahead);
    ahead.put(ROOT, "image", "web:4").unwrap();
    let changes = changes_of(&mut ahead);
    let [.., third, fourth] = &changes[..] else { panic!("{} changes", changes.len()) };
    let both = pack(&[third.clone(), fourth.clone()]);

    let unknown = door.signed(&key, vec![ChangeHash([7; 32])]);
    is_refused(&mut door, "unknown heads", Reason::NotBelow, |door| door.push(&key, 0, both.clone(), unknown));
    let below = door.signed(&key, first);
    is_refused(&mut door, "a change above the frontier", Reason::NotBelow, |door| {
        door.push(&key, 0, both.clone(), below)
    });
    let lacks = door.signed(&key, vec![hash_of(fourth)]);
    is_refused(&mut door, "a change is missing", Reason::Disconnected, |door| {
        door.push(&key, 0, pack(std::slice::from_ref(fourth)), lacks)
    });
    let other = DocumentKey { kind: DocumentKind::Journal, ..key.clone() };
    let elsewhere = door.signed(&other, vec![hash_of(fourth)]);
    // The document is not in the signed frontier's bytes on the wire; the signature is over another one.
    is_refused(&mut door, "another document's frontier", Reason::Signature, |door| {
        door.push(&key, 0, both.clone(), elsewhere)
    });
    let whole = door.signed(&key, vec![hash_of(fourth)]);
    is_refused(&mut door, "an unknown generation", Reason::Signature, |door| door.push(&key, 1, both.clone(), whole));
    let mut later = frontier(&key, vec![hash_of(fourth)]);
    later.generation = 1;
    let later = claim(&later.sign(door.node.key()));
    is_refused(&mut door, "a signed unknown generation", Reason::Generation, |door| {
        door.push(&key, 1, both.clone(), later)
    });
    goes_on(&mut door, &key, document);
}

#[test]
fn an_author_writes_its_own_documents_and_no_others() {
    let (mut door, own, document) = open_with_small();
    let other = door.member(Role::Node);
    let hub = door.hub.identity().id();
    let layer = DocumentKey::layer(&world::name("base"));
    let (me, not_me) = (door.node.id(), other.id());
    for (what, key, reason) in [
        ("another node's observed document", DocumentKey::observed(not_me), Reason::NotTheAuthor),
        ("the own assignment", DocumentKey::assignment(me), Reason::NotTheAuthor),
        ("the fleet's placement", DocumentKey::placement(), Reason::NotTheAuthor),
        ("a layer", layer.clone(), Reason::NotTheAuthor),
    ] {
        let mut forged = document_of(&key, me, 1);
        forged.put(ROOT, "image", "evil").unwrap();
        let frontier = door.signed(&key, heads_of(&mut forged));
        is_refused(&mut door, what, reason, |door| door.push(&key, 0, pack(&changes_of(&mut forged)), frontier));
    }
    let observed = DocumentKey::observed(not_me);
    let claims = |key: &DocumentKey, author, door: &Door, document: &mut AutoCommit| UnverifiedFrontier {
        author,
        ..door.signed(key, heads_of(document))
    };
    for (what, key, author, reason) in [
        ("in another node's name", &observed, not_me, Reason::Signature),
        ("in the hub's name", &layer, hub, Reason::Signature),
        ("in nobody's name", &layer, sync_core::id::NodeId([9; 32]), Reason::UnknownAuthor),
    ] {
        let mut forged = document_of(key, author, 1);
        forged.put(ROOT, "image", "evil").unwrap();
        let frontier = claims(key, author, &door, &mut forged);
        is_refused(&mut door, what, reason, |door| door.push(key, 0, pack(&changes_of(&mut forged)), frontier));
    }
    let mut next = document.clone();
    next.put(ROOT, "image", "web:3").unwrap();
    let mut wrong = door.signed(&own, heads_of(&mut next));
    wrong.signature = Signature([3; 64]);
    is_refused(&mut door, "a wrong signature", Reason::Signature, |door| {
        door.push(&own, 0, pack(&changes_of(&mut next)), wrong)
    });
    // Whoever carries it, what another node signed is taken.
    let mut carried = document_of(&observed, not_me, 1);
    carried.put(ROOT, "image", "honest").unwrap();
    let frontier = claim(&frontier(&observed, heads_of(&mut carried)).sign(other.key()));
    let answers = door.push(&observed, 0, pack(&changes_of(&mut carried)), frontier);
    assert!(matches!(answers[..], [Message::Acknowledge(_)]), "{answers:?}");
    goes_on(&mut door, &own, document);
}

#[test]
fn batches_over_a_bound_are_refused() {
    let (mut door, key, document) = open_with_small();
    let heads = || vec![ChangeHash([7; 32])];
    let bomb = zstd::bulk::compress(&vec![0; DELTA_BYTES_MAX + 1], 3).unwrap();
    let many = pack(&vec![vec![0]; DELTA_CHANGES_MAX + 1]);
    for (what, batch, reason) in [
        ("a bomb", bomb, Reason::TooLarge),
        ("too many changes", many, Reason::TooLarge),
        ("no zstd", b"\x00\x01\x02".to_vec(), Reason::Malformed),
        ("half a change", zstd::bulk::compress(&[9, 0, 0, 0, 1], 3).unwrap(), Reason::Malformed),
    ] {
        let frontier = door.signed(&key, heads());
        is_refused(&mut door, what, reason, |door| door.push(&key, 0, batch, frontier));
    }
    goes_on(&mut door, &key, document);
}

fn part_of(transfer: u8, offset: u64, total: u64) -> Part {
    Part { transfer: TransferId([transfer; 16]), offset, total }
}

fn staged(door: &mut Door) -> u64 {
    door.hub.inspect(|tx| tx.staged_bytes()).unwrap()
}

#[test]
fn transfers_that_never_end_stay_within_their_bound() {
    let (mut door, key, document) = open_with_small();
    let before = door.dump();
    let layers: Vec<DocumentKey> = (0..100)
        .map(|number| DocumentKey::layer(&sync_core::id::Name::new(&format!("layer-{number}")).unwrap()))
        .collect();
    let part = vec![7; PART_BYTES_MAX];
    for round in 0..3 {
        for (number, layer) in layers.iter().enumerate() {
            let transfer = (round * 100 + number) as u8;
            let total = TRANSFER_BYTES_MAX / 8;
            for offset in 0..2 {
                let part_of = part_of(transfer, offset * PART_BYTES_MAX as u64, total);
                assert!(door.part(layer, part_of, part.clone()).is_empty());
            }
            assert!(staged(&mut door) <= (STAGED_TRANSFERS_MAX * 2 * PART_BYTES_MAX) as u64);
        }
    }
    // What they announce counts, not what came.
    for layer in &layers[..10] {
        assert!(door.part(layer, part_of(9, 0, TRANSFER_BYTES_MAX), part.clone()).is_empty());
    }
    assert!(staged(&mut door) <= (STAGING_BYTES_MAX / TRANSFER_BYTES_MAX) * PART_BYTES_MAX as u64);
    assert_eq!(door.dump(), before);
    goes_on(&mut door, &key, document);
}

#[test]
fn a_part_whose_beginning_is_not_held_ends_the_link() {
    let (mut door, key, document) = open_with_small();
    let part = vec![7; PART_BYTES_MIN];
    let size = PART_BYTES_MIN as u64;
    for (what, offset, transfer) in [("a gap", 3 * size, 1), ("another transfer", size, 2)] {
        assert!(door.part(&key, part_of(1, 0, 10 * size), part.clone()).is_empty());
        // What is held already is taken and changes nothing.
        assert!(door.part(&key, part_of(1, 0, 10 * size), part.clone()).is_empty());
        let answers = door.part(&key, part_of(transfer, offset, 10 * size), part.clone());
        assert!(
            matches!(&answers[..], [Message::Close(close)] if close.code == CloseCode::Busy),
            "{what}: {answers:?}"
        );
        assert_eq!(staged(&mut door), size, "{what}");
        door.dial();
        let answers = door.say(&Message::Hello(door.hello()));
        assert!(
            matches!(&answers[..], [Message::Hello(hello), Message::Resume(resume)]
            if hello.credit == 0 && resume.offset == size),
            "{what}: {answers:?}"
        );
    }
    goes_on(&mut door, &key, document);
    assert_eq!(staged(&mut door), 0, "a whole delta of the document makes the transfer superfluous");
}

#[test]
fn a_part_that_claims_more_than_its_first_announced_ends_the_link() {
    let (mut door, key, document) = open_with_small();
    let size = PART_BYTES_MIN as u64;
    let claim = door.signed(&key, vec![ChangeHash([7; 32])]);
    for total in [2 * size - 1, 2 * size + 1, TRANSFER_BYTES_MAX] {
        assert!(door.part(&key, part_of(1, 0, 2 * size), vec![7; PART_BYTES_MIN]).is_empty());
        let further = vec![7; (total - size).min(size) as usize];
        let answers = if total > 2 * size {
            door.part(&key, part_of(1, size, total), further)
        } else {
            door.last_part(&key, part_of(1, size, total), further, claim.clone())
        };
        assert!(matches!(&answers[..], [Message::Close(close)] if close.code == CloseCode::Protocol), "{answers:?}");
        assert_eq!(staged(&mut door), 0, "what was announced wrongly is not kept");
        door.dial();
        door.greet();
    }
    goes_on(&mut door, &key, document);
}

#[test]
fn parts_that_do_not_make_up_their_transfer_are_refused() {
    let (mut door, key, document) = open_with_small();
    let size = PART_BYTES_MIN as u64;
    assert!(door.part(&key, part_of(1, 0, size + 3), vec![7; PART_BYTES_MIN]).is_empty());
    let claim = door.signed(&key, vec![ChangeHash([7; 32])]);
    is_refused(&mut door, "other bytes", Reason::Malformed, |door| {
        door.last_part(&key, part_of(1, size, size + 3), vec![1, 2, 3], claim)
    });
    assert_eq!(staged(&mut door), 0);
    // A bomb is one in parts too.
    let bomb = zstd::bulk::compress(&vec![0; 100 * DELTA_BYTES_MAX], 1).unwrap();
    let (head, tail) = bomb.split_at(PART_BYTES_MIN);
    let part = |offset| Part { transfer: transfer_id(&bomb), offset, total: bomb.len() as u64 };
    assert!(door.part(&key, part(0), head.to_vec()).is_empty());
    let claim = door.signed(&key, vec![ChangeHash([7; 32])]);
    is_refused(&mut door, "a bomb in parts", Reason::TooLarge, |door| {
        door.last_part(&key, part(size), tail.to_vec(), claim)
    });
    goes_on(&mut door, &key, document);
}

/// What the hub says after the hellos of another link.
fn told_again(door: &mut Door) -> usize {
    let cursor = door.place();
    door.dial();
    let hello = Hello { head: cursor, ..door.hello() };
    let answers = door.say(&Message::Hello(hello));
    answers
        .iter()
        .filter(|answer| matches!(answer, Message::Refuse(refuse) if refuse.reason == Reason::Disconnected))
        .count()
}

#[test]
fn a_refusal_is_told_in_later_sessions_until_the_document_is_taken_or_it_was_told_often_enough() {
    let (mut door, key, document) = open_with_small();
    let orphan = next(&document, |change| change.deps = vec![automerge::ChangeHash([7; 32])]);
    let refuse = |door: &mut Door| {
        let frontier = door.signed(&key, vec![hash_of(&orphan)]);
        is_refused(door, "an orphan", Reason::Disconnected, |door| {
            door.push(&key, 0, pack(std::slice::from_ref(&orphan)), frontier)
        });
    };
    refuse(&mut door);
    refuse(&mut door);
    for session in 0..UNTOLD_TELLS_MAX + 2 {
        assert_eq!(told_again(&mut door), usize::from(session < UNTOLD_TELLS_MAX), "{session}");
    }
    refuse(&mut door);
    assert_eq!(told_again(&mut door), 1);
    goes_on(&mut door, &key, document);
    assert_eq!(told_again(&mut door), 0);
}

#[test]
fn what_is_held_already_changes_nothing_whatever_comes_with_it() {
    let (mut door, key, mut document) = open_with_small();
    let before = door.dump();
    let frontier = door.signed(&key, heads_of(&mut document));
    let mut ahead = document.clone();
    ahead.put(ROOT, "image", "smuggled").unwrap();
    let answers = door.push(&key, 0, pack(&changes_of(&mut ahead)), frontier);
    assert!(matches!(answers[..], [Message::Acknowledge(_)]), "{answers:?}");
    assert_eq!(door.dump(), before);
    goes_on(&mut door, &key, document);
}

#[test]
fn a_peer_that_breaks_the_protocol_is_closed_and_may_come_again() {
    let (mut door, key, document) = open_with_small();
    let closes = |answers: Vec<Message>| match &answers[..] {
        [Message::Close(close)] => close.code,
        other => panic!("{other:?}"),
    };
    let before = door.dump();
    let acknowledge = Message::Acknowledge(1);
    assert_eq!(closes(door.say(&acknowledge)), CloseCode::Protocol, "an acknowledgement of the future");
    assert!(door.say(&acknowledge).is_empty(), "nothing is answered after a close");
    door.dial();
    assert_eq!(closes(door.say(&acknowledge)), CloseCode::Protocol, "an acknowledgement before the hello");
    door.dial();
    door.greet();
    let hello = Message::Hello(door.hello());
    assert_eq!(closes(door.say(&hello)), CloseCode::Protocol, "a second hello");
    door.dial();
    let frontier = door.signed(&key, vec![ChangeHash([7; 32])]);
    assert_eq!(closes(door.push(&key, 0, Vec::new(), frontier)), CloseCode::Protocol, "a push before the hello");
    door.dial();
    door.greet();
    assert_eq!(door.quarantined(), 0);
    assert_eq!(closes(door.say_bytes(b"\xff\xff\xff\xff")), CloseCode::Protocol, "random bytes");
    assert_eq!(door.quarantined(), 1);
    assert_eq!(door.dump(), before);
    door.dial();
    door.greet();
    goes_on(&mut door, &key, document);
}

#[test]
fn the_small_document_is_what_the_crafted_changes_assume() {
    let (_, mut document) = small(&Door::silent());
    let changes: Vec<Change> = document.get_changes(&[]).into_iter().collect();
    let starts: Vec<u64> = changes.iter().map(|change| change.start_op().get()).collect();
    assert_eq!(starts, [1, 2, 3, 7]);
}
