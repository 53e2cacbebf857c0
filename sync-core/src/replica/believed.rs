//! What a node is believed to hold because it said that it applied it, possibly through another hub: changes below that are
//! left out of what it is sent. A belief is only a base to build on. The frontier is sent all the same, and a node that lacks
//! what it once had refuses it and gets the whole document.

use std::collections::BTreeMap;

use crate::document::{Clock, DocumentKey, Heads};
use crate::id::hex_decode;
use crate::identity::Role;
use crate::state::desired::from_state;
use crate::state::observed::{ObservedState, Stamp};
use crate::store::{DocumentRow, LogRow, PeerRow, StoreError, Tx};

/// What lies below the assignment, the release and the layers that the node last reported to have applied.
pub(super) fn believed(tx: &Tx<'_>, peer: &PeerRow) -> Result<BTreeMap<DocumentRow, Clock>, StoreError> {
    let mut held = BTreeMap::new();
    let Some(document) = tx.document(DocumentKey::observed(peer.node).id())? else { return Ok(held) };
    let state = tx.view(document.row)?.and_then(|view| from_state::<ObservedState>(&view));
    let (Some(applied), Role::Node) = (state.and_then(|state| state.applied), peer.role) else { return Ok(held) };
    let assignment = tx.document(DocumentKey::assignment(peer.node).id())?;
    let assignment = assignment.map(|document| stamped(tx, document.row, &applied.assignment)).transpose()?.flatten();
    held.extend(assignment.map(|row| (row.document, row.clock)));
    for document in tx.documents_of_kind(crate::document::DocumentKind::Release)? {
        held.extend(stamped(tx, document.row, &applied.release)?.map(|row| (row.document, row.clock)));
    }
    for (layer, version) in &applied.layers {
        if let Some(document) = tx.document(DocumentKey::layer(layer).id())? {
            held.extend(tx.only_with_version(document.row, *version)?.map(|row| (row.document, row.clock)));
        }
    }
    Ok(held)
}

fn stamped(tx: &Tx<'_>, document: DocumentRow, stamp: &Stamp) -> Result<Option<LogRow>, StoreError> {
    let heads = hex_decode(&stamp.heads).and_then(|bytes| Heads::from_bytes(&bytes));
    let Some(heads) = heads else { return Ok(None) };
    let generation = tx.document_by_row(document)?.generation;
    tx.find_frontier(document, generation, &heads)
}
