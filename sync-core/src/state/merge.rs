//! Strategic merge: one desired object laid over another, as Kubernetes' strategic merge patch does it.
//!
//! Rules follow `k8s.io/apimachinery/pkg/util/strategicpatch` with the keys of [`NaturalKey`]. Differences, each on purpose:
//! - Items that only the overlay has are appended. Kubernetes puts the overlay's items first, so a patch that adds a
//!   sidecar makes it the first container, and the one that `kubectl logs` shows.
//! - `null` in an overlay is never stored, in new maps and list items too, so applying an overlay twice is applying it once.
//! - A list whose items lack their key is replaced; Kubernetes refuses the patch.
//! - Ports are told apart by protocol too (see [`NaturalKey::of_field`]).
//! - Custom resources merge like built-in ones. Kubernetes has no strategic merge for them.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{
    natural_key::{ListField, NaturalKey},
    object::type_name,
};

const PATCH: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const DELETE_FROM_PRIMITIVE_LIST: &str = "$deleteFromPrimitiveList/";
const SET_ELEMENT_ORDER: &str = "$setElementOrder/";

/// What `$patch` says of the map that it stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patch {
    /// Remove the item, or leave an empty map.
    Delete,
    /// Take the overlay as it is. On a list item of its own: replace the whole list.
    Replace,
}

impl Patch {
    /// The directive of `value`, if it is a map that has a known one.
    pub(crate) fn of(value: &Value) -> Option<Self> {
        Self::of_map(value.as_object()?)
    }

    fn of_map(map: &Map<String, Value>) -> Option<Self> {
        match map.get(PATCH)?.as_str()? {
            "delete" => Some(Self::Delete),
            "replace" => Some(Self::Replace),
            _ => None,
        }
    }
}

/// Lays `overlay` over `base`.
///
/// Maps merge field by field; `null` deletes a field; a list with a natural key merges item by item (items that are
/// there keep their place, new ones are appended in the overlay's order); anything else is replaced.
///
/// Directives: `$patch: delete` empties a map or removes a list item; `$patch: replace` replaces a map or, as a list item
/// of its own, the whole list; `$retainKeys: [..]` drops every other field of the map. The result contains none.
/// Unknown directives are dropped without effect: refuse them first with [`check_directives`].
///
/// Recurses once for each level of `overlay`, so its depth must be bounded: JSON from `serde_json`'s parser (128) and from
/// documents ([`DOCUMENT_DEPTH_MAX`](crate::limits::DOCUMENT_DEPTH_MAX)) is.
///
/// ```
/// use serde_json::json;
/// use sync_core::state::strategic_merge;
///
/// let mut base = json!({"containers": [{"name": "cart", "image": "cart:1", "tty": true}]});
/// strategic_merge(&mut base, &json!({"containers": [{"name": "cart", "image": "cart:2", "tty": null}]}));
/// assert_eq!(base, json!({"containers": [{"name": "cart", "image": "cart:2"}]}));
/// ```
pub fn strategic_merge(base: &mut Value, overlay: &Value) {
    merge_value(base, overlay, ListField::ROOT);
}

fn merge_value(base: &mut Value, overlay: &Value, field: ListField<'_>) {
    match (base, overlay) {
        (Value::Object(base), Value::Object(overlay)) => merge_map(base, overlay, field),
        (Value::Array(base), Value::Array(overlay)) => merge_list(base, overlay, field),
        (base, overlay) => *base = settled(overlay, field),
    }
}

fn merge_map(base: &mut Map<String, Value>, overlay: &Map<String, Value>, field: ListField<'_>) {
    match Patch::of_map(overlay) {
        Some(Patch::Delete) => return base.clear(),
        Some(Patch::Replace) => base.clear(),
        None => {}
    }
    if let Some(Value::Array(kept)) = overlay.get(RETAIN_KEYS) {
        base.retain(|key, _| kept.iter().any(|kept| kept == key));
    }
    for (key, value) in overlay {
        if is_directive(key) {
            continue;
        }
        match base.get_mut(key) {
            _ if value.is_null() => {
                base.remove(key);
            }
            Some(base) => merge_value(base, value, field.child(key)),
            // There is nothing to delete.
            None if Patch::of(value) == Some(Patch::Delete) => {}
            None => {
                base.insert(key.clone(), settled(value, field.child(key)));
            }
        }
    }
}

fn merge_list(base: &mut Vec<Value>, overlay: &[Value], field: ListField<'_>) {
    let is_list_directive = |item: &Value| Patch::of(item).is_some();
    let replaces = overlay.iter().any(|item| Patch::of(item) == Some(Patch::Replace));
    // As in Kubernetes, items with a directive say what happens to the list and are never part of it.
    let items = || overlay.iter().filter(|item| !is_list_directive(item));
    let key = NaturalKey::of_field(field).filter(|key| items().all(|item| key.of_item(item).is_some()));
    let Some(key) = key else {
        *base = items().map(|item| settled(item, field)).collect();
        return;
    };
    if replaces || base.iter().any(|item| key.of_item(item).is_none()) {
        base.clear();
    }
    for deleted in overlay.iter().filter(|item| Patch::of(item) == Some(Patch::Delete)) {
        let Some(deleted) = key.of_item(deleted) else { continue };
        let mut added_again = items().any(|item| key.of_item(item).as_ref() == Some(&deleted));
        base.retain_mut(|item| {
            if key.of_item(item).as_ref() != Some(&deleted) {
                return true;
            }
            // An item that is added again keeps its place, or applying the overlay twice would move it.
            if let Value::Object(item) = item {
                item.retain(|name, _| key.fields().any(|field| field == name));
            }
            std::mem::take(&mut added_again)
        });
    }
    let mut positions = BTreeMap::new();
    for (position, item) in base.iter().enumerate() {
        // Of items with one key the first is merged, as in Kubernetes: environment variables may repeat.
        positions.entry(key.of_item(item)).or_insert(position);
    }
    for item in items() {
        let position = *positions.entry(key.of_item(item)).or_insert(base.len());
        match base.get_mut(position) {
            Some(base) => merge_value(base, item, field),
            None => base.push(settled(item, field)),
        }
    }
}

