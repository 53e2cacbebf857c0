//! One session against hand-made frames: no store, no peer.

use super::*;
use crate::id::{Chain, Nonce};

const FIRST: Incarnation = Incarnation { number: 1, nonce: Nonce([3; 8]) };

fn place(number: u64) -> Position {
    Position { number, chain: Chain([number as u8; 16]) }
}

fn facts(head: u64) -> Facts {
    Facts { store: StoreId([1; 16]), incarnation: FIRST, head: place(head), cursor: None }
}

fn hello(head: u64, cursor: Option<u64>) -> Message {
    Message::Hello(Hello {
        version_min: VERSION_MIN,
        version_max: VERSION_MAX,
        store: StoreId([2; 16]),
        incarnation: FIRST,
        head: place(head),
        cursor: cursor.map(place),
    })
}

fn effects(session: &mut Session) -> Vec<Effect> {
    std::iter::from_fn(|| session.poll_effect()).collect()
}

fn push(number: u64, more: bool) -> Push {
    Push { entry: None, through: Some(place(number)), more }
}

/// A live session of the acceptor, whose peer is at `cursor` of a feed of `head` entries.
fn live(head: u64, cursor: u64) -> Session {
    let mut session = Session::open(Instant(0), facts(head), false);
    session.handle_message(hello(0, Some(cursor)));
    session.handle_met(Some(cursor), place(head));
    assert!(matches!(
        effects(&mut session)[..],
        [Effect::Meet { .. }, Effect::Transmit(Message::Hello(_)), Effect::Fetch { .. } | Effect::Synced]
    ));
    session
}

fn closes_with(session: &mut Session) -> CloseCode {
    match &effects(session)[..] {
        [.., Effect::Transmit(Message::Close(sent)), Effect::Close(close)] if sent == close => close.code,
        other => panic!("{other:?}"),
    }
}

#[test]
fn sides_without_a_common_version_part_and_say_which_is_older() {
    let mut session = Session::open(Instant(0), facts(0), true);
    let Message::Hello(theirs) = hello(0, None) else { unreachable!() };
    session.handle_message(Message::Hello(Hello {
        version_min: VERSION_MAX + 1,
        version_max: VERSION_MAX + 3,
        ..theirs
    }));
    assert!(!session.is_live());
    assert_eq!(closes_with(&mut session), CloseCode::NoCommonVersion);
}

#[test]
fn a_hello_that_does_not_come_ends_the_session_at_its_time() {
    let mut session = Session::open(Instant(0), facts(0), true);
    let until = session.poll_timeout().unwrap();
    session.handle_timeout(Instant(until.0 - 1));
    assert!(matches!(effects(&mut session)[..], [Effect::Transmit(Message::Hello(_))]));
    session.handle_timeout(until);
    assert_eq!(closes_with(&mut session), CloseCode::Protocol);
    assert_eq!(session.poll_timeout(), None);
    session.handle_message(hello(0, None));
    assert!(effects(&mut session).is_empty(), "a closed session does nothing");
}

#[test]
fn a_live_session_waits_for_nothing() {
    assert_eq!(live(0, 0).poll_timeout(), None);
}

#[test]
fn a_second_hello_is_against_the_protocol() {
    let mut session = live(0, 0);
    session.handle_message(hello(0, Some(0)));
    assert_eq!(closes_with(&mut session), CloseCode::Protocol);
}

#[test]
fn equal_sides_are_through_with_the_hellos() {
    let mut session = Session::open(Instant(0), Facts { cursor: Some(place(9)), ..facts(5) }, true);
    session.handle_message(hello(9, Some(5)));
    session.handle_met(Some(5), place(5));
    assert!(matches!(
        effects(&mut session)[..],
        [Effect::Transmit(Message::Hello(_)), Effect::Meet { .. }, Effect::Synced]
    ));
    assert_eq!(session.round_trips(), 1);
}

#[test]
fn a_side_that_lacks_something_is_not_through_before_the_last_push() {
    let mut session = Session::open(Instant(0), facts(0), false);
    session.handle_message(hello(2, Some(0)));
    session.handle_met(Some(0), place(0));
    effects(&mut session);
    for (number, more) in [(1, true), (2, false)] {
        session.handle_message(Message::Push(push(number, more)));
        assert!(matches!(effects(&mut session)[..], [Effect::Store(_)]));
        session.handle_stored(None, Some(place(number)), more);
        let through = effects(&mut session).contains(&Effect::Synced);
        assert_eq!(through, !more);
    }
}

#[test]
fn a_full_window_waits_for_an_acknowledgement() {
    for (bytes, steps) in [(WINDOW_BYTES_MAX / 4, 4), (1, WINDOW_STEPS_MAX as u64)] {
        let mut session = live(10_000, 0);
        for number in 1..=steps {
            session.handle_step(number, vec![push(number, true)], bytes);
            let asks = effects(&mut session).contains(&Effect::Fetch { after: number });
            assert_eq!(asks, number < steps, "step {number} of {steps}");
        }
        session.handle_message(Message::Acknowledge(place(1)));
        let after = effects(&mut session);
        assert_eq!(after, [Effect::Acknowledged(place(1)), Effect::Fetch { after: steps }]);
    }
}

#[test]
fn an_acknowledgement_of_what_was_not_sent_is_against_the_protocol() {
    let mut session = live(5, 3);
    session.handle_message(Message::Acknowledge(place(4)));
    assert_eq!(closes_with(&mut session), CloseCode::Protocol);
}

#[test]
fn a_feed_that_starts_over_says_so_before_anything_else() {
    let mut session = Session::open(Instant(0), facts(5), false);
    session.handle_message(hello(0, Some(7)));
    session.handle_met(None, place(5));
    assert_eq!(effects(&mut session).last(), Some(&Effect::Restart));
    session.handle_restarted(place(0), place(2));
    let start = Effect::Transmit(Message::Push(push(0, true)));
    assert_eq!(effects(&mut session), [start, Effect::Summarise { after: 0 }]);
    session.handle_summary(Vec::new());
    assert_eq!(effects(&mut session), [Effect::Fetch { after: 0 }]);
    // With nothing in scope too: the peer's cursor would be found nowhere for ever.
    let mut session = Session::open(Instant(0), facts(5), false);
    session.handle_message(hello(0, Some(7)));
    session.handle_met(None, place(5));
    session.handle_restarted(place(0), place(0));
    let sent = effects(&mut session);
    assert_eq!(sent.last(), Some(&Effect::Transmit(Message::Push(push(0, false)))));
    session.handle_message(Message::Acknowledge(place(0)));
    assert_eq!(effects(&mut session), [Effect::Acknowledged(place(0)), Effect::Synced]);
}

#[test]
fn a_feed_that_grows_before_the_hello_is_sent_to_its_new_end() {
    let mut session = Session::open(Instant(0), facts(3), true);
    session.handle_head(place(4));
    session.handle_message(hello(0, Some(3)));
    session.handle_met(Some(3), place(5));
    assert_eq!(effects(&mut session).last(), Some(&Effect::Fetch { after: 3 }));
}
