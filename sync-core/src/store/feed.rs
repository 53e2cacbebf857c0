//! Feeds: what each peer is owed, densely numbered, with a rolling hash (decisions D2 and D4; [`crate::position`]).

use rusqlite::OptionalExtension;

use super::Tx;
use super::documents::DocumentRow;
use super::error::StoreError;
use super::log::{LogRow, LogSeq};
use super::peers::PeerRow;
use crate::document::DocumentKind;
use crate::id::Chain;
use crate::identity::Role;
#[cfg(feature = "mutants")]
use crate::mutants::{Mutant, planted};
use crate::position::Position;

/// One entry of a feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedEntry {
    /// Its number, from 1.
    pub number: u64,
    /// The document's number here.
    pub document: DocumentRow,
    /// The frontier; `None` when the document left the scope.
    pub log: Option<LogSeq>,
    /// The rolling hash up to and including it.
    pub chain: Chain,
}

/// What a peer may hold, and how far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// Every document at its newest frontier: another hub of the fleet.
    Everything,
    /// These documents, each at this frontier, in the order in which they should travel.
    Only(Vec<(DocumentRow, LogSeq)>),
}

/// The feed has started over and was not extended yet.
pub(super) const UNSURE_OF_ALL: u64 = i64::MAX as u64;

