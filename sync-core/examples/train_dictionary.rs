//! Trains the codec's zstd dictionary on changes as this project writes them, and writes it beside the codec:
//!
//! ```text
//! cargo run --release -p sync-core --example train_dictionary
//! ```
//!
//! The bytes of a dictionary that was in a release never change: a better one gets a file and a number of its own.
#![allow(clippy::unwrap_used, reason = "a tool for developers, on documents that it makes itself")]

#[path = "../tests/crafted/histories.rs"]
mod histories;
#[path = "../tests/crafted/traffic.rs"]
mod traffic;

use histories::Numbers;
use serde_json::{Map, Value, json};
use sync_core::document::codec::{Base, symbols};
use sync_core::document::history::ChangeMeta;
use sync_core::document::{Clock, DocumentKey, History};
use sync_core::id::{Name, NodeId};
use traffic::{Writer, author};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/document/codec/dictionary-1.zstd-dictionary");

/// Larger ones save a few bytes of a hundred more, and are read at each start.
const BYTES: usize = 4 * 1024;

const WORDS: [&str; 24] = [
    "api", "web", "db", "cache", "cart", "edge", "proxy", "worker", "queue", "ingest", "metrics", "sensor", "gateway",
    "store", "sync", "auth", "camera", "kiosk", "pos", "radar", "engine", "log", "backup", "dns",
];
const NAMESPACES: [&str; 6] = ["default", "kube-system", "shop", "monitoring", "plant", "bridge"];
const KINDS: [&str; 8] = [
    "apps/Deployment",
    "apps/DaemonSet",
    "apps/StatefulSet",
    "core/Service",
    "core/ConfigMap",
    "batch/Job",
    "networking.k8s.io/Ingress",
    "core/ServiceAccount",
];

fn main() -> std::io::Result<()> {
    let mut samples = Vec::new();
    for seed in 0..300 {
        let mut numbers = Numbers(seed);
        for chunks in [observed(&mut numbers), layer(&mut numbers), release(&mut numbers), assignment(&mut numbers)] {
            rows(&chunks, &mut samples);
        }
    }
    let dictionary = zstd::dict::from_samples(&samples, BYTES)?;
    println!(
        "{} samples of {} bytes: {}",
        samples.len(),
        samples.iter().map(Vec::len).sum::<usize>(),
        dictionary.len()
    );
    std::fs::write(FILE, dictionary)
}

/// What a delta of the last, the last two and the last half of the changes looks like before it is compressed.
fn rows(chunks: &[Vec<u8>], samples: &mut Vec<Vec<u8>>) {
    let metas: Vec<ChangeMeta> =
        chunks.iter().filter_map(|chunk| ChangeMeta::of(&automerge::Change::from_bytes(chunk.clone()).ok()?)).collect();
    let mut history = History::default();
    metas.iter().for_each(|meta| drop(history.push(meta.clone())));
    for base in [1, chunks.len() / 2, chunks.len() - 2, chunks.len() - 1] {
        let mut clock = Clock::default();
        metas.iter().take(base).for_each(|meta| clock.raise(meta.actor, meta.seq));
        let sent: Vec<&[u8]> = chunks.iter().skip(base).map(Vec::as_slice).collect();
        samples.extend(symbols(&Base::new(&clock, &|hash| history.meta(hash).cloned()), &sent));
    }
}

fn hex(numbers: &mut Numbers) -> String {
    author(numbers).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn pick<'a>(numbers: &mut Numbers, from: &[&'a str]) -> &'a str {
    numbers.pick(from).copied().unwrap_or("a")
}

fn object_key(numbers: &mut Numbers) -> String {
    format!("{}/{}/{}", pick(numbers, &KINDS), pick(numbers, &NAMESPACES), pick(numbers, &WORDS))
}

fn observed(numbers: &mut Numbers) -> Vec<Vec<u8>> {
    let node = author(numbers);
    let mut writer = Writer::new(&DocumentKey::observed(NodeId(node)), node, numbers.next());
    let objects: Map<String, Value> = (0..2 + numbers.below(20))
        .map(|_| (object_key(numbers), json!({ "applied": hex(numbers), "message": "" })))
        .collect();
    let stamp = |numbers: &mut Numbers| json!({ "version": numbers.below(60), "heads": hex(numbers) });
    let mut state = json!({
        "agent": "0.1.0", "applied": null, "health": "progressing", "message": "waiting for the first release",
        "objects": objects, "repairs": 0,
    });
    for number in 0..12_u64 {
        if let Value::Object(state) = &state {
            writer.write(state);
        }
        let layers: Map<String, Value> = ["base", "region-north", "site"]
            .map(|layer| (layer.to_owned(), json!(numbers.below(60))))
            .into_iter()
            .collect();
        let at = 1_760_000_000 + number * 3_600 + numbers.next() % 3_600;
        match numbers.below(4) {
            0 => {
                let (assignment, release) = (stamp(numbers), stamp(numbers));
                state["applied"] = json!({ "assignment": assignment, "release": release, "layers": layers, "at": at });
                state["health"] = json!("healthy");
                state["message"] = json!("");
            }
            1 => {
                state["health"] = json!("degraded");
                state["message"] = json!(format!("{} objects are not as desired", 1 + numbers.below(4)));
                let key = object_key(numbers);
                state["objects"][key] = json!({ "applied": null, "message": "the target refused it: admission webhook denied the request" });
            }
            2 => {
                let key = state["objects"].as_object().and_then(|objects| objects.keys().next().cloned());
                state["objects"][key.unwrap_or_default()]["applied"] = json!(hex(numbers));
                state["health"] = json!("progressing");
            }
            _ => state["repairs"] = json!(number),
        }
    }
    writer.changes()
}

