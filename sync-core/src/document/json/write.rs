//! The operations that turn what a document holds into what it should hold.

use std::collections::BTreeMap;

use automerge::{
    ObjId, Prop, ReadDoc, ScalarValue, hydrate,
    transaction::{Transactable, Transaction},
};
use serde_json::{Map, Value};

use super::{
    JsonError, PathSegment, Written, matching, pointer,
    tree::{Entry, Node},
};
use crate::{
    limits::{DOCUMENT_DEPTH_MAX, DOCUMENT_KEY_BYTES_MAX, VALUE_BYTES_MAX},
    state::natural_key::ListField,
};

/// Checks every bound of `target`, so that nothing is written of what cannot be written as a whole.
pub(super) fn check_target(target: &Map<String, Value>) -> Result<(), JsonError> {
    check_map(target, &mut Vec::new())
}

fn check_map(map: &Map<String, Value>, path: &mut Vec<PathSegment>) -> Result<(), JsonError> {
    for (key, value) in map {
        if key.len() > DOCUMENT_KEY_BYTES_MAX {
            return Err(JsonError::Key { at: pointer(path), bytes: key.len() });
        }
        path.push(PathSegment::Key(key.clone()));
        check_value(value, path)?;
        path.pop();
    }
    Ok(())
}

fn check_value(value: &Value, path: &mut Vec<PathSegment>) -> Result<(), JsonError> {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => Ok(()),
        Value::String(text) if text.len() > VALUE_BYTES_MAX => {
            Err(JsonError::Text { at: pointer(path), bytes: text.len() })
        }
        Value::String(_) => Ok(()),
        Value::Array(_) | Value::Object(_) if path.len() >= DOCUMENT_DEPTH_MAX => {
            Err(JsonError::Depth { at: pointer(path) })
        }
        Value::Object(map) => check_map(map, path),
        Value::Array(list) => {
            for (index, item) in list.iter().enumerate() {
                path.push(PathSegment::Index(index));
                check_value(item, path)?;
                path.pop();
            }
            Ok(())
        }
    }
}

/// Writes the difference between the root map as it was read and `target`.
pub(super) fn write_root(
    tx: &mut Transaction<'_>,
    current: &Node,
    target: &Map<String, Value>,
) -> Result<Written, JsonError> {
    let before = tx.pending_ops();
    if let Node::Map { id, entries } = current {
        update_map(tx, id, entries, target, ListField::ROOT)?;
    }
    Ok(Written { operations: tx.pending_ops() - before })
}

/// See [`super::settle`].
pub(super) fn settle(tx: &mut Transaction<'_>, path: &[PathSegment], value: &Value) -> Result<(), JsonError> {
    let nowhere = || JsonError::NoPlace { at: pointer(path) };
    let (last, parents) = path.split_last().ok_or_else(nowhere)?;
    let mut parent = automerge::ROOT;
    for segment in parents {
        parent = match tx.get(&parent, place(segment))? {
            Some((automerge::Value::Object(_), id)) => id,
            _ => return Err(nowhere()),
        };
    }
    // Not there: nothing is in conflict. A map's key on a list, or past its end, is Automerge's error.
    if tx.get(&parent, place(last))?.is_none() {
        return Err(nowhere());
    }
    put(tx, &parent, place(last), value)
}

fn place(segment: &PathSegment) -> Prop {
    match segment {
        PathSegment::Key(key) => key.as_str().into(),
        PathSegment::Index(index) => (*index).into(),
    }
}

fn update_map(
    tx: &mut Transaction<'_>,
    id: &ObjId,
    entries: &BTreeMap<String, Entry>,
    target: &Map<String, Value>,
    field: ListField<'_>,
) -> Result<(), JsonError> {
    for key in entries.keys().filter(|key| !target.contains_key(*key)) {
        tx.delete(id, key.as_str())?;
    }
    for (key, value) in target {
        match entries.get(key) {
            Some(entry) => update(tx, id, key.as_str().into(), &entry.node, value, field.child(key))?,
            None => put(tx, id, key.as_str().into(), value)?,
        }
    }
    Ok(())
}

