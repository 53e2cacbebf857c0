//! What is read of a store is what was written to it.

use sync_core::document::{ActorBytes, DocumentKey, DocumentKind};
use sync_core::identity::Role;

use super::*;
use crate::small_fleet::{Fleet, map, name, object};

#[test]
fn a_node_that_applied_a_release_says_what_it_holds() {
    let mut fleet = Fleet::of_three(1);
    fleet.round("hub");
    let (hub, node) = (fleet.holding("hub", Look::Changes), fleet.holding("n-1", Look::Changes));
    assert_eq!((hub.role, node.role, node.node), (Role::Hub, Role::Node, fleet.id("n-1")));
    let kinds: Vec<DocumentKind> = {
        let mut keys: Vec<_> = node.documents.values().map(|document| document.key.kind).collect();
        keys.sort();
        keys
    };
    use DocumentKind::{Assignment, Layer, Observed, Release};
    assert_eq!(kinds, [Layer, Layer, Release, Assignment, Observed]);
    for (id, held) in &node.documents {
        let other = &hub.documents[id];
        assert_eq!((held.view, &held.latest, held.line), (other.view, &other.latest, other.line), "{}", held.key);
        assert!(held.held.includes(&held.latest.as_ref().unwrap().clock));
        assert_eq!(held.generations, [0]);
        assert_eq!(held.extent.changes, held.held.iter().map(|(_, seq)| seq).sum::<u64>());
    }
    let (a, first) = object("a", "1");
    let agent = &node.agent;
    assert_eq!(agent.objects[&a], ObjectHash::of(&first));
    assert_eq!(agent.inventory.len(), 2);
    assert!(agent.inventory.values().all(|is_held| *is_held));
    let observed = &node.documents[&DocumentKey::observed(node.node).id()];
    assert_eq!(agent.report, observed.view);
    assert_eq!(observed.pending, None);
    assert_eq!(agent.reported_as, Some(1));
    assert_eq!(agent.keys, ["desired.whole", "edge.applied", "edge.incarnation", "edge.inventory", "edge.observed"]);
    assert_eq!(hub.agent, Agent::default());
}

#[test]
fn what_a_peer_acknowledged_is_what_it_holds() {
    let mut fleet = Fleet::of_three(2);
    fleet.round("hub");
    let (hub, node) = (fleet.holding("hub", Look::Acknowledged), fleet.holding("n-1", Look::Acknowledged));
    let theirs = &hub.peers[&node.node];
    let promised: Vec<_> = theirs.acknowledged.keys().collect();
    assert_eq!(promised.len(), 4, "two layers, release, assignment");
    for (id, frontier) in &theirs.acknowledged {
        assert_eq!(Some(frontier), node.documents[id].latest.as_ref());
    }
    assert_eq!((theirs.acked, theirs.head, theirs.feed), (theirs.head, 4, (4, 0)));
    let ours = &node.peers[&hub.node];
    assert_eq!(ours.acknowledged.keys().collect::<Vec<_>>(), [&DocumentKey::observed(node.node).id()]);
    assert!(fleet.holding("hub", Look::Frontiers).peers[&node.node].acknowledged.is_empty());
}

#[test]
fn a_rollback_on_its_way_takes_back_no_promise_that_it_lies_below() {
    let mut fleet = Fleet::of_three(3);
    let layer = DocumentKey::layer(&name("base")).id();
    fleet.round("hub");
    let newest = fleet.edit("hub", "base", &[object("a", "2")]);
    fleet.release("hub", &["base"]);
    // The feed grows by the layer, and then by the older one, before the node has taken either.
    let promised = |fleet: &mut Fleet| {
        let node = fleet.id("n-1");
        fleet.holding("hub", Look::Acknowledged).peers[&node].acknowledged.get(&layer).cloned()
    };
    let before = promised(&mut fleet).unwrap();
    fleet.sync("n-1", "hub");
    let after = promised(&mut fleet).unwrap();
    assert_eq!(after.version, newest.version);
    assert!(after.is_above(&before) && !before.is_above(&after));
}

#[test]
fn changes_are_all_there_and_no_author_is_left_out() {
    let mut fleet = Fleet::of_three(4);
    fleet.round("hub");
    let hub = fleet.holding("hub", Look::Changes);
    let of = |node| hub.changes.iter().filter(|change| change.actor.belongs_to(&node)).count();
    assert!(of(hub.node) >= 6, "two edits, a release, three assignments");
    for node in ["n-1", "n-2", "n-3"] {
        assert_eq!(of(fleet.id(node)), 1, "one report");
    }
    let genesis = |document: &HeldDocument| {
        hub.changes.iter().filter(|change| change.document == document.key.id() && change.is_genesis).count()
    };
    assert!(hub.documents.values().all(|document| genesis(document) == 1));
    let signers: BTreeSet<NodeId> = hub.documents.values().flat_map(|document| document.signers.clone()).collect();
    assert_eq!(signers.len(), 4);
    let actors: BTreeSet<ActorBytes> = hub.changes.iter().map(|change| change.actor).collect();
    assert!(hub.documents.values().all(|document| actors.contains(&document.line.unwrap())));
    assert_eq!(hub.sizes.unwrap().change.rows, hub.changes.len() as u64);
}

#[test]
fn a_report_waits_while_no_hub_is_in_reach() {
    let mut fleet = Fleet::of_three(5);
    fleet.round("hub");
    fleet.edit_by_hand("n-1", 1);
    fleet.pass("n-1");
    let node = fleet.holding("n-1", Look::Frontiers);
    let observed = &node.documents[&DocumentKey::observed(node.node).id()];
    assert!(observed.pending.is_some() && observed.pending == node.agent.report);
    assert_ne!(observed.view, node.agent.report);
}

#[test]
fn a_clock_is_taken_out_at_any_depth() {
    let state =
        |at: u64| map(serde_json::json!({ "a": [{ "at": at, "b": 1 }], "at": at, "c": { "at": null, "d": at / at } }));
    assert_eq!(timeless(&state(7)), map(serde_json::json!({ "a": [{ "b": 1 }], "c": { "d": 1 } })));
    assert_ne!(state_hash(&state(7)), state_hash(&state(8)));
    assert_eq!(state_hash(&timeless(&state(7))), state_hash(&timeless(&state(8))));
}
