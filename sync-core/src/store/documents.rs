//! Documents and their changes.

use rusqlite::OptionalExtension;

use super::Tx;
use super::compressed::{Compressed, compress, decompress};
use super::error::StoreError;
use super::log::LogSeq;
use crate::document::history::ChangeMeta;
use crate::document::{ActorBytes, Clock, DocumentKey, DocumentKind, History};
use crate::id::{ChangeHash, DocumentId, NodeId};

/// A document's number in this database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct DocumentRow(pub(super) i64);

/// A document as the database knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredDocument {
    /// Its number here.
    pub row: DocumentRow,
    /// Its full name.
    pub key: DocumentKey,
    /// How often it was re-rooted.
    pub generation: u32,
    /// Its newest frontier by causality.
    pub latest: Option<LogSeq>,
}

/// How much some changes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Weight {
    /// Their number.
    pub changes: u64,
    /// Their operations.
    pub operations: u64,
    /// Their bytes, as stored.
    pub bytes: u64,
}

impl Weight {
    /// Both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            changes: self.changes.saturating_add(other.changes),
            operations: self.operations.saturating_add(other.operations),
            bytes: self.bytes.saturating_add(other.bytes),
        }
    }
}

const COLUMNS: &str = "id, kind, owner, name, generation, latest";

fn read_document(row: &rusqlite::Row<'_>) -> rusqlite::Result<Option<StoredDocument>> {
    let Some(kind) = DocumentKind::from_number(row.get(1)?) else { return Ok(None) };
    let owner: Option<[u8; 32]> = row.get(2)?;
    Ok(Some(StoredDocument {
        row: DocumentRow(row.get(0)?),
        key: DocumentKey { kind, owner: owner.map(NodeId), name: row.get(3)? },
        generation: row.get(4)?,
        latest: row.get::<_, Option<i64>>(5)?.map(LogSeq),
    }))
}

const CHANGES: &str =
    "SELECT hash, actor.actor, seq, start_op, max_op, deps FROM change JOIN actor ON actor.id = change.actor";

fn read_change(row: &rusqlite::Row<'_>) -> rusqlite::Result<ChangeMeta> {
    let deps: Vec<u8> = row.get(5)?;
    Ok(ChangeMeta {
        hash: ChangeHash(row.get(0)?),
        actor: ActorBytes(row.get(1)?),
        seq: row.get(2)?,
        start_op: row.get(3)?,
        max_op: row.get(4)?,
        deps: deps.as_chunks::<32>().0.iter().copied().map(ChangeHash).collect(),
    })
}

const CHUNK: &str = "change.chunk";

const BAD_KIND: StoreError = StoreError::Corrupt { place: "document.kind" };

