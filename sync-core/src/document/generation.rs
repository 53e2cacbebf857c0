//! Generations: when a document's history is cut, and the signed record that says so (decision D5).
//!
//! A cut ends a generation at one frontier and begins the next from the state there. The first change of the next, its
//! genesis, is computed from that state, so whoever stands at the cut needs the record and no bytes of state. The
//! argument that nothing is lost by it is in `docs/generations.md`.
//!
//! The signature is Ed25519 over
//!
//! ```text
//! "archipel generation 1" 0x00 | document id (16) | generation (u32) | epoch (u64) | encoder (u32) | genesis (32)
//!                              | number of heads (u16) | heads at the cut (32 each, ascending)
//!                              | number of actors (u16) | clock at the cut (actor 16, seq u64; ascending) | author (32)
//! ```
//!
//! with integers in big endian.

use super::frontier::Heads;
use super::history::Clock;
use crate::id::{ChangeHash, DocumentId, NodeId};
use crate::identity::{PublicKey, Signature, SigningKey};
use crate::limits::{
    CHANGE_ROWS_BYTES, GENERATION_ACTORS_MAX, GENERATION_BYTES_MAX, GENERATION_CHANGES_MAX, GENERATION_CLOCKS_MAX,
    GENERATION_LOG_BYTES_MAX, GENERATION_LOG_BYTES_MIN, GENERATION_LOG_OPERATIONS_MAX, GENERATION_LOG_RATIO_MAX,
    GENERATION_OPERATIONS_MAX,
};

const CONTEXT: &[u8] = b"archipel generation 1\0";

/// How the genesis is written: Automerge 0.12's encoding of one change with the fields of each map in ascending order.
/// Another number is computed by nobody here; such a genesis travels in full.
pub const ENCODER: u32 = 1;

/// What begins a generation: what an author signs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    /// The document.
    pub document: DocumentId,
    /// The generation that begins, from 1.
    pub generation: u32,
    /// Of the author's right to cut: rises when a document gets another home hub. 0 in documents of a node.
    pub epoch: u64,
    /// How the genesis is written.
    pub encoder: u32,
    /// The genesis of this generation.
    pub genesis: ChangeHash,
    /// Where the generation before was cut.
    pub cut: Heads,
    /// The changes of the generation before that are in the cut.
    pub clock: Clock,
}

impl Root {
    fn signed_bytes(&self, author: &NodeId) -> Vec<u8> {
        let (heads, clock) = (self.cut.to_bytes(), self.clock.to_bytes());
        let mut bytes = Vec::with_capacity(CONTEXT.len() + 100 + heads.len() + clock.len());
        bytes.extend_from_slice(CONTEXT);
        bytes.extend_from_slice(&self.document.0);
        bytes.extend_from_slice(&self.generation.to_be_bytes());
        bytes.extend_from_slice(&self.epoch.to_be_bytes());
        bytes.extend_from_slice(&self.encoder.to_be_bytes());
        bytes.extend_from_slice(&self.genesis.0);
        bytes.extend_from_slice(&u16::try_from(self.cut.hashes().len()).unwrap_or(u16::MAX).to_be_bytes());
        bytes.extend_from_slice(&heads);
        bytes.extend_from_slice(&u16::try_from(self.clock.len()).unwrap_or(u16::MAX).to_be_bytes());
        bytes.extend_from_slice(&clock);
        bytes.extend_from_slice(&author.0);
        bytes
    }

    /// Bytes that the record takes in a frame, at most.
    #[must_use]
    pub fn frame_bytes(&self) -> usize {
        self.cut.hashes().len() * 32 + self.clock.len() * 24 + 192
    }

    /// Signs this record.
    #[must_use]
    pub fn sign(self, key: &SigningKey) -> SignedRoot {
        let author = key.node_id();
        let signature = key.sign(&self.signed_bytes(&author));
        SignedRoot { root: self, author, signature }
    }

    /// Which of two records of one generation counts everywhere: the one of the higher epoch, then of the lower genesis.
    #[must_use]
    pub fn prevails_over(&self, other: &Self) -> bool {
        (self.epoch, std::cmp::Reverse(self.genesis)) > (other.epoch, std::cmp::Reverse(other.genesis))
    }
}

/// A record as it came from a peer or a file: a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnverifiedRoot {
    /// What is claimed.
    pub root: Root,
    /// Who is said to have signed it.
    pub author: NodeId,
    /// The signature to check.
    pub signature: Signature,
}

