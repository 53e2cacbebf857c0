//! The committed generated code is what the `.proto` files say. `UPDATE_PROTOS=1` writes it anew.
#![expect(clippy::unwrap_used, reason = "a test ends where it meets what it does not expect")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

const REFRESH: &str = "UPDATE_PROTOS=1 cargo test -p sync-core --test protos";

fn files(folder: &Path, extension: &str) -> BTreeMap<String, PathBuf> {
    fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), path))
        .collect()
}

#[test]
fn generated_code_matches_its_schema() {
    let wire = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/wire");
    let committed = wire.join("generated");
    let schemas = files(&wire, "proto");
    assert!(!schemas.is_empty(), "no .proto file in {}", wire.display());

    let fresh = tempfile::tempdir().unwrap();
    let descriptors = protox::compile(schemas.keys(), [&wire]).unwrap();
    prost_build::Config::new().btree_map(["."]).out_dir(fresh.path()).compile_fds(descriptors).unwrap();
    let fresh = files(fresh.path(), "rs");

    if std::env::var_os("UPDATE_PROTOS").is_some() {
        fs::create_dir_all(&committed).unwrap();
        for old in files(&committed, "rs").values() {
            fs::remove_file(old).unwrap();
        }
        for (name, path) in &fresh {
            fs::copy(path, committed.join(name)).unwrap();
        }
    }

    let names = |files: &BTreeMap<String, PathBuf>| files.keys().cloned().collect::<Vec<_>>();
    let committed = files(&committed, "rs");
    assert_eq!(names(&committed), names(&fresh), "run: {REFRESH}");
    for (name, path) in &fresh {
        let same = fs::read(path).unwrap() == fs::read(&committed[name]).unwrap();
        assert!(same, "src/wire/generated/{name} differs from its .proto file; run: {REFRESH}");
    }
}
