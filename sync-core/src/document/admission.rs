//! Admission: from a delta that a peer sent to changes that the store may hold (invariant 6, decision D6).
//!
//! In this order, each step cheaper than what it protects: the document's key, the frontier's author and signature, the
//! batch, the byte scanner, causality, and last whether the frontier covers exactly what came. Automerge sees nothing of it.

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

use super::batch::{self, UnpackError};
use super::frontier::{SignedFrontier, UnverifiedFrontier};
use super::genesis::genesis_actor;
use super::history::{ActorBytes, ChangeMeta, Clock, History, Unconnected};
use super::key::{AuthorGroup, DocumentKey};
use super::operations::{Misfit, Operations};
use super::scan::{ScanError, ScannedChange, scan_change};
use crate::id::NodeId;
use crate::identity::{PublicKey, Role};
use crate::limits::{DELTA_CHANGES_MAX, DELTA_OPERATIONS_MAX, STAGING_BYTES_MAX};

/// What a peer sent about one document: claims, all of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceivedDelta {
    /// The document.
    pub key: DocumentKey,
    /// Its generation.
    pub generation: u32,
    /// Packed changes, in the parts they came in.
    pub batches: Vec<Vec<u8>>,
    /// The frontier above them.
    pub frontier: UnverifiedFrontier,
}

/// A delta that passed admission. Only this module makes one, so only checked changes can be stored.
#[derive(Debug, Clone)]
pub struct AdmittedDelta {
    changes: Vec<(ChangeMeta, Vec<u8>)>,
    frontier: SignedFrontier,
    clock: Clock,
}

impl AdmittedDelta {
    /// The changes that were not held yet, in a causal order, with their chunks.
    #[must_use]
    pub fn changes(&self) -> &[(ChangeMeta, Vec<u8>)] {
        &self.changes
    }

    /// The frontier.
    #[must_use]
    pub fn frontier(&self) -> &SignedFrontier {
        &self.frontier
    }

    /// The changes at or below the frontier.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.clock
    }
}

/// What the store knows of possible authors.
#[derive(Debug, Clone, Default)]
pub struct Authors {
    /// Key and role of the frontier's author, if it is known. Whether it is revoked is the caller's to check.
    pub author: Option<(PublicKey, Role)>,
    /// The fleet's hubs, revoked ones included: their actors may appear in documents of the hubs, below a frontier of another.
    pub hubs: Vec<NodeId>,
}

/// Why a delta was refused. Its author or its sender is to blame; nothing of it was stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Kind, owner and name do not fit together, or the frontier is of another document.
    #[error("the document's name is not well formed or not the frontier's")]
    Key,
    /// The author's key is not known here.
    #[error("the author {} is not known here", author.short())]
    UnknownAuthor {
        /// The author.
        author: NodeId,
    },
    /// This author may not write this document.
    #[error("{} may not write this document", author.short())]
    NotTheAuthor {
        /// The author.
        author: NodeId,
    },
    /// The signature does not verify.
    #[error("the signature on the frontier does not verify")]
    Signature,
    /// The author is revoked, and this is past what the record of its revocation names.
    #[error("{} is revoked, and this is past what was taken of it before", author.short())]
    Revoked {
        /// The author.
        author: NodeId,
    },
    /// A certificate that came with the frontier proves nothing here.
    #[error("a certificate that came with it is refused: {reason}")]
    Certificate {
        /// What is wrong with it.
        reason: String,
    },
    /// A generation that is not held here.
    #[error("generation {found} where {held} is held")]
    Generation {
        /// What is held.
        held: u32,
        /// What came.
        found: u32,
    },
    /// The batch cannot be unpacked.
    #[error(transparent)]
    Batch(#[from] UnpackError),
    /// More changes than one delta may hold.
    #[error("more than {DELTA_CHANGES_MAX} changes")]
    TooManyChanges,
    /// More bytes of changes than one delta may hold, over all its parts.
    #[error("more than {STAGING_BYTES_MAX} bytes of changes")]
    TooManyBytes,
    /// More operations than one delta may hold, over all its changes.
    #[error("more than {DELTA_OPERATIONS_MAX} operations")]
    TooManyOperations,
    /// A change's bytes are not those of a well-formed change.
    #[error("change {number}: {error}")]
    Scan {
        /// Its place in the batch, from 0.
        number: usize,
        /// What is wrong.
        error: ScanError,
    },
    /// A change was made by an actor that is not of the document's authors.
    #[error("change {number} is by an actor of someone else")]
    ForeignActor {
        /// Its place in the batch, from 0.
        number: usize,
    },
    /// An actor used one sequence number for two changes: it was restored from a backup or cloned.
    #[error("change {number} repeats a number that its actor used for another change")]
    Forked {
        /// Its place in the batch, from 0.
        number: usize,
    },
    /// A change does not connect to the history held here.
    #[error("change {number}: {error}")]
    Unconnected {
        /// Its place in the batch, from 0.
        number: usize,
        /// What is missing.
        error: Unconnected,
    },
    /// An operation does not fit the document.
    #[error("an operation of change {number}: {error}")]
    Misfit {
        /// The change's place in the batch, from 0.
        number: usize,
        /// What is wrong.
        error: Misfit,
    },
    /// The frontier names a change that is not held, or a change came that is not below it.
    #[error("the frontier does not cover exactly what came with it")]
    NotBelow,
    /// Everything was in order, and Automerge still could not take it.
    #[error("the changes passed every check and could not be applied: {reason}")]
    Poison {
        /// What Automerge said.
        reason: String,
    },
}

