//! Feeds travel as files: both ways, in any order, any number of times, and no file does harm.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "fleet/world.rs"]
mod world;

use std::io::Cursor;

use proptest::prelude::*;
use serde_json::{Value, json};
use sync_core::document::generation::CutPolicy;
use sync_core::replica::bundle::{ExportError, ExportFrom, Exported, Fit, ImportError, Imported};
use sync_core::wire::bundle::BundleReadError;

use world::{Fleet, Member, layer_key};

fn export_from(fleet: &mut Fleet, from: Member, to: Member, start: ExportFrom) -> (Vec<u8>, Exported) {
    let (now, recipient) = (fleet.now(), fleet.id(to));
    let mut file = Vec::new();
    let exported = fleet.at(from).export_bundle(now, recipient, start, &mut file).unwrap();
    assert_eq!(exported.bytes, file.len() as u64);
    fleet.drain(from);
    (file, exported)
}

fn export(fleet: &mut Fleet, from: Member, to: Member) -> Vec<u8> {
    export_from(fleet, from, to, ExportFrom::Known).0
}

fn try_import(fleet: &mut Fleet, at: Member, file: &[u8]) -> Result<Imported, ImportError> {
    let now = fleet.now();
    let imported = fleet.at(at).import_bundle(now, Cursor::new(file));
    fleet.drain(at);
    imported
}

fn import(fleet: &mut Fleet, at: Member, file: &[u8]) -> Imported {
    try_import(fleet, at, file).unwrap()
}

/// A hub that has released one layer for a node which it never met, beyond that they were introduced.
fn island(seed: u64) -> (Fleet, Member, Member) {
    let mut fleet = Fleet::new(seed);
    let (hub, node) = (fleet.hub(), fleet.node());
    fleet.introduce(hub, node);
    fleet.introduce(node, hub);
    fleet.write_layer(hub, "base", json!({ "image": "web:1" }));
    fleet.release(hub, &["base"]);
    fleet.assign(hub, node, &["base"]);
    (fleet, hub, node)
}

fn image(fleet: &mut Fleet, node: Member) -> Value {
    fleet.at(node).desired().unwrap().layers[0].state["objects"]["one"]["image"].clone()
}

fn release_image(fleet: &mut Fleet, hub: Member, image: &str) {
    fleet.set_field(hub, "base", "image", json!(image));
    fleet.release(hub, &["base"]);
}

/// One file each way.
fn swap(fleet: &mut Fleet, hub: Member, node: Member) {
    let file = export(fleet, hub, node);
    import(fleet, node, &file);
    let file = export(fleet, node, hub);
    import(fleet, hub, &file);
}

#[test]
fn two_sides_that_never_had_a_link_converge_by_files() {
    let (mut fleet, hub, node) = island(1);
    fleet.report(node, json!({ "one": { "ready": true } }));
    let file = export(&mut fleet, hub, node);
    let imported = import(&mut fleet, node, &file);
    assert_eq!((imported.fit, imported.refused), (Fit::Continues, 0), "{imported:?}");
    assert_eq!(image(&mut fleet, node), "web:1");

    let file = export(&mut fleet, node, hub);
    let imported = import(&mut fleet, hub, &file);
    assert_eq!((imported.fit, imported.refused), (Fit::Continues, 0), "{imported:?}");
    assert_eq!(fleet.observed(hub, node)["one"]["ready"], true);
    assert_eq!(imported.acknowledged, fleet.peer_row(hub, node).head.number, "the node's file says what it holds");

    let (_, exported) = export_from(&mut fleet, hub, node, ExportFrom::Known);
    assert_eq!((exported.entries, exported.from), (0, exported.head), "nothing is left to give");
    release_image(&mut fleet, hub, "web:2");
    let (file, exported) = export_from(&mut fleet, hub, node, ExportFrom::Known);
    assert!(exported.from > 0, "what the node said that it holds is not given again");
    assert_eq!(import(&mut fleet, node, &file).fit, Fit::Continues);
    assert_eq!(image(&mut fleet, node), "web:2");
    assert!(fleet.quarantined(node).is_empty() && fleet.quarantined(hub).is_empty());
}

