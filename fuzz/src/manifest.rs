//! Manifests that a person hands in: YAML and JSON to the objects of a layer.

use std::fs;
use std::path::Path;

use hub::manifest::read_stream;

use crate::Seed;

/// An even first byte: the rest is YAML. An odd one: it is JSON.
pub fn run(bytes: &[u8]) {
    let Some((kind, rest)) = bytes.split_first() else { return };
    let name = if kind % 2 == 0 { "fuzz.yaml" } else { "fuzz.json" };
    match read_stream(name, rest) {
        Ok(layer) => {
            assert!(!layer.objects.is_empty());
            assert!(layer.objects.is_sorted_by(|one, other| one.key < other.key));
            // What was read is JSON, and read as the same again.
            let list = layer.objects.iter().map(|object| object.object.clone()).collect::<Vec<_>>();
            let text =
                serde_json::to_vec(&serde_json::json!({ "apiVersion": "v1", "kind": "List", "items": list })).unwrap();
            let again = read_stream("again.json", &text[..]).unwrap();
            let objects = |layer: &hub::manifest::ParsedLayer| -> Vec<_> {
                layer.objects.iter().map(|object| (object.key.clone(), object.object.clone())).collect()
            };
            assert_eq!(objects(&again), objects(&layer));
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// The example fleet's files, and a list in JSON.
pub fn seeds() -> Vec<Seed> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/examples/fleet/layers/base");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut seeds: Vec<Seed> = files
        .iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .take(6)
        .map(|path| {
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            (name, [&[0][..], &fs::read(path).unwrap()].concat())
        })
        .collect();
    let list = br#"{"apiVersion":"v1","kind":"List","items":[{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"}}]}"#;
    let anchors = b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, labels: &l {x: 'y'}}\ndata: *l\n---\n!!map {a: 0x1f, b: |-\n  t\n}\n";
    seeds.push(("list".to_owned(), [&[1][..], list].concat()));
    seeds.push(("anchors".to_owned(), [&[0][..], anchors].concat()));
    seeds
}
