//! Reads scenario files. Every mistake is told with file, line, column, field and what was expected.

use std::fmt;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::check::{Problem, Step};
use super::{Scenario, shipped};

/// Bytes of a scenario file: room for the explicit plan of a thousand nodes, little enough to read at once.
pub const SCENARIO_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Mistakes that are told at once.
const MISTAKES_TOLD_MAX: usize = 20;

/// Why there is no scenario. Nothing has happened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScenarioError {
    /// The file cannot be read.
    #[error("cannot read {path}: {problem}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        problem: std::io::Error,
    },
    /// The file is larger than [`SCENARIO_BYTES_MAX`].
    #[error("{path} has more than {SCENARIO_BYTES_MAX} bytes: this cannot be a scenario")]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// There is neither a scenario of that name nor such a file.
    #[error("no scenario and no file is called `{name}`{}; `archipel-sim list` shows what comes with it", did_you_mean(nearest))]
    Unknown {
        /// What was asked for.
        name: String,
        /// The scenario with the nearest name.
        nearest: Option<&'static str>,
    },
    /// The file says something that it cannot.
    #[error("{}", list(mistakes))]
    Mistaken {
        /// What is wrong, in the file's order.
        mistakes: Vec<Mistake>,
    },
}

/// One mistake in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The file's name, as it was given.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The character in it, from 1.
    pub column: usize,
    /// The field, such as `event[2].lasts`; empty if the file as a whole is meant.
    pub field: String,
    /// What is wrong, and what was expected.
    pub what: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: ", self.file, self.line, self.column)?;
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.what)
    }
}

fn list(mistakes: &[Mistake]) -> String {
    let mut lines: Vec<String> = mistakes.iter().take(MISTAKES_TOLD_MAX).map(Mistake::to_string).collect();
    if let Some(more) = mistakes.len().checked_sub(MISTAKES_TOLD_MAX).filter(|more| *more > 0) {
        lines.push(format!("and {more} more"));
    }
    lines.join("\n")
}

fn did_you_mean(name: &Option<&'static str>) -> String {
    name.map_or(String::new(), |name| format!(" (did you mean `{name}`?)"))
}

impl Scenario {
    /// The scenario of that name that comes with the simulator, or the one in that file. A name without `/` and `.toml` is
    /// looked for among the former first.
    ///
    /// # Errors
    /// [`ScenarioError`].
    pub fn load(name: &str) -> Result<Self, ScenarioError> {
        if let Some(text) = shipped::text(name) {
            return Self::parse(name, text);
        }
        let path = Path::new(name);
        if !path.exists() {
            let nearest = nearest(name, shipped::ALL.iter().map(|(name, _)| *name));
            return Err(ScenarioError::Unknown { name: name.to_owned(), nearest });
        }
        let unreadable = |problem| ScenarioError::Unreadable { path: path.to_owned(), problem };
        if std::fs::metadata(path).map_err(unreadable)?.len() > SCENARIO_BYTES_MAX {
            return Err(ScenarioError::TooLarge { path: path.to_owned() });
        }
        Self::parse(name, &std::fs::read_to_string(path).map_err(unreadable)?)
    }

    /// Reads a scenario; `file` is its name in errors.
    ///
    /// # Errors
    /// [`ScenarioError::Mistaken`]: the first thing that is no scenario, or everything that makes no sense in one.
    pub fn parse(file: &str, text: &str) -> Result<Self, ScenarioError> {
        let scenario: Self = toml::from_str(text).map_err(|error| {
            let span = error.span().unwrap_or(0..0);
            let field = DeTable::parse(text).ok().and_then(|table| field_at(&table, span.start)).unwrap_or_default();
            let mistake = mistake(file, text, span.start, field, explain(error.message()));
            ScenarioError::Mistaken { mistakes: vec![mistake] }
        })?;
        let problems = scenario.check();
        if problems.is_empty() {
            return Ok(scenario);
        }
        let table = DeTable::parse(text).ok();
        let place = |problem: &Problem| table.as_ref().map_or(0, |table| place_of(table, &problem.path));
        let mut mistakes: Vec<Mistake> =
            problems.iter().map(|it| mistake(file, text, place(it), it.field(), it.what.clone())).collect();
        mistakes.sort_by_key(|mistake| (mistake.line, mistake.column));
        Err(ScenarioError::Mistaken { mistakes })
    }

