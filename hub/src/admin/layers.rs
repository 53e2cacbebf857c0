//! Layers and releases: apply, list, show, delete, release.

use serde_json::{Map, Value, json};
use sync_core::document::{DocumentKey, DocumentKind, SignedFrontier};
use sync_core::id::Name;
#[cfg(feature = "mutants")]
use sync_core::mutants::{Mutant, planted};
use sync_core::replica::{Edit, Now, Replica, View, read};
use sync_core::state::desired::{AssignmentState, LayerPin, PlacementState, from_state, to_state};
use sync_core::state::{LayerState, compose};
use sync_core::store::Tx;

use super::{Failure, age, conflicts, default_release, is_deleted, objects_of, release_of, shape};
use crate::service::{
    AdminError, AdminErrorKind, AppliedLayer, DeletedLayer, KeyedObject, LayerDetail, LayerList, LayerSummary,
    LayerVersion, Released,
};

/// Makes the layer exactly these objects.
pub(super) fn apply(
    replica: &mut Replica,
    now: Now,
    name: &Name,
    objects: Vec<KeyedObject>,
    release: bool,
) -> Result<AppliedLayer, AdminError> {
    let key = DocumentKey::layer(name);
    let wanted: Map<String, Value> = objects.into_iter().map(|it| (it.key, it.object)).collect();
    check_composes(name, &wanted)?;
    let work = |edit: &mut Edit<'_>| -> Result<AppliedLayer, Failure> {
        #[cfg(feature = "mutants")]
        let (wanted, release) = {
            let released = edit.read(&DocumentKey::release(&default_release()))?.and_then(|view| view.arrived);
            let is_early = planted(Mutant::ReleaseWaitsForClock) && now.wall.0 < released;
            (stamped(wanted, now), release && !is_early)
        };
        let before = edit.read(&key)?.map(|view| objects_of(&view.state)).unwrap_or_default();
        let frontier = edit.write(&key, &to_document(wanted.clone()))?;
        let release_version =
            if release { Some(release_layers(edit, &[(name.clone(), frontier.clone())])?) } else { None };
        let keys = |of: &Map<String, Value>, matches: &dyn Fn(&String, &Value) -> bool| -> Vec<String> {
            of.iter().filter(|(key, value)| matches(key, value)).map(|(key, _)| key.clone()).collect()
        };
        let added = keys(&wanted, &|key, _| !before.contains_key(key));
        let changed = keys(&wanted, &|key, value| before.get(key).is_some_and(|old| old != value));
        let removed = keys(&before, &|key, _| !wanted.contains_key(key));
        let unchanged_count = (wanted.len() - added.len() - changed.len()) as u64;
        Ok(AppliedLayer {
            name: name.clone(),
            layer_version: frontier.frontier().version,
            added,
            changed,
            removed,
            unchanged_count,
            release_version,
        })
    };
    replica.edit(now, work).map_err(AdminError::from)
}

#[cfg(feature = "mutants")]
fn stamped(mut objects: Map<String, Value>, now: Now) -> Map<String, Value> {
    let metadata = objects.values_mut().filter_map(|object| object.get_mut("metadata")?.as_object_mut());
    for metadata in metadata.filter(|_| planted(Mutant::StampedByClock)) {
        let day = now.wall.0.unwrap_or(0) / 86_400;
        metadata.insert("annotations".to_owned(), json!({ "example.org/changed-on-day": day.to_string() }));
    }
    objects
}

/// A layer that no node could compose is refused here, where someone reads the error.
fn check_composes(name: &Name, objects: &Map<String, Value>) -> Result<(), AdminError> {
    let document = to_document(objects.clone());
    let composed = compose(&[LayerState { name, document: &document }]);
    composed.map(drop).map_err(|error| {
        AdminError::new(AdminErrorKind::Invalid, error.to_string(), "correct the object and apply the layer again")
    })
}

fn to_document(objects: Map<String, Value>) -> Map<String, Value> {
    Map::from_iter([("objects".to_owned(), Value::Object(objects))])
}

/// Moves the release forward to these frontiers. The version of the release that holds them.
fn release_layers(edit: &mut Edit<'_>, layers: &[(Name, SignedFrontier)]) -> Result<u64, Failure> {
    let (_, mut state) = release_of(edit.tx())?;
    for (name, frontier) in layers {
        let frontier = frontier.frontier();
        let pin =
            LayerPin { generation: frontier.generation, version: frontier.version, heads: frontier.heads.clone() };
        state.layers.insert(name.clone(), pin);
    }
    let frontier = edit.write(&DocumentKey::release(&default_release()), &to_state(&state))?;
    Ok(frontier.frontier().version)
}

/// Every layer that was not deleted, by name.
fn all(tx: &Tx<'_>) -> Result<Vec<(Name, View)>, Failure> {
    let mut layers = Vec::new();
    for document in tx.documents_of_kind(DocumentKind::Layer)? {
        if let (Ok(name), Some(view)) = (Name::new(&document.key.name), read(tx, &document.key)?)
            && !is_deleted(&view)
        {
            layers.push((name, view));
        }
    }
    Ok(layers)
}

fn find(tx: &Tx<'_>, name: &Name) -> Result<View, Failure> {
    let view = read(tx, &DocumentKey::layer(name))?.filter(|view| !is_deleted(view));
    view.ok_or_else(|| unknown_layer(name))
}

fn unknown_layer(name: &Name) -> Failure {
    let message = format!("there is no layer `{name}`");
    AdminError::new(AdminErrorKind::NotFound, message, "`layer list` shows all; `layer apply` makes one").into()
}

