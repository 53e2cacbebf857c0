//! A scenario at depth 3: hubs and agents as processes behind the proxy, with a verdict, a trace and nothing left behind.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::{Command, Output, Stdio};

use simulator::trace::{Happening, Work, read};

/// A minute in six seconds: a link with a loose contact, work, and each kind of accident that processes can have.
const SCENARIO: &str = r#"
name = "loose-contact"
rehearses = "Two agents behind a loose contact, killed, stopped and set back, hold what was released when it is mended"
duration = "3m"
[heal]
at = "1m"
within = "90s"
[depth.3]
nodes = 2
speed = 6
[[group]]
name = "gate-{n}"
count = 2
layers = ["base"]
links = ["loose", "backup"]
[link.loose]
calendar = ["contact"]
latency = "3ms"
jitter = "2ms"
loss = "1%"
duplication = "0.5%"
reordering = "1%"
corruption = "0.1%"
[link.backup]
latency = "20ms"
to_hub = "1Mbit/s"
to_node = "1Mbit/s"
nat_idle = "2s"
[calendar.contact]
kind = "tunnels"
up = "3s..30s mean 10s"
down = "2s..10s mean 5s"
[[layer]]
name = "base"
objects = 6
size = "6kB"
[[event]]
kind = "edit"
layer = "base"
every = "10s"
from = "5s"
[[event]]
kind = "restart"
on = ["gate-1"]
at = ["15s"]
[[event]]
kind = "crash"
on = ["gate-1"]
at = ["25s"]
lasts = "5s"
[[event]]
kind = "pause"
on = ["gate-2"]
at = ["28s"]
lasts = "4s"
[[event]]
kind = "restore-backup"
on = ["gate-2"]
at = ["45s"]
age = "20s"
[[event]]
kind = "hub-crash"
at = ["50s"]
lasts = "3s"
[[event]]
kind = "target-edit"
on = ["gate-1"]
at = ["40s"]
[[event]]
kind = "clock-1970"
on = ["gate-1"]
at = ["12s"]
"#;

fn simulator(arguments: &[&str], folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_archipel-sim"));
    command.args(arguments).current_dir(folder).stdin(Stdio::null());
    // The work folder is made in this one, so that what is left in it can be seen.
    command.env("TMPDIR", folder);
    command
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn a_scenario_runs_on_processes_and_its_trace_can_be_drawn() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("loose.toml"), SCENARIO).unwrap();
    let run =
        simulator(&["run", "loose.toml", "--depth", "3", "--trace", "loose.jsonl"], folder.path()).output().unwrap();
    let told = text(&run);
    assert!(run.status.success(), "{told}");
    for line in [
        "loose-contact, seed 1, depth 3: 2 nodes, 1 hubs as processes, 6 times faster",
        "edit             6 planned, 6 took effect",
        "crash            2 planned, 2 took effect",
        "pause            1 planned, 1 took effect",
        "restore-backup   1 planned, 1 took effect",
        "1 clock-1970: no place at depth 3",
        "all agreed",
    ] {
        assert!(told.contains(line), "no `{line}` in\n{told}");
    }
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "only the scenario and the trace are left, but there is {left:?}");

    let trace = std::fs::read(folder.path().join("loose.jsonl")).unwrap();
    let entries: Vec<_> = read(&*trace).unwrap().map(|entry| entry.unwrap().what).collect();
    let count = |is: &dyn Fn(&Happening) -> bool| entries.iter().filter(|what| is(what)).count();
    assert_eq!(count(&|what| *what == Happening::Agreed), 1);
    // Each process once, and again after each accident.
    assert_eq!(count(&|what| matches!(what, Happening::Started { .. })), 3 + 4);
    assert!(count(&|what| matches!(what, Happening::Work { work: Work::Release { .. }, .. })) >= 5);
    for node in ["gate-1", "gate-2"] {
        assert!(count(&|what| matches!(what, Happening::Applied { member, .. } if **member == *node)) > 0, "{node}");
        assert!(count(&|what| matches!(what, Happening::LinkLive { member, .. } if **member == *node)) > 0, "{node}");
    }
    let drawn = simulator(&["report", "loose.jsonl", "--out", "loose.html"], folder.path()).output().unwrap();
    assert!(drawn.status.success(), "{}", text(&drawn));
    assert!(std::fs::read_to_string(folder.path().join("loose.html")).unwrap().contains("gate-2"));
}

#[test]
fn a_run_that_is_told_to_stop_leaves_no_process_behind() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("loose.toml"), SCENARIO).unwrap();
    // A minute up to the healing, of which this sees the first seconds.
    let arguments = ["live", "loose.toml", "--speed", "1", "--trace", "loose.jsonl"];
    let mut run = simulator(&arguments, folder.path()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let waits = std::time::Duration::from_secs(30);
    let grown = runtime.block_on(simulator::process::until("hub and agents to run", waits, async || {
        let all = processes_in(folder.path());
        if all.len() >= 3 { Ok(all) } else { Err(format!("{all:?}")) }
    }));
    let asked = Command::new("sh").args(["-c", "kill -s INT \"$1\"", "sh", &run.id().to_string()]).status().unwrap();
    assert!(grown.is_ok() && asked.success());
    assert_eq!(run.wait().unwrap().code(), Some(130));
    let gone = runtime.block_on(simulator::process::until("all processes to be gone", waits, async || {
        let all = processes_in(folder.path());
        if all.is_empty() { Ok(()) } else { Err(format!("{all:?}")) }
    }));
    gone.unwrap();
}

/// Processes whose command line names something in a folder.
fn processes_in(folder: &Path) -> Vec<String> {
    let folder = folder.display().to_string();
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = all.filter_map(|entry| std::fs::read_to_string(entry.path().join("cmdline")).ok());
    lines.filter(|line| line.contains(&folder)).collect()
}

#[test]
fn a_fleet_that_is_too_large_for_one_machine_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("loose.toml"), SCENARIO.replace("nodes = 2\n", "nodes = 7\n")).unwrap();
    let run = simulator(&["run", "loose.toml", "--depth", "3"], folder.path()).output().unwrap();
    assert_eq!(run.status.code(), Some(1));
    assert!(text(&run).contains("at most 6 nodes and 2 hubs"), "{}", text(&run));
    let run = simulator(&["run", "flapping-link", "--depth", "2", "--speed", "2"], folder.path()).output().unwrap();
    assert!(!run.status.success() && text(&run).contains("`--speed` is for depth 3"), "{}", text(&run));
}
