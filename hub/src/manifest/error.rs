//! What can be wrong with manifests, where, and what to do about it.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use sync_core::state::ObjectError;

use crate::limits::{
    MANIFEST_COPIED_BYTES_MAX, MANIFEST_DEPTH_MAX, MANIFEST_FILE_BYTES_MAX, MANIFEST_FILES_MAX,
    MANIFEST_FOLDER_BYTES_MAX, MANIFEST_FOLDER_DEPTH_MAX, MANIFEST_VALUES_MAX, OBJECT_BYTES_MAX,
};

/// A place in a manifest. Line and column count from 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourcePlace {
    /// The path as the user would type it; `<stdin>` for standard input.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
}

impl fmt::Display for SourcePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// Why manifests were refused. The mistake is in the files or their paths; the hub was not asked and changed nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// A file or folder cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The folder holds no `.yaml`, `.yml` or `.json` file.
    #[error("{} holds no .yaml, .yml or .json file; an empty layer is deleted with `layer delete`, not applied", path.display())]
    NoFiles {
        /// The folder.
        path: PathBuf,
    },
    /// The files hold no object.
    #[error("{source_name} holds no object; an empty layer is deleted with `layer delete`, not applied")]
    NoObjects {
        /// What was read.
        source_name: String,
    },
    /// The folder is meant for Kustomize.
    #[error(
        "{} makes its folder a kustomization, whose files are not all objects; render it first:\n  \
         kubectl kustomize {} | archipel-hub layer apply NAME -f -", file.display(), folder.display()
    )]
    Kustomization {
        /// The kustomization file.
        file: PathBuf,
        /// Its folder.
        folder: PathBuf,
    },
    /// A file above its bound.
    #[error("{name} is larger than {MANIFEST_FILE_BYTES_MAX} bytes; split it into several files of one folder")]
    FileTooLarge {
        /// The file.
        name: String,
    },
    /// A folder above its bound.
    #[error("the manifests below {} take more than {MANIFEST_FOLDER_BYTES_MAX} bytes; split them into several layers", path.display())]
    FolderTooLarge {
        /// The folder.
        path: PathBuf,
    },
    /// A folder with too many entries.
    #[error("{} holds more than {MANIFEST_FILES_MAX} manifests, or too many other files; is it the right folder?", path.display())]
    TooManyFiles {
        /// The folder.
        path: PathBuf,
    },
    /// Folders nested too deep.
    #[error("{} is more than {MANIFEST_FOLDER_DEPTH_MAX} folders deep; is it the right folder?", path.display())]
    FolderTooDeep {
        /// The folder.
        path: PathBuf,
    },
    /// Something in a file.
    #[error("{place}: {problem}")]
    At {
        /// Where.
        place: SourcePlace,
        /// What.
        problem: Problem,
    },
}

/// What is wrong at a place of a manifest, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// Bytes that are not UTF-8.
    #[error("the text is not UTF-8; save the file as UTF-8")]
    Encoding,
    /// The parser's complaint.
    #[error("malformed {language}: {message}")]
    Syntax {
        /// `YAML` or `JSON`.
        language: &'static str,
        /// What the parser says.
        message: String,
    },
    /// The same key twice in one map.
    #[error("the key `{key}` is in this map twice{}; delete one of them", first_at(first.as_ref()))]
    DuplicateKey {
        /// The key.
        key: String,
        /// Where it is first, if that is known.
        first: Option<SourcePlace>,
    },
    /// A key that is no string.
    #[error("the key {key} is not a string; put it in quotes if it is meant as text")]
    KeyNotString {
        /// The key as written.
        key: String,
    },
    /// A YAML tag.
    #[error("the tag `{tag}` is not accepted; leave it out, and put the value in quotes if it is meant as text")]
    Tag {
        /// The tag as written.
        tag: String,
    },
    /// A YAML merge key.
    #[error("the merge key `<<` takes a map or a list of maps; give it an alias of a map, or put it in quotes")]
    MergeKey,
    /// Infinity, or not a number.
    #[error("{text} has no JSON form; put it in quotes if it is meant as text")]
    NotFinite {
        /// The number as written.
        text: String,
    },
    /// Nested too deep.
    #[error("maps and lists are nested more than {MANIFEST_DEPTH_MAX} deep")]
    TooDeep,
    /// Too many values.
    #[error("the file has more than {MANIFEST_VALUES_MAX} values; split it into several files of one folder")]
    TooManyValues,
    /// Too much written out by anchors and aliases.
    #[error(
        "the anchors and aliases of the file write out more than {MANIFEST_VALUES_MAX} values or \
         {MANIFEST_COPIED_BYTES_MAX} bytes; use fewer of them"
    )]
    TooManyCopies,
    /// A document that is no object with a name.
    #[error(transparent)]
    Object(#[from] ObjectError),
    /// The same object twice in the layer.
    #[error("{key} is already at {first}; a layer holds an object once, so delete one of them")]
    DuplicateObject {
        /// The object.
        key: String,
        /// The other place.
        first: SourcePlace,
    },
    /// An object above its bound.
    #[error("{key} has {bytes} bytes as JSON; Kubernetes takes at most {OBJECT_BYTES_MAX}")]
    ObjectTooLarge {
        /// The object.
        key: String,
        /// Its size as compact JSON.
        bytes: usize,
    },
    /// A list inside lists.
    #[error("lists are nested in lists more than 4 deep; write the objects as documents of their own")]
    ListTooDeep,
}

fn first_at(first: Option<&SourcePlace>) -> String {
    first.map_or_else(String::new, |place| format!(", first at {place}"))
}
