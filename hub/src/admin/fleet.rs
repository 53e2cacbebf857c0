//! Answers what is asked about the fleet: other hubs, homes, nodes' enrolment.

use serde::{Deserialize, Serialize};
use sync_core::document::DocumentKey;
use sync_core::id::{Name, NodeId};
use sync_core::identity::{Role, Token};
use sync_core::limits::{ADDRESS_BYTES_MAX, HUB_ADDRESSES_MAX, REVOKED_MAX};
use sync_core::replica::{Edit, Now, Replica, read, roster};
use sync_core::state::desired::{AssignmentState, from_state, to_state};
use sync_core::state::roster::{Home, HomeField, RosterState, home_name};
use sync_core::store::{PeerRow, TokenRow, Tx};

use super::{Context, Failure, age, conflicts, layers, shape};
use crate::limits::TOKEN_TTL_SECONDS_MAX;
use crate::service::fleet::{
    ChangedNodes, FleetCommand, FleetReply, HomeEntry, HomeList, HubList, HubSummary, HubTokenRequest, MoveHomeRequest,
    PeerRequest, RenameRequest,
};
use crate::service::{AdminError, AdminErrorKind, CreatedToken, Labels, Link};

/// Where hubs that were named by hand are kept in the local values.
pub(crate) const NAMED_PEERS: &str = "hub.peers";

/// A hub that was named by hand: dialled even before the roster knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NamedPeer {
    /// What the operator calls it.
    pub(crate) name: String,
    /// `HOST:PORT`.
    pub(crate) address: String,
    /// Who answered there.
    #[serde(default)]
    pub(crate) id: Option<NodeId>,
}

pub(super) fn answer(
    replica: &mut Replica,
    now: Now,
    context: &Context,
    command: FleetCommand,
) -> Result<FleetReply, AdminError> {
    match command {
        FleetCommand::CreateHubToken(request) => create_token(replica, now, context, &request).map(FleetReply::Token),
        FleetCommand::RevokeNode(request) => revoke_node(replica, now, &request.name).map(FleetReply::Nodes),
        FleetCommand::ConfirmNodes(request) => confirm(replica, now, request.name.as_ref()).map(FleetReply::Nodes),
        FleetCommand::RenameNode(request) => rename(replica, now, &request).map(FleetReply::Nodes),
        FleetCommand::AddPeer(request) => {
            add_peer(replica, now, request)?;
            list(replica, now).map(FleetReply::Hubs)
        }
        FleetCommand::RemovePeer(request) => {
            remove_peer(replica, now, &request.name)?;
            list(replica, now).map(FleetReply::Hubs)
        }
        FleetCommand::ListPeers => list(replica, now).map(FleetReply::Hubs),
        FleetCommand::MoveHome(request) => {
            move_home(replica, now, &request)?;
            homes(replica).map(FleetReply::Homes)
        }
        FleetCommand::ShowHomes => homes(replica).map(FleetReply::Homes),
        FleetCommand::ListConflicts => conflicts::list(replica, now).map(FleetReply::Conflicts),
        FleetCommand::ResolveConflict(request) => conflicts::resolve(replica, now, &request).map(FleetReply::Conflicts),
    }
}

/// Whether `text` can be an address: `HOST:PORT`.
pub(crate) fn check_address(text: &str) -> Result<(), String> {
    let parts = text.rsplit_once(':').filter(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
    if parts.is_none() || text.len() > ADDRESS_BYTES_MAX || text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(format!("`{text}` is no address; write HOST:PORT"));
    }
    Ok(())
}

/// A hub's name, or the start of its id when the roster does not have it.
pub(super) fn hub_name(roster: &RosterState, id: NodeId) -> String {
    let known = roster.hubs.get(&id).map(|hub| hub.name.to_string());
    known.or_else(|| roster.revoked.get(&id).cloned()).unwrap_or_else(|| id.short())
}

fn conflict(message: impl Into<String>, hint: &str) -> Failure {
    AdminError::new(AdminErrorKind::Conflict, message, hint).into()
}

