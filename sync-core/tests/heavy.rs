//! What is small in bytes and large in what it holds: a delta, or a document that grows delta by delta. Bounds hold for the
//! whole, and an honest author never meets them.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "crafted/changes.rs"]
mod changes;
#[path = "fleet/door.rs"]
mod door;
#[path = "crafted/heavy.rs"]
mod heavy;
#[path = "crafted/waiting.rs"]
mod waiting;
#[path = "fleet/world.rs"]
mod world;

use serde_json::json;
use sync_core::document::DocumentKey;
use sync_core::document::generation::CutPolicy;
use sync_core::limits::{
    CHANGE_BYTES_MAX, CHANGE_OPERATIONS_MAX, DELTA_ACTORS_MAX, DELTA_CHANGES_MAX, DELTA_DEPENDENCIES_MAX,
    DELTA_PREDECESSORS_MAX, GENERATION_BYTES_MAX, GENERATION_CLOCKS_MAX, GENERATION_OPERATIONS_MAX, VALUE_BYTES_MAX,
};
use sync_core::replica::WriteError;
use sync_core::store::StoreError;
use sync_core::wire::{Message, Reason, Refuse};

use door::{Door, hash_of, pack};
use heavy::Line;
use waiting::in_time;
use world::{Fleet, Member, layer_key};

fn push(door: &mut Door, key: &DocumentKey, chunks: &[Vec<u8>]) -> Option<Refuse> {
    let frontier = door.signed(key, vec![hash_of(chunks.last().unwrap())]);
    let mut answers = door.push(key, 0, pack(chunks), frontier);
    assert!(matches!(answers.pop(), Some(Message::Acknowledge(_))));
    match answers.pop() {
        Some(Message::Refuse(refuse)) => Some(refuse),
        other => {
            assert!(other.is_none(), "{other:?}");
            None
        }
    }
}

fn is_too_large(refused: Option<Refuse>, of: &str) {
    let refused = refused.expect("it is refused");
    assert_eq!(refused.reason, Reason::TooLarge, "{}", refused.message);
    assert!(refused.message.contains(of), "{}", refused.message);
}

#[test]
fn predecessors_dependencies_and_actors_are_bounded_over_all_changes_of_a_delta() {
    in_time(|progress| {
        let mut door = Door::open();
        let key = DocumentKey::observed(door.node.id());

        progress.at("predecessors");
        let mut line = Line::of(&door, &key, 1);
        let (first, count) = (line.next_counter(), CHANGE_OPERATIONS_MAX / 2);
        line.beside(count);
        (0..DELTA_PREDECESSORS_MAX / count + 1).for_each(|_| line.instead_of(first, count));
        is_too_large(push(&mut door, &key, &line.chunks), "predecessors");

        progress.at("dependencies");
        let mut others: Vec<Line> = (2..=64).map(|number| Line::of(&door, &key, number)).collect();
        others.iter_mut().for_each(|line| line.beside(1));
        let heads: Vec<_> = others.iter().map(Line::head).collect();
        let mut line = Line::of(&door, &key, 1);
        line.beside(1);
        for _ in 0..DELTA_DEPENDENCIES_MAX / 64 + 1 {
            line.build_on(&heads);
            line.beside(1);
        }
        let chunks: Vec<_> = others.into_iter().flat_map(|line| line.chunks).chain(line.chunks).collect();
        assert!(chunks.len() < DELTA_CHANGES_MAX);
        is_too_large(push(&mut door, &key, &chunks), "dependencies");

        progress.at("actors");
        let mut chunks = Vec::new();
        for number in 0..=DELTA_ACTORS_MAX as u32 {
            let mut line = Line::of(&door, &key, 1);
            line.by_another(number);
            line.beside(1);
            chunks.extend(line.chunks);
        }
        is_too_large(push(&mut door, &key, &chunks), "actors");
    });
}

/// Pushes change by change until one is refused; how many were taken.
fn grown_until_refused(door: &mut Door, key: &DocumentKey, of: &str, mut next: impl FnMut(&mut Line)) -> u64 {
    let mut line = Line::of(door, key, 1);
    for taken in 0..1_000 {
        line.chunks.clear();
        next(&mut line);
        if let Some(refused) = push(door, key, &line.chunks) {
            is_too_large(Some(refused), of);
            return taken;
        }
    }
    panic!("a document grows without bound");
}

#[test]
fn a_document_that_grows_change_by_change_is_bounded_in_its_operations() {
    in_time(|_| {
        let mut door = Door::open();
        let key = DocumentKey::observed(door.node.id());
        let each = CHANGE_OPERATIONS_MAX / 2;
        let taken = grown_until_refused(&mut door, &key, "operations", |line| line.beside(each));
        assert_eq!(taken, (GENERATION_OPERATIONS_MAX - 1) / each);
    });
}

