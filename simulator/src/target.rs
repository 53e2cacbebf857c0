//! The target of a simulated node: objects in memory, as a cluster would hold them, that outlive the agent.
//!
//! People on site may edit them ([`Target::edit_by_hand`]) and workloads say how they fare ([`Target::set_remark`]); both
//! are what an agent finds at its next look. What an agent put and did not flush is lost with its power.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use edge_node::actuator::{
    Action, Actuator, Applied, ApplyError, DesiredObject, Digest, Intent, Inventory, ObserveError, Seen, Sight,
};
use serde_json::Value;
use sync_core::env::Instant;
use sync_core::state::ObjectHash;

/// One node's target. Clones are the same target.
#[derive(Debug, Clone, Default)]
pub struct Target(Arc<Mutex<Cluster>>);

/// What happened to an object.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// An agent put it.
    Put {
        /// Its key.
        key: String,
        /// What it is now.
        manifest: Value,
    },
    /// An agent removed it.
    Removed {
        /// Its key.
        key: String,
    },
}

/// An object, with what a look at it shows.
#[derive(Debug)]
struct Held {
    manifest: Value,
    content: Digest,
}

impl Held {
    fn new(manifest: Value) -> Self {
        Self { content: content(&manifest), manifest }
    }
}

#[derive(Debug, Default)]
struct Cluster {
    objects: BTreeMap<String, Held>,
    /// Steps since the last flush, with what they replaced.
    unflushed: Vec<(String, Option<Held>)>,
    changes: Vec<Change>,
    listener: Listener,
    remarks: BTreeMap<String, String>,
}

/// Who is told of changes at once, in place of their being kept.
#[derive(Default)]
struct Listener(Option<Box<Told>>);

type Told = dyn Fn(&Change) + Send;

impl std::fmt::Debug for Listener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Listener").field(&self.0.is_some()).finish()
    }
}

impl Cluster {
    fn tell(&mut self, change: Change) {
        match &self.listener.0 {
            Some(listener) => listener(&change),
            None => self.changes.push(change),
        }
    }
}

impl Target {
    /// An actuator for an agent.
    #[must_use]
    pub fn actuator(&self) -> Box<dyn Actuator + Send> {
        Box::new(self.clone())
    }

    /// What it holds, by key.
    #[must_use]
    pub fn objects(&self) -> BTreeMap<String, Value> {
        self.cluster().objects.iter().map(|(key, held)| (key.clone(), held.manifest.clone())).collect()
    }

    /// The hashes of what it holds, by key.
    #[must_use]
    pub fn hashes(&self) -> BTreeMap<String, ObjectHash> {
        self.cluster().objects.iter().map(|(key, held)| (key.clone(), ObjectHash(held.content.0))).collect()
    }

    /// The first keys of it, in their order.
    #[must_use]
    pub fn first_keys(&self, count: usize) -> Vec<String> {
        self.cluster().objects.keys().take(count).cloned().collect()
    }

    /// What agents did since this was last asked.
    #[must_use]
    pub fn take_changes(&self) -> Vec<Change> {
        std::mem::take(&mut self.cluster().changes)
    }

    /// Tells of what agents do from now on at once. [`Target::take_changes`] has nothing more then.
    pub fn listen(&self, listener: impl Fn(&Change) + Send + 'static) {
        self.cluster().listener = Listener(Some(Box::new(listener)));
    }

    /// Whether steps of the agent wait for being flushed.
    #[must_use]
    pub fn is_unflushed(&self) -> bool {
        !self.cluster().unflushed.is_empty()
    }

    /// Somebody changes an object behind the agent's back: by an annotation, or by removing it. `None` when there is no
    /// object. `draw` decides which and how.
    #[must_use]
    pub fn edit_by_hand(&self, draw: u64) -> Option<String> {
        let mut cluster = self.cluster();
        let count = cluster.objects.len() as u64;
        let place = usize::try_from(draw.checked_rem(count)?).unwrap_or_default();
        let key = cluster.objects.keys().nth(place)?.clone();
        if (draw / count).is_multiple_of(4) {
            cluster.objects.remove(&key);
        } else if let Some(held) = cluster.objects.get_mut(&key)
            && let Value::Object(object) = &mut held.manifest
        {
            object.insert("edited-by-hand".to_owned(), Value::from(draw));
            held.content = content(&held.manifest);
        }
        Some(key)
    }