/// Updates what stands at `place` of the map or list `parent`.
fn update(
    tx: &mut Transaction<'_>,
    parent: &ObjId,
    place: Prop,
    current: &Node,
    target: &Value,
    field: ListField<'_>,
) -> Result<(), JsonError> {
    match (current, target) {
        (Node::Map { id, entries }, Value::Object(target)) => update_map(tx, id, entries, target, field),
        (Node::List { id, items }, Value::Array(target)) => update_list(tx, id, items, target, field),
        (Node::Scalar(current), target) if current == target => Ok(()),
        _ => put(tx, parent, place, target),
    }
}

fn update_list(
    tx: &mut Transaction<'_>,
    id: &ObjId,
    items: &[Entry],
    target: &[Value],
    field: ListField<'_>,
) -> Result<(), JsonError> {
    // Where reading stands in the old list and in the new one. All before `new` is written, so it is also the place in
    // the document.
    let (mut old, mut new) = (0, 0);
    for (kept_old, kept_new) in matching::matches(items, target, field) {
        splice(tx, id, new, kept_old - old, target.get(new..kept_new).unwrap_or_default())?;
        if let (Some(item), Some(value)) = (items.get(kept_old), target.get(kept_new)) {
            update(tx, id, kept_new.into(), &item.node, value, field)?;
        }
        (old, new) = (kept_old + 1, kept_new + 1);
    }
    splice(tx, id, new, items.len() - old, target.get(new..).unwrap_or_default())
}

fn splice(tx: &mut Transaction<'_>, id: &ObjId, at: usize, delete: usize, insert: &[Value]) -> Result<(), JsonError> {
    if delete > 0 || !insert.is_empty() {
        tx.splice(id, at, delete.cast_signed(), insert.iter().map(hydrated))?;
    }
    Ok(())
}

/// See [`super::write_again`]. Automerge skips a write of the value that is there, so the field is deleted first.
pub(super) fn write_again(tx: &mut Transaction<'_>, path: &[String], value: &Value) -> Result<(), JsonError> {
    let Some((last, parents)) = path.split_last() else { return Ok(()) };
    let mut parent = automerge::ROOT;
    for key in parents {
        match tx.get(&parent, key.as_str())? {
            Some((automerge::Value::Object(automerge::ObjType::Map), id)) => parent = id,
            _ => return Ok(()),
        }
    }
    if tx.get(&parent, last.as_str())?.is_some() {
        tx.delete(&parent, last.as_str())?;
    }
    put(tx, &parent, last.as_str().into(), value)
}

fn put(tx: &mut Transaction<'_>, parent: &ObjId, place: Prop, value: &Value) -> Result<(), JsonError> {
    let value = hydrated(value);
    if let hydrate::Value::Scalar(scalar) = value {
        tx.put(parent, place, scalar)?;
    } else {
        tx.batch_create_object(parent, place, &value, false)?;
    }
    Ok(())
}

/// `value` in Automerge's terms.
fn hydrated(value: &Value) -> hydrate::Value {
    let scalar = match value {
        Value::Null => ScalarValue::Null,
        Value::Bool(value) => ScalarValue::Boolean(*value),
        Value::String(text) => ScalarValue::Str(text.as_str().into()),
        Value::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(number), _, _) => ScalarValue::Int(number),
            (_, Some(number), _) => ScalarValue::Uint(number),
            (_, _, Some(number)) => ScalarValue::F64(number),
            // Only with serde_json's arbitrary precision, which is off.
            (None, None, None) => ScalarValue::Null,
        },
        Value::Array(list) => {
            return hydrate::Value::List(list.iter().map(hydrated).collect::<Vec<_>>().into());
        }
        Value::Object(fields) => {
            let mut map = hydrate::Map::default();
            for (key, value) in fields {
                map.insert(key.clone(), hydrate::MapValue { value: hydrated(value), conflict: false });
            }
            return hydrate::Value::Map(map);
        }
    };
    hydrate::Value::Scalar(scalar)
}
