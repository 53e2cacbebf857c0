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

use super::codec::{self, Packed, UnpackError};
use super::earlier::{EarlierError, PackedFrontiers};
use super::frontier::{SignedFrontier, UnverifiedFrontier};
use super::generation::{Extent, SignedRoot, UnverifiedRoot};
use super::history::{ActorBytes, ChangeMeta, Clock, History, Unconnected};
use super::key::{AuthorGroup, DocumentKey};
use super::operations::{Misfit, Operations};
use super::scan::{ScanError, ScannedChange, scan_change};
use crate::id::{ChangeHash, NodeId};
use crate::identity::{PublicKey, Role};
use crate::limits::{
    DELTA_ACTORS_MAX, DELTA_DEPENDENCIES_MAX, DELTA_OPERATIONS_MAX, DELTA_PREDECESSORS_MAX, GENERATION_BYTES_MAX,
    GENERATION_CLOCKS_MAX, GENERATION_OPERATIONS_MAX,
};

/// What a peer sent about one document: claims, all of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceivedDelta {
    /// The document.
    pub key: DocumentKey,
    /// Its generation.
    pub generation: u32,
    /// Its changes, packed.
    pub batch: Packed,
    /// The frontier above them.
    pub frontier: UnverifiedFrontier,
    /// Others that were signed before it, which the changes are below as well.
    pub earlier: PackedFrontiers,
}

/// A delta whose frontier was signed by someone who may write the document. Its changes are still claims.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthenticDelta {
    key: DocumentKey,
    batch: Packed,
    frontier: SignedFrontier,
    earlier: PackedFrontiers,
}

impl AuthenticDelta {
    /// Whether frontiers that are not read yet come before the one that is known.
    #[must_use]
    pub fn has_earlier(&self) -> bool {
        !self.earlier.is_empty()
    }

    /// The frontier, the last of those that came.
    #[must_use]
    pub fn frontier(&self) -> &SignedFrontier {
        &self.frontier
    }
}

/// The generation that a delta is checked against, as far as it is held.
#[derive(Debug, Clone)]
pub struct Ground {
    /// The actor of its genesis.
    pub genesis_actor: ActorBytes,
    /// Its genesis, when that has to come as the first change of the delta.
    pub awaited: Option<ChangeHash>,
    /// What is held of its changes.
    pub history: History,
    /// Their operations.
    pub operations: Operations,
    /// How much there is of them.
    pub extent: Extent,
}

/// A delta that passed admission. Only this module makes one, so only checked changes can be stored.
#[derive(Debug, Clone)]
pub struct AdmittedDelta {
    changes: Vec<(ChangeMeta, Vec<u8>)>,
    frontiers: Vec<(SignedFrontier, Clock)>,
}

impl AdmittedDelta {
    /// The changes that were not held yet, in a causal order, with their chunks.
    #[must_use]
    pub fn changes(&self) -> &[(ChangeMeta, Vec<u8>)] {
        &self.changes
    }

    /// The frontiers in the order in which their sender holds them, at least one, each with the changes at or below it.
    #[must_use]
    pub fn frontiers(&self) -> &[(SignedFrontier, Clock)] {
        &self.frontiers
    }

    /// The changes at or below any of them.
    #[must_use]
    pub fn clock(&self) -> Clock {
        let mut clock = Clock::default();
        self.frontiers.iter().for_each(|(_, below)| clock.join(below));
        clock
    }
}

/// What the store knows of possible authors.
#[derive(Debug, Clone, Default)]
pub struct Authors {
    /// Key and role of each author of a frontier that is known. Whether one is revoked is the caller's to check.
    pub known: Vec<(PublicKey, Role)>,
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
    /// A generation that is not held here, and nothing came that would begin it.
    #[error("generation {found} where {held} is held")]
    Generation {
        /// What is held.
        held: u32,
        /// What came.
        found: u32,
    },
    /// A generation's record is not signed by one of the document's authors, or not of this document.
    #[error("the record of generation {generation} is not signed by an author of the document")]
    Root {
        /// The generation.
        generation: u32,
    },
    /// The genesis of the generation is neither here nor could it be computed, and it is not the first change that came.
    #[error("the genesis of generation {generation} is not held here and did not come")]
    GenesisMissing {
        /// The generation.
        generation: u32,
    },
    /// It does not fit the generation held here, and the one of that number on which its author stood was given up here for
    /// another cut. Its sender does not know that yet.
    #[error("generation {generation} began with another record here, and the sender's did not come along")]
    OtherRecord {
        /// The generation.
        generation: u32,
    },
    /// The batch cannot be unpacked.
    #[error(transparent)]
    Batch(#[from] UnpackError),
    /// More than one delta may hold, over all its changes.
    #[error("more than {max} {what} in one delta")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// How much may be.
        max: u64,
    },
    /// With this delta the generation of the document would be larger than any may become. An honest author cuts before.
    #[error("the generation would have more than {max} {what}; its author has to begin a new one")]
    GenerationFull {
        /// What there is too much of.
        what: &'static str,
        /// How much may be.
        max: u64,
    },
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
    /// Frontiers that came before the last cannot be read.
    #[error(transparent)]
    Earlier(#[from] EarlierError),
    /// One of several frontiers is to be refused, and nothing of the others is taken with it.
    #[error("frontier {number} of {frontiers}: {refusal}")]
    OneOf {
        /// Its place, from 0.
        number: usize,
        /// How many came.
        frontiers: usize,
        /// Why.
        refusal: Box<Refusal>,
    },
    /// Everything was in order, and Automerge still could not take it.
    #[error("the changes passed every check and could not be applied: {reason}")]
    Poison {
        /// What Automerge said.
        reason: String,
    },
}

impl Refusal {
    /// Whether the sender only thought that more was held here than is. Nobody is to blame, and it comes again with all that
    /// it builds on.
    #[must_use]
    pub fn is_misunderstanding(&self) -> bool {
        matches!(self, Self::GenesisMissing { .. } | Self::OtherRecord { .. })
    }

