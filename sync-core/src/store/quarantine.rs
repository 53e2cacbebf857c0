//! Quarantine: refused input, bounded, for an operator to look at. Nothing ever reads it back into the engine.

use super::Tx;
use super::error::StoreError;
use crate::env::WallTime;
use crate::id::{DocumentId, NodeId};
use crate::limits::{QUARANTINE_BYTES_MAX, QUARANTINE_ENTRIES_MAX};

/// One refused input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuarantineEntry {
    /// Who sent it.
    pub peer: NodeId,
    /// The document that it named, if any.
    pub document: Option<DocumentId>,
    /// Why it was refused.
    pub reason: String,
    /// Its first bytes.
    pub input: Vec<u8>,
    /// When, in seconds since 1970.
    pub at: Option<u64>,
}

impl Tx<'_> {
    /// Keeps a refused input; past the bound the oldest makes room.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn quarantine(
        &self,
        peer: NodeId,
        document: Option<DocumentId>,
        reason: &str,
        input: &[u8],
        at: WallTime,
    ) -> Result<(), StoreError> {
        let kept = input.get(..QUARANTINE_BYTES_MAX).unwrap_or(input);
        self.inner.execute(
            "INSERT INTO quarantine (peer, document, reason, input, at) VALUES (?, ?, ?, ?, ?)",
            (peer.0, document.map(|id| id.0), reason, kept, at.0),
        )?;
        self.inner.execute(
            "DELETE FROM quarantine WHERE id <= (SELECT max(id) FROM quarantine) - ?",
            [QUARANTINE_ENTRIES_MAX],
        )?;
        Ok(())
    }

    /// What is in quarantine, newest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn quarantined(&self) -> Result<Vec<QuarantineEntry>, StoreError> {
        let mut statement =
            self.inner.prepare("SELECT peer, document, reason, input, at FROM quarantine ORDER BY id DESC")?;
        let rows = statement.query_map([], |row| {
            let document: Option<[u8; 16]> = row.get(1)?;
            Ok(QuarantineEntry {
                peer: NodeId(row.get(0)?),
                document: document.map(DocumentId),
                reason: row.get(2)?,
                input: row.get(3)?,
                at: row.get(4)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// How many inputs of this peer are in quarantine.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn quarantined_from(&self, peer: NodeId) -> Result<u64, StoreError> {
        Ok(self.inner.query_row("SELECT count(*) FROM quarantine WHERE peer = ?", [peer.0], |row| row.get(0))?)
    }

    /// How many inputs are in quarantine.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn quarantine_length(&self) -> Result<u64, StoreError> {
        Ok(self.inner.query_row("SELECT count(*) FROM quarantine", [], |row| row.get(0))?)
    }
}
