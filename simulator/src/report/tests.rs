//! Reports say exactly what their traces say, and the page shows it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use sync_core::id::NodeId;
use sync_core::state::observed::Stamp;

use super::*;
use crate::plan::Plan;
use crate::rehearse::record::record;
use crate::scenario::{Depth, Scenario};
use crate::trace::{Ended, Happening, Header, Sample, Told, Trace, Work};

mod browser;

const TWO: &str = "name = \"two\"\nrehearses = \"Two nodes and a tunnel\"\nduration = \"40m\"\n[heal]\nwithin = \"30m\"\n\
    [[group]]\nname = \"van-{n}\"\ncount = 2\nlayers = [\"base\"]\n[[layer]]\nname = \"base\"\n\
    [[event]]\nkind = \"edit\"\nlayer = \"base\"\nat = [\"5m\"]\n\
    [[event]]\nname = \"tunnel\"\nkind = \"cut\"\non = [\"van-2\"]\nat = [\"4m\"]\nlasts = \"3m\"\n\
    [[event]]\nkind = \"power-loss\"\non = [\"van-1\"]\nat = [\"8m\"]\nlasts = \"30s\"\n";

fn applied(member: &str, version: u64) -> Happening {
    let stamp = |version| Stamp { version, heads: String::new() };
    Happening::Applied { member: member.into(), assignment: stamp(1), release: stamp(version) }
}

fn sample(member: &str, payload: u64, datagrams: u64) -> Happening {
    let sample = Sample { payload_in: payload, payload_out: 1, datagrams_in: datagrams, ..Sample::default() };
    Happening::Sample { member: member.into(), sample }
}

fn started(member: &str, id: u8, is_hub: bool) -> Happening {
    Happening::Started { member: member.into(), boot: 1, node: NodeId([id; 32]), is_hub, clock_is_wrong: false }
}

fn release(version: u64) -> Happening {
    Happening::Work { member: "hub".into(), work: Work::Release { version } }
}

fn link(is_up: bool, profile: &str) -> Happening {
    Happening::Link { from: "van".into(), to: "hub".into(), is_up, profile: profile.into() }
}

/// Seconds, and what happens then, to one van and its hub.
fn story() -> Vec<(u64, Happening)> {
    let fault = |kind: &str| Happening::Fault { member: "van".into(), kind: kind.into(), mattered: false };
    let over = |kind: &str| Happening::FaultEnded { member: "van".into(), kind: kind.into(), mattered: true };
    let document = Told::Changed("layer base".to_owned());
    vec![
        (0, started("hub", 1, true)),
        (0, release(1)),
        (0, link(true, "wifi")),
        (1, started("van", 2, false)),
        (2, Happening::LinkLive { member: "van".into(), peer: NodeId([1; 32]) }),
        (10, applied("van", 1)),
        (20, release(2)),
        (25, Happening::Replica { member: "van".into(), event: document }),
        (30, applied("van", 2)),
        (31, sample("van", 100, 500)),
        (40, link(true, "vsat")),
        (50, fault("disk-full")),
        (55, fault("nat-rebind")),
        (60, over("disk-full")),
        (60, fault("link-down")),
        (60, link(false, "vsat")),
        (60, release(3)),
        (62, Happening::Stopped { member: "van".into(), how: Ended::Killed }),
        (70, release(4)),
        (80, started("van", 2, false)),
        (90, Happening::Healed),
        (90, link(true, "wifi")),
        (95, applied("van", 4)),
        (96, sample("van", 30, 900)),
        (100, release(5)),
        (110, Happening::Agreed),
        (110, Happening::Stopped { member: "van".into(), how: Ended::InOrder }),
        (111, Happening::Stopped { member: "hub".into(), how: Ended::InOrder }),
    ]
}

fn written(folder: &Path, name: &str, entries: &[(u64, Happening)]) -> PathBuf {
    let path = folder.join(name);
    let file = File::create(&path).unwrap();
    let mut trace = Trace::with_writer(0, &Header::new(7, 2, TWO.to_owned()), Box::new(file)).unwrap();
    for (second, what) in entries {
        trace.push(second * 1_000_000, what.clone());
    }
    trace.finish().unwrap();
    path
}

/// The trace of a tiny run on the real stack.
fn recorded(folder: &Path, name: &str, seed: u64) -> PathBuf {
    let scenario = Scenario::parse("two.toml", TWO).unwrap();
    let path = folder.join(name);
    let outcome = record(&Plan::expand(&scenario, seed, Depth::Stack).unwrap(), &path, |_| ()).unwrap();
    assert_eq!(outcome.broken, Vec::<String>::new());
    path
}

