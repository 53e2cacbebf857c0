//! What each side reads from its store to find what a peer lacks of a feed: see `session::reconcile`.

use std::collections::{BTreeMap, BTreeSet};

use super::Replica;
use crate::document::genesis::genesis_actor;
use crate::document::{AuthorGroup, Clock, FrontierDigest};
use crate::id::{DocumentId, LinkId};
use crate::identity::Role;
use crate::limits::{SUMMARY_ITEMS_MAX, WANTED_ACTORS_MAX};
use crate::store::{DocumentRow, FeedEntry, PeerRow, StoreError, StoredDocument, Tx};
use crate::wire::{CloseCode, Want, Wanted};

/// What a peer said that it lacks of its feed.
#[derive(Debug, Default)]
pub(super) struct Lacking {
    /// Up to here of the feed, other documents than these are passed by.
    until: u64,
    /// What the peer holds of each.
    documents: BTreeMap<DocumentRow, Clock>,
}

impl Lacking {
    /// The next entry that the peer lacks.
    pub(super) fn next(&self, tx: &Tx<'_>, peer: &PeerRow, after: u64) -> Result<Option<FeedEntry>, StoreError> {
        if after >= self.until {
            return tx.feed_next(peer, after);
        }
        tx.feed_next_of(peer, after, self.until, |document| self.documents.contains_key(&document))
    }

    /// What the peer holds of the document by its own word.
    pub(super) fn held(&self, document: DocumentRow) -> Option<&Clock> {
        self.documents.get(&document)
    }

    /// The peer's word about the document was wrong.
    pub(super) fn forget(&mut self, document: DocumentRow) {
        if let Some(held) = self.documents.get_mut(&document) {
            *held = Clock::default();
        }
    }
}

impl Replica {
    /// Summarises what the feed holds past the place where the peer is known to be.
    pub(super) fn summarise(&mut self, id: LinkId, after: u64) -> Result<(), StoreError> {
        let Some(link) = self.links.get_mut(&id) else { return Ok(()) };
        let tx = self.store.begin_read()?;
        let Some(row) = tx.peer(link.peer)? else { return Ok(()) };
        let until = row.unsure.min(row.head.number);
        let mut digests = tx.feed_digests(&row, after, until)?;
        link.known.lacking = Lacking { until, documents: BTreeMap::new() };
        // A hub does not read all that it holds because a node asks for it; so it gets everything.
        if self.identity.role() == Role::Node && digests.len() > SUMMARY_ITEMS_MAX {
            digests.clear();
            link.known.lacking = Lacking::default();
        }
        link.session.handle_summary(digests);
        Ok(())
    }

    /// Gathers every frontier that is held here, for a hub.
    pub(super) fn gather_digests(&mut self, id: LinkId) -> Result<(), StoreError> {
        let Some(link) = self.links.get_mut(&id) else { return Ok(()) };
        let tx = self.store.begin_read()?;
        match tx.peer(link.peer)? {
            Some(row) if row.role == Role::Hub => link.session.handle_gathered(&tx.held_digests()?),
            _ => link.session.close(CloseCode::Protocol, "a node's summary is a list"),
        }
        Ok(())
    }

    /// Looks up which frontiers are held here, and says what is held of the documents of the others.
    pub(super) fn compare(&mut self, id: LinkId, digests: &[FrontierDigest]) -> Result<(), StoreError> {
        let Some(link) = self.links.get_mut(&id) else { return Ok(()) };
        let tx = self.store.begin_read()?;
        let Some(row) = tx.peer(link.peer)? else { return Ok(()) };
        let mut documents: BTreeMap<DocumentId, BTreeSet<FrontierDigest>> = BTreeMap::new();
        for digest in digests {
            documents.entry(digest.document).or_default().insert(*digest);
        }
        let mut wanted = Vec::new();
        for (document, frontiers) in documents {
            let clock = match tx.document(document)? {
                None => Clock::default(),
                Some(stored) if frontiers.is_subset(&tx.newest_digests(stored.row)?) => continue,
                Some(stored) => held(&tx, &row, &stored)?,
            };
            wanted.push(Wanted { document, clock });
        }
        link.session.handle_compared(wanted);
        Ok(())
    }

    /// Notes what the peer lacks. Documents that its feed does not hold are none of its business.
    pub(super) fn wanted(&mut self, id: LinkId, want: Want) -> Result<(), StoreError> {
        let Some(link) = self.links.get_mut(&id) else { return Ok(()) };
        let tx = self.store.begin_read()?;
        let Some(row) = tx.peer(link.peer)? else { return Ok(()) };
        for wanted in want.documents {
            if let Some(document) = tx.document(wanted.document)?
                && tx.is_in_feed(&row, document.row)?
            {
                link.known.lacking.documents.insert(document.row, wanted.clock);
            }
        }
        Ok(())
    }
}

/// What is held of the document, as far as the peer may know it. The first genesis is computed on
/// both sides; of later generations that are held all counts, as no two generations share an actor.
fn held(tx: &Tx<'_>, peer: &PeerRow, document: &StoredDocument) -> Result<Clock, StoreError> {
    let is_peers = document.key.author_group() == AuthorGroup::Node(peer.node);
    if peer.role == Role::Node && !is_peers && !tx.is_in_feed(peer, document.row)? {
        return Ok(Clock::default());
    }
    let genesis = genesis_actor(&document.key, 0, None);
    let mut clock = Clock::default();
    let all = tx.clock_of(document.row)?;
    for (actor, seq) in all.iter().filter(|(actor, _)| **actor != genesis).take(WANTED_ACTORS_MAX) {
        clock.raise(*actor, seq);
    }
    Ok(clock)
}
