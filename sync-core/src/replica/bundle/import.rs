//! Takes what a peer has written into a file.

use std::collections::BTreeSet;
use std::io::{Read, Seek};

use super::track::{Fit, Track};
use crate::document::DocumentKey;
use crate::id::{Incarnation, NodeId, StoreId};
use crate::identity::certificate::{Certified, PeerRefusal};
use crate::identity::{Identity, Role};
use crate::limits::{BUNDLE_REFUSALS_LISTED_MAX, BUNDLE_STEP_FRAMES_MAX};
use crate::position::{Position, chain_origin};
use crate::replica::exchange::Reach;
use crate::replica::{Event, Now, Output, Replica, certificates, members, scope};
use crate::store::{PeerRow, StoreError};
use crate::wire::bundle::{BundleReadError, BundleReader};
use crate::wire::{DecodeError, Hello, Message, Push, Reason, Refuse, VERSION_MAX, VERSION_MIN};

/// What became of a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// Who wrote it.
    pub exporter: NodeId,
    /// Number of the exporter's feed's entry before the first in it.
    pub from: u64,
    /// Number of the last entry in it; `from` when it has none.
    pub through: u64,
    /// Number of the last entry of the exporter's feed when it was written.
    pub head: u64,
    /// Frames with content.
    pub entries: u64,
    /// Documents that have a newer frontier now.
    pub changed: BTreeSet<DocumentKey>,
    /// Entries that were refused.
    pub refused: u64,
    /// The first [`BUNDLE_REFUSALS_LISTED_MAX`] of them.
    pub refusals: Vec<Refuse>,
    /// How it fits to what was held of the exporter's feed.
    pub fit: Fit,
    /// Number up to which the exporter's feed is held now without gaps.
    pub held: u64,
    /// Number up to which the exporter is known to hold the feed for it.
    pub acknowledged: u64,
}

