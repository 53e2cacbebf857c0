//! Several hubs: words of members that were never met, a roster that everyone obeys, a split and its healing.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "fleet/door.rs"]
mod door;
#[path = "fleet/world.rs"]
mod world;

use serde_json::json;
use sync_core::document::DocumentKey;
use sync_core::document::json::{PathSegment, pointer};
use sync_core::id::NodeId;
use sync_core::identity::Role;
use sync_core::replica::WriteError;
use sync_core::replica::conflicts::{FieldConflict, conflicts};
use sync_core::state::roster::{Home, HomeField, HubEntry};

use world::{Fleet, Member, layer_key, name};

fn image(fleet: &mut Fleet, node: Member) -> serde_json::Value {
    fleet.at(node).desired().unwrap().layers[0].state["objects"]["one"]["image"].clone()
}

fn revoke(fleet: &mut Fleet, hub: Member, member: Member) {
    let (id, now) = (fleet.id(member), fleet.now());
    fleet.at(hub).edit(now, |edit| edit.revoke(id, "gone")).unwrap();
    fleet.drain(hub);
}

fn is_revoked(fleet: &mut Fleet, at: Member, member: Member) -> bool {
    fleet.peer_row(at, member).revoked
}

fn add_hub(fleet: &mut Fleet, at: Member, hub: Member, address: &str) {
    let (id, now) = (fleet.id(hub), fleet.now());
    fleet
        .at(at)
        .edit(now, |edit| {
            let mut roster = edit.roster()?;
            let name = name(&format!("hub-{}", hub.0));
            roster.hubs.insert(id, HubEntry { name, addresses: vec![address.to_owned()], authority: false });
            roster.home = HomeField { hub: roster.home.hub.or(Some(id)), epoch: Some(1) };
            edit.write_roster(&roster)
        })
        .unwrap_or_else(|error: WriteError| panic!("{error}"));
    fleet.drain(at);
}

#[test]
fn a_node_takes_the_word_of_a_hub_that_it_never_met() {
    let mut fleet = Fleet::new(1);
    let (a, b, node) = (fleet.hub(), fleet.hub(), fleet.node());
    fleet.write_layer(b, "base", json!({ "image": "web:1" }));
    fleet.release(b, &["base"]);
    fleet.assign(b, node, &["base"]);
    fleet.sync(a, b);
    fleet.sync(node, a);
    assert_eq!(image(&mut fleet, node), "web:1");
    // Changes of a hub that the node never met, below a frontier of the one that it knows.
    fleet.set_field(b, "base", "image", json!("web:2"));
    fleet.sync(a, b);
    fleet.set_field(a, "base", "replicas", json!(2));
    fleet.release(a, &["base"]);
    let fresh = fleet.node();
    fleet.assign(a, fresh, &["base"]);
    fleet.sync(fresh, a);
    assert_eq!(image(&mut fleet, fresh), "web:2");
    assert!(fleet.quarantined(node).is_empty() && fleet.quarantined(fresh).is_empty());
}

#[test]
fn a_hub_takes_the_word_of_a_node_that_it_never_met_and_that_is_no_enrolment() {
    let mut fleet = Fleet::new(2);
    let (a, b, node) = (fleet.hub(), fleet.hub(), fleet.node());
    fleet.report(node, json!({ "web": { "ready": 1 } }));
    fleet.sync(node, a);
    fleet.sync(a, b);
    assert_eq!(fleet.observed(b, node), json!({ "web": { "ready": 1 } }));
    let row = fleet.peer_row(b, node);
    assert_eq!((row.role, row.name, row.traffic.sessions), (Role::Node, None, 0));
    assert!(fleet.quarantined(b).is_empty(), "{:?}", fleet.quarantined(b));
}

#[test]
fn a_certificate_travels_once_a_link() {
    let mut fleet = Fleet::new(3);
    let (a, b) = (fleet.hub(), fleet.hub());
    let node = fleet.node();
    fleet.sync(node, a);
    fleet.sync(a, b);
    let mut bytes = Vec::new();
    fleet.link(a, b);
    fleet.link(node, a);
    fleet.run();
    for ready in 10..14 {
        let before = fleet.passed.bytes;
        fleet.report(node, json!({ "web": { "ready": ready } }));
        fleet.run();
        bytes.push(fleet.passed.bytes - before);
    }
    assert!(bytes[0] > bytes[1] + 300, "{bytes:?}");
    assert!(bytes[1].abs_diff(bytes[3]) < 64, "{bytes:?}");
}

