//! Answers a session that asks for the next frame of a feed.

use super::delta::{self, Next};
use super::transfer::{PackedTransfers, Transfer, part_bytes};
use super::{Link, Replica, certificates};
use crate::id::{Chain, LinkId};
use crate::position::Position;
use crate::store::{FeedEntry, LogSeq, PeerRow, StoreError, Tx, chain_origin};
use crate::wire::{Push, PushEntry};

/// One frame of a step.
#[derive(Debug, Default)]
struct Frame {
    entry: Option<PushEntry>,
    /// Where the step leads; only its last frame says so.
    through: Option<Position>,
    /// An older frontier on the way to the entry of this number, which the peer holds with this frame.
    stop: Option<(u64, LogSeq)>,
}

/// What is read to make frames.
struct Source<'a> {
    tx: &'a Tx<'a>,
    peer: &'a PeerRow,
    origin: Chain,
    packed: &'a mut PackedTransfers,
}

impl Replica {
    pub(super) fn fetch(&mut self, id: LinkId, after: u64) -> Result<(), StoreError> {
        let sender = self.identity.id();
        let Some(link) = self.links.get_mut(&id) else { return Ok(()) };
        let origin = chain_origin(self.store_id, self.incarnation.number, link.peer);
        let tx = self.store.begin_read()?;
        let Some(peer) = tx.peer(link.peer)? else { return Ok(()) };
        let mut source = Source { tx: &tx, peer: &peer, origin, packed: &mut self.packed };
        let Frame { mut entry, through, stop } = source.next_frame(link, after)?;
        if let Some(entry) = &mut entry {
            certificates::attach(&tx, &self.identity, &mut link.shown, entry)?;
        }
        let more = through.is_none_or(|through| peer.head.number > through.number);
        let push = Push { entry, through, more };
        let bytes = push.frame_len(sender);
        let window = self.flow.window(link);
        link.session.handle_window(window);
        link.session.handle_step(through.map_or(after, |through| through.number), vec![push], bytes);
        if let Some((entry, log)) = stop {
            let acknowledged_with = link.acknowledgements + link.session.unacknowledged() as u64;
            link.stops.push_back(super::Stop { acknowledged_with, entry, log });
        }
        Ok(())
    }
}

impl Source<'_> {
    fn next_frame(&mut self, link: &mut Link, after: u64) -> Result<Frame, StoreError> {
        let room = link.session.room();
        // A feed that started over has left its transfer behind, and so has a document that left the scope.
        if let Some(transfer) = link.transfer.take().filter(|transfer| transfer.after == after)
            && self.tx.feed_target(self.peer, &transfer.entry)?.is_some()
        {
            return self.go_on(link, transfer, room);
        }
        let Some(entry) = link.known.next(self.tx, self.peer, after)? else {
            // Entries at or below the peer's cursor were dropped: it has them.
            return Ok(Frame { through: Some(self.peer.head), ..Frame::default() });
        };
        let there = Position { number: entry.number, chain: entry.chain };
        let plan = match delta::next(self.tx, self.peer, &entry, &link.known)? {
            Next::Leave(key) => {
                return Ok(Frame { entry: Some(PushEntry::Leave(key)), through: Some(there), stop: None });
            }
            Next::Held => return Ok(Frame { through: Some(there), ..Frame::default() }),
            Next::Delta(plan) => plan,
        };
        let packed = self.packed.of(self.tx, &plan)?;
        let resume = link.resume.get(&plan.document.key.id());
        if packed.bytes.len() <= part_bytes(room) {
            link.known.passed(plan.document.row, plan.stop.seq);
            let content = plan.frame(packed.codec, packed.bytes.clone(), None, true);
            return self.last_frame(&entry, after, &plan, content);
        }
        let transfer = Transfer::begin(after, entry, plan, &packed, resume);
        self.go_on(link, transfer, room)
    }

    /// The transfer's next part, or what may go ahead of it.
    fn go_on(&mut self, link: &mut Link, mut transfer: Transfer, room: u64) -> Result<Frame, StoreError> {
        if let Some(content) = transfer.look_ahead(self.tx, self.peer, &mut link.known, room)? {
            link.transfer = Some(transfer);
            return Ok(Frame { entry: Some(content), ..Frame::default() });
        }
        let packed = self.packed.of(self.tx, &transfer.plan)?;
        let (content, is_last) = transfer.next_part(&packed, room);
        if is_last {
            link.known.passed(transfer.plan.document.row, transfer.plan.stop.seq);
            return self.last_frame(&transfer.entry, transfer.after, &transfer.plan, content);
        }
        link.transfer = Some(transfer);
        Ok(Frame { entry: Some(content), ..Frame::default() })
    }

    fn last_frame(
        &self,
        entry: &FeedEntry,
        after: u64,
        plan: &delta::Plan,
        content: PushEntry,
    ) -> Result<Frame, StoreError> {
        let there = Position { number: entry.number, chain: entry.chain };
        // A stop on the way is acknowledged where the step began, so that the window moves.
        let through = if plan.arrives { there } else { self.tx.feed_place(self.peer, after, self.origin)? };
        let stop = (!plan.arrives).then_some((entry.number, plan.stop.seq));
        Ok(Frame { entry: Some(content), through: Some(through), stop })
    }
}