impl Tx<'_> {
    /// The document of this id, if it is held here.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn document(&self, id: DocumentId) -> Result<Option<StoredDocument>, StoreError> {
        let mut statement = self.inner.prepare_cached(&format!("SELECT {COLUMNS} FROM document WHERE document = ?"))?;
        statement.query_row([id.0], read_document).optional()?.map(|found| found.ok_or(BAD_KIND)).transpose()
    }

    /// The document of this number.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn document_by_row(&self, row: DocumentRow) -> Result<StoredDocument, StoreError> {
        let mut statement = self.inner.prepare_cached(&format!("SELECT {COLUMNS} FROM document WHERE id = ?"))?;
        statement.query_row([row.0], read_document)?.ok_or(BAD_KIND)
    }

    /// Every document of this kind, by name.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn documents_of_kind(&self, kind: DocumentKind) -> Result<Vec<StoredDocument>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM document WHERE kind = ? ORDER BY name, id");
        let mut statement = self.inner.prepare_cached(&sql)?;
        let rows = statement.query_map([kind.number()], read_document)?;
        rows.map(|row| row?.ok_or(BAD_KIND)).collect()
    }

    /// Every document held here, in order of arrival.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn documents(&self) -> Result<Vec<StoredDocument>, StoreError> {
        let mut statement = self.inner.prepare_cached(&format!("SELECT {COLUMNS} FROM document ORDER BY id"))?;
        let rows = statement.query_map([], read_document)?;
        rows.map(|row| row?.ok_or(BAD_KIND)).collect()
    }

    /// Adds a document without changes.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn add_document(&self, key: &DocumentKey, generation: u32) -> Result<StoredDocument, StoreError> {
        self.inner.execute(
            "INSERT INTO document (document, kind, owner, name, generation) VALUES (?, ?, ?, ?, ?)",
            (key.id().0, key.kind.number(), key.owner.map(|owner| owner.0), &key.name, generation),
        )?;
        let row = DocumentRow(self.inner.last_insert_rowid());
        Ok(StoredDocument { row, key: key.clone(), generation, latest: None })
    }

    /// Appends a change. Its place in the document's history was checked before.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn add_change(
        &self,
        document: DocumentRow,
        generation: u32,
        meta: &ChangeMeta,
        chunk: &[u8],
    ) -> Result<(), StoreError> {
        let actor = self.actor_number(&meta.actor)?;
        let Compressed { stored, size } = compress(chunk);
        let deps: Vec<u8> = meta.deps.iter().flat_map(|dep| dep.0).collect();
        let mut statement = self.inner.prepare_cached(
            "INSERT INTO change (document, generation, actor, seq, hash, start_op, max_op, deps, chunk, size)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )?;
        statement.execute((
            document.0,
            generation,
            actor,
            meta.seq,
            meta.hash.0,
            meta.start_op,
            meta.max_op,
            deps,
            stored,
            size,
        ))?;
        Ok(())
    }

    fn actor_number(&self, actor: &ActorBytes) -> Result<i64, StoreError> {
        let mut find = self.inner.prepare_cached("SELECT id FROM actor WHERE actor = ?")?;
        if let Some(id) = find.query_row([actor.0], |row| row.get(0)).optional()? {
            return Ok(id);
        }
        self.inner.prepare_cached("INSERT INTO actor (actor) VALUES (?)")?.execute([actor.0])?;
        Ok(self.inner.last_insert_rowid())
    }

    /// What is known of one generation's changes, without their content.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn history(&self, document: DocumentRow, generation: u32) -> Result<History, StoreError> {
        let sql = format!("{CHANGES} WHERE document = ? AND generation = ? ORDER BY change.id");
        let mut statement = self.inner.prepare_cached(&sql)?;
        let rows = statement.query_map((document.0, generation), read_change)?;
        let mut history = History::default();
        for meta in rows {
            history.push(meta?).map_err(|_| StoreError::Corrupt { place: "change" })?;
        }
        Ok(history)
    }

    /// The place of one change of the document, if it is held. Reads the document's changes: for the few that a batch builds
    /// on.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn change(&self, document: DocumentRow, hash: &ChangeHash) -> Result<Option<ChangeMeta>, StoreError> {
        let mut statement = self.inner.prepare_cached(&format!("{CHANGES} WHERE document = ? AND hash = ?"))?;
        Ok(statement.query_row((document.0, hash.0), read_change).optional()?)
    }

    /// The chunks of all changes of one generation, in a causal order.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn chunks(&self, document: DocumentRow, generation: u32) -> Result<Vec<Vec<u8>>, StoreError> {
        let sql = "SELECT chunk, size FROM change WHERE document = ? AND generation = ? ORDER BY id";
        let mut statement = self.inner.prepare_cached(sql)?;
        let rows = statement.query_map((document.0, generation), |row| Ok((row.get(0)?, row.get(1)?)))?;
        rows.map(|row| {
            let (stored, size) = row?;
            decompress(stored, size, CHUNK)
        })
        .collect()
    }

    /// How much the changes are that `upto` holds and `from` does not. Each actor writes in one generation only, so a clock
    /// names the changes of one.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn weight_between(&self, document: DocumentRow, from: &Clock, upto: &Clock) -> Result<Weight, StoreError> {
        let mut statement = self.inner.prepare_cached(
            "SELECT count(*), coalesce(sum(max_op - start_op + 1), 0), coalesce(sum(size), 0)
             FROM change JOIN actor ON actor.id = change.actor
             WHERE document = ? AND actor.actor = ? AND seq > ? AND seq <= ?",
        )?;
        let mut weight = Weight::default();
        for (actor, seq) in upto.iter().filter(|(actor, seq)| from.seq(actor) < *seq) {
            let more = statement.query_row((document.0, actor.0, from.seq(actor), seq), |row| {
                Ok(Weight { changes: row.get(0)?, operations: row.get(1)?, bytes: row.get(2)? })
            })?;
            weight.changes += more.changes;
            weight.operations += more.operations;
            weight.bytes += more.bytes;
        }
        Ok(weight)
    }

    /// The chunks of the changes that `upto` holds and `from` does not, in a causal order.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn chunks_between(
        &self,
        document: DocumentRow,
        from: &Clock,
        upto: &Clock,
    ) -> Result<Vec<Vec<u8>>, StoreError> {
        let read = |row: &rusqlite::Row<'_>| Ok((row.get(1)?, row.get(2)?));
        let found = self.between("chunk, size", read, document, from, upto)?;
        found.into_iter().map(|(stored, size): (Vec<u8>, _)| decompress(stored, size, CHUNK)).collect()
    }

    /// The hashes of the same changes, in the same order.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn hashes_between(
        &self,
        document: DocumentRow,
        from: &Clock,
        upto: &Clock,
    ) -> Result<Vec<ChangeHash>, StoreError> {
        self.between("hash", |row| row.get(1).map(ChangeHash), document, from, upto)
    }

    fn between<T>(
        &self,
        columns: &str,
        read: impl Fn(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
        document: DocumentRow,
        from: &Clock,
        upto: &Clock,
    ) -> Result<Vec<T>, StoreError> {
        let sql = format!(
            "SELECT change.id, {columns} FROM change JOIN actor ON actor.id = change.actor
             WHERE document = ? AND actor.actor = ? AND seq > ? AND seq <= ?"
        );
        let mut statement = self.inner.prepare_cached(&sql)?;
        let mut found: Vec<(i64, T)> = Vec::new();
        for (actor, seq) in upto.iter().filter(|(actor, seq)| from.seq(actor) < *seq) {
            let rows = statement
                .query_map((document.0, actor.0, from.seq(actor), seq), |row| Ok((row.get(0)?, read(row)?)))?;
            for row in rows {
                found.push(row?);
            }
        }
        found.sort_unstable_by_key(|(id, _)| *id);
        Ok(found.into_iter().map(|(_, value)| value).collect())
    }
}