fn layer(numbers: &mut Numbers) -> Vec<Vec<u8>> {
    let hub = author(numbers);
    let name = Name::new(pick(numbers, &WORDS)).unwrap();
    let mut writer = Writer::new(&DocumentKey::layer(&name), hub, numbers.next());
    let mut objects = Map::new();
    for number in 0..12_usize {
        let (word, namespace) = (pick(numbers, &WORDS), pick(numbers, &NAMESPACES));
        let image = format!(
            "{}/{word}:1.{}.{}",
            pick(numbers, &["docker.io/library", "ghcr.io/acme", "quay.io/acme"]),
            numbers.below(40),
            numbers.below(100)
        );
        let labels = json!({ "app": word, "app.kubernetes.io/name": word, "app.kubernetes.io/part-of": namespace });
        let metadata = json!({ "name": word, "namespace": namespace, "labels": labels });
        let (key, object) = match numbers.below(3) {
            0 => (
                format!("core/Service/{namespace}/{word}"),
                json!({
                    "apiVersion": "v1", "kind": "Service", "metadata": metadata,
                    "spec": { "selector": { "app": word }, "type": "ClusterIP",
                              "ports": { "80/TCP": { "name": "http", "port": 80, "protocol": "TCP", "targetPort": "http" } } },
                }),
            ),
            1 => (
                format!("core/ConfigMap/{namespace}/{word}"),
                json!({
                    "apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata,
                    "data": { "LOG_LEVEL": "info", "config.yaml": format!("server:\n  port: {}\n  host: 0.0.0.0\n", 8000 + number) },
                }),
            ),
            _ => (
                format!("apps/Deployment/{namespace}/{word}"),
                json!({
                    "apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata,
                    "spec": { "replicas": 1 + numbers.below(3), "selector": { "matchLabels": { "app": word } },
                        "template": { "metadata": { "labels": { "app": word } }, "spec": { "serviceAccountName": word, "containers": { word: {
                            "name": word, "image": image, "imagePullPolicy": "IfNotPresent",
                            "env": { "LOG_LEVEL": { "name": "LOG_LEVEL", "value": "info" } },
                            "ports": { "8080/TCP": { "containerPort": 8080, "name": "http", "protocol": "TCP" } },
                            "resources": { "limits": { "cpu": "500m", "memory": "256Mi" }, "requests": { "cpu": "100m", "memory": "128Mi" } },
                            "livenessProbe": { "httpGet": { "path": "/healthz", "port": "http" }, "periodSeconds": 10 },
                            "readinessProbe": { "httpGet": { "path": "/ready", "port": "http" } },
                            "securityContext": { "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true },
                        } } } } },
                }),
            ),
        };
        objects.insert(key, object);
        writer.write(&Map::from_iter([("objects".to_owned(), Value::Object(objects.clone()))]));
    }
    writer.changes()
}

fn release(numbers: &mut Numbers) -> Vec<Vec<u8>> {
    let hub = author(numbers);
    let name = Name::new("main").unwrap();
    let mut writer = Writer::new(&DocumentKey::release(&name), hub, numbers.next());
    let mut layers = Map::new();
    for number in 0..6 {
        for word in [pick(numbers, &WORDS), "base"] {
            layers.insert(word.to_owned(), json!(format!("{}/{}/{}", numbers.below(2), number + 1, hex(numbers))));
        }
        writer.write(&Map::from_iter([("layers".to_owned(), Value::Object(layers.clone()))]));
    }
    writer.changes()
}

fn assignment(numbers: &mut Numbers) -> Vec<Vec<u8>> {
    let (hub, node) = (author(numbers), author(numbers));
    let mut writer = Writer::new(&DocumentKey::assignment(NodeId(node)), hub, numbers.next());
    for number in 0..4 {
        let state = json!({
            "node": format!("{}-{}", pick(numbers, &["ship", "truck", "shop", "plant"]), numbers.below(1_000)),
            "labels": { "region": pick(numbers, &["north", "south", "east", "west"]), "tier": pick(numbers, &["canary", "stable"]) },
            "layers": ["base", pick(numbers, &WORDS)], "release": "main", "by_hand": number % 2 == 1,
            "store": hex(numbers), "key": hex(numbers),
        });
        if let Value::Object(state) = &state {
            writer.write(state);
        }
    }
    writer.changes()
}
