//! Changes of two hubs to one layer, every one of which must travel: a third hub that had none of them gets them all.

use serde_json::{Map, Value, json};
use sync_core::document::materialise;
use sync_core::identity::Role;
use sync_core::store::StoreError;

use super::fleet::{Fleet, Member, Place};
use super::table::{Table, count, ratio};
use super::workload::{layer, zstd_19};
use super::{BenchError, During, Options};
use crate::random::Random;

/// Measures and compares.
pub(super) fn measure(options: &Options) -> Result<Table, BenchError> {
    let all = [(1, 1), (2, 100), (2, 1_000)];
    let mut table = Table::new(
        "Changes of two hubs to one layer that must all travel",
        &[
            "hubs that wrote",
            "changes",
            "Archipel, whole conversation",
            "of it signatures and heads",
            "of it the rest: the changes",
            "raw changes",
            "raw + zstd 19",
            "Automerge bundle",
            "the changes / raw",
            "the changes / raw + zstd 19",
            "the changes / bundle",
        ],
    );
    table.say(
        "A layer of twelve objects is known to three hubs; two of them write it in turn, apart from each other, then meet, and \
         the third catches up; or one of them writes all. Every edit was signed, and a release may name any of them: 64 bytes each that no codec makes less. Their merges are changes' dependencies, not changes. The peers' columns hold the same changes, \
         as they are stored, without any protocol.",
    );
    for (writers, changes) in all {
        one(&mut table, writers, if options.quick { changes.min(10) } else { changes })?;
    }
    Ok(table)
}

fn one(table: &mut Table, writers: usize, changes: usize) -> Result<(), BenchError> {
    let mut fleet = Fleet::new(3)?;
    let mut hubs = [(); 2].map(|()| fleet.join(Role::Hub, Place::Memory));
    let mut third = fleet.join(Role::Hub, Place::Memory)?;
    let [Ok(first), Ok(second)] = &mut hubs else {
        return Err(BenchError::Wrong("a hub could not be made".to_owned()));
    };
    let key = layer("base")?;
    let mut state = Map::from_iter([("objects".to_owned(), objects())]);
    let now = fleet.now();
    first.replica.write(now, &key, &state).during("write a layer")?;
    fleet.converse(second, first)?;
    // Who has met a hub knows its key, and takes what it signed from others too.
    fleet.converse(&mut third, first)?;
    fleet.converse(&mut third, second)?;
    let before = chunks(&mut third)?;
    let mut random = Random::new(changes as u64);
    let mut states = [state.clone(), std::mem::take(&mut state)];
    for number in 0..changes {
        let (hub, state) = match (number % writers, &mut states) {
            (0, [state, _]) => (&mut *first, state),
            (_, [_, state]) => (&mut *second, state),
        };
        change(state, &mut random, number);
        let now = fleet.now();
        hub.replica.write(now, &key, state).during("write a layer")?;
    }
    fleet.converse(second, first)?;
    let idle = fleet.converse(second, first)?;
    let all = chunks(first)?;
    let new: Vec<&Vec<u8>> = all.iter().filter(|chunk| !before.contains(chunk)).collect();
    let raw: Vec<u8> = new.iter().flat_map(|chunk| chunk.iter().copied()).collect();
    let document = materialise::load(&all, None).during("load a document")?;
    let known = materialise::load(&before, None).during("load a document")?.get_heads();
    let hashes: Vec<_> = document.get_changes(&known).iter().map(automerge::Change::hash).collect();
    let bundle = document.bundle(hashes).during("make a bundle")?;
    let passed = fleet.converse(&mut third, first)?;
    let (held, wanted) = (chunks(&mut third)?.len(), all.len());
    if held != wanted || idle.push_bytes > 0 {
        return Err(BenchError::Wrong(format!("the third hub holds {held} of {wanted} changes; {idle:?}")));
    }
    let rest = passed.push_bytes.saturating_sub(passed.proof_bytes);
    let packed = zstd_19(&raw)?;
    let bundle = bundle.bytes().len() as u64;
    table.row([
        writers.to_string(),
        count(new.len() as u64),
        count(passed.bytes),
        count(passed.proof_bytes),
        count(rest),
        count(raw.len() as u64),
        count(packed),
        count(bundle),
        ratio(rest as f64, raw.len() as f64),
        ratio(rest as f64, packed as f64),
        ratio(rest as f64, bundle as f64),
    ]);
    Ok(())
}

fn chunks(hub: &mut Member) -> Result<Vec<Vec<u8>>, BenchError> {
    let id = layer("base")?.id();
    let chunks = hub.replica.inspect(|tx| match tx.document(id)? {
        Some(document) => tx.chunks(document.row, document.generation),
        None => Ok::<_, StoreError>(Vec::new()),
    });
    chunks.during("read a layer")
}

fn objects() -> Value {
    let object = |number: usize| {
        let name = format!("service-{number:02}");
        let object = json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": { "name": name, "namespace": "shop", "labels": { "app": name } },
            "spec": { "replicas": 2, "template": { "spec": { "containers": { "main": {
                "image": format!("registry.example/shop/{name}:1.0.0"),
                "env": { "LOG_LEVEL": "info", "REVISION": "0" },
            } } } } },
        });
        (format!("apps/Deployment/shop/{name}"), object)
    };
    Value::Object((0..12).map(object).collect())
}

/// What people change: an image, a replica count, a variable.
fn change(state: &mut Map<String, Value>, random: &mut Random, number: usize) {
    let name = format!("service-{:02}", random.below(12));
    let spec = format!("/objects/apps~1Deployment~1shop~1{name}/spec");
    let mut whole = Value::Object(std::mem::take(state));
    let (place, value) = match random.below(3) {
        0 => {
            let image = format!("registry.example/shop/{name}:1.{}.{}", random.below(40), random.below(100));
            ("/template/spec/containers/main/image", json!(image))
        }
        1 => ("/template/spec/containers/main/env/REVISION", json!((number + 1).to_string())),
        _ => ("/replicas", json!(number + 3)),
    };
    if let Some(field) = whole.pointer_mut(&format!("{spec}{place}")) {
        *field = value;
    }
    if let Value::Object(whole) = whole {
        *state = whole;
    }
}
