//! Engines that nothing else here uses are measured by a program of their own, `peers`, which prints one JSON line a figure.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Map, Value};

use super::Options;
use super::table::Table;

/// Where the program's source lies, seen from the repository's root.
const MANIFEST: &str = "benches/peers/Cargo.toml";

/// Where the program is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Built and run by cargo in the current folder, the repository's root.
    Cargo,
    /// This file.
    Program(PathBuf),
    /// Nowhere: its figures are left out.
    Nowhere,
}

impl Source {
    /// Reads `auto`, `none` or a path.
    ///
    /// # Errors
    /// Never: every other text is a path.
    pub fn parse(text: &str) -> Result<Self, std::convert::Infallible> {
        Ok(match text {
            "auto" if Path::new(MANIFEST).exists() => Self::Cargo,
            "auto" | "none" => Self::Nowhere,
            path => Self::Program(path.into()),
        })
    }

    fn command(&self) -> Option<Command> {
        match self {
            Self::Cargo => {
                let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
                command.args(["run", "--release", "--quiet", "--locked", "-p", "peers", "--"]);
                Some(command)
            }
            Self::Program(path) => Some(Command::new(path)),
            Self::Nowhere => None,
        }
    }
}

/// One line of the program's.
#[derive(Debug, Clone)]
pub(super) struct Figure(Map<String, Value>);

impl Figure {
    /// A number; 0 when there is none.
    pub(super) fn number(&self, name: &str) -> u64 {
        self.0.get(name).and_then(Value::as_u64).unwrap_or(0)
    }

    /// A text; empty when there is none.
    pub(super) fn text(&self, name: &str) -> String {
        self.0.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
    }
}

/// What the program finds for a section and its sizes. When it cannot be run, that is said and there are no figures: the
/// others are measured nevertheless.
pub(super) fn measure(options: &Options, section: &str, sizes: &[u64]) -> Vec<Figure> {
    let Some(mut command) = options.peers.command() else { return Vec::new() };
    command.arg(section).args(sizes.iter().map(u64::to_string));
    let complaint = match command.output() {
        Ok(output) if output.status.success() => {
            let text = String::from_utf8_lossy(&output.stdout);
            return text.lines().filter_map(|line| serde_json::from_str(line).ok()).map(Figure).collect();
        }
        Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        Err(error) => error.to_string(),
    };
    eprintln!(
        "the peers program could not be run, so samod-core and negentropy are left out; building it needs cargo and, once, the \
         network: {complaint}"
    );
    Vec::new()
}

/// Says above a table that figures are missing because nobody asked for them.
pub(super) fn say_if_missing(options: &Options, table: &mut Table) {
    if options.peers == Source::Nowhere {
        table.say("samod-core and negentropy were not measured (`--peers`; from the repository's root they are).");
    }
}
