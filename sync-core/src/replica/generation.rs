//! Generations of a document in the store: beginning one by a cut, following another's, dropping old ones (decision D5).

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::admit::TakeError;
use super::desired::{WHOLE, Whole};
use super::loads::{Loaded, Loads};
use super::roster;
use super::write::{self, Author, WriteError};
use crate::document::admission::{self, AdmittedDelta, AuthenticDelta, Authors, Ground, Refusal};
use crate::document::codec::UnpackError;
use crate::document::generation::{ENCODER, Extent, Root, SignedRoot};
use crate::document::genesis::{self, Genesis, genesis_actor, genesis_after_cut};
use crate::document::history::History;
use crate::document::operations::Operations;
use crate::document::{AuthorGroup, DocumentKind, Heads, json, materialise};
use crate::id::Name;
use crate::identity::{Identity, Role};
use crate::limits::{CHANGE_BYTES_MAX, CHANGE_OPERATIONS_MAX, GENERATIONS_KEPT_MAX};
#[cfg(feature = "mutants")]
use crate::mutants::{Mutant, planted};
use crate::state::desired::{ReleaseState, from_state};
use crate::store::{LogRow, StoreError, StoredDocument, Tx};

/// Begins a new generation at the newest frontier when the present one has grown enough, this replica may cut it and nothing
/// would be lost: everything held is in the cut, and no field is in conflict. `wanted` is what will be written next; where
/// the document says so already, nothing is cut.
pub(super) fn cut_if_due(
    tx: &Tx<'_>,
    author: &Author<'_>,
    document: &StoredDocument,
    wanted: &Map<String, Value>,
    loads: &mut Loads,
) -> Result<Option<StoredDocument>, WriteError> {
    #[cfg(feature = "mutants")]
    if planted(Mutant::NeverCut) {
        return Ok(None);
    }
    let extent = tx.extent(document.row, document.generation)?;
    if !author.policy.is_due(&extent) {
        return Ok(None);
    }
    let cut = cut(tx, author, document, wanted, loads)?;
    // What others would refuse is not written: somebody has to make a cut possible first.
    if cut.is_none() && extent.is_full() && tx.view(document.row)?.as_ref() != Some(wanted) {
        return Err(WriteError::Full(document.key.clone()));
    }
    Ok(cut)
}

fn cut(
    tx: &Tx<'_>,
    author: &Author<'_>,
    document: &StoredDocument,
    wanted: &Map<String, Value>,
    loads: &mut Loads,
) -> Result<Option<StoredDocument>, WriteError> {
    let Some(epoch) = right_to_cut(tx, author.identity, document)? else { return Ok(None) };
    let Some(generation) = document.generation.checked_add(1) else { return Ok(None) };
    let (Some(state), Some(latest)) = (tx.view(document.row)?, document.latest) else { return Ok(None) };
    let latest = tx.log_row(latest)?;
    let cut = &latest.frontier.frontier().heads;
    loads.count += 1;
    let loaded = write::load(tx, author, document)?;
    let mut heads = loaded.get_heads();
    heads.sort_unstable();
    if state == *wanted || heads != cut.to_automerge() {
        return Ok(None);
    }
    let is_settled = json::conflicts(&loaded, None).is_ok_and(|conflicts| conflicts.is_empty());
    #[cfg(feature = "mutants")]
    let is_settled = is_settled || planted(Mutant::CutWithOpenConflict);
    if !is_settled {
        tracing::info!(document = %document.key, "its history grows until the conflict in it is settled");
        return Ok(None);
    }
    let Ok(Some(genesis)) = genesis_after_cut(&document.key, generation, cut, &state) else { return Ok(None) };
    let operations = genesis.meta.max_op;
    if genesis.bytes.len() > CHANGE_BYTES_MAX || operations > CHANGE_OPERATIONS_MAX {
        tracing::warn!(document = %document.key, "its state does not fit one change, so its history grows; split it");
        return Ok(None);
    }
    let root = Root {
        document: document.key.id(),
        generation,
        epoch,
        encoder: ENCODER,
        genesis: genesis.meta.hash,
        cut: cut.clone(),
        clock: latest.clock.clone(),
    };
    tx.set_root(document.row, &root.sign(author.identity.key()))?;
    tx.add_change(document.row, generation, &genesis.meta, &genesis.bytes)?;
    tx.set_generation(document.row, generation)?;
    tracing::debug!(document = %document.key, generation, "cut");
    Ok(Some(StoredDocument { generation, ..document.clone() }))
}