impl UnverifiedRoot {
    /// Checks the signature with the author's key; `None` when it is not the author's or does not verify.
    #[must_use]
    pub fn verify(self, author_key: &PublicKey) -> Option<SignedRoot> {
        let Self { root, author, signature } = self;
        let verified = author_key.node_id() == author && author_key.verifies(&root.signed_bytes(&author), &signature);
        verified.then_some(SignedRoot { root, author, signature })
    }
}

/// A record whose signature was made or checked here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedRoot {
    root: Root,
    author: NodeId,
    signature: Signature,
}

impl SignedRoot {
    /// Takes back a record that this store verified before it stored it.
    pub(crate) fn from_store(root: Root, author: NodeId, signature: Signature) -> Self {
        Self { root, author, signature }
    }

    /// What was signed.
    #[must_use]
    pub fn root(&self) -> &Root {
        &self.root
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

    /// The claim that a peer gets to check.
    #[must_use]
    pub fn to_claim(&self) -> UnverifiedRoot {
        UnverifiedRoot { root: self.root.clone(), author: self.author, signature: self.signature }
    }
}

/// How much history the present generation of a document has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Extent {
    /// Changes, the genesis too.
    pub changes: u64,
    /// Actors that wrote them.
    pub actors: u64,
    /// Bytes of the changes, the genesis too.
    pub bytes: u64,
    /// Bytes of the state at the newest frontier, as JSON: about what the next genesis takes.
    pub state_bytes: u64,
    /// Operations of the changes.
    pub operations: u64,
    /// Operations of the genesis among them.
    pub genesis_operations: u64,
}

impl Extent {
    /// Whether one more change of the largest size could go past what others take of a generation
    /// ([`GENERATION_OPERATIONS_MAX`], [`GENERATION_BYTES_MAX`], [`GENERATION_CLOCKS_MAX`]), with as much room again for what
    /// settles the conflict that keeps it from being cut.
    #[must_use]
    pub fn is_full(&self) -> bool {
        let fills = |used: u64, max: u64| used >= max / 4 * 3;
        fills(self.operations, GENERATION_OPERATIONS_MAX)
            || fills(self.bytes, GENERATION_BYTES_MAX)
            || fills(self.changes.saturating_mul(self.actors), GENERATION_CLOCKS_MAX)
    }
}

/// When a generation has grown enough to be cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CutPolicy {
    /// Changes from which on it is cut.
    pub changes: u64,
    /// Actors from which on it is cut.
    pub actors: u64,
    /// It is cut when what a cut drops (its changes with [`CHANGE_ROWS_BYTES`] each, less its state) is more than this many
    /// times its state...
    pub log_ratio: u64,
    /// ...and more bytes than this.
    pub log_bytes_min: u64,
    /// Bytes of its changes from which on it is cut, whatever its state takes.
    pub log_bytes_max: u64,
    /// Operations without those of the genesis from which on it is cut.
    pub log_operations: u64,
}

impl Default for CutPolicy {
    fn default() -> Self {
        Self {
            changes: GENERATION_CHANGES_MAX,
            actors: GENERATION_ACTORS_MAX,
            log_ratio: GENERATION_LOG_RATIO_MAX,
            log_bytes_min: GENERATION_LOG_BYTES_MIN,
            log_bytes_max: GENERATION_LOG_BYTES_MAX,
            log_operations: GENERATION_LOG_OPERATIONS_MAX,
        }
    }
}

