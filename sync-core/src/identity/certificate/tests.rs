//! Which chains prove membership, and which do not.

use super::*;
use crate::env::Entropy;
use crate::id::Name;
use crate::identity::{CertificateAuthority, IdentityError, SigningKey};

/// Bytes that differ on every call and repeat in every run.
struct Counting(u8);

impl Entropy for Counting {
    fn fill(&mut self, target: &mut [u8]) {
        self.0 = self.0.wrapping_add(1);
        target.fill(self.0);
    }
}

fn authority(seed: u8) -> CertificateAuthority {
    CertificateAuthority::create(&mut Counting(seed), Name::new("north-sea").unwrap()).unwrap()
}

fn identity(authority: &CertificateAuthority, seed: u8, role: Role) -> Identity {
    authority.identity(&mut Counting(100), SigningKey::from_seed([seed; 32]), role).unwrap()
}

#[test]
fn a_chain_says_key_and_role() {
    let ca = authority(1);
    for role in [Role::Hub, Role::Node] {
        let member = identity(&ca, 7, role);
        let certified = check_chain(member.chain(), &ca.pin()).unwrap();
        assert_eq!(certified, Certified { key: member.key().public(), role });
        assert_eq!(verify_peer(member.chain(), &ca.pin()).unwrap(), VerifiedPeer::in_process(&member));
    }
}

#[test]
fn another_fleets_chain_is_refused_by_its_pin() {
    let (ours, theirs) = (authority(1), authority(2));
    let refusal = check_chain(identity(&theirs, 7, Role::Hub).chain(), &ours.pin()).unwrap_err();
    assert_eq!(refusal, PeerRefusal::OtherFleet { pinned: ours.pin(), found: theirs.pin() });
    assert!(refusal.to_string().contains("pin does not match"));
}

#[test]
fn our_root_behind_another_fleets_leaf_is_refused() {
    let (ours, theirs) = (authority(1), authority(2));
    let leaf = identity(&theirs, 7, Role::Hub).chain()[0].clone();
    let refusal = check_chain(&[leaf, ours.root().clone()], &ours.pin()).unwrap_err();
    assert!(matches!(refusal, PeerRefusal::Invalid { .. }), "{refusal}");
}

#[test]
fn a_node_cannot_certify_others() {
    let ca = authority(1);
    let node = identity(&ca, 7, Role::Node);
    let minted =
        CertificateAuthority::from_parts(SigningKey::from_seed([7; 32]), Name::new("north-sea").unwrap()).unwrap();
    let leaf = minted.issue(&mut Counting(9), &SigningKey::from_seed([8; 32]).public(), Role::Hub).unwrap();
    for chain in [vec![leaf.clone(), ca.root().clone()], vec![leaf, node.chain()[0].clone(), ca.root().clone()]] {
        assert!(check_chain(&chain, &ca.pin()).is_err());
    }
}

#[test]
fn the_root_alone_is_no_member() {
    let ca = authority(1);
    let root = ca.root().clone();
    assert_eq!(check_chain(&[], &ca.pin()), Err(PeerRefusal::NoCertificate));
    assert!(matches!(
        check_chain(std::slice::from_ref(&root), &ca.pin()),
        Err(PeerRefusal::Chain { certificates: 1, .. })
    ));
    assert!(check_chain(&[root.clone(), root], &ca.pin()).is_err());
}

#[test]
fn a_damaged_leaf_is_refused_wherever_it_is_damaged() {
    let ca = authority(1);
    let node = identity(&ca, 7, Role::Node);
    let whole = node.chain()[0].to_vec();
    for place in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[place] ^= 1;
        assert!(check_chain(&[damaged.into(), ca.root().clone()], &ca.pin()).is_err(), "byte {place}");
    }
}

#[test]
fn the_same_key_and_name_make_the_same_root() {
    let key = || SigningKey::from_seed([3; 32]);
    let name = || Name::new("north-sea").unwrap();
    let (first, again) = (
        CertificateAuthority::from_parts(key(), name()).unwrap(),
        CertificateAuthority::from_parts(key(), name()).unwrap(),
    );
    assert_eq!(first.root(), again.root());
    assert_eq!(first.pin(), again.pin());
}

#[test]
fn certificates_stay_small() {
    let hub = identity(&authority(1), 7, Role::Hub);
    for certificate in hub.chain() {
        assert!(certificate.len() < 512, "{} bytes", certificate.len());
    }
}

#[test]
fn an_identity_survives_its_text_form() {
    let node = identity(&authority(1), 7, Role::Node);
    let text = node.to_pem();
    let read = Identity::from_pem(&text).unwrap();
    assert_eq!(read.key().seed(), node.key().seed());
    assert_eq!((read.chain(), read.role(), read.pin()), (node.chain(), node.role(), node.pin()));
    assert!(text.lines().all(|line| line.len() <= 64));
}

#[test]
fn a_damaged_identity_is_an_error() {
    let node = identity(&authority(1), 7, Role::Node);
    let text = node.to_pem();
    assert!(matches!(Identity::from_pem(""), Err(IdentityError::Pem { .. })));
    for end in 0..text.len() - 1 {
        assert!(Identity::from_pem(&text[..end]).is_err(), "cut at {end}");
    }
    let other = SigningKey::from_seed([8; 32]);
    assert!(matches!(Identity::new(other, node.chain().to_vec(), node.pin()), Err(IdentityError::OtherKey { .. })));
}
