//! Fields in which concurrent writes disagree: what each hub wrote and when, and settling it.

use serde_json::Value;

use super::edit::Edit;
use super::write::{self, WriteError};
use crate::document::json::{self, PathSegment};
use crate::document::materialise;
use crate::document::{ActorBytes, AuthorGroup, DocumentKey, History, SignedFrontier};
use crate::id::NodeId;
use crate::store::{LogRow, StoreError, Tx};

/// A field with several concurrent values.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldConflict {
    /// Where, from the document's root.
    pub path: Vec<PathSegment>,
    /// The values; the first is the one that everyone shows until somebody writes the field.
    pub values: Vec<ClaimedValue>,
}

/// One of the values.
#[derive(Debug, Clone, PartialEq)]
pub struct ClaimedValue {
    /// The value.
    pub value: Value,
    /// The hub that wrote it; `None` when no certificate of it was ever seen here.
    pub author: Option<NodeId>,
    /// When the first frontier above it came to this store, in seconds since 1970.
    pub at: Option<u64>,
}

/// The fields of a document of the hubs that are in conflict at its newest frontier, by path. A document without changes beside
/// each other is not even loaded.
///
/// # Errors
/// [`StoreError`]; a document that cannot be loaded has no conflicts to show.
pub fn conflicts(tx: &Tx<'_>, key: &DocumentKey) -> Result<Vec<FieldConflict>, StoreError> {
    let Some(document) = tx.document(key.id())? else { return Ok(Vec::new()) };
    let (AuthorGroup::Hubs, Some(latest)) = (key.author_group(), document.latest) else { return Ok(Vec::new()) };
    let latest = tx.log_row(latest)?;
    let history = tx.history(document.row, document.generation)?;
    if !history.is_forked() {
        return Ok(Vec::new());
    }
    let heads = latest.frontier.frontier().heads.to_automerge();
    let loaded =
        materialise::load(&tx.chunks(document.row, document.generation)?, None).map_err(|error| error.to_string());
    let found = loaded.and_then(|loaded| json::conflicts(&loaded, Some(&heads)).map_err(|error| error.to_string()));
    let found = match found {
        Ok(found) => found,
        Err(error) => {
            tracing::error!(document = %key, %error, "conflicts cannot be read");
            return Ok(Vec::new());
        }
    };
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let (log, hubs) = (tx.log_of(document.row)?, hubs(tx)?);
    let mut conflicts = Vec::new();
    for conflict in found {
        let mut values = Vec::new();
        for (value, (counter, actor)) in conflict.values.into_iter().zip(conflict.operations) {
            let author = hubs.iter().find(|hub| actor.belongs_to(hub)).copied();
            values.push(ClaimedValue { value, author, at: written_at(tx, &history, &log, &actor, counter)? });
        }
        conflicts.push(FieldConflict { path: conflict.path, values });
    }
    Ok(conflicts)
}

fn hubs(tx: &Tx<'_>) -> Result<Vec<NodeId>, StoreError> {
    let mut hubs = tx.hubs_ever()?;
    let own = tx.identity()?.map(|own| crate::identity::SigningKey::from_seed(own.seed).node_id());
    hubs.extend(own);
    Ok(hubs)
}

fn written_at(
    tx: &Tx<'_>,
    history: &History,
    log: &[LogRow],
    actor: &ActorBytes,
    counter: u64,
) -> Result<Option<u64>, StoreError> {
    let Some(change) = history.change_with_operation(actor, counter) else { return Ok(None) };
    let first = log.iter().find(|row| row.clock.seq(actor) >= change.seq);
    first.map_or(Ok(None), |row| tx.arrived_at(row.seq))
}

impl Edit<'_> {
    /// Writes `value` over every concurrent value at `path` and signs the new frontier: the conflict is settled, also when
    /// `value` is the one that was shown.
    ///
    /// # Errors
    /// [`WriteError`]; nothing was changed. There has to be something at `path`.
    pub fn settle(
        &mut self,
        key: &DocumentKey,
        path: &[PathSegment],
        value: &Value,
    ) -> Result<SignedFrontier, WriteError> {
        self.check(key)?;
        let Some(document) = self.tx.document(key.id())? else { return Err(WriteError::NotTheAuthor(key.clone())) };
        let author = self.author;
        let written = self.tx.attempt(|| {
            let change = |tx: &mut automerge::transaction::Transaction<'_>| json::settle(tx, path, value);
            write::write_with(&self.tx, &author, &document, change, &mut self.loads)
        });
        let written = written.inspect_err(|_| self.loads.undo(key.id()))?;
        if document.latest != Some(written.seq) {
            self.changed.push(key.clone());
        }
        Ok(written.frontier)
    }
}