#[test]
fn the_same_file_twice_changes_nothing() {
    let (mut fleet, hub, node) = island(2);
    let file = export(&mut fleet, hub, node);
    import(&mut fleet, node, &file);
    let (before, row) = (fleet.dump(node), fleet.peer_row(node, hub));
    let again = import(&mut fleet, node, &file);
    assert_eq!((again.fit, again.refused, again.changed.len()), (Fit::Held, 0, 0));
    assert_eq!((fleet.dump(node), fleet.peer_row(node, hub)), (before, row));
}

#[test]
fn a_file_that_was_lost_is_made_up_for_by_the_next() {
    let (mut fleet, hub, node) = island(3);
    let _lost = export(&mut fleet, hub, node);
    release_image(&mut fleet, hub, "web:2");
    let file = export(&mut fleet, hub, node);
    assert_eq!(import(&mut fleet, node, &file).fit, Fit::Continues);
    assert_eq!(image(&mut fleet, node), "web:2");
}

#[test]
fn a_file_after_a_gap_is_taken_as_far_as_it_stands_alone_and_the_missing_one_completes_it() {
    let (mut fleet, hub, node) = island(4);
    swap(&mut fleet, hub, node);
    release_image(&mut fleet, hub, "web:2");
    let second = export(&mut fleet, hub, node);
    // The node's word came to the hub by a copy of its disk, so that the hub goes on from there.
    let held = fleet.peer_row(node, hub).cursor;
    let copy = fleet.backup(node);
    import(&mut fleet, node, &second);
    let file = export(&mut fleet, node, hub);
    import(&mut fleet, hub, &file);
    release_image(&mut fleet, hub, "web:3");
    let third = export(&mut fleet, hub, node);
    fleet.restore(node, &copy);
    assert_eq!(fleet.peer_row(node, hub).cursor, held);

    let imported = import(&mut fleet, node, &third);
    assert!(imported.fit == Fit::Gap && imported.needs_earlier(), "{imported:?}");
    assert_eq!(fleet.peer_row(node, hub).cursor, held, "the place stays before the gap");
    assert_eq!(image(&mut fleet, node), "web:1", "a layer that cannot be built is not applied");
    assert_eq!(import(&mut fleet, node, &second).fit, Fit::Continues);
    let imported = import(&mut fleet, node, &third);
    assert_eq!((imported.fit, imported.refused), (Fit::Continues, 0));
    assert_eq!(image(&mut fleet, node), "web:3");
}

#[test]
fn a_file_from_the_start_brings_back_one_who_lost_what_it_had_said_it_holds() {
    let (mut fleet, hub, node) = island(5);
    let copy = fleet.backup(node);
    swap(&mut fleet, hub, node);
    release_image(&mut fleet, hub, "web:2");
    fleet.restore(node, &copy);
    let file = export(&mut fleet, hub, node);
    assert_eq!(import(&mut fleet, node, &file).fit, Fit::Gap);
    let (file, exported) = export_from(&mut fleet, hub, node, ExportFrom::Start);
    assert_eq!(exported.from, 0);
    let imported = import(&mut fleet, node, &file);
    assert_eq!((imported.fit, imported.refused), (Fit::Continues, 0), "{imported:?}");
    assert_eq!(image(&mut fleet, node), "web:2");
}

#[test]
fn an_old_file_after_a_newer_one_moves_nothing_back() {
    let (mut fleet, hub, node) = island(6);
    let old = export(&mut fleet, hub, node);
    let old_word = export(&mut fleet, node, hub);
    release_image(&mut fleet, hub, "web:2");
    swap(&mut fleet, hub, node);
    let states =
        |fleet: &mut Fleet| (fleet.views(node), fleet.views(hub), fleet.peer_row(node, hub), fleet.peer_row(hub, node));
    let before = states(&mut fleet);
    assert_eq!(import(&mut fleet, node, &old).fit, Fit::Held);
    assert_eq!(import(&mut fleet, hub, &old_word).fit, Fit::Held);
    assert_eq!(states(&mut fleet), before);
}

