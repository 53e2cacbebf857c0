//! What a node says about a hub's past is a claim: it costs the hub little, and shows the node nothing that is not its own.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "fleet/door.rs"]
mod door;
#[path = "fleet/world.rs"]
mod world;

use serde_json::json;
use sync_core::document::{Clock, FrontierDigest};
use sync_core::id::Chain;
use sync_core::replica::{Event, Now};
use sync_core::wire::{Close, CloseCode, Hello, Message, Position, Summary, Want, Wanted};

use door::Door;
use world::{layer_key, map};

/// A node says that the hub has lost its past, and has nothing to show for it.
#[test]
fn a_node_makes_a_hub_begin_anew_once_and_no_more_until_it_has_proved_a_loss() {
    let mut door = Door::open();
    let lie = Position { number: 1_000, chain: Chain([9; 16]) };
    for _ in 0..5 {
        door.dial();
        let hello = door.hello();
        door.say(&Message::Hello(Hello { cursor: Some(lie), ..hello }));
    }
    let begun = door.events.iter().filter(|event| matches!(event, Event::NewIncarnation(_))).count();
    assert_eq!((begun, door.hub.incarnation().number), (1, 2));
}

#[test]
fn a_node_can_neither_raise_a_hubs_incarnation_nor_have_it_read_all_it_holds() {
    let mut door = Door::open();
    let restarted = Close { code: CloseCode::Restarted, message: String::new(), retry_after_ms: 0, incarnation: 7 };
    door.say(&Message::Close(restarted));
    assert_eq!(door.hub.incarnation().number, 1);
    door.dial();
    door.greet();
    let answers = door.say(&Message::Summary(Summary::Counted(u64::MAX)));
    assert!(matches!(&answers[..], [Message::Close(close)] if close.code == CloseCode::Protocol), "{answers:?}");
}

#[test]
fn a_node_does_not_learn_what_a_hub_holds_of_documents_of_others() {
    let mut door = Door::open();
    let secret = layer_key("secret");
    let state = map(json!({ "objects": { "one": { "image": "web:1" } } }));
    door.hub.write(Now::default(), &secret, &state).unwrap();
    door.dial();
    door.greet();
    let digest = FrontierDigest { document: secret.id(), state: [1; 16] };
    let answers = door.say(&Message::Summary(Summary::Listed(vec![digest])));
    let [Message::Want(want)] = &answers[..] else { panic!("{answers:?}") };
    assert_eq!((want.documents.len(), want.documents[0].document, want.documents[0].clock.len()), (1, secret.id(), 0));
    let wanted = Wanted { document: secret.id(), clock: Clock::default() };
    let answers = door.say(&Message::Want(Want { documents: vec![wanted], more: false }));
    assert!(matches!(&answers[..], [Message::Close(close)] if close.code == CloseCode::Protocol), "{answers:?}");
}
