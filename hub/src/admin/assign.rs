//! Assignments: which nodes take which layers, by name or by selector; and the first assignment of a new node.

use sync_core::document::DocumentKey;
use sync_core::id::{Name, NodeId};
use sync_core::identity::{PublicKey, Role};
use sync_core::replica::{Edit, Now, Replica, WriteError, read};
use sync_core::state::desired::{AssignmentState, PlacementState, from_state, to_state};

use super::{Failure, default_release, layers, shape};
use crate::service::{AdminError, AdminErrorKind, AssignTarget, Assigned, Labels};

/// Says which layers nodes take.
pub(super) fn assign(
    replica: &mut Replica,
    now: Now,
    names: &[Name],
    target: AssignTarget,
) -> Result<Assigned, AdminError> {
    let work = |edit: &mut Edit<'_>| -> Result<Assigned, Failure> {
        layers::check_exist(edit.tx(), names)?;
        let nodes = match target {
            AssignTarget::Node(node) => assign_node(edit, names, &node)?,
            AssignTarget::Selector(selector) => assign_selected(edit, names, selector)?,
        };
        Ok(Assigned { layers: names.to_vec(), nodes })
    };
    replica.edit(now, work).map_err(AdminError::from)
}

fn assign_node(edit: &mut Edit<'_>, names: &[Name], node: &Name) -> Result<Vec<Name>, Failure> {
    let peer = edit.tx().peer_by_name(node.as_str())?;
    let Some(peer) = peer else {
        let message = format!("there is no node `{node}`");
        return Err(AdminError::new(AdminErrorKind::NotFound, message, "`nodes` shows all").into());
    };
    let mut state = assignment(edit, peer.node)?.ok_or_else(|| shape("the assignment"))?;
    state.layers = names.to_vec();
    state.by_hand = true;
    edit.write(&DocumentKey::assignment(peer.node), &to_state(&state))?;
    Ok(vec![node.clone()])
}

/// Keeps the rule for nodes to come, and applies it to those that are here. A node that was assigned by hand keeps that.
fn assign_selected(edit: &mut Edit<'_>, names: &[Name], selector: Labels) -> Result<Vec<Name>, Failure> {
    let mut placement = placement(edit)?;
    placement.set(selector.clone(), names.to_vec());
    edit.write(&DocumentKey::placement(), &to_state(&placement))?;
    let mut matching = Vec::new();
    for peer in edit.tx().peers()?.into_iter().filter(|peer| peer.role == Role::Node) {
        let Some(mut state) = assignment(edit, peer.node)? else { continue };
        if state.by_hand || !selector.iter().all(|(key, value)| state.labels.get(key) == Some(value)) {
            continue;
        }
        matching.push(state.node.clone());
        state.layers = placement.layers_for(&state.labels).unwrap_or_default().to_vec();
        edit.write(&DocumentKey::assignment(peer.node), &to_state(&state))?;
    }
    Ok(matching)
}

/// Gives a new node its first assignment, by the rules that match its labels.
pub(crate) fn first_assignment(
    edit: &mut Edit<'_>,
    key: PublicKey,
    node: Name,
    labels: Labels,
) -> Result<(), WriteError> {
    let layers = match placement(edit) {
        Ok(placement) => placement.layers_for(&labels).unwrap_or_default().to_vec(),
        Err(Failure::Store(error)) => return Err(error.into()),
        Err(_) => Vec::new(),
    };
    let id = key.node_id();
    let (release, key) = (default_release(), Some(key));
    let state = AssignmentState { node, labels, layers, release, by_hand: false, key, store: None };
    edit.write(&DocumentKey::assignment(id), &to_state(&state)).map(drop)
}

fn placement(edit: &Edit<'_>) -> Result<PlacementState, Failure> {
    match read(edit.tx(), &DocumentKey::placement())? {
        Some(view) => from_state(&view.state).ok_or_else(|| shape("the placement")),
        None => Ok(PlacementState::default()),
    }
}

fn assignment(edit: &Edit<'_>, node: NodeId) -> Result<Option<AssignmentState>, Failure> {
    let view = read(edit.tx(), &DocumentKey::assignment(node))?;
    view.map(|view| from_state(&view.state).ok_or_else(|| shape("the assignment"))).transpose()
}
