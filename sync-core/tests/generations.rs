//! Documents whose histories are cut: what travels, what stays on the disk, and that no cut loses late work, a conflict or a
//! release (decision D5, argument in `docs/generations.md`). Random histories are in `converging.rs` and
//! `interleavings.rs`.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "fleet/site.rs"]
mod site;
#[path = "fleet/world.rs"]
mod world;

use serde_json::{Value, json};
use sync_core::document::DocumentKey;
use sync_core::document::generation::{CutPolicy, Extent};
use sync_core::document::json::PathSegment;
use sync_core::replica::Event;
use sync_core::replica::conflicts::{FieldConflict, conflicts};

use site::{EAGER, generations_held, site};
use world::{Fleet, Member, layer_key};

fn in_conflict(fleet: &mut Fleet, at: Member, key: &DocumentKey) -> Vec<FieldConflict> {
    fleet.at(at).inspect(|tx| conflicts(tx, key)).unwrap()
}

fn pointer(path: &[PathSegment]) -> String {
    path.iter().map(|segment| format!("/{segment}")).collect()
}

fn extent(fleet: &mut Fleet, at: Member, key: &DocumentKey) -> Extent {
    let read = |tx: &sync_core::store::Tx<'_>| {
        let document = tx.document(key.id())?.unwrap();
        tx.extent(document.row, document.generation)
    };
    fleet.at(at).inspect(read).unwrap()
}

/// A value that does not compress.
fn weighty(fleet: &mut Fleet) -> Value {
    json!((0..2_048).map(|_| format!("{:016x}", fleet.entropy.next())).collect::<String>())
}

#[test]
fn a_peer_at_the_cut_needs_the_record_and_no_state() {
    let mut site = site(1, EAGER);
    let weight = weighty(&mut site.fleet);
    site.fleet.set_field(site.a, "base", "weight", weight.clone());
    site.fleet.sync(site.a, site.b);
    let before = site.generation(site.b);
    site.cut(1);
    let passed = site.fleet.sync(site.a, site.b);
    assert_eq!(site.generation(site.b), before + 1);
    assert!(passed.bytes < 2_000, "{passed:?}, and the state has {} bytes", weight.as_str().unwrap().len());
    site.agree();
}

#[test]
fn a_member_that_stands_before_the_cut_gets_the_genesis_and_no_history() {
    let mut site = site(2, EAGER);
    site.cut(20);
    let (key, newcomer) = (layer_key("base"), site.fleet.hub());
    site.fleet.introduce(site.a, newcomer);
    site.fleet.introduce(newcomer, site.a);
    site.fleet.sync(newcomer, site.a);
    assert_eq!(site.fleet.views(newcomer), site.fleet.views(site.a));
    let present = site.generation(site.a);
    assert!(generations_held(&mut site.fleet, newcomer, &key).iter().all(|held| *held + 1 >= present || *held == 0));
    assert!(extent(&mut site.fleet, newcomer, &key).changes <= EAGER.changes + 1);
    // The others were away for twenty generations, and b makes nothing of it.
    site.agree();
    assert_eq!(site.generation(site.b), present);
    assert_eq!(site.generation(site.node), 0, "what is released is older");
    site.fleet.release(site.a, &["base"]);
    site.agree();
    assert_eq!(site.generation(site.node), present);
}

#[test]
fn generations_that_nobody_needs_leave_the_disk() {
    let mut site = site(3, EAGER);
    for round in 0..40 {
        site.cut(1);
        site.fleet.report(site.node, json!({ "web": { "ready": round } }));
        site.fleet.release(site.a, &["base"]);
        site.meet();
    }
    let observed = DocumentKey::observed(site.fleet.id(site.node));
    for member in [site.a, site.b, site.node] {
        let held = generations_held(&mut site.fleet, member, &layer_key("base"));
        assert!(held.len() <= 3, "{held:?} of {}", site.generation(member));
        let held = generations_held(&mut site.fleet, member, &observed);
        assert_eq!(held.len(), 1, "{held:?}");
        let log = site.fleet.at(member).inspect(|tx| tx.log_length()).unwrap();
        assert!(log < 60, "{log} frontiers of some 160");
    }
    site.agree();
}

