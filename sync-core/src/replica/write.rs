//! From a wanted state to a signed frontier: a change with the fewest operations, its signature, log, view and feeds.

use automerge::transaction::Transaction;
use serde_json::{Map, Value};

use super::admit::mark_dirty;
use super::loads::{Loaded, Loads};
use super::{generation, members};
use crate::document::generation::CutPolicy;
use crate::document::json::{self, JsonError};
use crate::document::materialise::{self, MaterialiseError};
use crate::document::{ActorBytes, Clock, DocumentKey, Frontier, Heads, SignedFrontier, history::ChangeMeta};
use crate::env::WallTime;
use crate::id::ChangeHash;
use crate::identity::Identity;
use crate::limits::CHANGE_BYTES_MAX;
#[cfg(feature = "mutants")]
use crate::mutants::{Mutant, planted};
use crate::store::{LogRow, LogSeq, StoreError, StoredDocument, Tx};

/// Why a write did not happen. The document is as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// This replica is not of the document's authors.
    #[error("{0} is written by someone else")]
    NotTheAuthor(DocumentKey),
    /// Kind, owner and name do not fit together.
    #[error("{0} is no well-formed document name")]
    Name(DocumentKey),
    /// The state cannot be written: too deep, too long a key.
    #[error("{key} cannot hold this state: {reason}")]
    State {
        /// The document.
        key: DocumentKey,
        /// What is wrong with it.
        reason: String,
    },
    /// More replicas wrote at the same time than one frontier can name.
    #[error("{0} has more concurrent versions than one frontier can name")]
    Heads(DocumentKey),
    /// The difference is larger than one change may be.
    #[error("{key} would change by {bytes} bytes at once; at most {CHANGE_BYTES_MAX} are allowed, split the write")]
    TooLarge {
        /// The document.
        key: DocumentKey,
        /// The size of the change.
        bytes: usize,
    },
    /// Its history is as long as others take, and cannot be cut here.
    #[error(
        "the history of {0} is full and cannot be cut here: settle its conflicts, let its home hub cut it (link to that, or \
         move the home), or split what does not fit one change"
    )]
    Full(DocumentKey),
    /// The stored changes no longer make a document.
    #[error("{key} cannot be loaded: {error}")]
    Damaged {
        /// The document.
        key: DocumentKey,
        /// What Automerge said.
        error: MaterialiseError,
    },
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Who writes, under which actor, and when.
#[derive(Debug, Clone, Copy)]
pub(super) struct Author<'a> {
    pub(super) identity: &'a Identity,
    pub(super) actor: ActorBytes,
    pub(super) wall: WallTime,
    pub(super) policy: CutPolicy,
}

/// A document's newest frontier after a write.
pub(super) struct Written {
    pub(super) seq: LogSeq,
    pub(super) frontier: SignedFrontier,
}

/// Makes the document equal to `state`, or leaves it as all its changes make it, and signs a frontier over all that is
/// held of it. When that is the newest frontier already, nothing is written.
///
/// # Errors
/// [`WriteError`]; the caller undoes what was written.
pub(super) fn write(
    tx: &Tx<'_>,
    author: &Author<'_>,
    document: &StoredDocument,
    state: Option<&Map<String, Value>>,
    loads: &mut Loads,
) -> Result<Written, WriteError> {
    let change = |tx: &mut Transaction<'_>| match state {
        Some(state) => json::write_json(tx, state).map(drop),
        None => Ok(()),
    };
    let next = match state {
        Some(state) => generation::cut_if_due(tx, author, document, state, loads)?,
        None => None,
    };
    let written = write_with(tx, author, next.as_ref().unwrap_or(document), change, loads)?;
    if let Some(next) = &next {
        generation::drop_old(tx, author.identity, next)?;
    }
    Ok(written)
}

