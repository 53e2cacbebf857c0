//! Which copy of a store a hello speaks for.

use super::*;
use crate::id::{Chain, Nonce};
use crate::identity::{PublicKey, SigningKey};

fn incarnation(number: u32, nonce: u8) -> Incarnation {
    Incarnation { number, nonce: Nonce([nonce; 8]) }
}

fn place(number: u64) -> Position {
    Position { number, chain: Chain([number as u8; 16]) }
}

/// A peer that was seen under one incarnation and, before, under another, of whose feed so much was held.
fn peer(role: Role, known: Incarnation, past: Option<(Incarnation, Option<Position>)>) -> PeerRow {
    let mut store = crate::store::Store::open_in_memory().unwrap();
    let tx = store.begin().unwrap();
    let key: PublicKey = SigningKey::from_seed([1; 32]).public();
    let mut row = tx.add_peer(&key, role, None, Chain([0; 16])).unwrap();
    (row.their_store, row.past) = (Some((StoreId([1; 16]), known)), past);
    row
}

fn hello(incarnation: Incarnation, head: Position) -> Greeting {
    Greeting { store: StoreId([1; 16]), incarnation, head, cursor: None }
}

#[test]
fn a_newer_incarnation_counts_and_another_store_does() {
    let row = peer(Role::Node, incarnation(2, 1), None);
    assert_eq!(judge(Role::Hub, &row, &hello(incarnation(2, 1), place(1))), Copy::Known);
    assert_eq!(judge(Role::Hub, &row, &hello(incarnation(3, 9), place(1))), Copy::Other);
    let other = Greeting { store: StoreId([2; 16]), ..hello(incarnation(1, 1), place(1)) };
    assert_eq!(judge(Role::Hub, &row, &other), Copy::Other);
    let mut new = row;
    new.their_store = None;
    assert_eq!(judge(Role::Hub, &new, &hello(incarnation(3, 1), place(1))), Copy::First);
}

#[test]
fn an_older_copy_is_a_clone_when_its_feed_has_reached_what_was_held_of_it() {
    let row = peer(Role::Node, incarnation(2, 1), Some((incarnation(1, 1), Some(place(7)))));
    let judge = |head| judge(Role::Hub, &row, &hello(incarnation(1, 1), head));
    assert_eq!(judge(place(6)), Copy::Older { known: 2 });
    assert_eq!(judge(place(7)), Copy::Clone);
    assert_eq!(judge(place(8)), Copy::Unclear { place: place(7), known: 2 });
    assert_eq!(
        judge(Position { chain: Chain([0; 16]), ..place(7) }),
        Copy::Older { known: 2 },
        "it wrote something else"
    );
}

#[test]
fn a_copy_of_which_nothing_was_known_has_to_take_a_newer_incarnation() {
    let row = peer(Role::Node, incarnation(2, 5), Some((incarnation(1, 1), Some(place(7)))));
    for nonce in [4, 6] {
        assert_eq!(judge(Role::Hub, &row, &hello(incarnation(2, nonce), place(1))), Copy::Older { known: 2 });
    }
    let row = peer(Role::Node, incarnation(2, 5), Some((incarnation(1, 1), None)));
    assert_eq!(judge(Role::Hub, &row, &hello(incarnation(1, 1), place(1))), Copy::Older { known: 2 });
}

#[test]
fn an_incarnation_of_long_ago_has_to_take_a_newer_one() {
    let row = peer(Role::Node, incarnation(3, 1), Some((incarnation(2, 1), Some(place(7)))));
    assert_eq!(judge(Role::Hub, &row, &hello(incarnation(1, 1), place(100))), Copy::Older { known: 3 });
    let hub = peer(Role::Hub, incarnation(2, 5), None);
    assert_eq!(judge(Role::Hub, &hub, &hello(incarnation(2, 6), place(1))), Copy::Older { known: 2 });
}

#[test]
fn a_node_refuses_no_hub() {
    let row = peer(Role::Hub, incarnation(2, 5), Some((incarnation(1, 1), Some(place(7)))));
    assert_eq!(judge(Role::Node, &row, &hello(incarnation(1, 1), place(9))), Copy::Other);
    assert_eq!(judge(Role::Node, &row, &hello(incarnation(2, 6), place(9))), Copy::Other);
}
