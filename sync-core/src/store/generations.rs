//! Generations of documents: their records, how much each holds, and dropping those that nobody needs.

use rusqlite::OptionalExtension;

use super::Tx;
use super::documents::DocumentRow;
use super::error::StoreError;
use crate::document::generation::{Extent, Root, SignedRoot};
use crate::document::{Clock, Heads};
use crate::id::{ChangeHash, DocumentId, NodeId};
use crate::identity::Signature;
use crate::limits::GENERATION_RECORDS_MAX;

const COLUMNS: &str = "d.document, root.generation, epoch, encoder, genesis, cut, clock, author, signature";

const BAD_ROOT: StoreError = StoreError::Corrupt { place: "root" };

type Columns = ([u8; 16], u32, u64, u32, [u8; 32], Vec<u8>, Vec<u8>, [u8; 32], [u8; 64]);

fn decode(row: Columns) -> Option<SignedRoot> {
    let (document, generation, epoch, encoder, genesis, cut, clock, author, signature) = row;
    let root = Root {
        document: DocumentId(document),
        generation,
        epoch,
        encoder,
        genesis: ChangeHash(genesis),
        cut: Heads::from_bytes(&cut)?,
        clock: Clock::from_bytes(&clock)?,
    };
    Some(SignedRoot::from_store(root, NodeId(author), Signature(signature)))
}

