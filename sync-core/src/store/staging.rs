//! Staging: parts of transfers, durable one by one, until the part with the frontier that authenticates them arrives. They
//! outlive their link: the next one goes on where this one was cut.

use rusqlite::OptionalExtension;

use super::Tx;
use super::error::StoreError;
use super::peers::PeerRow;
use crate::id::{DocumentId, TransferId};
use crate::limits::{STAGED_TRANSFERS_MAX, STAGING_BYTES_MAX, STAGING_TOTAL_BYTES_MAX};
use crate::part::Part;

/// A transfer that is not complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// Whose changes it carries.
    pub document: DocumentId,
    /// Which transfer.
    pub transfer: TransferId,
    /// Bytes held, from its beginning.
    pub bytes: u64,
}

/// What became of a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Staged {
    /// It is kept, or was held already.
    Kept,
    /// What comes before it is not held: it was dropped to make room, or was never sent.
    Gap,
}

struct Row {
    id: i64,
    transfer: TransferId,
    total: u64,
    held: u64,
}

impl Tx<'_> {
    /// Keeps a part. The first part of another transfer of the document drops what was held of the one before.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn stage(
        &self,
        peer: &PeerRow,
        document: DocumentId,
        part: &Part,
        changes: &[u8],
    ) -> Result<Staged, StoreError> {
        let row = match self.transfer_row(peer, document)? {
            Some(row) if row.transfer == part.transfer => row,
            _ if part.offset > 0 => return Ok(Staged::Gap),
            _ => self.begin_transfer(peer, document, part)?,
        };
        let Some(known) = row.held.checked_sub(part.offset) else { return Ok(Staged::Gap) };
        let known = usize::try_from(known).unwrap_or(usize::MAX);
        if let Some(news) = changes.get(known..).filter(|news| !news.is_empty()) {
            self.inner
                .prepare_cached("INSERT INTO staging (transfer, start, changes) VALUES (?, ?, ?)")?
                .execute((row.id, row.held, news))?;
            let held = row.held + news.len() as u64;
            self.inner.prepare_cached("UPDATE transfer SET held = ? WHERE id = ?")?.execute((held, row.id))?;
        }
        Ok(Staged::Kept)
    }

    /// Whether a part claims another size of its transfer than the part that began it, which was counted against the bounds.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn contradicts_staged(&self, peer: &PeerRow, document: DocumentId, part: &Part) -> Result<bool, StoreError> {
        let row = self.transfer_row(peer, document)?;
        Ok(row.is_some_and(|row| row.transfer == part.transfer && row.total != part.total))
    }

    fn transfer_row(&self, peer: &PeerRow, document: DocumentId) -> Result<Option<Row>, StoreError> {
        let mut statement = self
            .inner
            .prepare_cached("SELECT id, transfer, total, held FROM transfer WHERE peer = ? AND document = ?")?;
        let found = statement.query_row((peer.id, document.0), |row| {
            Ok(Row { id: row.get(0)?, transfer: TransferId(row.get(1)?), total: row.get(2)?, held: row.get(3)? })
        });
        Ok(found.optional()?)
    }

    fn begin_transfer(&self, peer: &PeerRow, document: DocumentId, part: &Part) -> Result<Row, StoreError> {
        self.drop_staged(peer, document)?;
        self.inner.execute(
            "INSERT INTO transfer (peer, document, transfer, total, held) VALUES (?, ?, ?, ?, 0)",
            (peer.id, document.0, part.transfer.0, part.total),
        )?;
        let id = self.inner.last_insert_rowid();
        self.make_room(peer, id)?;
        Ok(Row { id, transfer: part.transfer, total: part.total, held: 0 })
    }

    /// Drops what is over a bound, never the transfer that has just begun: of the peer its oldest, over all peers the oldest
    /// of the peer that announced most.
    fn make_room(&self, peer: &PeerRow, begun: i64) -> Result<(), StoreError> {
        let oldest = "SELECT min(id) FROM transfer WHERE peer = ?1 AND id != ?2";
        loop {
            let sql = "SELECT count(*), sum(total) FROM transfer WHERE peer = ?";
            let (count, bytes): (u64, u64) =
                self.inner.prepare_cached(sql)?.query_row([peer.id], |row| Ok((row.get(0)?, row.get(1)?)))?;
            if count <= STAGED_TRANSFERS_MAX as u64 && bytes <= STAGING_BYTES_MAX {
                break;
            }
            if !self.drop_transfer(oldest, (peer.id, begun))? {
                break;
            }
        }
        let worst = "SELECT min(id) FROM transfer WHERE id != ?1 GROUP BY peer ORDER BY sum(total) DESC LIMIT 1";
        loop {
            let sql = "SELECT coalesce(sum(total), 0) FROM transfer";
            let bytes: u64 = self.inner.prepare_cached(sql)?.query_row([], |row| row.get(0))?;
            if bytes <= STAGING_TOTAL_BYTES_MAX || !self.drop_transfer(worst, [begun])? {
                return Ok(());
            }
        }
    }

    /// Drops the transfer that `which` selects; `false` when it selects none.
    fn drop_transfer(&self, which: &str, parameters: impl rusqlite::Params) -> Result<bool, StoreError> {
        let id: Option<Option<i64>> =
            self.inner.prepare_cached(which)?.query_row(parameters, |row| row.get(0)).optional()?;
        let Some(id) = id.flatten() else { return Ok(false) };
        self.inner.prepare_cached("DELETE FROM transfer WHERE id = ?")?.execute([id])?;
        Ok(true)
    }

    /// Takes what is held before the last part out of the table; `None` when something before it is missing.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn take_staged(
        &self,
        peer: &PeerRow,
        document: DocumentId,
        last: &Part,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(row) = self.transfer_row(peer, document)? else {
            return Ok((last.offset == 0).then(Vec::new));
        };
        if row.transfer != last.transfer || row.held < last.offset {
            return Ok((last.offset == 0).then(Vec::new));
        }
        let mut statement =
            self.inner.prepare_cached("SELECT changes FROM staging WHERE transfer = ? ORDER BY start")?;
        let mut held: Vec<u8> = Vec::new();
        for changes in statement.query_map([row.id], |row| row.get::<_, Vec<u8>>(0))? {
            held.extend_from_slice(&changes?);
        }
        held.truncate(usize::try_from(last.offset).unwrap_or(usize::MAX));
        self.drop_staged(peer, document)?;
        Ok(Some(held))
    }

    /// Drops what is held of the document's transfer, because what came since makes it superfluous.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn drop_staged(&self, peer: &PeerRow, document: DocumentId) -> Result<(), StoreError> {
        self.inner
            .prepare_cached("DELETE FROM transfer WHERE peer = ? AND document = ?")?
            .execute((peer.id, document.0))?;
        Ok(())
    }

    /// The peer's transfers that are not complete, oldest first, at most [`STAGED_TRANSFERS_MAX`].
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn staged(&self, peer: &PeerRow) -> Result<Vec<Held>, StoreError> {
        let sql = "SELECT document, transfer, held FROM transfer WHERE peer = ? ORDER BY id LIMIT ?";
        let mut statement = self.inner.prepare_cached(sql)?;
        let rows = statement.query_map((peer.id, STAGED_TRANSFERS_MAX as u64), |row| {
            Ok(Held { document: DocumentId(row.get(0)?), transfer: TransferId(row.get(1)?), bytes: row.get(2)? })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Bytes of parts on the disk, over all peers.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn staged_bytes(&self) -> Result<u64, StoreError> {
        Ok(self.inner.query_row("SELECT coalesce(sum(held), 0) FROM transfer", [], |row| row.get(0))?)
    }
}