#[test]
fn a_story_is_what_the_trace_says() {
    let folder = tempfile::tempdir().unwrap();
    let report = read(&[written(folder.path(), "a.jsonl", &story())], &[]).unwrap();
    let run = &report.sets[0].runs[0];
    assert_eq!((run.label.as_str(), run.seed.as_str(), run.scenario.as_str()), ("a.jsonl", "7", "two"));
    assert_eq!((run.end, run.healed, run.agreed), (110_000, Some(90_000), Some(110_000)));
    let story = run.story.as_ref().unwrap();
    let releases = [(0, 1), (20_000, 2), (60_000, 3), (70_000, 4), (100_000, 5)];
    assert_eq!(story.releases, releases);
    let [hub, van] = &story.members[..] else { panic!("{:?}", story.members) };
    assert_eq!((hub.name.as_str(), hub.is_hub, &hub.runs[..]), ("hub", true, &[Span(0, 110_000)][..]));
    assert_eq!(van.runs, [Span(1_000, 62_000), Span(80_000, 110_000)]);
    assert_eq!(van.applied, [(10_000, 1), (30_000, 2), (95_000, 4)]);
    let fault = |kind: &str, from, to, mattered| Fault { kind: kind.to_owned(), span: Span(from, to), mattered };
    let faults = [fault("disk-full", 50_000, 60_000, true), fault("nat-rebind", 55_000, 55_000, false)];
    assert_eq!(van.faults, faults);
    let spell = |from, to, profile: &str| (from, to, profile.to_owned());
    let up = vec![spell(0, 40_000, "wifi"), spell(40_000, 60_000, "vsat"), spell(90_000, 110_000, "wifi")];
    assert_eq!(van.links, [Link { to: "hub".to_owned(), up }]);
    assert_eq!(van.talks, [Link { to: "hub".to_owned(), up: vec![spell(2_000, 62_000, "")] }]);
    assert_eq!(van.bytes, [[31_000, 100, 1, 500, 0], [96_000, 100, 1, 900, 0]]);
    let words: Vec<&str> = story.log.iter().map(|it| it.text.as_str()).collect();
    assert_eq!(words[..2], ["hub started (boot 1)", "hub made release v1"]);
    assert_eq!(words.last(), Some(&"all honest members agree"));
    assert!(words.iter().all(|text| !text.contains("link") && !text.contains("newer")), "{words:?}");
}

#[test]
fn figures_are_what_the_trace_comes_to() {
    let folder = tempfile::tempdir().unwrap();
    let report = read(&[written(folder.path(), "a.jsonl", &story())], &[]).unwrap();
    let figures = &report.sets[0].runs[0].figures;
    assert_eq!(figures.convergence, Some(20_000));
    // Release 2 after 10 s, 3 after 35 s, 4 after 25 s; 5 not at all.
    assert_eq!((&figures.lateness[..], figures.never), (&[10_000, 35_000, 25_000][..], 1));
    // From 20 s to 30 s, from 60 s to 95 s, and from 100 s to the end at 110 s, of the 100 s since 10 s.
    assert_eq!(figures.behind, [5_500]);
    assert_eq!((&figures.payload[..], &figures.wire[..]), (&[101][..], &[900][..]));
    let lateness = &report.sets[0].measures[1];
    assert_eq!((lateness.kind, lateness.count, lateness.missing, lateness.mean), (Kind::Lateness, 3, 1, 23_333));
    let percentiles = [0, 33, 34, 66, 67, 100].map(|percent| lateness.percentiles[percent]);
    assert_eq!(percentiles, [10_000, 10_000, 25_000, 25_000, 35_000, 35_000]);
}

#[test]
fn a_trace_without_anything_has_a_report() {
    let folder = tempfile::tempdir().unwrap();
    let report = read(&[written(folder.path(), "a.jsonl", &[])], &[]).unwrap();
    assert_eq!(report.sets[0].measures.iter().map(|it| it.count).sum::<usize>(), 0);
    assert_eq!((report.sets[0].measures[0].missing, &report.sets[0].measures[0].percentiles[..]), (1, &[][..]));
    assert!(page(&report).contains("\"members\":[]"));
}

#[test]
fn what_failed_keeps_its_timeline_when_there_are_too_many() {
    let folder = tempfile::tempdir().unwrap();
    let mut paths: Vec<PathBuf> =
        (0..STORIES_MAX + 2).map(|n| written(folder.path(), &format!("{n}.jsonl"), &story())).collect();
    let broken = Happening::Broken { invariant: 3, sentence: "lost".to_owned() };
    paths.push(written(folder.path(), "bad.jsonl", &[(1, broken)]));
    let report = read(&paths, &[]).unwrap();
    let told: Vec<bool> = report.sets[0].runs.iter().map(|run| run.story.is_some()).collect();
    assert_eq!(report.left_out, 3);
    assert_eq!(told.iter().filter(|told| **told).count(), STORIES_MAX);
    assert!(told[0] && told[STORIES_MAX + 2] && !told[STORIES_MAX - 1], "{told:?}");
    assert_eq!(report.sets[0].runs[STORIES_MAX + 2].broken, ["invariant 3 is broken: lost"]);
}

