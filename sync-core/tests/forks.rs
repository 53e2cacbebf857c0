//! Stores that lost their past, were copied, or run twice: who notices, who goes on, what comes back, and what it costs
//! (decision D4). The rows of the table in `docs/protocol.md`, "Copies of a store"; what links that die half-way do is in
//! `losses.rs`. Bits that rot in a store whose chains agree are not looked for here.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "fleet/world.rs"]
mod world;

use serde_json::{Value, json};
use sync_core::document::DocumentKey;
use sync_core::replica::Event;
use sync_core::store::{StoreError, TokenRow};
use sync_core::wire::CloseCode;

use world::{Fleet, Member, Passed, layer_key, release_key};

const LAYERS: usize = 30;

fn layer(number: usize) -> String {
    format!("layer-{number}")
}

/// A value that does not compress, so that a document sent for nothing shows in the bytes.
fn weighty(fleet: &mut Fleet) -> Value {
    let text: String = (0..128).map(|_| format!("{:016x}", fleet.entropy.next())).collect();
    json!(text)
}

fn incarnation(fleet: &mut Fleet, member: Member) -> u32 {
    fleet.at(member).incarnation().number
}

fn count(fleet: &Fleet, at: Member, wanted: impl Fn(&Event) -> bool) -> usize {
    fleet.count(at, wanted)
}

fn new_incarnations(fleet: &Fleet, at: Member) -> usize {
    count(fleet, at, |event| matches!(event, Event::NewIncarnation(_)))
}

fn clones(fleet: &Fleet, at: Member) -> usize {
    count(fleet, at, |event| matches!(event, Event::Cloned(_)))
}

fn release_all(fleet: &mut Fleet, hub: Member) {
    let names: Vec<String> = (0..LAYERS).map(layer).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    fleet.release(hub, &names);
}

/// A hub and a node with thirty layers of two kilobytes, all of which the node runs.
fn served(seed: u64) -> (Fleet, Member, Member) {
    let mut fleet = Fleet::new(seed);
    let (hub, node) = (fleet.hub(), fleet.node());
    for number in 0..LAYERS {
        let value = weighty(&mut fleet);
        fleet.write_layer(hub, &layer(number), json!({ "image": "web:1", "value": value }));
    }
    let names: Vec<String> = (0..LAYERS).map(layer).collect();
    fleet.assign(hub, node, &names.iter().map(String::as_str).collect::<Vec<_>>());
    release_all(&mut fleet, hub);
    fleet.report(node, json!({ "web": { "ready": 1 } }));
    fleet.sync(node, hub);
    (fleet, hub, node)
}

fn report(fleet: &mut Fleet, node: Member, hub: Member, value: impl Into<Value>) -> Passed {
    let value: Value = value.into();
    fleet.report(node, json!({ "web": { "ready": value } }));
    fleet.sync(node, hub)
}

fn observed(fleet: &mut Fleet, at: Member, node: Member) -> Value {
    fleet.observed(at, node)["web"]["ready"].clone()
}

fn image(fleet: &mut Fleet, at: Member, number: usize) -> Value {
    fleet.state(at, &layer_key(&layer(number)))["objects"]["one"]["image"].clone()
}

/// Nothing is left to say, nobody has anything in quarantine, and both run and want the same.
fn at_rest(fleet: &mut Fleet, node: Member, hub: Member) {
    fleet.sync(node, hub);
    for _ in 0..2 {
        assert_eq!(fleet.sync(node, hub).frames, 2);
    }
    assert!(fleet.quarantined(hub).is_empty(), "{:?}", fleet.quarantined(hub));
    assert!(fleet.quarantined(node).is_empty(), "{:?}", fleet.quarantined(node));
    let id = fleet.id(node);
    assert_eq!(fleet.at(hub).desired_of(id).unwrap(), fleet.at(node).desired().unwrap());
    assert_eq!(fleet.observed(hub, node), fleet.observed(node, node));
}

#[test]
fn a_wiped_node_gets_its_documents_once() {
    let (mut fleet, hub, node) = served(1);
    fleet.wipe(node);
    let passed = report(&mut fleet, node, hub, "new");
    assert!(passed.bytes < (LAYERS as u64) * 2_700, "{passed:?}");
    at_rest(&mut fleet, node, hub);
    assert_eq!(observed(&mut fleet, hub, node), "new");
    assert!(count(&fleet, hub, |event| matches!(event, Event::Diverged(_))) > 0);
}

