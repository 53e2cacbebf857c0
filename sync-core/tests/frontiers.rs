//! Frontiers of a layer that travel together: taken as if each had come alone, all or none, and split when they are refused.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "fleet/door.rs"]
mod door;
#[path = "crafted/lines.rs"]
mod lines;
#[path = "fleet/site.rs"]
mod site;
#[path = "fleet/world.rs"]
mod world;

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::json;
use sync_core::document::generation::CutPolicy;
use sync_core::document::{DocumentKey, Heads};
use sync_core::identity::{Identity, Role};
use sync_core::store::{DATABASE_FILE, StoreError, Tx};
use sync_core::wire::{CloseCode, DeltaFrame, Message};

use door::{Door, claim, pack};
use lines::{Edit, Lines, bad, layer, together};
use site::{Site, site};
use world::{Fleet, Member, layer_key};

/// A door at which two more hubs are known.
fn door_of_hubs() -> (Door, [Identity; 2]) {
    let mut door = Door::open();
    let hubs = [door.member(Role::Hub), door.member(Role::Hub)];
    (door, hubs)
}

fn is_taken(answers: &[Message]) -> bool {
    matches!(answers, [Message::Acknowledge(_)])
}

#[test]
fn a_bad_batch_is_refused_as_a_whole_and_an_honest_one_is_taken_afterwards() {
    let (mut door, hubs) = door_of_hubs();
    let hubs = hubs.each_ref();
    for (what, frame, reason, words) in bad(hubs, &door.node) {
        let (before, quarantined) = (door.dump(), door.quarantined());
        let answers = door.push_frame(frame);
        let [Message::Refuse(refuse), Message::Acknowledge(_)] = &answers[..] else { panic!("{what}: {answers:?}") };
        assert_eq!(refuse.reason, reason, "{what}: {}", refuse.message);
        assert!(refuse.message.contains(words), "{what}: {}", refuse.message);
        assert_eq!(door.dump(), before, "{what}");
        assert_eq!(door.quarantined(), quarantined + 1, "{what}");
    }
    let mut lines = Lines::new(hubs);
    [(0, false), (1, true), (0, true)].into_iter().for_each(|(by, above)| lines.edit(by, above));
    // Whoever carries them: the sender is a node, and the authors are hubs.
    assert!(is_taken(&door.push_frame(together(&lines.edits))));
    assert_eq!(held(&mut door).0.len(), 3);
    // What is held does not cover for what comes with it.
    let mut forged = together(&lines.edits);
    forged.earlier.signatures[0] ^= 1;
    let answers = door.push_frame(forged);
    assert!(matches!(answers[..], [Message::Refuse(_), Message::Acknowledge(_)]), "{answers:?}");
}

#[test]
fn frontiers_beside_a_document_of_which_only_the_last_counts_are_no_message() {
    let (mut door, hubs) = door_of_hubs();
    let mut lines = Lines::new(hubs.each_ref());
    lines.edit(0, false);
    lines.edit(0, false);
    let before = door.dump();
    let answers = door.push_frame(DeltaFrame { key: DocumentKey::placement(), ..together(&lines.edits) });
    assert!(matches!(&answers[..], [Message::Close(close)] if close.code == CloseCode::Protocol), "{answers:?}");
    assert_eq!(door.dump(), before);
}

/// The newest heads, their state, and the changes.
type Newest = (Heads, String, BTreeSet<Vec<u8>>);

/// Heads in the log, and the newest.
fn held(door: &mut Door) -> (BTreeSet<Heads>, Newest) {
    let read = |tx: &Tx<'_>| {
        let document = tx.document(layer().id())?.unwrap();
        let log = tx.log_of(document.row)?.into_iter().map(|row| row.frontier.frontier().heads.clone()).collect();
        let newest = tx.log_row(document.latest.unwrap())?.frontier.frontier().heads.clone();
        let state = serde_json::to_string(&tx.view(document.row)?).unwrap();
        Ok::<_, StoreError>((log, (newest, state, tx.chunks(document.row, 0)?.into_iter().collect())))
    };
    door.hub.inspect(read).unwrap()
}

