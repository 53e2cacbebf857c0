//! Admin commands against a real replica in memory: what they answer, and that a refused one changes nothing.

use serde_json::json;
use sync_core::env::{Entropy, Instant, WallTime, no_witness};
use sync_core::identity::{CertificateAuthority, JoinRefusal, JoinReply, JoinRequest, Role, SigningKey};
use sync_core::store::{Authority, Store};

use super::*;
use crate::enrol::enrol;
use crate::service::{AppliedLayer, AssignTarget, Assigned, KeyedObject, Link};

struct Counter(u8);

impl Entropy for Counter {
    fn fill(&mut self, target: &mut [u8]) {
        self.0 += 1;
        target.fill(self.0);
    }
}

const NOW: Now = Now { instant: Instant(0), wall: WallTime(Some(1_800_000_000)) };

fn hub() -> Replica {
    let mut entropy = Counter(0);
    let authority = CertificateAuthority::create(&mut entropy, name("fleet")).unwrap();
    let key = SigningKey::generate(&mut entropy);
    let identity = authority.identity(&mut entropy, key, Role::Hub).unwrap();
    let mut store = Store::open_in_memory().unwrap();
    let tx = store.begin().unwrap();
    tx.set_authority(&Authority { seed: *authority.key().seed(), fleet: "fleet".to_owned() }).unwrap();
    tx.commit().unwrap();
    Replica::init(&mut store, &identity, &mut entropy).unwrap();
    Replica::open(store, &mut entropy, no_witness()).unwrap()
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn ask(hub: &mut Replica, command: AdminCommand) -> Result<AdminReply, AdminError> {
    let context = Context { listen: String::new(), data_folder: PathBuf::new(), started: Instant(0) };
    answer(hub, NOW, &context, command)
}

fn config_map(object: &str, value: &str) -> KeyedObject {
    KeyedObject {
        key: format!("core/ConfigMap/shop/{object}"),
        object: json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": { "name": object, "namespace": "shop" }, "data": { "value": value },
        }),
    }
}

fn apply(hub: &mut Replica, layer: &str, objects: Vec<KeyedObject>, release: bool) -> AppliedLayer {
    let reply = ask(hub, AdminCommand::ApplyLayer { name: name(layer), objects, release });
    let Ok(AdminReply::LayerApplied(applied)) = reply else { panic!("{reply:?}") };
    applied
}