#[test]
fn an_older_copy_that_wrote_nothing_catches_up_from_where_it_is() {
    let (mut fleet, hub, node) = served(2);
    let copy = fleet.backup(node);
    report(&mut fleet, node, hub, 2);
    fleet.set_field(hub, &layer(3), "image", json!("web:2"));
    release_all(&mut fleet, hub);
    fleet.sync(node, hub);
    fleet.restore(node, &copy);
    let passed = fleet.sync(node, hub);
    assert!(passed.bytes < 4_000, "{passed:?}");
    // Its head is below what the hub holds: it learns that its reports were lost.
    assert_eq!((new_incarnations(&fleet, node), incarnation(&mut fleet, node)), (1, 2));
    at_rest(&mut fleet, node, hub);
    assert_eq!(image(&mut fleet, node, 3), "web:2");
    assert_eq!(observed(&mut fleet, hub, node), 2, "an acknowledged report is not lost");
}

#[test]
fn an_older_copy_that_wrote_past_its_head_takes_a_new_incarnation_and_its_word_counts() {
    let (mut fleet, hub, node) = served(3);
    let copy = fleet.backup(node);
    report(&mut fleet, node, hub, 2);
    fleet.restore(node, &copy);
    let before = fleet.at(node).incarnation();
    // The number of its feed's entries is the same as before; only the chain tells.
    let passed = report(&mut fleet, node, hub, "again");
    assert!(passed.bytes < 3_500, "{passed:?}");
    assert_eq!((new_incarnations(&fleet, node), incarnation(&mut fleet, node)), (1, 2));
    assert_ne!(before.nonce, fleet.at(node).incarnation().nonce);
    at_rest(&mut fleet, node, hub);
    assert_eq!(observed(&mut fleet, hub, node), "again");
    // The hub has written into the assignment which incarnation counts, and the node holds that too.
    let id = fleet.id(node);
    let stamp = fleet.state(hub, &DocumentKey::assignment(id))["store"].clone();
    assert!(stamp.as_str().unwrap().contains(".2."), "{stamp}");
    assert_eq!(clones(&fleet, hub), 0);
}

#[test]
fn the_same_copy_restored_again_and_again_always_comes_back() {
    for writes in [false, true] {
        let (mut fleet, hub, node) = served(4);
        let copy = fleet.backup(node);
        for value in 2..5 {
            report(&mut fleet, node, hub, value);
        }
        for round in 2..5 {
            fleet.restore(node, &copy);
            if writes {
                fleet.report(node, json!({ "web": { "ready": format!("round {round}") } }));
            }
            fleet.sync(node, hub);
            assert_eq!(incarnation(&mut fleet, node), round);
            at_rest(&mut fleet, node, hub);
            for more in 0..3 {
                report(&mut fleet, node, hub, format!("{round}.{more}"));
            }
            assert_eq!(observed(&mut fleet, hub, node), format!("{round}.2"));
        }
        assert_eq!(clones(&fleet, hub), 0);
    }
}

#[test]
fn of_two_copies_that_run_one_is_refused_and_both_sides_know() {
    let (mut fleet, hub, node) = served(5);
    let copy = fleet.backup(node);
    report(&mut fleet, node, hub, "first");
    let twin = fleet.twin(node, &copy);
    report(&mut fleet, twin, hub, "second");
    assert_eq!(incarnation(&mut fleet, twin), 2);
    assert_eq!(observed(&mut fleet, hub, node), "second");
    // The machine that ran all the time is the one that is refused: it came second.
    for _ in 0..3 {
        report(&mut fleet, node, hub, "lost");
    }
    assert_eq!((clones(&fleet, hub), fleet.peer_row(hub, node).clones), (3, 3));
    assert_eq!(count(&fleet, node, |event| matches!(event, Event::RefusedAsClone(_))), 3);
    assert_eq!(incarnation(&mut fleet, node), 1);
    assert_eq!(observed(&mut fleet, hub, node), "second", "nothing of a refused copy is taken");
    report(&mut fleet, twin, hub, "still here");
    assert_eq!(observed(&mut fleet, hub, node), "still here");
    at_rest(&mut fleet, twin, hub);
}

#[test]
fn a_refused_copy_is_told_to_stay_away_for_long() {
    let (mut fleet, hub, node) = served(6);
    let copy = fleet.backup(node);
    report(&mut fleet, node, hub, "first");
    let twin = fleet.twin(node, &copy);
    report(&mut fleet, twin, hub, "second");
    fleet.closes.clear();
    fleet.sync(node, hub);
    let close = fleet.closes.iter().find(|(at, _)| *at == node).unwrap().1.clone();
    assert_eq!(close.code, CloseCode::Cloned);
    assert_eq!(close.retry_after_ms, 3_600_000);
    assert!(close.message.contains("join again"), "{}", close.message);
}

