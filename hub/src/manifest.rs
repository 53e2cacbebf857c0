//! Manifests in: YAML and JSON files to the objects of a layer, read as kubectl reads them.
//!
//! Where kubectl guesses or takes the last of two (duplicate keys, keys that are no strings, tags), this reader refuses
//! and says where.

use std::io::Read;
use std::path::Path;

use serde_json::Value;

mod document;
mod error;
mod files;
mod json;
mod scalar;
mod yaml;

#[cfg(test)]
mod tests;

pub(crate) use document::check_object;
pub use error::{ManifestError, Problem, SourcePlace};
pub(crate) use scalar::means_itself;

/// The objects of one layer.
#[derive(Debug, Clone, PartialEq)]
pub struct ParsedLayer {
    /// Sorted by key; no key twice.
    pub objects: Vec<ParsedObject>,
}

/// One object and where it was read.
#[derive(Debug, Clone, PartialEq)]
pub struct ParsedObject {
    /// The text form of [`sync_core::state::ObjectKey`], such as `apps/Deployment/shop/cart` or `core/Namespace//shop`.
    pub key: String,
    /// The object as JSON.
    pub object: Value,
    /// Where it begins.
    pub source: SourcePlace,
}

/// Reads a manifest file, or every `.yaml`, `.yml` and `.json` file below a folder.
///
/// # Errors
/// [`ManifestError`] says what is wrong, where, and what to do.
pub fn read_path(path: &Path) -> Result<ParsedLayer, ManifestError> {
    layer_of(&path.display().to_string(), files::read_path(path)?)
}

/// Reads manifests from a stream, such as standard input.
///
/// # Errors
/// [`ManifestError`] says what is wrong, where, and what to do.
pub fn read_stream(name: &str, input: impl Read) -> Result<ParsedLayer, ManifestError> {
    layer_of(name, vec![files::read_stream(name, input)?])
}

fn layer_of(source_name: &str, files: Vec<files::ManifestFile>) -> Result<ParsedLayer, ManifestError> {
    let mut documents = Vec::new();
    for file in files {
        documents.extend(read_documents(&file.name, &file.bytes)?);
    }
    let objects = document::objects(documents)?;
    if objects.is_empty() {
        return Err(ManifestError::NoObjects { source_name: source_name.to_owned() });
    }
    Ok(ParsedLayer { objects })
}

fn read_documents(file: &str, bytes: &[u8]) -> Result<Vec<document::Document>, ManifestError> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let before = String::from_utf8_lossy(bytes.get(..error.valid_up_to()).unwrap_or_default());
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().map_or(1, |last| last.chars().count() + 1);
        problem_at(SourcePlace { file: file.to_owned(), line, column }, Problem::Encoding)
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if Path::new(file).extension().is_some_and(|extension| extension == "json") {
        return json::read_json(file, text);
    }
    // As kubectl does: what looks like JSON is read as JSON; a YAML flow map looks like it too.
    if text.trim_start().starts_with('{') {
        match json::read_json(file, text) {
            Err(error) if json::is_malformed(&error) => {}
            read => return read,
        }
    }
    yaml::read_yaml(file, text)
}

fn problem_at(place: SourcePlace, problem: Problem) -> ManifestError {
    ManifestError::At { place, problem }
}
