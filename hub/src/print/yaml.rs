//! JSON values as YAML that `kubectl` and this hub read back as the same values.

use serde_json::Value;

use crate::manifest::means_itself;

/// Documents, each after its `---`.
pub(super) fn documents<'a>(values: impl Iterator<Item = &'a Value>) -> String {
    let mut text = String::new();
    for value in values {
        text.push_str("---\n");
        match value {
            Value::Object(map) if !map.is_empty() => block(&mut text, value, 0),
            Value::Array(list) if !list.is_empty() => block(&mut text, value, 0),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {
                text.push_str(&inline(value));
                text.push('\n');
            }
        }
    }
    text
}

/// A map or a list that is not empty. The first line starts where the text ends.
fn block(text: &mut String, value: &Value, indent: usize) {
    let margin = " ".repeat(indent);
    match value {
        Value::Object(map) => {
            for (index, (key, value)) in map.iter().enumerate() {
                if index > 0 {
                    text.push_str(&margin);
                }
                text.push_str(&scalar(key));
                text.push(':');
                match value {
                    Value::Object(map) if !map.is_empty() => {
                        text.push('\n');
                        text.push_str(&" ".repeat(indent + 2));
                        block(text, value, indent + 2);
                    }
                    Value::Array(list) if !list.is_empty() => {
                        text.push('\n');
                        text.push_str(&margin);
                        block(text, value, indent);
                    }
                    Value::String(lines) if is_literal(lines) => literal(text, lines, indent + 2),
                    Value::Null
                    | Value::Bool(_)
                    | Value::Number(_)
                    | Value::String(_)
                    | Value::Array(_)
                    | Value::Object(_) => {
                        text.push(' ');
                        text.push_str(&inline(value));
                        text.push('\n');
                    }
                }
            }
        }
        Value::Array(list) => {
            for (index, value) in list.iter().enumerate() {
                if index > 0 {
                    text.push_str(&margin);
                }
                text.push_str("- ");
                let nested = value.as_object().is_some_and(|map| !map.is_empty())
                    || value.as_array().is_some_and(|list| !list.is_empty());
                if nested {
                    block(text, value, indent + 2);
                } else {
                    text.push_str(&inline(value));
                    text.push('\n');
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn inline(value: &Value) -> String {
    match value {
        Value::String(text) => scalar(text),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

/// A text without quotes when nobody can misread it, else in JSON's quotes, which are YAML's too.
fn scalar(text: &str) -> String {
    let plain = text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/'))
        && means_itself(text);
    if plain { text.to_owned() } else { quoted(text) }
}

fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            ' '..='~' => quoted.push(c),
            // A YAML escape names one code point; letters stay readable.
            _ if c.is_alphanumeric() => quoted.push(c),
            _ => quoted.push_str(&format!("\\U{:08x}", u32::from(c))),
        }
    }
    quoted.push('"');
    quoted
}

/// Whether a text of several lines can stand as it is.
fn is_literal(text: &str) -> bool {
    let line_fits = |line: &str| line.chars().all(|c| matches!(c, ' '..='~') || c.is_alphanumeric());
    text.ends_with('\n')
        && !text.ends_with("\n\n")
        && text.len() > 1
        && !text.starts_with([' ', '\n'])
        && text.lines().all(line_fits)
}

fn literal(text: &mut String, lines: &str, indent: usize) {
    text.push_str(" |\n");
    for line in lines.lines() {
        if !line.is_empty() {
            text.push_str(&" ".repeat(indent));
            text.push_str(line);
        }
        text.push('\n');
    }
}
