//! One session against hand-made frames: no store, no peer.

use super::*;
use crate::id::{Chain, Nonce};
use crate::limits::WINDOW_BYTES_MAX;
use crate::wire::{Hello, VERSION_MAX, VERSION_MIN};

const FIRST: Incarnation = Incarnation { number: 1, nonce: Nonce([3; 8]) };

fn place(number: u64) -> Position {
    Position { number, chain: Chain([number as u8; 16]) }
}

fn facts(head: u64) -> Facts {
    let (credit, resume) = (WINDOW_BYTES_MAX, Vec::new());
    Facts { store: StoreId([1; 16]), incarnation: FIRST, head: place(head), cursor: None, credit, resume }
}

fn hello(head: u64, cursor: Option<u64>) -> Message {
    Message::Hello(Hello {
        version_min: VERSION_MIN,
        version_max: VERSION_MAX,
        store: StoreId([2; 16]),
        incarnation: FIRST,
        head: place(head),
        cursor: cursor.map(place),
        credit: WINDOW_BYTES_MAX,
    })
}

/// The same with another first grant.
fn hello_granting(credit: u64) -> Message {
    let Message::Hello(hello) = hello(0, Some(0)) else { unreachable!() };
    Message::Hello(Hello { credit, ..hello })
}

fn effects(session: &mut Session) -> Vec<Effect> {
    std::iter::from_fn(|| session.poll_effect()).collect()
}

fn push(number: u64, more: bool) -> Push {
    Push { entry: None, through: Some(place(number).into()), more }
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
        assert!(matches!(effects(&mut session)[..], [Effect::Store(..)]));
        session.handle_stored(None, Some(place(number)), more);
        let through = effects(&mut session).contains(&Effect::Synced);
        assert_eq!(through, !more);
    }
}

#[test]
fn a_full_window_waits_for_an_acknowledgement() {
    let steps = WINDOW_STEPS_MAX as u64;
    let mut session = live(10_000, 0);
    for number in 1..=steps {
        session.handle_step(number, vec![push(number, true)], 1);
        let asks = effects(&mut session).contains(&Effect::Fetch { after: number });
        // The credit ends a little before the steps do, because the largest push has to fit.
        assert_eq!(asks, session.room() >= PUSH_ROOM_MIN && number < steps, "step {number} of {steps}");
        if !asks {
            break;
        }
    }
    assert!(session.unacknowledged() as u64 > steps - 8);
    session.handle_message(Message::Credit(PUSH_ROOM_MIN));
    let more = effects(&mut session);
    assert!(matches!(more[..], [Effect::Fetch { .. }]), "{more:?}");
}

#[test]
fn no_more_is_pushed_than_was_granted_and_what_is_durable_is_granted_again() {
    let mut session = Session::open(Instant(0), facts(100), false);
    session.handle_message(hello_granting(20_000));
    session.handle_met(Some(0), place(100));
    let mut sent = 0;
    let mut number = 0;
    while effects(&mut session).iter().any(|effect| matches!(effect, Effect::Fetch { .. })) {
        assert!(session.room() <= 20_000 - sent);
        number += 1;
        session.handle_step(number, vec![push(number, true)], 5_000);
        sent += 5_000;
    }
    assert_eq!((sent, session.under_way()), (15_000, 15_000), "5 000 are left, and a push may need more");
    session.handle_message(Message::Acknowledge(1));
    assert!(!effects(&mut session).contains(&Effect::Fetch { after: number }), "an acknowledgement grants nothing");
    session.handle_message(Message::Credit(5_000));
    assert_eq!(effects(&mut session), [Effect::Fetch { after: number }]);
    assert_eq!(session.under_way(), 10_000);
}

#[test]
fn the_own_window_holds_whatever_the_peer_grants() {
    let mut session = live(10_000, 0);
    session.handle_message(Message::Credit(u64::MAX));
    assert_eq!(session.room(), WINDOW_BYTES_MAX);
    session.handle_window(50_000);
    session.handle_step(1, vec![push(1, true)], 40_000);
    assert_eq!(session.room(), 10_000);
    session.handle_step(2, vec![push(2, true)], 9_000);
    assert!(!effects(&mut session).contains(&Effect::Fetch { after: 2 }));
}

#[test]
fn a_peer_that_pushes_past_its_credit_is_closed() {
    let mut session = Session::open(Instant(0), Facts { credit: 10_000, ..facts(0) }, false);
    session.handle_message(hello(9, Some(0)));
    session.handle_met(Some(0), place(0));
    effects(&mut session);
    session.charge(7_000);
    session.handle_message(Message::Push(push(1, true)));
    // However small it is, it counts as two kibibytes, and one may be larger than what is left.
    for number in [2, 3] {
        session.charge(10);
        session.handle_message(Message::Push(push(number, true)));
    }
    let stored = [1, 2, 3].map(|number| Effect::Store(push(number, true), Some(place(number))));
    assert_eq!(effects(&mut session), stored);
    session.charge(10);
    assert_eq!(closes_with(&mut session), CloseCode::Protocol);
    session.handle_message(Message::Push(push(4, true)));
    assert!(effects(&mut session).is_empty());
}

