//! What the roster and the assignments say of members, brought into the peer table: revocations, names, who is staged.

use super::roster;
use crate::document::{DocumentKey, DocumentKind};
use crate::id::{Name, NodeId};
use crate::identity::{Identity, PublicKey, Role};
use crate::limits::NAME_BYTES_MAX;
use crate::state::desired::{AssignmentState, from_state};
use crate::state::roster::RosterState;
use crate::store::{PeerRow, StoreError, Tx, chain_origin};
use serde_json::{Map, Value};

/// The row of a member whose key is certified; made when there is none. A new one that the roster revokes is revoked.
pub(super) fn add(tx: &Tx<'_>, key: &PublicKey, role: Role) -> Result<PeerRow, StoreError> {
    let node = key.node_id();
    if let Some(row) = tx.peer(node)? {
        return Ok(row);
    }
    let store = tx.identity()?.ok_or(StoreError::Corrupt { place: "store" })?;
    let mut row = tx.add_peer(key, role, None, chain_origin(store.store, store.incarnation, node))?;
    if roster::read(tx)?.revoked.contains_key(&node) {
        tx.revoke(node)?;
        row.revoked = true;
    }
    Ok(row)
}

/// Carries out what a document's new state means for members, in the transaction that made it the newest. Whether it takes
/// back an enrolment that was in force before.
pub(super) fn follow(
    tx: &Tx<'_>,
    identity: &Identity,
    key: &DocumentKey,
    state: &Map<String, Value>,
) -> Result<bool, StoreError> {
    match (key.kind, key.owner) {
        (DocumentKind::Roster, _) => {
            let Some(roster) = from_state::<RosterState>(state) else {
                tracing::error!("the roster has an unknown shape; a newer or faulty hub wrote it");
                return Ok(false);
            };
            let mut revokes = false;
            for node in roster.revoked.into_keys() {
                revokes |= tx.revoke(node)?;
            }
            Ok(revokes)
        }
        (DocumentKind::Assignment, Some(node)) if identity.role() == Role::Hub => {
            if let Some(assignment) = from_state::<AssignmentState>(state) {
                know_node(tx, node, &assignment)?;
            }
            Ok(false)
        }
        _ => Ok(false),
    }
}

/// An assignment says which node it is for, so a hub that never met the node can list it and assign to it.
fn know_node(tx: &Tx<'_>, node: NodeId, assignment: &AssignmentState) -> Result<(), StoreError> {
    if let Some(key) = assignment.key.filter(|key| key.node_id() == node) {
        add(tx, &key, Role::Node)?;
    }
    let Some(row) = tx.peer(node)? else { return Ok(()) };
    let wanted = assignment.node.as_str();
    match tx.peer_by_name(wanted)? {
        Some(other) if other.node == node => Ok(()),
        None => tx.name_peer(node, wanted),
        // Two hubs gave one name while they were apart: the node with the lower id keeps it, everywhere.
        Some(other) if node < other.node && name_in_assignment(tx, other.node)?.as_ref() == Some(&assignment.node) => {
            give_longer_name(tx, &other, &assignment.node)?;
            tx.name_peer(node, wanted)
        }
        Some(_) => give_longer_name(tx, &row, &assignment.node),
    }
}

fn name_in_assignment(tx: &Tx<'_>, node: NodeId) -> Result<Option<Name>, StoreError> {
    let Some(document) = tx.document(DocumentKey::assignment(node).id())? else { return Ok(None) };
    let state = tx.view(document.row)?;
    Ok(state.and_then(|state| from_state::<AssignmentState>(&state)).map(|state| state.node))
}

/// `NAME-SHORTID`, with more of the id when somebody has that too.
fn give_longer_name(tx: &Tx<'_>, row: &PeerRow, name: &Name) -> Result<(), StoreError> {
    let id = row.node.to_string();
    for digits in [8, 16, 32] {
        let end = id.get(..digits).unwrap_or(&id);
        let start: String = name.as_str().chars().take(NAME_BYTES_MAX - 1 - end.len()).collect();
        let longer = format!("{start}-{end}");
        match tx.peer_by_name(&longer)? {
            Some(other) if other.node == row.node => return Ok(()),
            None => return tx.name_peer(row.node, &longer),
            Some(_) => {}
        }
    }
    Ok(())
}

/// Whether the node whose assignment this is may be served, now that the assignment came from `peer`. A hub's word enrols it.
/// The node's own does at a hub that never lost its past; at one that did, the node is staged until an operator confirms.
pub(super) fn stage(
    tx: &Tx<'_>,
    identity: &Identity,
    peer: &PeerRow,
    key: &DocumentKey,
    was_held: bool,
) -> Result<(), StoreError> {
    let (DocumentKind::Assignment, Some(node), Role::Hub) = (key.kind, key.owner, identity.role()) else {
        return Ok(());
    };
    if peer.role == Role::Hub {
        return tx.set_staged(node, false);
    }
    let incarnation = tx.identity()?.map_or(1, |store| store.incarnation);
    if !was_held && incarnation > 1 { tx.set_staged(node, true) } else { Ok(()) }
}