#[test]
fn the_roster_reaches_everyone_and_names_home_and_hubs() {
    let mut fleet = Fleet::new(4);
    let (a, b, node) = (fleet.hub(), fleet.hub(), fleet.node());
    add_hub(&mut fleet, a, a, "a:1");
    add_hub(&mut fleet, a, b, "b:1");
    fleet.sync(a, b);
    fleet.sync(node, b);
    let (id_a, id_b) = (fleet.id(a), fleet.id(b));
    for member in [a, b, node] {
        let roster = fleet.at(member).roster().unwrap();
        let dialled: Vec<NodeId> = roster.dialled().into_iter().map(|(id, _)| id).collect();
        assert_eq!(dialled, [id_a, id_b]);
        assert_eq!(roster.home_of(&layer_key("base")), Some(Home { hub: id_a, epoch: 1 }));
    }
    // A node without an assignment gets the roster and nothing else.
    assert_eq!(fleet.peer_row(b, node).head.number, 1);
}

#[test]
fn a_revoked_node_is_cut_off_by_every_hub_and_nothing_past_its_record_is_taken() {
    let mut fleet = Fleet::new(5);
    let (a, b, node) = (fleet.hub(), fleet.hub(), fleet.node());
    fleet.report(node, json!({ "web": { "ready": 1 } }));
    fleet.sync(node, a);
    fleet.sync(a, b);
    fleet.link(a, b);
    fleet.link(node, b);
    fleet.run();
    revoke(&mut fleet, a, node);
    fleet.run();
    assert!(is_revoked(&mut fleet, a, node) && is_revoked(&mut fleet, b, node));
    assert_eq!(fleet.at(b).linked(), [fleet.id(a)], "the live link was ended");
    fleet.cut_all();
    fleet.report(node, json!({ "web": { "ready": "stolen" } }));
    for hub in [a, b] {
        fleet.sync(node, hub);
        assert_eq!(fleet.observed(hub, node), json!({ "web": { "ready": 1 } }));
    }
    // A hub that has not heard of it takes more, and the others refuse that, whoever carries it.
    let c = fleet.hub();
    fleet.sync(node, c);
    assert_eq!(fleet.observed(c, node), json!({ "web": { "ready": "stolen" } }));
    fleet.sync(c, a);
    assert_eq!(fleet.observed(a, node), json!({ "web": { "ready": 1 } }));
    assert!(fleet.quarantined(a).iter().any(|reason| reason.contains("revoked")), "{:?}", fleet.quarantined(a));
}

#[test]
fn what_was_taken_before_a_revocation_is_taken_by_those_who_come_later() {
    let mut fleet = Fleet::new(6);
    let (a, b, node) = (fleet.hub(), fleet.hub(), fleet.node());
    fleet.report(node, json!({ "web": { "ready": 1 } }));
    fleet.sync(node, a);
    fleet.report(node, json!({ "web": { "ready": 2 } }));
    fleet.sync(node, b);
    // Both revoke while they are apart, having taken different reports: the record holds both.
    revoke(&mut fleet, a, node);
    revoke(&mut fleet, b, node);
    fleet.sync(a, b);
    fleet.sync(b, a);
    assert_eq!(fleet.views(a), fleet.views(b));
    let late = fleet.hub();
    fleet.sync(late, a);
    assert_eq!(fleet.observed(late, node), json!({ "web": { "ready": 2 } }));
    assert!(is_revoked(&mut fleet, late, node));
    assert!(fleet.quarantined(late).is_empty(), "{:?}", fleet.quarantined(late));
}

#[test]
fn a_revoked_hub_s_layers_stay_and_its_later_ones_are_refused() {
    let mut fleet = Fleet::new(8);
    let (a, b, node) = (fleet.hub(), fleet.hub(), fleet.node());
    fleet.write_layer(b, "base", json!({ "image": "web:1" }));
    fleet.release(b, &["base"]);
    fleet.assign(b, node, &["base"]);
    fleet.sync(a, b);
    revoke(&mut fleet, a, b);
    // The node hears of all of it from the other hub: what B signed before counts.
    fleet.sync(node, a);
    assert_eq!(image(&mut fleet, node), "web:1");
    assert!(fleet.quarantined(node).is_empty(), "{:?}", fleet.quarantined(node));
    fleet.write_layer(b, "base", json!({ "image": "evil" }));
    fleet.release(b, &["base"]);
    fleet.sync(node, b);
    assert_eq!(image(&mut fleet, node), "web:1");
    assert!(is_revoked(&mut fleet, node, b));
    fleet.set_field(a, "base", "image", json!("web:2"));
    fleet.release(a, &["base"]);
    fleet.sync(node, a);
    assert_eq!(image(&mut fleet, node), "web:2");
}

