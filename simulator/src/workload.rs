//! The work of a scenario: objects of layers, their edits, and what workloads say. The same at every depth.

use std::collections::BTreeMap;

use hub::service::KeyedObject;
use serde_json::{Value, json};

use crate::plan::stream::Stream;
use crate::scenario::Layer;

/// The objects of a layer by key, as somebody keeps them in files.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerContent {
    name: String,
    objects: BTreeMap<String, Value>,
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
            let name = format!("{}-{number}", layer.name);
            if number % 3 == 0 { deployment(&name, &mut stream, each) } else { config(&name, &mut stream, each) }
        });
        Self { name: layer.name.clone(), objects: objects.collect() }
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

    /// The objects as a hub takes them.
    #[must_use]
    pub fn keyed(&self) -> Vec<KeyedObject> {
        let keyed = |(key, object): (&String, &Value)| KeyedObject { key: key.clone(), object: object.clone() };
        self.objects.iter().map(keyed).collect()
    }
}

fn deployment(name: &str, stream: &mut Stream, bytes: usize) -> (String, Value) {
    let environment = (0..bytes.saturating_sub(400) / 60)
        .map(|number| json!({"name": format!("SETTING_{number}"), "value": text(stream, 24)}))
        .collect::<Vec<_>>();
    let container = json!({"name": "main", "image": format!("registry.example/{name}:{}", 1 + stream.below(40)),
        "ports": [{"containerPort": 8080}], "env": environment});
    let object = json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": name, "namespace": "fleet", "labels": {"app": name}},
        "spec": {"replicas": 1 + stream.below(5), "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": [container]}}}});
    (format!("apps/Deployment/fleet/{name}"), object)
}

fn config(name: &str, stream: &mut Stream, bytes: usize) -> (String, Value) {
    let values = (0..1 + bytes.saturating_sub(150) / 45).map(|number| {
        (format!("value-{number}"), Value::from(text(stream, 24)))
    });
    let data: serde_json::Map<String, Value> = values.collect();
    let object = json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": "fleet"}, "data": data});
    (format!("core/ConfigMap/fleet/{name}"), object)
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
}
