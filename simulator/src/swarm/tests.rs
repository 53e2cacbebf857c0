//! Swarms of small fleets: what is counted, what is told, and when they stop.

use std::path::Path;

use super::*;

/// A van that crashes now and then.
const GOOD: &str = "name = \"good\"\nrehearses = \"x\"\nduration = \"90m\"\n[heal]\nwithin = \"30m\"\n\
    [[group]]\nname = \"van\"\nlayers = [\"base\"]\n[[layer]]\nname = \"base\"\n\
    [[event]]\nkind = \"edit\"\nlayer = \"base\"\nevery = \"20m\"\n\
    [[event]]\nkind = \"clock-jump\"\nat = [\"30m\"]\nby = \"5m\"\n\
    [[event]]\nkind = \"cut\"\nat = [\"35m\"]\nlasts = \"15m\"\n\
    [[event]]\nkind = \"disk-full\"\nat = [\"59m\"]\nlasts = \"1s\"\n\
    [swarm]\nkeep = [\"edit\", \"clock-jump\", \"cut\"]\n";

/// Three seconds each way, and one to agree after the line is up again.
const BAD: &str = "name = \"bad\"\nrehearses = \"x\"\nduration = \"20m\"\n[heal]\nwithin = \"1s\"\n\
    [[group]]\nname = \"van-{n}\"\ncount = 3\nlayers = [\"base\"]\nlinks = [\"slow\"]\n[link.slow]\nlatency = \"3s\"\n\
    [[layer]]\nname = \"base\"\n[[event]]\nkind = \"cut\"\non = [\"van-2\"]\nat = [\"10m\"]\nlasts = \"1h\"\n\
    [[event]]\nkind = \"edit\"\nlayer = \"base\"\nat = [\"15m\"]\n\
    [[event]]\nkind = \"restart\"\nat = [\"5m\"]\n\
    [swarm]\nleave_out = \"0%\"\nlinks = \"1..1\"\n";

fn options(folder: &Path, name: &str, text: &str) -> Options {
    let file = folder.join(name);
    std::fs::write(&file, text).unwrap();
    let scenarios = vec![file.display().to_string()];
    Options { scenarios, seeds: 3, first: 1, jobs: Some(2), depth: Depth::Stack, keep_going: false, twice: 2 }
}

#[test]
fn a_swarm_counts_what_happened_and_what_was_never_reached() {
    let folder = tempfile::tempdir().unwrap();
    let options = options(folder.path(), "good.toml", GOOD);
    let sum = fly(&options, &read(&options).unwrap());
    assert_eq!((sum.runs(), sum.failed()), (3, &[][..]));
    let told = sum.told(&options, Duration::from_secs(1));
    assert!(told.contains("3 of 3 runs, 1 of them twice and with right clocks, depth 2"), "{told}");
    assert!(told.contains("0 of 3 runs broke something"), "{told}");
    assert!(told.lines().any(|line| line.split_whitespace().eq(["clock-jump", "3", "3", "3"])), "{told}");
    assert!(told.lines().any(|line| line.trim_start().starts_with("no-wall-clock")), "{told}");
    // Nothing waited when the link went down, an edit did when it came back: that is one cut that mattered.
    assert!(told.lines().any(|line| line.split_whitespace().eq(["link-down", "3", "3", "3"])), "{told}");
    assert_eq!(sum.missed(Depth::Stack), ["disk-full"]);
    // No edit takes an object away.
    assert!(told.contains("never judged: missing-deletes-nothing\n"), "{told}");
}

#[test]
fn at_depth_1_a_swarm_runs_machines() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options { depth: Depth::Machines, ..options(folder.path(), "good.toml", GOOD) };
    let sum = fly(&options, &read(&options).unwrap());
    assert_eq!((sum.runs(), sum.failed()), (3, &[][..]));
    assert!(sum.told(&options, Duration::ZERO).contains("1 of them twice, depth 1"));
}

#[test]
fn a_seed_that_fails_stops_the_swarm_and_says_how_to_have_it_again() {
    let folder = tempfile::tempdir().unwrap();
    let stops = Options { jobs: Some(1), ..options(folder.path(), "bad.toml", BAD) };
    let sum = fly(&stops, &read(&stops).unwrap());
    assert!(sum.runs() < 3 && sum.failed().len() == usize::try_from(sum.runs()).unwrap(), "{sum:?}");
    let goes_on = Options { keep_going: true, ..stops };
    let sum = fly(&goes_on, &read(&goes_on).unwrap());
    assert_eq!(sum.failed().iter().map(|ran| ran.seed).collect::<Vec<_>>(), [1, 2, 3]);
    let told = sum.told(&goes_on, Duration::ZERO);
    assert!(told.contains("bad.toml, seed 1: no agreement: "), "{told}");
    assert!(told.contains("bad.toml --first 1 --seeds 1\n"), "{told}");
    assert!(told.contains("bad.toml --first 2 --seeds 1 --twice 1\n"), "{told}");
    assert!(told.contains("3 of 3 runs broke something"), "{told}");
    // What is left behind is a trace of a run that fails as this one did.
    let file = sum.failed()[2].failure.as_ref().unwrap().file.clone().unwrap();
    let (comparison, _) = crate::replay::replay(&file).unwrap();
    assert!(matches!(comparison, crate::replay::Comparison::Same { .. }), "{comparison:?}");
    let plan = crate::replay::plan_of(&file).unwrap();
    let small = crate::shrink::on_runs::smaller(&plan, Duration::from_secs(60), |_, _| ()).unwrap();
    assert_eq!(small.broke.check, Some(crate::scenario::Check::Converges));
    let size = small.shrunk.plan.size();
    assert!(size.members == 2 && size.events + size.link_changes < 4, "{:?}", small.shrunk.plan);
}

#[test]
fn a_scenario_that_is_not_for_the_depth_is_refused_before_anything_runs() {
    let folder = tempfile::tempdir().unwrap();
    let options = options(folder.path(), "deep.toml", &format!("{GOOD}[depth.1]\n"));
    assert!(read(&options).unwrap_err().ends_with("is not for depth 2"));
}
