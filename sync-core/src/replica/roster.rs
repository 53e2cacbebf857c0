//! The roster as a replica lives by it: what of a revoked member's words still counts, and taking a member's enrolment back.

use super::edit::Edit;
use super::write::WriteError;
use super::{Now, Replica};
use crate::document::{Clock, DocumentKey, DocumentKind, Frontier};
use crate::id::NodeId;
use crate::identity::Role;
use crate::state::desired::{from_state, to_state};
use crate::state::roster::{RosterState, Taken, taken_name};
use crate::store::{PeerRow, StoreError, StoredDocument, Tx};
use crate::wire::CloseCode;

/// The roster as it stands; empty before there is one.
///
/// # Errors
/// [`StoreError`].
pub fn read(tx: &Tx<'_>) -> Result<RosterState, StoreError> {
    let Some(document) = tx.document(DocumentKey::roster().id())? else { return Ok(RosterState::default()) };
    let state = tx.view(document.row)?;
    Ok(state.and_then(|state| from_state(&state)).unwrap_or_default())
}

/// Whether a frontier of a revoked author is at or below what was taken of it before. Assignments of a revoked hub, one for
/// each node, are not in the record: there the word of the hub that carries it counts.
pub(super) fn still_counts(
    tx: &Tx<'_>,
    peer: &PeerRow,
    document: &StoredDocument,
    author: NodeId,
    frontier: &Frontier,
    clock: &Clock,
) -> Result<bool, StoreError> {
    if document.key.kind == DocumentKind::Assignment {
        return Ok(peer.role == Role::Hub && peer.node != author && !peer.revoked);
    }
    for taken in read(tx)?.taken_of(author, frontier.document) {
        if (taken.generation, &taken.heads) == (frontier.generation, &frontier.heads) {
            return Ok(true);
        }
        let held = tx.find_frontier(document.row, taken.generation, &taken.heads)?;
        if held.is_some_and(|held| held.clock.includes(clock)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Adds what was taken of the member here and lies past what the roster names of it.
fn record(tx: &Tx<'_>, member: NodeId, roster: &mut RosterState) -> Result<(), StoreError> {
    for row in tx.signed_by(member)? {
        let document = tx.document_by_row(row)?;
        let (false, Some(latest)) = (document.key.kind == DocumentKind::Assignment, document.latest) else { continue };
        let latest = tx.log_row(latest)?;
        let frontier = latest.frontier.frontier();
        let mut is_below = false;
        for taken in roster.taken_of(member, frontier.document) {
            let held = tx.find_frontier(row, taken.generation, &taken.heads)?;
            is_below |= held.is_some_and(|held| held.clock.includes(&latest.clock));
        }
        if !is_below {
            let taken = Taken { generation: frontier.generation, heads: frontier.heads.clone() };
            roster.taken.insert(taken_name(member, frontier.document, &taken), taken);
        }
    }
    Ok(())
}

impl Edit<'_> {
    /// The roster as it stands; empty before there is one.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn roster(&self) -> Result<RosterState, StoreError> {
        read(self.tx())
    }

    /// Writes the roster. Hubs only.
    ///
    /// # Errors
    /// [`WriteError`]; the roster is as it was.
    pub fn write_roster(&mut self, roster: &RosterState) -> Result<(), WriteError> {
        self.write(&DocumentKey::roster(), &to_state(roster)).map(drop)
    }

    /// Takes a member's enrolment back: its links are closed and refused, and nothing is taken of it but what was taken
    /// before, by any member that has the roster. `name` is for people. For good: there is no way back under the same key.
    ///
    /// # Errors
    /// [`WriteError`]; nothing was changed.
    pub fn revoke(&mut self, member: NodeId, name: &str) -> Result<(), WriteError> {
        let mut roster = self.roster()?;
        roster.revoked.entry(member).or_insert_with(|| name.to_owned());
        record(self.tx(), member, &mut roster)?;
        self.write_roster(&roster)
    }
}

impl Replica {
    /// The roster as it stands; empty before there is one.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn roster(&mut self) -> Result<RosterState, StoreError> {
        self.inspect(read)
    }

    /// Ends the links of members that were revoked while they were up.
    pub(super) fn close_revoked(&mut self, now: Now) -> Result<(), StoreError> {
        let tx = self.store.begin_read()?;
        let mut ended = Vec::new();
        for (id, link) in &self.links {
            if tx.peer(link.peer)?.is_some_and(|row| row.revoked) {
                ended.push(*id);
            }
        }
        drop(tx);
        ended.into_iter().try_for_each(|id| self.close_link(now, id, CloseCode::Revoked, REVOKED))
    }
}

/// What a revoked member is told.
pub(super) const REVOKED: &str = "this member was revoked; join again with a new data folder";
