//! The page in a real browser, when there is one.

use std::io::Write;
use std::time::Duration;

use super::*;
use crate::process::{Spec, run_to_end};

/// Names it the browser, when that is not found by itself.
const VARIABLE: &str = "ARCHIPEL_SIM_BROWSER";

/// A start takes seconds, on a busy machine more.
const WITHIN: Duration = Duration::from_secs(120);

fn browser() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os(VARIABLE) {
        return Some(named.into());
    }
    let folders: Vec<PathBuf> = std::env::split_paths(&std::env::var_os("PATH")?).collect();
    let names = ["chromium", "chromium-browser", "google-chrome", "chrome-headless-shell"];
    names.iter().find_map(|name| folders.iter().map(|folder| folder.join(name)).find(|path| path.is_file()))
}

/// What the browser made of the page; `None`, said aloud, without a browser.
fn rendered(folder: &Path, report: &Report) -> Option<String> {
    let Some(program) = browser() else {
        // Past the harness, which hides what tests that pass print.
        let why = format!("skipped: no Chromium in PATH, so no page was looked at; install it or set {VARIABLE}\n");
        io::stderr().write_all(why.as_bytes()).unwrap();
        return None;
    };
    let path = folder.join("page.html");
    std::fs::write(&path, page(report)).unwrap();
    let profile = format!("--user-data-dir={}", folder.join("profile").display());
    let address = format!("file://{}", path.display());
    let fixed =
        ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--virtual-time-budget=3000"];
    let arguments =
        fixed.into_iter().chain([profile.as_str(), "--dump-dom", address.as_str()]).map(Into::into).collect();
    let spec =
        Spec { name: "the browser".to_owned(), program, arguments, environment: Vec::new(), log: folder.join("log") };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let output = runtime.block_on(run_to_end(&spec, WITHIN)).unwrap();
    let dom = String::from_utf8(output.stdout).unwrap();
    assert!(dom.contains("<html"), "the browser printed no page: {}", String::from_utf8_lossy(&output.stderr));
    Some(dom)
}

#[test]
fn a_browser_shows_a_row_a_lane_and_a_state_for_each_member() {
    let folder = tempfile::tempdir().unwrap();
    let traces = [recorded(folder.path(), "a.jsonl", 5)];
    let other = [recorded(folder.path(), "b.jsonl", 6)];
    let Some(dom) = rendered(folder.path(), &read(&traces, &other).unwrap()) else { return };
    assert!(dom.contains("data-ready=\"yes\""), "the page's script did not come to its end");
    assert!(dom.contains("id=\"problem\" class=\"bad\" role=\"alert\"></p>"), "the page says that it is broken");
    // Both runs, each with its hub and two nodes.
    assert_eq!(dom.matches("<tr data-member=").count(), 6);
    assert_eq!(dom.matches("<g data-lane=").count(), 6);
    assert_eq!(dom.matches("data-lane=\"van-2\"").count(), 2);
    assert_eq!(dom.matches("data-measure=").count(), 5);
    assert!(
        !dom.contains("no figures of bytes") || dom.matches("no figures of bytes").count() == 1,
        "only in the script"
    );
    assert!(!dom.contains(">NaN") && !dom.contains("undefined</"), "a figure is none");
}

#[test]
fn a_browser_runs_no_script_of_a_trace() {
    let folder = tempfile::tempdir().unwrap();
    let traces = [written(folder.path(), "a.jsonl", &hostile())];
    let Some(dom) = rendered(folder.path(), &read(&traces, &[]).unwrap()) else { return };
    assert!(dom.contains("data-ready=\"yes\""), "the page's script did not come to its end");
    assert!(!dom.contains("data-taken"), "the page ran what a trace said");
    assert_eq!(dom.matches("<tr data-member=").count(), 3);
}

#[test]
fn a_browser_shows_a_page_without_anything_in_its_trace() {
    let folder = tempfile::tempdir().unwrap();
    let traces = [written(folder.path(), "a.jsonl", &[])];
    let Some(dom) = rendered(folder.path(), &read(&traces, &[]).unwrap()) else { return };
    assert!(dom.contains("data-ready=\"yes\""), "the page's script did not come to its end");
    assert_eq!(dom.matches("<tr data-member=").count(), 0);
}
