//! Answers a session that asks for the next frame of a feed.

use super::delta::{self, Next, Plan};
use super::transfer::{PackedTransfers, Transfer, part_bytes};
use super::{Link, Replica, certificates};
use crate::id::{Chain, LinkId};
use crate::store::{DocumentRow, FeedEntry, LogSeq, PeerRow, StoreError, Tx, chain_origin};
use crate::wire::{Push, PushEntry, Through};

/// One frame of a step.
#[derive(Debug, Default)]
struct Frame {
    entry: Option<PushEntry>,
    /// Where the step leads; only its last frame says so.
    through: Option<Through>,
    /// An older frontier on the way to the entry of this number, which the peer holds with this frame.
    stop: Option<(u64, LogSeq)>,
    /// The frontiers of a document that it holds, when they are several.
    batch: Option<(DocumentRow, Vec<LogSeq>)>,
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
        let Frame { mut entry, through, stop, batch } = source.next_frame(link, after)?;
        if let Some(entry) = &mut entry {
            certificates::attach(&tx, &self.identity, &mut link.shown, entry)?;
        }
        let number = through.map(|through| through.number());
        let more = number.is_none_or(|number| peer.head.number > number);
        let push = Push { entry, through, more };
        let bytes = push.frame_len(sender);
        let window = self.flow.window(link);
        link.session.handle_window(window);
        link.session.handle_step(number.unwrap_or(after), vec![push], bytes);
        let acknowledged_with = link.acknowledgements + link.session.unacknowledged() as u64;
        if let Some((entry, log)) = stop {
            link.stops.push_back(super::Stop { acknowledged_with, entry, log });
        }
        if let Some((document, logs)) = batch {
            link.batches.push_back(super::Batch { acknowledged_with, document, logs });
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
            return Ok(Frame { through: Some(self.peer.head.into()), ..Frame::default() });
        };
        let mut plan = match delta::next(self.tx, self.peer, &entry, &link.known)? {
            Next::Leave(key) => {
                let through = self.through(link, after, &entry, entry.log.is_none())?;
                return Ok(Frame { entry: Some(PushEntry::Leave(key)), through: Some(through), ..Frame::default() });
            }
            Next::Held => {
                let through = self.through(link, after, &entry, false)?;
                return Ok(Frame { through: Some(through), ..Frame::default() });
            }
            Next::Delta(plan) => plan,
        };
        let is_alone = link.alone.contains(&plan.document.row);
        let last = match is_alone {
            true => entry,
            false => delta::gather(self.tx, self.peer, entry, &link.known, &mut plan, room)?,
        };
        let packed = self.packed.of(self.tx, &plan)?;
        let resume = link.resume.get(&plan.document.key.id());
        if packed.bytes.len() <= part_bytes(room.saturating_sub(plan.earlier_bytes())) {
            link.known.holds(&plan.holds());
            let content = plan.frame(self.tx, packed.codec, packed.bytes.clone(), None, true)?;
            return self.last_frame(link, last, after, &plan, content);
        }
        let transfer = Transfer::begin(after, last, plan, &packed, resume);
        self.go_on(link, transfer, room)
    }

    /// The transfer's next part, or what may go ahead of it.
    fn go_on(&mut self, link: &mut Link, mut transfer: Transfer, room: u64) -> Result<Frame, StoreError> {
        if let Some(content) = transfer.look_ahead(self.tx, self.peer, &mut link.known, room)? {
            link.transfer = Some(transfer);
            return Ok(Frame { entry: Some(content), ..Frame::default() });
        }
        let packed = self.packed.of(self.tx, &transfer.plan)?;
        let (content, is_last) = transfer.next_part(self.tx, &packed, room)?;
        if is_last {
            link.known.holds(&transfer.plan.holds());
            return self.last_frame(link, transfer.entry, transfer.after, &transfer.plan, content);
        }
        link.transfer = Some(transfer);
        Ok(Frame { entry: Some(content), ..Frame::default() })
    }

    /// The frame that ends a step which leads to `entry`, or to an older frontier on the way.
    fn last_frame(
        &self,
        link: &Link,
        entry: FeedEntry,
        after: u64,
        plan: &Plan,
        content: PushEntry,
    ) -> Result<Frame, StoreError> {
        let logs = plan.logs();
        if !plan.arrives {
            // It is acknowledged where the step began, so that the window moves.
            let through = self.tx.feed_place(self.peer, after, self.origin)?.into();
            let stop = logs.last().map(|log| (entry.number, *log));
            return Ok(Frame { entry: Some(content), through: Some(through), stop, batch: None });
        }
        let through = self.through(link, after, &entry, plan.is_whole(&entry))?;
        let batch = (logs.len() > 1).then_some((plan.document.row, logs));
        Ok(Frame { entry: Some(content), through: Some(through), stop: None, batch })
    }

    /// Where a step leads that ends with `entry`. `is_whole`: what was sent is that entry and nothing else.
    fn through(&self, link: &Link, after: u64, entry: &FeedEntry, is_whole: bool) -> Result<Through, StoreError> {
        delta::through(self.tx, self.peer, after, entry, is_whole && link.session.is_placed(), &link.known)
    }
}
