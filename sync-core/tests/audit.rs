//! Whether every test and every crafted input that `docs/admission.md` names exists.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn source(folder: &Path, text: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            source(&path, text);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text.push_str(&fs::read_to_string(path).unwrap());
        }
    }
}

#[test]
fn every_test_and_input_of_the_audit_exists() {
    let page = fs::read_to_string(root().join("docs/admission.md")).unwrap();
    let (mut tests, mut inputs) = (String::new(), String::new());
    ["tests", "src"].iter().for_each(|folder| source(&root().join("sync-core").join(folder), &mut tests));
    inputs.push_str(&fs::read_to_string(root().join("sync-core/tests/crafted/pushed.rs")).unwrap());
    let names: Vec<&str> = page.split('`').skip(1).step_by(2).filter(|word| word.matches('_').count() > 2).collect();
    let rows = page.lines().filter(|line| line.starts_with('|'));
    let labels: Vec<&str> = rows.flat_map(|row| row.split('"').skip(1).step_by(2)).collect();
    assert!(names.len() > 15 && labels.len() > 15, "{} tests and {} inputs", names.len(), labels.len());
    let gone_tests = names.iter().filter(|name| !tests.contains(&format!("#[test]\nfn {name}(")));
    let gone_tests: Vec<_> = gone_tests.filter(|name| !tests.contains(&format!("#[test]\n    fn {name}("))).collect();
    let gone_inputs: Vec<_> = labels.iter().filter(|label| !inputs.contains(&format!("\"{label}\""))).collect();
    assert!(gone_tests.is_empty() && gone_inputs.is_empty(), "no longer there: {gone_tests:?} {gone_inputs:?}");
}
