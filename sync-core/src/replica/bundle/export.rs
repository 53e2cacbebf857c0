//! Writes what a peer is owed into a file.

use std::collections::BTreeSet;
use std::io::Write;

use crate::document::codec::Packed;
use crate::id::{Chain, NodeId};
use crate::identity::Role;
use crate::limits::PART_BYTES_MAX;
use crate::part::{Part, transfer_id};
use crate::replica::delta::{self, Next};
use crate::replica::known::Known;
use crate::replica::{Now, Replica, certificates};
use crate::store::{FeedEntry, PeerRow, StoreError, Tx};
use crate::wire::bundle::{BundleHeader, BundleWriter};
use crate::wire::{Hello, Message, Push, PushEntry, Through, VERSION_MAX, VERSION_MIN};

/// From where on a bundle has the feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ExportFrom {
    /// From what the recipient is known to hold.
    #[default]
    Known,
    /// From the beginning: the recipient may have lost something, or a file that it was sent.
    Start,
}

/// What is in a bundle that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exported {
    /// Whom it is for.
    pub recipient: NodeId,
    /// Number of the feed's entry before the first in it.
    pub from: u64,
    /// Number of the last entry in it.
    pub through: u64,
    /// Number of the feed's last entry: more than `through` when the rest does not fit one file.
    pub head: u64,
    /// Frames with content.
    pub entries: u64,
    /// Bytes of the file.
    pub bytes: u64,
}

/// Why no bundle was written. What the writer has taken by then is no bundle.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// Nobody of this id is known here.
    #[error("no member {} is known here: link once, or import a bundle of its first", .recipient.short())]
    Unknown {
        /// The id.
        recipient: NodeId,
    },
    /// The recipient is this replica, or both are nodes.
    #[error("{} is no hub; nodes exchange with hubs only, hubs with everyone but themselves", .recipient.short())]
    NotAPeer {
        /// The id.
        recipient: NodeId,
    },
    /// The recipient's enrolment was taken back.
    #[error("{} is revoked, it is owed nothing", .recipient.short())]
    Revoked {
        /// The id.
        recipient: NodeId,
    },
    /// The file cannot be written.
    #[error("the bundle cannot be written: {0}")]
    Io(#[from] std::io::Error),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Replica {
    /// Writes a bundle with what a peer is owed. Nothing counts as delivered by this: a bundle of the peer's says what arrived.
    ///
    /// # Errors
    /// [`ExportError`].
    pub fn export_bundle(
        &mut self,
        now: Now,
        recipient: NodeId,
        from: ExportFrom,
        out: &mut dyn Write,
    ) -> Result<Exported, ExportError> {
        let row = self.store.begin_read()?.peer(recipient)?.ok_or(ExportError::Unknown { recipient })?;
        if recipient == self.identity.id() || (self.identity.role(), row.role) == (Role::Node, Role::Node) {
            return Err(ExportError::NotAPeer { recipient });
        }
        if row.revoked {
            return Err(ExportError::Revoked { recipient });
        }
        let row = self.bring_up_to_date(now, recipient)?;
        let origin = self.origin(recipient);
        let tx = self.store.begin_read()?;
        let mut after = match from {
            // It has not seen the present feed, and what it held counts no more.
            ExportFrom::Known if !row.aware => 0,
            ExportFrom::Known => row.acked,
            ExportFrom::Start => 0,
        };
        let certificate = self.identity.chain().first().map(|certificate| certificate.to_vec()).unwrap_or_default();
        let start = tx.feed_place(&row, after, origin)?;
        let mut file = BundleWriter::begin(out, &BundleHeader { recipient, from: start, certificate })?;
        let hello = Hello {
            version_min: VERSION_MIN,
            version_max: VERSION_MAX,
            store: self.store_id,
            incarnation: self.incarnation,
            head: row.head,
            cursor: row.cursor,
            credit: 0,
        };
        file.frame(&Message::Hello(hello).encode(self.identity.id()))?;

        let mut known = if after == 0 { Known::of_nothing() } else { Known::default() };
        let mut shown: BTreeSet<NodeId> = [self.identity.id(), recipient].into();
        let mut entries = 0;
        while let Some(entry) = tx.feed_next(&row, after)? {
            let (contents, through) = step(&tx, &row, entry, after, origin, &mut known)?;
            let more = row.head.number > through.number();
            let mut frames = Vec::new();
            let last = contents.len().saturating_sub(1);
            for (number, mut content) in contents.into_iter().enumerate() {
                certificates::attach(&tx, &self.identity, &mut shown, &mut content)?;
                let is_last = number == last;
                let push = Push { entry: Some(content), through: is_last.then_some(through), more: more || !is_last };
                frames.push(Message::Push(push).encode(self.identity.id()));
            }
            let has_content = frames.len() as u64;
            if frames.is_empty() {
                let push = Push { entry: None, through: Some(through), more };
                frames.push(Message::Push(push).encode(self.identity.id()));
            }
            let bytes: u64 = frames.iter().map(|frame| frame.len() as u64).sum();
            if !file.fits(frames.len() as u64, bytes) {
                break;
            }
            for frame in frames {
                file.frame(&frame)?;
            }
            entries += has_content;
            after = through.number();
        }
        let bytes = file.finish(self.identity.key())?;
        let (from, head) = (start.number, row.head.number);
        Ok(Exported { recipient, from, through: after, head, entries, bytes })
    }
}

/// The content that brings a peer through `entry`, in parts when it is large, with those after it that can go together, and
/// the place that it leads to: where the step began, when it is only an older frontier on the way.
fn step(
    tx: &Tx<'_>,
    peer: &PeerRow,
    entry: FeedEntry,
    after: u64,
    origin: Chain,
    known: &mut Known,
) -> Result<(Vec<PushEntry>, Through), StoreError> {
    let mut plan = match delta::next(tx, peer, &entry, known)? {
        Next::Leave(key) => {
            let through = delta::through(tx, peer, after, &entry, entry.log.is_none(), known)?;
            return Ok((vec![PushEntry::Leave(key)], through));
        }
        Next::Held => return Ok((Vec::new(), delta::through(tx, peer, after, &entry, false, known)?)),
        Next::Delta(plan) => plan,
    };
    let last = delta::gather(tx, peer, entry, known, &mut plan, u64::MAX)?;
    let Packed { codec, bytes: packed } = delta::pack(tx, &plan)?;
    known.holds(&plan.holds());
    let through = match plan.arrives {
        true => delta::through(tx, peer, after, &last, plan.is_whole(&last), known)?,
        false => tx.feed_place(peer, after, origin)?.into(),
    };
    if packed.len() <= PART_BYTES_MAX {
        return Ok((vec![plan.frame(tx, codec, packed, None, true)?], through));
    }
    let (transfer, total) = (transfer_id(&packed), packed.len() as u64);
    let mut offset = 0;
    let mut contents = Vec::new();
    for changes in packed.chunks(PART_BYTES_MAX) {
        let part = Part { transfer, offset, total };
        offset += changes.len() as u64;
        contents.push(plan.frame(tx, codec, changes.to_vec(), Some(part), offset == total)?);
    }
    Ok((contents, through))
}
