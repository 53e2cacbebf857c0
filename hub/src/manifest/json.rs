//! JSON text to values that know their place. Unlike `serde_json::Value`, a key twice in one object is refused.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::document::{Document, ObjectPlaces};
use super::error::{ManifestError, Problem, SourcePlace};
use super::problem_at;
use super::scalar::number_of_float;
use crate::limits::MANIFEST_DEPTH_MAX;

/// The documents of one file: JSON values one after the other, `null` left out.
pub(super) fn read_json(file: &str, text: &str) -> Result<Vec<Document>, ManifestError> {
    let duplicate = Cell::new(None);
    let mut documents = Vec::new();
    let mut offset = 0;
    loop {
        let rest = text.get(offset..).unwrap_or_default();
        let trimmed = rest.trim_start();
        if trimmed.is_empty() {
            return Ok(documents);
        }
        let start = text.len() - trimmed.len();
        let mut deserializer = serde_json::Deserializer::from_str(trimmed);
        let value = CheckedValue { duplicate: &duplicate, depth: 0 }.deserialize(&mut deserializer);
        let value = value.map_err(|error| {
            let place = place_in_rest(file, text, start, error.line(), error.column());
            match duplicate.take() {
                Some(key) => problem_at(place, Problem::DuplicateKey { key, first: None }),
                None => problem_at(place, Problem::Syntax { language: "JSON", message: bare_message(&error) }),
            }
        })?;
        let place = place_in_rest(file, text, start, 1, 1);
        let mut stream = serde_json::Deserializer::from_str(trimmed).into_iter::<serde::de::IgnoredAny>();
        stream.next();
        offset = start + stream.byte_offset();
        if !value.is_null() {
            documents.push(Document { value, places: ObjectPlaces::new(place), items: Vec::new() });
        }
    }
}

/// Whether `error` means that the text is no JSON at all, rather than JSON that is refused.
pub(super) fn is_malformed(error: &ManifestError) -> bool {
    matches!(error, ManifestError::At { problem: Problem::Syntax { .. }, .. })
}

/// The parser's message without the position, which the place already says.
fn bare_message(error: &serde_json::Error) -> String {
    let message = error.to_string();
    message.rsplit_once(" at line ").map_or(message.clone(), |(bare, _)| bare.to_owned())
}

/// The place `line`, `column` of the text that starts at byte `start`.
fn place_in_rest(file: &str, text: &str, start: usize, line: usize, column: usize) -> SourcePlace {
    let before = text.get(..start).unwrap_or_default();
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    let lines_before = before.matches('\n').count();
    let columns_before = if line == 1 { before.get(line_start..).unwrap_or_default().chars().count() } else { 0 };
    SourcePlace { file: file.to_owned(), line: lines_before + line.max(1), column: columns_before + column.max(1) }
}

#[derive(Clone, Copy)]
struct CheckedValue<'a> {
    duplicate: &'a Cell<Option<String>>,
    depth: usize,
}

impl CheckedValue<'_> {
    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        if self.depth >= MANIFEST_DEPTH_MAX {
            return Err(E::custom(Problem::TooDeep));
        }
        Ok(Self { depth: self.depth + 1, ..self })
    }
}

impl<'de> DeserializeSeed<'de> for CheckedValue<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for CheckedValue<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Value, E> {
        Ok(Value::Bool(truth))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Number(Number::from(number)))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(Value::Number(Number::from(number)))
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<Value, E> {
        number_of_float(number).map(Value::Number).ok_or_else(|| E::custom("number out of range"))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::String(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(inner)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            if map.contains_key(&key) {
                self.duplicate.set(Some(key));
                return Err(A::Error::custom("duplicate key"));
            }
            let value = entries.next_value_seed(inner)?;
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}
