//! Documents that a peer is owed although its scope does not hold them: see table `owed`.

use super::Tx;
use super::documents::DocumentRow;
use super::error::StoreError;
use super::peers::PeerRow;

impl Tx<'_> {
    /// Owes the document to the peer.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn owe(&self, peer: &PeerRow, document: DocumentRow) -> Result<(), StoreError> {
        self.inner
            .prepare_cached("INSERT OR IGNORE INTO owed (peer, document) VALUES (?, ?)")?
            .execute((peer.id, document.0))?;
        self.mark_dirty(peer.node)
    }

    /// The document is owed to nobody any more: everyone gets what came now, or has it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn settle(&self, document: DocumentRow) -> Result<(), StoreError> {
        let mut statement = self.inner.prepare_cached("DELETE FROM owed WHERE document = ? RETURNING peer")?;
        let peers = statement.query_map([document.0], |row| row.get(0))?.collect::<Result<Vec<i64>, _>>()?;
        for peer in peers {
            self.inner.prepare_cached("UPDATE peer SET dirty = 1 WHERE id = ?")?.execute([peer])?;
        }
        Ok(())
    }

    /// The documents owed to the peer.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn owed(&self, peer: &PeerRow) -> Result<Vec<DocumentRow>, StoreError> {
        let mut statement = self.inner.prepare_cached("SELECT document FROM owed WHERE peer = ? ORDER BY document")?;
        let rows = statement.query_map([peer.id], |row| row.get(0).map(DocumentRow))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}
