//! Views: the state at a document's latest frontier, ready to read; and local state that was not cut into a change yet.

use rusqlite::OptionalExtension;
use serde_json::{Map, Value};

use super::Tx;
use super::compressed::{Compressed, compress, decompress};
use super::documents::DocumentRow;
use super::error::StoreError;
use super::log::LogSeq;

fn parse((stored, size): (Vec<u8>, u64), place: &'static str) -> Result<Map<String, Value>, StoreError> {
    let text = decompress(stored, size, place)?;
    serde_json::from_slice(&text).map_err(|_| StoreError::Corrupt { place })
}

fn pack(state: &Map<String, Value>) -> Result<Compressed, StoreError> {
    let text = serde_json::to_vec(state).map_err(|_| StoreError::Corrupt { place: "view.state" })?;
    Ok(compress(&text))
}

impl Tx<'_> {
    /// The state at the document's latest frontier.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn view(&self, document: DocumentRow) -> Result<Option<Map<String, Value>>, StoreError> {
        let mut statement = self.inner.prepare_cached("SELECT state, size FROM view WHERE document = ?")?;
        let state = statement.query_row([document.0], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        state.map(|state| parse(state, "view.state")).transpose()
    }

    /// Replaces the document's view.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn set_view(&self, document: DocumentRow, log: LogSeq, state: &Map<String, Value>) -> Result<(), StoreError> {
        let Compressed { stored, size } = pack(state)?;
        self.inner
            .prepare_cached("INSERT OR REPLACE INTO view (document, log, state, size) VALUES (?, ?, ?, ?)")?
            .execute((document.0, log.0, stored, size))?;
        Ok(())
    }

    /// Keeps local state that is to become a change when a peer can take it. An earlier one is replaced.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn set_pending(&self, document: DocumentRow, state: &Map<String, Value>) -> Result<(), StoreError> {
        let Compressed { stored, size } = pack(state)?;
        self.inner
            .prepare_cached("INSERT OR REPLACE INTO pending (document, state, size) VALUES (?, ?, ?)")?
            .execute((document.0, stored, size))?;
        Ok(())
    }

    /// The document's local state that was not cut into a change yet.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn pending(&self, document: DocumentRow) -> Result<Option<Map<String, Value>>, StoreError> {
        let mut statement = self.inner.prepare_cached("SELECT state, size FROM pending WHERE document = ?")?;
        let state = statement.query_row([document.0], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        state.map(|state| parse(state, "pending.state")).transpose()
    }

    /// Every document with local state that was not cut yet.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn all_pending(&self) -> Result<Vec<DocumentRow>, StoreError> {
        let mut statement = self.inner.prepare_cached("SELECT document FROM pending ORDER BY document")?;
        let rows = statement.query_map([], |row| row.get(0).map(DocumentRow))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Forgets local state, in the transaction that made a change of it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn clear_pending(&self, document: DocumentRow) -> Result<(), StoreError> {
        self.inner.prepare_cached("DELETE FROM pending WHERE document = ?")?.execute([document.0])?;
        Ok(())
    }
}
