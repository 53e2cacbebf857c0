//! What feeds and documents hold, as digests, for two stores that do not know how far the other is (decision D4).

use std::collections::{BTreeMap, BTreeSet};

use super::Tx;
use super::documents::DocumentRow;
use super::error::StoreError;
use super::feed::{FeedEntry, UNSURE_OF_ALL};
use super::log::LogSeq;
use super::peers::PeerRow;
use crate::document::{ActorBytes, AuthorGroup, Clock, DocumentKind, FrontierDigest};
use crate::id::{Chain, DocumentId, NodeId};
use crate::identity::Role;
use crate::limits::COMPARED_FRONTIERS_MAX;

type DigestColumns = ([u8; 16], u32, Vec<u8>);

fn digest((document, generation, heads): DigestColumns) -> FrontierDigest {
    FrontierDigest::of_bytes(DocumentId(document), generation, &heads)
}

impl Tx<'_> {
    /// Where the feed brings the peer between two places: of a layer each frontier for a hub, of other documents the last.
    /// Ascending, without repeats.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn feed_digests(&self, peer: &PeerRow, after: u64, until: u64) -> Result<Vec<FrontierDigest>, StoreError> {
        let mut statement = self.inner.prepare_cached(
            "SELECT d.document, log.generation, log.heads, d.kind FROM feed JOIN log ON log.seq = feed.log
             JOIN document d ON d.id = feed.document WHERE peer = ? AND position > ? AND position <= ? ORDER BY position",
        )?;
        let rows = statement.query_map((peer.id, after, until), |row| {
            Ok(((row.get(0)?, row.get(1)?, row.get(2)?), row.get::<_, u8>(3)?))
        })?;
        let (mut every, mut last) = (BTreeSet::new(), BTreeMap::new());
        for row in rows {
            let (columns, kind) = row?;
            let digest = digest(columns);
            if peer.role == Role::Hub && kind == DocumentKind::Layer.number() {
                every.insert(digest);
            } else {
                last.insert(digest.document, digest);
            }
        }
        every.extend(last.into_values());
        Ok(every.into_iter().collect())
    }

    /// Every document held here at its newest frontier, and every frontier of layers.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn held_digests(&self) -> Result<Vec<FrontierDigest>, StoreError> {
        let mut statement = self.inner.prepare_cached(
            "SELECT d.document, log.generation, log.heads FROM log JOIN document d ON d.id = log.document
             WHERE d.kind = ? OR d.latest = log.seq",
        )?;
        let rows =
            statement.query_map([DocumentKind::Layer.number()], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        rows.map(|row| Ok(digest(row?))).collect()
    }

    /// Which of the document's newest frontiers, at most [`COMPARED_FRONTIERS_MAX`], are held here.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn newest_digests(&self, document: DocumentRow) -> Result<BTreeSet<FrontierDigest>, StoreError> {
        let mut statement = self.inner.prepare_cached(
            "SELECT d.document, log.generation, log.heads FROM log JOIN document d ON d.id = log.document
             WHERE log.document = ? ORDER BY log.seq DESC LIMIT ?",
        )?;
        let rows = statement
            .query_map((document.0, COMPARED_FRONTIERS_MAX), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        rows.map(|row| Ok(digest(row?))).collect()
    }

    /// All changes of the document that are held here. Exact, because no actor's changes have gaps.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn clock_of(&self, document: DocumentRow) -> Result<Clock, StoreError> {
        let mut statement = self.inner.prepare_cached(
            "SELECT actor.actor, max(seq) FROM change JOIN actor ON actor.id = change.actor
             WHERE document = ? GROUP BY change.actor",
        )?;
        let rows = statement.query_map([document.0], |row| Ok((ActorBytes(row.get(0)?), row.get(1)?)))?;
        let mut clock = Clock::default();
        for row in rows {
            let (actor, seq) = row?;
            clock.raise(actor, seq);
        }
        Ok(clock)
    }

    /// Whether the peer's feed brings it this document, so that the peer may know what is held of it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn is_in_feed(&self, peer: &PeerRow, document: DocumentRow) -> Result<bool, StoreError> {
        let sql = "SELECT EXISTS (SELECT 1 FROM feed WHERE peer = ? AND document = ? AND log IS NOT NULL)";
        Ok(self.inner.prepare_cached(sql)?.query_row((peer.id, document.0), |row| row.get(0))?)
    }

    /// The first entry after `after` that is beyond `until` or of one of these documents.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn feed_next_of(
        &self,
        peer: &PeerRow,
        after: u64,
        until: u64,
        documents: impl Fn(DocumentRow) -> bool,
    ) -> Result<Option<FeedEntry>, StoreError> {
        let mut statement = self
            .inner
            .prepare_cached("SELECT position, document FROM feed WHERE peer = ? AND position > ? ORDER BY position")?;
        let mut rows = statement.query((peer.id, after))?;
        while let Some(row) = rows.next()? {
            let number: u64 = row.get(0)?;
            if number > until || documents(DocumentRow(row.get(1)?)) {
                return self.feed_next(peer, number - 1);
            }
        }
        Ok(None)
    }

    /// Records up to where the peer may hold what it has not acknowledged.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn set_unsure(&self, peer: &mut PeerRow, until: u64) -> Result<(), StoreError> {
        peer.unsure = until;
        self.inner.prepare_cached("UPDATE peer SET unsure = ? WHERE id = ?")?.execute((until, peer.id))?;
        Ok(())
    }

    /// Appends every document of the hubs that is held here to a hub's feed: its newest frontier, of layers every one.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn give_back(&self, peer: &mut PeerRow) -> Result<(), StoreError> {
        let documents: BTreeSet<DocumentRow> = self
            .documents()?
            .into_iter()
            .filter(|document| document.key.author_group() == AuthorGroup::Hubs)
            .map(|document| document.row)
            .collect();
        let mut statement = self.inner.prepare_cached(
            "SELECT log.document, log.seq FROM log JOIN document d ON d.id = log.document
             WHERE d.kind = ? OR d.latest = log.seq ORDER BY log.seq",
        )?;
        let rows = statement
            .query_map([DocumentKind::Layer.number()], |row| Ok((DocumentRow(row.get(0)?), LogSeq(row.get(1)?))))?;
        for (document, log) in rows.collect::<Result<Vec<_>, _>>()? {
            if documents.contains(&document) {
                self.append_frontier_entry(peer, document, log)?;
            }
        }
        self.set_head(peer)
    }

    /// Empties every feed, because this store begins a new incarnation.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn restart_all_feeds(&self, origin: impl Fn(NodeId) -> Chain) -> Result<(), StoreError> {
        self.inner.execute("DELETE FROM feed", [])?;
        let mut restart = self.inner.prepare_cached(
            "UPDATE peer SET head = 0, head_chain = ?, scanned = 0, acked = 0, unsure = ?, aware = 0, dirty = 1
             WHERE node = ?",
        )?;
        let mut statement = self.inner.prepare("SELECT node FROM peer")?;
        let nodes = statement.query_map([], |row| row.get(0).map(NodeId))?;
        for node in nodes.collect::<Result<Vec<_>, _>>()? {
            restart.execute((origin(node).0, UNSURE_OF_ALL, node.0))?;
        }
        Ok(())
    }
}