/// [`write`] with any change.
///
/// # Errors
/// As [`write`].
pub(super) fn write_with(
    tx: &Tx<'_>,
    author: &Author<'_>,
    document: &StoredDocument,
    change: impl FnOnce(&mut Transaction<'_>) -> Result<(), JsonError>,
    loads: &mut Loads,
) -> Result<Written, WriteError> {
    let key = &document.key;
    let damaged = |error| WriteError::Damaged { key: key.clone(), error };
    let latest = document.latest.map(|latest| tx.log_row(latest)).transpose()?;
    let heads = latest.as_ref().map(|latest| &latest.frontier.frontier().heads);
    let mut loaded = match heads.and_then(|heads| loads.take(key.id(), document.generation, heads)) {
        Some(mut kept) => {
            kept.document.set_actor(automerge::ActorId::from(&actor(tx, author, document)?.0[..]));
            kept
        }
        None => {
            loads.count += 1;
            Loaded { document: load(tx, author, document)?, ground: None }
        }
    };
    let change = make(&mut loaded.document, key, change)?;
    let hashes = loaded.document.get_heads().iter().map(|hash| ChangeHash(hash.0)).collect();
    let heads = Heads::new(hashes).ok_or_else(|| WriteError::Heads(key.clone()))?;
    if let Some(latest) = &latest
        && latest.frontier.frontier().heads == heads
        && latest.held
    {
        loads.keep(key.id(), document.generation, loaded);
        return Ok(Written { seq: latest.seq, frontier: latest.frontier.clone() });
    }
    let state = materialise::state_at(&loaded.document, &heads).map_err(damaged)?;
    #[cfg(feature = "mutants")]
    let state = match tx.view(document.row)? {
        Some(own) if change.is_none() && planted(Mutant::MergeShowsOwnSide) => own,
        _ => state,
    };
    if let Some((meta, chunk)) = &change {
        tx.add_change(document.row, document.generation, meta, chunk)?;
        loaded.made(meta, chunk);
    }
    let clock = clock_at(tx, document, latest.as_ref(), change.as_ref().map(|(meta, _)| meta), &heads)?;
    // SQLite's integers end there; a hub that signs such a version must not end the writing.
    let version = tx.highest_version(document.row)?.saturating_add(1).min(i64::MAX as u64);
    let frontier = Frontier { document: key.id(), generation: document.generation, version, heads };
    let frontier = frontier.sign(author.identity.key());
    let seq = tx.append_frontier(document.row, &frontier, &clock, author.wall)?;
    tx.set_latest(document.row, seq)?;
    tx.set_view(document.row, seq, &state)?;
    tx.settle(document.row, None)?;
    mark_dirty(tx, author.identity, key)?;
    members::follow(tx, author.identity, key, &state)?;
    loads.keep(key.id(), document.generation, loaded);
    Ok(Written { seq, frontier })
}

/// The document's present generation, ready to be written by this replica.
pub(super) fn load(
    tx: &Tx<'_>,
    author: &Author<'_>,
    document: &StoredDocument,
) -> Result<automerge::Automerge, WriteError> {
    let chunks = tx.chunks(document.row, document.generation)?;
    materialise::load(&chunks, Some(actor(tx, author, document)?))
        .map_err(|error| WriteError::Damaged { key: document.key.clone(), error })
}

fn actor(tx: &Tx<'_>, author: &Author<'_>, document: &StoredDocument) -> Result<ActorBytes, StoreError> {
    Ok(author.actor.in_generation(&tx.genesis(document.row, document.generation)?))
}

fn clock_at(
    tx: &Tx<'_>,
    document: &StoredDocument,
    latest: Option<&LogRow>,
    change: Option<&ChangeMeta>,
    heads: &Heads,
) -> Result<Clock, StoreError> {
    if let (Some(latest), Some(change)) = (latest, change)
        && latest.frontier.frontier().heads.hashes() == change.deps
    {
        let mut clock = latest.clock.clone();
        clock.raise(change.actor, change.seq);
        return Ok(clock);
    }
    // The first frontier, or one over more than the newest: the whole history says what is below.
    let history = tx.history(document.row, document.generation)?;
    history.clock_at(heads.hashes()).ok_or(StoreError::Corrupt { place: "change.deps" })
}

/// The change; `None` when it changes nothing.
fn make(
    loaded: &mut automerge::Automerge,
    key: &DocumentKey,
    change: impl FnOnce(&mut Transaction<'_>) -> Result<(), JsonError>,
) -> Result<Option<(ChangeMeta, Vec<u8>)>, WriteError> {
    let refused = |reason: String| WriteError::State { key: key.clone(), reason };
    let mut transaction = loaded.transaction();
    change(&mut transaction).map_err(|error| refused(error.to_string()))?;
    // Time 0: no invariant reads a wall clock, and the log keeps when a frontier came.
    let options = automerge::transaction::CommitOptions::default().with_time(0);
    if transaction.commit_with(options).0.is_none() {
        return Ok(None);
    }
    let change = loaded.get_last_local_change().ok_or_else(|| refused("the change was lost".to_owned()))?;
    let chunk = change.raw_bytes().to_vec();
    if chunk.len() > CHANGE_BYTES_MAX {
        return Err(WriteError::TooLarge { key: key.clone(), bytes: chunk.len() });
    }
    let meta = ChangeMeta::of(&change).ok_or_else(|| refused("the actor has another length".to_owned()))?;
    Ok(Some((meta, chunk)))
}