#[test]
fn a_document_written_for_a_long_time_keeps_its_size() {
    let mut fleet = Fleet::new(4);
    let node = fleet.node();
    let key = DocumentKey::observed(fleet.id(node));
    let size = |fleet: &Fleet| -> u64 {
        let files = std::fs::read_dir(fleet.folder(node)).unwrap();
        files.map(|file| file.unwrap().metadata().unwrap().len()).sum()
    };
    let mut sizes = Vec::new();
    for round in 0..4 {
        for number in 0..1_500 {
            let state = json!({ "objects": { "web": { "ready": number % 7, "seen": round * 1_500 + number } } });
            fleet.write(node, &key, state);
        }
        sizes.push(size(&fleet));
    }
    assert!(extent(&mut fleet, node, &key).changes <= CutPolicy::default().changes);
    assert_eq!(generations_held(&mut fleet, node, &key).len(), 1);
    assert!(sizes[3] <= sizes[0] * 5 / 4, "{sizes:?}");
}

#[test]
fn a_large_first_write_is_its_own_state_and_is_followed_by_no_cut() {
    let mut site = site(13, CutPolicy::default());
    let weight = weighty(&mut site.fleet);
    let key = DocumentKey::observed(site.fleet.id(site.node));
    for number in 0..20 {
        site.fleet.report(site.node, json!({ "web": { "weight": weight, "ready": number } }));
        site.meet();
    }
    let extent = extent(&mut site.fleet, site.a, &key);
    assert!(extent.bytes > CutPolicy::default().log_bytes_min);
    assert_eq!(generations_held(&mut site.fleet, site.a, &key), [0]);
    // What is written over and over is history, however large the state.
    for number in 0..5 {
        let weight = weighty(&mut site.fleet);
        site.fleet.report(site.node, json!({ "web": { "weight": weight, "ready": number } }));
        site.meet();
    }
    assert_eq!(generations_held(&mut site.fleet, site.a, &key), [1]);
    site.agree();
}

#[test]
fn work_written_into_a_generation_that_ended_is_written_again_in_the_next() {
    for cuts in [1, 2, 7] {
        let mut site = site(5, EAGER);
        site.fleet.set_field(site.b, "base", "replicas", json!(9));
        site.cut(cuts);
        site.fleet.set_field(site.a, "base", "image", json!("web:2"));
        site.agree();
        let one = site.one(site.a);
        assert_eq!((&one["image"], &one["replicas"]), (&json!("web:2"), &json!(9)), "{cuts} cuts");
        let rebased = |event: &Event| matches!(event, Event::Rebased { contested, .. } if contested.is_empty());
        assert!(site.fleet.count(site.b, rebased) > 0);
    }
}

#[test]
fn a_field_that_both_sides_changed_across_a_cut_shows_both_values() {
    for cuts in [1, 3] {
        let mut site = site(6, EAGER);
        site.fleet.set_field(site.b, "base", "image", json!("web:b"));
        site.fleet.set_field(site.a, "base", "image", json!("web:a"));
        site.cut(cuts);
        site.agree();
        for hub in [site.a, site.b] {
            let found = in_conflict(&mut site.fleet, hub, &layer_key("base"));
            let [conflict] = found.as_slice() else { panic!("{found:?}") };
            assert_eq!(pointer(&conflict.path), "/objects/one/image");
            let mut values: Vec<String> = conflict.values.iter().map(|it| it.value.to_string()).collect();
            values.sort();
            assert_eq!(values, ["\"web:a\"", "\"web:b\""]);
        }
        // It holds up the next cut until somebody decides.
        let held_up = site.generation(site.a);
        for number in 0..6 {
            site.fleet.set_field(site.a, "base", "turn", json!(number));
        }
        assert_eq!(site.generation(site.a), held_up);
        site.fleet.set_field(site.a, "base", "image", json!("web:c"));
        site.cut(1);
        site.agree();
        assert!(in_conflict(&mut site.fleet, site.b, &layer_key("base")).is_empty());
        assert_eq!(site.one(site.b)["image"], "web:c");
    }
}

