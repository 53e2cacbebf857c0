//! Late work: what this replica wrote into a generation that ended without it, brought into the next (decision D5).

use serde_json::{Map, Value};

use super::admit::{TakeError, Taken};
use super::generation::Follow;
use super::loads::Loads;
use super::write::{self, Author, WriteError};
use crate::document::admission::Refusal;
use crate::document::generation::Root;
use crate::document::history::ChangeMeta;
use crate::document::json::{self, PathSegment};
use crate::document::materialise::{self, MaterialiseError};
use crate::document::rebase::{Beside, Rebase, rebase};
use crate::document::{ActorBytes, Clock, Heads};
use crate::id::ChangeHash;
use crate::identity::Role;
#[cfg(feature = "mutants")]
use crate::mutants::{Mutant, planted};
use crate::store::{StoreError, StoredDocument, Tx};

/// What was written here and is not in the cut.
pub(super) enum Late {
    /// A node's own document: what it says stands.
    Own(Map<String, Value>),
    /// A hub's: the state that both sides began from, and what was made of it here.
    Shared { base: Map<String, Value>, mine: Map<String, Value>, beside: Vec<Beside> },
}

/// Finds late work before the document follows another generation. `None` when all that is held is in the cut.
pub(super) fn find(
    tx: &Tx<'_>,
    author: &Author<'_>,
    document: &StoredDocument,
    follow: &Follow,
) -> Result<Option<Late>, TakeError> {
    let Some(latest) = document.latest else { return Ok(None) };
    let (latest, Some(mine)) = (tx.log_row(latest)?, tx.view(document.row)?) else { return Ok(None) };
    let present = document.generation;
    let is_in_cut = |next: &Root| {
        #[cfg(feature = "mutants")]
        if planted(Mutant::LateWorkCountsAsCut) {
            return latest.clock.includes(&next.clock);
        }
        next.clock.includes(&latest.clock)
    };
    let (generation, written, cut) = match parting(tx, document, follow)? {
        // The two sides stand on different cuts of one generation: what they share is in the one before.
        Some((own, other)) => {
            let is_bare = own.generation == present && latest.frontier.frontier().heads.hashes() == [own.genesis];
            if is_bare && other.clock.includes(&own.clock) {
                return Ok(None);
            }
            (own.generation.saturating_sub(1), own.clock, Some(other.clock))
        }
        None => match follow.root_of(present.saturating_add(1)) {
            Some(next) if is_in_cut(next) => return Ok(None),
            next => (present, latest.clock.clone(), next.map(|next| next.clock.clone())),
        },
    };
    if author.identity.role() == Role::Node {
        return Ok(Some(Late::Own(mine)));
    }
    let base = match cut {
        Some(cut) => state_below_both(tx, document, generation, &written, &cut)?,
        None => None,
    };
    // Without a common base every field that differs counts as written on both sides.
    let loaded = materialise::load(&tx.chunks(document.row, present)?, None)?;
    let heads = latest.frontier.frontier().heads.to_automerge();
    let conflicts = json::conflicts(&loaded, Some(&heads))
        .map_err(|error| MaterialiseError::NotJson { reason: error.to_string() })?;
    let beside = conflicts.iter().flat_map(|conflict| beside(&mine, conflict)).collect();
    Ok(Some(Late::Shared { base: base.unwrap_or_default(), mine, beside }))
}

/// The values that are not shown. Of a place within a list: the list with that value in it.
fn beside(mine: &Map<String, Value>, conflict: &json::Conflict) -> Vec<Beside> {
    let key = |segment: &PathSegment| match segment {
        PathSegment::Key(key) => Some(key.clone()),
        PathSegment::Index(_) => None,
    };
    let path: Vec<String> = conflict.path.iter().map_while(key).collect();
    let within = conflict.path.get(path.len()..).unwrap_or_default();
    let Some((first, rest)) = path.split_first() else { return Vec::new() };
    let shown = rest.iter().try_fold(mine.get(first), |value, key| Some(value?.get(key)));
    let Some(shown) = shown.flatten() else { return Vec::new() };
    let with = |hidden: &Value| {
        let mut value = shown.clone();
        let place = within.iter().try_fold(&mut value, |value, segment| match segment {
            PathSegment::Key(key) => value.get_mut(key),
            PathSegment::Index(index) => value.get_mut(index),
        });
        *place? = hidden.clone();
        Some(Beside { path: path.clone(), value })
    };
    conflict.values.iter().skip(1).filter_map(with).collect()
}