fn assign(hub: &mut Replica, layers: &[&str], target: AssignTarget) -> Result<Assigned, AdminError> {
    let layers = layers.iter().map(|layer| name(layer)).collect();
    let reply = ask(hub, AdminCommand::Assign { layers, target })?;
    let AdminReply::Assigned(assigned) = reply else { panic!("{reply:?}") };
    Ok(assigned)
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn token(hub: &mut Replica, ttl_seconds: u64, of: &[(&str, &str)]) -> Token {
    let reply = ask(hub, AdminCommand::CreateToken { ttl_seconds, labels: labels(of) });
    let Ok(AdminReply::Token(created)) = reply else { panic!("{reply:?}") };
    Token::parse(&created.token).unwrap()
}

fn join(hub: &mut Replica, token: &Token, node: &str, seed: u8, now: Now) -> Result<(), JoinRefusal> {
    match enrol(hub, now, &JoinRequest::new(token, name(node), &SigningKey::from_seed([seed; 32]))) {
        JoinReply::Accepted { .. } => Ok(()),
        JoinReply::Refused { reason, .. } => Err(reason),
    }
}

#[test]
fn applying_a_layer_says_what_changed_and_releases_it_once() {
    let mut hub = hub();
    let first = apply(&mut hub, "base", vec![config_map("a", "1"), config_map("b", "1")], true);
    assert_eq!((first.added.len(), first.layer_version, first.release_version), (2, 1, Some(1)));
    let second = apply(&mut hub, "base", vec![config_map("b", "2"), config_map("c", "1")], true);
    assert_eq!(second.added, ["core/ConfigMap/shop/c"]);
    assert_eq!(second.changed, ["core/ConfigMap/shop/b"]);
    assert_eq!(second.removed, ["core/ConfigMap/shop/a"]);
    assert_eq!((second.layer_version, second.release_version), (2, Some(2)));
    let same = apply(&mut hub, "base", vec![config_map("b", "2"), config_map("c", "1")], true);
    assert_eq!((same.unchanged_count, same.layer_version, same.release_version), (2, 2, Some(2)));
}

#[test]
fn an_unreleased_layer_waits_for_its_release() {
    let mut hub = hub();
    apply(&mut hub, "base", vec![config_map("a", "1")], true);
    let edited = apply(&mut hub, "base", vec![config_map("a", "2")], false);
    assert_eq!((edited.layer_version, edited.release_version), (2, None));
    let Ok(AdminReply::Layers(list)) = ask(&mut hub, AdminCommand::ListLayers) else { panic!() };
    assert_eq!(list.layers.first().unwrap().released_layer_version, Some(1));
    let Ok(AdminReply::Released(released)) = ask(&mut hub, AdminCommand::Release { layers: vec![] }) else { panic!() };
    assert_eq!((released.release_version, released.layers.len()), (2, 1));
    let Ok(AdminReply::Released(again)) = ask(&mut hub, AdminCommand::Release { layers: vec![] }) else { panic!() };
    assert_eq!((again.release_version, again.layers.len()), (2, 0));
}

#[test]
fn a_layer_that_no_node_could_compose_is_refused_and_nothing_changes() {
    let mut hub = hub();
    let mut bad = config_map("a", "1");
    bad.key = "core/ConfigMap/shop/other".to_owned();
    let command = AdminCommand::ApplyLayer { name: name("base"), objects: vec![bad], release: true };
    assert_eq!(ask(&mut hub, command).unwrap_err().kind, AdminErrorKind::Invalid);
    let Ok(AdminReply::Layers(list)) = ask(&mut hub, AdminCommand::ListLayers) else { panic!() };
    assert!(list.layers.is_empty());
}

#[test]
fn selectors_reach_nodes_that_are_there_and_nodes_to_come_by_the_labels_of_their_tokens() {
    let mut hub = hub();
    apply(&mut hub, "base", vec![config_map("a", "1")], true);
    apply(&mut hub, "north", vec![config_map("b", "1")], true);
    let early = token(&mut hub, 60, &[("region", "north")]);
    join(&mut hub, &early, "early", 11, NOW).unwrap();
    let north = AssignTarget::Selector(labels(&[("region", "north")]));
    assert_eq!(assign(&mut hub, &["base", "north"], north).unwrap().nodes, [name("early")]);
    let late = token(&mut hub, 60, &[("region", "north")]);
    join(&mut hub, &late, "late", 12, NOW).unwrap();
    let south = token(&mut hub, 60, &[("region", "south")]);
    join(&mut hub, &south, "south", 13, NOW).unwrap();
    let Ok(AdminReply::Nodes(list)) = ask(&mut hub, AdminCommand::ListNodes) else { panic!() };
    let layers: Vec<usize> =
        list.nodes.iter().map(|node| node.desired.as_ref().map_or(0, |it| it.layers.len())).collect();
    assert_eq!(layers, [2, 2, 0], "early, late, south");
    assert!(list.nodes.iter().all(|node| node.link == Link::Never && node.applied.is_none()));
}

#[test]
fn a_node_that_was_assigned_by_hand_keeps_that_when_a_selector_matches() {
    let mut hub = hub();
    apply(&mut hub, "base", vec![config_map("a", "1")], true);
    apply(&mut hub, "special", vec![config_map("b", "1")], true);
    let of = token(&mut hub, 60, &[("region", "north")]);
    join(&mut hub, &of, "n", 11, NOW).unwrap();
    assign(&mut hub, &["special"], AssignTarget::Node(name("n"))).unwrap();
    let selector = AssignTarget::Selector(labels(&[("region", "north")]));
    assert!(assign(&mut hub, &["base"], selector).unwrap().nodes.is_empty());
    let Ok(AdminReply::Node(detail)) = ask(&mut hub, AdminCommand::ShowNode { name: name("n") }) else { panic!() };
    assert_eq!(detail.node.desired.unwrap().layers.first().unwrap().name, name("special"));
}

#[test]
fn names_that_do_not_exist_are_not_found_and_layers_in_use_stay() {
    let mut hub = hub();
    let kind = |result: Result<AdminReply, AdminError>| result.unwrap_err().kind;
    assert_eq!(kind(ask(&mut hub, AdminCommand::ShowLayer { name: name("x") })), AdminErrorKind::NotFound);
    assert_eq!(kind(ask(&mut hub, AdminCommand::DeleteLayer { name: name("x") })), AdminErrorKind::NotFound);
    assert_eq!(kind(ask(&mut hub, AdminCommand::ShowNode { name: name("x") })), AdminErrorKind::NotFound);
    let missing = assign(&mut hub, &["x"], AssignTarget::Selector(labels(&[("a", "b")])));
    assert_eq!(missing.unwrap_err().kind, AdminErrorKind::NotFound);
    apply(&mut hub, "base", vec![config_map("a", "1")], true);
    let nobody = assign(&mut hub, &["base"], AssignTarget::Node(name("nobody")));
    assert_eq!(nobody.unwrap_err().kind, AdminErrorKind::NotFound);
    assign(&mut hub, &["base"], AssignTarget::Selector(labels(&[("a", "b")]))).unwrap();
    assert_eq!(kind(ask(&mut hub, AdminCommand::DeleteLayer { name: name("base") })), AdminErrorKind::Conflict);
    apply(&mut hub, "free", vec![config_map("a", "1")], true);
    let Ok(AdminReply::LayerDeleted(deleted)) = ask(&mut hub, AdminCommand::DeleteLayer { name: name("free") }) else {
        panic!()
    };
    assert_eq!(deleted.removed, ["core/ConfigMap/shop/a"]);
    assert_eq!(kind(ask(&mut hub, AdminCommand::ShowLayer { name: name("free") })), AdminErrorKind::NotFound);
    let back = apply(&mut hub, "free", vec![config_map("a", "1")], true);
    assert_eq!(back.layer_version, 3, "a layer of the same name goes on where it ended");
}

#[test]
fn a_token_lets_one_node_in_once_and_answers_the_same_node_again() {
    let mut hub = hub();
    let one = token(&mut hub, 60, &[]);
    join(&mut hub, &one, "a", 11, NOW).unwrap();
    join(&mut hub, &one, "a", 11, NOW).unwrap();
    assert_eq!(join(&mut hub, &one, "b", 12, NOW), Err(JoinRefusal::AlreadyUsed));
    let two = token(&mut hub, 60, &[]);
    assert_eq!(join(&mut hub, &two, "a", 12, NOW), Err(JoinRefusal::NameTaken));
    let later = Now { wall: WallTime(Some(1_800_000_061)), ..NOW };
    assert_eq!(join(&mut hub, &two, "b", 12, later), Err(JoinRefusal::Expired));
    let unknown_time = Now { wall: WallTime(None), ..NOW };
    assert_eq!(join(&mut hub, &two, "b", 12, unknown_time), Err(JoinRefusal::BadRequest), "no clock, no trust");
    join(&mut hub, &two, "b", 12, NOW).unwrap();
    let mut forged = token(&mut hub, 60, &[]);
    forged.secret = [0; 16];
    assert_eq!(join(&mut hub, &forged, "c", 13, NOW), Err(JoinRefusal::UnknownToken));
    let mut elsewhere = token(&mut hub, 60, &[]);
    elsewhere.hub = [9; 16];
    assert_eq!(join(&mut hub, &elsewhere, "c", 13, NOW), Err(JoinRefusal::OtherHub));
}
