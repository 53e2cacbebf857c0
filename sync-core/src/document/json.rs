//! JSON in Automerge documents: read it, find its conflicts, and write only what differs.
//!
//! | JSON | Automerge |
//! |---|---|
//! | map, list | map, list |
//! | text | scalar string, never a text object: one write replaces it |
//! | whole number that fits `i64`; else `u64` | `Int`; `Uint` |
//! | other number | `F64` |
//! | boolean, null | `Boolean`, `Null` |
//!
//! What is there is compared as JSON, so `Uint(1)` from another writer is not rewritten as `Int(1)`. Anything else that
//! Automerge can hold (text objects, counters, times, bytes) is refused when it is met.

mod matching;
mod tree;
mod write;

use std::fmt;

use automerge::{Automerge, ChangeHash, ReadDoc, transaction::Transaction};
use serde_json::{Map, Value};

use super::history::ActorBytes;
use crate::limits::{DOCUMENT_DEPTH_MAX, DOCUMENT_KEY_BYTES_MAX, VALUE_BYTES_MAX};
use tree::Node;

/// What [`write_json`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// Automerge operations that were added to the transaction. With none, roll the transaction back.
    pub operations: usize,
}

/// Makes the document's root map equal to `target`, with operations only for what differs.
///
/// - A map that stays a map is updated field by field, so that concurrent edits of different fields merge.
/// - Lists with a [natural key](crate::state::natural_key) are matched by key and their items updated in place. Others
///   are matched by their longest common subsequence; what stands between two matches is updated item over item.
/// - A moved item is deleted and inserted again: Automerge has no move. What another replica concurrently writes into the
///   old item is lost. As few items as possible move.
/// - A field in conflict is not touched while its winning value is what `target` says; any other value settles the conflict.
///
/// # Errors
/// [`JsonError`]. A `target` that breaks a bound and a document that holds no JSON are found before anything is written.
pub fn write_json(tx: &mut Transaction<'_>, target: &Map<String, Value>) -> Result<Written, JsonError> {
    write::check_target(target)?;
    let current = tree::read(tx, None, &automerge::ROOT, automerge::ObjType::Map)?;
    write::write_root(tx, &current, target)
}

/// Writes the value of one field anew although it is the same, so that it stands beside what another replica concurrently
/// writes there. `path` leads through maps; where it does not lead to one, nothing is written.
///
/// # Errors
/// [`JsonError`].
pub fn write_again(tx: &mut Transaction<'_>, path: &[String], value: &Value) -> Result<(), JsonError> {
    write::write_again(tx, path, value)
}

/// The document's root map as JSON at `heads`; `None` means now.
///
/// Where several values are concurrent, the one that Automerge shows everywhere is taken; see [`conflicts`].
///
/// # Errors
/// [`JsonError`] when the document lacks one of `heads` or holds what JSON cannot.
pub fn read_json(doc: &Automerge, heads: Option<&[ChangeHash]>) -> Result<Map<String, Value>, JsonError> {
    check_heads(doc, heads)?;
    let root = tree::read(doc, heads, &automerge::ROOT, automerge::ObjType::Map)?.into_json();
    // The root of every Automerge document is a map.
    let Value::Object(root) = root else { return Ok(Map::new()) };
    Ok(root)
}

/// A place with more than one concurrent value.
#[derive(Debug, Clone, PartialEq)]
pub struct Conflict {
    /// Where, from the root.
    pub path: Vec<PathSegment>,
    /// The different values, the one that is shown first, then from the newest operation to the oldest.
    pub values: Vec<Value>,
    /// The operation that wrote each of them: counter and actor. Of equal values, the newest.
    pub operations: Vec<(u64, ActorBytes)>,
}

/// Every place at `heads` (`None` means now) where a map key or list element has several different concurrent values.
///
/// Concurrent writes of equal values are no conflict. Places inside a value that lost are not listed; the value itself is.
/// Sorted by path, so equal histories give equal lists.
///
/// # Errors
/// As [`read_json`].
pub fn conflicts(doc: &Automerge, heads: Option<&[ChangeHash]>) -> Result<Vec<Conflict>, JsonError> {
    check_heads(doc, heads)?;
    let root = tree::read(doc, heads, &automerge::ROOT, automerge::ObjType::Map)?;
    let mut found = Vec::new();
    collect_conflicts(doc, heads, &root, &mut Vec::new(), &mut found)?;
    Ok(found)
}

