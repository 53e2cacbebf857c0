//! What proves who somebody is: certificates, join tokens, and the two messages of the join exchange.

use std::sync::OnceLock;

use rustls::pki_types::CertificateDer;
use sync_core::id::Name;
use sync_core::identity::certificate::{Certified, check_chain};
use sync_core::identity::{
    CaPin, CertificateAuthority, Identity, JoinRefusal, JoinReply, JoinRequest, Role, SigningKey, Token,
};

use crate::Seed;
use crate::world::Seeded;

struct Fleet {
    pin: CaPin,
    members: Vec<Identity>,
}

/// A fleet from fixed random numbers. Its certificates are the same in every run.
fn fleet() -> &'static Fleet {
    static FLEET: OnceLock<Fleet> = OnceLock::new();
    FLEET.get_or_init(|| {
        let mut numbers = Seeded(3);
        let authority = CertificateAuthority::create(&mut numbers, Name::new("fleet").unwrap()).unwrap();
        let members = [Role::Hub, Role::Node].map(|role| {
            let key = SigningKey::generate(&mut numbers);
            authority.identity(&mut numbers, key, role).unwrap()
        });
        Fleet { pin: authority.pin(), members: members.into() }
    })
}

/// The first byte says what the rest is.
pub fn run(bytes: &[u8]) {
    let Some((kind, rest)) = bytes.split_first() else { return };
    match kind % 4 {
        0 => check_certificates(rest),
        1 => {
            if let Ok(token) = Token::parse(&String::from_utf8_lossy(rest)) {
                assert_eq!(Token::parse(&token.to_string()), Ok(token));
            }
        }
        2 => {
            if let Ok(request) = JoinRequest::decode(rest) {
                assert_eq!(JoinRequest::decode(&request.encode()), Ok(request));
            }
        }
        _ => {
            if let Ok(reply) = JoinReply::decode(rest) {
                assert_eq!(JoinReply::decode(&reply.encode()), Ok(reply));
            }
        }
    }
}

/// A certificate after its length (two bytes, big endian), then another. Only what the authority signed is believed.
fn check_certificates(bytes: &[u8]) {
    let Some((length, rest)) = bytes.split_first_chunk::<2>() else { return };
    let (leaf, root) = rest.split_at(usize::from(u16::from_be_bytes(*length)).min(rest.len()));
    let fleet = fleet();
    if let Ok(certified) = check_chain(&[CertificateDer::from(leaf), CertificateDer::from(root)], &fleet.pin) {
        let known = |member: &Identity| certified == Certified { key: member.key().public(), role: member.role() };
        assert!(fleet.members.iter().any(known), "a certificate that nobody signed is believed: {certified:?}");
    }
}

/// One of each kind.
pub fn seeds() -> Vec<Seed> {
    let with = |kind: u8, bytes: &[u8]| [&[kind][..], bytes].concat();
    let mut seeds = Vec::new();
    for member in &fleet().members {
        let [leaf, root] = member.chain() else { continue };
        let length = u16::try_from(leaf.len()).unwrap().to_be_bytes();
        seeds.push((format!("chain-{}", member.role()), with(0, &[&length[..], leaf, root].concat())));
        let chain = member.chain().to_vec();
        seeds.push((
            format!("accepted-{}", member.role()),
            with(3, &JoinReply::Accepted { chain, authority: None }.encode()),
        ));
    }
    let mut numbers = Seeded(4);
    let token = Token::create(&mut numbers, fleet().pin, &fleet().members[0].id());
    seeds.push(("token".to_owned(), with(1, token.to_string().as_bytes())));
    let request = JoinRequest::new(&token, Name::new("wind-farm-7").unwrap(), &SigningKey::generate(&mut numbers));
    seeds.push(("request".to_owned(), with(2, &request.encode())));
    for reason in JoinRefusal::ALL {
        let refused = JoinReply::Refused { reason, message: reason.to_string() };
        seeds.push((format!("refused-{reason:?}"), with(3, &refused.encode())));
    }
    seeds
}