fn create_token(
    replica: &mut Replica,
    now: Now,
    context: &Context,
    request: &HubTokenRequest,
) -> Result<CreatedToken, AdminError> {
    if !(1..=TOKEN_TTL_SECONDS_MAX).contains(&request.ttl_seconds) {
        let message = format!("a token lives 1 to {TOKEN_TTL_SECONDS_MAX} seconds, not {}", request.ttl_seconds);
        return Err(AdminError::new(AdminErrorKind::Invalid, message, ""));
    }
    let (pin, hub) = (replica.identity().pin(), replica.identity().id());
    let token = Token::create(&mut *context.machine.entropy(), pin, &hub);
    let row = TokenRow {
        id: token.id,
        secret_hash: token.secret_hash(),
        labels: Labels::new(),
        expires: now.wall.0.unwrap_or(0).saturating_add(request.ttl_seconds),
        redeemed_by: None,
        role: Role::Hub,
        authority: request.with_authority,
    };
    add_token(replica, now, &row)?;
    Ok(CreatedToken { token: token.to_string(), expires_in_seconds: request.ttl_seconds, labels: Labels::new() })
}

/// Keeps a token, when this hub can let anyone in with it.
pub(super) fn add_token(replica: &mut Replica, now: Now, row: &TokenRow) -> Result<(), AdminError> {
    let work = |edit: &mut Edit<'_>| -> Result<(), Failure> {
        let Some(wall) = now.wall.0 else {
            let message = "the hub does not know the time, so a token could not expire";
            return Err(conflict(message, "set the machine's clock"));
        };
        if edit.tx().authority()?.is_none() {
            let roster = edit.roster()?;
            let holders: Vec<&str> =
                roster.hubs.values().filter(|hub| hub.authority).map(|hub| hub.name.as_str()).collect();
            let at = if holders.is_empty() { "the hub that made the fleet".to_owned() } else { holders.join(" or ") };
            let message = "this hub does not hold the fleet's certificate authority, so it cannot enrol";
            return Err(conflict(message, &format!("make the token at {at}")));
        }
        Ok(edit.tx().add_token(row, wall)?)
    };
    replica.edit(now, work).map_err(AdminError::from)
}

fn node(tx: &Tx<'_>, name: &Name) -> Result<PeerRow, Failure> {
    let found = tx.peer_by_name(name.as_str())?;
    let by_id = |row: &PeerRow| row.role == Role::Node && row.name.is_none() && row.node.short() == name.as_str();
    let found = match found {
        Some(found) => Some(found),
        None => tx.peers()?.into_iter().find(by_id),
    };
    found.filter(|row| row.role == Role::Node).ok_or_else(|| {
        AdminError::new(AdminErrorKind::NotFound, format!("there is no node `{name}`"), "`nodes` shows all").into()
    })
}

fn revoke_node(replica: &mut Replica, now: Now, name: &Name) -> Result<ChangedNodes, AdminError> {
    let work = |edit: &mut Edit<'_>| -> Result<(), Failure> {
        let node = node(edit.tx(), name)?;
        check_room(&edit.roster()?)?;
        Ok(edit.revoke(node.node, name.as_str())?)
    };
    replica.edit(now, work).map_err(AdminError::from)?;
    Ok(ChangedNodes { done: "revoked".to_owned(), nodes: vec![name.clone()] })
}

fn check_room(roster: &RosterState) -> Result<(), Failure> {
    if roster.revoked.len() < REVOKED_MAX {
        return Ok(());
    }
    Err(conflict(format!("the roster names {REVOKED_MAX} revoked members already"), "found a new fleet"))
}

fn confirm(replica: &mut Replica, now: Now, name: Option<&Name>) -> Result<ChangedNodes, AdminError> {
    let work = |edit: &mut Edit<'_>| -> Result<Vec<Name>, Failure> {
        let rows = match name {
            Some(name) => vec![node(edit.tx(), name)?],
            None => edit.tx().peers()?.into_iter().filter(|row| row.staged && !row.revoked).collect(),
        };
        if let Some(name) = name.filter(|_| rows.iter().all(|row| !row.staged)) {
            let what = "is not staged with an assignment of its own";
            return Err(conflict(
                format!("the node `{name}` {what}"),
                "a node without an assignment waits for the hub that enrolled it, or joins again with a new token",
            ));
        }
        rows.iter().try_for_each(|row| edit.tx().set_staged(row.node, false))?;
        Ok(rows.iter().filter_map(super::nodes::shown_name).collect())
    };
    let nodes = replica.edit(now, work).map_err(AdminError::from)?;
    Ok(ChangedNodes { done: "confirmed".to_owned(), nodes })
}

