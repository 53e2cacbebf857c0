//! The JSON schema of scenario files, and the tables of their fields for the guide.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};

use super::Scenario;
use super::event::Kind;

/// The schema, in JSON Schema's draft 2020-12.
#[must_use]
pub fn schema() -> Value {
    let generator = SchemaSettings::draft2020_12().into_generator();
    generator.into_root_schema_for::<Scenario>().to_value()
}

/// The fields of every table as Markdown: name, what it holds, default, meaning; then what each kind of event takes, the
/// values of lists, and how quantities are written. `docs/simulator.md` holds it as it is.
#[must_use]
pub fn markdown() -> String {
    let schema = schema();
    let mut pages = Pages { root: &schema, page: String::new(), lists: BTreeSet::new(), quantities: BTreeSet::new() };
    pages.table("top of the file", &schema, "");
    pages.kinds();
    pages.lists();
    pages.quantities();
    pages.page
}

struct Pages<'a> {
    root: &'a Value,
    page: String,
    /// Names of definitions that list values.
    lists: BTreeSet<&'a str>,
    /// Names of definitions that are written as one string.
    quantities: BTreeSet<&'a str>,
}

/// What a field holds.
struct Holds<'a> {
    words: String,
    /// Whether it holds any number of things.
    many: bool,
    /// The table inside, with the path that follows the field's.
    table: Option<(&'static str, &'a Value)>,
}

