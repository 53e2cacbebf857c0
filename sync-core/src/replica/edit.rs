//! Local writes: several documents and rows of one edit become durable together, and are signed.

use serde_json::{Map, Value};

use super::admit::create;
use super::exchange::extend_live;
use super::loads::Loads;
use super::write::{self, Author, WriteError};
use super::{Event, Now, Output, Replica, is_own};
use crate::document::{DocumentKey, DocumentKind, SignedFrontier};
use crate::env::CrashPoint;
use crate::id::NodeId;
use crate::identity::Role;
#[cfg(feature = "mutants")]
use crate::mutants::{Mutant, planted};
use crate::store::{DocumentRow, StoreError, Tx};

/// A document as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// Its newest frontier.
    pub frontier: SignedFrontier,
    /// The state there.
    pub state: Map<String, Value>,
    /// When that frontier came to this store, in seconds since 1970.
    pub arrived: Option<u64>,
}

/// An open edit: everything in it becomes durable together, or nothing.
#[derive(Debug)]
pub struct Edit<'a> {
    pub(super) tx: Tx<'a>,
    pub(super) author: Author<'a>,
    pub(super) changed: Vec<DocumentKey>,
    pub(super) loads: Loads,
    /// A hub is linked: what is reported becomes a change at once.
    takes_reports: bool,
}

/// What a committed edit leaves to be told.
struct Committed {
    changed: Vec<DocumentKey>,
    loads: Loads,
}

impl<'a> Edit<'a> {
    fn new(tx: Tx<'a>, author: Author<'a>, loads: Loads, takes_reports: bool) -> Self {
        Self { tx, author, changed: Vec::new(), loads, takes_reports }
    }

    fn commit(self) -> Result<Committed, StoreError> {
        let Self { tx, changed, loads, .. } = self;
        tx.commit()?;
        Ok(Committed { changed, loads })
    }

    /// The transaction, for rows beside documents (peers, tokens, local values).
    #[must_use]
    pub fn tx(&self) -> &Tx<'_> {
        &self.tx
    }

    /// The document as it stands; `None` when there is none yet.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn read(&self, key: &DocumentKey) -> Result<Option<View>, StoreError> {
        read(&self.tx, key)
    }

    /// Makes the document's state equal to `state` with the fewest operations and signs the new frontier. When nothing
    /// differs nothing is written, and the frontier is the one that was there.
    ///
    /// # Errors
    /// [`WriteError`]; what the edit wrote before stands, and the caller decides whether to go on.
    pub fn write(&mut self, key: &DocumentKey, state: &Map<String, Value>) -> Result<SignedFrontier, WriteError> {
        self.check(key)?;
        let author = self.author;
        let before = self.tx.document(key.id())?.and_then(|document| document.latest);
        let written = self.tx.attempt(|| {
            let document = match self.tx.document(key.id())? {
                Some(document) => document,
                None => create(&self.tx, key)?,
            };
            write::write(&self.tx, &author, &document, Some(state), &mut self.loads)
        });
        let written = written.inspect_err(|_| self.loads.undo(key.id()))?;
        if before != Some(written.seq) {
            self.changed.push(key.clone());
        }
        if let (DocumentKind::Assignment, Some(node)) = (key.kind, key.owner) {
            self.tx.set_staged(node, false)?;
        }
        Ok(written.frontier)
    }

    pub(super) fn check(&self, key: &DocumentKey) -> Result<(), WriteError> {
        if !key.is_well_formed() {
            return Err(WriteError::Name(key.clone()));
        }
        if !is_own(self.author.identity, key) {
            return Err(WriteError::NotTheAuthor(key.clone()));
        }
        Ok(())
    }

    /// Keeps the state of one of this node's own documents until a hub can take it. Of many reports only the last becomes
    /// a change (decision D3: squash at the send fence).
    ///
    /// # Errors
    /// [`WriteError`]; nothing was kept.
    pub fn report(&mut self, key: &DocumentKey, state: &Map<String, Value>) -> Result<(), WriteError> {
        self.check(key)?;
        if self.author.identity.role() != Role::Node {
            return Err(WriteError::NotTheAuthor(key.clone()));
        }
        let document = match self.tx.document(key.id())? {
            Some(document) => document,
            None => create(&self.tx, key)?,
        };
        #[cfg(feature = "mutants")]
        if planted(Mutant::WaitingReportStays) && self.tx.pending(document.row)?.is_some() {
            return Ok(());
        }
        #[cfg(feature = "mutants")]
        if planted(Mutant::ReportNeedsLaterTime)
            && let Some(latest) = document.latest
            && self.author.wall.0 < self.tx.arrived_at(latest)?
        {
            return Ok(());
        }
        if self.takes_reports {
            return Ok(self.cut_report(document.row, key, state)?);
        }
        Ok(self.tx.set_pending(document.row, state)?)
    }

    /// Turns a report into a change.
    fn cut_report(
        &mut self,
        row: DocumentRow,
        key: &DocumentKey,
        state: &Map<String, Value>,
    ) -> Result<(), StoreError> {
        match self.write(key, state) {
            Ok(_) => {}
            Err(WriteError::Store(error)) => return Err(error),
            // The report stays out; the next one replaces it.
            Err(error) => tracing::error!(document = %key, %error, "a report cannot be written"),
        }
        self.tx.clear_pending(row)
    }

    /// Turns reports into changes when one of these peers is a hub.
    fn cut_reports<'p>(&mut self, mut peers: impl Iterator<Item = &'p NodeId>) -> Result<(), StoreError> {
        if self.author.identity.role() != Role::Node {
            return Ok(());
        }
        let rows = self.tx.all_pending()?;
        let hubs = if rows.is_empty() { Vec::new() } else { self.tx.hubs()? };
        if !peers.any(|peer| hubs.contains(peer)) {
            return Ok(());
        }
        for row in rows {
            let key = self.tx.document_by_row(row)?.key;
            let Some(state) = self.tx.pending(row)? else { continue };
            self.cut_report(row, &key, &state)?;
        }
        Ok(())
    }
}