/// The epoch under which this replica may cut the document; `None` when somebody else does.
fn right_to_cut(tx: &Tx<'_>, identity: &Identity, document: &StoredDocument) -> Result<Option<u64>, StoreError> {
    match document.key.author_group() {
        AuthorGroup::Node(node) => Ok((node == identity.id()).then_some(0)),
        AuthorGroup::Hubs => {
            let home = roster::read(tx)?.home_of(&document.key);
            Ok(home.filter(|home| home.hub == identity.id()).map(|home| home.epoch))
        }
    }
}

/// What a delta is checked against, and what has to be written before its changes are.
struct Grounded {
    ground: Ground,
    /// A generation that begins here with this delta.
    follow: Option<Follow>,
}

/// A generation that somebody else began.
pub(super) struct Follow {
    /// The records on the way to it and its own, ascending.
    roots: Vec<SignedRoot>,
    /// Its genesis, when it could be computed.
    genesis: Option<Genesis>,
    /// It becomes the document's present generation.
    pub(super) is_present: bool,
}

impl Follow {
    pub(super) fn root(&self) -> Option<&Root> {
        self.roots.last().map(SignedRoot::root)
    }

    /// The record of this generation, if it is on the way.
    pub(super) fn root_of(&self, generation: u32) -> Option<&Root> {
        self.roots.iter().map(SignedRoot::root).find(|root| root.generation == generation)
    }
}

/// A delta that was admitted, what is known of its generation with it, and a generation that begins with it.
pub(super) type Admission = (AdmittedDelta, (History, Operations), Option<Follow>);

/// Admits a delta to its generation; `None` when that is over, or began with a record that does not count.
pub(super) fn admit(
    tx: &Tx<'_>,
    identity: &Identity,
    document: &StoredDocument,
    received: AuthenticDelta,
    roots: Vec<SignedRoot>,
    known: &Authors,
    kept: Option<&mut Loaded>,
) -> Result<Option<Admission>, TakeError> {
    let generation = received.frontier().frontier().generation;
    let has_record = !roots.is_empty();
    let grounded = ground(tx, identity, document, generation, roots, kept);
    let admitted = grounded.and_then(|grounded| {
        let Some(Grounded { ground, follow }) = grounded else { return Ok(None) };
        let (admitted, ground) = admission::admit(received, ground, known)?;
        Ok(Some((admitted, ground, follow)))
    });
    match admitted {
        Err(TakeError::Refused(refusal)) if !has_record => {
            Err(without_record(tx, document, generation, refusal)?.into())
        }
        admitted => admitted,
    }
}