/// Two hubs that know each other and the node, and have met.
fn two_hubs(seed: u64) -> (Fleet, Member, Member, Member) {
    let mut fleet = Fleet::new(seed);
    let (a, b, node) = (fleet.hub(), fleet.hub(), fleet.node());
    for (at, other) in [(a, b), (b, a), (node, a), (node, b), (a, node), (b, node)] {
        fleet.introduce(at, other);
    }
    fleet.write_layer(a, "base", json!({ "image": "web:1" }));
    fleet.release(a, &["base"]);
    fleet.assign(a, node, &["base"]);
    fleet.sync(a, b);
    for hub in [a, b] {
        report(&mut fleet, node, hub, 1);
        fleet.sync(a, b);
    }
    fleet.sync(node, a);
    fleet.sync(node, b);
    (fleet, a, b, node)
}

#[test]
fn a_copy_that_meets_another_hub_is_refused_once_the_hubs_have_met() {
    let (mut fleet, a, b, node) = two_hubs(7);
    let copy = fleet.backup(node);
    report(&mut fleet, node, a, 2);
    let twin = fleet.twin(node, &copy);
    // The copy is granted a new incarnation at the first hub; the second has not heard of it and serves the other.
    report(&mut fleet, twin, a, "granted");
    report(&mut fleet, node, b, "not yet refused");
    assert_eq!(clones(&fleet, b), 0);
    fleet.sync(a, b);
    report(&mut fleet, node, b, "refused");
    assert_eq!((clones(&fleet, b), incarnation(&mut fleet, node), incarnation(&mut fleet, twin)), (1, 1, 2));
    // Two frontiers of one node's document beside each other are evidence by themselves.
    assert!(fleet.peer_row(a, node).forks > 0 && fleet.peer_row(b, node).forks > 0);
    for hub in [a, b, a, b] {
        report(&mut fleet, twin, hub, "stands");
        fleet.sync(a, b);
    }
    fleet.sync(twin, a);
    assert_eq!((observed(&mut fleet, a, node), observed(&mut fleet, b, node)), (json!("stands"), json!("stands")));
    assert_eq!(fleet.views(a), fleet.views(b));
    assert_eq!(clones(&fleet, a), 0);
}

/// The node's store is another one since one of the hubs met it, and was set back too.
#[test]
fn hubs_that_know_two_stores_of_one_node_do_not_overrule_each_other_for_ever() {
    let (mut fleet, a, b, node) = two_hubs(8);
    let set_back = |fleet: &mut Fleet, number: u64| {
        let copy = fleet.backup(node);
        report(fleet, node, a, number);
        fleet.restore(node, &copy);
        report(fleet, node, a, number + 1);
        assert_eq!(incarnation(fleet, node), 2);
    };
    set_back(&mut fleet, 2);
    report(&mut fleet, node, b, 4);
    fleet.sync(a, b);
    fleet.wipe(node);
    report(&mut fleet, node, a, 5);
    set_back(&mut fleet, 6);
    // The second hub knows the first store, of which no word counts any more.
    fleet.sync(a, b);
    report(&mut fleet, node, b, 8);
    fleet.sync(a, b);
    let known = [a, b].map(|hub| fleet.peer_row(hub, node).their_store);
    assert_eq!(known[0], known[1]);
    assert_eq!(fleet.views(a), fleet.views(b));
}

#[test]
fn of_two_incarnations_that_split_hubs_granted_the_lower_nonce_stands() {
    for seed in 20..26 {
        let (mut fleet, a, b, node) = two_hubs(seed);
        let copy = fleet.backup(node);
        report(&mut fleet, node, a, 2);
        report(&mut fleet, node, b, 3);
        // Two copies, each set back, each granted the second incarnation by another hub.
        let (one, two) = (fleet.twin(node, &copy), fleet.twin(node, &copy));
        report(&mut fleet, one, a, "one");
        report(&mut fleet, two, b, "two");
        let (first, second) = (fleet.at(one).incarnation(), fleet.at(two).incarnation());
        assert_eq!((first.number, second.number), (2, 2));
        fleet.sync(a, b);
        fleet.sync(b, a);
        let (winner, loser) = if first.nonce < second.nonce { (one, two) } else { (two, one) };
        for hub in [a, b] {
            report(&mut fleet, loser, hub, "loser");
            report(&mut fleet, winner, hub, "winner");
        }
        for hub in [a, b] {
            assert_eq!(clones(&fleet, hub), 1, "seed {seed}");
            assert_eq!(observed(&mut fleet, hub, node), "winner", "seed {seed}");
        }
        assert_eq!((incarnation(&mut fleet, winner), incarnation(&mut fleet, loser)), (2, 2));
    }
}

