//! In which order the news of one extension of a feed travel to another hub.

use super::Tx;
use super::documents::DocumentRow;
use super::error::StoreError;
use super::log::LogSeq;
use super::peers::PeerRow;
use crate::document::{Clock, DocumentKind};

/// A new frontier that a hub is owed.
struct News {
    document: DocumentRow,
    log: LogSeq,
    kind: DocumentKind,
}

impl Tx<'_> {
    /// Frontiers that the peer's feed lacks: of layers each one, of other documents the newest.
    ///
    /// Desired before observed, because a hub acts on the first and shows the second. A release follows the layers that it
    /// names and an assignment its release, so that a link that dies in between leaves nothing that cannot be used. Among
    /// documents of one rank the small go first: one large layer delays itself and no other. Frontiers of one document stay
    /// together, in their order.
    pub(super) fn news_in_order(&self, peer: &PeerRow) -> Result<Vec<(DocumentRow, LogSeq)>, StoreError> {
        let mut statement = self.inner.prepare_cached(
            "SELECT log.document, log.seq, d.kind FROM log JOIN document d ON d.id = log.document
             WHERE log.seq > (SELECT scanned FROM peer WHERE id = ?) AND (d.kind = ? OR d.latest = log.seq)
             ORDER BY log.seq",
        )?;
        let rows = statement
            .query_map((peer.id, DocumentKind::Layer.number()), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        let mut news = Vec::new();
        for row in rows {
            let (document, log, kind) = row?;
            let kind = DocumentKind::from_number(kind).ok_or(StoreError::Corrupt { place: "document.kind" })?;
            news.push(News { document: DocumentRow(document), log: LogSeq(log), kind });
        }
        let mut places = std::collections::BTreeMap::new();
        for it in &news {
            places.insert(it.document, (rank(it.kind), 0, it.log));
        }
        if places.len() > 1 {
            for (document, (_, weight, last)) in &mut places {
                *weight = self.weight_of_news(peer, *document, *last)?;
            }
        }
        news.sort_by_key(|it| (places.get(&it.document).copied(), it.log));
        Ok(news.into_iter().map(|it| (it.document, it.log)).collect())
    }

    /// Bytes of the changes between the document's last entry in the feed and `last`.
    fn weight_of_news(&self, peer: &PeerRow, document: DocumentRow, last: LogSeq) -> Result<u64, StoreError> {
        let base = match self.feed_last(peer, document)? {
            Some(log) => self.log_row(log)?.clock,
            None => Clock::default(),
        };
        Ok(self.weight_between(document, &base, &self.log_row(last)?.clock)?.bytes)
    }
}

/// What others need goes first.
fn rank(kind: DocumentKind) -> u8 {
    match kind {
        DocumentKind::Roster => 0,
        DocumentKind::Layer => 1,
        DocumentKind::Release => 2,
        DocumentKind::Placement => 3,
        DocumentKind::Assignment => 4,
        DocumentKind::Override => 5,
        DocumentKind::Observed => 6,
        DocumentKind::Journal => 7,
    }
}