/// `overlay` as it stands where nothing was: without directives and without nulls in maps.
fn settled(overlay: &Value, field: ListField<'_>) -> Value {
    match overlay {
        Value::Object(overlay) => {
            let mut map = Map::new();
            merge_map(&mut map, overlay, field);
            Value::Object(map)
        }
        Value::Array(overlay) => {
            let mut list = Vec::new();
            merge_list(&mut list, overlay, field);
            Value::Array(list)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => overlay.clone(),
    }
}

/// Removes every directive and the items and fields that `$patch: delete` marks; nulls stay.
///
/// For an object that is not laid over anything: an explicit null in it is a value that its author chose (custom resources
/// may have nullable fields).
pub(crate) fn strip_directives(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|key, value| !is_directive(key) && Patch::of(value) != Some(Patch::Delete));
            map.values_mut().for_each(strip_directives);
        }
        Value::Array(list) => {
            list.retain(|item| Patch::of(item).is_none());
            list.iter_mut().for_each(strip_directives);
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Whether `key` is a directive. Other keys with `$`, such as `$ref` in a custom resource's schema, are data.
fn is_directive(key: &str) -> bool {
    key == PATCH
        || key == RETAIN_KEYS
        || key.starts_with(DELETE_FROM_PRIMITIVE_LIST)
        || key.starts_with(SET_ELEMENT_ORDER)
}

/// Checks that every directive in `overlay` is one that [`strategic_merge`] obeys.
///
/// # Errors
/// [`DirectiveError`] names the first one that is not, with its path.
pub fn check_directives(overlay: &Value) -> Result<(), DirectiveError> {
    check(overlay, &mut Vec::new(), false)
}

fn check<'v>(value: &'v Value, path: &mut Vec<PathPart<'v>>, in_list: bool) -> Result<(), DirectiveError> {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                if is_directive(key) {
                    check_directive(key, value, map, path, in_list)?;
                    continue;
                }
                path.push(PathPart::Key(key));
                check(value, path, false)?;
                path.pop();
            }
        }
        Value::Array(list) => {
            for (index, item) in list.iter().enumerate() {
                path.push(PathPart::Index(index));
                check(item, path, true)?;
                path.pop();
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
    Ok(())
}

fn check_directive(
    key: &str,
    value: &Value,
    map: &Map<String, Value>,
    path: &[PathPart<'_>],
    in_list: bool,
) -> Result<(), DirectiveError> {
    let at = || path.iter().map(ToString::to_string).collect::<String>();
    match (key, value) {
        (PATCH, Value::String(patch)) if patch == "delete" => Ok(()),
        (PATCH, Value::String(patch)) if patch == "replace" => {
            if in_list && map.len() > 1 {
                return Err(DirectiveError::ReplaceItem { at: at() });
            }
            Ok(())
        }
        (PATCH, Value::String(patch)) => Err(DirectiveError::Patch { at: at(), found: format!("`{patch}`") }),
        (PATCH, other) => Err(DirectiveError::Patch { at: at(), found: type_name(other).to_owned() }),
        (RETAIN_KEYS, Value::Array(keys)) if keys.iter().all(Value::is_string) => Ok(()),
        (RETAIN_KEYS, _) => Err(DirectiveError::RetainKeys { at: at() }),
        _ => Err(DirectiveError::Unsupported { at: at(), directive: key.to_owned() }),
    }
}

enum PathPart<'v> {
    Key(&'v str),
    Index(usize),
}

impl std::fmt::Display for PathPart<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Key(key) => write!(f, ".{key}"),
            Self::Index(index) => write!(f, "[{index}]"),
        }
    }
}

/// A directive that cannot be obeyed. The overlay's author's mistake; nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DirectiveError {
    /// `$patch` with another value than `delete` or `replace`.
    #[error("at `{at}`: `$patch` must be `delete` or `replace`, not {found}; leave it out to merge")]
    Patch {
        /// The path of the map.
        at: String,
        /// What it is.
        found: String,
    },
    /// `$patch: replace` in a list item with other fields: Kubernetes drops that item and replaces the list.
    #[error(
        "at `{at}`: `$patch: replace` in a list item replaces the whole list and loses this item; write `- $patch: replace` \
         as an item of its own, or delete the item and add it again"
    )]
    ReplaceItem {
        /// The path of the item.
        at: String,
    },
    /// `$retainKeys` is not a list of texts.
    #[error("at `{at}`: `$retainKeys` must be a list of field names")]
    RetainKeys {
        /// The path of the map.
        at: String,
    },
    /// A directive of strategic merge that is not supported here.
    #[error("at `{at}`: the directive `{directive}` is not supported; write the whole list instead")]
    Unsupported {
        /// The path of the map.
        at: String,
        /// The directive's key.
        directive: String,
    },
}

#[cfg(test)]
mod tests;