fn one_by_one(door: &mut Door, edits: &[Edit]) {
    for edit in edits {
        let answers = door.push(&layer(), 0, pack(std::slice::from_ref(&edit.change)), claim(&edit.frontier));
        assert!(is_taken(&answers), "{answers:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_batch_gives_what_its_entries_give_one_by_one(
        script in prop::collection::vec((0..2usize, any::<bool>()), 2..10),
        held_before in 0..10usize,
    ) {
        let (mut door, hubs) = door_of_hubs();
        let mut lines = Lines::new(hubs.each_ref());
        script.iter().for_each(|(by, above)| lines.edit(*by, *above));
        let sent: BTreeSet<Heads> =
            lines.edits.iter().map(|edit| edit.frontier.frontier().heads.clone()).collect();
        one_by_one(&mut door, &lines.edits);
        let (log, alone) = held(&mut door);
        prop_assert!(sent.is_subset(&log));

        let (mut door, _) = door_of_hubs();
        let held_before = held_before.min(lines.edits.len() - 1);
        one_by_one(&mut door, &lines.edits[..held_before]);
        let answers = door.push_frame(together(&lines.edits));
        prop_assert!(is_taken(&answers), "{:?}", answers);
        let (log, at_once) = held(&mut door);
        prop_assert!(sent.is_subset(&log));
        prop_assert_eq!(&alone, &at_once);

        // Once more, and nothing is new.
        let before = door.dump();
        prop_assert!(is_taken(&door.push_frame(together(&lines.edits))));
        prop_assert_eq!(before, door.dump());
    }
}

/// The hub's store says another signature of the frontier that is `back` before the newest, behind the hub's back.
fn forge(fleet: &mut Fleet, at: Member, back: u32) {
    let database = rusqlite::Connection::open(fleet.folder(at).join(DATABASE_FILE)).unwrap();
    let sql = "UPDATE log SET signature = zeroblob(64) WHERE seq = (SELECT log.seq FROM log
               JOIN document d ON d.id = log.document WHERE d.document = ? ORDER BY log.seq DESC LIMIT 1 OFFSET ?)";
    assert_eq!(database.execute(sql, (layer_key("base").id().0, back)).unwrap(), 1);
    drop(database);
    fleet.restart(at);
}

fn versions(fleet: &mut Fleet, at: Member) -> BTreeSet<u64> {
    let read = |tx: &Tx<'_>| {
        let document = tx.document(layer_key("base").id())?.unwrap();
        let log = tx.log_of(document.row)?.into_iter().map(|row| row.frontier.frontier().version);
        Ok::<_, StoreError>(log.collect())
    };
    fleet.at(at).inspect(read).unwrap()
}

/// Two hubs, of which one has written a layer that the other lacks, with one forged frontier among six.
fn site_with_a_forgery(seed: u64, back: u32) -> (Site, BTreeSet<u64>, u64) {
    let mut site = site(seed, CutPolicy::default());
    (0..6).for_each(|number| site.fleet.set_field(site.a, "base", "image", json!(format!("web:{number}"))));
    forge(&mut site.fleet, site.a, back);
    let written = versions(&mut site.fleet, site.a);
    let forged = written.iter().rev().nth(back as usize).copied().unwrap();
    (site, written, forged)
}

#[test]
fn a_refused_batch_is_split_so_that_the_good_frontiers_are_taken() {
    // The newest is the delta's own frontier, the others come before it.
    for back in [0, 1, 3, 5] {
        let (mut site, mut written, forged) = site_with_a_forgery(3, back);
        site.fleet.sync(site.b, site.a);
        let reasons = site.fleet.quarantined(site.b);
        let together = reasons.iter().filter(|reason| reason.starts_with("frontier ")).count();
        assert_eq!(together, usize::from(back > 0), "{back}: {reasons:?}");
        // What was sent behind the forged one builds on it: then all come once more, the forged one too.
        assert!((2..=3 + back as usize).contains(&reasons.len()), "{back}: {reasons:?}");
        assert!(written.remove(&forged));
        assert_eq!(versions(&mut site.fleet, site.b), written, "{back}");
    }
}

#[test]
fn a_refused_batch_is_split_also_when_the_refusal_was_lost_with_its_link() {
    for frames in 1..16 {
        let (mut site, mut written, forged) = site_with_a_forgery(5, 2);
        site.fleet.sync_cut_after(site.b, site.a, frames);
        site.fleet.restart(if frames % 2 == 0 { site.a } else { site.b });
        for _ in 0..3 {
            site.fleet.sync(site.b, site.a);
        }
        assert!(written.remove(&forged));
        assert_eq!(versions(&mut site.fleet, site.b), written, "cut after {frames} frames");
    }
}

#[test]
fn a_line_of_edits_travels_in_one_push() {
    let mut site = site(7, CutPolicy::default());
    (0..40).for_each(|number| site.fleet.set_field(site.a, "base", "image", json!(format!("web:{number}"))));
    let written = versions(&mut site.fleet, site.a);
    let before = site.fleet.documents_loaded(site.b);
    site.fleet.sync(site.b, site.a);
    assert_eq!(versions(&mut site.fleet, site.b), written);
    assert_eq!(site.fleet.documents_loaded(site.b) - before, 1, "admitted as one");
}
