//! Signed frontiers: an author's word that a document stands at these heads (decision D7).
//!
//! The signature is Ed25519 over a fixed byte string, so that a second implementation can rebuild it:
//!
//! ```text
//! "archipel frontier 1" 0x00 | document id (16) | generation (u32, big endian) | version (u64, big endian)
//!                            | number of heads (u16, big endian) | heads (32 each, ascending) | author (32)
//! ```
//!
//! Heads are Automerge change hashes, and each change names its dependencies by hash, so the signature covers the whole
//! history below. `version` is for people: order between frontiers is causal and never read from it.

#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        reason = "its input comes from a network or a disk"
    )
)]

use crate::id::{ChangeHash, DocumentId, NodeId};
use crate::identity::{PublicKey, Signature, SigningKey};
use crate::limits::FRONTIER_HEADS_MAX;

const CONTEXT: &[u8] = b"archipel frontier 1\0";

/// The heads of a document: hashes of changes, ascending, without repeats, at least one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Heads(Vec<ChangeHash>);

impl Heads {
    /// Sorts and takes `hashes`; `None` when there are none or more than [`FRONTIER_HEADS_MAX`].
    #[must_use]
    pub fn new(mut hashes: Vec<ChangeHash>) -> Option<Self> {
        hashes.sort_unstable();
        hashes.dedup();
        (!hashes.is_empty() && hashes.len() <= FRONTIER_HEADS_MAX).then_some(Self(hashes))
    }

    /// Reads the concatenated form, which must be ascending and without repeats.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (chunks, rest) = bytes.as_chunks::<32>();
        if !rest.is_empty() || chunks.is_empty() || chunks.len() > FRONTIER_HEADS_MAX {
            return None;
        }
        chunks.is_sorted_by(|a, b| a < b).then(|| Self(chunks.iter().copied().map(ChangeHash).collect()))
    }

    /// The hashes, concatenated.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.iter().flat_map(|hash| hash.0).collect()
    }

    /// The hashes, ascending.
    #[must_use]
    pub fn hashes(&self) -> &[ChangeHash] {
        &self.0
    }

    /// The hashes as Automerge takes them.
    #[must_use]
    pub fn to_automerge(&self) -> Vec<automerge::ChangeHash> {
        self.0.iter().map(|hash| automerge::ChangeHash(hash.0)).collect()
    }

    /// The first eight digits of the first head, for logs and tables.
    #[must_use]
    pub fn short(&self) -> String {
        self.0.first().map(ChangeHash::short).unwrap_or_default()
    }
}

/// Where a document stands: what an author signs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frontier {
    /// The document.
    pub document: DocumentId,
    /// How often it was re-rooted (decision D5); 0 until the first cut.
    pub generation: u32,
    /// For people; rises with each frontier of one author.
    pub version: u64,
    /// The heads.
    pub heads: Heads,
}

impl Frontier {
    fn signed_bytes(&self, author: &NodeId) -> Vec<u8> {
        let heads = self.heads.to_bytes();
        let count = u16::try_from(self.heads.0.len()).unwrap_or(u16::MAX);
        let mut bytes = Vec::new();
        bytes.extend_from_slice(CONTEXT);
        bytes.extend_from_slice(&self.document.0);
        bytes.extend_from_slice(&self.generation.to_be_bytes());
        bytes.extend_from_slice(&self.version.to_be_bytes());
        bytes.extend_from_slice(&count.to_be_bytes());
        bytes.extend_from_slice(&heads);
        bytes.extend_from_slice(&author.0);
        bytes
    }

    /// Signs this frontier.
    #[must_use]
    pub fn sign(self, key: &SigningKey) -> SignedFrontier {
        let author = key.node_id();
        let signature = key.sign(&self.signed_bytes(&author));
        SignedFrontier { frontier: self, author, signature }
    }
}

/// A frontier as it came from a peer or a file: a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnverifiedFrontier {
    /// What is claimed.
    pub frontier: Frontier,
    /// Who is said to have signed it.
    pub author: NodeId,
    /// The signature to check.
    pub signature: Signature,
    /// Certificates (DER, leaf) that came with it: of the author, and of hubs whose changes lie below. Claims as well.
    pub certificates: Vec<Vec<u8>>,
}

impl UnverifiedFrontier {
    /// Checks the signature with the author's key; `None` when it is not the author's or does not verify.
    #[must_use]
    pub fn verify(self, author_key: &PublicKey) -> Option<SignedFrontier> {
        let Self { frontier, author, signature, certificates: _ } = self;
        let verified =
            author_key.node_id() == author && author_key.verifies(&frontier.signed_bytes(&author), &signature);
        #[cfg(feature = "mutants")]
        let verified = verified || crate::mutants::planted(crate::mutants::Mutant::SignatureUnchecked);
        verified.then_some(SignedFrontier { frontier, author, signature })
    }
}

/// A frontier whose signature was made or checked here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedFrontier {
    frontier: Frontier,
    author: NodeId,
    signature: Signature,
}

impl SignedFrontier {
    /// Takes back a frontier that this store verified before it stored it.
    pub(crate) fn from_store(frontier: Frontier, author: NodeId, signature: Signature) -> Self {
        Self { frontier, author, signature }
    }

    /// What was signed.
    #[must_use]
    pub fn frontier(&self) -> &Frontier {
        &self.frontier
    }

    /// Who signed.
    #[must_use]
    pub fn author(&self) -> NodeId {
        self.author
    }

    /// The signature.
    #[must_use]
    pub fn signature(&self) -> &Signature {
        &self.signature
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frontier() -> Frontier {
        Frontier {
            document: DocumentId([1; 16]),
            generation: 0,
            version: 7,
            heads: Heads::new(vec![ChangeHash([9; 32]), ChangeHash([3; 32])]).unwrap(),
        }
    }

    #[test]
    fn a_changed_field_breaks_the_signature() {
        let key = SigningKey::from_seed([1; 32]);
        let signed = frontier().sign(&key);
        let claim = |frontier: Frontier, author| {
            UnverifiedFrontier { frontier, author, signature: signed.signature, certificates: Vec::new() }
                .verify(&key.public())
        };
        assert_eq!(claim(frontier(), key.node_id()), Some(signed.clone()));
        assert_eq!(claim(Frontier { version: 8, ..frontier() }, key.node_id()), None);
        assert_eq!(claim(Frontier { generation: 1, ..frontier() }, key.node_id()), None);
        assert_eq!(claim(Frontier { document: DocumentId([2; 16]), ..frontier() }, key.node_id()), None);
        assert_eq!(claim(frontier(), NodeId([0; 32])), None);
    }

    #[test]
    fn heads_have_one_form() {
        let heads = frontier().heads;
        assert_eq!(Heads::from_bytes(&heads.to_bytes()), Some(heads));
        assert_eq!(Heads::from_bytes(&[0; 31]), None);
        assert_eq!(Heads::from_bytes(&[]), None);
        assert_eq!(Heads::from_bytes(&[5; 64]), None, "a repeated head");
        assert_eq!(Heads::from_bytes(&[[5; 32], [4; 32]].concat()), None, "descending heads");
    }

    #[test]
    fn the_signed_bytes_are_pinned() {
        let bytes = frontier().signed_bytes(&NodeId([4; 32]));
        assert_eq!(bytes.len(), 20 + 16 + 4 + 8 + 2 + 64 + 32);
        assert_eq!(
            blake3::hash(&bytes).to_hex().as_str(),
            "52c5d2c8da86ef8a2b33c059e807ca789c42c00c23d963b71e95eac0ff32195d"
        );
    }
}
