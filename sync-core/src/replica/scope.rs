//! Which documents, and how far, a peer may hold (invariant 6). Called only for a peer whose feed may be behind.

use crate::document::DocumentKey;
use crate::identity::{Identity, Role};
#[cfg(feature = "mutants")]
use crate::mutants::{Mutant, planted};
use crate::state::desired::{AssignmentState, ReleaseState, from_state};
use crate::store::{DocumentRow, LogSeq, PeerRow, Scope, StoreError, Tx};

/// The peer's scope, in the order in which it should travel: what a release needs before the release, the release before the
/// assignment.
pub(super) fn scope(tx: &Tx<'_>, identity: &Identity, peer: &PeerRow) -> Result<Scope, StoreError> {
    let mut scope = match (identity.role(), peer.role) {
        (Role::Hub, Role::Hub) => return Ok(Scope::Everything),
        (Role::Hub, Role::Node) => [roster(tx)?, assigned(tx, peer)?].concat(),
        (Role::Node, Role::Hub) => own(tx, identity)?,
        (Role::Node, Role::Node) => Vec::new(),
    };
    #[cfg(feature = "mutants")]
    match (identity.role(), peer.role) {
        (Role::Node, _) if planted(Mutant::RestoredHubLeftBehind) => return Ok(Scope::Only(scope)),
        (Role::Hub, Role::Node) if planted(Mutant::AssignmentsServedToAll) => {
            let all = tx.documents_of_kind(crate::document::DocumentKind::Assignment)?;
            scope.extend(all.into_iter().filter_map(|document| Some((document.row, document.latest?))));
        }
        _ => {}
    }
    for document in tx.owed(peer)? {
        scope.extend(tx.document_by_row(document)?.latest.map(|latest| (document, latest)));
    }
    Ok(Scope::Only(scope))
}

/// The roster goes to everyone, and first: it says whose word counts.
fn roster(tx: &Tx<'_>) -> Result<Vec<(DocumentRow, LogSeq)>, StoreError> {
    let document = tx.document(DocumentKey::roster().id())?;
    Ok(document.and_then(|document| Some((document.row, document.latest?))).into_iter().collect())
}

/// A node's own documents go to any hub.
fn own(tx: &Tx<'_>, identity: &Identity) -> Result<Vec<(DocumentRow, LogSeq)>, StoreError> {
    let node = identity.id();
    let mut scope = Vec::new();
    for key in DocumentKey::written_by(node) {
        if let Some(document) = tx.document(key.id())? {
            scope.extend(document.latest.map(|latest| (document.row, latest)));
        }
    }
    Ok(scope)
}

/// What the node's assignment names: a layer goes only as far as the frontier in the release, so edits that were not
/// released stay at the hub.
fn assigned(tx: &Tx<'_>, peer: &PeerRow) -> Result<Vec<(DocumentRow, LogSeq)>, StoreError> {
    if peer.staged {
        return Ok(Vec::new());
    }
    let Some(assignment) = tx.document(DocumentKey::assignment(peer.node).id())? else { return Ok(Vec::new()) };
    let Some(assignment_latest) = assignment.latest else { return Ok(Vec::new()) };
    let mut scope = Vec::new();
    let state = tx.view(assignment.row)?.and_then(|view| from_state::<AssignmentState>(&view));
    if let Some(state) = state
        && let Some(release) = tx.document(DocumentKey::release(&state.release).id())?
        && let Some(release_latest) = release.latest
    {
        let pins = tx.view(release.row)?.and_then(|view| from_state::<ReleaseState>(&view)).unwrap_or_default();
        for name in &state.layers {
            let Some(pin) = pins.layers.get(name) else { continue };
            let Some(layer) = tx.document(DocumentKey::layer(name).id())? else { continue };
            let frontier = tx.find_frontier(layer.row, pin.generation, &pin.heads)?;
            #[cfg(feature = "mutants")]
            let frontier = match layer.latest {
                Some(latest) if planted(Mutant::UnreleasedGoesToNodes) => Some(tx.log_row(latest)?),
                _ => frontier,
            };
            scope.extend(frontier.filter(|row| row.held).map(|row| (layer.row, row.seq)));
        }
        scope.push((release.row, release_latest));
    }
    scope.push((assignment.row, assignment_latest));
    Ok(scope)
}
