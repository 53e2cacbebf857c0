//! Reconciling two sets without a store: what is found, what it costs, and what a broken peer can do.

use super::*;
use crate::document::Clock;
use crate::id::DocumentId;
use crate::wire::Message;

fn digest(number: u32, state: u32) -> FrontierDigest {
    let hash = |text: &str, number: u32| {
        let mut bytes = [0; 16];
        blake3::Hasher::new_derive_key(text).update(&number.to_be_bytes()).finalize_xof().fill(&mut bytes);
        bytes
    };
    FrontierDigest { document: DocumentId(hash("document", number)), state: hash("state", state) }
}

/// The digests of a sender and a receiver of whose documents so many differ.
fn sets(documents: u32, differing: u32) -> (Vec<FrontierDigest>, Vec<FrontierDigest>) {
    let mut sender: Vec<FrontierDigest> = (0..documents).map(|number| digest(number, number)).collect();
    let is_other =
        |number: u32| (u64::from(number) * u64::from(differing)) % u64::from(documents) < u64::from(differing);
    let receiver = |number| digest(number, if is_other(number) { documents + number } else { number });
    sender.sort_unstable();
    (sender, (0..documents).map(receiver).collect())
}

struct Found {
    lacking: Vec<FrontierDigest>,
    bytes: usize,
    round_trips: u32,
}

fn framed(message: Message) -> usize {
    message.encode(crate::id::NodeId([0; 32])).len() + 2
}

/// Reconciles with negentropy, however few the digests are.
fn reconcile(sender: &[FrontierDigest], receiver: &[FrontierDigest]) -> Found {
    let mut offer =
        Offer { state: OfferState::Open { ranges: Some(Box::new(ranges(sender).unwrap())), rounds: 0, wants: 0 } };
    let mut inquiry = Inquiry::default();
    let count = Summary::Counted(sender.len() as u64);
    let mut bytes = framed(Message::Summary(count.clone()));
    assert_eq!(inquiry.handle_summary(count).unwrap(), Next::Gather);
    let mut message = inquiry.begin(receiver).unwrap();
    for round_trips in 1.. {
        assert!(message.len() <= RECONCILE_BYTES_MAX);
        bytes += framed(Message::Reconcile(Reconcile { message: message.clone(), answer: false }));
        let answer = offer.answer(&message).unwrap();
        assert!(answer.len() <= RECONCILE_BYTES_MAX);
        bytes += framed(Message::Reconcile(Reconcile { message: answer.clone(), answer: true }));
        match inquiry.handle_answer(&answer).unwrap() {
            Next::Send(next) => message = next,
            Next::Compare(lacking) => return Found { lacking, bytes, round_trips },
            Next::Gather => unreachable!("it was gathered"),
        }
    }
    unreachable!("it ends")
}

#[test]
fn what_differs_is_found_and_the_price_is_shown() {
    eprintln!("{:>9} {:>9} {:>10} {:>12} {:>11}", "documents", "differing", "list bytes", "negentropy", "round trips");
    for (documents, differing) in [
        (100, 1),
        (500, 1),
        (500, 5),
        (1_000, 1),
        (1_000, 10),
        (2_000, 1),
        (2_000, 20),
        (2_000, 100),
        (5_000, 1),
        (5_000, 50),
        (10_000, 1),
        (10_000, 100),
        (10_000, 1_000),
        (100_000, 1_000),
    ] {
        let (sender, receiver) = sets(documents, differing);
        let found = reconcile(&sender, &receiver);
        let expected: Vec<FrontierDigest> = sender
            .iter()
            .filter(|digest| !receiver.contains(digest))
            .copied()
            .take(if documents > 10_000 { 0 } else { usize::MAX })
            .collect();
        assert_eq!(found.lacking.len(), differing as usize);
        if documents <= 10_000 {
            assert_eq!(found.lacking, expected);
        }
        let list = framed(Message::Summary(Summary::Listed(sender)));
        eprintln!("{documents:>9} {differing:>9} {list:>10} {:>12} {:>11}", found.bytes, found.round_trips);
        // Where it is used it costs less than the list, unless nearly every range differs.
        assert!(documents as usize <= SUMMARY_ITEMS_MAX || differing * 20 > documents || found.bytes < list);
    }
}

#[test]
fn a_hundred_thousand_documents_that_all_differ_stay_within_the_rounds() {
    let (sender, receiver) = sets(100_000, 100_000);
    let found = reconcile(&sender, &receiver);
    assert_eq!(found.lacking.len(), 100_000);
    assert!(found.round_trips * 2 <= RECONCILE_ROUNDS_MAX, "{}", found.round_trips);
}

#[test]
fn sets_with_nothing_in_common_and_empty_ones_are_reconciled() {
    let (sender, _) = sets(3_000, 1);
    assert_eq!(reconcile(&sender, &[]).lacking.len(), 3_000);
    assert_eq!(reconcile(&sender, &sender).lacking.len(), 0);
    assert_eq!(reconcile(&sender[..1], &sender).lacking.len(), 0);
}