    /// A workload says how it fares. The agent reports it as long as it keeps the object.
    pub fn set_remark(&self, key: &str, text: &str) {
        self.cluster().remarks.insert(key.to_owned(), text.to_owned());
    }

    /// The power fails: what was not flushed is undone.
    pub fn lose_power(&self) {
        let mut cluster = self.cluster();
        for (key, before) in std::mem::take(&mut cluster.unflushed).into_iter().rev() {
            match before {
                Some(before) => cluster.objects.insert(key, before),
                None => cluster.objects.remove(&key),
            };
        }
    }

    /// Plain data: a panic elsewhere leaves nothing half-written.
    fn cluster(&self) -> MutexGuard<'_, Cluster> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn content(manifest: &Value) -> Digest {
    Digest(ObjectHash::of(manifest).0)
}

impl Actuator for Target {
    fn intent(&self, object: &DesiredObject) -> Intent {
        Intent { place: object.key.clone(), content: content(&object.manifest) }
    }

    fn observe(&mut self, _inventory: &Inventory, _now: Instant) -> Result<Seen, ObserveError> {
        let cluster = self.cluster();
        let sight = |(key, held): (&String, &Held)| (key.clone(), Sight::Present(held.content));
        Ok(Seen(cluster.objects.iter().map(sight).collect()))
    }

    fn apply(&mut self, action: &Action<'_>) -> Result<Applied, ApplyError> {
        let mut cluster = self.cluster();
        let (place, after, applied) = match action {
            Action::Put { object, intent, .. } => (&intent.place, Some(object.manifest.clone()), Applied::Held),
            Action::Remove { place, .. } | Action::Forget { place, .. } => (place, None, Applied::Gone),
        };
        let (key, place) = (action.key().to_owned(), place.clone());
        let before = match after {
            Some(manifest) => {
                cluster.tell(Change::Put { key, manifest: manifest.clone() });
                cluster.objects.insert(place.clone(), Held::new(manifest))
            }
            None => {
                cluster.tell(Change::Removed { key });
                cluster.objects.remove(&place)
            }
        };
        cluster.unflushed.push((place, before));
        Ok(applied)
    }

    fn flush(&mut self) -> Result<(), ApplyError> {
        self.cluster().unflushed.clear();
        Ok(())
    }

    fn remarks(&mut self) -> BTreeMap<String, String> {
        self.cluster().remarks.clone()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn put(target: &mut Target, object: &DesiredObject) {
        let intent = target.intent(object);
        target.apply(&Action::Put { object, intent, cause: edge_node::actuator::Cause::New }).unwrap();
    }

    #[test]
    fn what_was_not_flushed_is_undone_by_a_loss_of_power() {
        let mut target = Target::default();
        let object = |text: &str| DesiredObject::new("core/ConfigMap/a/b", json!({"kind": "ConfigMap", "data": text}));
        put(&mut target, &object("kept"));
        target.flush().unwrap();
        put(&mut target, &object("lost"));
        target.lose_power();
        assert_eq!(target.objects()["core/ConfigMap/a/b"]["data"], "kept");
        assert_eq!(target.take_changes().len(), 2);
    }

    #[test]
    fn an_edit_by_hand_is_seen_as_another_content() {
        let mut target = Target::default();
        assert_eq!(target.edit_by_hand(5), None);
        let object = DesiredObject::new("core/ConfigMap/a/b", json!({"kind": "ConfigMap"}));
        put(&mut target, &object);
        assert_eq!(target.edit_by_hand(1).as_deref(), Some("core/ConfigMap/a/b"));
        let seen = target.observe(&Inventory::default(), Instant(0)).unwrap();
        let intended = target.intent(&object);
        assert_ne!(seen.0[&intended.place], Sight::Present(intended.content));
    }
}
