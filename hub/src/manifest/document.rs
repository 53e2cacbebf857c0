//! Documents to objects: lists expanded, identities checked, no object twice.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use serde_json::Value;
use sync_core::state::{ObjectError, ObjectKey};

use super::ParsedObject;
use super::error::{ManifestError, Problem, SourcePlace};
use super::problem_at;
use crate::limits::OBJECT_BYTES_MAX;

/// Lists of lists that are followed.
const LIST_DEPTH_MAX: usize = 4;

/// One document of a file.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) value: Value,
    pub(super) places: ObjectPlaces,
    /// The places of the entries of its `items`, as far as they are known.
    pub(super) items: Vec<ObjectPlaces>,
}

/// Where an object is, and the fields that identify it.
#[derive(Debug, Clone)]
pub(super) struct ObjectPlaces {
    pub(super) start: SourcePlace,
    /// The keys of the fields that are known, by path such as `metadata.name`.
    pub(super) fields: Vec<(&'static str, SourcePlace)>,
}

impl ObjectPlaces {
    pub(super) fn new(start: SourcePlace) -> Self {
        Self { start, fields: Vec::new() }
    }

    /// The line to look at for `problem`.
    fn of(&self, problem: &Problem) -> SourcePlace {
        let Problem::Object(error) = problem else { return self.start.clone() };
        let field = identity_field(error);
        let known = self.fields.iter().find(|(path, _)| Some(*path) == field);
        known.map_or_else(|| self.start.clone(), |(_, place)| place.clone())
    }
}

/// The objects of `documents` by key.
pub(super) fn objects(documents: Vec<Document>) -> Result<Vec<ParsedObject>, ManifestError> {
    let mut found = BTreeMap::new();
    for document in documents {
        add(&mut found, document, 0)?;
    }
    Ok(found.into_values().collect())
}

fn add(found: &mut BTreeMap<String, ParsedObject>, document: Document, lists: usize) -> Result<(), ManifestError> {
    let Document { value, places, items: item_places } = document;
    let object = match split_list(value) {
        Ok(items) => {
            if lists >= LIST_DEPTH_MAX {
                return Err(problem_at(places.start, Problem::ListTooDeep));
            }
            let mut item_places = item_places.into_iter();
            for value in items {
                let places = item_places.next().unwrap_or_else(|| ObjectPlaces::new(places.start.clone()));
                add(found, Document { value, places, items: Vec::new() }, lists + 1)?;
            }
            return Ok(());
        }
        Err(object) => object,
    };
    let key = check_object(&object).map_err(|problem| problem_at(places.of(&problem), problem))?;
    match found.entry(key) {
        Entry::Occupied(first) => {
            let problem = Problem::DuplicateObject { key: first.key().clone(), first: first.get().source.clone() };
            Err(problem_at(places.start, problem))
        }
        Entry::Vacant(slot) => {
            let key = slot.key().clone();
            slot.insert(ParsedObject { key, object, source: places.start });
            Ok(())
        }
    }
}

/// The entries of a `List` (or `ConfigMapList` and the like); the value itself when it is no list.
fn split_list(mut value: Value) -> Result<Vec<Value>, Value> {
    let is_list = value.get("kind").and_then(Value::as_str).is_some_and(|kind| kind.ends_with("List"));
    match value.get_mut("items") {
        Some(Value::Array(items)) if is_list => Ok(std::mem::take(items)),
        _ => Err(value),
    }
}

/// Checks that `object` can be an object of a layer and gives its key, the text form of an [`ObjectKey`].
pub(crate) fn check_object(object: &Value) -> Result<String, Problem> {
    let key = ObjectKey::of(object)?.to_string();
    let bytes = serde_json::to_vec(object).map_or(usize::MAX, |json| json.len());
    if bytes > OBJECT_BYTES_MAX {
        return Err(Problem::ObjectTooLarge { key, bytes });
    }
    Ok(key)
}

/// The path of the field that `error` is about.
fn identity_field(error: &ObjectError) -> Option<&'static str> {
    Some(match error {
        ObjectError::Missing { field } | ObjectError::WrongType { field, .. } => field,
        ObjectError::GenerateName => "metadata.generateName",
        ObjectError::ApiVersion { .. } | ObjectError::CoreGroup | ObjectError::Group { .. } => "apiVersion",
        ObjectError::Kind { .. } => "kind",
        ObjectError::Namespace { .. } => "metadata.namespace",
        ObjectError::EmptyName | ObjectError::LongName { .. } | ObjectError::Name { .. } => "metadata.name",
        ObjectError::NotAMap { .. } | ObjectError::Text { .. } | _ => return None,
    })
}