#[test]
fn nodes_cannot_write_the_roster() {
    let mut fleet = Fleet::new(9);
    let node = fleet.node();
    let now = fleet.now();
    let id = fleet.id(node);
    let refused = fleet.at(node).edit(now, |edit| edit.revoke(id, "self"));
    assert!(matches!(refused, Err(WriteError::NotTheAuthor(key)) if key == DocumentKey::roster()));
}

fn in_conflict(fleet: &mut Fleet, hub: Member, key: &DocumentKey) -> Vec<FieldConflict> {
    fleet.at(hub).inspect(|tx| conflicts(tx, key)).unwrap()
}

/// Two hubs and a node of each, split; both hubs edit and release one layer, first different fields, then the same; healed.
#[test]
fn two_hubs_that_were_split_merge_sign_and_show_what_they_disagree_about() {
    let mut fleet = Fleet::new(10);
    let (a, b) = (fleet.hub(), fleet.hub());
    let (north, south) = (fleet.node(), fleet.node());
    let key = layer_key("base");
    fleet.write_layer(a, "base", json!({ "image": "web:1", "replicas": 1 }));
    fleet.release(a, &["base"]);
    for node in [north, south] {
        fleet.assign(a, node, &["base"]);
    }
    fleet.sync(a, b);
    fleet.sync(north, a);
    fleet.sync(south, b);
    assert_eq!((image(&mut fleet, north), image(&mut fleet, south)), (json!("web:1"), json!("web:1")));

    // Split: each side goes on under its own hub.
    fleet.set_field(a, "base", "image", json!("web:2"));
    fleet.release(a, &["base"]);
    fleet.seconds += 60;
    fleet.set_field(b, "base", "replicas", json!(2));
    fleet.set_field(b, "base", "image", json!("web:3"));
    fleet.release(b, &["base"]);
    fleet.sync(north, a);
    fleet.sync(south, b);
    assert_eq!((image(&mut fleet, north), image(&mut fleet, south)), (json!("web:2"), json!("web:3")));

    // Healed: one frontier, under which both sign off the same heads, and the conflict with both values.
    let passed = fleet.sync(a, b);
    assert!(passed.frames < 40, "{passed:?}");
    assert_eq!(fleet.views(a), fleet.views(b));
    assert_eq!(fleet.state(a, &key)["objects"]["one"]["replicas"], 2);
    let found = in_conflict(&mut fleet, a, &key);
    let [conflict] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!(pointer(&conflict.path), "/objects/one/image");
    let mut said: Vec<_> = conflict.values.iter().map(|it| (it.value.clone(), it.author)).collect();
    said.sort_by_key(|(value, _)| value.to_string());
    assert_eq!(said, [(json!("web:2"), Some(fleet.id(a))), (json!("web:3"), Some(fleet.id(b)))]);
    assert!(conflict.values.iter().all(|it| it.at.is_some()));
    let same: Vec<_> = in_conflict(&mut fleet, b, &key).into_iter().map(|it| it.path).collect();
    assert_eq!(same, std::slice::from_ref(&conflict.path));
    // The two releases name different frontiers of the layer: that is a conflict as well, not one value in silence.
    let pins = in_conflict(&mut fleet, b, &world::release_key());
    assert!(pins.iter().any(|it| pointer(&it.path) == "/layers/base"), "{pins:?}");

    // Settled with the very value that is shown; then there is no conflict, and the nodes of both get it.
    let (shown, now) = (conflict.values[0].value.clone(), fleet.now());
    let path: Vec<PathSegment> = conflict.path.clone();
    fleet.at(b).edit(now, |edit| edit.settle(&key, &path, &shown)).unwrap();
    fleet.drain(b);
    fleet.release(b, &["base"]);
    assert!(in_conflict(&mut fleet, b, &key).is_empty());
    assert!(in_conflict(&mut fleet, b, &world::release_key()).is_empty());
    fleet.sync(b, a);
    assert!(in_conflict(&mut fleet, a, &key).is_empty());
    fleet.sync(north, a);
    fleet.sync(south, b);
    for node in [north, south] {
        assert_eq!(image(&mut fleet, node), shown);
        let id = fleet.id(node);
        assert_eq!(fleet.at(node).desired().unwrap(), fleet.at(a).desired_of(id).unwrap());
        assert!(fleet.quarantined(node).is_empty());
    }
    assert_eq!(fleet.sync(a, b).frames, 2, "nothing is left to say");
}

