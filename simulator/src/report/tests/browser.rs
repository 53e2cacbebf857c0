//! The page in a real browser, when there is one.

use std::io::Write;
use std::time::Duration;

use super::*;
use crate::process::{Spec, run_to_end};

/// Names the browser. Where it is set, the browser must be there.
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

/// What the browser made of the page, with something more at its end; `None`, said aloud, without a browser.
fn rendered(folder: &Path, report: &Report, more: &str) -> Option<String> {
    let Some(program) = browser() else {
        // Past the harness, which hides what tests that pass print.
        let why = format!("skipped: no Chromium in PATH, so no page was looked at; install it or set {VARIABLE}\n");
        io::stderr().write_all(why.as_bytes()).unwrap();
        return None;
    };
    let path = folder.join("page.html");
    std::fs::write(&path, page(report) + more).unwrap();
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

/// The first attribute of this name.
fn attribute<'a>(dom: &'a str, name: &str) -> &'a str {
    let (_, rest) = dom.split_once(&format!(" {name}=\"")).unwrap_or_default();
    rest.split('"').next().unwrap_or_default()
}

#[test]
fn a_browser_shows_a_row_a_lane_and_a_state_for_each_member() {
    let folder = tempfile::tempdir().unwrap();
    let traces = [recorded(folder.path(), "a.jsonl", 5)];
    let other = [recorded(folder.path(), "b.jsonl", 6)];
    let Some(dom) = rendered(folder.path(), &read(&traces, &other).unwrap(), "") else { return };
    assert!(dom.contains("data-ready=\"yes\""), "the page's script did not come to its end");
    assert!(dom.contains("id=\"problem\" class=\"bad\" role=\"alert\"></p>"), "the page says that it is broken");
    // Both runs, each with its hub and two nodes.
    assert_eq!(dom.matches("<tr data-member=").count(), 6);
    assert_eq!(dom.matches("<g data-lane=").count(), 6);
    assert_eq!(dom.matches("data-lane=\"van-2\"").count(), 2);
    assert_eq!(dom.matches("data-measure=").count(), 5);
    assert_eq!(dom.matches("no figures of bytes").count(), 1, "only the script says so");
    assert!(!dom.contains(">NaN") && !dom.contains("undefined</"), "a figure is none");
}

/// Moves the slider, and presses the key for the next event.
const HANDS: &str = r#"<script>
const slider = document.getElementById("at");
slider.value = 61000;
slider.dispatchEvent(new Event("input"));
document.body.dataset.van = document.querySelector("tr[data-member=van]").textContent;
dispatchEvent(new KeyboardEvent("keydown", { key: "." }));
document.body.dataset.next = document.getElementById("clock").textContent;
</script>"#;

#[test]
fn a_browser_shows_what_was_the_case_at_the_time_of_the_slider() {
    let folder = tempfile::tempdir().unwrap();
    let traces = [written(folder.path(), "a.jsonl", &story())];
    let Some(dom) = rendered(folder.path(), &read(&traces, &[]).unwrap(), HANDS) else { return };
    // It runs, no link is up, it still believes to talk to the hub, lacks the release of this second, and has its bytes.
    assert_eq!(attribute(&dom, "data-van"), "vanrunsnonehubv2 of v3101 B500 B");
    // Then it is killed.
    assert_eq!(attribute(&dom, "data-next"), "00:01:02");
}

#[test]
fn a_browser_runs_no_script_of_a_trace() {
    let folder = tempfile::tempdir().unwrap();
    let traces = [written(folder.path(), "a.jsonl", &hostile())];
    let Some(dom) = rendered(folder.path(), &read(&traces, &[]).unwrap(), "") else { return };
    assert!(dom.contains("data-ready=\"yes\""), "the page's script did not come to its end");
    assert!(!dom.contains("data-taken"), "the page ran what a trace said");
    assert_eq!(dom.matches("<tr data-member=").count(), 3);
}

#[test]
fn a_browser_shows_a_page_without_anything_in_its_trace() {
    let folder = tempfile::tempdir().unwrap();
    let traces = [written(folder.path(), "a.jsonl", &[])];
    let Some(dom) = rendered(folder.path(), &read(&traces, &[]).unwrap(), "") else { return };
    assert!(dom.contains("data-ready=\"yes\""), "the page's script did not come to its end");
    assert_eq!(dom.matches("<tr data-member=").count(), 0);
}
