//! Tests of child processes, with the shell as the child.

use std::os::unix::process::ExitStatusExt;

use super::*;

const SOON: Duration = Duration::from_secs(10);

fn shell(folder: &tempfile::TempDir, script: &str) -> Spec {
    Spec {
        name: "shell".to_owned(),
        program: "/bin/sh".into(),
        arguments: vec!["-c".into(), script.into()],
        environment: Vec::new(),
        log: folder.path().join("shell.log"),
    }
}

#[tokio::test]
async fn readiness_is_a_line_in_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = Process::start(shell(&folder, "echo first; echo listening on 127.0.0.1:7; cat")).unwrap();
    assert_eq!(child.line("listening on ", SOON).await.unwrap(), "127.0.0.1:7");
    assert_eq!(child.kill().await.unwrap().signal(), Some(9));
}

#[tokio::test]
async fn a_line_of_an_earlier_start_does_not_count() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = Process::start(shell(&folder, "echo ready 1; cat")).unwrap();
    assert_eq!(child.line("ready ", SOON).await.unwrap(), "1");
    child.restart(shell(&folder, "echo ready 2; cat")).await.unwrap();
    assert_eq!(child.line("ready ", SOON).await.unwrap(), "2");
}

#[tokio::test]
async fn waiting_for_a_child_does_not_end_its_input() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = Process::start(shell(&folder, "echo ready; cat; echo input ended")).unwrap();
    child.line("ready", SOON).await.unwrap();
    assert_eq!(child.end(Duration::from_millis(50)).await, None);
    assert_eq!(child.kill().await.unwrap().signal(), Some(9));
}

#[tokio::test]
async fn a_child_that_ends_early_is_quoted() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = Process::start(shell(&folder, "echo the disk is full >&2; exit 3")).unwrap();
    let error = child.line("ready", SOON).await.unwrap_err().to_string();
    assert!(error.contains("the disk is full") && error.contains('3'), "{error}");
}

#[tokio::test]
async fn a_polite_stop_lets_the_child_clean_up() {
    let folder = tempfile::tempdir().unwrap();
    let script = "trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.01; done";
    let mut child = Process::start(shell(&folder, script)).unwrap();
    child.line("ready", SOON).await.unwrap();
    assert!(child.stop(SOON).await.unwrap().success());
    assert!(child.output().contains("bye"));
}

#[tokio::test]
async fn a_child_that_ignores_the_stop_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let script = "trap '' TERM; echo ready; while :; do sleep 0.01; done";
    let mut child = Process::start(shell(&folder, script)).unwrap();
    child.line("ready", SOON).await.unwrap();
    assert_eq!(child.stop(Duration::from_millis(50)).await.unwrap().signal(), Some(9));
}

#[tokio::test]
async fn a_dropped_child_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = Process::start(shell(&folder, "echo ready; exec cat")).unwrap();
    child.line("ready", SOON).await.unwrap();
    let id = child.child.id().unwrap().to_string();
    drop(child);
    until("the child's end", SOON, async || {
        let alive = Command::new("sh").args(["-c", "kill -0 \"$1\" 2>&1", "sh", &id]).output().await.unwrap();
        if alive.status.success() { Err("it runs".to_owned()) } else { Ok(()) }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_condition_that_never_holds_meets_its_deadline() {
    let error = until::<()>("rain", Duration::from_millis(30), async || Err("sunshine".to_owned())).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("rain") && text.contains("sunshine"), "{text}");
}
