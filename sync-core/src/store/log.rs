//! The log: signed frontiers in order of arrival.

use rusqlite::OptionalExtension;

use super::Tx;
use super::documents::DocumentRow;
use super::error::StoreError;
use crate::document::{Clock, Frontier, Heads, SignedFrontier};
use crate::env::WallTime;
use crate::id::{DocumentId, NodeId};
use crate::identity::Signature;

/// A place in the log, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogSeq(pub(super) i64);

impl LogSeq {
    /// Whether it is the place right after `other`.
    #[must_use]
    pub fn follows(self, other: Self) -> bool {
        other.0.checked_add(1) == Some(self.0)
    }
}

/// An entry of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogRow {
    /// Its place.
    pub seq: LogSeq,
    /// The document's number here.
    pub document: DocumentRow,
    /// What was signed.
    pub frontier: SignedFrontier,
    /// The changes at or below it.
    pub clock: Clock,
    /// Whether they are still here: not once their generation was dropped.
    pub held: bool,
}

const COLUMNS: &str =
    "log.seq, log.document, d.document, log.generation, version, heads, clock, author, signature, held";

type Columns = (i64, i64, [u8; 16], u32, u64, Vec<u8>, Vec<u8>, [u8; 32], [u8; 64], bool);

fn decode((seq, row, document, generation, version, heads, clock, author, signature, held): Columns) -> Option<LogRow> {
    let frontier = Frontier { document: DocumentId(document), generation, version, heads: Heads::from_bytes(&heads)? };
    Some(LogRow {
        seq: LogSeq(seq),
        document: DocumentRow(row),
        frontier: SignedFrontier::from_store(frontier, NodeId(author), Signature(signature)),
        clock: Clock::from_bytes(&clock)?,
        held,
    })
}

/// The entries after a place, in order of arrival.
pub(super) fn rows_after(connection: &rusqlite::Connection, after: Option<LogSeq>) -> Result<Vec<LogRow>, StoreError> {
    let sql =
        format!("SELECT {COLUMNS} FROM log JOIN document d ON d.id = log.document WHERE log.seq > ? ORDER BY log.seq");
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map([after.map_or(0, |after| after.0)], |row| Columns::try_from(row))?;
    rows.map(|row| decode(row?).ok_or(StoreError::Corrupt { place: "log" })).collect()
}

impl Tx<'_> {
    /// Appends a frontier, all of whose changes are held here. One whose changes had been dropped and came again keeps its
    /// place.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn append_frontier(
        &self,
        document: DocumentRow,
        signed: &SignedFrontier,
        clock: &Clock,
        at: WallTime,
    ) -> Result<LogSeq, StoreError> {
        let frontier = signed.frontier();
        let mut statement = self.inner.prepare_cached(
            "INSERT INTO log (document, generation, version, heads, clock, author, signature, at)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?)
             ON CONFLICT (document, generation, heads) DO UPDATE SET held = 1 RETURNING seq",
        )?;
        let seq = statement.query_row(
            (
                document.0,
                frontier.generation,
                frontier.version,
                frontier.heads.to_bytes(),
                clock.to_bytes(),
                signed.author().0,
                signed.signature().0,
                at.0,
            ),
            |row| row.get(0),
        )?;
        Ok(LogSeq(seq))
    }

    /// Makes `seq` the document's newest frontier.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn set_latest(&self, document: DocumentRow, seq: LogSeq) -> Result<(), StoreError> {
        self.inner.prepare_cached("UPDATE document SET latest = ? WHERE id = ?")?.execute((seq.0, document.0))?;
        Ok(())
    }

    /// The entry at this place.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn log_row(&self, seq: LogSeq) -> Result<LogRow, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM log JOIN document d ON d.id = log.document WHERE log.seq = ?");
        let found = self.inner.prepare_cached(&sql)?.query_row([seq.0], |row| Columns::try_from(row))?;
        decode(found).ok_or(StoreError::Corrupt { place: "log" })
    }

    /// Every entry of the document, in order of arrival.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn log_of(&self, document: DocumentRow) -> Result<Vec<LogRow>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM log JOIN document d ON d.id = log.document WHERE log.document = ? ORDER BY log.seq"
        );
        let mut statement = self.inner.prepare_cached(&sql)?;
        let rows = statement.query_map([document.0], |row| Columns::try_from(row))?;
        rows.map(|row| decode(row?).ok_or(StoreError::Corrupt { place: "log" })).collect()
    }

    /// The entry of the document with these heads. Look at [`LogRow::held`] before reading its changes.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn find_frontier(
        &self,
        document: DocumentRow,
        generation: u32,
        heads: &Heads,
    ) -> Result<Option<LogRow>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM log JOIN document d ON d.id = log.document
             WHERE log.document = ? AND log.generation = ? AND heads = ?"
        );
        let mut statement = self.inner.prepare_cached(&sql)?;
        let found =
            statement.query_row((document.0, generation, heads.to_bytes()), |row| Columns::try_from(row)).optional()?;
        found.map(|found| decode(found).ok_or(StoreError::Corrupt { place: "log" })).transpose()
    }

    /// The highest version of any frontier of the document; 0 before the first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn highest_version(&self, document: DocumentRow) -> Result<u64, StoreError> {
        let sql = "SELECT coalesce(max(version), 0) FROM log WHERE document = ?";
        Ok(self.inner.prepare_cached(sql)?.query_row([document.0], |row| row.get(0))?)
    }

    /// When the entry came to this store, in seconds since 1970.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn arrived_at(&self, seq: LogSeq) -> Result<Option<u64>, StoreError> {
        Ok(self.inner.query_row("SELECT at FROM log WHERE seq = ?", [seq.0], |row| row.get(0))?)
    }

    /// How many entries the log holds.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn log_length(&self) -> Result<u64, StoreError> {
        Ok(self.inner.query_row("SELECT count(*) FROM log", [], |row| row.get(0))?)
    }
}
