//! Requests and replies survive the wire; what is not one of them is refused without a panic.

use proptest::prelude::*;

use super::*;
use crate::identity::CaPin;

fn key() -> SigningKey {
    SigningKey::from_seed([5; 32])
}

fn request() -> JoinRequest {
    let token = Token { pin: CaPin([1; 32]), hub: [2; 16], id: [3; 8], secret: [4; 16] };
    JoinRequest::new(&token, Name::new("harbour").unwrap(), &key())
}

#[test]
fn a_request_survives_the_wire() {
    let bytes = request().encode();
    assert_eq!(JoinRequest::decode(&bytes), Ok(request()));
    assert!(bytes.len() < 256, "{} bytes", bytes.len());
}

#[test]
fn a_hub_s_request_survives_the_wire_and_is_none_of_a_node_s() {
    let token = Token { pin: CaPin([1; 32]), hub: [2; 16], id: [3; 8], secret: [4; 16] };
    for address in [None, Some("hub-b.example:7440".to_owned())] {
        let request = JoinRequest::new_hub(&token, Name::new("harbour").unwrap(), address, &key());
        assert_eq!(JoinRequest::decode(&request.encode()), Ok(request.clone()));
        let changes = [None, Some(Some("elsewhere:1".to_owned()))];
        for as_hub in changes {
            let changed = JoinRequest { as_hub, ..request.clone() };
            assert_eq!(JoinRequest::decode(&changed.encode()), Err(JoinMessageError::Signature));
        }
    }
}

#[test]
fn a_handed_authority_survives_the_wire_and_is_not_shown() {
    let authority = Some(HandedAuthority { seed: [77; 32], fleet: Name::new("north-sea").unwrap() });
    let reply = JoinReply::Accepted { chain: vec![CertificateDer::from(vec![1]); 2], authority };
    assert!(!format!("{reply:?}").contains("77"));
    assert_eq!(JoinReply::decode(&reply.encode()), Ok(reply));
}

#[test]
fn a_request_whose_name_token_hub_or_key_was_changed_is_refused() {
    let changes: [fn(&mut JoinRequest); 4] = [
        |request| request.name = Name::new("lighthouse").unwrap(),
        |request| request.token_id = [9; 8],
        |request| request.hub = [9; 16],
        |request| request.key = SigningKey::from_seed([6; 32]).public(),
    ];
    for change in changes {
        let mut changed = request();
        change(&mut changed);
        assert_eq!(JoinRequest::decode(&changed.encode()), Err(JoinMessageError::Signature));
    }
}

#[test]
fn every_refusal_survives_the_wire() {
    for reason in JoinRefusal::ALL {
        let reply = JoinReply::Refused { reason, message: reason.to_string() };
        assert_eq!(JoinReply::decode(&reply.encode()), Ok(reply));
    }
}

#[test]
fn a_long_message_is_cut_between_characters() {
    let reply = JoinReply::Refused { reason: JoinRefusal::Expired, message: "é".repeat(REFUSAL_BYTES_MAX) };
    let Ok(JoinReply::Refused { message, .. }) = JoinReply::decode(&reply.encode()) else { panic!("no refusal") };
    assert_eq!(message, "é".repeat(REFUSAL_BYTES_MAX / 2));
}

#[test]
fn a_reply_with_another_number_of_certificates_is_refused() {
    let reply = JoinReply::Accepted { chain: vec![CertificateDer::from(vec![1]); 3], authority: None };
    assert_eq!(JoinReply::decode(&reply.encode()), Err(JoinMessageError::Field { field: "chain" }));
}

#[test]
fn an_unknown_reason_is_refused() {
    let refused = proto::Refused { reason: 99, message: String::new() };
    let bytes = proto::JoinReply { outcome: Some(proto::join_reply::Outcome::Refused(refused)) }.encode_to_vec();
    assert_eq!(JoinReply::decode(&bytes), Err(JoinMessageError::Field { field: "reason" }));
}

#[test]
fn a_message_past_the_bound_is_not_parsed() {
    let bytes = vec![0; JOIN_MESSAGE_BYTES_MAX + 1];
    assert_eq!(JoinRequest::decode(&bytes), Err(JoinMessageError::TooLong { bytes: bytes.len() }));
    assert_eq!(JoinReply::decode(&bytes), Err(JoinMessageError::TooLong { bytes: bytes.len() }));
}

proptest! {
    #[test]
    fn random_bytes_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
        prop_assert!(JoinRequest::decode(&bytes).is_err());
        let _ = JoinReply::decode(&bytes);
    }

    #[test]
    fn a_damaged_request_is_refused_or_has_another_secret(place in any::<prop::sample::Index>(), bit in 0..8_u32) {
        let mut bytes = request().encode();
        bytes[place.index(request().encode().len())] ^= 1_u8 << bit;
        // The secret is not signed: the hub compares it with the hash that it stored.
        if let Ok(read) = JoinRequest::decode(&bytes) {
            prop_assert_ne!(read.secret_hash(), request().secret_hash());
        }
    }
}
