//! The frontiers that travel below the last one of a delta: which of them are new, and which becomes the newest.

use super::{KnownAuthors, TakeError};
use crate::document::admission::{AdmittedDelta, Refusal};
use crate::document::history::Causality;
use crate::document::{Clock, SignedFrontier};
use crate::replica::roster;
use crate::replica::write::Author;
use crate::store::{LogSeq, PeerRow, StoreError, StoredDocument, Tx};
#[cfg(feature = "mutants")]
use crate::{
    identity::Role,
    mutants::{Mutant, planted},
};

/// The frontiers of a delta.
pub(super) struct Sorted<'a> {
    /// Those that are not held.
    pub(super) new: Vec<&'a (SignedFrontier, Clock)>,
    /// Where in the log the others are.
    pub(super) held: Vec<LogSeq>,
}

/// Finds the frontiers that are held already: whether one is the newest was decided when it came first. Of the others none may be
/// past what was taken of a revoked author before.
pub(super) fn sort<'a>(
    tx: &Tx<'_>,
    peer: &PeerRow,
    document: &StoredDocument,
    admitted: &'a AdmittedDelta,
    authors: &KnownAuthors,
) -> Result<Sorted<'a>, TakeError> {
    let frontiers = admitted.frontiers();
    let (mut new, mut held): (Vec<&(SignedFrontier, Clock)>, Vec<LogSeq>) = Default::default();
    for (number, came) in frontiers.iter().enumerate() {
        let (signed, clock) = came;
        let (signer, frontier) = (signed.author(), signed.frontier());
        if let Some(row) = tx.find_frontier(document.row, frontier.generation, &frontier.heads)?.filter(|row| row.held)
        {
            held.push(row.seq);
            continue;
        }
        if authors.revoked.contains(&signer) && !roster::still_counts(tx, peer, document, signer, frontier, clock)? {
            return Err(Refusal::Revoked { author: signer }.of(number, frontiers.len()).into());
        }
        // One may be named twice.
        if !new.iter().any(|(other, _)| other.frontier().heads == frontier.heads) {
            new.push(came);
        }
    }
    Ok(Sorted { new, held })
}

/// The frontiers of a delta in the log.
pub(super) struct Appended<'a> {
    /// Where they are.
    pub(super) logs: Vec<LogSeq>,
    /// Which of them is the document's newest from now on.
    pub(super) latest: Option<(LogSeq, &'a SignedFrontier)>,
    /// Whether some stand beside each other.
    pub(super) is_beside: bool,
}

/// Writes the frontiers of a delta to the log. `before` is the clock of the newest so far, and nothing of a generation that is
/// past becomes the newest.
pub(super) fn append<'a>(
    tx: &Tx<'_>,
    author: &Author<'_>,
    document: &StoredDocument,
    new: &[&'a (SignedFrontier, Clock)],
    mut logs: Vec<LogSeq>,
    before: Option<Clock>,
    is_past: bool,
) -> Result<Appended<'a>, StoreError> {
    let (mut newest, mut latest) = (before, None);
    #[cfg(feature = "mutants")]
    let highest =
        document.latest.map(|latest| tx.log_row(latest)).transpose()?.map(|row| row.frontier.frontier().version);
    for (signed, clock) in new {
        #[cfg(feature = "mutants")]
        match author.identity.role() {
            Role::Node if planted(Mutant::OlderAccepted) => newest = None,
            Role::Node if planted(Mutant::NewerByVersion) && highest < Some(signed.frontier().version) => newest = None,
            _ if planted(Mutant::PanicsWithoutClock) => assert!(author.wall.0.is_some(), "the time is not known"),
            _ => {}
        }
        let seq = tx.append_frontier(document.row, signed, clock, author.wall)?;
        logs.push(seq);
        let is_newer = |newest: &Clock| {
            #[cfg(feature = "mutants")]
            if planted(Mutant::ConcurrentIsNewer) {
                return clock.compare(newest) != Causality::Older;
            }
            clock.compare(newest) == Causality::Newer
        };
        if !is_past && newest.as_ref().is_none_or(is_newer) {
            (newest, latest) = (Some(clock.clone()), Some((seq, signed)));
        }
    }
    // Looked at once all have come: the last of them may be above two that are beside each other.
    let is_beside = newest.is_some_and(|newest| new.iter().any(|(_, clock)| !newest.includes(clock)));
    Ok(Appended { logs, latest, is_beside })
}
