//! What a live run shows: its steps while it runs, one table at its end.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use comfy_table::{Table, presets};
use indicatif::{ProgressBar, ProgressStyle};

use crate::commands::{NodeRow, Versions};
use crate::proxy::{LinkState, Way};

/// How often the spinner moves.
const SPIN_EVERY: Duration = Duration::from_millis(100);

/// Shows steps: a spinner on a terminal, one line when a step is done elsewhere.
#[derive(Debug)]
pub struct Steps {
    spinner: Option<ProgressBar>,
    started: Instant,
}

impl Steps {
    /// Begins to show steps.
    #[must_use]
    pub fn new() -> Self {
        let spinner = std::io::stdout().is_terminal().then(|| {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_msg}") {
                bar.set_style(style);
            }
            bar.enable_steady_tick(SPIN_EVERY);
            bar
        });
        Self { spinner, started: Instant::now() }
    }

    /// Says what is being done. Shown on a terminal only.
    pub fn doing(&self, what: &str) {
        if let Some(bar) = &self.spinner {
            bar.set_message(what.to_owned());
        }
    }

    /// Says what was done.
    pub fn done(&self, what: &str) {
        self.print(&format!("{:6.2}s  {what}", self.started.elapsed().as_secs_f64()));
    }

    /// Prints text above the spinner.
    pub fn print(&self, text: &str) {
        match &self.spinner {
            Some(bar) => bar.println(text),
            None => println!("{text}"),
        }
    }
}

impl Default for Steps {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Steps {
    fn drop(&mut self) {
        if let Some(bar) = &self.spinner {
            bar.finish_and_clear();
        }
    }
}

/// The final table: one row a node.
///
/// "payload" is what the hub counts of messages, "on the wire" what the proxy counts of UDP payloads, QUIC's own included.
pub fn table<'a>(rows: impl IntoIterator<Item = (&'a NodeRow, &'a LinkState)>) -> String {
    let mut table = Table::new();
    table.load_style(presets::UTF8_BORDERS_ONLY).set_header([
        "node",
        "link",
        "desired",
        "applied",
        "health",
        "payload in/out",
        "on the wire in/out",
        "round trips",
    ]);
    for (row, link) in rows {
        table.add_row([
            row.name.clone(),
            row.link.clone(),
            versions(row.desired.as_ref()),
            versions(row.applied.as_ref()),
            health(row.health.as_ref()),
            format!("{} / {} B", row.payload_bytes_in, row.payload_bytes_out),
            format!("{} / {} B", link.counted(Way::ToHub).bytes, link.counted(Way::ToNode).bytes),
            row.round_trips.to_string(),
        ]);
    }
    table.to_string()
}

/// `assignment.release`, for example `1.4`.
fn versions(versions: Option<&Versions>) -> String {
    let number = |version: Option<u64>| version.map_or_else(|| "-".to_owned(), |version| version.to_string());
    versions.map_or_else(
        || "-".to_owned(),
        |both| format!("{}.{}", number(both.assignment_version), number(both.release_version)),
    )
}

fn health(health: Option<&serde_json::Value>) -> String {
    match health {
        None => "-".to_owned(),
        Some(value) => value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_shows_versions_and_both_byte_counts() {
        let row: NodeRow = serde_json::from_str(
            r#"{"name":"north-1","link":"up","desired":{"assignment_version":1,"release_version":4},
                "health":"healthy","payload_bytes_in":10,"payload_bytes_out":20,"round_trips":3}"#,
        )
        .unwrap();
        let link = LinkState::new(1);
        link.judge(Way::ToHub, 77);
        let text = table([(&row, &link)]);
        for part in ["north-1", "1.4", "healthy", "10 / 20 B", "77 / 0 B"] {
            assert!(text.contains(part), "{text}");
        }
    }
}