    /// The same of one of several frontiers that came together.
    #[must_use]
    pub fn of(self, number: usize, frontiers: usize) -> Self {
        if frontiers == 1 { self } else { Self::OneOf { number, frontiers, refusal: Box::new(self) } }
    }
}

/// Checks who speaks: that the frontier is of this document and signed by someone who may write it.
///
/// # Errors
/// [`Refusal`].
pub fn authenticate(received: ReceivedDelta, authors: &Authors) -> Result<AuthenticDelta, Refusal> {
    let ReceivedDelta { key, generation, batch, frontier, earlier } = received;
    if !key.is_well_formed() || frontier.frontier.document != key.id() || frontier.frontier.generation != generation {
        return Err(Refusal::Key);
    }
    let public = key_of_author(frontier.author, &key, authors)?;
    let frontier = frontier.verify(&public).ok_or(Refusal::Signature)?;
    for author in earlier.authors()? {
        key_of_author(author, &key, authors)?;
    }
    Ok(AuthenticDelta { key, batch, frontier, earlier })
}

/// Checks that a generation's record is of this document and signed by someone who may write it.
///
/// # Errors
/// [`Refusal::Root`].
pub fn authenticate_root(claim: UnverifiedRoot, key: &DocumentKey, authors: &Authors) -> Result<SignedRoot, Refusal> {
    let generation = claim.root.generation;
    let refused = Refusal::Root { generation };
    if claim.root.document != key.id() || generation == 0 {
        return Err(refused);
    }
    let public = key_of_author(claim.author, key, authors).map_err(|_| refused.clone())?;
    claim.verify(&public).ok_or(refused)
}

/// Checks everything about `received` that can be checked without loading the document. Gives back with it what is known
/// of the generation when its changes are stored.
///
/// # Errors
/// [`Refusal`].
pub fn admit(
    received: AuthenticDelta,
    ground: Ground,
    authors: &Authors,
) -> Result<(AdmittedDelta, (History, Operations)), Refusal> {
    let AuthenticDelta { key, batch, frontier, earlier } = received;
    let Ground { genesis_actor, mut awaited, mut history, mut operations, mut extent } = ground;
    let generation = frontier.frontier().generation;
    let chunks = match codec::unpack(batch.codec, &batch.bytes, &history) {
        // It builds on a genesis that its sender thought held here.
        Err(UnpackError::NotHeld | UnpackError::Differs) if awaited.is_some() => {
            return Err(Refusal::GenesisMissing { generation });
        }
        unpacked => unpacked?,
    };
    let (mut changes, mut hashes) = (Vec::new(), Vec::new());
    let mut budget = Budget::default();
    for (number, chunk) in chunks.into_iter().enumerate() {
        let scanned = scan_change(&chunk).map_err(|error| Refusal::Scan { number, error })?;
        hashes.push(scanned.hash);
        if history.contains(&scanned.hash) {
            continue;
        }
        if let Some(genesis) = awaited.take() {
            let is_first = scanned.seq == 1 && scanned.deps.is_empty() && scanned.other_actors.is_empty();
            if scanned.hash != genesis || scanned.actor != genesis_actor || !is_first {
                return Err(Refusal::GenesisMissing { generation });
            }
        } else {
            check_actors(&scanned, &key, genesis_actor, authors, number)?;
        }
        budget.spend(&scanned)?;
        grow(&mut extent, &scanned, &chunk)?;
        let meta = connect(&scanned, &mut history, number)?;
        if history.clock_entries() > GENERATION_CLOCKS_MAX {
            return Err(Refusal::GenerationFull { what: "clock entries", max: GENERATION_CLOCKS_MAX });
        }
        let past = history.clock_at(&meta.deps).unwrap_or_default();
        operations.add_checked(&scanned, &past).map_err(|error| Refusal::Misfit { number, error })?;
        changes.push((meta, chunk));
    }
    if awaited.is_some() {
        return Err(Refusal::GenesisMissing { generation });
    }
    let claims = earlier.unpack(key.id(), generation, frontier.author(), &hashes)?;
    let count = claims.len().saturating_add(1);
    let mut frontiers = Vec::with_capacity(count);
    for (number, claim) in claims.into_iter().enumerate() {
        let checked = check_earlier(claim, &key, &history, authors);
        frontiers.push(checked.map_err(|refusal| refusal.of(number, count))?);
    }
    let clock = history.clock_at(frontier.frontier().heads.hashes()).ok_or(Refusal::NotBelow)?;
    frontiers.push((frontier, clock));
    let admitted = AdmittedDelta { changes, frontiers };
    let covered = admitted.clock();
    if admitted.changes.iter().any(|(meta, _)| covered.seq(&meta.actor) < meta.seq) {
        return Err(Refusal::NotBelow);
    }
    Ok((admitted, (history, operations)))
}

/// Checks one of the frontiers before the last as that one was: author, signature, and that its heads are held or came.
fn check_earlier(
    claim: UnverifiedFrontier,
    key: &DocumentKey,
    history: &History,
    authors: &Authors,
) -> Result<(SignedFrontier, Clock), Refusal> {
    let public = key_of_author(claim.author, key, authors)?;
    let signed = claim.verify(&public).ok_or(Refusal::Signature)?;
    let clock = history.clock_at(signed.frontier().heads.hashes()).ok_or(Refusal::NotBelow)?;
    Ok((signed, clock))
}

/// What the changes of one delta may hold together. Each is bounded for itself, and runs of it take next to no bytes.
struct Budget {
    operations: u64,
    predecessors: u64,
    dependencies: u64,
    actors: u64,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            operations: DELTA_OPERATIONS_MAX,
            predecessors: DELTA_PREDECESSORS_MAX,
            dependencies: DELTA_DEPENDENCIES_MAX,
            actors: DELTA_ACTORS_MAX,
        }
    }
}