#[test]
fn credit_is_renewed_as_pushes_become_durable_and_never_past_the_first_grant() {
    let mut session = Session::open(Instant(0), Facts { credit: 20_000, ..facts(0) }, false);
    session.handle_message(hello(1_000, Some(0)));
    session.handle_met(Some(0), place(0));
    effects(&mut session);
    let mut left: u64 = 20_000;
    for number in 1..1_000 {
        session.charge(3_000);
        left -= 3_000;
        session.handle_message(Message::Push(push(number, true)));
        assert!(!effects(&mut session).iter().any(|effect| matches!(effect, Effect::Transmit(_))), "before the commit");
        session.handle_stored(None, Some(place(number)), true);
        for effect in effects(&mut session) {
            if let Effect::Transmit(Message::Credit(bytes)) = effect {
                left += bytes;
            }
        }
        assert!((3_000..=20_000).contains(&left), "{left} after {number}");
    }
}

#[test]
fn a_cut_transfer_is_told_before_the_peer_may_push() {
    let resume =
        Resume { document: crate::id::DocumentId([1; 16]), transfer: crate::id::TransferId([2; 16]), offset: 70_000 };
    let mut session = Session::open(Instant(0), Facts { resume: vec![resume], ..facts(0) }, true);
    let said = effects(&mut session);
    let [Effect::Transmit(Message::Hello(hello))] = &said[..] else { panic!("{said:?}") };
    assert_eq!(hello.credit, 0);
    // Not before the peer's hello: a copy that goes on at once is found out by that.
    session.handle_message(hello_granting(0));
    session.handle_met(Some(0), place(0));
    let said = effects(&mut session);
    let [Effect::Meet { .. }, told, Effect::Transmit(Message::Credit(WINDOW_BYTES_MAX)), ..] = &said[..] else {
        panic!("{said:?}")
    };
    assert_eq!(told, &Effect::Transmit(Message::Resume(resume)));
    // The other side pushes nothing before the credit.
    let mut other = Session::open(Instant(0), facts(5), false);
    other.handle_message(hello_granting(0));
    other.handle_met(Some(0), place(5));
    assert!(!effects(&mut other).contains(&Effect::Fetch { after: 0 }));
    other.handle_message(Message::Resume(resume));
    other.handle_message(Message::Credit(WINDOW_BYTES_MAX));
    assert_eq!(effects(&mut other), [Effect::Resume(resume), Effect::Fetch { after: 0 }]);
}

#[test]
fn a_step_in_parts_is_acknowledged_once_and_nobody_is_through_before() {
    let mut session = live(1, 0);
    let part = || Push { entry: None, through: None, more: true };
    session.handle_step(0, vec![part()], 1);
    assert!(matches!(effects(&mut session)[..], [Effect::Transmit(_), Effect::Fetch { after: 0 }]));
    assert_eq!(session.unacknowledged(), 0);
    session.handle_step(1, vec![push(1, false)], 1);
    assert!(matches!(effects(&mut session)[..], [Effect::Transmit(_)]));
    let trips = session.round_trips();
    session.handle_message(Message::Acknowledge(1));
    assert_eq!(effects(&mut session), [Effect::Acknowledged(1), Effect::Synced]);
    assert_eq!((trips, session.under_way()), (1, 0));
}

#[test]
fn a_side_that_has_nothing_to_say_has_no_work() {
    let session = Session::open(Instant(0), Facts { cursor: Some(place(9)), ..facts(5) }, false);
    let has_work = |message| {
        let Message::Hello(hello) = message else { unreachable!() };
        session.has_work(&hello)
    };
    assert!(!has_work(hello(9, Some(5))));
    assert!(has_work(hello(10, Some(5))) && has_work(hello(9, Some(4))) && has_work(hello(9, None)));
    let mut session = session;
    session.turn_away(Duration::from_secs(3));
    let said = effects(&mut session);
    let [Effect::Transmit(Message::Close(close)), Effect::Close(_)] = &said[..] else { panic!("{said:?}") };
    assert_eq!((close.code, close.retry_after_ms), (CloseCode::Busy, 3_000));
}

#[test]
fn an_acknowledgement_of_what_was_not_sent_is_against_the_protocol() {
    let mut session = live(5, 3);
    session.handle_message(Message::Acknowledge(4));
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
    session.handle_message(Message::Acknowledge(0));
    assert_eq!(effects(&mut session), [Effect::Acknowledged(0), Effect::Synced]);
}

#[test]
fn a_feed_that_grows_before_the_hello_is_sent_to_its_new_end() {
    let mut session = Session::open(Instant(0), facts(3), true);
    session.handle_head(place(4));
    session.handle_message(hello(0, Some(3)));
    session.handle_met(Some(3), place(5));
    assert_eq!(effects(&mut session).last(), Some(&Effect::Fetch { after: 3 }));
}
