//! Whatever a run once found stays mended: each scenario of `simulator/scenarios/regressions`, at each of its depths.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::Path;

use simulator::broke::Broke;
use simulator::plan::Plan;
use simulator::scenario::{Depth, Scenario};

/// At its own seed, at the first two of its depths: the third takes real time.
fn broken(file: &str, text: &str) -> Vec<String> {
    let scenario = Scenario::parse(file, text).unwrap_or_else(|error| panic!("{error}"));
    let depths = scenario.depths().into_iter().filter(|depth| *depth != Depth::Live);
    let broke = depths.filter_map(|depth| {
        let plan = Plan::expand(&scenario, scenario.seed, depth).unwrap_or_else(|error| panic!("{file}: {error}"));
        let broke = Broke::by(&plan, true).unwrap()?;
        Some(format!("{file}, depth {}: {broke}", depth.number()))
    });
    broke.collect()
}

#[test]
fn what_was_found_once_stays_mended() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/regressions");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 2, "the scenarios were not found");
    let broken: Vec<String> = std::thread::scope(|scope| {
        let runs: Vec<_> = files
            .iter()
            .map(|file| {
                scope.spawn(move || broken(&file.display().to_string(), &std::fs::read_to_string(file).unwrap()))
            })
            .collect();
        runs.into_iter().flat_map(|run| run.join().unwrap_or_else(|_| panic!("the simulator panicked"))).collect()
    });
    assert_eq!(broken, Vec::<String>::new());
}

#[test]
fn a_scenario_that_fails_is_found() {
    // Three seconds each way, and one to agree after the line is up again.
    let text = "name = \"late\"\nrehearses = \"x\"\nduration = \"20m\"\n[depth.2]\n[heal]\nwithin = \"1s\"\n\
        [[group]]\nname = \"a\"\nlayers = [\"base\"]\nlinks = [\"slow\"]\n[link.slow]\nlatency = \"3s\"\n\
        [[layer]]\nname = \"base\"\n[[event]]\nkind = \"cut\"\nat = [\"10m\"]\nlasts = \"1h\"\n\
        [[event]]\nkind = \"edit\"\nlayer = \"base\"\nat = [\"15m\"]\n";
    let broken = broken("late.toml", text);
    assert!(broken.len() == 1 && broken[0].starts_with("late.toml, depth 2: no agreement"), "{broken:?}");
}