#[test]
fn what_was_deleted_before_a_cut_does_not_come_back_with_late_work() {
    let mut site = site(7, EAGER);
    let key = layer_key("base");
    site.fleet.write(site.a, &key, json!({ "objects": { "one": { "image": "web:1" }, "two": { "image": "db:1" } } }));
    site.fleet.sync(site.a, site.b);
    site.fleet.write(
        site.b,
        &key,
        json!({ "objects": { "one": { "image": "web:1", "late": true }, "two": { "image": "db:2" } } }),
    );
    site.fleet.write(site.a, &key, json!({ "objects": { "one": { "image": "web:1" } } }));
    site.cut(2);
    site.agree();
    let state = site.fleet.state(site.b, &key);
    assert_eq!((&state["objects"]["two"], &state["objects"]["one"]["late"]), (&Value::Null, &json!(true)));
    let left = |event: &Event| matches!(event, Event::Rebased { left, .. } if *left == ["/objects/two"] || *left == ["/objects/two/image"]);
    assert_eq!(site.fleet.count(site.b, left), 1, "{:?}", site.fleet.events);
}

#[test]
fn of_two_cuts_the_one_of_the_newer_home_counts_and_the_work_of_both_stays() {
    let mut site = site(8, EAGER);
    // Moved at the second hub, before the first hears of it.
    site.fleet.home(site.b, site.b);
    site.cut(2);
    site.fleet.set_field(site.a, "base", "image", json!("web:2"));
    for number in 0..9 {
        site.fleet.set_field(site.b, "base", "replicas", json!(number));
    }
    assert!(site.generation(site.a) > 0 && site.generation(site.b) > 0);
    site.agree();
    let one = site.one(site.a);
    assert_eq!((&one["image"], &one["replicas"]), (&json!("web:2"), &json!(8)));
    let root = |fleet: &mut Fleet, at| {
        let id = layer_key("base").id();
        let read = |tx: &sync_core::store::Tx<'_>| {
            let document = tx.document(id)?.unwrap();
            tx.root(document.row, document.generation)
        };
        fleet.at(at).inspect(read).unwrap().unwrap().root().clone()
    };
    let (at_a, at_b) = (root(&mut site.fleet, site.a), root(&mut site.fleet, site.b));
    assert_eq!(at_a, at_b);
    // From now on only the new home cuts.
    let before = site.generation(site.a);
    for number in 0..9 {
        site.fleet.set_field(site.a, "base", "turn", json!(format!("again {number}")));
    }
    assert_eq!(site.generation(site.a), before);
    site.agree();
}

#[test]
fn a_hub_that_gave_up_its_own_cuts_takes_later_ones_without_a_conflict_when_it_is_set_back() {
    let mut site = site(13, EAGER);
    site.fleet.home(site.b, site.b);
    site.cut(2);
    for number in 0..9 {
        site.fleet.set_field(site.b, "base", "replicas", json!(number));
    }
    site.fleet.release(site.b, &["base"]);
    site.meet();
    let held = in_conflict(&mut site.fleet, site.a, &layer_key("base"));
    for field in ["turn", "replicas", "image", "zone"] {
        site.fleet.set_field(site.b, "base", field, json!("settled"));
    }
    site.meet();
    assert!(in_conflict(&mut site.fleet, site.a, &layer_key("base")).is_empty(), "{held:?}");
    let copy = site.fleet.backup(site.a);
    for number in 0..9 {
        site.fleet.set_field(site.b, "base", "replicas", json!(format!("later {number}")));
    }
    site.fleet.release(site.b, &["base"]);
    site.meet();
    // All that it holds is below the cuts that it lacks, so it has nothing to bring over.
    let before = site.fleet.count(site.a, |event| matches!(event, Event::Rebased { .. }));
    site.fleet.restore(site.a, &copy);
    site.agree();
    assert_eq!(site.fleet.count(site.a, |event| matches!(event, Event::Rebased { .. })), before);
    assert!(in_conflict(&mut site.fleet, site.a, &layer_key("base")).is_empty());
}

#[test]
fn a_release_that_names_an_old_generation_reaches_nodes_that_never_had_it() {
    let mut site = site(9, EAGER);
    let old = site.fleet.pin(site.a, "base");
    let image = site.one(site.a)["image"].clone();
    for round in 0..5 {
        site.cut(1);
        site.fleet.set_field(site.a, "base", "image", json!(format!("web:{round}")));
    }
    // Named all the time, so it is kept; the node has it as well and says nothing.
    site.agree();
    assert!(generations_held(&mut site.fleet, site.a, &layer_key("base")).contains(&old.generation));
    let late = site.fleet.node();
    for hub in [site.a, site.b] {
        site.fleet.introduce(hub, late);
        site.fleet.introduce(late, hub);
    }
    site.fleet.assign(site.a, late, &["base"]);
    site.fleet.sync(late, site.a);
    let id = site.fleet.id(late);
    assert_eq!(site.fleet.at(late).desired().unwrap(), site.fleet.at(site.a).desired_of(id).unwrap());
    // Forward, and back again.
    let newest = site.fleet.pin(site.a, "base");
    for pin in [newest, old] {
        site.fleet.release_pins(site.a, vec![(world::name("base"), pin)]);
        site.agree();
        site.fleet.sync(late, site.a);
        assert_eq!(site.fleet.at(late).desired().unwrap(), site.fleet.at(site.a).desired_of(id).unwrap());
    }
    let desired = format!("{:?}", site.fleet.at(late).desired().unwrap());
    assert!(desired.contains(image.as_str().unwrap()), "{desired}");
}

