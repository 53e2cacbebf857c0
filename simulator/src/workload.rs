//! The work of a scenario: objects of layers, their edits, and what workloads say. The same at every depth.

use std::collections::BTreeMap;

use hub::service::KeyedObject;
use serde_json::{Value, json};

use crate::plan::stream::Stream;
use crate::scenario::Layer;

pub mod files;

/// The objects of a layer by key, as somebody keeps them in files.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerContent {
    name: String,
    objects: BTreeMap<String, Value>,
    /// Bytes of each, about.
    each: usize,
    /// Objects have numbers, in their names; this is the next that was never used.
    next: u32,
}

/// Letters of random text: it compresses like names do, not like zeros.
const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz-.0123";

fn text(stream: &mut Stream, length: usize) -> String {
    let letters = std::iter::repeat_with(|| LETTERS[usize::try_from(stream.below(32)).unwrap_or(0)]);
    letters.take(length).map(char::from).collect()
}

impl LayerContent {
    /// A layer as it is at the start: a Deployment and ConfigMaps of about the size that is asked for.
    #[must_use]
    pub fn new(layer: &Layer, seed: u64) -> Self {
        let each = usize::try_from(layer.size.0).unwrap_or(usize::MAX) / layer.objects.max(1) as usize;
        let objects = (0..layer.objects).map(|number| {
            let mut stream = Stream::new(seed, &["layer", &layer.name, &number.to_string()]);
            object(&layer.name, number, &mut stream, each)
        });
        Self { name: layer.name.clone(), objects: objects.collect(), each, next: layer.objects }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Somebody changes so many objects. `draw` decides which and how.
    pub fn edit(&mut self, objects: u32, draw: u32) {
        let mut stream = Stream::new(u64::from(draw), &["edit", &self.name]);
        let count = self.objects.len() as u64;
        for _ in 0..objects {
            let place = usize::try_from(stream.below(count)).unwrap_or(0);
            let Some(object) = self.objects.values_mut().nth(place) else { return };
            if let Some(replicas) = object.pointer_mut("/spec/replicas") {
                *replicas = Value::from(1 + stream.below(9));
            } else if let Some(value) = object.pointer_mut("/data/value-0") {
                *value = Value::from(text(&mut stream, 24));
            }
        }
    }

    /// Somebody removes so many objects, all but one at most. `draw` decides which.
    pub fn remove(&mut self, objects: u32, draw: u32) {
        let mut stream = Stream::new(u64::from(draw), &["remove", &self.name]);
        for _ in 0..objects.min(u32::try_from(self.objects.len()).unwrap_or(u32::MAX).saturating_sub(1)) {
            let place = usize::try_from(stream.below(self.objects.len() as u64)).unwrap_or(0);
            let Some(key) = self.objects.keys().nth(place).cloned() else { return };
            self.objects.remove(&key);
        }
    }

    /// Somebody adds so many objects: about half of them come back under the name of one that was removed.
    pub fn add(&mut self, objects: u32, draw: u32) {
        let mut stream = Stream::new(u64::from(draw), &["add", &self.name]);
        for _ in 0..objects {
            let comes_back = stream.below(2) == 0;
            let free = (0..self.next).find(|number| !self.objects.contains_key(&key(&self.name, *number)));
            let number = free.filter(|_| comes_back).unwrap_or(self.next);
            self.next = self.next.max(number.saturating_add(1));
            let (key, object) = object(&self.name, number, &mut stream, self.each);
            self.objects.insert(key, object);
        }
    }

    /// The objects as a hub takes them.
    #[must_use]
    pub fn keyed(&self) -> Vec<KeyedObject> {
        let keyed = |(key, object): (&String, &Value)| KeyedObject { key: key.clone(), object: object.clone() };
        self.objects.iter().map(keyed).collect()
    }
}

/// The key of the object with this number: every third is a Deployment.
fn key(layer: &str, number: u32) -> String {
    let kind = if number.is_multiple_of(3) { "apps/Deployment" } else { "core/ConfigMap" };
    format!("{kind}/fleet/{layer}-{number}")
}

fn object(layer: &str, number: u32, stream: &mut Stream, bytes: usize) -> (String, Value) {
    let name = format!("{layer}-{number}");
    let object = if number.is_multiple_of(3) { deployment(&name, stream, bytes) } else { config(&name, stream, bytes) };
    (key(layer, number), object)
}

fn deployment(name: &str, stream: &mut Stream, bytes: usize) -> Value {
    let environment = (0..bytes.saturating_sub(400) / 60)
        .map(|number| json!({"name": format!("SETTING_{number}"), "value": text(stream, 24)}))
        .collect::<Vec<_>>();
    let container = json!({"name": "main", "image": format!("registry.example/{name}:{}", 1 + stream.below(40)),
        "ports": [{"containerPort": 8080}], "env": environment});
    json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": name, "namespace": "fleet", "labels": {"app": name}},
        "spec": {"replicas": 1 + stream.below(5), "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": [container]}}}})
}

fn config(name: &str, stream: &mut Stream, bytes: usize) -> Value {
    let values = (0..1 + bytes.saturating_sub(150) / 45)
        .map(|number| (format!("value-{number}"), Value::from(text(stream, 24))));
    let data: serde_json::Map<String, Value> = values.collect();
    json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": "fleet"}, "data": data})
}

/// What workload `number` of a node says after a change that `draw` seeds.
#[must_use]
pub fn remark(draw: u32, number: u32) -> String {
    let mut stream = Stream::new(u64::from(draw), &["status", &number.to_string()]);
    match stream.below(4) {
        0 => String::new(),
        _ => format!("{} of 5 replicas are ready since restart {}", stream.below(5), stream.below(1000)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Size;

    #[test]
    fn a_layer_has_about_its_size_and_an_edit_changes_what_it_says() {
        let layer = Layer { name: "base".to_owned(), objects: 12, size: Size(30_000) };
        let mut content = LayerContent::new(&layer, 7);
        assert_eq!(content, LayerContent::new(&layer, 7));
        let bytes: usize = content.keyed().iter().map(|object| object.object.to_string().len()).sum();
        assert!((20_000..45_000).contains(&bytes), "{bytes}");
        let before = content.keyed();
        content.edit(1, 3);
        let changed = content.keyed().iter().zip(&before).filter(|(after, before)| after != before).count();
        assert_eq!(changed, 1);
    }

    #[test]
    fn objects_are_removed_and_added_anew_or_come_back_and_one_always_stays() {
        let layer = Layer { name: "base".to_owned(), objects: 4, size: Size(4_000) };
        let mut content = LayerContent::new(&layer, 7);
        let keys = |content: &LayerContent| content.objects.keys().cloned().collect::<Vec<_>>();
        let first = keys(&content);
        content.remove(3, 1);
        assert_eq!(content.objects.len(), 1);
        content.remove(3, 1);
        assert_eq!(content.objects.len(), 1);
        content.add(20, 2);
        assert!(first.iter().all(|key| content.objects.contains_key(key)), "{:?}", keys(&content));
        assert_eq!(content.objects.len(), 21);
        content.edit(5, 3);
    }
}