#[test]
fn a_hub_set_back_two_days_that_published_six_edits_gets_back_what_it_forgot() {
    let (mut fleet, hub, node) = served(8);
    let other = fleet.node();
    fleet.assign(hub, other, &[&layer(0), &layer(1)]);
    fleet.sync(other, hub);
    let copy = fleet.backup(hub);
    for number in 0..4 {
        fleet.set_field(hub, &layer(number), "image", json!("web:2"));
        release_all(&mut fleet, hub);
        fleet.sync(node, hub);
    }
    report(&mut fleet, node, hub, 2);
    fleet.restore(hub, &copy);
    for edit in 0..6 {
        fleet.set_field(hub, &layer(edit), "replicas", json!(edit));
        release_all(&mut fleet, hub);
    }
    let passed = fleet.sync(node, hub);
    // Thirty layers of two kilobytes are known on both sides; ten edits and four releases are not.
    assert!(passed.bytes < 40_000, "{passed:?}");
    assert_eq!((new_incarnations(&fleet, hub), incarnation(&mut fleet, hub)), (1, 2));
    // The merged release names one of two frontiers of a layer that both have changed; the next names the merge.
    release_all(&mut fleet, hub);
    at_rest(&mut fleet, node, hub);
    for number in 0..6 {
        let state = fleet.state(node, &layer_key(&layer(number)))["objects"]["one"].clone();
        assert_eq!(state["replicas"], number, "what the hub wrote after it was set back");
        assert_eq!(state["image"], if number < 4 { "web:2" } else { "web:1" }, "what it had forgotten");
    }
    assert_eq!(fleet.state(node, &release_key()), fleet.state(hub, &release_key()));
    assert_eq!(observed(&mut fleet, hub, node), 2);
    // The other nodes start over too, for the price of a list.
    let passed = fleet.sync(other, hub);
    at_rest(&mut fleet, other, hub);
    assert!(passed.bytes < 12_000, "{passed:?}");
    assert_eq!(image(&mut fleet, other, 0), "web:2");
    assert_eq!(new_incarnations(&fleet, hub), 1, "one loss is one incarnation");
}

#[test]
fn a_hub_set_back_that_writes_nothing_is_brought_forward_by_its_node() {
    let (mut fleet, hub, node) = served(9);
    let copy = fleet.backup(hub);
    for round in 0..3 {
        fleet.set_field(hub, &layer(round), "image", json!("web:2"));
        release_all(&mut fleet, hub);
        report(&mut fleet, node, hub, round);
    }
    let views = fleet.views(node);
    fleet.restore(hub, &copy);
    let passed = fleet.sync(node, hub);
    assert!(passed.bytes < 9_000, "{passed:?}");
    assert_eq!((new_incarnations(&fleet, hub), new_incarnations(&fleet, node)), (1, 0));
    at_rest(&mut fleet, node, hub);
    assert_eq!(fleet.views(node), views, "the node was not overruled");
    for view in views {
        assert!(fleet.views(hub).contains(&view), "the hub lacks {view}");
    }
}

#[test]
fn a_hub_set_back_to_the_same_copy_twice_comes_back_twice() {
    let (mut fleet, hub, node) = served(10);
    let copy = fleet.backup(hub);
    for round in 0..3_usize {
        fleet.set_field(hub, &layer(round), "image", json!("web:2"));
        release_all(&mut fleet, hub);
        report(&mut fleet, node, hub, round);
        fleet.restore(hub, &copy);
        fleet.sync(node, hub);
        at_rest(&mut fleet, node, hub);
        for number in 0..=round {
            assert_eq!(image(&mut fleet, hub, number), "web:2");
        }
    }
    assert_eq!(new_incarnations(&fleet, hub), 3);
    assert_eq!(fleet.peer_row(hub, node).clones, 0);
}

#[test]
fn a_wiped_hub_gets_from_a_node_what_that_node_holds() {
    let (mut fleet, hub, node) = served(11);
    let views = fleet.views(node);
    fleet.wipe(hub);
    fleet.sync(node, hub);
    fleet.sync(node, hub);
    assert_eq!(fleet.views(hub), views);
    at_rest(&mut fleet, node, hub);
}

