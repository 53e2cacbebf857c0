//! Refusals that their sender may not have heard: a link can die between the commit that moves the cursor past a refused entry
//! and the frame that says so. They are told again after the next hello, until the document comes in a form that is taken.

use super::Tx;
use super::error::StoreError;
use super::peers::PeerRow;
use crate::id::DocumentId;
use crate::limits::{UNTOLD_REFUSALS_MAX, UNTOLD_TELLS_MAX};

impl Tx<'_> {
    /// Notes what the peer is to be told about a document of its feed, in place of what was noted before. Past the bound the
    /// peer's oldest makes room.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn note_untold(&self, peer: &PeerRow, document: DocumentId, refusal: &[u8]) -> Result<(), StoreError> {
        self.inner
            .prepare_cached(
                "INSERT INTO untold (peer, document, refusal) VALUES (?, ?, ?)
                 ON CONFLICT (peer, document) DO UPDATE SET refusal = excluded.refusal",
            )?
            .execute((peer.id, document.0, refusal))?;
        self.inner
            .prepare_cached(
                "DELETE FROM untold WHERE peer = ?1 AND id <=
                 (SELECT id FROM untold WHERE peer = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)",
            )?
            .execute((peer.id, UNTOLD_REFUSALS_MAX as u64))?;
        Ok(())
    }

    /// The document came in a form that was taken.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn forget_untold(&self, peer: &PeerRow, document: DocumentId) -> Result<(), StoreError> {
        let sql = "DELETE FROM untold WHERE peer = ? AND document = ?";
        self.inner.prepare_cached(sql)?.execute((peer.id, document.0))?;
        Ok(())
    }

    /// Whether there is something that the peer is to be told once more.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn has_untold(&self, peer: &PeerRow) -> Result<bool, StoreError> {
        let sql = "SELECT EXISTS (SELECT 1 FROM untold WHERE peer = ?)";
        Ok(self.inner.prepare_cached(sql)?.query_row([peer.id], |row| row.get(0))?)
    }

    /// What the peer is to be told once more, oldest first. What it was told often enough is forgotten.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn tell_untold(&self, peer: &PeerRow) -> Result<Vec<Vec<u8>>, StoreError> {
        let mut statement = self.inner.prepare_cached("SELECT refusal FROM untold WHERE peer = ? ORDER BY id")?;
        let rows = statement.query_map([peer.id], |row| row.get(0))?;
        let refusals = rows.collect::<Result<Vec<Vec<u8>>, _>>()?;
        if !refusals.is_empty() {
            let sql = "UPDATE untold SET told = told + 1 WHERE peer = ?";
            self.inner.prepare_cached(sql)?.execute([peer.id])?;
            let sql = "DELETE FROM untold WHERE peer = ? AND told >= ?";
            self.inner.prepare_cached(sql)?.execute((peer.id, UNTOLD_TELLS_MAX))?;
        }
        Ok(refusals)
    }
}