#[test]
fn traces_of_one_name_are_told_apart_and_sets_too() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("new")).unwrap();
    let (old, new) = (written(folder.path(), "a.jsonl", &story()), written(folder.path(), "new/a.jsonl", &story()));
    let report = read(std::slice::from_ref(&old), std::slice::from_ref(&new)).unwrap();
    let labels: Vec<&str> = report.sets.iter().flat_map(|set| &set.runs).map(|run| run.label.as_str()).collect();
    assert_eq!(labels, [old.to_str().unwrap(), new.to_str().unwrap()]);
    assert_eq!(report.sets.iter().map(|set| set.name.as_str()).collect::<Vec<_>>(), ["runs", "compared with"]);
}

#[test]
fn a_file_that_is_no_trace_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.jsonl");
    let failure = |path: &PathBuf| read(std::slice::from_ref(path), &[]).unwrap_err().to_string();
    assert!(failure(&path).starts_with(&path.display().to_string()), "{}", failure(&path));
    std::fs::write(&path, "{}\n").unwrap();
    assert!(failure(&path).contains("x.jsonl: line 1 of the trace: not the header"), "{}", failure(&path));
    std::fs::write(&path, serde_json::to_string(&Header::new(1, 2, "name = 3".to_owned())).unwrap()).unwrap();
    assert!(failure(&path).contains("the scenario in its header"), "{}", failure(&path));
}

/// What a hostile trace may call things.
const SCRIPT: &str = "</script><script>document.body.dataset.taken='yes'</script><!--\u{2028}&lt;{{REPORT}}";

fn hostile() -> Vec<(u64, Happening)> {
    let mut entries = story();
    entries.insert(3, (0, started(SCRIPT, 9, false)));
    entries.insert(4, (0, applied(SCRIPT, 1)));
    entries.push((120, sample(SCRIPT, u64::MAX, u64::MAX)));
    entries.push((120, Happening::Failed { member: SCRIPT.into(), message: SCRIPT.to_owned() }));
    entries.push((120, Happening::Broken { invariant: 1, sentence: SCRIPT.to_owned() }));
    entries
}

#[test]
fn no_name_breaks_out_of_the_page() {
    let folder = tempfile::tempdir().unwrap();
    let report = read(&[written(folder.path(), "a.jsonl", &hostile())], &[]).unwrap();
    let page = page(&report);
    let harmless = super::page(&Report::new(Vec::new(), 0));
    let count = |text: &str, what: &str| text.matches(what).count();
    for mark in ["<script", "</script", "<!--"] {
        assert_eq!(count(&page, mark), count(&harmless, mark), "{mark}");
    }
    let (_, rest) = page.split_once("type=\"application/json\">").unwrap();
    let (json, _) = rest.split_once("</script>").unwrap();
    let value: serde_json::Value = serde_json::from_str(json).unwrap();
    assert_eq!(value, serde_json::to_value(&report).unwrap());
    assert_eq!(value["sets"][0]["runs"][0]["story"]["members"][1]["name"], SCRIPT);
}

#[test]
fn the_page_asks_no_network_for_anything() {
    let folder = tempfile::tempdir().unwrap();
    let page = page(&read(&[written(folder.path(), "a.jsonl", &story())], &[]).unwrap());
    for reference in ["http:", "https:", "//cdn", "src=", "href=", "@import", "url(", "fetch(", "import("] {
        assert!(!page.contains(reference), "{reference}");
    }
    assert!(page.contains("default-src 'none'"));
}

#[test]
fn a_run_on_the_real_stack_tells_releases_bytes_and_lateness() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options {
        traces: vec![recorded(folder.path(), "a.jsonl", 5)],
        compare: Vec::new(),
        out: folder.path().join("report.html"),
    };
    let report = write(&options).unwrap();
    let run = &report.sets[0].runs[0];
    let story = run.story.as_ref().unwrap();
    let nodes: Vec<&Member> = story.members.iter().filter(|member| !member.is_hub).collect();
    assert_eq!(nodes.len(), 2);
    assert_eq!(story.releases.len(), 2, "one at the begin, one by the edit");
    for node in nodes {
        assert_eq!(node.applied.last().map(|it| it.1), story.releases.last().map(|it| it.1), "{node:?}");
        assert!(node.bytes.last().is_some_and(|it| it[1] > 0 && it[3] > it[1]), "{:?}", node.bytes);
        assert!(node.bytes.is_sorted_by_key(|it| it[3]), "{:?}", node.bytes);
    }
    let late: BTreeMap<usize, u64> = run.figures.lateness.iter().copied().enumerate().collect();
    assert_eq!((late.len(), run.figures.never), (2, 0));
    // The one in the tunnel waits for two minutes at least; the other has it within a pass.
    assert!(late.values().any(|late| *late > 120_000) && late.values().any(|late| *late < 90_000), "{late:?}");
    assert_eq!(std::fs::read_to_string(&options.out).unwrap(), page(&report));
}