/// Finds or begins the generation of a delta. `roots` are authentic, ascending, of this document. `None` when the generation
/// is over and nobody here needs it, or began with a record that does not count. `kept` is the document in this generation;
/// where the generation is held already its ground is taken out.
fn ground(
    tx: &Tx<'_>,
    identity: &Identity,
    document: &StoredDocument,
    generation: u32,
    roots: Vec<SignedRoot>,
    kept: Option<&mut Loaded>,
) -> Result<Option<Grounded>, TakeError> {
    let own = tx.root(document.row, generation)?;
    let holds = tx.holds_generation(document.row, generation)?;
    let offered = roots.last().filter(|signed| signed.root().generation == generation).map(SignedRoot::root);
    let is_other = match (offered, &own) {
        (Some(offered), Some(own)) if offered.genesis != own.root().genesis => {
            if generation < document.generation || !offered.prevails_over(own.root()) {
                // Whoever stands on it learns of the one that counts, and brings over what it wrote.
                return Ok(None);
            }
            true
        }
        _ => false,
    };
    if holds && !is_other {
        let (history, operations) = match kept.and_then(|kept| kept.ground.take()) {
            Some(ground) => ground,
            None => {
                let mut operations = Operations::default();
                tx.chunks(document.row, generation)?.iter().for_each(|chunk| operations.add_stored(chunk));
                (tx.history(document.row, generation)?, operations)
            }
        };
        let cut = own.as_ref().map(|signed| &signed.root().cut);
        let ground = Ground {
            genesis_actor: genesis_actor(&document.key, generation, cut),
            awaited: None,
            history,
            operations,
            extent: tx.extent(document.row, generation)?,
        };
        return Ok(Some(Grounded { ground, follow: None }));
    }
    if generation < document.generation && is_over(tx, identity, document, generation)? {
        return Ok(None);
    }
    let genesis = match offered {
        Some(root) => compute_genesis(tx, document, root)?,
        None if generation == 0 => Some(genesis::genesis(&document.key)),
        None => return Err(Refusal::Generation { held: document.generation, found: generation }.into()),
    };
    let mut ground = Ground {
        genesis_actor: genesis_actor(&document.key, generation, offered.map(|root| &root.cut)),
        awaited: offered.filter(|_| genesis.is_none()).map(|root| root.genesis),
        history: History::default(),
        operations: Operations::default(),
        extent: Extent::default(),
    };
    if let Some(genesis) = &genesis {
        ground.operations.add_stored(&genesis.bytes);
        ground.history.push(genesis.meta.clone()).map_err(|_| StoreError::Corrupt { place: "a computed genesis" })?;
    }
    let is_present = generation > document.generation || is_other;
    let follow = Follow { roots, genesis, is_present };
    Ok(Some(Grounded { ground, follow: Some(follow) }))
}

/// What is wrong with a delta that came without the record of its generation: whether another line of this number was given up
/// here, of which it may be.
fn without_record(
    tx: &Tx<'_>,
    document: &StoredDocument,
    generation: u32,
    refusal: Refusal,
) -> Result<Refusal, StoreError> {
    let builds_on_it = matches!(
        &refusal,
        Refusal::Generation { .. }
            | Refusal::Batch(UnpackError::NotHeld | UnpackError::Differs)
            | Refusal::Unconnected { .. }
            | Refusal::ForeignActor { .. }
            | Refusal::NotBelow
    );
    if generation == 0 || !builds_on_it {
        return Ok(refusal);
    }
    let own = tx.root(document.row, generation)?;
    let own = own.map(|own| genesis_actor(&document.key, generation, Some(&own.root().cut)));
    let is_given_up = tx.log_of(document.row)?.iter().any(|row| {
        let is_of_number = row.frontier.frontier().generation == generation;
        is_of_number && own.is_none_or(|genesis| row.clock.seq(&genesis) == 0)
    });
    Ok(if is_given_up { Refusal::OtherRecord { generation } } else { refusal })
}

/// Whether a generation before the present one is needed by nobody here: whoever wrote into it brings that into the present
/// one, or has done so. A hub keeps the one before for that, and what releases name; a node takes what its hub sends it.
fn is_over(tx: &Tx<'_>, identity: &Identity, document: &StoredDocument, generation: u32) -> Result<bool, StoreError> {
    Ok(match (document.key.author_group(), identity.role()) {
        (AuthorGroup::Node(_), _) => true,
        (AuthorGroup::Hubs, Role::Node) => false,
        (AuthorGroup::Hubs, Role::Hub) => {
            let is_before = generation.checked_add(1) == Some(document.generation);
            !is_before && !named(tx, identity, document)?.contains(&generation)
        }
    })
}

/// The genesis of a generation that was cut at a place held here; `None` when it is not held, or written in another way.
fn compute_genesis(tx: &Tx<'_>, document: &StoredDocument, root: &Root) -> Result<Option<Genesis>, StoreError> {
    let before = root.generation.saturating_sub(1);
    if root.encoder != ENCODER {
        return Ok(None);
    }
    let state = match document.latest.map(|latest| tx.log_row(latest)).transpose()? {
        Some(latest) if is_at(&latest, before, &root.cut) => tx.view(document.row)?,
        _ => {
            let history = tx.history(document.row, before)?;
            if !root.cut.hashes().iter().all(|head| history.contains(head)) {
                return Ok(None);
            }
            let loaded = materialise::load(&tx.chunks(document.row, before)?, None);
            loaded.and_then(|loaded| materialise::state_at(&loaded, &root.cut)).ok()
        }
    };
    let Some(state) = state else { return Ok(None) };
    let genesis = genesis_after_cut(&document.key, root.generation, &root.cut, &state).ok().flatten();
    Ok(genesis.filter(|genesis| genesis.meta.hash == root.genesis))
}

