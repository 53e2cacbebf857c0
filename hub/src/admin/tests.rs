//! Admin commands against a real replica in memory: what they answer, and that a refused one changes nothing.

use serde_json::json;
use sync_core::env::{Entropy, Instant, WallTime, no_witness};
use sync_core::identity::{CertificateAuthority, JoinRefusal, JoinReply, JoinRequest, Role, SigningKey};
use sync_core::state::desired::{ReleaseState, from_state};
use sync_core::store::{Authority, Store};

use super::*;
use crate::enrol::enrol;
use crate::service::fleet::{
    ConfirmRequest, FleetCommand, FleetReply, HubTokenRequest, MoveHomeRequest, NodeRequest, RenameRequest,
    ResolveRequest,
};
use crate::service::{AppliedLayer, AssignTarget, Assigned, Enrolment, KeyedObject, Link};

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
    let context =
        Context { listen: String::new(), data_folder: PathBuf::new(), started: Instant(0), machine: Machine::system() };
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
    match enrol(hub, now, &mut Counter(100), &JoinRequest::new(token, name(node), &SigningKey::from_seed([seed; 32]))) {
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

fn fleet(hub: &mut Replica, command: FleetCommand) -> Result<FleetReply, AdminError> {
    let reply = ask(hub, AdminCommand::Fleet(command))?;
    let AdminReply::Fleet(reply) = reply else { panic!("{reply:?}") };
    Ok(reply)
}

fn hub_token(hub: &mut Replica, with_authority: bool) -> Token {
    let request = HubTokenRequest { ttl_seconds: 60, with_authority };
    let Ok(FleetReply::Token(created)) = fleet(hub, FleetCommand::CreateHubToken(request)) else { panic!() };
    Token::parse(&created.token).unwrap()
}

fn join_hub(hub: &mut Replica, token: &Token, called: &str, seed: u8) -> JoinReply {
    let key = SigningKey::from_seed([seed; 32]);
    enrol(hub, NOW, &mut Counter(100), &JoinRequest::new_hub(token, name(called), Some(format!("{called}:7440")), &key))
}

fn reason(reply: JoinReply) -> JoinRefusal {
    let JoinReply::Refused { reason, .. } = reply else { panic!("{reply:?}") };
    reason
}

#[test]
fn a_hub_s_token_lets_a_hub_in_and_nobody_else() {
    let mut hub = hub();
    crate::founding::advertise(&mut hub, NOW, &["a:7440".to_owned()]).unwrap();
    let token = hub_token(&mut hub, false);
    assert_eq!(join(&mut hub, &token, "n", 21, NOW), Err(JoinRefusal::BadRequest));
    let JoinReply::Accepted { chain, authority } = join_hub(&mut hub, &token, "b", 22) else { panic!() };
    assert_eq!(authority, None, "the authority stays at home unless the token says otherwise");
    let pin = hub.identity().pin();
    assert_eq!(sync_core::identity::certificate::check_chain(&chain, &pin).unwrap().role, Role::Hub);
    assert!(matches!(join_hub(&mut hub, &token, "b", 22), JoinReply::Accepted { .. }), "a lost answer");
    assert_eq!(reason(join_hub(&mut hub, &token, "c", 23)), JoinRefusal::AlreadyUsed);
    let of_node = self::token(&mut hub, 60, &[]);
    assert_eq!(reason(join_hub(&mut hub, &of_node, "c", 23)), JoinRefusal::BadRequest);
    let second = hub_token(&mut hub, true);
    assert_eq!(reason(join_hub(&mut hub, &second, "b", 24)), JoinRefusal::NameTaken);
    let JoinReply::Accepted { authority, .. } = join_hub(&mut hub, &second, "c", 24) else { panic!() };
    assert!(authority.is_some());

    let Ok(FleetReply::Hubs(list)) = fleet(&mut hub, FleetCommand::ListPeers) else { panic!() };
    let seen: Vec<_> = list.hubs.iter().map(|it| (it.addresses.join(","), it.is_home, it.has_authority)).collect();
    let expected = [("b:7440", false, false), ("c:7440", false, true), ("a:7440", true, true)];
    assert_eq!(seen, expected.map(|(address, home, authority)| (address.to_owned(), home, authority)));
}

/// A second hub of the fleet, which has met nobody yet and does not hold the authority.
fn other_hub(hub: &mut Replica) -> Replica {
    let mut entropy = Counter(90);
    let stored = hub.inspect(|tx| tx.authority()).unwrap().unwrap();
    let authority = crate::enrol::open_authority(&stored).unwrap();
    let identity = authority.identity(&mut entropy, SigningKey::from_seed([31; 32]), Role::Hub).unwrap();
    let mut store = Store::open_in_memory().unwrap();
    Replica::init(&mut store, &identity, &mut entropy).unwrap();
    Replica::open(store, &mut entropy, no_witness()).unwrap()
}

#[test]
fn two_releases_of_one_layer_are_shown_as_versions_and_settled_by_number() {
    let mut hub = hub();
    crate::founding::advertise(&mut hub, NOW, &[]).unwrap();
    let mut other = other_hub(&mut hub);
    apply(&mut hub, "base", vec![config_map("a", "1")], true);
    sync_core::replica::in_process::sync(NOW, &mut other, &mut hub).unwrap();
    apply(&mut hub, "base", vec![config_map("a", "2")], true);
    apply(&mut other, "base", vec![config_map("b", "1")], true);
    sync_core::replica::in_process::sync(NOW, &mut other, &mut hub).unwrap();

    let Ok(FleetReply::Conflicts(list)) = fleet(&mut hub, FleetCommand::ListConflicts) else { panic!() };
    let [conflict] = list.conflicts.as_slice() else { panic!("{list:?}") };
    assert_eq!((conflict.document.as_str(), conflict.path.as_str()), ("release/main", "/layers/base"));
    let shown: Vec<&str> = conflict.values.iter().map(|it| it.value.as_str().unwrap()).collect();
    assert!(shown.len() == 2 && shown[0] != shown[1], "{shown:?}");
    assert!(shown.iter().all(|it| it.starts_with("base 2 (")), "{shown:?}");
    let pins = |hub: &mut Replica| {
        let view = hub.read(&DocumentKey::release(&name("main"))).unwrap().unwrap();
        from_state::<ReleaseState>(&view.state).unwrap().layers
    };
    let before = pins(&mut hub);
    let request = ResolveRequest { document: "release/main".to_owned(), path: "/layers/base".to_owned(), take: 2 };
    let Ok(FleetReply::Conflicts(left)) = fleet(&mut hub, FleetCommand::ResolveConflict(request)) else { panic!() };
    assert_eq!(left.conflicts, []);
    let taken = pins(&mut hub);
    assert_ne!(taken, before);
    assert!(shown[1].contains(&taken[&name("base")].heads.short()), "{shown:?}");
}

#[test]
fn a_hub_without_the_authority_says_who_has_it() {
    let mut hub = hub();
    crate::founding::advertise(&mut hub, NOW, &[]).unwrap();
    let JoinReply::Accepted { .. } = ({
        let token = hub_token(&mut hub, true);
        join_hub(&mut hub, &token, "b", 22)
    }) else {
        panic!()
    };
    let mut other = other_hub(&mut hub);
    sync_core::replica::in_process::sync(NOW, &mut other, &mut hub).unwrap();
    let refused = ask(&mut other, AdminCommand::CreateToken { ttl_seconds: 60, labels: Labels::new() }).unwrap_err();
    assert_eq!(refused.kind, AdminErrorKind::Conflict);
    assert!(refused.hint.contains(" b"), "{refused}");
}

#[test]
fn homes_move_with_a_rising_epoch_and_a_home_is_not_removed() {
    let mut hub = hub();
    crate::founding::advertise(&mut hub, NOW, &[]).unwrap();
    let token = hub_token(&mut hub, false);
    join_hub(&mut hub, &token, "b", 22);
    apply(&mut hub, "base", vec![config_map("a", "1")], true);
    let to_b = |layer: Option<&str>| FleetCommand::MoveHome(MoveHomeRequest { layer: layer.map(name), to: name("b") });
    let Ok(FleetReply::Homes(homes)) = fleet(&mut hub, to_b(Some("base"))) else { panic!() };
    assert_eq!(
        (homes.moved[0].document.as_str(), homes.moved[0].hub.as_str(), homes.moved[0].epoch),
        ("layer/base", "b", 2)
    );
    let home = hub.roster().unwrap().home_of(&DocumentKey::layer(&name("base"))).unwrap().hub;
    assert_ne!(home, hub.identity().id());
    assert_eq!(fleet(&mut hub, to_b(Some("none"))).unwrap_err().kind, AdminErrorKind::NotFound);
    let remove = FleetCommand::RemovePeer(NodeRequest { name: name("b") });
    assert_eq!(fleet(&mut hub, remove.clone()).unwrap_err().kind, AdminErrorKind::Conflict);
    let Ok(FleetReply::Homes(homes)) = fleet(&mut hub, to_b(None)) else { panic!() };
    assert_eq!((homes.default.unwrap().epoch, homes.moved.len()), (3, 0));
    let own = hub.roster().unwrap().hubs.into_iter().find(|(id, _)| *id == hub.identity().id()).unwrap().1.name;
    fleet(&mut hub, FleetCommand::MoveHome(MoveHomeRequest { layer: None, to: own })).unwrap();
    let Ok(FleetReply::Hubs(left)) = fleet(&mut hub, remove) else { panic!() };
    assert_eq!(left.hubs.len(), 1);
    assert_eq!(hub.roster().unwrap().revoked.len(), 1);
}

#[test]
fn a_revoked_node_is_listed_as_such_and_a_renamed_one_by_its_new_name() {
    let mut hub = hub();
    for (node, seed) in [("n", 11), ("m", 12)] {
        let token = token(&mut hub, 60, &[]);
        join(&mut hub, &token, node, seed, NOW).unwrap();
    }
    fleet(&mut hub, FleetCommand::RevokeNode(NodeRequest { name: name("n") })).unwrap();
    let rename = |from: &str, to: &str| FleetCommand::RenameNode(RenameRequest { name: name(from), to: name(to) });
    assert_eq!(fleet(&mut hub, rename("m", "n")).unwrap_err().kind, AdminErrorKind::Conflict);
    fleet(&mut hub, rename("m", "k")).unwrap();
    let Ok(AdminReply::Nodes(list)) = ask(&mut hub, AdminCommand::ListNodes) else { panic!() };
    let seen: Vec<_> = list.nodes.iter().map(|node| (node.name.as_str(), node.enrolment)).collect();
    assert_eq!(seen, [("k", Enrolment::Enrolled), ("n", Enrolment::Revoked)]);
    let again = token(&mut hub, 60, &[]);
    assert_eq!(join(&mut hub, &again, "n", 11, NOW), Err(JoinRefusal::BadRequest));
}

#[test]
fn a_staged_node_is_confirmed_by_an_operator() {
    let mut hub = hub();
    let token = token(&mut hub, 60, &[]);
    join(&mut hub, &token, "n", 11, NOW).unwrap();
    let confirm = |name: Option<Name>| FleetCommand::ConfirmNodes(ConfirmRequest { name });
    assert_eq!(fleet(&mut hub, confirm(Some(name("n")))).unwrap_err().kind, AdminErrorKind::Conflict);
    let id = SigningKey::from_seed([11; 32]).node_id();
    hub.edit(NOW, |edit| edit.tx().set_staged(id, true)).unwrap();
    let Ok(AdminReply::Nodes(list)) = ask(&mut hub, AdminCommand::ListNodes) else { panic!() };
    assert_eq!(list.nodes[0].enrolment, Enrolment::Staged);
    let Ok(FleetReply::Nodes(changed)) = fleet(&mut hub, confirm(None)) else { panic!() };
    assert_eq!(changed.nodes, [name("n")]);
    let Ok(AdminReply::Nodes(list)) = ask(&mut hub, AdminCommand::ListNodes) else { panic!() };
    assert_eq!(list.nodes[0].enrolment, Enrolment::Enrolled);
}
