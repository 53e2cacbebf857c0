//! A step of a feed that does not fit one frame: which part of the packed batch goes next, and what may go ahead of it.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use super::delta::{self, Next, Plan};
use super::known::Known;
use crate::document::Clock;
use crate::document::codec::Packed;
use crate::id::TransferId;
use crate::limits::{
    LOOK_AHEAD_ENTRIES_MAX, LOOK_AHEAD_SKIPPED_MAX, PACKED_BYTES_MAX, PART_BYTES_MAX, PART_BYTES_MIN, PUSH_ROOM_MIN,
};
use crate::part::{Part, transfer_id};
use crate::store::{DocumentRow, FeedEntry, PeerRow, StoreError, Tx};
use crate::wire::{PushEntry, Resume};

/// Bytes of changes that fit a push of `room` bytes beside everything else that it may hold.
pub(super) fn part_bytes(room: u64) -> usize {
    let other = PUSH_ROOM_MIN - PART_BYTES_MIN as u64;
    usize::try_from(room.saturating_sub(other)).unwrap_or(usize::MAX).clamp(PART_BYTES_MIN, PART_BYTES_MAX)
}

/// Packed transfers that are under way on some link, the one used last in front. One that was dropped is packed again, to
/// the same bytes.
#[derive(Debug, Default)]
pub(super) struct PackedTransfers {
    recent: VecDeque<(Key, Arc<Packed>)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Key {
    document: DocumentRow,
    base: Clock,
    upto: Clock,
}

impl PackedTransfers {
    pub(super) fn of(&mut self, tx: &Tx<'_>, plan: &Plan) -> Result<Arc<Packed>, StoreError> {
        let key = Key { document: plan.document.row, base: plan.base.clone(), upto: plan.upto.clone() };
        let packed = match self.recent.iter().position(|(known, _)| *known == key) {
            Some(place) => self.recent.remove(place).map(|(_, packed)| packed),
            None => None,
        };
        let packed = match packed {
            Some(packed) => packed,
            None => Arc::new(delta::pack(tx, plan)?),
        };
        if packed.bytes.len() > PART_BYTES_MAX {
            self.recent.push_front((key, Arc::clone(&packed)));
            self.drop_oldest();
        }
        Ok(packed)
    }

    fn drop_oldest(&mut self) {
        let mut bytes = 0;
        let fits = |(_, packed): &&(Key, Arc<Packed>)| {
            bytes += packed.bytes.len() as u64;
            bytes <= PACKED_BYTES_MAX
        };
        let kept = self.recent.iter().take_while(fits).count();
        self.recent.truncate(kept.max(1));
    }
}

/// A transfer under way on one link.
#[derive(Debug)]
pub(super) struct Transfer {
    /// The place in the feed before its entry.
    pub(super) after: u64,
    pub(super) entry: FeedEntry,
    pub(super) plan: Plan,
    id: TransferId,
    total: u64,
    offset: u64,
    /// Number of the last entry that was looked at, and the documents found too large to go ahead.
    looked_at: u64,
    skipped: BTreeSet<DocumentRow>,
    /// Bytes that went ahead since the last part: the two take turns.
    went_ahead: u64,
}

impl Transfer {
    /// A transfer of `packed`, from where the peer says that it was cut.
    pub(super) fn begin(after: u64, entry: FeedEntry, plan: Plan, packed: &Packed, resume: Option<&Resume>) -> Self {
        let id = transfer_id(&packed.bytes);
        let total = packed.bytes.len() as u64;
        let held = resume.filter(|resume| resume.transfer == id).map_or(0, |resume| resume.offset);
        let looked_at = entry.number;
        let skipped = [plan.document.row].into();
        Self { after, entry, plan, id, total, offset: held.min(total), looked_at, skipped, went_ahead: 0 }
    }

    /// The next part, and whether it is the last.
    pub(super) fn next_part(
        &mut self,
        tx: &Tx<'_>,
        packed: &Packed,
        room: u64,
    ) -> Result<(PushEntry, bool), StoreError> {
        self.went_ahead = 0;
        let part = Part { transfer: self.id, offset: self.offset, total: self.total };
        let rest = usize::try_from(self.offset).ok().and_then(|offset| packed.bytes.get(offset..)).unwrap_or_default();
        let changes = rest.get(..part_bytes(room)).unwrap_or(rest);
        self.offset += changes.len() as u64;
        let is_last = self.offset == self.total;
        Ok((self.plan.frame(tx, packed.codec, changes.to_vec(), Some(part), is_last)?, is_last))
    }

    /// A small step of a later entry, for a document that nothing before it in the feed is about, which is sent ahead of the
    /// next part. When the feed gets there, it has nothing left to send.
    pub(super) fn look_ahead(
        &mut self,
        tx: &Tx<'_>,
        peer: &PeerRow,
        known: &mut Known,
        room: u64,
    ) -> Result<Option<PushEntry>, StoreError> {
        if self.went_ahead >= PART_BYTES_MAX as u64 {
            return Ok(None);
        }
        for _ in 0..LOOK_AHEAD_ENTRIES_MAX {
            if self.looked_at >= peer.head.number || self.skipped.len() >= LOOK_AHEAD_SKIPPED_MAX {
                return Ok(None);
            }
            let Some(entry) = known.next(tx, peer, self.looked_at)? else { return Ok(None) };
            self.looked_at = entry.number;
            if self.skipped.contains(&entry.document) {
                continue;
            }
            let Next::Delta(plan) = delta::next(tx, peer, &entry, known)? else { continue };
            if plan.arrives && plan.weight.bytes <= PART_BYTES_MAX as u64 {
                let packed = delta::pack(tx, &plan)?;
                if packed.bytes.len() <= part_bytes(room) {
                    self.went_ahead += packed.bytes.len() as u64;
                    known.holds(&plan.holds());
                    return plan.frame(tx, packed.codec, packed.bytes, None, true).map(Some);
                }
            }
            // What comes later of this document builds on it.
            self.skipped.insert(entry.document);
        }
        Ok(None)
    }
}
