//! Errors of scenario files: each says where it is, what was expected, and what was perhaps meant.

use super::*;

const GOOD: &str = r#"name = "test"
rehearses = "A test"
duration = "1h"

[heal]
within = "10m"

[[group]]
name = "node-{n}"
count = 3
links = ["line"]

[link.line]
latency = "20ms"

[[event]]
kind = "crash"
rate = "1/day"
lasts = "1m..5m"
"#;

/// The mistakes of the good scenario with one line changed.
fn mistakes(from: &str, to: &str) -> Vec<String> {
    assert!(GOOD.contains(from), "{from}");
    match Scenario::parse("test.toml", &GOOD.replacen(from, to, 1)) {
        Err(ScenarioError::Mistaken { mistakes }) => mistakes.iter().map(Mistake::to_string).collect(),
        other => panic!("{from} -> {to}: {other:?}"),
    }
}

#[test]
fn a_good_scenario_is_read() {
    let scenario = Scenario::parse("test.toml", GOOD).unwrap();
    assert_eq!((scenario.seed, scenario.group[0].count), (1, 3));
}

#[test]
fn each_mistake_is_told_with_its_place_and_what_was_meant() {
    let mut wrong = Vec::new();
    for (from, to, told) in [
        // Shape.
        (
            "latency",
            "latencie",
            "test.toml:14:1: link.line.latencie: unknown field `latencie`: did you mean `latency`?",
        ),
        (
            "20ms",
            "20 sex",
            "test.toml:14:11: link.line.latency: expected a duration such as \"5s\", \"1h 30m\" or \"7d\", found \"20 sex\"",
        ),
        ("\"20ms\"", "20", "test.toml:14:11: link.line.latency: invalid type: integer `20`, expected a duration"),
        ("crash", "crsh", "test.toml:17:8: event[0].kind: unknown variant `crsh`: did you mean `crash`?"),
        ("1m..5m", "5m..1m", "test.toml:19:9: event[0].lasts: expected a duration"),
        ("name = \"test\"\n", "", "test.toml:1:1: missing field `name`"),
        ("count = 3", "count = -3", "test.toml:10:9: group[0].count: invalid value: integer `-3`"),
        ("kind = \"crash\"\n", "", "test.toml:16:1: event[0]: missing field `kind`"),
        ("[heal]", "[heal", "test.toml:5:6: "),
        // Meaning.
        (
            "\"line\"]",
            "\"lien\"]",
            "test.toml:11:10: group[0].links[0]: no link is called `lien`; did you mean `line`?",
        ),
        ("node-{n}", "node", "test.toml:9:8: group[0].name: put `{n}` into the name: there are several"),
        ("\"test\"", "\"Test!\"", "test.toml:1:8: name: expected a name of lower-case letters"),
        ("within = \"10m\"", "within = \"2h\"", "test.toml:3:12: duration: healing must end within the duration"),
        ("lasts = \"1m..5m\"", "", "test.toml:17:8: event[0].kind: `crash` needs `lasts`"),
        (
            "lasts = ",
            "bits = 3\nlasts = ",
            "test.toml:19:8: event[0].bits: `bits` says nothing about `crash`, which takes lasts",
        ),
        (
            "rate = \"1/day\"",
            "",
            "test.toml:17:8: event[0].kind: say when it happens by one of `at`, `every` and `rate`",
        ),
        (
            "rate = \"1/day\"",
            "at = [\"2h\"]",
            "test.toml:18:7: event[0].at[0]: the world is healed at 50m, and nothing happens at or after it",
        ),
        (
            "rate = ",
            "on = [\"nod-1\"]\nrate = ",
            "test.toml:18:7: event[0].on[0]: no node or hub is called `nod-1`; did you mean `node-1`?",
        ),
        ("crash", "hub-split", "test.toml:17:8: event[0].kind: there is one hub, and no link between hubs"),
        ("kind = \"crash\"", "kind = \"override\"", "event[0].kind: overrides on site are not built yet"),
        (
            "[link.line]",
            "[link.line]\ncalendar = [\"x\"]",
            "test.toml:14:13: link.line.calendar[0]: no calendar is called `x`; there is none",
        ),
        ("[link.line]", "[link.line]\nmtu = 500", "test.toml:14:7: link.line.mtu: expected 1228 to 65535, found 500"),
        ("[heal]", "[depth.2]\nspeed = 5\n[heal]", "test.toml:6:9: depth.2.speed: only depth 3 runs in real time"),
        (
            "[heal]",
            "[calendar.a]\nkind = \"passes\"\nup = \"5m\"\ndays = [\"mon\"]\n[heal]",
            "test.toml:8:8: calendar.a.days: `days` says nothing about a calendar of this kind, which takes period, up, phase",
        ),
        (
            "[[event]]",
            "[[event]]\nkind = \"crash\"\nrate = \"1/day\"\nlasts = \"1s\"\n[[event]]",
            "test.toml:21:8: event[1].kind: `event[0]` draws under `crash` too: give one of them a `name`",
        ),
    ] {
        let all = mistakes(from, to);
        if !all.iter().any(|it| it.contains(told)) {
            wrong.push(format!("{from} -> {to}\n{told}\nnot in\n{}\n", all.join("\n")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_mistake_of_meaning_is_told_at_once_in_the_files_order() {
    let text = GOOD.replace("\"line\"]", "\"a\", \"b\"]").replace("1/day", "0/day");
    let Err(ScenarioError::Mistaken { mistakes }) = Scenario::parse("x", &text) else { panic!("was read") };
    assert_eq!(mistakes.iter().map(|it| it.line).collect::<Vec<_>>(), [11, 11, 18], "{mistakes:?}");
}

#[test]
fn a_scenario_that_does_not_exist_is_told_with_the_nearest_name() {
    let error = Scenario::load("offshore-windfarm").unwrap_err().to_string();
    assert!(error.contains("did you mean `offshore-wind-farm`?"), "{error}");
    let error = Scenario::load("nowhere/x.toml").unwrap_err().to_string();
    assert!(error.contains("`nowhere/x.toml`; `archipel-sim list`"), "{error}");
}

#[test]
fn a_file_is_read_by_its_path() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mine.toml");
    std::fs::write(&path, GOOD).unwrap();
    assert_eq!(Scenario::load(path.to_str().unwrap()).unwrap().name, "test");
}
