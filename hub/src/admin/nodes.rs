//! What the hub knows of its nodes, and how old each fact is.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use sync_core::document::DocumentKey;
use sync_core::id::{Name, NodeId};
use sync_core::identity::Role;
use sync_core::replica::{Now, Replica, View, read};
use sync_core::state::desired::{AssignmentState, LayerPin, ReleaseState, from_state};
use sync_core::state::observed::{AppliedStamp, ObjectCondition, ObservedState};
use sync_core::state::{LayerState, ObjectHash, compose};
use sync_core::store::{PeerRow, PeerTraffic, Tx};

use super::fleet::has_assignment;
use super::{Failure, age, release_of, shape};
use crate::service::{
    AdminError, AdminErrorKind, Difference, Enrolment, Health, LayerVersion, Link, NodeDetail, NodeList, NodeObject,
    NodeSummary, NodeVersion, Past,
};

/// What a node's documents say.
struct Facts {
    assignment: Option<(u64, AssignmentState)>,
    observed: Option<(View, ObservedState)>,
}

fn facts(tx: &Tx<'_>, node: NodeId) -> Result<Facts, Failure> {
    let assignment = match read(tx, &DocumentKey::assignment(node))? {
        Some(view) => {
            let state = from_state(&view.state).ok_or_else(|| shape("the assignment"))?;
            Some((view.frontier.frontier().version, state))
        }
        None => None,
    };
    // A node of another version may report in another shape: then nothing is known of it, rather than something wrong.
    let observed = read(tx, &DocumentKey::observed(node))?;
    let observed = observed.and_then(|view| from_state(&view.state).map(|state| (view, state)));
    Ok(Facts { assignment, observed })
}

/// All nodes.
pub(super) fn list(replica: &mut Replica, now: Now) -> Result<NodeList, AdminError> {
    let live = live(replica);
    let work = |tx: &Tx<'_>| -> Result<NodeList, Failure> {
        let release = release_of(tx)?;
        let mut nodes = Vec::new();
        for peer in tx.peers()?.into_iter().filter(|peer| peer.role == Role::Node) {
            // One that is known only because another hub carried its word is listed there.
            let was_here = peer.traffic.sessions > 0 || live.contains_key(&peer.node);
            if was_here || peer.name.is_some() || has_assignment(tx, peer.node)? {
                nodes.push(summary(tx, now, &peer, &facts(tx, peer.node)?, &release, &live)?);
            }
        }
        Ok(NodeList { nodes })
    };
    replica.inspect(work).map_err(AdminError::from)
}

/// Peers with a live link, with what passed over it.
fn live(replica: &Replica) -> BTreeMap<NodeId, PeerTraffic> {
    let linked: BTreeSet<NodeId> = replica.linked().into_iter().collect();
    replica.live_traffic().into_iter().filter(|(node, _)| linked.contains(node)).collect()
}