#[test]
fn a_link_after_files_has_nothing_left_to_carry() {
    let (mut fleet, hub, node) = island(7);
    fleet.report(node, json!({ "one": { "ready": true } }));
    swap(&mut fleet, hub, node);
    // The node's last word, that it holds everything, is what the hub's next file brings back.
    let passed = fleet.sync(node, hub);
    let (mut linked, linked_hub, linked_node) = island(7);
    linked.sync(linked_node, linked_hub);
    let idle = linked.sync(linked_node, linked_hub);
    assert_eq!(passed.frames, idle.frames, "{} bytes", passed.bytes);
    assert_eq!(fleet.count(node, |event| matches!(event, sync_core::replica::Event::Diverged(_))), 0);
}

#[test]
fn files_and_links_continue_each_other() {
    let (mut fleet, hub, node) = island(8);
    fleet.sync(node, hub);
    for round in 2..6 {
        release_image(&mut fleet, hub, &format!("web:{round}"));
        fleet.report(node, json!({ "one": { "round": round } }));
        if round % 2 == 0 {
            swap(&mut fleet, hub, node);
        } else {
            fleet.sync(node, hub);
        }
        assert_eq!(image(&mut fleet, node), format!("web:{round}"));
        assert_eq!(fleet.observed(hub, node)["one"]["round"], round);
    }
    assert!(fleet.quarantined(node).is_empty() && fleet.quarantined(hub).is_empty());
    assert_eq!(fleet.peer_row(hub, node).forks + fleet.peer_row(node, hub).forks, 0);
}

#[test]
fn two_hubs_exchange_whole_fleets_by_files() {
    let mut fleet = Fleet::new(9);
    let (one, two, node) = (fleet.hub(), fleet.hub(), fleet.node());
    fleet.introduce(one, two);
    fleet.introduce(two, one);
    fleet.introduce(one, node);
    fleet.write_layer(one, "base", json!({ "image": "web:1" }));
    fleet.release(one, &["base"]);
    fleet.assign(one, node, &["base"]);
    fleet.report(node, json!({ "one": { "ready": true } }));
    fleet.sync(node, one);
    fleet.write_layer(two, "other", json!({ "image": "cache:1" }));
    swap(&mut fleet, one, two);
    swap(&mut fleet, one, two);
    assert_eq!(fleet.views(one), fleet.views(two));
    fleet.sync(node, two);
    assert_eq!(fleet.views(two), fleet.views(one), "a node that one hub met is served by the other");
}

#[test]
fn a_history_that_is_cut_in_between_travels() {
    let mut fleet = Fleet::new(10);
    fleet.policy = CutPolicy { changes: 4, ..CutPolicy::default() };
    let (hub, node) = (fleet.hub(), fleet.node());
    fleet.introduce(hub, node);
    fleet.introduce(node, hub);
    fleet.home(hub, hub);
    fleet.write_layer(hub, "base", json!({ "image": "web:0" }));
    fleet.release(hub, &["base"]);
    fleet.assign(hub, node, &["base"]);
    for round in 1..20 {
        release_image(&mut fleet, hub, &format!("web:{round}"));
        fleet.report(node, json!({ "one": { "round": round } }));
        if round % 3 == 0 {
            swap(&mut fleet, hub, node);
        }
    }
    swap(&mut fleet, hub, node);
    let generation = fleet.at(node).read(&layer_key("base")).unwrap().unwrap().frontier.frontier().generation;
    assert!(generation > 0, "the history was not cut");
    assert_eq!(image(&mut fleet, node), "web:19");
    assert_eq!(fleet.observed(hub, node)["one"]["round"], 19);
    assert!(fleet.quarantined(node).is_empty(), "{:?}", fleet.quarantined(node));
    assert!(fleet.quarantined(hub).is_empty(), "{:?}", fleet.quarantined(hub));
}