impl Tx<'_> {
    /// Keeps the record of a generation in place of another of the same number, and of all records the newest few dozen.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn set_root(&self, document: DocumentRow, signed: &SignedRoot) -> Result<(), StoreError> {
        let root = signed.root();
        self.inner
            .prepare_cached(
                "INSERT OR REPLACE INTO root
                 (document, generation, epoch, encoder, genesis, cut, clock, author, signature)
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            )?
            .execute((
                document.0,
                root.generation,
                root.epoch,
                root.encoder,
                root.genesis.0,
                root.cut.to_bytes(),
                root.clock.to_bytes(),
                signed.author().0,
                signed.signature().0,
            ))?;
        self.inner
            .prepare_cached(
                "DELETE FROM root WHERE document = ?1
                 AND generation <= (SELECT max(generation) FROM root WHERE document = ?1) - ?2
                 AND NOT EXISTS (SELECT 1 FROM change c WHERE c.document = ?1 AND c.generation = root.generation)",
            )?
            .execute((document.0, GENERATION_RECORDS_MAX as u64))?;
        Ok(())
    }

    /// The record of this generation; `None` for generation 0 and for those that are long gone.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn root(&self, document: DocumentRow, generation: u32) -> Result<Option<SignedRoot>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM root JOIN document d ON d.id = root.document
             WHERE root.document = ? AND root.generation = ?"
        );
        let found = self
            .inner
            .prepare_cached(&sql)?
            .query_row((document.0, generation), |row| Columns::try_from(row))
            .optional()?;
        found.map(|row| decode(row).ok_or(BAD_ROOT)).transpose()
    }

    /// The genesis of a generation that is held.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn genesis(&self, document: DocumentRow, generation: u32) -> Result<ChangeHash, StoreError> {
        let sql = "SELECT hash FROM change WHERE document = ? AND generation = ? ORDER BY id LIMIT 1";
        let mut statement = self.inner.prepare_cached(sql)?;
        Ok(ChangeHash(statement.query_row((document.0, generation), |row| row.get(0))?))
    }

    /// The records of the generations above `after` up to `upto`, ascending.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn roots_between(&self, document: DocumentRow, after: u32, upto: u32) -> Result<Vec<SignedRoot>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM root JOIN document d ON d.id = root.document
             WHERE root.document = ? AND root.generation > ? AND root.generation <= ? ORDER BY root.generation"
        );
        let mut statement = self.inner.prepare_cached(&sql)?;
        let rows = statement.query_map((document.0, after, upto), |row| Columns::try_from(row))?;
        rows.map(|row| decode(row?).ok_or(BAD_ROOT)).collect()
    }

    /// Makes this the document's present generation.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn set_generation(&self, document: DocumentRow, generation: u32) -> Result<(), StoreError> {
        let sql = "UPDATE document SET generation = ? WHERE id = ?";
        self.inner.prepare_cached(sql)?.execute((generation, document.0))?;
        Ok(())
    }

    /// How much one generation of the document holds.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn extent(&self, document: DocumentRow, generation: u32) -> Result<Extent, StoreError> {
        let mut statement = self.inner.prepare_cached(
            "SELECT count(*), count(DISTINCT actor), coalesce(sum(size), 0),
             coalesce((SELECT size FROM view WHERE document = ?1), 0), coalesce(sum(max_op - start_op + 1), 0),
             coalesce(sum(iif(length(deps) = 0, max_op - start_op + 1, 0)), 0)
             FROM change WHERE document = ?1 AND generation = ?2",
        )?;
        Ok(statement.query_row((document.0, generation), |row| {
            Ok(Extent {
                changes: row.get(0)?,
                actors: row.get(1)?,
                bytes: row.get(2)?,
                state_bytes: row.get(3)?,
                operations: row.get(4)?,
                genesis_operations: row.get(5)?,
            })
        })?)
    }

    /// The generations of which changes are held, ascending.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn generations_held(&self, document: DocumentRow) -> Result<Vec<u32>, StoreError> {
        let sql = "SELECT DISTINCT generation FROM change WHERE document = ? ORDER BY generation";
        let mut statement = self.inner.prepare_cached(sql)?;
        let rows = statement.query_map([document.0], |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Whether changes of this generation are held.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn holds_generation(&self, document: DocumentRow, generation: u32) -> Result<bool, StoreError> {
        let sql = "SELECT EXISTS (SELECT 1 FROM change WHERE document = ? AND generation = ?)";
        Ok(self.inner.prepare_cached(sql)?.query_row((document.0, generation), |row| row.get(0))?)
    }

    /// Drops the changes of one generation. Its frontiers stay for as long as a feed names them, so that it is known what
    /// each peer holds.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn drop_generation(&self, document: DocumentRow, generation: u32) -> Result<(), StoreError> {
        let mut statement =
            self.inner.prepare_cached("SELECT DISTINCT actor FROM change WHERE document = ? AND generation = ?")?;
        let actors = statement.query_map((document.0, generation), |row| row.get(0))?;
        let actors = actors.collect::<Result<Vec<i64>, _>>()?;
        let sql = "DELETE FROM change WHERE document = ? AND generation = ?";
        self.inner.prepare_cached(sql)?.execute((document.0, generation))?;
        // No actor writes in more than one generation of one document.
        for actor in actors {
            self.inner.prepare_cached("DELETE FROM actor WHERE id = ?")?.execute([actor])?;
        }
        let sql = "UPDATE log SET held = 0 WHERE document = ? AND generation = ? AND held = 1";
        self.inner.prepare_cached(sql)?.execute((document.0, generation))?;
        self.drop_unnamed_frontiers(document)
    }

    /// Drops frontiers whose changes are gone and that no feed names.
    fn drop_unnamed_frontiers(&self, document: DocumentRow) -> Result<(), StoreError> {
        let sql = "DELETE FROM log WHERE document = ? AND held = 0
             AND NOT EXISTS (SELECT 1 FROM feed WHERE feed.log = log.seq)";
        self.inner.prepare_cached(sql)?.execute([document.0])?;
        Ok(())
    }

    /// The generations of the document that some peer's feed names last, ascending: that peer holds or is owed a frontier
    /// of it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn generations_owed(&self, document: DocumentRow) -> Result<Vec<u32>, StoreError> {
        let mut statement = self.inner.prepare_cached(
            "SELECT DISTINCT log.generation FROM peer
             JOIN feed ON feed.peer = peer.id AND feed.document = ?1 AND feed.position =
               (SELECT max(position) FROM feed f WHERE f.peer = peer.id AND f.document = ?1)
             JOIN log ON log.seq = feed.log ORDER BY log.generation",
        )?;
        let rows = statement.query_map([document.0], |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}
