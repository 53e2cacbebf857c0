//! The scenarios that come with the simulator: they keep their schema, make plans at their depths, and between them rehearse
//! everything there is; and the guide says what the schema says.
#![expect(clippy::unwrap_used, reason = "a test ends where it meets what it does not expect")]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use simulator::plan::Plan;
use simulator::scenario::{Attack, CalendarKind, Depth, Kind, Scenario, list, schema, shipped};

fn all() -> Vec<Scenario> {
    shipped::ALL
        .iter()
        .map(|(name, text)| Scenario::parse(name, text).unwrap_or_else(|error| panic!("{error}")))
        .collect()
}

/// A scenario's file as JSON, as an editor sees it.
fn json(text: &str) -> serde_json::Value {
    serde_json::to_value(toml::from_str::<toml::Table>(text).unwrap()).unwrap()
}

#[test]
fn every_scenario_keeps_the_schema_and_bears_its_name() {
    let validator = jsonschema::validator_for(&schema::schema()).unwrap();
    assert!(shipped::ALL.len() >= 15 && shipped::ALL.is_sorted());
    for (name, text) in shipped::ALL {
        let problems: Vec<String> =
            validator.iter_errors(&json(text)).map(|it| format!("{}: {it}", it.instance_path())).collect();
        assert!(problems.is_empty(), "{name}: {problems:#?}");
        assert_eq!(Scenario::parse(name, text).unwrap().name, *name);
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    assert_eq!(std::fs::read_dir(folder).unwrap().count(), shipped::ALL.len(), "a file is not in `shipped::ALL`");
}

#[test]
fn the_schema_refuses_what_the_reader_refuses() {
    let validator = jsonschema::validator_for(&schema::schema()).unwrap();
    let good = shipped::text("two-hubs-split").unwrap();
    assert!(validator.is_valid(&json(good)));
    for (from, to) in [
        ("rehearses", "rehearsed"),
        ("latency = \"18ms\"", "latency = \"18 ms ago\""),
        ("latency = \"18ms\"", "latency = 18"),
        ("kind = \"hub-split\"", "kind = \"hub-splits\""),
        ("loss = \"0.3%\"", "loss = \"0.3\""),
        ("rate = \"6/day\"", "rate = \"6/year\""),
        ("count = 3", "count = -3"),
        ("lasts = \"2h..11h\"", "lasts = \"2h.. 11h\""),
    ] {
        assert!(good.contains(from), "{from}");
        let bad = good.replacen(from, to, 1);
        assert!(!validator.is_valid(&json(&bad)), "{to} passes the schema");
        assert!(Scenario::parse("bad.toml", &bad).is_err(), "{to} is read");
    }
}

#[test]
fn every_scenario_makes_moderate_plans_at_each_of_its_depths() {
    for scenario in all() {
        for depth in scenario.depths() {
            let name = &scenario.name;
            let plan = Plan::expand(&scenario, scenario.seed, depth).unwrap_or_else(|error| panic!("{name}: {error}"));
            let nodes = u32::try_from(plan.nodes.len()).unwrap();
            assert_eq!(nodes, scenario.node_count(depth), "{name} at {depth:?}");
            match depth {
                Depth::Machines => assert!(nodes <= 10_000, "{name}: {nodes}"),
                Depth::Stack => {
                    assert!((2..=12).contains(&nodes), "{name}: {nodes}");
                    assert!((20..4_000).contains(&plan.events.len()), "{name}: {} events", plan.events.len());
                }
                Depth::Live => {
                    assert!((2..=6).contains(&nodes), "{name}: {nodes}");
                    assert!(plan.heal_at.as_secs() <= 600, "{name} takes {:?}", plan.heal_at);
                }
            }
        }
        assert!(scenario.depths().contains(&Depth::Stack), "{}", scenario.name);
    }
}

#[test]
fn between_them_they_rehearse_everything_and_one_scenario_every_fault() {
    let all = all();
    let kinds = |scenario: &Scenario| scenario.event.iter().map(|source| source.kind).collect::<BTreeSet<_>>();
    let everything = kinds(all.iter().find(|scenario| scenario.name == "everything").unwrap());
    let wanted = Kind::ALL.into_iter().filter(|kind| !matches!(kind, Kind::Link | Kind::Override));
    let missing: Vec<Kind> = wanted.filter(|kind| !everything.contains(kind)).collect();
    assert!(missing.is_empty(), "`everything` lacks {missing:?}");
    let attacks: BTreeSet<Attack> = all.iter().flat_map(|it| &it.event).filter_map(|source| source.attack).collect();
    assert_eq!(attacks.len(), Attack::ALL.len(), "{attacks:?}");
    let calendars: Vec<CalendarKind> = all.iter().flat_map(|it| it.calendar.values()).map(|it| it.kind).collect();
    for kind in [CalendarKind::Passes, CalendarKind::Tunnels, CalendarKind::Hours, CalendarKind::Windows] {
        assert!(calendars.contains(&kind), "{kind:?}");
    }
}

#[test]
fn the_guide_has_the_fields_of_the_schema() {
    let guide = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/simulator.md")).unwrap();
    let (_, rest) = guide.split_once("<!-- fields: begin -->\n").unwrap();
    let (said, _) = rest.split_once("<!-- fields: end -->").unwrap();
    let real = schema::markdown();
    for (number, (said, real)) in said.trim().lines().zip(real.trim().lines()).enumerate() {
        let write = "write it anew: `archipel-sim schema --markdown`";
        assert_eq!(said, real, "line {} of the fields in docs/simulator.md; {write}", number + 1);
    }
    assert_eq!(said.trim().lines().count(), real.trim().lines().count());
}

#[test]
fn the_examples_of_the_guide_are_scenarios() {
    let guide = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/simulator.md")).unwrap();
    let examples: Vec<&str> = guide.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    let whole: Vec<&&str> = examples.iter().filter(|text| text.contains("rehearses =")).collect();
    assert!(!whole.is_empty());
    for text in whole {
        Scenario::parse("docs/simulator.md", text).unwrap_or_else(|error| panic!("{error}"));
    }
    // Parts of a file: read with a head before them.
    for text in examples.iter().filter(|text| !text.contains("rehearses =")) {
        let whole = format!("name = \"part\"\nrehearses = \"A part\"\nduration = \"7d\"\n{text}");
        Scenario::parse("docs/simulator.md", &whole).unwrap_or_else(|error| panic!("{error}\n{text}"));
    }
}

#[test]
fn the_mistakes_of_the_guide_are_what_the_reader_tells() {
    let guide = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/simulator.md")).unwrap();
    let ferries = guide.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    for (from, to) in [("latency", "latencie"), ("links = [\"wifi\"", "links = [\"wfi\"")] {
        let error = Scenario::parse("ferries.toml", &ferries.replacen(from, to, 1)).unwrap_err().to_string();
        let told = error.split(" Expected one of").next().unwrap();
        assert!(guide.contains(told), "{error}");
    }
}

#[test]
fn list_and_schema_are_printed() {
    let print = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_archipel-sim")).args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let table = print(&["list"]);
    assert!(shipped::ALL.iter().all(|(name, _)| table.contains(name)), "{table}");
    assert_eq!(table, format!("{}\n", list::table().unwrap()));
    assert_eq!(serde_json::from_str::<serde_json::Value>(&print(&["schema"])).unwrap(), schema::schema());
    assert_eq!(print(&["schema", "--markdown"]), schema::markdown());
}