    /// The scenario as a file that reads as the same scenario.
    ///
    /// # Errors
    /// If a number is beyond what TOML can hold, which [`Scenario::check`] would have told.
    pub fn to_toml(&self) -> Result<String, toml::ser::Error> {
        toml::to_string(self)
    }
}

fn mistake(file: &str, text: &str, at: usize, field: String, what: String) -> Mistake {
    let before = text.get(..at).unwrap_or(text);
    let line_begin = before.rfind('\n').map_or(0, |at| at + 1);
    let column = before.get(line_begin..).unwrap_or_default().chars().count() + 1;
    Mistake { file: file.to_owned(), line: before.matches('\n').count() + 1, column, field, what }
}

/// What serde says about an unknown name, with the nearest one.
fn explain(message: &str) -> String {
    let mut quoted = message.split('`').skip(1).step_by(2);
    let (true, Some(name)) = (message.starts_with("unknown "), quoted.next()) else { return message.to_owned() };
    let known: Vec<&str> = quoted.collect();
    let kind = message.split(" `").next().unwrap_or("unknown");
    match nearest(name, known.iter().copied()) {
        Some(near) => format!("{kind} `{name}`: did you mean `{near}`? Expected one of: {}", known.join(", ")),
        None => format!("{kind} `{name}`: expected one of: {}", known.join(", ")),
    }
}

/// The nearest of `names` to a misspelt one, if any is near.
pub(super) fn nearest<'a>(name: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let far = name.chars().count().max(3) / 3;
    let measured = names.into_iter().map(|other| (strsim::damerau_levenshtein(name, other), other));
    measured.filter(|(distance, _)| *distance <= far).min().map(|(_, other)| other)
}

/// Where the value at `path` begins, or the nearest thing around it that is there.
fn place_of(table: &Spanned<DeTable<'_>>, path: &[Step]) -> usize {
    let mut at = 0;
    let mut inside = None;
    for step in path {
        let table = match inside {
            None => Some(table.get_ref()),
            Some(value) => DeValue::as_table(value),
        };
        let next = match step {
            Step::Key(key) => table.and_then(|table| table.get_key_value(key.as_str())).map(|(key, value)| {
                at = if value.get_ref().is_table() { key.span().start } else { value.span().start };
                value
            }),
            Step::Index(index) => inside.and_then(DeValue::as_array).and_then(|array| array.get(*index)).inspect(|value| {
                at = value.span().start;
            }),
        };
        let Some(next) = next else { break };
        inside = Some(next.get_ref());
    }
    at
}

/// The path of the innermost key or value that is written at byte `at`.
fn field_at(table: &Spanned<DeTable<'_>>, at: usize) -> Option<String> {
    let mut found: Option<(usize, String)> = None;
    visit_table(table.get_ref(), "", &mut |path, span| {
        let length = span.len();
        if span.contains(&at) && found.as_ref().is_none_or(|(shortest, _)| length <= *shortest) {
            found = Some((length, path.to_owned()));
        }
    });
    found.map(|(_, path)| path)
}

fn visit_table(table: &DeTable<'_>, path: &str, visit: &mut impl FnMut(&str, std::ops::Range<usize>)) {
    for (key, value) in table.iter() {
        let dot = if path.is_empty() { "" } else { "." };
        let path = format!("{path}{dot}{}", key.get_ref());
        visit(&path, key.span());
        visit_value(value, &path, visit);
    }
}

fn visit_value(value: &Spanned<DeValue<'_>>, path: &str, visit: &mut impl FnMut(&str, std::ops::Range<usize>)) {
    visit(path, value.span());
    if let Some(table) = value.get_ref().as_table() {
        visit_table(table, path, visit);
    }
    for (index, value) in value.get_ref().as_array().into_iter().flat_map(|array| array.iter().enumerate()) {
        visit_value(value, &format!("{path}[{index}]"), visit);
    }
}

#[cfg(test)]
mod tests;
