//! Contacts with nothing to exchange: noted in memory, written down together, lost with the process and nothing else with them.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "fleet/world.rs"]
mod world;

use serde_json::json;
use sync_core::env::Instant;
use sync_core::id::LinkId;
use sync_core::limits::{CONTACTS_NOTED_SECONDS_MAX, HELLO_WAIT_SECONDS};
use sync_core::replica::{Now, Output};

use world::{Fleet, Member};

/// A node and its hub that hold the same, and have written down that they met.
fn at_rest() -> (Fleet, Member, Member) {
    let mut fleet = Fleet::new(1);
    let (hub, node) = (fleet.hub(), fleet.node());
    fleet.report(node, json!({ "web": { "ready": 1 } }));
    fleet.sync(node, hub);
    assert_eq!(fleet.peer_row(hub, node).traffic.sessions, 1);
    (fleet, hub, node)
}

#[test]
fn a_contact_with_nothing_new_writes_nothing_until_its_time_is_up() {
    let (mut fleet, hub, node) = at_rest();
    let before = fleet.at(hub).rows_written();
    for _ in 0..3 {
        fleet.sync(node, hub);
    }
    assert_eq!(fleet.at(hub).rows_written(), before);
    let due = fleet.at(hub).poll_timeout().expect("a contact waits to be written down");
    assert_eq!(due, Instant(fleet.now().instant.0 + CONTACTS_NOTED_SECONDS_MAX * 1_000_000));
    let early = Now { instant: Instant(due.0 - 1), ..fleet.now() };
    fleet.at(hub).handle_timeout(early).unwrap();
    assert_eq!(fleet.at(hub).rows_written(), before);
    fleet.at(hub).handle_timeout(Now { instant: due, ..early }).unwrap();
    assert_eq!(fleet.at(hub).rows_written(), before + 1, "one row for three contacts of one peer");
    assert_eq!(fleet.at(hub).poll_timeout(), None);
    assert_eq!(fleet.peer_row(hub, node).traffic.sessions, 4);
}

#[test]
fn whoever_asks_is_told_of_contacts_that_were_only_noted() {
    let (mut fleet, hub, node) = at_rest();
    fleet.seconds += 60;
    fleet.sync(node, hub);
    let row = fleet.peer_row(hub, node);
    assert_eq!((row.traffic.sessions, row.last_contact), (2, Some(fleet.seconds)));
}

#[test]
fn a_report_that_a_hub_takes_is_no_news_to_whoever_reads_what_others_wrote() {
    let (mut fleet, hub, node) = at_rest();
    fleet.report(node, json!({ "web": { "ready": 2 } }));
    let written = |fleet: &mut Fleet| (fleet.at(node).rows_written(), fleet.at(node).content_written());
    let before = written(&mut fleet);
    fleet.sync(node, hub);
    let after = written(&mut fleet);
    assert!(after.0 > before.0 && after.1 == before.1, "{before:?} {after:?}");
    fleet.write_layer(hub, "base", json!({ "web": 1 }));
    fleet.release(hub, &["base"]);
    fleet.assign(hub, node, &["base"]);
    fleet.sync(node, hub);
    assert!(written(&mut fleet).1 > after.1);
}

#[test]
fn a_hub_is_called_for_the_link_that_waits_longest_and_for_no_other() {
    let mut fleet = Fleet::new(1);
    let (hub, nodes) = (fleet.hub(), [fleet.node(), fleet.node()]);
    let peers = nodes.map(|node| fleet.peer(node));
    assert_eq!(fleet.at(hub).poll_timeout(), None);
    let mut due = Vec::new();
    for (number, peer) in (1..).zip(&peers) {
        let now = Now { instant: Instant(number * 1_000_000), ..fleet.now() };
        fleet.at(hub).handle_link_up(now, LinkId(number), peer, false).unwrap();
        due.push(Instant(now.instant.0 + HELLO_WAIT_SECONDS * 1_000_000));
    }
    assert_eq!(fleet.at(hub).poll_timeout(), Some(due[0]));
    let closed = |fleet: &mut Fleet| {
        let outputs = std::iter::from_fn(|| fleet.at(hub).poll_output());
        outputs.filter_map(|output| if let Output::Close { link, .. } = output { Some(link) } else { None }).collect()
    };
    let _: Vec<LinkId> = closed(&mut fleet);
    for (number, at) in (1..).zip(due) {
        let now = Now { instant: at, ..fleet.now() };
        fleet.at(hub).handle_timeout(now).unwrap();
        let links: Vec<LinkId> = closed(&mut fleet);
        assert_eq!(links, [LinkId(number)]);
    }
    let later = Now { instant: Instant(u64::MAX / 2), ..fleet.now() };
    for link in [LinkId(1), LinkId(2)] {
        fleet.at(hub).handle_link_down(later, link).unwrap();
    }
    fleet.at(hub).handle_timeout(Now { instant: Instant(u64::MAX), ..later }).unwrap();
    assert_eq!(fleet.at(hub).poll_timeout(), None);
}

#[test]
fn a_process_that_ends_in_order_writes_down_its_contacts() {
    let (mut fleet, hub, node) = at_rest();
    fleet.sync(node, hub);
    let now = fleet.now();
    fleet.at(hub).shut_down(now).unwrap();
    fleet.restart(hub);
    assert_eq!(fleet.peer_row(hub, node).traffic.sessions, 2);
}

#[test]
fn a_process_that_dies_loses_contacts_and_nothing_else() {
    let (mut fleet, hub, node) = at_rest();
    fleet.sync(node, hub);
    fleet.restart(hub);
    assert_eq!(fleet.peer_row(hub, node).traffic.sessions, 1);
    assert_eq!(fleet.sync(node, hub).frames, 2);
    fleet.report(node, json!({ "web": { "ready": 2 } }));
    fleet.sync(node, hub);
    assert_eq!(fleet.observed(hub, node), json!({ "web": { "ready": 2 } }));
    assert_eq!(fleet.peer_row(hub, node).forks, 0);
}