impl<'a> Pages<'a> {
    fn table(&mut self, title: &str, table: &'a Value, path: &str) {
        let _ = write!(
            self.page,
            "### {title}\n\n{}\n\n| field | holds | default | meaning |\n|---|---|---|---|\n",
            about(table)
        );
        let required: Vec<&str> =
            table["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let mut inside = Vec::new();
        for (name, field) in fields(table) {
            let holds = self.holds(field);
            let default = match &field["default"] {
                _ if required.contains(&name.as_str()) => "required".to_owned(),
                // Lists and tables that may be left out are empty then.
                Value::Null if holds.many => "none".to_owned(),
                Value::Null => "unset".to_owned(),
                Value::Array(list) if list.is_empty() => "none".to_owned(),
                Value::Object(_) if holds.many => "none".to_owned(),
                // The table's own defaults stand below.
                Value::Object(_) => "below".to_owned(),
                value @ (Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => {
                    format!("`{value}`")
                }
            };
            let _ = writeln!(self.page, "| `{name}` | {} | {default} | {} |", holds.words, about(field));
            if let Some((suffix, table)) = holds.table {
                inside.push((format!("{path}{name}{suffix}"), suffix, table));
            }
        }
        self.page.push('\n');
        for (path, suffix, table) in inside {
            let title =
                if suffix == "[]" { format!("`[[{}]]`", path.trim_end_matches("[]")) } else { format!("`[{path}]`") };
            self.table(&title, table, &format!("{path}."));
        }
    }

    fn holds(&mut self, field: &'a Value) -> Holds<'a> {
        let plain = |words: &str| Holds { words: words.to_owned(), many: false, table: None };
        if let Some(option) = field["anyOf"].as_array().and_then(|all| all.iter().find(|one| one["type"] != "null")) {
            return self.holds(option);
        }
        if let Some((name, definition)) = field["$ref"].as_str().and_then(|path| self.definition(path)) {
            if definition["type"] == "object" {
                return Holds { words: "table".to_owned(), many: false, table: Some(("", definition)) };
            }
            if definition["pattern"].is_string() {
                self.quantities.insert(name);
                return plain(&name.replace('-', " "));
            }
            self.lists.insert(name);
            return plain(&format!("[{}](#values-of-{})", words(name), words(name).replace(' ', "-")));
        }
        let kinds = field["type"].as_array().and_then(|kinds| kinds.first()).unwrap_or(&field["type"]);
        match kinds.as_str() {
            Some("array") => {
                let item = self.holds(&field["items"]);
                let table = item.table.map(|(_, table)| ("[]", table));
                Holds { words: format!("list of: {}", item.words), many: true, table }
            }
            Some("object") => {
                let each = field["additionalProperties"].as_object().or_else(|| field["properties"].as_object());
                let value = if field["additionalProperties"].is_object() {
                    &field["additionalProperties"]
                } else {
                    each.and_then(|all| all.values().next()).unwrap_or(&Value::Null)
                };
                let inner = self.holds(value);
                let words = format!("by name: {}", inner.words);
                Holds { words, many: true, table: inner.table.map(|(_, table)| (".NAME", table)) }
            }
            Some("integer") => {
                let bounds = (field["minimum"].as_u64(), field["maximum"].as_u64());
                plain(&match bounds {
                    (Some(least), Some(most)) if most < 1 << 32 => format!("whole number, {least} to {most}"),
                    (Some(least), _) => format!("whole number, {least} or more"),
                    _ => "whole number".to_owned(),
                })
            }
            Some("boolean") => plain("`true` or `false`"),
            _ => plain("text"),
        }
    }

    fn definition(&self, path: &'a str) -> Option<(&'a str, &'a Value)> {
        let name = path.strip_prefix("#/$defs/")?;
        Some((name, self.root["$defs"].get(name)?))
    }

    fn kinds(&mut self) {
        self.page.push_str(
            "### Kinds of events\n\n| kind | happens to | needs | takes | what it is |\n|---|---|---|---|---|\n",
        );
        let about: Vec<(String, String)> = values(&self.root["$defs"]["Kind"]);
        for kind in Kind::ALL {
            let spec = kind.spec();
            let parameters = |list: &[&str]| list.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
            let meaning = about.iter().find(|(name, _)| name == kind.name()).map_or("", |(_, about)| about);
            let targets = spec.targets.words();
            let (needs, takes) = (parameters(spec.needs), parameters(spec.takes));
            let _ = writeln!(self.page, "| `{}` | {targets} | {needs} | {takes} | {meaning} |", kind.name());
        }
        self.page.push('\n');
        self.lists.remove("Kind");
        self.lists.insert("Kind");
    }

    fn lists(&mut self) {
        for name in std::mem::take(&mut self.lists) {
            let definition = &self.root["$defs"][name];
            let _ = write!(self.page, "### Values of {}\n\n", words(name));
            if name == "Kind" {
                self.page.push_str("The first column of [kinds of events](#kinds-of-events).\n\n");
                continue;
            }
            let values = values(definition);
            if values.iter().all(|(_, about)| about.is_empty()) {
                let names: Vec<String> = values.iter().map(|(value, _)| format!("`{value}`")).collect();
                let _ = write!(self.page, "{} {}.\n\n", about(definition), names.join(", "));
                continue;
            }
            let _ = write!(self.page, "{}\n\n| value | meaning |\n|---|---|\n", about(definition));
            for (value, about) in values {
                let _ = writeln!(self.page, "| `{value}` | {about} |");
            }
            self.page.push('\n');
        }
    }

    fn quantities(&mut self) {
        self.page.push_str("### Quantities\n\nAll are strings, in quotes.\n\n| quantity | expected |\n|---|---|\n");
        for name in std::mem::take(&mut self.quantities) {
            let _ = writeln!(self.page, "| {} | {} |", name.replace('-', " "), about(&self.root["$defs"][name]));
        }
    }
}

/// Fields in the order of the file's types.
fn fields(table: &Value) -> impl Iterator<Item = (&String, &Value)> {
    table["properties"].as_object().into_iter().flat_map(Map::iter)
}

/// Values of a list, with what each means.
fn values(definition: &Value) -> Vec<(String, String)> {
    let each = definition["oneOf"].as_array().into_iter().flatten().flat_map(|one| {
        let alone = one["const"].as_str().map(|value| (value.to_owned(), about(one)));
        let several = one["enum"].as_array().into_iter().flatten().filter_map(Value::as_str);
        alone.into_iter().chain(several.map(|value| (value.to_owned(), String::new())))
    });
    let plain = definition["enum"].as_array().into_iter().flatten().filter_map(Value::as_str);
    each.chain(plain.map(|value| (value.to_owned(), String::new()))).collect()
}

/// A description as one line.
fn about(schema: &Value) -> String {
    schema["description"]
        .as_str()
        .unwrap_or_default()
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .replace('|', "\\|")
}

/// `LinkState` as `link state`.
fn words(name: &str) -> String {
    let mut words = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.push(c.to_ascii_lowercase());
    }
    words
}
