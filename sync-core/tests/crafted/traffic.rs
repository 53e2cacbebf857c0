//! Changes as this project writes them: reports of a node, layers that two hubs edit, releases and assignments.
//!
//! Include it from an integration test with `#[path = "crafted/traffic.rs"] mod traffic;`, beside `histories`.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use automerge::transaction::CommitOptions;
use automerge::{ActorId, Automerge};
use serde_json::{Map, Value, json};
use sync_core::document::json::write_json;
use sync_core::document::{ActorBytes, DocumentKey, genesis, materialise};
use sync_core::id::{Name, NodeId};

use super::histories::Numbers;

const HEALTHS: [&str; 4] = ["Healthy", "Progressing", "Degraded", "Unknown"];
const START: u64 = 1_760_000_000;

/// One author's copy of a document.
pub(crate) struct Writer(Automerge);

impl Writer {
    pub(crate) fn new(key: &DocumentKey, author: [u8; 32], random: u64) -> Self {
        let actor = ActorBytes::mint(&NodeId(author), random.to_be_bytes());
        Self(materialise::load(&[genesis::genesis(key).bytes], Some(actor)).unwrap())
    }

    /// The same copy after the process started again.
    pub(crate) fn restart(self, author: [u8; 32], random: u64) -> Self {
        let actor = ActorBytes::mint(&NodeId(author), random.to_be_bytes());
        Self(self.0.with_actor(ActorId::from(&actor.0[..])))
    }

    pub(crate) fn write(&mut self, state: &Map<String, Value>) {
        let mut transaction = self.0.transaction();
        write_json(&mut transaction, state).unwrap();
        transaction.commit_with(CommitOptions::default().with_time(0));
    }

    pub(crate) fn merge(&mut self, other: &mut Self) {
        self.0.merge(&mut other.0).unwrap();
    }

    /// All changes, in a causal order.
    pub(crate) fn changes(&self) -> Vec<Vec<u8>> {
        self.0.get_changes(&[]).into_iter().map(|change| change.raw_bytes().to_vec()).collect()
    }

    pub(crate) fn document(&self) -> &Automerge {
        &self.0
    }
}

/// A random 32 bytes.
pub(crate) fn author(numbers: &mut Numbers) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.chunks_mut(8).for_each(|part| part.copy_from_slice(&numbers.next().to_be_bytes()));
    bytes
}

/// A node's reports: `count` workloads of eight fields; each of `updates` changes three fields of one.
pub(crate) fn reports(seed: u64, count: usize, updates: usize) -> Writer {
    let mut numbers = Numbers(seed);
    let node = author(&mut numbers);
    let mut objects: Map<String, Value> = (0..count)
        .map(|index| {
            let image =
                format!("registry.example/shop/service-{index:02}:1.{}.{}", numbers.below(30), numbers.below(100));
            let fields = json!({
                "desired": 3, "ready": 3, "restarts": numbers.below(20), "generation": numbers.below(50),
                "observedGeneration": numbers.below(50), "health": "Healthy", "image": image, "time": START,
            });
            (format!("apps/Deployment/shop/service-{index:02}"), fields)
        })
        .collect();
    let mut writer = Writer::new(&DocumentKey::observed(NodeId(node)), node, numbers.next());
    writer.write(&Map::from_iter([("objects".to_owned(), Value::Object(objects.clone()))]));
    for update in 1..=updates {
        let index = numbers.below(count);
        let workload = objects.values_mut().nth(index).and_then(Value::as_object_mut).unwrap();
        workload.insert("ready".to_owned(), json!(numbers.below(4)));
        workload.insert("health".to_owned(), json!(HEALTHS[numbers.below(4)]));
        workload.insert("time".to_owned(), json!(START + update as u64 * 5));
        writer.write(&Map::from_iter([("objects".to_owned(), Value::Object(objects.clone()))]));
    }
    writer
}

fn layer_state(numbers: &mut Numbers) -> Map<String, Value> {
    let version = (numbers.below(40), numbers.below(100));
    let object = |number: usize| {
        let name = format!("service-{number:02}");
        let object = json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": { "name": name, "namespace": "shop", "labels": { "app": name } },
            "spec": { "replicas": 2, "template": { "spec": { "containers": { "main": {
                "image": format!("registry.example/shop/{name}:1.{}.{}", version.0, version.1),
                "env": { "LOG_LEVEL": "info", "REVISION": "0" },
            } } } } },
        });
        (format!("apps/Deployment/shop/{name}"), object)
    };
    Map::from_iter([("objects".to_owned(), Value::Object((0..12).map(object).collect()))])
}

fn edit_layer(state: &mut Map<String, Value>, numbers: &mut Numbers, number: usize) {
    let name = format!("service-{:02}", numbers.below(12));
    let spec = format!("/apps~1Deployment~1shop~1{name}/spec");
    let (place, value) = match numbers.below(3) {
        0 => {
            let image = format!("registry.example/shop/{name}:1.{}.{}", numbers.below(40), numbers.below(100));
            ("/template/spec/containers/main/image", json!(image))
        }
        1 => ("/template/spec/containers/main/env/REVISION", json!((number + 1).to_string())),
        _ => ("/replicas", json!(number + 3)),
    };
    let objects = state.get_mut("objects").unwrap();
    *objects.pointer_mut(&format!("{spec}{place}")).unwrap() = value;
}

/// A layer of twelve Deployments that so many hubs edit, each `changes / hubs` times and apart from the others, who then merge.
pub(crate) fn layer(seed: u64, hubs: usize, changes: usize) -> Writer {
    let mut numbers = Numbers(seed);
    let key = DocumentKey::layer(&Name::new("base").unwrap());
    let mut state = layer_state(&mut numbers);
    let mut writers: Vec<Writer> = Vec::new();
    for _ in 0..hubs {
        let hub = author(&mut numbers);
        writers.push(Writer::new(&key, hub, numbers.next()));
    }
    writers[0].write(&state);
    let mut states = vec![state.clone(); hubs];
    let (first, others) = writers.split_first_mut().unwrap();
    others.iter_mut().for_each(|other| other.merge(first));
    for number in 0..changes {
        let hub = number % hubs;
        edit_layer(&mut states[hub], &mut numbers, number);
        writers[hub].write(&states[hub]);
    }
    state.clear();
    let mut all = writers.remove(0);
    writers.iter_mut().for_each(|other| all.merge(other));
    all
}

/// A release that names layers by generation, version and heads, written `count` times.
pub(crate) fn releases(seed: u64, count: usize) -> Writer {
    let mut numbers = Numbers(seed);
    let hub = author(&mut numbers);
    let mut writer = Writer::new(&DocumentKey::release(&Name::new("main").unwrap()), hub, numbers.next());
    let mut layers: Map<String, Value> = Map::new();
    for number in 0..count {
        for name in ["base", "shop", "region-north"] {
            if number == 0 || numbers.one_in(2) {
                let heads: String = author(&mut numbers).iter().map(|byte| format!("{byte:02x}")).collect();
                layers.insert(name.to_owned(), json!(format!("0/{}/{heads}", number + 1)));
            }
        }
        writer.write(&Map::from_iter([("layers".to_owned(), Value::Object(layers.clone()))]));
    }
    writer
}