#[test]
fn open_tokens_of_a_hub_that_lost_its_past_are_void() {
    let (mut fleet, hub, node) = served(12);
    let now = fleet.now();
    let token = |id, redeemed_by| TokenRow {
        id: [id; 8],
        secret_hash: [0; 32],
        labels: Default::default(),
        expires: 1_000_000,
        redeemed_by,
        role: sync_core::identity::Role::Node,
        authority: false,
    };
    let edited: Result<(), StoreError> = fleet.at(hub).edit(now, |edit| {
        edit.tx().add_token(&token(1, None), 1_000)?;
        edit.tx().add_token(&token(2, None), 1_000)
    });
    edited.unwrap();
    let copy = fleet.backup(hub);
    fleet.set_field(hub, &layer(0), "image", json!("web:2"));
    release_all(&mut fleet, hub);
    fleet.sync(node, hub);
    fleet.restore(hub, &copy);
    assert_eq!(fleet.at(hub).inspect(|tx| tx.open_tokens(1_000)).unwrap(), 2);
    fleet.sync(node, hub);
    assert_eq!(fleet.at(hub).inspect(|tx| tx.open_tokens(1_000)).unwrap(), 0);
}

#[test]
fn a_hub_set_back_beside_another_hub_is_brought_forward_for_the_difference() {
    let mut fleet = Fleet::new(13);
    let (a, b) = (fleet.hub(), fleet.hub());
    for number in 0..LAYERS {
        let value = weighty(&mut fleet);
        fleet.write_layer(a, &layer(number), json!({ "image": "web:1", "value": value }));
    }
    fleet.sync(a, b);
    let copy = fleet.backup(a);
    for writes in [false, true] {
        for number in 0..5 {
            fleet.set_field(a, &layer(number), "image", json!(format!("web:2 {writes}")));
        }
        fleet.sync(a, b);
        fleet.restore(a, &copy);
        if writes {
            fleet.set_field(a, &layer(7), "replicas", json!(7));
        }
        let passed = fleet.sync(a, b);
        assert!(passed.bytes < 9_500, "{passed:?}");
        fleet.sync(b, a);
        assert_eq!(fleet.views(a), fleet.views(b));
        assert_eq!(image(&mut fleet, a, 4), format!("web:2 {writes}"));
        assert_eq!(fleet.sync(a, b).frames, 2);
    }
    assert_eq!((new_incarnations(&fleet, a), new_incarnations(&fleet, b)), (2, 0));
    assert_eq!(fleet.state(b, &layer_key(&layer(7)))["objects"]["one"]["replicas"], 7);
}

/// Every frame may be the last that arrives, and what was reconciled is not sent again as a whole.
#[test]
fn reconciling_survives_links_that_die() {
    for frames in 0..40 {
        let (mut fleet, hub, node) = served(14);
        let copy = fleet.backup(hub);
        for number in 0..3 {
            fleet.set_field(hub, &layer(number), "image", json!("web:2"));
            release_all(&mut fleet, hub);
            fleet.sync(node, hub);
        }
        fleet.restore(hub, &copy);
        let before = fleet.passed.bytes;
        for _ in 0..3 {
            fleet.sync_cut_after(node, hub, frames);
        }
        fleet.sync(node, hub);
        let bytes = fleet.passed.bytes - before;
        assert!(bytes < 30_000, "{bytes} bytes after cuts at frame {frames}");
        at_rest(&mut fleet, node, hub);
        assert_eq!(image(&mut fleet, hub, 2), "web:2");
    }
}

#[test]
fn a_running_replica_that_lost_its_past_writes_under_a_fresh_actor() {
    let (mut fleet, hub, node) = served(15);
    let copy = fleet.backup(node);
    report(&mut fleet, node, hub, 2);
    fleet.restore(node, &copy);
    let actors = |fleet: &mut Fleet| {
        let key = DocumentKey::observed(fleet.id(node));
        fleet
            .at(node)
            .inspect(|tx| {
                let document = tx.document(key.id())?.unwrap();
                Ok::<_, StoreError>(tx.clock_of(document.row)?.iter().map(|(actor, _)| *actor).collect::<Vec<_>>())
            })
            .unwrap()
    };
    report(&mut fleet, node, hub, 3);
    let before = actors(&mut fleet);
    report(&mut fleet, node, hub, 4);
    let after = actors(&mut fleet);
    assert!(after.iter().filter(|actor| !before.contains(actor)).count() <= 1);
    assert_eq!(observed(&mut fleet, hub, node), 4);
}
