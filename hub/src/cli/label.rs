//! Labels as people type them: `region=north`, with the rules of Kubernetes labels.

use std::str::FromStr;

use crate::limits::{LABEL_NAME_BYTES_MAX, LABEL_PREFIX_BYTES_MAX, LABELS_MAX};
use crate::service::Labels;

/// One label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// `[prefix/]name`.
    pub key: String,
    /// At most 63 letters, digits, `-`, `_` and `.`; may be empty.
    pub value: String,
}

/// Why a text is no label, or labels do not go together. The caller's mistake; nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LabelError {
    /// No `=`.
    #[error("`{text}` is no label; write KEY=VALUE, such as region=north")]
    NoEquals {
        /// The text.
        text: String,
    },
    /// The key breaks the rules.
    #[error(
        "the label key `{key}` is not allowed; write [PREFIX/]NAME: NAME has 1 to 63 letters, digits, `-`, `_` or `.` and \
         begins and ends with a letter or digit, PREFIX is a DNS name in lower case"
    )]
    Key {
        /// The key.
        key: String,
    },
    /// The value breaks the rules.
    #[error(
        "the label value `{value}` of `{key}` is not allowed; use up to 63 letters, digits, `-`, `_` or `.`, beginning and \
         ending with a letter or digit"
    )]
    Value {
        /// The key.
        key: String,
        /// The value.
        value: String,
    },
    /// The same key twice.
    #[error("the label `{key}` is given twice; give it once")]
    Twice {
        /// The key.
        key: String,
    },
    /// More than [`LABELS_MAX`].
    #[error("{count} labels are too many; at most {LABELS_MAX} are taken")]
    TooMany {
        /// How many.
        count: usize,
    },
}

impl FromStr for Label {
    type Err = LabelError;

    fn from_str(text: &str) -> Result<Self, LabelError> {
        let (key, value) = text.split_once('=').ok_or_else(|| LabelError::NoEquals { text: text.to_owned() })?;
        check_label(key, value)?;
        Ok(Self { key: key.to_owned(), value: value.to_owned() })
    }
}

/// Checks labels that came as a map.
///
/// # Errors
/// [`LabelError`] names the first that is not allowed.
pub fn check_labels(labels: &Labels) -> Result<(), LabelError> {
    if labels.len() > LABELS_MAX {
        return Err(LabelError::TooMany { count: labels.len() });
    }
    labels.iter().try_for_each(|(key, value)| check_label(key, value))
}

/// Labels as a map.
///
/// # Errors
/// [`LabelError`] when a key comes twice or there are too many.
pub fn collect_labels(labels: &[Label]) -> Result<Labels, LabelError> {
    let mut map = Labels::new();
    for Label { key, value } in labels {
        if map.insert(key.clone(), value.clone()).is_some() {
            return Err(LabelError::Twice { key: key.clone() });
        }
    }
    check_labels(&map)?;
    Ok(map)
}

fn check_label(key: &str, value: &str) -> Result<(), LabelError> {
    let (prefix, name) = key.split_once('/').map_or((None, key), |(prefix, name)| (Some(prefix), name));
    let prefix_fits = prefix.is_none_or(|prefix| {
        prefix.len() <= LABEL_PREFIX_BYTES_MAX && prefix.split('.').all(|part| sync_core::id::Name::new(part).is_ok())
    });
    if name.is_empty() || !is_label_text(name) || !prefix_fits {
        return Err(LabelError::Key { key: key.to_owned() });
    }
    if !is_label_text(value) {
        return Err(LabelError::Value { key: key.to_owned(), value: value.to_owned() });
    }
    Ok(())
}

fn is_label_text(text: &str) -> bool {
    let end_fits = |byte: Option<u8>| byte.is_none_or(|byte| byte.is_ascii_alphanumeric());
    text.len() <= LABEL_NAME_BYTES_MAX
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
        && end_fits(text.bytes().next())
        && end_fits(text.bytes().next_back())
}
