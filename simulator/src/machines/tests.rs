//! Runs: what a seed repeats, what converges, what a cut and a restart leave.

use super::*;
use crate::plan::Plan;
use crate::scenario::{Depth, Scenario};

fn outcome(scenario: &Scenario, seed: u64, threads: usize) -> Outcome {
    let plan = Plan::expand(scenario, seed, Depth::Machines).unwrap();
    run(&plan, &mut Options { threads, eyes: &mut nobody }, |_| {}).unwrap()
}

fn scenario(events: &str) -> Scenario {
    let text = format!(
        r#"
        name = "test"
        rehearses = "What the test says"
        duration = "6h"
        heal = {{ within = "20m" }}
        {events}
        [[group]]
        name = "n-{{n}}"
        count = 3
        layers = ["base"]
        [[layer]]
        name = "base"
        objects = 4
        size = "4kB"
        "#
    );
    Scenario::parse("test.toml", &text).unwrap()
}

const WORK: &str = r#"
    event = [
        { kind = "edit", layer = "base", every = "50m" },
        { kind = "status", rate = "4/h" },
        { kind = "target-edit", rate = "6/day" },
        { kind = "cut", rate = "8/day", lasts = "10s..1h mean 5m" },
        { kind = "crash", rate = "8/day", lasts = "10s..10m" },
        { kind = "hub-crash", rate = "4/day", lasts = "5s..5m" },
        { kind = "pause", rate = "4/day", lasts = "1s..2m" },
        { kind = "restart", rate = "4/day" },
        { kind = "wipe-store", rate = "1/day" },
        { kind = "clock-jump", rate = "4/day", by = "-1h..1h" },
        { kind = "address-change", rate = "4/day" },
        { kind = "restore-backup", on = ["n-1"], at = ["3h"], age = "1h" },
        { kind = "clone-disk", on = ["n-2"], at = ["4h"], lasts = "10m" },
    ]"#;

#[test]
fn the_same_seed_gives_the_same_trace_and_another_does_not() {
    let scenario = scenario(WORK);
    let first = outcome(&scenario, 7, 1);
    assert_eq!(first.broken, Vec::<String>::new());
    assert_eq!(first, outcome(&scenario, 7, 1));
    assert_ne!(first.trace, outcome(&scenario, 8, 1).trace);
}

#[test]
fn everything_that_may_happen_is_survived() {
    let scenario = scenario(WORK);
    for seed in 1..6 {
        let outcome = outcome(&scenario, seed, 1);
        assert_eq!((outcome.broken, outcome.disagreement), (Vec::new(), None), "seed {seed}");
        assert!(outcome.events["restore-backup"].reached + outcome.events["clone-disk"].reached > 0);
    }
}

#[test]
fn a_node_behind_a_cut_catches_up_when_it_ends_and_is_as_late_as_the_cut_was_long() {
    let events = r#"
        [[event]]
        kind = "cut"
        on = ["n-1/hub"]
        at = ["1h"]
        lasts = "3h"
        [[event]]
        kind = "edit"
        layer = "base"
        at = ["2h"]
    "#;
    let outcome = outcome(&scenario(events), 1, 1);
    assert_eq!((outcome.broken, outcome.disagreement), (Vec::new(), None));
    let stalest = |name: &str| outcome.members.iter().find(|it| &*it.name == name).unwrap().stalest;
    // Two hours of the cut, and up to the longest wait of a dialer.
    assert!((7200..7200 + 400).contains(&stalest("n-1").as_secs()), "{:?}", stalest("n-1"));
    assert!(stalest("n-2") < Duration::from_secs(1), "{:?}", stalest("n-2"));
}

#[test]
fn a_node_that_was_killed_comes_back_with_its_release_and_its_report() {
    let events = r#"
        [[event]]
        kind = "status"
        on = ["n-1"]
        at = ["1h"]
        [[event]]
        kind = "crash"
        on = ["n-1"]
        at = ["2h"]
        lasts = "30m"
        [[event]]
        kind = "edit"
        layer = "base"
        at = ["2h 10m"]
    "#;
    let outcome = outcome(&scenario(events), 1, 1);
    assert_eq!((outcome.broken, outcome.disagreement), (Vec::new(), None));
    let node = outcome.members.iter().find(|it| &*it.name == "n-1").unwrap();
    assert!((1200..1200 + 60).contains(&node.stalest.as_secs()), "{:?}", node.stalest);
    assert_eq!(outcome.counts.starts, 4);
}

#[test]
fn two_hubs_on_two_threads_give_the_trace_of_one_thread() {
    let text = r#"
        name = "two"
        rehearses = "Two hubs that meet now and then"
        duration = "12h"
        hub = [{ name = "hub-{n}", count = 2, links = ["window"] }]
        event = [
            { kind = "edit", layer = "base", on = ["hub-1"], every = "2h" },
            { kind = "edit", name = "other", layer = "base", on = ["hub-2"], at = ["3h"] },
            { kind = "status", rate = "1/h" },
            { kind = "cut", rate = "4/day", lasts = "1m..1h" },
            { kind = "restart", rate = "4/day" },
        ]
        [[group]]
        name = "a-{n}"
        count = 3
        layers = ["base"]
        hubs = ["hub-1"]
        [[group]]
        name = "b-{n}"
        count = 3
        layers = ["base"]
        hubs = ["hub-2"]
        [[layer]]
        name = "base"
        objects = 4
        size = "4kB"
        [link.window]
        calendar = ["windows"]
        [calendar.windows]
        kind = "windows"
        windows = [{ from = "2h", until = "2h 10m" }, { from = "8h", until = "9h" }]
    "#;
    let scenario = Scenario::parse("two.toml", text).unwrap();
    let (one, two) = (outcome(&scenario, 3, 1), outcome(&scenario, 3, 2));
    assert_eq!((&two.broken, &two.disagreement), (&Vec::new(), &None));
    assert!(two.parts == 2 && two.apart > Duration::from_secs(8 * 3600));
    assert_eq!(one, Outcome { apart: Duration::ZERO, ..two });
}
