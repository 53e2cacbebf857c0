//! What is read of a store is what was written to it.

use std::collections::BTreeSet;
use std::time::Duration;

use hub::service::{AdminCommand, AdminReply, AssignTarget, KeyedObject};
use serde_json::json;
use sync_core::document::{DocumentKey, DocumentKind};
use sync_core::id::Name;
use sync_core::identity::Role;
use sync_core::transport::Settings;

use super::*;
use crate::disk::Geometry;
use crate::net::line::Shape;
use crate::net::{Internet, MemberId};
use crate::stack::site::{self, Site, SiteConfig};
use crate::stack::wall::WallClock;
use crate::stack::world;

fn site(internet: &Internet, name: &str, role: site::Role, number: u32) -> Site {
    let config = SiteConfig {
        name: Name::new(name).unwrap(),
        role,
        member: MemberId(number),
        seed: u64::from(number),
        geometry: Geometry::default(),
        capacity: None,
        wall: WallClock::new(1_780_000_000_000, 0),
        settings: Settings::default(),
        interval: Duration::from_secs(60),
    };
    Site::new(config, internet.clone())
}

async fn read(site: &Site, look: Look) -> Holding {
    site.handle().unwrap().call(move |replica, _| Holding::read(replica, look)).await.unwrap().unwrap()
}

/// A hub and a node that has applied a layer of one object, and the link between them; `changed` while it is cut.
fn fleet(changed: impl FnOnce(&Site), look: Look) -> (Holding, Holding) {
    world::runtime().unwrap().block_on(async {
        let internet = Internet::new(1_780_000_000);
        tokio::spawn(internet.clone().carry());
        let (mut hub, mut node) =
            (site(&internet, "hub", site::Role::Hub, 0), site(&internet, "node", site::Role::Node, 1));
        internet.add_line(node.member(), hub.member(), Shape::default(), 1);
        hub.found(None).await.unwrap();
        hub.start().await.unwrap();
        let (name, object) = (
            Name::new("base").unwrap(),
            json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "a", "namespace": "shop"}, "data": {"text": "1"}}),
        );
        let objects = vec![KeyedObject { key: "core/ConfigMap/shop/a".to_owned(), object }];
        hub.ask(AdminCommand::ApplyLayer { name: name.clone(), objects, release: true }).await.unwrap().unwrap();
        let token = AdminCommand::CreateToken { ttl_seconds: 3600, labels: [].into() };
        let AdminReply::Token(token) = hub.ask(token).await.unwrap().unwrap() else { panic!("no token") };
        node.join(token.token, hub.address()).await.unwrap();
        node.start().await.unwrap();
        let target = AssignTarget::Node(Name::new("node").unwrap());
        hub.ask(AdminCommand::Assign { layers: vec![name], target }).await.unwrap().unwrap();
        tokio::time::sleep(Duration::from_secs(600)).await;
        internet.with_line(node.member(), hub.member(), |line| line.set_open(false, false));
        tokio::time::sleep(Duration::from_secs(120)).await;
        changed(&node);
        tokio::time::sleep(Duration::from_secs(120)).await;
        let held = (read(&hub, look).await, read(&node, look).await);
        node.stop().await;
        hub.stop().await;
        held
    })
}

#[test]
fn a_node_that_applied_a_release_says_what_it_holds() {
    let (hub, node) = fleet(|_| (), Look::Changes);
    assert_eq!((hub.role, node.role), (Role::Hub, Role::Node));
    let kinds: BTreeSet<DocumentKind> = node.documents.values().map(|document| document.key.kind).collect();
    use DocumentKind::{Assignment, Layer, Observed, Release, Roster};
    assert_eq!(kinds, [Layer, Release, Assignment, Observed, Roster].into());
    for (id, held) in &node.documents {
        let other = &hub.documents[id];
        assert_eq!((held.view, &held.latest, held.line), (other.view, &other.latest, other.line), "{}", held.key);
        assert!(held.held.includes(&held.latest.as_ref().unwrap().clock));
        assert!(held.signed.contains(held.latest.as_ref().unwrap()));
    }
    let agent = &node.agent;
    assert_eq!(agent.objects.len(), 1);
    assert_eq!(agent.inventory.values().collect::<Vec<_>>(), [&true]);
    let observed = &node.documents[&DocumentKey::observed(node.node).id()];
    assert_eq!((agent.report, observed.pending), (observed.view, None));
    assert_eq!(hub.agent, Agent { keys: vec!["hub.name".to_owned()], ..Agent::default() });
    assert_eq!(hub.sizes.unwrap().change.rows, hub.changes.len() as u64);
}

#[test]
fn what_a_peer_acknowledged_is_what_it_holds() {
    let (hub, node) = fleet(|_| (), Look::Acknowledged);
    let theirs = &hub.peers[&node.node];
    assert!(theirs.acknowledged.len() >= 4, "layer, release, assignment, roster");
    for (id, frontier) in &theirs.acknowledged {
        assert_eq!(Some(frontier), node.documents[id].latest.as_ref());
    }
    assert_eq!(theirs.store, Some((node.store, node.incarnation)));
    let ours = &node.peers[&hub.node];
    assert!(ours.acknowledged.contains_key(&DocumentKey::observed(node.node).id()));
}

#[test]
fn a_report_waits_while_no_hub_is_in_reach() {
    let (_, node) = fleet(|node| drop(node.target().edit_by_hand(1)), Look::Frontiers);
    let observed = &node.documents[&DocumentKey::observed(node.node).id()];
    assert!(observed.pending.is_some() && observed.pending == node.agent.report);
    assert_ne!(observed.view, node.agent.report);
    assert!(node.peers.values().all(|peer| peer.acknowledged.is_empty()));
}

#[test]
fn a_clock_is_taken_out_at_any_depth() {
    let map = |value: Value| value.as_object().cloned().unwrap();
    let state = |at: u64| map(json!({ "a": [{ "at": at, "b": 1 }], "at": at, "c": { "at": null, "d": at / at } }));
    assert_eq!(timeless(&state(7)), map(json!({ "a": [{ "b": 1 }], "c": { "d": 1 } })));
    assert_ne!(state_hash(&state(7)), state_hash(&state(8)));
    assert_eq!(state_hash(&timeless(&state(7))), state_hash(&timeless(&state(8))));
}