#[test]
fn a_large_layer_travels_in_parts() {
    let (mut fleet, hub, node) = island(11);
    for number in 0..6 {
        let text: String = (0..1 << 16).map(|_| format!("{:016x}", fleet.entropy.next())).collect();
        fleet.set_field(hub, "base", &format!("text-{number}"), json!(text));
    }
    fleet.release(hub, &["base"]);
    let (file, exported) = export_from(&mut fleet, hub, node, ExportFrom::Known);
    assert!(exported.entries > 4, "{exported:?}");
    let imported = import(&mut fleet, node, &file);
    assert_eq!((imported.fit, imported.refused), (Fit::Continues, 0), "{imported:?}");
    assert_eq!(fleet.state(node, &layer_key("base")), fleet.state(hub, &layer_key("base")));
}

#[test]
fn a_file_that_is_cut_short_or_changed_is_refused_whole() {
    let (mut fleet, hub, node) = island(12);
    let file = export(&mut fleet, hub, node);
    let (before, row) = (fleet.dump(node), fleet.peer_row(node, hub));
    let ends = (0..file.len()).step_by(file.len() / 150 + 1).chain([file.len() - 1, file.len() - 64]);
    for end in ends {
        let refused = try_import(&mut fleet, node, &file[..end]);
        assert!(matches!(refused, Err(ImportError::Read(_))), "cut at {end}: {refused:?}");
    }
    let places = (0..file.len()).filter(|at| *at < 500 || at % 37 == 0 || file.len() - at < 70);
    for at in places {
        let mut changed = file.clone();
        changed[at] ^= 1 << (at % 8);
        let refused = try_import(&mut fleet, node, &changed);
        assert!(
            matches!(refused, Err(ImportError::Read(_) | ImportError::Exporter(_))),
            "changed at {at}: {refused:?}"
        );
    }
    let longer = [&file[..], &[0]].concat();
    assert!(matches!(try_import(&mut fleet, node, &longer), Err(ImportError::Read(BundleReadError::Damaged))));
    assert!(matches!(try_import(&mut fleet, node, b"notes"), Err(ImportError::Read(BundleReadError::NotABundle))));
    assert_eq!((fleet.dump(node), fleet.peer_row(node, hub)), (before, row));
    assert!(fleet.quarantined(node).is_empty());
}

#[test]
fn a_file_for_somebody_else_is_refused_and_says_for_whom_it_is() {
    let (mut fleet, hub, node) = island(13);
    let other = fleet.node();
    fleet.introduce(other, hub);
    let file = export(&mut fleet, hub, node);
    let before = fleet.dump(other);
    let refused = try_import(&mut fleet, other, &file).unwrap_err();
    assert!(refused.to_string().contains(&fleet.id(node).to_string()), "{refused}");
    assert!(matches!(try_import(&mut fleet, hub, &file), Err(ImportError::Own { .. })));
    assert_eq!(fleet.dump(other), before);
}

#[test]
fn a_stranger_s_and_a_revoked_member_s_files_are_refused() {
    let (mut fleet, hub, node) = island(14);
    swap(&mut fleet, hub, node);
    fleet.report(node, json!({ "one": { "ready": true } }));
    let file = export(&mut fleet, node, hub);
    let (mut strangers, _, _) = island(15);
    let refused = try_import(&mut strangers, Member(0), &file);
    assert!(matches!(refused, Err(ImportError::Exporter(_))), "{refused:?}");

    let (now, id) = (fleet.now(), fleet.id(node));
    fleet.at(hub).edit(now, |edit| edit.revoke(id, "gone")).unwrap();
    fleet.drain(hub);
    let before = fleet.dump(hub);
    let refused = try_import(&mut fleet, hub, &file);
    assert!(matches!(refused, Err(ImportError::Revoked { .. })), "{refused:?}");
    assert_eq!(fleet.dump(hub), before);
    let (now, recipient) = (fleet.now(), fleet.id(node));
    let refused = fleet.at(hub).export_bundle(now, recipient, ExportFrom::Known, &mut Vec::new());
    assert!(matches!(refused, Err(ExportError::Revoked { .. })), "{refused:?}");
}