impl Tx<'_> {
    /// Brings the feed of a dirty peer up to date with its scope. Of a whole fleet's documents only those are looked at that
    /// have a new frontier since the last time. Of a list, each document whose frontier is another one than the feed's last
    /// gets an entry, in the order of the list, and each that is no longer in it a `leave`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn extend_feed(&self, peer: &mut PeerRow, scope: &Scope) -> Result<(), StoreError> {
        match scope {
            Scope::Everything => self.extend_with_news(peer)?,
            Scope::Only(documents) => self.extend_with_list(peer, documents)?,
        }
        peer.dirty = false;
        self.inner.prepare_cached("UPDATE peer SET dirty = 0 WHERE id = ?")?.execute([peer.id])?;
        self.set_head(peer)
    }

    /// Of a layer every frontier counts, because a release may name any of them and this hub's peer serves nodes too. Of other
    /// documents the newest does.
    fn extend_with_news(&self, peer: &mut PeerRow) -> Result<(), StoreError> {
        for (document, log) in self.news_in_order(peer)? {
            self.append_frontier_entry(peer, document, log)?;
        }
        self.inner
            .prepare_cached("UPDATE peer SET scanned = (SELECT coalesce(max(seq), 0) FROM log) WHERE id = ?")?
            .execute([peer.id])?;
        Ok(())
    }

    fn extend_with_list(&self, peer: &mut PeerRow, scope: &[(DocumentRow, LogSeq)]) -> Result<(), StoreError> {
        let held = self.feed_heads(peer)?;
        for (document, log) in scope {
            if held.get(&document.0) != Some(&Some(log.0)) {
                self.append_frontier_entry(peer, *document, *log)?;
            }
        }
        let wanted: std::collections::BTreeSet<i64> = scope.iter().map(|(document, _)| document.0).collect();
        for (document, log) in held {
            // A hub may hold everything: nothing leaves its scope, though more may have gone to it once.
            if peer.role == Role::Node && log.is_some() && !wanted.contains(&document) {
                let id = self.document_by_row(DocumentRow(document))?.key.id();
                let place = peer.head.next(id, None);
                self.append_feed(peer, DocumentRow(document), None, place)?;
            }
        }
        Ok(())
    }

    pub(super) fn set_head(&self, peer: &PeerRow) -> Result<(), StoreError> {
        self.inner.prepare_cached("UPDATE peer SET head = ?, head_chain = ? WHERE id = ?")?.execute((
            peer.head.number,
            peer.head.chain.0,
            peer.id,
        ))?;
        Ok(())
    }

    pub(super) fn append_frontier_entry(
        &self,
        peer: &mut PeerRow,
        document: DocumentRow,
        log: LogSeq,
    ) -> Result<(), StoreError> {
        let row = self.log_row(log)?;
        let frontier = row.frontier.frontier();
        let place = peer.head.next(frontier.document, Some((frontier.generation, &frontier.heads)));
        self.append_feed(peer, document, Some(log), place)
    }

    /// The last entry of each document in the feed: document number to log place, `None` for left ones.
    fn feed_heads(&self, peer: &PeerRow) -> Result<std::collections::BTreeMap<i64, Option<i64>>, StoreError> {
        let mut statement = self.inner.prepare_cached(
            "SELECT document, log FROM feed AS f WHERE peer = ?1
             AND position = (SELECT max(position) FROM feed WHERE peer = ?1 AND document = f.document)",
        )?;
        let rows = statement.query_map([peer.id], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn append_feed(
        &self,
        peer: &mut PeerRow,
        document: DocumentRow,
        log: Option<LogSeq>,
        place: Position,
    ) -> Result<(), StoreError> {
        self.inner
            .prepare_cached("INSERT INTO feed (peer, position, document, log, chain) VALUES (?, ?, ?, ?, ?)")?
            .execute((peer.id, place.number, document.0, log.map(|log| log.0), place.chain.0))?;
        peer.head = place;
        Ok(())
    }

    /// Whether the feed passed through this place: the peer's word about how far it is can be believed.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn feed_passed(&self, peer: &PeerRow, place: Position, origin: Chain) -> Result<bool, StoreError> {
        if place == peer.head {
            return Ok(true);
        }
        #[cfg(feature = "mutants")]
        if planted(Mutant::ChainIgnored) {
            return Ok(place.number <= peer.head.number);
        }
        if place.number == 0 {
            return Ok(place.chain == origin);
        }
        let mut statement = self.inner.prepare_cached("SELECT chain FROM feed WHERE peer = ? AND position = ?")?;
        let chain: Option<[u8; 16]> = statement.query_row((peer.id, place.number), |row| row.get(0)).optional()?;
        Ok(chain == Some(place.chain.0))
    }

    /// The place in the feed of this number, which the peer has not left behind by more than it acknowledged.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn feed_place(&self, peer: &PeerRow, number: u64, origin: Chain) -> Result<Position, StoreError> {
        if number == 0 {
            return Ok(Position { number, chain: origin });
        }
        let mut statement = self.inner.prepare_cached("SELECT chain FROM feed WHERE peer = ? AND position = ?")?;
        let chain = statement.query_row((peer.id, number), |row| row.get(0))?;
        Ok(Position { number, chain: Chain(chain) })
    }

    /// The first entry after `after`, if there is one.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn feed_next(&self, peer: &PeerRow, after: u64) -> Result<Option<FeedEntry>, StoreError> {
        let mut statement = self.inner.prepare_cached(
            "SELECT position, document, log, chain FROM feed WHERE peer = ? AND position > ? ORDER BY position LIMIT 1",
        )?;
        let found = statement.query_row((peer.id, after), |row| {
            Ok(FeedEntry {
                number: row.get(0)?,
                document: DocumentRow(row.get(1)?),
                log: row.get::<_, Option<i64>>(2)?.map(LogSeq),
                chain: Chain(row.get(3)?),
            })
        });
        Ok(found.optional()?)
    }

    /// Where `entry` brings its document: to where the document's *last* entry points, so that of many edits only the sum
    /// travels, and the entries in between have nothing left to send. Layers go to another hub frontier by frontier. `None`:
    /// the document left the scope.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn feed_target(&self, peer: &PeerRow, entry: &FeedEntry) -> Result<Option<LogSeq>, StoreError> {
        if peer.role == Role::Hub && self.document_by_row(entry.document)?.key.kind == DocumentKind::Layer {
            return Ok(entry.log);
        }
        let mut statement = self.inner.prepare_cached(
            "SELECT log FROM feed WHERE peer = ? AND document = ? AND position >= ? ORDER BY position DESC LIMIT 1",
        )?;
        let found: Option<Option<i64>> =
            statement.query_row((peer.id, entry.document.0, entry.number), |row| row.get(0)).optional()?;
        Ok(found.flatten().map(LogSeq))
    }

    /// The frontiers of the entry's document of which a peer holds one that took every entry before `entry`.
    ///
    /// An earlier link may have brought it to where any later entry points, and those may point below the earlier ones (a
    /// rollback, a leave), so only what lies below all of them is sure. Nothing is, and none is given, when one of them was
    /// refused or there was none before.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn feed_base(&self, peer: &PeerRow, entry: &FeedEntry) -> Result<Vec<LogRow>, StoreError> {
        let mut statement = self.inner.prepare_cached(
            "SELECT log FROM (SELECT position, iif(refused, NULL, log) AS log FROM feed
             WHERE peer = ?1 AND document = ?2 AND position < ?3 ORDER BY position DESC LIMIT 1)
             UNION ALL
             SELECT iif(refused, NULL, log) FROM feed WHERE peer = ?1 AND document = ?2 AND position >= ?3
             AND EXISTS (SELECT 1 FROM feed WHERE peer = ?1 AND document = ?2 AND position < ?3)",
        )?;
        let rows = statement.query_map((peer.id, entry.document.0, entry.number), |row| row.get(0))?;
        let mut base = Vec::new();
        for log in rows {
            let Some(log) = log? else { return Ok(Vec::new()) };
            base.push(self.log_row(LogSeq(log))?);
        }
        Ok(base)
    }

    /// The older frontier on the way to the entry that the peer made durable, if it did.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn feed_reached(&self, peer: &PeerRow, entry: &FeedEntry) -> Result<Option<LogSeq>, StoreError> {
        let mut statement = self.inner.prepare_cached("SELECT reached FROM feed WHERE peer = ? AND position = ?")?;
        let found: Option<Option<i64>> = statement.query_row((peer.id, entry.number), |row| row.get(0)).optional()?;
        Ok(found.flatten().map(LogSeq))
    }

    /// Records that the peer made an older frontier durable on the way to the entry of this number.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn set_feed_reached(&self, peer: &PeerRow, number: u64, log: LogSeq) -> Result<(), StoreError> {
        self.inner
            .prepare_cached("UPDATE feed SET reached = ? WHERE peer = ? AND position = ? AND refused = 0")?
            .execute((log.0, peer.id, number))?;
        Ok(())
    }

    /// Records that the peer refused the document: what follows cannot build on anything that was sent before.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn feed_refused(&self, peer: &PeerRow, document: DocumentRow) -> Result<(), StoreError> {
        self.inner
            .prepare_cached("UPDATE feed SET refused = 1, reached = NULL WHERE peer = ? AND document = ?")?
            .execute((peer.id, document.0))?;
        Ok(())
    }

    /// Appends the document's last entry once more, so that the peer is sent it again. For a hub that is the newest frontier,
    /// because the last to come may be an old one, and of a layer every frontier.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn feed_again(&self, peer: &mut PeerRow, document: DocumentRow) -> Result<(), StoreError> {
        let Some(last) = self.feed_last(peer, document)? else { return Ok(()) };
        let stored = self.document_by_row(document)?;
        let log = match peer.role {
            Role::Hub => stored.latest.unwrap_or(last),
            Role::Node => last,
        };
        // First, so that it brings all that the others need: one of them may be held there without its changes.
        self.append_frontier_entry(peer, document, log)?;
        if peer.role == Role::Hub && stored.key.kind == DocumentKind::Layer {
            for row in self.log_of(document)?.iter().filter(|row| row.held && row.seq != log) {
                self.append_frontier_entry(peer, document, row.seq)?;
            }
        }
        self.set_head(peer)
    }

    /// Appends these frontiers of the document once more, so that each is sent again.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn feed_each_again(
        &self,
        peer: &mut PeerRow,
        document: DocumentRow,
        frontiers: &[LogSeq],
    ) -> Result<(), StoreError> {
        frontiers.iter().try_for_each(|log| self.append_frontier_entry(peer, document, *log))?;
        self.set_head(peer)
    }

    /// Where the document's last entry points; `None` when it has none or left the scope.
    pub(super) fn feed_last(&self, peer: &PeerRow, document: DocumentRow) -> Result<Option<LogSeq>, StoreError> {
        let mut statement = self
            .inner
            .prepare_cached("SELECT log FROM feed WHERE peer = ? AND document = ? ORDER BY position DESC LIMIT 1")?;
        let last: Option<Option<i64>> = statement.query_row((peer.id, document.0), |row| row.get(0)).optional()?;
        Ok(last.flatten().map(LogSeq))
    }

    /// Records that the peer made its feed durable up to `number` and no further, and drops the entries that this makes superfluous.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn feed_acknowledged(&self, peer: &mut PeerRow, number: u64) -> Result<(), StoreError> {
        let mut statement = self.inner.prepare_cached(
            "SELECT max(position), document FROM feed WHERE peer = ? AND position > ? AND position <= ? GROUP BY document",
        )?;
        let rows = statement.query_map((peer.id, peer.acked, number), |row| Ok((row.get(0)?, row.get(1)?)))?;
        for (position, document) in rows.collect::<Result<Vec<(i64, i64)>, _>>()? {
            self.inner
                .prepare_cached("DELETE FROM feed WHERE peer = ? AND document = ? AND position < ?")?
                .execute((peer.id, document, position))?;
        }
        (peer.acked, peer.aware) = (number, true);
        self.inner
            .prepare_cached("UPDATE peer SET acked = ?, aware = 1 WHERE id = ?")?
            .execute((peer.acked, peer.id))?;
        Ok(())
    }

    /// Notes that the peer, or this store, lost part of the past.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn count_fork(&self, peer: &mut PeerRow) -> Result<(), StoreError> {
        peer.forks += 1;
        self.inner.prepare_cached("UPDATE peer SET forks = ? WHERE id = ?")?.execute((peer.forks, peer.id))?;
        Ok(())
    }

    /// Empties the feed, because the peer is where it never was: everything in scope is owed again.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn restart_feed(&self, peer: &mut PeerRow, origin: Chain) -> Result<(), StoreError> {
        self.inner.execute("DELETE FROM feed WHERE peer = ?", [peer.id])?;
        peer.head = Position { number: 0, chain: origin };
        (peer.acked, peer.unsure, peer.aware, peer.dirty) = (0, UNSURE_OF_ALL, false, true);
        self.inner.execute(
            "UPDATE peer SET head = 0, head_chain = ?, scanned = 0, acked = 0, unsure = ?, aware = 0, dirty = 1
             WHERE id = ?",
            (origin.0, UNSURE_OF_ALL, peer.id),
        )?;
        #[cfg(feature = "mutants")]
        if planted(Mutant::RestartedFeedStaysScanned) {
            self.inner.execute("UPDATE peer SET scanned = (SELECT max(seq) FROM log) WHERE id = ?", [peer.id])?;
        }
        Ok(())
    }
}