impl Budget {
    fn spend(&mut self, change: &ScannedChange) -> Result<(), Refusal> {
        let predecessors = change.operations.iter().map(|operation| operation.predecessors.len() as u64);
        let predecessors = predecessors.fold(0, u64::saturating_add);
        let spend = |left: &mut u64, count, what, max| {
            *left = left.checked_sub(count).ok_or(Refusal::TooMany { what, max })?;
            Ok(())
        };
        spend(&mut self.operations, change.operation_count, "operations", DELTA_OPERATIONS_MAX)?;
        spend(&mut self.predecessors, predecessors, "predecessors", DELTA_PREDECESSORS_MAX)?;
        spend(&mut self.dependencies, change.deps.len() as u64, "dependencies", DELTA_DEPENDENCIES_MAX)?;
        spend(&mut self.actors, u64::from(change.seq == 1), "new actors", DELTA_ACTORS_MAX)
    }
}

/// Counts a change into the generation, over all deltas that brought it changes.
fn grow(extent: &mut Extent, change: &ScannedChange, chunk: &[u8]) -> Result<(), Refusal> {
    extent.operations = extent.operations.saturating_add(change.operation_count);
    extent.bytes = extent.bytes.saturating_add(chunk.len() as u64);
    if extent.operations > GENERATION_OPERATIONS_MAX {
        return Err(Refusal::GenerationFull { what: "operations", max: GENERATION_OPERATIONS_MAX });
    }
    if extent.bytes > GENERATION_BYTES_MAX {
        return Err(Refusal::GenerationFull { what: "bytes", max: GENERATION_BYTES_MAX });
    }
    Ok(())
}

/// The key of someone who may write the document.
fn key_of_author(author: NodeId, key: &DocumentKey, authors: &Authors) -> Result<PublicKey, Refusal> {
    let known = authors.known.iter().find(|(public, _)| public.node_id() == author);
    let (public, role) = known.copied().ok_or(Refusal::UnknownAuthor { author })?;
    let allowed = match key.author_group() {
        AuthorGroup::Hubs => role == Role::Hub,
        AuthorGroup::Node(node) => author == node,
    };
    #[cfg(feature = "mutants")]
    let allowed = allowed || crate::mutants::planted(crate::mutants::Mutant::AnyoneMayWrite);
    if allowed { Ok(public) } else { Err(Refusal::NotTheAuthor { author }) }
}

/// A change may be by, and may name, only actors of the document's authors; and nobody adds to the genesis.
fn check_actors(
    scanned: &ScannedChange,
    key: &DocumentKey,
    genesis: ActorBytes,
    authors: &Authors,
    number: usize,
) -> Result<(), Refusal> {
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