fn rename(replica: &mut Replica, now: Now, request: &RenameRequest) -> Result<ChangedNodes, AdminError> {
    let work = |edit: &mut Edit<'_>| -> Result<(), Failure> {
        let row = node(edit.tx(), &request.name)?;
        if edit.tx().peer_by_name(request.to.as_str())?.is_some_and(|other| other.node != row.node) {
            return Err(conflict(format!("another node is called `{}`", request.to), "choose another name"));
        }
        let key = DocumentKey::assignment(row.node);
        let Some(view) = edit.read(&key)? else {
            return Err(conflict(format!("the node `{}` has no assignment here", request.name), ""));
        };
        let mut state: AssignmentState = from_state(&view.state).ok_or_else(|| shape("the assignment"))?;
        state.node = request.to.clone();
        edit.write(&key, &to_state(&state))?;
        Ok(())
    };
    replica.edit(now, work).map_err(AdminError::from)?;
    Ok(ChangedNodes { done: "renamed".to_owned(), nodes: vec![request.to.clone()] })
}

fn add_peer(replica: &mut Replica, now: Now, request: PeerRequest) -> Result<(), AdminError> {
    check_address(&request.address).map_err(|message| AdminError::new(AdminErrorKind::Invalid, message, ""))?;
    let own = replica.identity().id();
    let work = |edit: &mut Edit<'_>| -> Result<(), Failure> {
        let mut roster = edit.roster()?;
        if let Some((id, _)) = roster.hub_named(&request.name) {
            if id == own {
                return Err(conflict("that is this hub", "say where it is reached with `serve --advertise`"));
            }
            if let Some(hub) = roster.hubs.get_mut(&id) {
                hub.addresses.retain(|address| *address != request.address);
                hub.addresses.insert(0, request.address.clone());
                hub.addresses.truncate(HUB_ADDRESSES_MAX);
            }
            edit.write_roster(&roster)?;
        }
        let mut named: Vec<NamedPeer> = edit.tx().local(NAMED_PEERS)?.unwrap_or_default();
        named.retain(|peer| peer.name != request.name.as_str());
        named.push(NamedPeer { name: request.name.to_string(), address: request.address.clone(), id: None });
        Ok(edit.tx().set_local(NAMED_PEERS, &named)?)
    };
    replica.edit(now, work).map_err(AdminError::from)
}

fn remove_peer(replica: &mut Replica, now: Now, name: &Name) -> Result<(), AdminError> {
    let own = replica.identity().id();
    let work = |edit: &mut Edit<'_>| -> Result<(), Failure> {
        let mut roster = edit.roster()?;
        let mut named: Vec<NamedPeer> = edit.tx().local(NAMED_PEERS)?.unwrap_or_default();
        let was_named = named.len();
        named.retain(|peer| peer.name != name.as_str());
        edit.tx().set_local(NAMED_PEERS, &named)?;
        let Some((id, _)) = roster.hub_named(name) else {
            if named.len() < was_named {
                return Ok(());
            }
            let message = format!("there is no hub `{name}`");
            return Err(AdminError::new(AdminErrorKind::NotFound, message, "`peer list` shows all").into());
        };
        if id == own {
            return Err(conflict("a hub cannot remove itself", "run the command at another hub"));
        }
        if roster.home.hub == Some(id) || roster.homes.values().any(|home| home.hub == id) {
            let hint = "move them first: `archipel-hub home move --all --to HUB`";
            return Err(conflict(format!("the hub `{name}` is the home of documents"), hint));
        }
        check_room(&roster)?;
        roster.hubs.remove(&id);
        edit.write_roster(&roster)?;
        Ok(edit.revoke(id, name.as_str())?)
    };
    replica.edit(now, work).map_err(AdminError::from)
}

