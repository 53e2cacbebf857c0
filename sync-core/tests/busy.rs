//! A hub takes so many returning nodes at once and tells the others when to come back; who has nothing to say is let in.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "fleet/world.rs"]
mod world;

use serde_json::json;
use sync_core::env::{Instant, WallTime};
use sync_core::id::LinkId;
use sync_core::limits::{CATCH_UP_SECONDS_MAX, CATCH_UPS_MAX, LINK_BYTES_MIN, LINKS_BYTES_MAX};
use sync_core::replica::{Now, Output};
use sync_core::wire::{CloseCode, Message};

use world::{Fleet, Member};

fn at(seconds: u64) -> Now {
    Now { instant: Instant(seconds * 1_000_000), wall: WallTime(Some(seconds)) }
}

/// The node dials, and nothing but its hello arrives. Gives the hub's answers.
fn greet(fleet: &mut Fleet, node: Member, hub: Member, link: u64, now: Now) -> Vec<Message> {
    let link = LinkId(10_000 + link);
    let (node_peer, hub_peer) = (fleet.peer(node), fleet.peer(hub));
    fleet.at(node).handle_link_up(now, link, &hub_peer, true).unwrap();
    let hello = std::iter::from_fn(|| fleet.at(node).poll_output()).find_map(|output| match output {
        Output::Transmit { frame, .. } => Some(frame),
        Output::Close { .. } | Output::Event(_) => None,
    });
    fleet.at(node).handle_link_down(now, link).unwrap();
    let replica = fleet.at(hub);
    replica.handle_link_up(now, link, &node_peer, false).unwrap();
    replica.handle_frame(now, link, &hello.unwrap()).unwrap();
    let sender = replica.identity().id();
    let outputs = std::iter::from_fn(|| replica.poll_output());
    let frames = outputs.filter_map(|output| match output {
        Output::Transmit { frame, .. } => Some(Message::decode(&frame, sender).unwrap()),
        Output::Close { .. } | Output::Event(_) => None,
    });
    let answers: Vec<Message> = frames.collect();
    if retry_after(&answers).is_some() {
        fleet.at(hub).handle_link_down(now, link).unwrap();
    }
    answers
}

fn retry_after(answers: &[Message]) -> Option<u32> {
    match answers {
        [Message::Close(close)] if close.code == CloseCode::Busy => Some(close.retry_after_ms),
        [Message::Hello(_), ..] => None,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_hub_takes_so_many_returning_nodes_at_once() {
    let mut fleet = Fleet::new(1);
    let hub = fleet.hub();
    let idle = fleet.node();
    fleet.write_layer(hub, "base", json!({ "image": "web:1" }));
    fleet.release(hub, &["base"]);
    fleet.assign(hub, idle, &["base"]);
    fleet.sync(idle, hub);
    let nodes: Vec<Member> = (0..CATCH_UPS_MAX + 3).map(|_| fleet.node()).collect();
    nodes.iter().for_each(|node| fleet.assign(hub, *node, &["base"]));

    let now = at(2_000);
    let mut waits = Vec::new();
    for (number, node) in nodes.iter().enumerate() {
        let wait = retry_after(&greet(&mut fleet, *node, hub, number as u64, now));
        assert_eq!(wait.is_some(), number >= CATCH_UPS_MAX, "node {number}");
        waits.extend(wait);
    }
    assert!(waits.iter().all(|wait| *wait > 0));
    assert_eq!(retry_after(&greet(&mut fleet, idle, hub, 1_000, now)), None, "a node without anything to say waits");
    let (granted, under_way) = fleet.at(hub).flow();
    assert!(granted <= LINKS_BYTES_MAX + 100 * LINK_BYTES_MIN && under_way <= LINKS_BYTES_MAX);

    // One place is free when a link ends, all are when they took too long.
    fleet.at(hub).handle_link_down(now, LinkId(10_000)).unwrap();
    assert_eq!(retry_after(&greet(&mut fleet, nodes[CATCH_UPS_MAX], hub, 2_000, now)), None);
    assert!(retry_after(&greet(&mut fleet, nodes[CATCH_UPS_MAX + 1], hub, 2_001, now)).is_some());
    let later = at(2_000 + CATCH_UP_SECONDS_MAX);
    for (number, node) in nodes.iter().enumerate().skip(CATCH_UPS_MAX + 1) {
        assert_eq!(retry_after(&greet(&mut fleet, *node, hub, 3_000 + number as u64, later)), None);
    }
}