/// Why a bundle was not taken. But for [`ImportError::Frame`], [`ImportError::Unexpected`], a malformed end and a store that
/// failed, nothing of it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// It is no bundle, or damaged.
    #[error(transparent)]
    Read(#[from] BundleReadError),
    /// Its exporter is not of this fleet.
    #[error("the bundle's exporter is not of this fleet: {0}")]
    Exporter(#[from] PeerRefusal),
    /// It was written here.
    #[error("this bundle was written here; it is for {}", .recipient.short())]
    Own {
        /// Whom it is for.
        recipient: NodeId,
    },
    /// It is for somebody else.
    #[error("this bundle is for {recipient}, written by {exporter}; import it there")]
    OtherRecipient {
        /// Whom it is for.
        recipient: NodeId,
        /// Who wrote it.
        exporter: NodeId,
    },
    /// A node wrote it for a node.
    #[error("this bundle was written by {}, a node; nodes exchange with hubs only", .exporter.short())]
    NotAHub {
        /// Who wrote it.
        exporter: NodeId,
    },
    /// Its exporter's enrolment was taken back.
    #[error("this bundle was written by {}, which is revoked", .exporter.short())]
    Revoked {
        /// Who wrote it.
        exporter: NodeId,
    },
    /// The two sides share no protocol version.
    #[error(
        "no common protocol version: {VERSION_MIN} to {VERSION_MAX} here, {min} to {max} in the bundle; update the older side"
    )]
    NoCommonVersion {
        /// The exporter's oldest.
        min: u32,
        /// Its newest.
        max: u32,
    },
    /// A frame in it is no message; what came before was taken.
    #[error("the exporter wrote a frame that breaks the protocol: {0}; what came before in it was taken")]
    Frame(#[from] DecodeError),
    /// A frame in it does not belong there; what came before was taken.
    #[error("the exporter wrote a frame that does not belong into a bundle; what came before in it was taken")]
    Unexpected,
    /// The store failed; what came before was taken.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A bundle for this replica that its exporter signed as it is. Nothing in it was looked at.
#[derive(Debug)]
pub struct CheckedBundle<R> {
    file: BundleReader<R>,
    exporter: Certified,
}

impl<R: Read + Seek> CheckedBundle<R> {
    /// Reads the source once, to check the whole. Takes no store, so it need not hold up a replica.
    ///
    /// # Errors
    /// [`ImportError`].
    pub fn check(identity: &Identity, source: R) -> Result<Self, ImportError> {
        let mut file = BundleReader::open(source)?;
        let certified = certificates::check(identity, &file.header().certificate)?;
        file.verify(&certified.key)?;
        let exporter = certified.key.node_id();
        let recipient = file.header().recipient;
        if exporter == identity.id() {
            return Err(ImportError::Own { recipient });
        }
        if recipient != identity.id() {
            return Err(ImportError::OtherRecipient { recipient, exporter });
        }
        if (identity.role(), certified.role) == (Role::Node, Role::Node) {
            return Err(ImportError::NotAHub { exporter });
        }
        Ok(Self { file, exporter: certified })
    }
}

/// A bundle that is being taken, frame by frame. Links may be served between its steps, the exporter's too.
#[derive(Debug)]
pub struct Import<R> {
    file: BundleReader<R>,
    speaks_for: (StoreId, Incarnation),
    track: Track,
    /// The place that the frame before led to.
    before: Position,
    imported: Imported,
}

impl Replica {
    /// Takes a bundle as if its exporter were at the other end of a link: each entry is admitted, or refused and put into
    /// quarantine, by who signed it. The source is read twice: once to check the whole.
    ///
    /// # Errors
    /// [`ImportError`].
    pub fn import_bundle<R: Read + Seek>(&mut self, now: Now, source: R) -> Result<Imported, ImportError> {
        let checked = CheckedBundle::check(&self.identity, source)?;
        let mut import = self.begin_import(now, checked)?;
        loop {
            if let Some(imported) = self.import_step(now, &mut import)? {
                return Ok(imported);
            }
        }
    }

    /// Takes the hello of a bundle.
    ///
    /// # Errors
    /// [`ImportError`].
    pub fn begin_import<R: Read + Seek>(
        &mut self,
        now: Now,
        checked: CheckedBundle<R>,
    ) -> Result<Import<R>, ImportError> {
        let CheckedBundle { mut file, exporter: certified } = checked;
        let exporter = certified.key.node_id();
        let (from, certificate) = (file.header().from, file.header().certificate.clone());
        let Some(Message::Hello(hello)) = next_message(&mut file, exporter)? else {
            return Err(ImportError::Unexpected);
        };
        if hello.version_max.min(VERSION_MAX) < hello.version_min.max(VERSION_MIN) {
            return Err(ImportError::NoCommonVersion { min: hello.version_min, max: hello.version_max });
        }
        if from.number == 0 && from.chain != chain_origin(hello.store, hello.incarnation.number, self.identity.id()) {
            return Err(ImportError::Unexpected);
        }

        let tx = self.store.begin()?;
        let row = members::add(&tx, &certified.key, certified.role)?;
        if row.revoked {
            return Err(ImportError::Revoked { exporter });
        }
        tx.set_certificate(exporter, &certificate)?;
        tx.commit()?;
        let (row, counts) = self.greet_by_file(now, row, &hello)?;
        let imported = Imported {
            exporter,
            from: from.number,
            through: from.number,
            head: hello.head.number,
            entries: 0,
            changed: BTreeSet::new(),
            refused: 0,
            refusals: Vec::new(),
            fit: Fit::OtherStore,
            held: row.cursor.map_or(0, |place| place.number),
            acknowledged: row.acked,
        };
        let track = Track::new(if counts { row.cursor } else { None }, from, counts);
        Ok(Import { file, speaks_for: (hello.store, hello.incarnation), track, before: from, imported })
    }

    /// What the hello of a bundle changes: as over a link, but forward only, because it may be an old one. Whether it speaks
    /// for the exporter's store as it is known, so that its places count.
    fn greet_by_file(&mut self, now: Now, mut row: PeerRow, hello: &Hello) -> Result<(PeerRow, bool), StoreError> {
        let is_known = match row.their_store {
            Some(known) if known == (hello.store, hello.incarnation) => true,
            Some((store, known)) if store != hello.store || hello.incarnation.number <= known.number => {
                return Ok((row, false));
            }
            Some(_) | None => false,
        };
        let is_first = row.their_store.is_none();
        let origin = self.origin(row.node);
        let own = self.identity.role();
        let is_news_of_node = !is_known && own == Role::Hub && row.role == Role::Node;
        let tx = self.store.begin()?;
        tx.set_their_store(&mut row, hello.store, hello.incarnation)?;
        if let Some(place) = hello.cursor
            && (place.number > row.acked || place.number == row.acked && !row.aware)
            && tx.feed_passed(&row, place, origin)?
        {
            tx.feed_acknowledged(&mut row, place.number)?;
        }
        if is_news_of_node && tx.owe_own(&mut row)? {
            let scope = scope::scope(&tx, &self.identity, &row)?;
            tx.extend_feed(&mut row, &scope)?;
        }
        let gives_back = own == Role::Node && !is_known && !is_first;
        if gives_back {
            tx.give_back(&mut row)?;
        }
        let is_first_of_hubs = is_first && (own, row.role) == (Role::Hub, Role::Hub);
        // As at a first meeting over a link: each may hold what the other has. The next one finds out.
        if gives_back || is_first_of_hubs && row.head.number > 0 && hello.head.number > 0 {
            let head = row.head.number;
            tx.set_unsure(&mut row, head)?;
        }
        tx.commit()?;
        if is_news_of_node {
            self.grant(now, row.node)?;
        }
        Ok((row, true))
    }

    /// Takes the next frames of a bundle, at most [`BUNDLE_STEP_FRAMES_MAX`]; `None` while there are more.
    ///
    /// # Errors
    /// [`ImportError`]; then the import is over.
    pub fn import_step<R: Read + Seek>(
        &mut self,
        now: Now,
        import: &mut Import<R>,
    ) -> Result<Option<Imported>, ImportError> {
        let exporter = import.imported.exporter;
        let Some(row) = self.store.begin_read()?.peer(exporter)? else { return Ok(Some(finished(import))) };
        if row.revoked {
            return Err(ImportError::Revoked { exporter });
        }
        // A link may have been served since the last step.
        import.track.meanwhile(row.their_store == Some(import.speaks_for), row.cursor);
        for _ in 0..BUNDLE_STEP_FRAMES_MAX {
            let Some(message) = next_message(&mut import.file, exporter)? else {
                return Ok(Some(finished(import)));
            };
            let Message::Push(push) = message else { return Err(ImportError::Unexpected) };
            self.import_push(now, import, push)?;
        }
        Ok(None)
    }

    fn import_push<R>(&mut self, now: Now, import: &mut Import<R>, push: Push) -> Result<(), ImportError> {
        let Import { track, imported, before, .. } = import;
        let exporter = imported.exporter;
        let place = |through| push.place(through, Some(*before)).ok_or(ImportError::Unexpected);
        let through = push.through.map(place).transpose()?;
        *before = through.unwrap_or(*before);
        let entry = push.entry;
        imported.entries += u64::from(entry.is_some());
        let reach = through.and_then(|through| track.reach(through)).map_or(Reach::Stay, Reach::IfTaken);
        let Some((taken, grown)) = self.take_push(now, exporter, entry, reach)? else { return Ok(()) };
        // Parts that do not follow each other are nobody's transfer.
        if taken.gap || taken.contradicts {
            return Err(ImportError::Unexpected);
        }
        track.taken(taken.refused.is_some(), through);
        imported.through = through.map_or(imported.through, |through| through.number);
        if let Some(author) = taken.beside_itself {
            self.count_fork(author)?;
        }
        if let Some(refuse) = &taken.refused {
            let (peer, document, reason) = (exporter, Some(refuse.document), refuse.message.clone());
            if taken.is_quarantined {
                self.outputs.push_back(Output::Event(Event::Quarantined { peer, document, reason }));
            }
            imported.refused += 1;
            if imported.refusals.len() < BUNDLE_REFUSALS_LISTED_MAX {
                imported.refusals.push(refuse.clone());
            }
        }
        imported.changed.extend(taken.changed.clone());
        let revokes = taken.revokes;
        self.follow_up(now, taken, grown)?;
        if revokes && self.store.begin_read()?.peer(exporter)?.is_some_and(|row| row.revoked) {
            return Err(ImportError::Revoked { exporter });
        }
        Ok(())
    }
}

impl Imported {
    /// Whether something was refused because something else that it builds on is not held.
    #[must_use]
    pub fn needs_earlier(&self) -> bool {
        let builds =
            |refuse: &Refuse| matches!(refuse.reason, Reason::Disconnected | Reason::NotBelow | Reason::Generation);
        self.fit == Fit::Gap || self.refusals.iter().any(builds)
    }
}

fn finished<R>(import: &mut Import<R>) -> Imported {
    let Import { track, imported, .. } = import;
    imported.fit = track.fit();
    if let Some(held) = track.held() {
        imported.held = held;
    }
    imported.clone()
}

fn next_message<R: Read + Seek>(file: &mut BundleReader<R>, exporter: NodeId) -> Result<Option<Message>, ImportError> {
    let Some(frame) = file.frame()? else { return Ok(None) };
    Ok(Some(Message::decode(&frame, exporter)?))
}