fn list(replica: &mut Replica, now: Now) -> Result<HubList, AdminError> {
    let (own, linked) = (replica.identity().id(), replica.linked());
    let work = |tx: &Tx<'_>| -> Result<HubList, Failure> {
        let roster = roster::read(tx)?;
        let mut hubs = Vec::new();
        for (id, hub) in &roster.hubs {
            let row = tx.peer(*id)?;
            let link = match &row {
                _ if linked.contains(id) => Link::Up,
                Some(row) if row.traffic.sessions > 0 => Link::Down,
                _ => Link::Never,
            };
            let last = if link == Link::Up { now.wall.0 } else { row.and_then(|row| row.last_contact) };
            hubs.push(HubSummary {
                name: hub.name.to_string(),
                id: id.to_string(),
                addresses: hub.addresses.clone(),
                is_this: *id == own,
                is_home: roster.home.hub == Some(*id),
                has_authority: hub.authority,
                link,
                last_contact_seconds_ago: age(now, last),
            });
        }
        let named: Vec<NamedPeer> = tx.local(NAMED_PEERS)?.unwrap_or_default();
        let is_new = |peer: &NamedPeer| {
            !hubs.iter().any(|hub: &HubSummary| hub.name == peer.name)
                && !peer.id.is_some_and(|id| roster.hubs.contains_key(&id) || roster.revoked.contains_key(&id))
        };
        let only_named: Vec<HubSummary> = named
            .iter()
            .filter(|peer| is_new(peer))
            .map(|peer| HubSummary {
                name: peer.name.clone(),
                id: peer.id.map(|id| id.to_string()).unwrap_or_default(),
                addresses: vec![peer.address.clone()],
                is_this: false,
                is_home: false,
                has_authority: false,
                link: if peer.id.is_some_and(|id| linked.contains(&id)) { Link::Up } else { Link::Never },
                last_contact_seconds_ago: None,
            })
            .collect();
        hubs.extend(only_named);
        hubs.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(HubList { hubs })
    };
    replica.inspect(work).map_err(AdminError::from)
}

fn move_home(replica: &mut Replica, now: Now, request: &MoveHomeRequest) -> Result<(), AdminError> {
    let work = |edit: &mut Edit<'_>| -> Result<(), Failure> {
        let mut roster = edit.roster()?;
        let Some((hub, _)) = roster.hub_named(&request.to) else {
            let message = format!("there is no hub `{}`", request.to);
            return Err(AdminError::new(AdminErrorKind::NotFound, message, "`peer list` shows all").into());
        };
        let epoch = roster.highest_epoch() + 1;
        match &request.layer {
            Some(layer) => {
                layers::check_exist(edit.tx(), std::slice::from_ref(layer))?;
                let document = home_name(&DocumentKey::layer(layer)).unwrap_or_default();
                roster.homes.insert(document, Home { hub, epoch });
            }
            None => {
                roster.home = HomeField { hub: Some(hub), epoch: Some(epoch) };
                roster.homes.clear();
            }
        }
        Ok(edit.write_roster(&roster)?)
    };
    replica.edit(now, work).map_err(AdminError::from)
}

fn homes(replica: &mut Replica) -> Result<HomeList, AdminError> {
    let roster = replica.inspect(|tx| Ok::<_, Failure>(roster::read(tx)?)).map_err(AdminError::from)?;
    let entry = |document: &str, home: Home| HomeEntry {
        document: document.to_owned(),
        hub: hub_name(&roster, home.hub),
        epoch: home.epoch,
    };
    let default = roster.home.hub.zip(roster.home.epoch).map(|(hub, epoch)| entry("*", Home { hub, epoch }));
    let moved = roster.homes.iter().map(|(document, home)| entry(document, home.clone())).collect();
    Ok(HomeList { default, moved })
}

/// Whether the node has an assignment here.
pub(super) fn has_assignment(tx: &Tx<'_>, node: NodeId) -> Result<bool, Failure> {
    Ok(read(tx, &DocumentKey::assignment(node))?.is_some())
}
