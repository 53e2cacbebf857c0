//! The measurements run at tiny sizes, on this program's own processes, and write their pages.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::Command;

fn run(arguments: &[&str], out: &Path) -> String {
    let output =
        Command::new(env!("CARGO_BIN_EXE_archipel-sim")).arg("bench").args(arguments).arg("--out").arg(out).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let page = std::fs::read_to_string(out).unwrap();
    assert!(page.contains("archipel-sim") || page.contains("cargo run"), "{page}");
    page
}

#[test]
fn synchronisation_is_measured_against_every_peer_in_this_workspace() {
    let folder = tempfile::tempdir().unwrap();
    let page = run(&["sync", "--quick", "--peers", "none"], &folder.path().join("sync.md"));
    for title in [
        "Reconnect with nothing changed",
        "A node that was offline",
        "Changes of two hubs to one layer that must all travel",
        "Two hubs after one was restored",
        "A document updated every five seconds",
        "Changes made durable at the hub",
        "A hub with documents at rest",
        "What a node costs the hub",
    ] {
        let section = page.split("\n## ").find(|section| section.starts_with(title));
        let rows = section.unwrap_or_default().lines().filter(|line| line.starts_with("| ")).count();
        assert!(rows >= 3, "`{title}` has {rows} rows:\n{page}");
    }
}

#[test]
fn agents_of_one_process_join_run_and_take_a_release() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["agents", "--nodes", "3", "--idle-seconds", "1", "--interval-ms", "200"];
    let page = run(&arguments, &folder.path().join("agents.md"));
    assert!(page.lines().any(|line| line.starts_with("| 3 |")), "{page}");
}

#[test]
fn a_peers_program_that_is_not_there_leaves_the_other_figures() {
    let folder = tempfile::tempdir().unwrap();
    let nowhere = folder.path().join("nowhere").display().to_string();
    let arguments = ["sync", "--quick", "--only", "restored", "--peers", &nowhere];
    let page = run(&arguments, &folder.path().join("sync.md"));
    assert!(page.contains("| listing all"), "{page}");
}
