//! Carries out what sessions ask for: reads feeds, makes pushes durable, puts frames into the outputs.

use std::collections::{BTreeMap, BTreeSet};

use super::admit::Taken;
use super::meet::Greeting;
use super::write::Author;
use super::{Event, Link, Now, Output, Replica, framed_length, scope};
use crate::document::{AuthorGroup, DocumentKey, DocumentKind};
use crate::env::CrashPoint;
use crate::id::{DocumentId, LinkId, NodeId};
use crate::identity::{Identity, Role};
use crate::limits::STAGED_TRANSFERS_MAX;
#[cfg(feature = "mutants")]
use crate::mutants::{Mutant, planted};
use crate::position::Position;
use crate::session::Effect;
use crate::store::{PeerRow, StoreError, Tx};
use crate::wire::{CloseCode, Message, Push, PushEntry, Reason, Refuse};

impl Replica {
    /// Carries out everything that the link's session asks for.
    pub(super) fn carry_out(&mut self, now: Now, id: LinkId) -> Result<(), StoreError> {
        let result = self.carry_out_all(now, id);
        self.count_under_way(id);
        self.keep_timeout(id);
        result
    }

    fn carry_out_all(&mut self, now: Now, id: LinkId) -> Result<(), StoreError> {
        while let Some(effect) = self.links.get_mut(&id).and_then(|link| link.session.poll_effect()) {
            let result = self.carry_out_one(now, id, effect);
            if let Err(error) = result {
                #[cfg(feature = "mutants")]
                if planted(Mutant::FailedStepKeepsLink) {
                    tracing::error!(%error, "a step failed");
                    continue;
                }
                if let Some(link) = self.links.get_mut(&id) {
                    link.session.close(CloseCode::Storage, DISK_FAILED);
                }
                tracing::error!(%error, "a link is closed because the store failed");
                // The close itself needs no disk. Its effects are carried out by the next turn of this loop.
                if matches!(error, StoreError::Corrupt { .. }) {
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    fn carry_out_one(&mut self, now: Now, id: LinkId, effect: Effect) -> Result<(), StoreError> {
        match effect {
            Effect::Transmit(message) => self.transmit(id, &message),
            Effect::Meet { store, incarnation, head, cursor } => {
                self.meet(now, id, Greeting { store, incarnation, head, cursor })?;
            }
            Effect::Restart => self.restart(id)?,
            Effect::Fetch { after } => self.fetch(id, after)?,
            Effect::Store(push, place) => self.store_push(now, id, push, place)?,
            Effect::Acknowledged(number) => self.aside(|replica| replica.acknowledged(id, number))?,
            Effect::Refused(refuse) => self.refused(id, &refuse)?,
            Effect::Resume(resume) => {
                if let Some(link) = self.links.get_mut(&id)
                    && link.resume.len() < STAGED_TRANSFERS_MAX
                {
                    link.resume.insert(resume.document, resume);
                }
            }
            Effect::Summarise { after } => self.summarise(id, after)?,
            Effect::Gather => self.gather_digests(id)?,
            Effect::Compare(digests) => self.compare(id, &digests)?,
            Effect::Wanted(want) => self.wanted(id, want)?,
            Effect::Cloned => self.refuse_clone(id)?,
            Effect::Told(close) => self.told(now, id, &close)?,
            Effect::Synced => {
                self.catch_ups.done(now.instant, id);
                let Some(link) = self.links.get(&id) else { return Ok(()) };
                self.outputs.push_back(Output::Event(Event::Synced(link.peer)));
            }
            Effect::Close(close) => self.outputs.push_back(Output::Close { link: id, close }),
        }
        Ok(())
    }

    /// The peer made its feed durable up to here.
    fn acknowledged(&mut self, id: LinkId, number: u64) -> Result<(), StoreError> {
        let Some(link) = self.links.get_mut(&id) else { return Ok(()) };
        link.acknowledgements += 1;
        let stop = link.stops.pop_front_if(|stop| stop.acknowledged_with <= link.acknowledgements);
        link.batches.pop_front_if(|batch| batch.acknowledged_with <= link.acknowledgements);
        let tx = self.store.begin()?;
        if let Some(mut row) = tx.peer(link.peer)? {
            let number = number.max(row.acked);
            tx.feed_acknowledged(&mut row, number)?;
            if let Some(stop) = stop {
                tx.set_feed_reached(&row, stop.entry, stop.log)?;
            }
        }
        tx.commit()
    }

    fn transmit(&mut self, id: LinkId, message: &Message) {
        let frame = message.encode(self.identity.id());
        let carries_changes = message.carries_changes();
        if let Message::Acknowledge(_) = message {
            (self.witness)(CrashPoint::BeforeAcknowledge);
        }
        if let Some(link) = self.links.get_mut(&id) {
            link.traffic.bytes_out += framed_length(frame.len());
            self.outputs.push_back(Output::Transmit { link: id, frame, carries_changes });
        }
    }

    /// The peer took a step without its content. What follows cannot build on it; and when the reason is that it lacks what
    /// this side thought it held, or that it knows less of a revoked author, it gets the whole document, once a link.
    fn refused(&mut self, id: LinkId, refuse: &Refuse) -> Result<(), StoreError> {
        let Some(link) = self.links.get_mut(&id) else { return Ok(()) };
        if refuse.reason != Reason::Past {
            link.traffic.refused += 1;
            let reason = format!("document {}: {}", refuse.document, refuse.message);
            self.outputs.push_back(Output::Event(Event::RefusedByPeer { peer: link.peer, reason }));
        }
        let tx = self.store.begin()?;
        let (Some(mut row), Some(document)) = (tx.peer(link.peer)?, tx.document(refuse.document)?) else {
            return Ok(());
        };
        link.known.forget(document.row);
        tx.feed_refused(&row, document.row)?;
        // The refusal of a step comes before its acknowledgement, so of several batches the oldest is meant.
        let batch = link.batches.iter().position(|batch| batch.document == document.row);
        let batch = batch.and_then(|batch| link.batches.remove(batch)).filter(|_| refuse.reason != Reason::Past);
        // A peer that lacks something gets everything first; what it refuses all the same comes again one by one.
        let whole = refuse.reason.may_pass_later() && link.sent_again.insert(document.row);
        let again = whole || batch.is_some();
        if again {
            let scope = scope::scope(&tx, &self.identity, &row)?;
            tx.extend_feed(&mut row, &scope)?;
        }
        match batch {
            _ if whole => tx.feed_again(&mut row, document.row)?,
            // One of them may be bad: the others are taken when they come alone.
            Some(batch) => {
                link.alone.insert(document.row);
                tx.feed_each_again(&mut row, document.row, &batch.logs)?;
            }
            None => {}
        }
        tx.commit()?;
        if again {
            link.session.handle_head(row.head);
        }
        Ok(())
    }

    fn store_push(&mut self, now: Now, id: LinkId, push: Push, place: Option<Position>) -> Result<(), StoreError> {
        let Some(link) = self.links.get(&id) else { return Ok(()) };
        let peer = link.peer;
        let starts_over = push.entry.is_none() && place.is_some_and(|place| place.number == 0);
        let reach = place.map_or(Reach::Stay, Reach::Always);
        let Some((mut taken, grown)) = self.take_push(now, peer, push.entry, reach)? else { return Ok(()) };
        if taken.gap
            && let Some(link) = self.links.get_mut(&id)
        {
            // The next hello says what is still held of it.
            link.session.close(CloseCode::Busy, GAP);
            return Ok(());
        }
        if taken.contradicts
            && let Some(link) = self.links.get_mut(&id)
        {
            link.session.close(CloseCode::Protocol, CONTRADICTION);
            return Ok(());
        }
        if starts_over {
            self.diverged(id)?;
        }
        match taken.beside_itself {
            Some(author) if author == peer => self.diverged(id)?,
            Some(author) => self.count_fork(author)?,
            None => {}
        }
        if let Some(refuse) = taken.refused.as_ref().filter(|_| taken.is_quarantined) {
            let (document, reason) = (Some(refuse.document), refuse.message.clone());
            self.outputs.push_back(Output::Event(Event::Quarantined { peer, document, reason }));
        }
        if let Some(link) = self.links.get_mut(&id) {
            // What a peer sends it holds: it need not come back.
            taken.holds.iter().for_each(|holds| link.known.holds(holds));
            link.shown.extend(std::mem::take(&mut taken.shown));
            link.session.handle_stored(taken.refused.take(), place, push.more);
        }
        self.follow_up(now, taken, grown)
    }

    /// Admits what a peer pushed and makes it durable, with the place to which it brings this side, in one transaction. The
    /// one way in, whatever carried it. `None`: the peer is not known.
    pub(super) fn take_push(
        &mut self,
        now: Now,
        peer: NodeId,
        entry: Option<PushEntry>,
        reach: Reach,
    ) -> Result<Option<(Taken, Grown)>, StoreError> {
        let policy = self.policy;
        let author = Author { identity: &self.identity, actor: self.actor, wall: now.wall, policy };
        let tx = self.store.begin()?;
        let Some(mut row) = tx.peer(peer)? else { return Ok(None) };
        let document = entry.as_ref().and_then(whole_of);
        let has_several = matches!(&entry, Some(PushEntry::Delta(frame)) if !frame.earlier.is_empty());
        let mut loads = self.loads.lend();
        let taken = match entry {
            Some(PushEntry::Delta(frame)) => super::admit::take_delta(&tx, &author, &row, frame, &mut loads)?,
            Some(PushEntry::Leave(key)) => super::admit::take_leave(&tx, &row, &key)?,
            None => Taken::default(),
        };
        match (&taken.refused, document) {
            (Some(refuse), Some(document)) if refuse.reason.may_pass_later() => {
                let refusal = Message::Refuse(refuse.clone()).encode(self.identity.id());
                tx.note_untold(&row, document, &refusal)?;
            }
            // One of them may be bad. In a later session nobody knows which came together: then all come again, and alone if
            // they are refused together once more.
            (Some(refuse), Some(document)) if has_several && refuse.reason != Reason::Past => {
                let refuse = Refuse { reason: Reason::NotBelow, ..refuse.clone() };
                tx.note_untold(&row, document, &Message::Refuse(refuse).encode(self.identity.id()))?;
            }
            (None, Some(document)) if !taken.gap && !taken.contradicts => tx.forget_untold(&row, document)?,
            _ => {}
        }
        match reach {
            // Nothing was done.
            _ if taken.gap || taken.contradicts => {}
            Reach::Always(through) => tx.set_cursor(&mut row, Some(through))?,
            Reach::IfTaken(through) if taken.refused.is_none() => tx.set_cursor(&mut row, Some(through))?,
            Reach::IfTaken(_) | Reach::Stay => {}
        }
        if taken.is_own_word && row.believed {
            tx.set_believed(&mut row, false)?;
        }
        let grown = if taken.feeds_grow {
            // What nodes say goes to hubs, and back to whoever may have lost it: a report must not cost a look at every node.
            let of_node = |key: &&DocumentKey| matches!(key.author_group(), AuthorGroup::Node(_));
            let live = match taken.changed.as_ref().filter(of_node) {
                #[cfg(feature = "mutants")]
                None if planted(Mutant::RelayedNewsKeptBack) => {
                    live(self.links.iter().filter(|(_, link)| self.linked_hubs.contains(&link.peer)))
                }
                None => live(self.links.iter()),
                Some(key) => {
                    let members = self.linked_hubs.iter().copied().chain(key.owner).chain([peer]);
                    let ids: BTreeSet<LinkId> =
                        members.filter_map(|member| self.link_of.get(&member).copied()).collect();
                    live(ids.iter().filter_map(|id| self.links.get_key_value(id)))
                }
            };
            extend_live(&tx, &self.identity, &live)?
        } else {
            Grown::new()
        };
        let committed = tx.commit();
        #[cfg(feature = "mutants")]
        let committed = if planted(Mutant::CommitErrorIgnored) { Ok(()) } else { committed };
        committed?;
        self.loads.take_back(loads);
        (self.witness)(CrashPoint::ReceiveAfterCommit);
        Ok(Some((taken, grown)))
    }

    /// What a push that is durable now means for the rest of the replica.
    pub(super) fn follow_up(&mut self, now: Now, taken: Taken, grown: Grown) -> Result<(), StoreError> {
        let assigned = taken.changed.as_ref().filter(|key| key.kind == DocumentKind::Assignment);
        let assigned = assigned.and_then(|key| key.owner).filter(|_| self.identity.role() == Role::Hub);
        if let (Some(key), Some(rebased)) = (&taken.changed, taken.rebased) {
            let text = |path: &Vec<String>| path.iter().map(|key| format!("/{key}")).collect::<String>();
            let contested = rebased.contested.iter().map(|field| text(&field.path)).collect();
            let left = rebased.left.iter().map(text).collect();
            self.outputs.push_back(Output::Event(Event::Rebased { key: key.clone(), contested, left }));
        }
        self.outputs.extend(taken.changed.map(|key| Output::Event(Event::Changed(key))));
        self.serve(now, grown)?;
        if let Some(node) = assigned {
            self.heed_grant(now, node)?;
        }
        if taken.revokes { self.close_revoked(now) } else { Ok(()) }
    }

    /// Brings the feed of a peer up to date with the log, and reports with it when the peer may take them.
    pub(super) fn bring_up_to_date(&mut self, now: Now, peer: NodeId) -> Result<PeerRow, StoreError> {
        self.aside(|replica| {
            replica.cut_reports(now, peer)?;
            let tx = replica.store.begin_read()?;
            let mut row = tx.peer(peer)?.ok_or(StoreError::Corrupt { place: "peer" })?;
            drop(tx);
            if row.dirty {
                let tx = replica.store.begin()?;
                let scope = scope::scope(&tx, &replica.identity, &row)?;
                tx.extend_feed(&mut row, &scope)?;
                (replica.witness)(CrashPoint::FeedBeforeCommit);
                tx.commit()?;
            }
            Ok(row)
        })
    }

    /// The live links by peer.
    pub(super) fn live_links(&self) -> Live {
        live(self.links.iter())
    }

    /// Tells the links whose feeds have grown, after the commit.
    pub(super) fn serve(&mut self, now: Now, grown: Grown) -> Result<(), StoreError> {
        for (id, head) in grown {
            self.set_window(id);
            if let Some(link) = self.links.get_mut(&id) {
                link.session.handle_head(head);
            }
            self.carry_out(now, id)?;
        }
        Ok(())
    }
}

/// The document of a push that is not only a part of a delta.
fn whole_of(entry: &PushEntry) -> Option<DocumentId> {
    match entry {
        PushEntry::Delta(frame) => frame.frontier.as_ref().map(|_| frame.key.id()),
        PushEntry::Leave(key) => Some(key.id()),
    }
}

/// How far a push brings this side in its sender's feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// No further than it was.
    Stay,
    /// To this place; the sender is told what was refused.
    Always(Position),
    /// To this place unless it is refused.
    IfTaken(Position),
}

/// Links by the peer at their other end.
pub(super) type Live = BTreeMap<NodeId, LinkId>;

/// Links whose feeds have grown, each to here.
pub(super) type Grown = Vec<(LinkId, Position)>;

/// Those of these links on which both sides said hello, by peer.
fn live<'a>(links: impl Iterator<Item = (&'a LinkId, &'a Link)>) -> Live {
    links.filter(|(_, link)| link.session.is_live()).map(|(id, link)| (link.peer, *id)).collect()
}

/// Brings the feeds of live links up to date, in the transaction that made the log grow.
pub(super) fn extend_live(tx: &Tx<'_>, identity: &Identity, live: &Live) -> Result<Grown, StoreError> {
    let mut grown = Grown::new();
    for mut row in tx.dirty_peers(live.keys())? {
        let scope = scope::scope(tx, identity, &row)?;
        tx.extend_feed(&mut row, &scope)?;
        grown.extend(live.get(&row.node).map(|link| (*link, row.head)));
    }
    Ok(grown)
}

const GAP: &str = "a part came whose beginning is not held; it may have had to make room, dial again";

const CONTRADICTION: &str = "a part claims another size of its transfer than the first";

const DISK_FAILED: &str = "the disk failed; nothing of the last step was kept";
