//! Names of things: nodes, documents, stores, links. Plain values, parsed once at the border.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::limits::NAME_BYTES_MAX;

macro_rules! byte_id {
    ($(#[$doc:meta])* $name:ident, $bytes:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $bytes]);

        impl $name {
            /// Reads the id from a slice of exactly the right length.
            #[must_use]
            pub fn from_slice(bytes: &[u8]) -> Option<Self> {
                bytes.try_into().ok().map(Self)
            }

            /// Reads the id from its hexadecimal form.
            #[must_use]
            pub fn from_hex(text: &str) -> Option<Self> {
                hex_decode(text).and_then(|bytes| Self::from_slice(&bytes))
            }

            /// The first eight hexadecimal digits, for logs and tables.
            #[must_use]
            pub fn short(&self) -> String {
                self.to_string().chars().take(8).collect()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                Self::from_hex(&text).ok_or_else(|| serde::de::Error::custom("expected a hexadecimal id"))
            }
        }
    };
}

byte_id!(
    /// A node's or hub's name on the wire: BLAKE3 of its key type and public key, 32 bytes.
    NodeId, 32
);
byte_id!(
    /// A document's name on the wire: BLAKE3 of its kind, owner and name, first 16 bytes.
    DocumentId, 16
);
byte_id!(
    /// A store's name: random, made when the database file is made.
    StoreId, 16
);
byte_id!(
    /// The hash of an Automerge change: SHA-256 of its chunk.
    ChangeHash, 32
);
byte_id!(
    /// A transfer's name: BLAKE3 of the packed batch that it carries, first 16 bytes.
    TransferId, 16
);
byte_id!(
    /// A value of a feed's rolling hash: BLAKE3, first 16 bytes.
    Chain, 16
);
byte_id!(
    /// Random, made with an [`Incarnation`].
    Nonce, 8
);

/// The how-manieth life of a store: it rises when the store learns that it was set back to an older copy. The nonce tells
/// two copies apart that took the same number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Incarnation {
    /// From 1.
    pub number: u32,
    /// Random.
    pub nonce: Nonce,
}

impl Incarnation {
    /// Which of two that were taken without knowledge of each other stands: the higher number, then the lower nonce.
    #[must_use]
    pub fn wins_over(&self, other: &Self) -> bool {
        self.number > other.number || (self.number == other.number && self.nonce < other.nonce)
    }
}

/// One connection to one peer. Given out by whoever owns the replica, never reused while it lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u64);

/// A name that people type: a node, a layer, a release, a label's value. RFC 1123: lower-case letters, digits, `-`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Name(String);

impl Name {
    /// Checks `text` and takes it as a name.
    ///
    /// # Errors
    /// [`NameError`] says what is wrong with it.
    pub fn new(text: &str) -> Result<Self, NameError> {
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        if text.len() > NAME_BYTES_MAX {
            return Err(NameError::TooLong { bytes: text.len() });
        }
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if let Some(bad) = text.chars().find(|c| !allowed(*c)) {
            return Err(NameError::Character { name: text.to_owned(), bad });
        }
        if text.starts_with('-') || text.ends_with('-') {
            return Err(NameError::Hyphen { name: text.to_owned() });
        }
        Ok(Self(text.to_owned()))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::str::FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::new(text)
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// Why a text is no name. The caller's mistake; nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// No characters at all.
    #[error("a name cannot be empty")]
    Empty,
    /// More bytes than [`NAME_BYTES_MAX`].
    #[error("a name has at most {NAME_BYTES_MAX} characters, this one has {bytes}")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// A character that is not allowed.
    #[error("the name `{name}` contains {bad:?}; use lower-case letters, digits and `-`")]
    Character {
        /// The whole text.
        name: String,
        /// The first character that is not allowed.
        bad: char,
    },
    /// A hyphen at an end.
    #[error("the name `{name}` starts or ends with `-`; begin and end it with a letter or digit")]
    Hyphen {
        /// The whole text.
        name: String,
    },
}

/// Bytes from hexadecimal digits; `None` for an odd length or another character.
pub(crate) fn hex_decode(text: &str) -> Option<Vec<u8>> {
    if !text.bytes().all(|byte| byte.is_ascii_hexdigit()) || !text.len().is_multiple_of(2) {
        return None;
    }
    (0..text.len() / 2).map(|i| u8::from_str_radix(text.get(2 * i..2 * i + 2)?, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_dns_label() {
        assert!(Name::new("wind-farm-7").is_ok());
        assert_eq!(Name::new(""), Err(NameError::Empty));
        assert!(matches!(Name::new("North"), Err(NameError::Character { bad: 'N', .. })));
        assert!(matches!(Name::new("-a"), Err(NameError::Hyphen { .. })));
        assert!(matches!(Name::new(&"a".repeat(64)), Err(NameError::TooLong { bytes: 64 })));
    }

    #[test]
    fn an_id_survives_its_text_form() {
        let id = NodeId([0xab; 32]);
        assert_eq!(NodeId::from_hex(&id.to_string()), Some(id));
        assert_eq!(NodeId::from_hex("zz"), None);
        assert_eq!(DocumentId::from_hex("+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1"), None);
    }
}