#[test]
fn a_node_set_back_to_before_a_cut_of_its_report_goes_on_with_what_it_sees_now() {
    let mut site = site(10, EAGER);
    for number in 0..4 {
        site.fleet.report(site.node, json!({ "web": { "ready": number } }));
        site.meet();
    }
    let copy = site.fleet.backup(site.node);
    for number in 10..20 {
        site.fleet.report(site.node, json!({ "web": { "ready": number } }));
        site.meet();
    }
    site.fleet.restore(site.node, &copy);
    site.fleet.report(site.node, json!({ "web": { "ready": 99 } }));
    site.agree();
    assert_eq!(site.fleet.observed(site.b, site.node), json!({ "web": { "ready": 99 } }));
    for number in 100..110 {
        site.fleet.report(site.node, json!({ "web": { "ready": number } }));
        site.agree();
    }
}

/// A node's store is set back and cuts its report again under a number that its other life used. Which record counts is decided
/// by hashes, so both are among the seeds.
#[test]
fn a_hub_that_stands_on_a_cut_that_does_not_count_gets_the_record_of_the_one_that_does() {
    let place = |site: &mut site::Site, at: Member| {
        let key = DocumentKey::observed(site.fleet.id(site.node));
        let read = |tx: &sync_core::store::Tx<'_>| {
            let document = tx.document(key.id())?.unwrap();
            let root = tx.root(document.row, document.generation)?;
            Ok::<_, sync_core::store::StoreError>((document.generation, root.map(|root| root.root().genesis)))
        };
        site.fleet.at(at).inspect(read).unwrap()
    };
    let (mut kept, mut replaced) = (0, 0);
    for seed in 30..70 {
        let mut site = site(seed, EAGER);
        let (a, b, node) = (site.a, site.b, site.node);
        let report = |site: &mut site::Site, number: u64| {
            site.fleet.report(node, json!({ "web": { "ready": number } }));
        };
        report(&mut site, 0);
        site.meet();
        let before = place(&mut site, node);
        let mut copies = vec![site.fleet.backup(node)];
        for number in 1.. {
            report(&mut site, number);
            site.meet();
            if place(&mut site, node) != before {
                break;
            }
            copies.push(site.fleet.backup(node));
        }
        let first = place(&mut site, b);
        // The write after the last copy was the cut. What is written after the one before is in no other life.
        let copy = &copies[copies.len().saturating_sub(2)];
        site.fleet.restore(node, copy);
        for session in 1..3 {
            site.fleet.link(node, a);
            for number in 0..seed % 5 {
                report(&mut site, 100 * session + number);
                site.fleet.step();
            }
            site.fleet.run();
            site.fleet.cut_all();
        }
        site.fleet.sync(node, a);
        site.fleet.sync(a, b);
        assert_eq!(site.fleet.observed(b, node), site.fleet.observed(node, node), "seed {seed}");
        let now = place(&mut site, b);
        kept += usize::from(now == first);
        replaced += usize::from(now.0 == first.0 && now.1 != first.1);
        site.agree();
    }
    assert!(kept > 0 && replaced > 0, "{kept} kept, {replaced} replaced");
}