fn is_at(row: &LogRow, generation: u32, heads: &Heads) -> bool {
    let frontier = row.frontier.frontier();
    frontier.generation == generation && frontier.heads == *heads
}

/// Writes what a delta needs below its changes. What stands here on records that the new line replaces goes: a record that
/// stayed would make all that follows look like work of two sides.
pub(super) fn follow(tx: &Tx<'_>, document: &StoredDocument, follow: &Follow) -> Result<(), StoreError> {
    for signed in &follow.roots {
        let number = signed.root().generation;
        let own = tx.root(document.row, number)?;
        let is_other = own.as_ref().is_some_and(|own| own.root().genesis != signed.root().genesis);
        if is_other && follow.is_present {
            tx.drop_generation(document.row, number)?;
        }
        if own.is_none() || is_other && follow.is_present {
            tx.set_root(document.row, signed)?;
        }
    }
    // Generation 0 has no record.
    let generation = follow.root().map_or(0, |root| root.generation);
    if let Some(genesis) = &follow.genesis {
        tx.add_change(document.row, generation, &genesis.meta, &genesis.bytes)?;
    }
    if follow.is_present {
        tx.set_generation(document.row, generation)?;
    }
    Ok(())
}

/// Drops the generations of the document that nobody needs any more. Of a node's own documents only the present one stays.
/// Of the hubs' documents the one before stays too, for a hub that wrote into it late, and every one that a release names
/// or that a peer's feed names last.
pub(super) fn drop_old(tx: &Tx<'_>, identity: &Identity, document: &StoredDocument) -> Result<(), StoreError> {
    #[cfg(feature = "mutants")]
    if planted(Mutant::OldGenerationsKept)
        || planted(Mutant::FollowerDropsNothing) && right_to_cut(tx, identity, document)?.is_none()
    {
        return Ok(());
    }
    let held = tx.generations_held(document.row)?;
    let present = document.generation;
    let old: Vec<u32> = held.into_iter().filter(|held| *held < present).collect();
    if old.is_empty() {
        return Ok(());
    }
    let named = match document.key.author_group() {
        AuthorGroup::Node(_) => BTreeSet::new(),
        AuthorGroup::Hubs => named(tx, identity, document)?,
    };
    let mut kept = 0;
    for generation in old.into_iter().rev() {
        let before = document.key.author_group() == AuthorGroup::Hubs && generation + 1 == present;
        let is_named = named.contains(&generation);
        if (before || is_named) && kept < GENERATIONS_KEPT_MAX {
            kept += 1;
            continue;
        }
        if is_named {
            tracing::warn!(document = %document.key, generation,
                "dropped although a release names it: too many generations; release the layer again");
        }
        tx.drop_generation(document.row, generation)?;
    }
    Ok(())
}

fn named(tx: &Tx<'_>, identity: &Identity, document: &StoredDocument) -> Result<BTreeSet<u32>, StoreError> {
    let mut named = BTreeSet::new();
    if identity.role() == Role::Node {
        named.extend(tx.local::<Whole>(WHOLE)?.iter().filter_map(|whole| whole.generation_of(&document.key)));
    }
    if document.key.kind == DocumentKind::Layer
        && let Ok(name) = Name::new(&document.key.name)
    {
        named.extend(tx.generations_owed(document.row)?);
        for release in tx.documents_of_kind(DocumentKind::Release)? {
            let pins = tx.view(release.row)?.and_then(|view| from_state::<ReleaseState>(&view)).unwrap_or_default();
            named.extend(pins.layers.get(&name).map(|pin| pin.generation));
        }
    }
    Ok(named)
}
