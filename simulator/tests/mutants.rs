//! The guide's table of planted bugs names exactly those that there are, with what each does wrong and what it breaks.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::Path;

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// By name: what goes wrong, and the number of the invariant. Read as text, since an ordinary build has none of them.
fn planted() -> BTreeMap<String, (String, String)> {
    let source = read("sync-core/src/mutants.rs");
    let (_, variants) = source.split_once("pub enum Mutant {").unwrap();
    let (variants, _) = variants.split_once("\n    }").unwrap();
    let (mut planted, mut about) = (BTreeMap::new(), String::new());
    for line in variants.lines().map(str::trim) {
        if let Some(text) = line.strip_prefix("///") {
            about += text;
        } else if let Some((name, invariant)) = line.trim_end_matches(',').split_once(" breaks ") {
            planted.insert(name.to_owned(), (about.trim().to_owned(), invariant.to_owned()));
            about.clear();
        }
    }
    planted
}

/// The cells of the rows of the table under a heading.
fn rows(guide: &str, heading: &str) -> Vec<Vec<String>> {
    let (_, section) = guide.split_once(heading).unwrap_or_else(|| panic!("no `{heading}`"));
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| row.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()).collect()
}

#[test]
fn the_guide_names_every_planted_bug_and_what_caught_it() {
    let (planted, guide) = (planted(), read("docs/simulator.md"));
    assert!(planted.len() >= 25, "{} bugs were found", planted.len());
    let mut told = BTreeMap::new();
    for row in rows(&guide, "\n## Mutants\n") {
        let [name, about, breaks, check, scenario, seed, runs] = row.as_slice() else { panic!("{row:?}") };
        let is_there = |cell: &str| guide.contains(&format!("\n| {cell} |"));
        let is_caught = check != "not yet";
        assert!(!is_caught || is_there(check), "{name}: no check is called {check}");
        assert!(
            !is_caught || scenario.starts_with('`') && seed.parse::<u64>().is_ok() && runs.parse::<u64>().is_ok(),
            "{row:?}"
        );
        told.insert(name.trim_matches('`').to_owned(), (about.clone(), breaks.clone()));
    }
    assert_eq!(told, planted);
}

#[test]
fn every_invariant_has_two_planted_bugs_at_least() {
    let planted = planted();
    for invariant in 0..=10 {
        let of = planted.values().filter(|(_, breaks)| *breaks == invariant.to_string());
        assert!(of.count() >= 2, "invariant {invariant}");
    }
}
