//! What is written: a node's report of its workloads, and layers.
//!
//! The report is the one that the first measurements of the project used: 60 workloads of eight fields (five integers,
//! health, image, time); an update changes three fields of one workload (ready replicas, health, time).

use automerge::transaction::{CommitOptions, Transactable, Transaction};
use automerge::{ActorId, Automerge, AutomergeError, ObjType, ROOT, ReadDoc};
use serde_json::{Map, Value, json};
use sync_core::document::DocumentKey;
use sync_core::id::Name;

use super::{BenchError, During};
use crate::random::Random;

/// Seconds between two updates.
pub(super) const UPDATE_EVERY: u64 = 5;

/// The time of the first report, in seconds since 1970.
const START: u64 = 1_760_000_000;

const HEALTHS: [&str; 4] = ["Healthy", "Progressing", "Degraded", "Unknown"];

/// The workloads of one node, and where they are in a row of updates.
#[derive(Debug, Clone)]
pub(super) struct Workloads {
    objects: Map<String, Value>,
    random: Random,
    updates: u64,
}

/// One update: which workload, and its new fields.
#[derive(Debug, Clone)]
pub(super) struct Update {
    name: String,
    fields: [(&'static str, Value); 3],
}

impl Workloads {
    /// So many workloads in their first state.
    #[must_use]
    pub(super) fn new(count: usize, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let objects = (0..count).map(|index| {
            let fields = json!({
                "desired": 3,
                "ready": 3,
                "restarts": random.below(20),
                "generation": random.below(50),
                "observedGeneration": random.below(50),
                "health": "Healthy",
                "image": format!("registry.example/shop/service-{index:02}:1.{}.{}", random.below(30), random.below(100)),
                "time": START,
            });
            (format!("apps/Deployment/shop/service-{index:02}"), fields)
        });
        Self { objects: objects.collect(), random, updates: 0 }
    }

    /// The state as a document of ours holds it.
    #[must_use]
    pub(super) fn state(&self) -> Map<String, Value> {
        Map::from_iter([("objects".to_owned(), Value::Object(self.objects.clone()))])
    }

    /// The next update, which is now part of the state.
    pub(super) fn update(&mut self) -> Update {
        self.updates += 1;
        let index = self.random.below(self.objects.len() as u64) as usize;
        let fields = [
            ("ready", json!(self.random.below(4))),
            ("health", json!(HEALTHS[self.random.below(HEALTHS.len() as u64) as usize])),
            ("time", json!(START + self.updates * UPDATE_EVERY)),
        ];
        let mut name = String::new();
        if let Some((key, Value::Object(workload))) = self.objects.iter_mut().nth(index) {
            name.clone_from(key);
            for (field, value) in &fields {
                workload.insert((*field).to_owned(), value.clone());
            }
        }
        Update { name, fields }
    }

    /// The same state as a bare Automerge document with one change.
    ///
    /// # Errors
    /// [`BenchError`] when Automerge refuses.
    pub(super) fn to_automerge(&self, actor: [u8; 16]) -> Result<Automerge, BenchError> {
        let mut document = Automerge::new().with_actor(ActorId::from(&actor[..]));
        let mut tx = document.transaction();
        let written = (|| -> Result<(), AutomergeError> {
            let objects = tx.put_object(ROOT, "objects", ObjType::Map)?;
            for (name, fields) in &self.objects {
                let object = tx.put_object(&objects, name.as_str(), ObjType::Map)?;
                for (field, value) in fields.as_object().into_iter().flatten() {
                    put(&mut tx, &object, field, value)?;
                }
            }
            Ok(())
        })();
        written.during("write an Automerge document")?;
        tx.commit_with(CommitOptions::default().with_time(0));
        Ok(document)
    }
}

impl Update {
    /// Writes the update as one Automerge change.
    ///
    /// # Errors
    /// [`BenchError`] when Automerge refuses.
    pub(super) fn write_to(&self, document: &mut Automerge) -> Result<(), BenchError> {
        let mut tx = document.transaction();
        let written = (|| -> Result<(), AutomergeError> {
            let Some((_, objects)) = tx.get(ROOT, "objects")? else { return Ok(()) };
            let Some((_, object)) = tx.get(&objects, self.name.as_str())? else { return Ok(()) };
            self.fields.iter().try_for_each(|(field, value)| put(&mut tx, &object, field, value))
        })();
        written.during("write an Automerge change")?;
        tx.commit_with(CommitOptions::default().with_time(0));
        Ok(())
    }
}

fn put(tx: &mut Transaction<'_>, object: &automerge::ObjId, field: &str, value: &Value) -> Result<(), AutomergeError> {
    match value {
        Value::Number(number) => tx.put(object, field, number.as_i64().unwrap_or_default()),
        Value::String(text) => tx.put(object, field, text.as_str()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => Ok(()),
    }
}

/// The JSON merge patch (RFC 7396) that makes `to` of `from`.
#[must_use]
pub(super) fn merge_patch(from: &Map<String, Value>, to: &Map<String, Value>) -> Map<String, Value> {
    let mut patch = Map::new();
    for (key, value) in to {
        match (from.get(key), value) {
            (Some(before), _) if before == value => {}
            (Some(Value::Object(before)), Value::Object(after)) => {
                patch.insert(key.clone(), Value::Object(merge_patch(before, after)));
            }
            _ => drop(patch.insert(key.clone(), value.clone())),
        }
    }
    patch.extend(from.keys().filter(|key| !to.contains_key(*key)).map(|key| (key.clone(), Value::Null)));
    patch
}

/// Bytes of zstd at its level 19.
///
/// # Errors
/// [`BenchError`] when zstd cannot allocate.
pub(super) fn zstd_19(bytes: &[u8]) -> Result<u64, BenchError> {
    Ok(zstd::bulk::compress(bytes, 19).during("compress")?.len() as u64)
}

/// The key of a layer. Names of ours are always good.
///
/// # Errors
/// [`BenchError`] when the name is not.
pub(super) fn layer(name: &str) -> Result<DocumentKey, BenchError> {
    Ok(DocumentKey::layer(&Name::new(name).during("name a layer")?))
}

/// The state of a small layer.
#[must_use]
pub(super) fn small_layer(number: usize) -> Map<String, Value> {
    let objects = json!({ "core/ConfigMap/default/settings": { "data": { "number": number.to_string() } } });
    Map::from_iter([("objects".to_owned(), objects)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_merge_patch_holds_the_difference_and_no_more() {
        let map = |value: Value| value.as_object().cloned().unwrap_or_default();
        let (from, to) =
            (json!({"a": {"x": 1, "y": 2}, "b": 1, "c": 3}), json!({"a": {"x": 1, "y": 3}, "c": 3, "d": 4}));
        let patch = json!({"a": {"y": 3}, "b": null, "d": 4});
        assert_eq!(Value::Object(merge_patch(&map(from), &map(to))), patch);
    }

    #[test]
    fn an_update_is_one_change_of_three_fields_in_both_forms() {
        let mut workloads = Workloads::new(60, 1);
        let mut document = workloads.to_automerge([7; 16]).unwrap();
        let before = workloads.state();
        workloads.update().write_to(&mut document).unwrap();
        let patch = merge_patch(&before, &workloads.state());
        let Value::Object(objects) = &patch["objects"] else { panic!("no objects") };
        assert_eq!(objects.len(), 1);
        assert_eq!(document.get_changes(&[]).len(), 2);
        assert!(document.get_last_local_change().unwrap().len() <= 3);
    }
}