#[test]
fn different_fields_edited_in_a_split_are_no_conflict() {
    let mut fleet = Fleet::new(11);
    let (a, b) = (fleet.hub(), fleet.hub());
    fleet.write_layer(a, "base", json!({ "image": "web:1", "replicas": 1 }));
    fleet.sync(a, b);
    fleet.set_field(a, "base", "image", json!("web:2"));
    fleet.set_field(b, "base", "replicas", json!(2));
    fleet.sync(a, b);
    assert_eq!(fleet.state(a, &layer_key("base"))["objects"]["one"], json!({ "image": "web:2", "replicas": 2 }));
    assert!(in_conflict(&mut fleet, a, &layer_key("base")).is_empty());
}

#[test]
fn a_field_that_is_not_there_cannot_be_settled() {
    let mut fleet = Fleet::new(12);
    let hub = fleet.hub();
    fleet.write_layer(hub, "base", json!({ "image": "web:1" }));
    let now = fleet.now();
    for path in [vec![], vec![PathSegment::Key("objects".into()), PathSegment::Key("two".into())]] {
        let settled = fleet.at(hub).edit(now, |edit| edit.settle(&layer_key("base"), &path, &json!(1)));
        assert!(matches!(settled, Err(WriteError::State { .. })), "{settled:?}");
    }
}

#[test]
fn nodes_that_got_one_name_from_two_hubs_both_work_and_the_higher_id_shows_longer() {
    let mut fleet = Fleet::new(13);
    let (a, b) = (fleet.hub(), fleet.hub());
    let (one, two) = (fleet.node(), fleet.node());
    for (hub, node) in [(a, one), (b, two)] {
        fleet.write_layer(hub, "base", json!({ "image": "web:1" }));
        fleet.release(hub, &["base"]);
        fleet.assign_named(hub, node, "shop", &["base"]);
        fleet.sync(node, hub);
    }
    fleet.sync(a, b);
    let (low, high) = if fleet.id(one) < fleet.id(two) { (one, two) } else { (two, one) };
    for hub in [a, b] {
        assert_eq!(fleet.peer_row(hub, low).name.as_deref(), Some("shop"));
        let longer = format!("shop-{}", fleet.id(high).short());
        assert_eq!(fleet.peer_row(hub, high).name, Some(longer));
    }
    for (node, other) in [(one, b), (two, a)] {
        fleet.sync(node, other);
        assert_eq!(image(&mut fleet, node), "web:1");
    }
}

/// A hub that lost its past takes nobody's word for its own enrolment but a hub's or an operator's.
#[test]
fn a_node_that_alone_brings_its_assignment_to_a_restored_hub_is_staged() {
    let mut fleet = Fleet::new(14);
    let (a, b, node) = (fleet.hub(), fleet.hub(), fleet.node());
    fleet.write_layer(a, "base", json!({ "image": "web:1" }));
    fleet.release(a, &["base"]);
    fleet.assign(a, node, &["base"]);
    let id = fleet.id(node);
    let now = fleet.now();
    fleet.introduce(b, node);
    fleet.at(b).edit(now, |edit| edit.tx().set_staged(id, true)).unwrap();
    add_hub(&mut fleet, b, b, "b:1");
    fleet.sync(node, b);
    assert_eq!(fleet.peer_row(b, node).head.number, 1, "more than the roster went to a staged node");
    // Another hub says that it is enrolled.
    fleet.sync(a, b);
    assert!(!fleet.peer_row(b, node).staged);
    fleet.sync(node, b);
    assert_eq!(image(&mut fleet, node), "web:1");
}