/// Checks everything about `received` that can be checked without loading the document.
///
/// `held` is `None` when the document is not held yet; `history` then starts with its genesis.
///
/// # Errors
/// [`Refusal`].
pub fn admit(
    received: ReceivedDelta,
    held_generation: u32,
    mut history: History,
    mut operations: Operations,
    authors: &Authors,
) -> Result<AdmittedDelta, Refusal> {
    let key = received.key;
    if !key.is_well_formed() || received.frontier.frontier.document != key.id() {
        return Err(Refusal::Key);
    }
    let frontier = verify_author(received.frontier, &key, authors)?;
    let found = received.generation;
    if found != held_generation || frontier.frontier().generation != found {
        return Err(Refusal::Generation { held: held_generation, found });
    }
    let mut chunks: Vec<Vec<u8>> = Vec::new();
    let mut bytes = 0_u64;
    for batch in &received.batches {
        let mut unpacked = batch::unpack(batch)?;
        bytes = bytes.saturating_add(unpacked.iter().map(Vec::len).sum::<usize>() as u64);
        if bytes > STAGING_BYTES_MAX {
            return Err(Refusal::TooManyBytes);
        }
        chunks.append(&mut unpacked);
        if chunks.len() > DELTA_CHANGES_MAX {
            return Err(Refusal::TooManyChanges);
        }
    }
    let mut changes = Vec::new();
    let mut budget = DELTA_OPERATIONS_MAX;
    for (number, chunk) in chunks.into_iter().enumerate() {
        let scanned = scan_change(&chunk).map_err(|error| Refusal::Scan { number, error })?;
        if history.contains(&scanned.hash) {
            continue;
        }
        check_actors(&scanned, &key, authors, number)?;
        budget = budget.checked_sub(scanned.operation_count).ok_or(Refusal::TooManyOperations)?;
        let meta = connect(&scanned, &mut history, number)?;
        let past = history.clock_at(&meta.deps).unwrap_or_default();
        operations.add_checked(&scanned, &past).map_err(|error| Refusal::Misfit { number, error })?;
        changes.push((meta, chunk));
    }
    let clock = history.clock_at(frontier.frontier().heads.hashes()).ok_or(Refusal::NotBelow)?;
    if changes.iter().any(|(meta, _)| clock.seq(&meta.actor) < meta.seq) {
        return Err(Refusal::NotBelow);
    }
    Ok(AdmittedDelta { changes, frontier, clock })
}

fn verify_author(claim: UnverifiedFrontier, key: &DocumentKey, authors: &Authors) -> Result<SignedFrontier, Refusal> {
    let author = claim.author;
    let (public, role) = authors.author.ok_or(Refusal::UnknownAuthor { author })?;
    let allowed = match key.author_group() {
        AuthorGroup::Hubs => role == Role::Hub,
        AuthorGroup::Node(node) => author == node,
    };
    if !allowed {
        return Err(Refusal::NotTheAuthor { author });
    }
    claim.verify(&public).ok_or(Refusal::Signature)
}

/// A change may be by, and may name, only actors of the document's authors; and nobody adds to the genesis.
fn check_actors(scanned: &ScannedChange, key: &DocumentKey, authors: &Authors, number: usize) -> Result<(), Refusal> {
    let genesis = genesis_actor(key, 0);
    let is_author = |actor: &ActorBytes| match key.author_group() {
        AuthorGroup::Hubs => authors.hubs.iter().any(|hub| actor.belongs_to(hub)),
        AuthorGroup::Node(node) => actor.belongs_to(&node),
    };
    let own = scanned.actor != genesis && is_author(&scanned.actor);
    let others = scanned.other_actors.iter().all(|actor| *actor == genesis || is_author(actor));
    if own && others { Ok(()) } else { Err(Refusal::ForeignActor { number }) }
}

fn connect(scanned: &ScannedChange, history: &mut History, number: usize) -> Result<ChangeMeta, Refusal> {
    let meta = ChangeMeta {
        hash: scanned.hash,
        actor: scanned.actor,
        seq: scanned.seq,
        start_op: scanned.start_op,
        max_op: scanned.max_op(),
        deps: scanned.deps.clone(),
    };
    if meta.seq <= history.seq(&meta.actor) {
        return Err(Refusal::Forked { number });
    }
    history.push(meta.clone()).map_err(|error| Refusal::Unconnected { number, error })?;
    Ok(meta)
}
