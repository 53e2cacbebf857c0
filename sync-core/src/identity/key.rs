//! Ed25519 keys (RFC 8032). A node's id is the hash of its key's type and its public key, so other key types can follow.

use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};

use crate::env::Entropy;
use crate::id::NodeId;

/// The key type byte that is hashed and signed with every key, so that a later type cannot be confused with this one.
const KEY_TYPE_ED25519: u8 = 1;

/// PKCS#8 version 1 (RFC 5958, RFC 8410) up to the 32 bytes of an Ed25519 seed.
const PKCS8_ED25519_PREFIX: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// SubjectPublicKeyInfo (RFC 8410) up to the 32 bytes of an Ed25519 public key.
const SPKI_ED25519_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// An Ed25519 signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signature(pub [u8; 64]);

/// The public half of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PublicKey(pub [u8; 32]);

impl PublicKey {
    /// Reads a SubjectPublicKeyInfo; `None` when it is not an Ed25519 key.
    #[must_use]
    pub fn from_spki(spki: &[u8]) -> Option<Self> {
        spki.strip_prefix(&SPKI_ED25519_PREFIX).and_then(|key| key.try_into().ok()).map(Self)
    }

    /// The SubjectPublicKeyInfo (DER) of this key.
    #[must_use]
    pub fn to_spki(&self) -> Vec<u8> {
        [&SPKI_ED25519_PREFIX[..], &self.0].concat()
    }

    /// The id of the node that holds this key.
    #[must_use]
    pub fn node_id(&self) -> NodeId {
        let mut hasher = blake3::Hasher::new_derive_key("archipel 2026 node id");
        hasher.update(&[KEY_TYPE_ED25519]).update(&self.0);
        NodeId(*hasher.finalize().as_bytes())
    }

    /// Whether `signature` was made over `message` with this key's private half.
    #[must_use]
    pub fn verifies(&self, message: &[u8], signature: &Signature) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.0).verify(message, &signature.0).is_ok()
    }
}

/// A private key. Its debug form does not show the secret.
pub struct SigningKey {
    seed: [u8; 32],
    pair: Ed25519KeyPair,
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SigningKey(of {})", self.public().node_id().short())
    }
}

impl SigningKey {
    /// Makes a new key from 32 random bytes.
    #[must_use]
    pub fn generate(entropy: &mut dyn Entropy) -> Self {
        let mut seed = [0; 32];
        entropy.fill(&mut seed);
        Self::from_seed(seed)
    }

    /// The key of this seed.
    #[must_use]
    #[expect(clippy::expect_used, reason = "ring refuses only seeds that are not 32 bytes long")]
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self { seed, pair: Ed25519KeyPair::from_seed_unchecked(&seed).expect("a seed of 32 bytes") }
    }

    /// Reads the form that [`to_pkcs8`](Self::to_pkcs8) writes; `None` for any other key or form.
    #[must_use]
    pub fn from_pkcs8(der: &[u8]) -> Option<Self> {
        der.strip_prefix(&PKCS8_ED25519_PREFIX).and_then(|seed| seed.try_into().ok()).map(Self::from_seed)
    }

    /// The seed, for storing it.
    #[must_use]
    pub fn seed(&self) -> &[u8; 32] {
        &self.seed
    }

    /// The public half.
    #[must_use]
    #[expect(clippy::expect_used, reason = "an Ed25519 public key is 32 bytes long")]
    pub fn public(&self) -> PublicKey {
        PublicKey(self.pair.public_key().as_ref().try_into().expect("32 bytes"))
    }

    /// The id of the node that holds this key.
    #[must_use]
    pub fn node_id(&self) -> NodeId {
        self.public().node_id()
    }

    /// Signs `message`.
    #[must_use]
    #[expect(clippy::expect_used, reason = "an Ed25519 signature is 64 bytes long")]
    pub fn sign(&self, message: &[u8]) -> Signature {
        Signature(self.pair.sign(message).as_ref().try_into().expect("64 bytes"))
    }

    /// The key as PKCS#8 (DER), the form that TLS libraries take.
    #[must_use]
    pub fn to_pkcs8(&self) -> Vec<u8> {
        [&PKCS8_ED25519_PREFIX[..], &self.seed].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_signed_message_verifies() {
        let key = SigningKey::from_seed([7; 32]);
        let signature = key.sign(b"applied");
        assert!(key.public().verifies(b"applied", &signature));
        assert!(!key.public().verifies(b"applied?", &signature));
        assert!(!SigningKey::from_seed([8; 32]).public().verifies(b"applied", &signature));
    }

    #[test]
    fn a_public_key_survives_its_der_form() {
        let public = SigningKey::from_seed([7; 32]).public();
        assert_eq!(PublicKey::from_spki(&public.to_spki()), Some(public));
        assert_eq!(PublicKey::from_spki(&[0; 44]), None);
    }

    #[test]
    fn tls_libraries_read_the_private_form() {
        let key = SigningKey::from_seed([7; 32]);
        let parsed = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&key.to_pkcs8()).unwrap();
        assert_eq!(parsed.public_key().as_ref(), &key.public().0);
        assert_eq!(SigningKey::from_pkcs8(&key.to_pkcs8()).unwrap().seed(), key.seed());
        assert!(SigningKey::from_pkcs8(&key.public().to_spki()).is_none());
    }
}
