//! What is known of a member besides its feeds: its certificate, whether it is revoked or staged, and what it signed.

use rusqlite::OptionalExtension;

use super::Tx;
use super::documents::DocumentRow;
use super::error::StoreError;
use super::log::{LogRow, LogSeq};
use super::setup::role_number;
use crate::id::NodeId;
use crate::identity::Role;

impl Tx<'_> {
    /// The member's certificate (DER), if it was ever seen.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn certificate(&self, node: NodeId) -> Result<Option<Vec<u8>>, StoreError> {
        let mut statement = self.inner.prepare_cached("SELECT certificate FROM peer WHERE node = ?")?;
        let found: Option<Option<Vec<u8>>> = statement.query_row([node.0], |row| row.get(0)).optional()?;
        Ok(found.flatten())
    }

    /// Keeps the certificate of a member that has a row. It was checked before.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn set_certificate(&self, node: NodeId, certificate: &[u8]) -> Result<(), StoreError> {
        let sql = "UPDATE peer SET certificate = ? WHERE node = ? AND certificate IS NOT ?1";
        self.inner.prepare_cached(sql)?.execute((certificate, node.0))?;
        Ok(())
    }

    /// The ids of every hub that was ever heard of, revoked ones included.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn hubs_ever(&self) -> Result<Vec<NodeId>, StoreError> {
        let mut statement = self.inner.prepare_cached("SELECT node FROM peer WHERE role = ?")?;
        let rows = statement.query_map([role_number(Role::Hub)], |row| row.get(0).map(NodeId))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Takes back a member's enrolment here. `false` when it was taken back before, or when there is no such row.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn revoke(&self, node: NodeId) -> Result<bool, StoreError> {
        let sql = "UPDATE peer SET revoked = 1 WHERE node = ? AND revoked = 0";
        Ok(self.inner.prepare_cached(sql)?.execute([node.0])? > 0)
    }

    /// Whether an operator has to confirm the node before anything but the roster goes to it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn set_staged(&self, node: NodeId, staged: bool) -> Result<(), StoreError> {
        let sql = "UPDATE peer SET staged = ?, dirty = 1 WHERE node = ? AND staged <> ?1";
        self.inner.prepare_cached(sql)?.execute((staged, node.0))?;
        Ok(())
    }

    /// The frontier of the document with this version, when there is exactly one in its generation: versions are for people,
    /// and two hubs may have given one to different frontiers.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn only_with_version(&self, document: DocumentRow, version: u64) -> Result<Option<LogRow>, StoreError> {
        let mut statement = self.inner.prepare_cached(
            "SELECT log.seq FROM log JOIN document d ON d.id = log.document AND d.generation = log.generation
             WHERE log.document = ? AND log.version = ? LIMIT 2",
        )?;
        let rows = statement.query_map((document.0, version), |row| row.get(0).map(LogSeq))?;
        let found = rows.collect::<Result<Vec<_>, _>>()?;
        if let [seq] = found.as_slice() { self.log_row(*seq).map(Some) } else { Ok(None) }
    }

    /// The documents of which the member signed a frontier that is held here.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn signed_by(&self, node: NodeId) -> Result<Vec<DocumentRow>, StoreError> {
        let mut statement =
            self.inner.prepare_cached("SELECT DISTINCT document FROM log WHERE author = ? ORDER BY document")?;
        let rows = statement.query_map([node.0], |row| row.get(0).map(DocumentRow))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}