fn collect_conflicts(
    doc: &Automerge,
    heads: Option<&[ChangeHash]>,
    node: &Node,
    path: &mut Vec<PathSegment>,
    found: &mut Vec<Conflict>,
) -> Result<(), JsonError> {
    let (object, entries): (_, Box<dyn Iterator<Item = _>>) = match node {
        Node::Scalar(_) => return Ok(()),
        Node::Map { id, entries } => {
            (id, Box::new(entries.iter().map(|(key, entry)| (PathSegment::Key(key.clone()), entry))))
        }
        Node::List { id, items } => {
            (id, Box::new(items.iter().enumerate().map(|(index, entry)| (PathSegment::Index(index), entry))))
        }
    };
    for (segment, entry) in entries {
        let property = match &segment {
            PathSegment::Key(key) => automerge::Prop::Map(key.clone()),
            PathSegment::Index(index) => automerge::Prop::Seq(*index),
        };
        path.push(segment);
        if entry.conflict {
            let all = match heads {
                Some(heads) => doc.get_all_at(object, property, heads)?,
                None => doc.get_all(object, property)?,
            };
            let (mut values, mut operations): (Vec<Value>, Vec<(u64, ActorBytes)>) = Default::default();
            // Automerge lists them from the oldest operation to the newest, which is the one that it shows.
            for (value, id) in all.into_iter().rev() {
                let value = match value {
                    automerge::Value::Object(kind) => tree::read(doc, heads, &id, kind)?.into_json(),
                    automerge::Value::Scalar(scalar) => tree::scalar(scalar.into_owned().into(), || pointer(path))?,
                };
                if !values.contains(&value) {
                    values.push(value);
                    operations.push(operation(&id));
                }
            }
            if values.len() > 1 {
                found.push(Conflict { path: path.clone(), values, operations });
            }
        }
        collect_conflicts(doc, heads, &entry.node, path, found)?;
        path.pop();
    }
    Ok(())
}

fn operation(id: &automerge::ObjId) -> (u64, ActorBytes) {
    match id {
        automerge::ObjId::Id(counter, actor, _) => {
            (*counter, ActorBytes::from_slice(actor.to_bytes()).unwrap_or(ActorBytes([0; 16])))
        }
        automerge::ObjId::Root => (0, ActorBytes([0; 16])),
    }
}

/// Writes `value` at `path` over everything that stands there, concurrent values included: it settles a conflict even when
/// it is the value that is shown.
///
/// # Errors
/// [`JsonError::NoPlace`] when the path leads nowhere; otherwise as [`write_json`].
pub fn settle(tx: &mut Transaction<'_>, path: &[PathSegment], value: &Value) -> Result<(), JsonError> {
    write::check_target(&Map::from_iter([(String::new(), value.clone())]))?;
    write::settle(tx, path, value)
}

/// Automerge reads at the heads that it knows and ignores the others; this makes a missing one an error.
fn check_heads(doc: &Automerge, heads: Option<&[ChangeHash]>) -> Result<(), JsonError> {
    match heads.into_iter().flatten().find(|head| doc.get_change_meta_by_hash(head).is_none()) {
        Some(unknown) => Err(JsonError::UnknownHead { head: crate::id::ChangeHash(unknown.0) }),
        None => Ok(()),
    }
}

/// One step of a path in a document.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum PathSegment {
    /// Into a map.
    Key(String),
    /// Into a list.
    Index(usize),
}

impl fmt::Display for PathSegment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(key) => f.write_str(&key.replace('~', "~0").replace('/', "~1")),
            Self::Index(index) => index.fmt(f),
        }
    }
}

/// `path` as a JSON pointer (RFC 6901), for people and errors.
#[must_use]
pub fn pointer(path: &[PathSegment]) -> String {
    path.iter().map(|segment| format!("/{segment}")).collect()
}

/// Why JSON could not be read from a document or written to it.
///
/// Reading changes nothing. After an error of [`write_json`] the transaction must be rolled back.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JsonError {
    /// The document holds a value that is not JSON: its author used another writer.
    #[error("at `{at}` the document holds {found}, which is not JSON; whoever wrote it did not write it as JSON")]
    Foreign {
        /// Where, as a JSON pointer.
        at: String,
        /// What it is.
        found: &'static str,
    },
    /// Maps and lists nested too deep, in the document or in what should be written.
    #[error("at `{at}` maps and lists are nested more than {DOCUMENT_DEPTH_MAX} deep; make the value flatter")]
    Depth {
        /// Where the bound is crossed, as a JSON pointer.
        at: String,
    },
    /// A key is too long to be written.
    #[error("a key in `{at}` has {bytes} bytes; at most {DOCUMENT_KEY_BYTES_MAX} are allowed")]
    Key {
        /// The map, as a JSON pointer.
        at: String,
        /// The key's length.
        bytes: usize,
    },
    /// A text is too long to be written.
    #[error("the text at `{at}` has {bytes} bytes; at most {VALUE_BYTES_MAX} are allowed")]
    Text {
        /// Where, as a JSON pointer.
        at: String,
        /// Its length.
        bytes: usize,
    },
    /// The caller named a place that is not there.
    #[error("there is no field `{at}`")]
    NoPlace {
        /// The place, as a JSON pointer.
        at: String,
    },
    /// The caller asked for a version that the document does not hold.
    #[error("the document does not hold the change {head}; fetch it, or ask for heads that are there")]
    UnknownHead {
        /// The missing head.
        head: crate::id::ChangeHash,
    },
    /// Automerge refused an operation: a defect of this module, since everything is checked before.
    #[error("Automerge refused the operation: {0}")]
    Automerge(#[from] automerge::AutomergeError),
}

#[cfg(test)]
mod tests;