/// Which of the two lines of cuts counts is decided by the hashes of their records, which are as good as random.
#[test]
fn a_home_set_back_to_before_its_cuts_gets_them_back_beside_what_it_wrote_since() {
    let mut lines_that_count = [0, 0];
    for seed in 11..21 {
        let mut site = site(seed, EAGER);
        let copy = site.fleet.backup(site.a);
        site.cut(3);
        site.fleet.set_field(site.a, "base", "image", json!("web:2"));
        site.fleet.release(site.a, &["base"]);
        site.meet();
        let cut = site.generation(site.b);
        site.fleet.restore(site.a, &copy);
        for number in 0..9 {
            site.fleet.set_field(site.a, "base", "replicas", json!(number));
        }
        site.meet();
        let found = in_conflict(&mut site.fleet, site.b, &layer_key("base"));
        if found.is_empty() {
            // The new line counts, and who stood on the lost one holds the state before both.
            let one = site.one(site.b);
            assert_eq!((&one["image"], &one["replicas"]), (&json!("web:2"), &json!(8)), "{cut}");
            lines_that_count[0] += 1;
        } else {
            // The lost line counts. Its state before is gone from the disks, so a field that differs shows the values of both.
            for (path, ours, lost) in
                [("/objects/one/replicas", json!(8), json!(1)), ("/objects/one/image", json!("web:1"), json!("web:2"))]
            {
                let conflict = found.iter().find(|it| pointer(&it.path) == path).unwrap();
                let values: Vec<&Value> = conflict.values.iter().map(|it| &it.value).collect();
                assert!(values.contains(&&ours) && values.contains(&&lost), "{cut} {values:?}");
            }
            lines_that_count[1] += 1;
        }
        // What was released stood on the cuts that do not count any more: nodes stay with what they have until the next release.
        let (node, kept) = (site.fleet.id(site.node), site.fleet.at(site.node).desired().unwrap());
        assert!(site.fleet.at(site.a).desired_of(node).is_err());
        assert!(format!("{kept:?}").contains("web:2"));
        site.fleet.release(site.a, &["base"]);
        site.agree();
    }
    assert!(lines_that_count.iter().all(|count| *count > 0), "{lines_that_count:?}");
}

#[test]
fn a_home_that_lost_everything_gets_its_layers_back_from_a_node_and_cuts_on() {
    let mut site = site(12, EAGER);
    site.cut(4);
    site.fleet.release(site.a, &["base"]);
    site.meet();
    let (released, before) = (site.one(site.a), site.generation(site.a));
    site.fleet.wipe(site.a);
    site.fleet.sync(site.node, site.a);
    assert_eq!(site.one(site.a), released);
    site.cut(2);
    assert!(site.generation(site.a) > before);
    site.agree();
}

/// A hub writes on under its own cut, and pushes to one that has switched to the cut that counts and of which it knows no better
/// than that it stood beside it.
#[test]
fn nobody_is_blamed_who_pushes_from_a_cut_that_was_given_up_elsewhere() {
    let key = layer_key("base");
    for (cuts, written) in [(1, 1), (1, 2), (1, 6), (2, 1), (3, 2), (3, 6)] {
        for is_released in [false, true] {
            let mut site = site(8, EAGER);
            let (a, b) = (site.a, site.b);
            let between = site.fleet.hub();
            for other in [a, b, site.node] {
                site.fleet.introduce(between, other);
                site.fleet.introduce(other, between);
            }
            site.fleet.sync(between, a);
            site.fleet.home(b, b);
            site.cut(cuts);
            if is_released {
                site.fleet.release(a, &["base"]);
            }
            site.fleet.sync(between, a);
            for number in 0..9 {
                site.fleet.set_field(b, "base", "replicas", json!(number));
            }
            site.fleet.sync(between, b);
            assert_eq!(site.fleet.state(between, &key)["objects"]["one"]["replicas"], json!(8));
            for number in 0..written {
                site.fleet.set_field(a, "base", "image", json!(format!("web:{number}")));
            }
            // What it sends goes out before it hears of the other cut.
            site.fleet.sync(a, between);
            let what = format!("{cuts} cuts, {written} written");
            for hub in [a, b, between] {
                assert!(site.fleet.quarantined(hub).is_empty(), "{what}: {:?}", site.fleet.quarantined(hub));
            }
            site.fleet.sync(between, b);
            site.agree();
            // Where the common state is gone from the disks, a field that differs shows the values of both.
            let wanted = json!(format!("web:{}", written - 1));
            let beside = in_conflict(&mut site.fleet, b, &key);
            let is_beside = beside.iter().flat_map(|conflict| &conflict.values).any(|it| it.value == wanted);
            assert!(site.one(b)["image"] == wanted || is_beside, "{what}: {:?}, {beside:?}", site.one(b));
        }
    }
}