#[test]
fn a_document_that_grows_change_by_change_is_bounded_in_its_bytes() {
    in_time(|_| {
        let mut door = Door::open();
        let key = DocumentKey::observed(door.node.id());
        let bytes = VALUE_BYTES_MAX as u64;
        let taken = grown_until_refused(&mut door, &key, "bytes", |line| line.value(bytes));
        assert_eq!(taken, GENERATION_BYTES_MAX / bytes - 1);
    });
}

/// Each change has a clock of all actors below it.
#[test]
fn a_document_of_more_and_more_actors_is_bounded_in_its_clocks() {
    in_time(|_| {
        let mut door = Door::open();
        let key = DocumentKey::observed(door.node.id());
        let mut actor = 0;
        let taken = grown_until_refused(&mut door, &key, "clock entries", |line| {
            for _ in 0..100 {
                actor += 1;
                line.by_another(actor);
                line.beside(1);
            }
        });
        let actors = taken * 100;
        assert!(
            actors * actors / 2 <= GENERATION_CLOCKS_MAX && (actors + 100) * (actors + 103) / 2 > GENERATION_CLOCKS_MAX
        );
    });
}

/// By the policy that a node cuts by; that it does so for any writes is a property beside the policy.
#[test]
fn a_node_that_reports_more_than_a_generation_may_have_is_never_refused() {
    let mut fleet = Fleet::new(1);
    let (hub, node) = (fleet.hub(), fleet.node());
    fleet.introduce(hub, node);
    let digits = |fleet: &mut Fleet, bytes: usize| -> String {
        (0..bytes / 16).map(|_| format!("{:016x}", fleet.entropy.next())).collect()
    };
    let each = CHANGE_BYTES_MAX * 7 / 16;
    let reports = GENERATION_BYTES_MAX / (2 * each as u64) + 2;
    for _ in 0..reports {
        let text = [digits(&mut fleet, each), digits(&mut fleet, each)];
        fleet.report(node, json!({ "one": text[0], "two": text[1] }));
        fleet.sync(node, hub);
        assert_eq!(fleet.observed(hub, node), fleet.observed(node, node));
    }
    assert!(fleet.quarantined(hub).is_empty(), "{:?}", fleet.quarantined(hub));
    assert!(generation(&mut fleet, hub, node) > 2);
}

#[test]
fn a_node_cuts_by_operations_that_take_next_to_no_bytes() {
    let mut fleet = Fleet::new(2);
    fleet.policy = CutPolicy { log_operations: 100, log_bytes_min: u64::MAX, ..CutPolicy::default() };
    let (hub, node) = (fleet.hub(), fleet.node());
    fleet.introduce(hub, node);
    for round in 0..8 {
        let fields: serde_json::Map<_, _> = (0..60).map(|field| (field.to_string(), json!(round))).collect();
        fleet.report(node, fields.into());
        fleet.sync(node, hub);
        assert_eq!(fleet.observed(hub, node), fleet.observed(node, node));
    }
    assert_eq!(generation(&mut fleet, hub, node), 3);
}

fn generation(fleet: &mut Fleet, hub: Member, node: Member) -> u32 {
    let id = DocumentKey::observed(fleet.id(node)).id();
    fleet.at(hub).inspect(|tx| Ok::<_, StoreError>(tx.document(id)?.unwrap().generation)).unwrap()
}

/// Its home is away, so nobody may cut it. What others would refuse is not written, and what settles it still is.
#[test]
fn a_document_that_cannot_be_cut_is_written_until_others_would_refuse_it() {
    let mut fleet = Fleet::new(3);
    let (home, hub) = (fleet.hub(), fleet.hub());
    fleet.introduce(home, hub);
    fleet.introduce(hub, home);
    fleet.home(home, home);
    fleet.write_layer(home, "base", json!({}));
    fleet.sync(home, hub);
    let text = |number: u64| -> String { char::from(b'a' + number as u8).to_string().repeat(VALUE_BYTES_MAX - 16) };
    let write = |fleet: &mut Fleet, number| {
        let state = json!({ "objects": { "one": { "text": text(number % 26), "number": number } } });
        fleet.try_write(hub, &layer_key("base"), state)
    };
    let written = (1..100).take_while(|number| write(&mut fleet, *number).is_ok()).count() as u64;
    let bytes = written * VALUE_BYTES_MAX as u64;
    assert!(bytes > GENERATION_BYTES_MAX / 2 && bytes < GENERATION_BYTES_MAX, "{bytes}");
    assert!(matches!(write(&mut fleet, 100), Err(WriteError::Full(_))));
    write(&mut fleet, written).expect("what it says already");
    fleet.sync(hub, home);
    assert!(fleet.quarantined(home).is_empty());
    // The home cuts with its next write, and then the other can write again.
    fleet.set_field(home, "base", "image", json!("web:2"));
    fleet.sync(hub, home);
    write(&mut fleet, 100).expect("it was cut");
}
