//! What the tables hold, in figures: for simulators and operators that watch the bounds.

use super::Tx;
use super::error::StoreError;
use super::feed::FeedEntry;
use super::log::{self, LogRow, LogSeq};
use super::peers::PeerRow;
use crate::id::Chain;
use crate::store::DocumentRow;

/// One table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TableSize {
    /// Rows.
    pub rows: u64,
    /// Bytes of their variable columns: what was stored, without SQLite's own.
    pub bytes: u64,
}

/// The tables that grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TableSizes {
    /// `change`; bytes of chunks.
    pub change: TableSize,
    /// `log`; bytes of heads and clocks.
    pub log: TableSize,
    /// `feed`, over all peers.
    pub feed: TableSize,
    /// `transfer`; bytes as announced.
    pub transfer: TableSize,
    /// Of the peer that has most: its transfers, and the bytes that they announce.
    pub transfer_of_one: TableSize,
    /// `staging`; bytes of parts.
    pub staging: TableSize,
    /// `quarantine`; bytes of inputs.
    pub quarantine: TableSize,
    /// The largest input in quarantine, in bytes.
    pub quarantined_input_max: u64,
    /// `peer`.
    pub peer: TableSize,
    /// Of the document that has most: its records of generations.
    pub roots_of_one: u64,
    /// `local`; bytes of values.
    pub local: TableSize,
    /// Bytes of the database file, without its log.
    pub database_bytes: u64,
}

/// An entry of a feed, and what the peer said of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedRow {
    /// The entry.
    pub entry: FeedEntry,
    /// The peer would not have it.
    pub refused: bool,
}

impl Tx<'_> {
    /// What the tables hold. Reads all of them: not for a busy replica.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn table_sizes(&self) -> Result<TableSizes, StoreError> {
        let size = |sql: &str| -> Result<TableSize, StoreError> {
            let read = |row: &rusqlite::Row<'_>| Ok(TableSize { rows: row.get(0)?, bytes: row.get(1)? });
            Ok(self.inner.query_row(sql, [], read)?)
        };
        let number = |sql: &str| -> Result<u64, StoreError> { Ok(self.inner.query_row(sql, [], |row| row.get(0))?) };
        Ok(TableSizes {
            change: size("SELECT count(*), coalesce(sum(length(chunk)), 0) FROM change")?,
            log: size("SELECT count(*), coalesce(sum(length(heads) + length(clock)), 0) FROM log")?,
            feed: size("SELECT count(*), coalesce(sum(length(chain)), 0) FROM feed")?,
            transfer: size("SELECT count(*), coalesce(sum(total), 0) FROM transfer")?,
            transfer_of_one: size(
                "SELECT coalesce(max(n), 0), coalesce(max(b), 0)
                 FROM (SELECT count(*) AS n, sum(total) AS b FROM transfer GROUP BY peer)",
            )?,
            staging: size("SELECT count(*), coalesce(sum(length(changes)), 0) FROM staging")?,
            quarantine: size("SELECT count(*), coalesce(sum(length(input)), 0) FROM quarantine")?,
            quarantined_input_max: number("SELECT coalesce(max(length(input)), 0) FROM quarantine")?,
            peer: size("SELECT count(*), coalesce(sum(length(certificate)), 0) FROM peer")?,
            roots_of_one: number("SELECT coalesce(max(n), 0) FROM (SELECT count(*) AS n FROM root GROUP BY document)")?,
            local: size("SELECT count(*), coalesce(sum(length(value)), 0) FROM local")?,
            database_bytes: number("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size")?,
        })
    }

    /// The peer's whole feed, as far as it is kept, by position.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn feed_rows(&self, peer: &PeerRow) -> Result<Vec<FeedRow>, StoreError> {
        let sql = "SELECT position, document, log, chain, refused FROM feed WHERE peer = ? ORDER BY position";
        let mut statement = self.inner.prepare_cached(sql)?;
        let rows = statement.query_map([peer.id], |row| {
            let entry = FeedEntry {
                number: row.get(0)?,
                document: DocumentRow(row.get(1)?),
                log: row.get::<_, Option<i64>>(2)?.map(LogSeq),
                chain: Chain(row.get(3)?),
            };
            Ok(FeedRow { entry, refused: row.get(4)? })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The entries of the log that came after `after`, in order of arrival; all of them for `None`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn log_after(&self, after: Option<LogSeq>) -> Result<Vec<LogRow>, StoreError> {
        log::rows_after(&self.inner, after)
    }

    /// The names of the embedding program's values, ascending.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn local_keys(&self) -> Result<Vec<String>, StoreError> {
        let mut statement = self.inner.prepare_cached("SELECT key FROM local ORDER BY key")?;
        let rows = statement.query_map([], |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::WallTime;
    use crate::id::NodeId;
    use crate::store::Store;

    #[test]
    fn figures_follow_what_is_stored() {
        let mut store = Store::open_in_memory().unwrap();
        let tx = store.begin().unwrap();
        let empty = tx.table_sizes().unwrap();
        assert_eq!(empty, TableSizes { database_bytes: empty.database_bytes, ..TableSizes::default() });
        assert!(empty.database_bytes >= 4096);
        tx.quarantine(NodeId([1; 32]), None, "why", &[7; 100], WallTime(None)).unwrap();
        tx.quarantine(NodeId([1; 32]), None, "why", &[7; 10], WallTime(None)).unwrap();
        tx.set_local("b", &1).unwrap();
        tx.set_local("a", &22).unwrap();
        let sizes = tx.table_sizes().unwrap();
        assert_eq!(sizes.quarantine, TableSize { rows: 2, bytes: 110 });
        assert_eq!(sizes.quarantined_input_max, 100);
        assert_eq!(sizes.local, TableSize { rows: 2, bytes: 3 });
        assert_eq!(tx.local_keys().unwrap(), ["a", "b"]);
    }
}
