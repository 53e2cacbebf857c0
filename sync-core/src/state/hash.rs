//! The canonical hash of an object: what an agent remembers of what it applied.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// BLAKE3 over an object's canonical JSON: keys in byte order, no white space, numbers as `serde_json` prints them.
///
/// Two objects that are equal as JSON values have the same hash. `1` and `1.0` differ, as they do for the API server.
///
/// ```
/// use serde_json::json;
/// use sync_core::state::ObjectHash;
///
/// assert_eq!(ObjectHash::of(&json!({"a": 1, "b": 2})), ObjectHash::of(&json!({"b": 2, "a": 1})));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectHash(pub [u8; 32]);

impl ObjectHash {
    /// The hash of `object`.
    #[must_use]
    pub fn of(object: &Value) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("archipel 2026 object");
        // The compact form of a value whose map is ordered is the canonical form.
        hasher.update(object.to_string().as_bytes());
        Self(*hasher.finalize().as_bytes())
    }

    /// Reads the hash from its 64 hexadecimal digits.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        blake3::Hash::from_hex(text).ok().map(|hash| Self(*hash.as_bytes()))
    }
}

impl fmt::Display for ObjectHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&blake3::Hash::from_bytes(self.0).to_hex())
    }
}

impl fmt::Debug for ObjectHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ObjectHash({self})")
    }
}

impl Serialize for ObjectHash {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ObjectHash {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::from_hex(&text).ok_or_else(|| serde::de::Error::custom("expected 64 hexadecimal digits"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_canonical_form_has_ordered_keys() {
        // Fails when a dependency turns on serde_json's `preserve_order`: hashes would then depend on insertion order.
        let object: Value = serde_json::from_str(r#"{"b": {"d": 1, "c": 2}, "a": [3]}"#).unwrap();
        assert_eq!(object.to_string(), r#"{"a":[3],"b":{"c":2,"d":1}}"#);
    }

    #[test]
    fn a_hash_tells_values_and_types_apart_and_survives_its_text_form() {
        let hash = ObjectHash::of(&json!({"replicas": 1}));
        for other in [json!({"replicas": 2}), json!({"replicas": "1"}), json!({"replicas": [1]}), json!({"replica": 1})]
        {
            assert_ne!(ObjectHash::of(&other), hash, "{other}");
        }
        assert_eq!(serde_json::from_value::<ObjectHash>(serde_json::to_value(hash).unwrap()).unwrap(), hash);
        assert_eq!(ObjectHash::from_hex("ab"), None);
    }
}
