//! Staging: parts of a large delta, durable one by one, until the part with the frontier that authenticates them arrives.

use super::Tx;
use super::error::StoreError;
use super::peers::PeerRow;
use crate::id::DocumentId;
use crate::limits::STAGED_PART_BYTES_MIN;

impl Tx<'_> {
    /// Keeps the next part of a transfer.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn stage(&self, peer: &PeerRow, document: DocumentId, changes: &[u8]) -> Result<(), StoreError> {
        self.inner.execute(
            "INSERT INTO staging (peer, document, part, changes) VALUES (?1, ?2,
             (SELECT coalesce(max(part), 0) + 1 FROM staging WHERE peer = ?1 AND document = ?2), ?3)",
            (peer.id, document.0, changes),
        )?;
        Ok(())
    }

    /// Bytes staged for the peer, over all documents. A part counts as [`STAGED_PART_BYTES_MIN`] at least.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn staged_bytes(&self, peer: &PeerRow) -> Result<u64, StoreError> {
        let sql = "SELECT coalesce(sum(max(length(changes), ?2)), 0) FROM staging WHERE peer = ?1";
        Ok(self.inner.query_row(sql, (peer.id, STAGED_PART_BYTES_MIN), |row| row.get(0))?)
    }

    /// Takes all parts of a transfer out of the table, in order.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn take_staged(&self, peer: &PeerRow, document: DocumentId) -> Result<Vec<Vec<u8>>, StoreError> {
        let mut statement =
            self.inner.prepare_cached("SELECT changes FROM staging WHERE peer = ? AND document = ? ORDER BY part")?;
        let parts =
            statement.query_map((peer.id, document.0), |row| row.get(0))?.collect::<Result<Vec<Vec<u8>>, _>>()?;
        self.inner.execute("DELETE FROM staging WHERE peer = ? AND document = ?", (peer.id, document.0))?;
        Ok(parts)
    }

    /// Drops every part of the peer's unfinished transfers.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn drop_staged(&self, peer: &PeerRow) -> Result<(), StoreError> {
        self.inner.execute("DELETE FROM staging WHERE peer = ?", [peer.id])?;
        Ok(())
    }
}