/// A node reports what it applied; a second hub that knows that does not send it the layers again.
#[test]
fn a_switch_to_another_hub_costs_frontiers_and_not_layers() {
    let mut fleet = Fleet::new(15);
    let (a, b, node) = (fleet.hub(), fleet.hub(), fleet.node());
    let noise: String = (0..4_000).map(|_| char::from(b'a' + (fleet.entropy.next() % 26) as u8)).collect();
    fleet.write_layer(a, "base", json!({ "image": "web:1", "noise": noise }));
    fleet.release(a, &["base"]);
    fleet.assign(a, node, &["base"]);
    let first = fleet.sync(node, a).bytes;
    fleet.sync(a, b);
    let applied = |fleet: &mut Fleet| {
        let desired = fleet.at(node).desired().unwrap();
        let layers: std::collections::BTreeMap<_, _> =
            desired.layers.iter().map(|layer| (layer.name.clone(), layer.version)).collect();
        let stamp = json!({ "assignment": desired.assignment, "release": desired.release, "layers": layers });
        let key = DocumentKey::observed(fleet.id(node));
        let (now, state) = (fleet.now(), world::map(json!({ "objects": {}, "applied": stamp })));
        fleet.at(node).edit(now, |edit| edit.report(&key, &state)).unwrap();
        fleet.drain(node);
    };
    applied(&mut fleet);
    fleet.sync(node, a);
    fleet.sync(a, b);
    let switched = fleet.sync(node, b).bytes;
    assert!(first > 2_500 && switched < first - 1_500, "{first} bytes at first, {switched} at the switch");
    assert_eq!(fleet.sync(node, b).frames, 2);
    // What comes later builds on it.
    fleet.set_field(b, "base", "image", json!("web:2"));
    fleet.release(b, &["base"]);
    fleet.sync(node, b);
    assert_eq!(image(&mut fleet, node), "web:2");
    assert!(fleet.quarantined(node).is_empty(), "{:?}", fleet.quarantined(node));
}

/// The node was set back to before it had the layer, and meets a hub that believes its report for the first time.
#[test]
fn a_node_that_lost_what_it_reported_gets_it_from_a_hub_that_believed_it() {
    let mut fleet = Fleet::new(16);
    let (a, b, node) = (fleet.hub(), fleet.hub(), fleet.node());
    let copy = fleet.backup(node);
    fleet.write_layer(a, "base", json!({ "image": "web:1" }));
    fleet.release(a, &["base"]);
    fleet.assign(a, node, &["base"]);
    fleet.sync(node, a);
    let desired = fleet.at(node).desired().unwrap();
    let stamp = json!({ "assignment": desired.assignment, "release": desired.release, "layers": { "base": 1 } });
    let key = DocumentKey::observed(fleet.id(node));
    let (now, state) = (fleet.now(), world::map(json!({ "objects": {}, "applied": stamp })));
    fleet.at(node).edit(now, |edit| edit.report(&key, &state)).unwrap();
    fleet.sync(node, a);
    fleet.sync(a, b);
    fleet.restore(node, &copy);
    fleet.sync(node, b);
    assert_eq!(image(&mut fleet, node), "web:1");
}

#[test]
fn certificates_that_prove_nothing_are_refused_and_good_ones_introduce_their_holders() {
    use sync_core::env::Entropy as _;
    let mut door = door::Door::open();
    let mut elsewhere = world::Seeded(99);
    let theirs = {
        let fleet = sync_core::identity::CertificateAuthority::create(&mut elsewhere, name("theirs")).unwrap();
        let mut seed = [0; 32];
        elsewhere.fill(&mut seed);
        let key = sync_core::identity::SigningKey::from_seed(seed);
        fleet.identity(&mut elsewhere, key, Role::Hub).unwrap().chain()[0].to_vec()
    };
    let (known, stranger) = (door.stranger(Role::Node), door.stranger(Role::Node));
    let key = DocumentKey::observed(stranger.id());
    let push = |door: &mut door::Door, certificates: Vec<Vec<u8>>| {
        let mut document = door::document_of(&key, stranger.id(), 1);
        automerge::transaction::Transactable::put(&mut document, automerge::ROOT, "image", "web:1").unwrap();
        let signed = door::frontier(&key, door::heads_of(&mut document)).sign(stranger.key());
        let claim = sync_core::document::UnverifiedFrontier { certificates, ..door::claim(&signed) };
        let answers = door.push(&key, 0, door::pack(&door::changes_of(&mut document)), claim);
        match &answers[..] {
            [sync_core::wire::Message::Refuse(refuse), _] => Some(refuse.reason),
            _ => None,
        }
    };
    let own = stranger.chain()[0].to_vec();
    let mut damaged = own.clone();
    damaged[100] ^= 1;
    use sync_core::wire::Reason;
    for (certificates, reason) in [
        (vec![], Reason::UnknownAuthor),
        (vec![vec![]], Reason::Certificate),
        (vec![vec![0x30; 400]], Reason::Certificate),
        (vec![theirs], Reason::Certificate),
        (vec![damaged], Reason::Certificate),
        (vec![known.chain()[0].to_vec()], Reason::UnknownAuthor),
    ] {
        assert_eq!(push(&mut door, certificates), Some(reason));
    }
    assert_eq!(push(&mut door, vec![own]), None);
    assert_eq!(door.hub.read(&key).unwrap().unwrap().state["image"], "web:1");
}
