//! Documents that a peer is owed although its scope does not hold them: see table `owed`.

use super::Tx;
use super::documents::DocumentRow;
use super::error::StoreError;
use super::feed::UNSURE_OF_ALL;
use super::peers::PeerRow;
use super::setup::role_number;
use crate::document::DocumentKey;
use crate::identity::Role;

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

    /// A frontier above those that were beside each other has come, from this peer or from here: hubs get it as they get
    /// everything. The node that wrote the document may have lost it, unless it sent it itself; then it gets what came now.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn settle(&self, document: DocumentRow, from: Option<&PeerRow>) -> Result<(), StoreError> {
        // Hardly ever is anything owed, and this comes with every frontier.
        let mut any = self.inner.prepare_cached("SELECT EXISTS (SELECT 1 FROM owed WHERE document = ?)")?;
        if !any.query_row([document.0], |row| row.get(0))? {
            return Ok(());
        }
        self.inner
            .prepare_cached("UPDATE peer SET dirty = 1 WHERE id IN (SELECT peer FROM owed WHERE document = ?)")?
            .execute([document.0])?;
        self.inner
            .prepare_cached(
                "DELETE FROM owed WHERE document = ?1
                 AND (?2 IS NULL OR peer = ?2 OR (SELECT role FROM peer WHERE id = owed.peer) = ?3)",
            )?
            .execute((document.0, from.map(|from| from.id), role_number(Role::Hub)))?;
        Ok(())
    }

    /// Owes to a node what it wrote: it has lost its past, and what it says from now on stands above that. Whether there was
    /// anything.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn owe_own(&self, node: &mut PeerRow) -> Result<bool, StoreError> {
        let mut owes = false;
        for key in DocumentKey::written_by(node.node) {
            if let Some(document) = self.document(key.id())?.filter(|document| document.latest.is_some()) {
                self.owe(node, document.row)?;
                owes = true;
            }
        }
        if owes {
            self.set_unsure(node, UNSURE_OF_ALL)?;
        }
        Ok(owes)
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