#[test]
fn few_are_listed_and_many_are_counted() {
    let (mut sender, _) = sets(SUMMARY_ITEMS_MAX as u32 + 1, 1);
    let mut offer = Offer::default();
    assert_eq!(offer.begin(sender.clone()), Ok(Some(Summary::Counted(sender.len() as u64))));
    sender.pop();
    assert_eq!(offer.begin(sender.clone()), Ok(Some(Summary::Listed(sender))));
    assert!(offer.is_open());
    assert_eq!(offer.begin(Vec::new()), Ok(None));
    assert!(!offer.is_open());
}

#[test]
fn a_peer_that_goes_on_for_ever_is_stopped() {
    let (sender, receiver) = sets(3_000, 10);
    let mut offer = Offer::default();
    offer.begin(sender).unwrap();
    let mut inquiry = Inquiry::default();
    inquiry.handle_summary(Summary::Counted(3_000)).unwrap();
    let first = inquiry.begin(&receiver).unwrap();
    for _ in 0..RECONCILE_ROUNDS_MAX {
        offer.answer(&first).unwrap();
    }
    assert_eq!(offer.answer(&first), Err(ReconcileError::Rounds));
    // An answer that only asks back: one fingerprint over everything that fits nothing.
    let mut question = vec![0x61, 0, 0, 1];
    question.extend([7; 16]);
    let ends = (0..=RECONCILE_ROUNDS_MAX).map(|_| inquiry.handle_answer(&question)).find_map(Result::err);
    assert_eq!(ends, Some(ReconcileError::Rounds));
}

#[test]
fn messages_that_nobody_asked_for_end_the_session() {
    let (sender, _) = sets(3, 1);
    assert_eq!(Offer::default().answer(&[0x61]), Err(ReconcileError::Unasked));
    assert_eq!(Inquiry::default().handle_answer(&[0x61]), Err(ReconcileError::Unasked));
    assert_eq!(Inquiry::default().begin(&sender), Err(ReconcileError::Unasked));
    let mut inquiry = Inquiry::default();
    inquiry.handle_summary(Summary::Listed(sender.clone())).unwrap();
    assert_eq!(inquiry.handle_summary(Summary::Listed(sender.clone())), Err(ReconcileError::Unasked));
    let mut offer = Offer::default();
    offer.begin(sender).unwrap();
    assert_eq!(offer.answer(&[0x61]), Err(ReconcileError::Unasked), "a list is not reconciled");
    let wanted = |count: u8| {
        (0..count).map(|number| Wanted { document: DocumentId([number; 16]), clock: Clock::default() }).collect()
    };
    assert_eq!(offer.handle_want(&Want { documents: wanted(2), more: true }), Ok(()));
    assert_eq!(offer.handle_want(&Want { documents: wanted(0), more: true }), Err(ReconcileError::Unasked));
    assert_eq!(offer.handle_want(&Want { documents: wanted(2), more: false }), Err(ReconcileError::Unasked));
    assert_eq!(offer.handle_want(&Want { documents: wanted(1), more: false }), Ok(()));
    assert_eq!(offer.handle_want(&Want { documents: wanted(0), more: false }), Err(ReconcileError::Unasked));
}

#[test]
fn wants_travel_in_frames_of_bounded_size() {
    let mut clock = Clock::default();
    (0..100_u8).for_each(|actor| clock.raise(crate::document::ActorBytes([actor; 16]), 5));
    let wanted = vec![Wanted { document: DocumentId([1; 16]), clock }; 200];
    let frames = want_frames(wanted);
    assert!(frames.len() > 5);
    assert_eq!(frames.iter().map(|frame| frame.documents.len()).sum::<usize>(), 200);
    let last = frames.len() - 1;
    assert!(frames.iter().enumerate().all(|(number, frame)| frame.more == (number < last)));
    assert_eq!(want_frames(Vec::new()), [Want { documents: Vec::new(), more: false }]);
}

mod arbitrary {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn bytes_make_no_side_panic(message in prop::collection::vec(any::<u8>(), 0..200), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
            let (sender, receiver) = sets(300, 9);
            let fresh = || Offer { state: OfferState::Open { ranges: Some(Box::new(ranges(&sender).unwrap())), rounds: 0, wants: 0 } };
            let versioned = [&[0x61], &message[..]].concat();
            let mut inquiry = Inquiry::default();
            inquiry.handle_summary(Summary::Counted(300)).unwrap();
            let mut first = inquiry.begin(&receiver).unwrap();
            let at = at.index(first.len());
            first[at] = byte;
            for message in [&message, &versioned, &first] {
                let _ = fresh().answer(message);
                let _ = inquiry.handle_answer(message);
            }
        }

        #[test]
        fn any_two_sets_are_reconciled(sender in prop::collection::btree_set(0..400_u32, 0..300), receiver in prop::collection::btree_set(0..400_u32, 0..300)) {
            let digests = |set: &std::collections::BTreeSet<u32>| set.iter().map(|number| digest(*number, *number)).collect::<Vec<_>>();
            let mut expected = digests(&sender.difference(&receiver).copied().collect());
            expected.sort_unstable();
            prop_assert_eq!(reconcile(&digests(&sender), &digests(&receiver)).lacking, expected);
        }
    }
}