/// The first generation that began here with another record than there, with both.
fn parting(tx: &Tx<'_>, document: &StoredDocument, follow: &Follow) -> Result<Option<(Root, Root)>, StoreError> {
    for own in tx.roots_between(document.row, 0, document.generation)? {
        let other = follow.root_of(own.root().generation);
        if let Some(other) = other.filter(|other| other.genesis != own.root().genesis) {
            return Ok(Some((own.root().clone(), other.clone())));
        }
    }
    Ok(None)
}

/// The state at what two clocks of one generation share; `None` when that generation is gone.
fn state_below_both(
    tx: &Tx<'_>,
    document: &StoredDocument,
    generation: u32,
    one: &Clock,
    other: &Clock,
) -> Result<Option<Map<String, Value>>, TakeError> {
    let mut both = one.clone();
    both.meet(other);
    let Some(heads) = Heads::new(tx.history(document.row, generation)?.heads_at(&both)) else { return Ok(None) };
    let loaded = materialise::load(&tx.chunks(document.row, generation)?, None)?;
    Ok(Some(materialise::state_at(&loaded, &heads)?))
}

/// Writes late work on top of the generation that the document follows now, and signs a frontier above both.
pub(super) fn bring_in(
    tx: &Tx<'_>,
    author: &Author<'_>,
    document: &StoredDocument,
    genesis: ChangeHash,
    late: &Late,
    loads: &mut Loads,
) -> Result<Taken, TakeError> {
    let (state, rebased) = match late {
        Late::Own(state) => (Some(state), None),
        Late::Shared { base, mine, beside } => {
            let rebased = write_beside(tx, author, document, genesis, |theirs| rebase(base, mine, theirs, beside))?;
            tracing::warn!(document = %document.key, contested = rebased.contested.len(), left = rebased.left.len(),
                "what was written here after the cut was written again");
            (None, Some(rebased))
        }
    };
    match tx.attempt(|| write::write(tx, author, document, state, loads)) {
        Ok(_) => Ok(Taken { changed: Some(document.key.clone()), rebased, ..Taken::default() }),
        Err(WriteError::Store(error)) => Err(error.into()),
        Err(error) => Err(Refusal::Poison { reason: error.to_string() }.into()),
    }
}

/// Adds the late writer's values and, where a field has several, one change for each of them, beside each other right above
/// the genesis: then the document itself shows what is in conflict.
fn write_beside(
    tx: &Tx<'_>,
    author: &Author<'_>,
    document: &StoredDocument,
    genesis: ChangeHash,
    rebase_onto: impl FnOnce(&Map<String, Value>) -> Rebase,
) -> Result<Rebase, TakeError> {
    let chunks = tx.chunks(document.row, document.generation)?;
    let first: Vec<Vec<u8>> = chunks.into_iter().take(1).collect();
    let heads = Heads::new(vec![genesis]).ok_or(StoreError::Corrupt { place: "root" })?;
    let rebased = rebase_onto(&materialise::state_at(&materialise::load(&first, None)?, &heads)?);
    let most = rebased.contested.iter().map(|field| field.values.len()).max().unwrap_or(0);
    let mut actor = author.actor;
    for turn in 0..most.max(1) {
        // Another actor of this replica each time: what it writes is concurrent with the others'.
        actor = actor.in_generation(&genesis);
        let change = write_on(&first, actor, |transaction| {
            if turn == 0 {
                json::write_json(transaction, &rebased.state)?;
            }
            let values = rebased.contested.iter().filter_map(|field| Some((&field.path, field.values.get(turn)?)));
            values.into_iter().try_for_each(|(path, value)| json::write_again(transaction, path, value))
        })?;
        if let Some((meta, chunk)) = change {
            tx.add_change(document.row, document.generation, &meta, &chunk)?;
        }
    }
    Ok(rebased)
}

/// One change by `actor` right above the genesis.
fn write_on(
    first: &[Vec<u8>],
    actor: ActorBytes,
    write: impl FnOnce(&mut automerge::transaction::Transaction<'_>) -> Result<(), json::JsonError>,
) -> Result<Option<(ChangeMeta, Vec<u8>)>, TakeError> {
    let mut loaded = materialise::load(first, Some(actor))?;
    let mut transaction = loaded.transaction();
    write(&mut transaction).map_err(|error| MaterialiseError::NotJson { reason: error.to_string() })?;
    let options = automerge::transaction::CommitOptions::default().with_time(0);
    if transaction.commit_with(options).0.is_none() {
        return Ok(None);
    }
    let change = loaded.get_last_local_change();
    Ok(change.and_then(|change| Some((ChangeMeta::of(&change)?, change.raw_bytes().to_vec()))))
}