/// The document as it stands; `None` when there is none.
///
/// # Errors
/// [`StoreError`].
pub fn read(tx: &Tx<'_>, key: &DocumentKey) -> Result<Option<View>, StoreError> {
    let Some(document) = tx.document(key.id())? else { return Ok(None) };
    let Some(latest) = document.latest else { return Ok(None) };
    let frontier = tx.log_row(latest)?.frontier;
    let state = tx.view(document.row)?.ok_or(StoreError::Corrupt { place: "view" })?;
    Ok(Some(View { frontier, state, arrived: tx.arrived_at(latest)? }))
}

impl Replica {
    /// Runs an edit and makes it durable, then tells the links.
    ///
    /// # Errors
    /// Those of `work`, and [`StoreError`]; nothing of the edit happened.
    pub fn edit<T, E: From<StoreError>>(
        &mut self,
        now: Now,
        work: impl FnOnce(&mut Edit<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let live = self.live_links();
        let policy = self.policy;
        let author = Author { identity: &self.identity, actor: self.actor, wall: now.wall, policy };
        let takes_reports = live.keys().any(|peer| self.linked_hubs.contains(peer));
        let mut edit = Edit::new(self.store.begin()?, author, self.loads.lend(), takes_reports);
        let value = work(&mut edit)?;
        edit.cut_reports(live.keys())?;
        let grown = extend_live(&edit.tx, &self.identity, &live)?;
        (self.witness)(CrashPoint::WriteBeforeCommit);
        let committed = edit.commit()?;
        (self.witness)(CrashPoint::WriteAfterCommit);
        let revokes = committed.changed.iter().any(|key| key.kind == DocumentKind::Roster);
        self.tell(committed);
        // The edit is durable and must not be said to have failed; a link that cannot be served is closed, or ends.
        if let Err(error) = self.serve(now, grown) {
            tracing::error!(%error, "what was written cannot be sent yet");
        }
        if revokes && let Err(error) = self.close_revoked(now) {
            tracing::error!(%error, "a revoked member's link cannot be closed in order");
        }
        Ok(value)
    }

    /// Reads without writing, but for contacts that were noted and not written down yet.
    ///
    /// # Errors
    /// Those of `work`, and [`StoreError`].
    pub fn inspect<T, E: From<StoreError>>(&mut self, work: impl FnOnce(&Tx<'_>) -> Result<T, E>) -> Result<T, E> {
        if let Err(error) = self.write_down_contacts() {
            tracing::warn!(%error, "the last contacts could not be written down");
        }
        let tx = self.store.begin_read()?;
        work(&tx)
    }

    /// The document as it stands; `None` when there is none.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn read(&mut self, key: &DocumentKey) -> Result<Option<View>, StoreError> {
        self.inspect(|tx| read(tx, key))
    }

    /// Makes one document's state equal to `state`. See [`Edit::write`].
    ///
    /// # Errors
    /// [`WriteError`]; nothing was changed.
    pub fn write(
        &mut self,
        now: Now,
        key: &DocumentKey,
        state: &Map<String, Value>,
    ) -> Result<SignedFrontier, WriteError> {
        self.edit(now, |edit| edit.write(key, state))
    }

    /// The send fence: turns reports into changes when a hub is about to take them.
    pub(super) fn cut_reports(&mut self, now: Now, peer: NodeId) -> Result<(), StoreError> {
        if self.identity.role() != Role::Node || self.store.begin_read()?.all_pending()?.is_empty() {
            return Ok(());
        }
        let policy = self.policy;
        let author = Author { identity: &self.identity, actor: self.actor, wall: now.wall, policy };
        let mut edit = Edit::new(self.store.begin()?, author, self.loads.lend(), true);
        edit.cut_reports(std::iter::once(&peer))?;
        let committed = edit.commit()?;
        self.tell(committed);
        Ok(())
    }

    fn tell(&mut self, committed: Committed) {
        self.loads.take_back(committed.loads);
        self.outputs.extend(committed.changed.into_iter().map(|key| Output::Event(Event::Changed(key))));
    }
}