/// Fails when one of these layers does not exist.
pub(super) fn check_exist(tx: &Tx<'_>, names: &[Name]) -> Result<(), Failure> {
    names.iter().try_for_each(|name| find(tx, name).map(drop))
}

/// Releases these layers as they stand, or all.
pub(super) fn release(replica: &mut Replica, now: Now, names: &[Name]) -> Result<Released, AdminError> {
    let work = |edit: &mut Edit<'_>| -> Result<Released, Failure> {
        check_exist(edit.tx(), names)?;
        let (_, state) = release_of(edit.tx())?;
        let moved: Vec<(Name, SignedFrontier)> = all(edit.tx())?
            .into_iter()
            .filter(|(name, _)| names.is_empty() || names.contains(name))
            .filter(|(name, view)| {
                state.layers.get(name).map(|pin| &pin.heads) != Some(&view.frontier.frontier().heads)
            })
            .map(|(name, view)| (name, view.frontier))
            .collect();
        let release_version = release_layers(edit, &moved)?;
        let version = |(name, frontier): &(Name, SignedFrontier)| LayerVersion {
            name: name.clone(),
            layer_version: frontier.frontier().version,
        };
        Ok(Released { release_version, layers: moved.iter().map(version).collect() })
    };
    replica.edit(now, work).map_err(AdminError::from)
}

fn summary(now: Now, name: Name, view: &View, release: &super::ReleaseState, assigned: u64) -> LayerSummary {
    let objects = objects_of(&view.state);
    LayerSummary {
        layer_version: view.frontier.frontier().version,
        released_layer_version: release.layers.get(&name).map(|pin| pin.version),
        object_count: objects.len() as u64,
        object_bytes: objects.values().map(|object| object.to_string().len() as u64).sum(),
        changed_seconds_ago: age(now, view.arrived),
        assigned_node_count: assigned,
        name,
    }
}

/// Assignments of all nodes.
fn assignments(tx: &Tx<'_>) -> Result<Vec<AssignmentState>, Failure> {
    let documents = tx.documents_of_kind(DocumentKind::Assignment)?;
    let read = |document: sync_core::store::StoredDocument| {
        let view = read(tx, &document.key)?;
        Ok(view.and_then(|view| from_state(&view.state)))
    };
    documents.into_iter().filter_map(|document| read(document).transpose()).collect()
}

/// All layers.
pub(super) fn list(replica: &mut Replica, now: Now) -> Result<LayerList, AdminError> {
    let work = |tx: &Tx<'_>| -> Result<LayerList, Failure> {
        let (_, release) = release_of(tx)?;
        let assignments = assignments(tx)?;
        let assigned = |name: &Name| assignments.iter().filter(|it| it.layers.contains(name)).count() as u64;
        let layers = all(tx)?;
        let layers = layers.into_iter().map(|(name, view)| {
            let count = assigned(&name);
            summary(now, name, &view, &release, count)
        });
        Ok(LayerList { layers: layers.collect() })
    };
    replica.inspect(work).map_err(AdminError::from)
}

/// One layer with its objects.
pub(super) fn show(replica: &mut Replica, now: Now, name: &Name) -> Result<LayerDetail, AdminError> {
    let work = |tx: &Tx<'_>| -> Result<LayerDetail, Failure> {
        let view = find(tx, name)?;
        let (_, release) = release_of(tx)?;
        let assigned = assignments(tx)?.iter().filter(|it| it.layers.contains(name)).count() as u64;
        let objects = objects_of(&view.state).into_iter().map(|(key, object)| KeyedObject { key, object });
        Ok(LayerDetail {
            layer: summary(now, name.clone(), &view, &release, assigned),
            objects: objects.collect(),
            conflicts: conflicts::of_document(tx, now, &DocumentKey::layer(name))?,
        })
    };
    replica.inspect(work).map_err(AdminError::from)
}

/// Deletes a layer that nobody is assigned to, from the release as well.
pub(super) fn delete(replica: &mut Replica, now: Now, name: &Name) -> Result<DeletedLayer, AdminError> {
    let work = |edit: &mut Edit<'_>| -> Result<DeletedLayer, Failure> {
        let view = find(edit.tx(), name)?;
        let users: Vec<String> = assignments(edit.tx())?
            .into_iter()
            .filter(|it| it.layers.contains(name))
            .map(|it| it.node.to_string())
            .collect();
        let placement = read(edit.tx(), &DocumentKey::placement())?;
        let placement: PlacementState = match placement {
            Some(view) => from_state(&view.state).ok_or_else(|| shape("the placement"))?,
            None => PlacementState::default(),
        };
        let rules = placement.rules.iter().filter(|(_, rule)| rule.layers.contains(name)).map(|(text, _)| text.clone());
        let rules: Vec<String> = rules.collect();
        if !users.is_empty() || !rules.is_empty() {
            let message =
                format!("the layer `{name}` is in use (nodes: {}; selectors: {})", or_none(&users), or_none(&rules));
            let hint = "assign other layers to them first";
            return Err(AdminError::new(AdminErrorKind::Conflict, message, hint).into());
        }
        let removed = objects_of(&view.state).keys().cloned().collect();
        let gone = json!({ "objects": {}, "about": { "deleted": true } });
        edit.write(&DocumentKey::layer(name), gone.as_object().unwrap_or(&Map::new()))?;
        let (version, mut state) = release_of(edit.tx())?;
        if version > 0 && state.layers.remove(name).is_some() {
            edit.write(&DocumentKey::release(&default_release()), &to_state(&state))?;
        }
        Ok(DeletedLayer { name: name.clone(), removed })
    };
    replica.edit(now, work).map_err(AdminError::from)
}

fn or_none(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