#[test]
fn a_node_gives_no_file_to_a_node() {
    let mut fleet = Fleet::new(16);
    let (one, two) = (fleet.node(), fleet.node());
    fleet.introduce(one, two);
    let (now, recipient) = (fleet.now(), fleet.id(two));
    let refused = fleet.at(one).export_bundle(now, recipient, ExportFrom::Known, &mut Vec::new());
    assert!(matches!(refused, Err(ExportError::NotAPeer { .. })), "{refused:?}");
}

#[derive(Debug, Clone)]
enum Step {
    Release,
    Report,
    Export {
        hub: bool,
        all: bool,
    },
    /// Of the files that were ever written.
    Import(prop::sample::Index),
    Link {
        frames: u64,
    },
    Restart {
        hub: bool,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => Just(Step::Release),
        3 => Just(Step::Report),
        4 => (any::<bool>(), prop::bool::weighted(0.2)).prop_map(|(hub, all)| Step::Export { hub, all }),
        6 => any::<prop::sample::Index>().prop_map(Step::Import),
        1 => (1_u64..12).prop_map(|frames| Step::Link { frames }),
        1 => any::<bool>().prop_map(|hub| Step::Restart { hub }),
    ];
    prop::collection::vec(step, 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Whatever was lost, repeated or late: two files each way bring both sides to the same state, and a link adds nothing.
    #[test]
    fn files_in_any_order_among_links_lose_nothing(seed: u64, steps in steps(), cuts: bool) {
        let mut fleet = Fleet::new(seed);
        if cuts {
            fleet.policy = CutPolicy { changes: 4, ..CutPolicy::default() };
        }
        let (hub, node) = (fleet.hub(), fleet.node());
        fleet.introduce(hub, node);
        fleet.introduce(node, hub);
        fleet.home(hub, hub);
        fleet.write_layer(hub, "base", json!({ "image": "web:0" }));
        fleet.release(hub, &["base"]);
        fleet.assign(hub, node, &["base"]);
        let mut files: Vec<(Member, Vec<u8>)> = Vec::new();
        let mut number = 0;
        for step in steps {
            number += 1;
            let side = |is_hub: bool| if is_hub { (hub, node) } else { (node, hub) };
            match step {
                Step::Release => release_image(&mut fleet, hub, &format!("web:{number}")),
                Step::Report => fleet.report(node, json!({ "one": { "round": number } })),
                Step::Export { hub: is_hub, all } => {
                    let (from, to) = side(is_hub);
                    let start = if all { ExportFrom::Start } else { ExportFrom::Known };
                    files.push((to, export_from(&mut fleet, from, to, start).0));
                }
                Step::Import(which) if !files.is_empty() => {
                    let (to, file) = which.get(&files).clone();
                    let other = if to == hub { node } else { hub };
                    let before = fleet.peer_row(to, other);
                    import(&mut fleet, to, &file);
                    let after = fleet.peer_row(to, other);
                    let number = |place: Option<sync_core::wire::Position>| place.map(|place| place.number);
                    prop_assert!(number(after.cursor) >= number(before.cursor) && after.acked >= before.acked);
                }
                Step::Import(_) => {}
                Step::Link { frames } => fleet.sync_cut_after(node, hub, frames),
                Step::Restart { hub: is_hub } => fleet.restart(side(is_hub).0),
            }
        }
        fleet.report(node, json!({ "one": { "round": "last" } }));
        release_image(&mut fleet, hub, "web:last");
        for _ in 0..2 {
            swap(&mut fleet, hub, node);
        }
        prop_assert_eq!(image(&mut fleet, node), "web:last");
        prop_assert_eq!(&fleet.observed(hub, node)["one"]["round"], "last");
        prop_assert_eq!(fleet.peer_row(node, hub).cursor, Some(fleet.peer_row(hub, node).head));
        prop_assert_eq!(fleet.peer_row(hub, node).cursor, Some(fleet.peer_row(node, hub).head));
        let before = (fleet.dump(hub), fleet.dump(node));
        fleet.sync(node, hub);
        prop_assert_eq!((fleet.dump(hub), fleet.dump(node)), before);
        let forks = fleet.peer_row(hub, node).forks + fleet.peer_row(node, hub).forks;
        prop_assert_eq!(forks, 0);
    }
}