impl CutPolicy {
    /// Whether a generation of this extent is to be cut before the next write.
    #[must_use]
    pub fn is_due(&self, extent: &Extent) -> bool {
        let held = extent.bytes.saturating_add(extent.changes.saturating_mul(CHANGE_ROWS_BYTES));
        let dropped = held.saturating_sub(extent.state_bytes);
        extent.changes >= self.changes
            || extent.actors >= self.actors
            || extent.operations.saturating_sub(extent.genesis_operations) >= self.log_operations
            || extent.bytes >= self.log_bytes_max
            || (dropped > self.log_bytes_min && dropped > self.log_ratio.saturating_mul(extent.state_bytes))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::document::history::ActorBytes;
    use crate::limits::{CHANGE_BYTES_MAX, CHANGE_OPERATIONS_MAX};

    fn root() -> Root {
        let mut clock = Clock::default();
        clock.raise(ActorBytes([7; 16]), 12);
        Root {
            document: DocumentId([1; 16]),
            generation: 3,
            epoch: 2,
            encoder: ENCODER,
            genesis: ChangeHash([2; 32]),
            cut: Heads::new(vec![ChangeHash([3; 32])]).unwrap(),
            clock,
        }
    }

    #[test]
    fn a_record_that_was_changed_in_any_field_does_not_verify() {
        let key = SigningKey::from_seed([9; 32]);
        let signed = root().sign(&key).to_claim();
        assert!(signed.clone().verify(&key.public()).is_some());
        let changes: [fn(&mut Root); 7] = [
            |root| root.document = DocumentId([8; 16]),
            |root| root.generation += 1,
            |root| root.epoch += 1,
            |root| root.encoder += 1,
            |root| root.genesis = ChangeHash([8; 32]),
            |root| root.cut = Heads::new(vec![ChangeHash([8; 32])]).unwrap(),
            |root| root.clock.raise(ActorBytes([7; 16]), 13),
        ];
        for change in changes {
            let mut claim = signed.clone();
            change(&mut claim.root);
            assert!(claim.verify(&key.public()).is_none());
        }
        assert!(signed.verify(&SigningKey::from_seed([8; 32]).public()).is_none());
    }

    #[test]
    fn of_two_records_the_higher_epoch_prevails_and_then_the_lower_genesis() {
        let (mut a, b) = (root(), root());
        assert!(!a.prevails_over(&b) && !b.prevails_over(&a));
        a.genesis = ChangeHash([1; 32]);
        assert!(a.prevails_over(&b) && !b.prevails_over(&a));
        a.epoch -= 1;
        assert!(!a.prevails_over(&b) && b.prevails_over(&a));
    }

    #[test]
    fn a_generation_is_due_by_changes_actors_bytes_or_operations() {
        let policy = CutPolicy {
            changes: 10,
            actors: 3,
            log_ratio: 4,
            log_bytes_min: 5_000,
            log_bytes_max: 100_000,
            log_operations: 20,
        };
        let rows = 9 * CHANGE_ROWS_BYTES;
        let small = Extent {
            changes: 9,
            actors: 2,
            bytes: 10_000 - rows,
            state_bytes: 2_000,
            operations: 49,
            genesis_operations: 30,
        };
        assert!(!policy.is_due(&small));
        assert!(policy.is_due(&Extent { changes: 10, ..small }));
        assert!(policy.is_due(&Extent { actors: 3, ..small }));
        assert!(policy.is_due(&Extent { bytes: small.bytes + 1, ..small }));
        assert!(policy.is_due(&Extent { operations: 50, ..small }));
        assert!(
            !policy.is_due(&Extent { bytes: 5_000 - rows, state_bytes: 0, ..small }),
            "below the least worth a cut"
        );
        assert!(!policy.is_due(&Extent { bytes: 90_000, state_bytes: 90_000, ..small }), "it drops nothing");
        assert!(
            policy.is_due(&Extent { bytes: 100_000, state_bytes: 900_000, ..small }),
            "too long, whatever its state"
        );
    }

    proptest! {
        /// A write goes on top of what is not due, or of a genesis that was just made. Each is at most one change, and the state
        /// may be any times longer as JSON.
        #[test]
        fn what_an_honest_author_writes_never_fills_a_generation(
            writes in prop::collection::vec(any::<(u32, u32, u32, bool, bool)>(), 1..400),
            operations_are_few in any::<bool>(),
        ) {
            let policy = CutPolicy::default();
            let change = |bytes: u32, operations: u32, is_large: bool| {
                let least = if is_large { 100 } else { 10_000 };
                let least_operations = if operations_are_few { 10_000_000 } else { least };
                let (bytes, operations) = (u64::from(bytes) / least, u64::from(operations) / least_operations);
                (bytes.min(CHANGE_BYTES_MAX as u64), operations.min(CHANGE_OPERATIONS_MAX))
            };
            let genesis = |(bytes, operations)| Extent {
                changes: 1, actors: 1, bytes, state_bytes: bytes, operations, genesis_operations: operations,
            };
            let mut extent = genesis((100, 1));
            for (bytes, operations, state_bytes, is_large, restarted) in writes {
                let written = change(bytes, operations, is_large);
                if policy.is_due(&extent) {
                    extent = genesis(change(operations, bytes, is_large));
                }
                prop_assert!(!extent.is_full(), "{extent:?}");
                extent.changes += 1;
                extent.actors += u64::from(restarted || extent.actors == 1);
                extent.state_bytes = u64::from(state_bytes);
                (extent.bytes, extent.operations) = (extent.bytes + written.0, extent.operations + written.1);
                prop_assert!(extent.bytes <= GENERATION_BYTES_MAX && extent.operations <= GENERATION_OPERATIONS_MAX);
                prop_assert!(extent.changes * extent.actors <= GENERATION_CLOCKS_MAX);
            }
        }
    }
}