fn summary(
    tx: &Tx<'_>,
    now: Now,
    peer: &PeerRow,
    facts: &Facts,
    release: &(u64, ReleaseState),
    live: &BTreeMap<NodeId, PeerTraffic>,
) -> Result<NodeSummary, Failure> {
    let name = shown_name(peer).ok_or_else(|| shape("a node's name"))?;
    let over_link = live.get(&peer.node).copied();
    let traffic = over_link.unwrap_or_default();
    let link = match over_link {
        Some(_) => Link::Up,
        None if peer.traffic.sessions > 0 => Link::Down,
        None => Link::Never,
    };
    let observed = facts.observed.as_ref();
    let applied = observed.and_then(|(_, state)| state.applied.as_ref());
    let (health, health_message) = health(facts, release);
    Ok(NodeSummary {
        name,
        id: peer.node.to_string(),
        labels: facts.assignment.as_ref().map(|(_, state)| state.labels.clone()).unwrap_or_default(),
        link,
        last_contact_seconds_ago: if link == Link::Up { Some(0) } else { age(now, peer.last_contact) },
        desired: facts.assignment.as_ref().map(|(version, state)| desired(*version, state, release)),
        applied: applied.map(|applied| NodeVersion {
            assignment_version: applied.assignment.version,
            release_version: applied.release.version,
            layers: in_order(applied, facts.assignment.as_ref().map(|(_, state)| state)),
        }),
        applied_age_seconds: applied.and_then(|applied| age(now, applied.at)),
        health,
        health_message,
        observed_age_seconds: observed.and_then(|(view, _)| age(now, view.arrived)),
        payload_bytes_in: peer.traffic.bytes_in + traffic.bytes_in,
        payload_bytes_out: peer.traffic.bytes_out + traffic.bytes_out,
        round_trips: peer.traffic.round_trips + traffic.round_trips,
        quarantined_count: tx.quarantined_from(peer.node)?,
        past: Past {
            incarnation: peer.their_store.map_or(0, |(_, incarnation)| incarnation.number),
            fork_count: peer.forks,
            clone_count: peer.clones,
        },
        enrolment: match peer {
            peer if peer.revoked => Enrolment::Revoked,
            peer if peer.staged || facts.assignment.is_none() => Enrolment::Staged,
            _ => Enrolment::Enrolled,
        },
    })
}

/// The node's name. One that came with a valid certificate and that this hub never enrolled, because it was restored from
/// a time before, goes by the start of its id.
pub(super) fn shown_name(peer: &PeerRow) -> Option<Name> {
    let name = peer.name.clone().unwrap_or_else(|| peer.node.short().to_string());
    Name::new(&name).ok()
}

fn layer_version(name: &Name, layer_version: u64) -> LayerVersion {
    LayerVersion { name: name.clone(), layer_version }
}

/// The layers that a node applied, in the order of its assignment: its report has them by name.
fn in_order(applied: &AppliedStamp, assignment: Option<&AssignmentState>) -> Vec<LayerVersion> {
    let assigned = assignment.map_or(&[][..], |state| &state.layers);
    let place = |layer: &LayerVersion| assigned.iter().position(|name| *name == layer.name).unwrap_or(usize::MAX);
    let mut layers: Vec<_> = applied.layers.iter().map(|(name, version)| layer_version(name, *version)).collect();
    layers.sort_by_key(place);
    layers
}

fn desired(version: u64, state: &AssignmentState, (release_version, release): &(u64, ReleaseState)) -> NodeVersion {
    let pin = |name: &Name| release.layers.get(name).map(|pin: &LayerPin| layer_version(name, pin.version));
    NodeVersion {
        assignment_version: version,
        release_version: *release_version,
        layers: state.layers.iter().filter_map(pin).collect(),
    }
}

/// What the node said last, or why nothing better is known.
fn health(facts: &Facts, release: &(u64, ReleaseState)) -> (Health, String) {
    let missing =
        facts.assignment.iter().flat_map(|(_, state)| &state.layers).find(|name| !release.1.layers.contains_key(*name));
    if let Some(name) = missing {
        return (Health::Progressing, format!("layer {name} is not released"));
    }
    match &facts.observed {
        None => (Health::Unknown, String::new()),
        Some((_, state)) => {
            let health = match state.health {
                sync_core::state::observed::Health::Unknown => Health::Unknown,
                sync_core::state::observed::Health::Healthy => Health::Healthy,
                sync_core::state::observed::Health::Progressing => Health::Progressing,
                sync_core::state::observed::Health::Degraded => Health::Degraded,
            };
            (health, state.message.clone())
        }
    }
}

