//! A document read as a tree of JSON values that remembers the objects to write into.

use std::collections::BTreeMap;

use automerge::{ChangeHash, ObjId, ObjType, ReadDoc, ScalarValueRef, ValueRef, iter::DocItem};
use serde_json::{Number, Value};

use super::{JsonError, PathSegment, pointer};
use crate::limits::DOCUMENT_DEPTH_MAX;

/// A value in a document.
#[derive(Debug)]
pub(super) enum Node {
    /// Anything but a map or list.
    Scalar(Value),
    /// A map object.
    Map {
        /// The object.
        id: ObjId,
        /// Its fields.
        entries: BTreeMap<String, Entry>,
    },
    /// A list object.
    List {
        /// The object.
        id: ObjId,
        /// Its elements.
        items: Vec<Entry>,
    },
}

/// A value in its place.
#[derive(Debug)]
pub(super) struct Entry {
    /// The value that is shown.
    pub(super) node: Node,
    /// Whether there are concurrent others.
    pub(super) conflict: bool,
}

impl Node {
    /// The value without the objects.
    pub(super) fn into_json(self) -> Value {
        match self {
            Self::Scalar(value) => value,
            Self::Map { entries, .. } => {
                Value::Object(entries.into_iter().map(|(key, entry)| (key, entry.node.into_json())).collect())
            }
            Self::List { items, .. } => Value::Array(items.into_iter().map(|entry| entry.node.into_json()).collect()),
        }
    }

    /// Whether this is `value`.
    pub(super) fn is(&self, value: &Value) -> bool {
        match (self, value) {
            (Self::Scalar(own), value) => own == value,
            (Self::Map { entries, .. }, Value::Object(map)) => {
                entries.len() == map.len()
                    && entries
                        .iter()
                        .zip(map)
                        .all(|((own_key, own), (key, value))| own_key == key && own.node.is(value))
            }
            (Self::List { items, .. }, Value::Array(list)) => {
                items.len() == list.len() && items.iter().zip(list).all(|(own, value)| own.node.is(value))
            }
            _ => false,
        }
    }

    /// The scalar in the field `name`, if this is a map that has one there.
    pub(super) fn scalar_field(&self, name: &str) -> Option<&Value> {
        let Self::Map { entries, .. } = self else { return None };
        match entries.get(name).map(|entry| &entry.node) {
            Some(Self::Scalar(value)) => Some(value),
            _ => None,
        }
    }
}

/// What one object holds, as Automerge lists it.
type Contents<'a> = Vec<(PathSegment, ValueRef<'a>, ObjId, bool)>;

/// Reads the map or list `root` and all below it.
///
/// One pass over the document's columns: reading object by object would compute the version's clock for each of them.
pub(super) fn read(
    doc: &impl ReadDoc,
    heads: Option<&[ChangeHash]>,
    root: &ObjId,
    kind: ObjType,
) -> Result<Node, JsonError> {
    let mut objects: BTreeMap<ObjId, Contents<'_>> = BTreeMap::new();
    for found in doc.iter_at(root, heads) {
        let (segment, value, id, conflict) = match found.item {
            DocItem::Map(item) => {
                let id = object_id(&item.value, || item.id());
                (PathSegment::Key(item.key.into_owned()), item.value, id, item.conflict)
            }
            DocItem::List(item) => {
                let id = object_id(&item.value, || item.id());
                (PathSegment::Index(item.index), item.value, id, item.conflict)
            }
            // The text object that holds it is refused below, where its path is known.
            DocItem::Text(_) => continue,
        };
        match objects.get_mut(&*found.obj) {
            Some(contents) => contents.push((segment, value, id, conflict)),
            None => {
                objects.insert((*found.obj).clone(), vec![(segment, value, id, conflict)]);
            }
        }
    }
    assemble(root.clone(), kind, &mut objects, &mut Vec::new())
}

/// The id of an object. Only objects need theirs; making one copies an actor id.
fn object_id(value: &ValueRef<'_>, id: impl Fn() -> ObjId) -> ObjId {
    match value {
        ValueRef::Object(_) => id(),
        ValueRef::Scalar(_) => ObjId::Root,
    }
}

fn assemble(
    id: ObjId,
    kind: ObjType,
    objects: &mut BTreeMap<ObjId, Contents<'_>>,
    path: &mut Vec<PathSegment>,
) -> Result<Node, JsonError> {
    if path.len() >= DOCUMENT_DEPTH_MAX {
        return Err(JsonError::Depth { at: pointer(path) });
    }
    match kind {
        ObjType::Map | ObjType::List => {}
        ObjType::Text => return Err(JsonError::Foreign { at: pointer(path), found: "a text object" }),
        ObjType::Table => return Err(JsonError::Foreign { at: pointer(path), found: "a table" }),
    }
    let (mut entries, mut items) = (BTreeMap::new(), Vec::new());
    for (segment, value, child, conflict) in objects.remove(&id).unwrap_or_default() {
        path.push(segment);
        let node = match value {
            ValueRef::Object(kind) => assemble(child, kind, objects, path)?,
            ValueRef::Scalar(value) => Node::Scalar(scalar(value, || pointer(path))?),
        };
        let entry = Entry { node, conflict };
        match path.pop() {
            Some(PathSegment::Key(key)) => {
                entries.insert(key, entry);
            }
            Some(PathSegment::Index(_)) | None => items.push(entry),
        }
    }
    Ok(if kind == ObjType::Map { Node::Map { id, entries } } else { Node::List { id, items } })
}

/// A scalar as JSON; `at` gives its path for the error.
pub(super) fn scalar(value: ScalarValueRef<'_>, at: impl Fn() -> String) -> Result<Value, JsonError> {
    let foreign = |found| Err(JsonError::Foreign { at: at(), found });
    match value {
        ScalarValueRef::Str(text) => Ok(Value::String(text.into_owned())),
        ScalarValueRef::Int(number) => Ok(number.into()),
        ScalarValueRef::Uint(number) => Ok(number.into()),
        ScalarValueRef::F64(number) => match Number::from_f64(number) {
            Some(number) => Ok(Value::Number(number)),
            None => foreign("a number that is not finite"),
        },
        ScalarValueRef::Boolean(value) => Ok(Value::Bool(value)),
        ScalarValueRef::Null => Ok(Value::Null),
        ScalarValueRef::Bytes(_) => foreign("bytes"),
        ScalarValueRef::Counter(_) => foreign("a counter"),
        ScalarValueRef::Timestamp(_) => foreign("a time"),
        ScalarValueRef::Unknown { .. } => foreign("a value of an unknown type"),
    }
}
