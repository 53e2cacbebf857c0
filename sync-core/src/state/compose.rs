//! Layers composed into the objects that a cluster should have.
//!
//! A layer's document is a map with the field `objects`: from the text form of an [`ObjectKey`] to an object. The first
//! layer that names an object gives it; each later one is laid over it by strategic merge, so it may be a whole object or
//! only what changes.
//!
//! Room is left for what comes after the objects of all layers: `patches` (JSON patch and JSON merge patch, with targets),
//! `values` (from the node's labels) and the node's override. They will be further fields of a layer or further arguments
//! here. Until then a field that is not known is refused: an agent must not apply half of what a newer hub meant.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{
    merge::{DirectiveError, Patch, check_directives, strategic_merge, strip_directives},
    object::{ObjectError, ObjectKey, type_name},
};
use crate::id::Name;

/// The field of a layer's document that holds its objects.
const OBJECTS: &str = "objects";

/// A field of a layer's document that is for people (source, description) and has no effect.
const ABOUT: &str = "about";

/// A layer at one frontier.
#[derive(Debug, Clone, Copy)]
pub struct LayerState<'a> {
    /// The layer's name, for origins and errors.
    pub name: &'a Name,
    /// The root map of its document.
    pub document: &'a Map<String, Value>,
}

/// What a cluster should have.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Effective {
    /// The objects. None contains a directive.
    pub objects: BTreeMap<ObjectKey, Value>,
    /// For each object the layers that made it what it is, in order: the first gave it, the others changed it. A layer
    /// that deleted the object forgets those before it.
    pub origins: BTreeMap<ObjectKey, Vec<Name>>,
}

/// Composes `layers`, the first at the bottom.
///
/// # Errors
/// [`ComposeError`] names the layer and the object at fault. Nothing is composed then: a cluster keeps what it has rather
/// than get a part.
pub fn compose(layers: &[LayerState<'_>]) -> Result<Effective, ComposeError> {
    let mut effective = Effective::default();
    for layer in layers {
        if let Some(field) = layer.document.keys().find(|field| *field != OBJECTS && *field != ABOUT) {
            return Err(ComposeError::Field { layer: layer.name.clone(), field: field.clone() });
        }
        let objects = match layer.document.get(OBJECTS) {
            None => continue,
            Some(Value::Object(objects)) => objects,
            Some(other) => return Err(ComposeError::Objects { layer: layer.name.clone(), found: type_name(other) }),
        };
        for (key, overlay) in objects {
            let key = key.parse().map_err(|source| ComposeError::Key { layer: layer.name.clone(), source })?;
            lay_over(&mut effective, layer.name, key, overlay)?;
        }
    }
    Ok(effective)
}

fn lay_over(effective: &mut Effective, layer: &Name, key: ObjectKey, overlay: &Value) -> Result<(), ComposeError> {
    if !overlay.is_object() {
        let source = ObjectError::NotAMap { found: type_name(overlay) };
        return Err(ComposeError::Object { layer: layer.clone(), key: key.into(), source });
    }
    if let Err(source) = check_directives(overlay) {
        return Err(ComposeError::Directive { layer: layer.clone(), key: key.into(), source });
    }
    if Patch::of(overlay) == Some(Patch::Delete) {
        effective.objects.remove(&key);
        effective.origins.remove(&key);
        return Ok(());
    }
    let object = match effective.objects.get_mut(&key) {
        Some(object) => {
            strategic_merge(object, overlay);
            object
        }
        None => {
            let mut object = overlay.clone();
            strip_directives(&mut object);
            effective.objects.entry(key.clone()).or_insert(object)
        }
    };
    match ObjectKey::of(object) {
        Ok(found) if found == key => {}
        Ok(found) => return Err(ComposeError::Identity { layer: layer.clone(), key: key.into(), found: found.into() }),
        Err(source) => return Err(ComposeError::Object { layer: layer.clone(), key: key.into(), source }),
    }
    effective.origins.entry(key).or_default().push(layer.clone());
    Ok(())
}

/// Why layers do not compose. The fault of a layer's author; nothing was changed anywhere.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ComposeError {
    /// A field of the document that this version does not know.
    #[error("layer `{layer}`: the field `{field}` is not known to this version; update the agent, or remove the field")]
    Field {
        /// The layer.
        layer: Name,
        /// The field.
        field: String,
    },
    /// `objects` is not a map.
    #[error("layer `{layer}`: `objects` must be a map from keys to objects, not {found}")]
    Objects {
        /// The layer.
        layer: Name,
        /// What it is.
        found: &'static str,
    },
    /// A key of `objects` is not an object key.
    #[error("layer `{layer}`: {source}")]
    Key {
        /// The layer.
        layer: Name,
        /// What is wrong with the key.
        source: ObjectError,
    },
    /// What stands under a key is, with all layers below it, not a Kubernetes object.
    #[error(
        "layer `{layer}`, object `{key}`: {source}; if this layer only changes the object, put the layer that defines it before this one"
    )]
    Object {
        /// The layer.
        layer: Name,
        /// The object.
        key: Box<ObjectKey>,
        /// What is wrong with it.
        source: ObjectError,
    },
    /// The object says that it is another than its key says.
    #[error(
        "layer `{layer}`, object `{key}`: its apiVersion, kind, namespace and name make it `{found}`; correct the object or its key"
    )]
    Identity {
        /// The layer.
        layer: Name,
        /// The key under which it stands.
        key: Box<ObjectKey>,
        /// The key that the object has.
        found: Box<ObjectKey>,
    },
    /// A merge directive that cannot be obeyed.
    #[error("layer `{layer}`, object `{key}`, {source}")]
    Directive {
        /// The layer.
        layer: Name,
        /// The object.
        key: Box<ObjectKey>,
        /// Which, and where.
        source: DirectiveError,
    },
}

#[cfg(test)]
mod tests;