/// One node in full.
pub(super) fn show(replica: &mut Replica, now: Now, name: &Name) -> Result<NodeDetail, AdminError> {
    let live = live(replica);
    let peer = replica.inspect(|tx| Ok::<_, Failure>(tx.peer_by_name(name.as_str())?)).map_err(AdminError::from)?;
    let Some(peer) = peer else {
        let message = format!("there is no node `{name}`");
        return Err(AdminError::new(AdminErrorKind::NotFound, message, "`nodes` shows all"));
    };
    let desired = replica.desired_of(peer.node);
    let work = |tx: &Tx<'_>| -> Result<NodeDetail, Failure> {
        let facts = facts(tx, peer.node)?;
        let release = release_of(tx)?;
        let node = summary(tx, now, &peer, &facts, &release, &live)?;
        let wanted: BTreeMap<String, ObjectHash> = match &desired {
            Ok(desired) => {
                let layers: Vec<LayerState<'_>> = desired
                    .layers
                    .iter()
                    .map(|layer| LayerState { name: &layer.name, document: &layer.state })
                    .collect();
                let effective = compose(&layers).map_err(|error| {
                    AdminError::new(AdminErrorKind::Invalid, error.to_string(), "correct the layer and apply it again")
                })?;
                effective.objects.iter().map(|(key, object)| (key.to_string(), ObjectHash::of(object))).collect()
            }
            Err(_) => BTreeMap::new(),
        };
        let reported = facts.observed.map(|(_, state)| state.objects).unwrap_or_default();
        Ok(NodeDetail { node, objects: objects(&wanted, &reported), differences: differences(&wanted, &reported) })
    };
    replica.inspect(work).map_err(AdminError::from)
}

fn objects(wanted: &BTreeMap<String, ObjectHash>, reported: &BTreeMap<String, ObjectCondition>) -> Vec<NodeObject> {
    let keys: BTreeSet<&String> = wanted.keys().chain(reported.keys()).collect();
    let object = |key: &String| {
        let condition = reported.get(key);
        NodeObject {
            key: key.clone(),
            desired: wanted.contains_key(key),
            applied: condition.is_some_and(|it| it.applied.is_some()),
            observed: condition.map(|it| if it.message.is_empty() { Health::Healthy } else { Health::Degraded }),
            message: condition.map(|it| it.message.clone()).unwrap_or_default(),
        }
    };
    keys.into_iter().map(object).collect()
}

/// Objects whose applied content is another one than the desired. The node reports hashes, so a difference is of the whole
/// object.
fn differences(wanted: &BTreeMap<String, ObjectHash>, reported: &BTreeMap<String, ObjectCondition>) -> Vec<Difference> {
    let keys: BTreeSet<&String> = wanted.keys().chain(reported.keys()).collect();
    let difference = |key: &String| {
        let desired = wanted.get(key).map(ToString::to_string);
        let observed = reported.get(key).and_then(|it| it.applied.clone());
        (desired != observed).then(|| Difference {
            key: key.clone(),
            path: String::new(),
            desired: desired.map(Value::String),
            observed: observed.map(Value::String),
        })
    };
    keys.into_iter().filter_map(difference).collect()
}

#[cfg(test)]
mod tests {
    use sync_core::state::observed::Stamp;

    use super::*;

    #[test]
    fn layers_that_were_applied_come_in_the_order_in_which_they_are_assigned() {
        let named = |name: &str| Name::new(name).unwrap();
        let stamp = Stamp { version: 1, heads: String::new() };
        let layers = [("app", 4), ("base", 2)].map(|(name, version)| (named(name), version)).into();
        let applied = AppliedStamp { assignment: stamp.clone(), release: stamp, layers, at: None };
        let assignment = AssignmentState {
            node: named("node"),
            labels: [].into(),
            layers: vec![named("base"), named("app")],
            release: named("release"),
            by_hand: false,
            store: None,
            key: None,
        };
        let names = |layers: Vec<LayerVersion>| layers.into_iter().map(|it| it.name.to_string()).collect::<Vec<_>>();
        assert_eq!(names(in_order(&applied, Some(&assignment))), ["base", "app"]);
        assert_eq!(names(in_order(&applied, None)), ["app", "base"]);
    }
}
