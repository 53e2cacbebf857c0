//! The identity of a Kubernetes object: group, kind, namespace, name.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// How the group of `v1` is written in the text form. Kubernetes calls it the core group; its name is empty.
const CORE_GROUP: &str = "core";

/// Bytes of a DNS subdomain (RFC 1123), and of the name of any Kubernetes object.
const SUBDOMAIN_BYTES_MAX: usize = 253;

/// Bytes of a DNS label (RFC 1123): kinds and namespaces.
const LABEL_BYTES_MAX: usize = 63;

/// Which object it is, whatever its version and content.
///
/// The version is not part of it: `apps/v1` and `apps/v1beta1` of one name are one object in a cluster.
///
/// The text form is `group/Kind/namespace/name`. The group of `v1` is written `core`; an object without a namespace has
/// an empty third part. No part may contain `/`, so four parts read back as they were written.
///
/// ```
/// use serde_json::json;
/// use sync_core::state::ObjectKey;
///
/// let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "cart", "namespace": "shop"}});
/// let key = ObjectKey::of(&service)?;
/// assert_eq!(key.to_string(), "core/Service/shop/cart");
/// assert_eq!("core/Service/shop/cart".parse(), Ok(key));
/// # Ok::<(), sync_core::state::ObjectError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey {
    api_group: String,
    kind: String,
    namespace: String,
    name: String,
}

impl ObjectKey {
    /// The key of these parts. The core group and the absence of a namespace are empty texts.
    ///
    /// # Errors
    /// [`ObjectError`] says which part is not allowed.
    pub fn new(api_group: &str, kind: &str, namespace: &str, name: &str) -> Result<Self, ObjectError> {
        if api_group == CORE_GROUP {
            return Err(ObjectError::CoreGroup);
        }
        if !api_group.is_empty() && !is_subdomain(api_group) {
            return Err(ObjectError::Group { found: api_group.to_owned() });
        }
        if !is_kind(kind) {
            return Err(ObjectError::Kind { found: kind.to_owned() });
        }
        if !namespace.is_empty() && !is_label(namespace) {
            return Err(ObjectError::Namespace { found: namespace.to_owned() });
        }
        check_name(api_group, kind, name)?;
        let [api_group, kind, namespace, name] = [api_group, kind, namespace, name].map(str::to_owned);
        Ok(Self { api_group, kind, namespace, name })
    }

    /// The key of `object`. A `List` has no key: expand it first.
    ///
    /// # Errors
    /// [`ObjectError`] names the field that is missing, has the wrong type or is not allowed.
    pub fn of(object: &Value) -> Result<Self, ObjectError> {
        let object = object.as_object().ok_or(ObjectError::NotAMap { found: type_name(object) })?;
        let api_version =
            text(object, "apiVersion", "apiVersion")?.ok_or(ObjectError::Missing { field: "apiVersion" })?;
        let kind = text(object, "kind", "kind")?.ok_or(ObjectError::Missing { field: "kind" })?;
        let metadata = match object.get("metadata") {
            None | Some(Value::Null) => return Err(ObjectError::Missing { field: "metadata.name" }),
            Some(Value::Object(metadata)) => metadata,
            Some(other) => {
                return Err(ObjectError::WrongType { field: "metadata", expected: "a map", found: type_name(other) });
            }
        };
        let name = match text(metadata, "name", "metadata.name")? {
            Some(name) => name,
            None if metadata.contains_key("generateName") => return Err(ObjectError::GenerateName),
            None => return Err(ObjectError::Missing { field: "metadata.name" }),
        };
        let namespace = text(metadata, "namespace", "metadata.namespace")?.unwrap_or_default();
        let api_group = match api_version.split_once('/') {
            None if is_label(api_version) => "",
            Some((group, version)) if !group.is_empty() && is_label(version) => group,
            _ => return Err(ObjectError::ApiVersion { found: api_version.to_owned() }),
        };
        Self::new(api_group, kind, namespace, name)
    }

    /// The API group, empty for the core group.
    #[must_use]
    pub fn api_group(&self) -> &str {
        &self.api_group
    }

    /// The kind, such as `Deployment`.
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// The namespace, empty for an object that has none (of the cluster, or left to the default).
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { api_group, kind, namespace, name } = self;
        let group = if api_group.is_empty() { CORE_GROUP } else { api_group };
        write!(f, "{group}/{kind}/{namespace}/{name}")
    }
}

impl FromStr for ObjectKey {
    type Err = ObjectError;

    fn from_str(text: &str) -> Result<Self, ObjectError> {
        let mut parts = text.split('/');
        let (Some(group), Some(kind), Some(namespace), Some(name), None) =
            (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(ObjectError::Text { found: text.to_owned() });
        };
        match group {
            // An empty group has one text form only, or two keys of a map could mean one object.
            "" => Err(ObjectError::Text { found: text.to_owned() }),
            CORE_GROUP => Self::new("", kind, namespace, name),
            _ => Self::new(group, kind, namespace, name),
        }
    }
}

impl Serialize for ObjectKey {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ObjectKey {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Why a value is no Kubernetes object that can be named. The author's mistake; nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ObjectError {
    /// The value is not a map at all.
    #[error("a Kubernetes object is a map, this is {found}")]
    NotAMap {
        /// What it is instead.
        found: &'static str,
    },
    /// A field that every object has is absent.
    #[error("the object has no `{field}`; every Kubernetes object needs one")]
    Missing {
        /// Its path.
        field: &'static str,
    },
    /// A field has a value of the wrong type.
    #[error("`{field}` must be {expected}, not {found}")]
    WrongType {
        /// Its path.
        field: &'static str,
        /// The type it must have.
        expected: &'static str,
        /// The type it has.
        found: &'static str,
    },
    /// Only `metadata.generateName`: the name would differ on every cluster and after every apply.
    #[error(
        "the object has `metadata.generateName` but no `metadata.name`; desired objects need a fixed name, so give it one"
    )]
    GenerateName,
    /// `apiVersion` is neither `version` nor `group/version`.
    #[error("apiVersion {found:?} is neither `version` nor `group/version`; examples: `v1`, `apps/v1`")]
    ApiVersion {
        /// What it is.
        found: String,
    },
    /// The group is spelt `core`.
    #[error("there is no API group `core`; write `apiVersion: v1` for the core group")]
    CoreGroup,
    /// The group is not a DNS subdomain.
    #[error(
        "the API group {found:?} is not a DNS subdomain (lower-case letters, digits, `-`, `.`, at most 253 characters)"
    )]
    Group {
        /// What it is.
        found: String,
    },
    /// The kind is not a word of letters and digits.
    #[error("the kind {found:?} must begin with a letter and have only letters, digits and `-`, at most 63 characters")]
    Kind {
        /// What it is.
        found: String,
    },
    /// The namespace is not a DNS label.
    #[error("the namespace {found:?} is not a DNS label (lower-case letters, digits, `-`, at most 63 characters)")]
    Namespace {
        /// What it is.
        found: String,
    },
    /// The name is empty.
    #[error("`metadata.name` is empty; give the object a name")]
    EmptyName,
    /// The name is longer than 253 bytes.
    #[error("`metadata.name` has {bytes} bytes; Kubernetes allows 253")]
    LongName {
        /// Its length.
        bytes: usize,
    },
    /// The name has characters that names of its kind may not have.
    #[error("`metadata.name` {found:?} is not allowed; {rule}")]
    Name {
        /// What it is.
        found: String,
        /// What names of this kind look like.
        rule: &'static str,
    },
    /// The text form of a key does not have its four parts.
    #[error(
        "{found:?} is not an object key; write `group/Kind/namespace/name`, with the group `core` for `v1` objects"
    )]
    Text {
        /// The whole text.
        found: String,
    },
}

/// The text at `key`; `None` when it is absent or null.
fn text<'a>(map: &'a Map<String, Value>, key: &str, field: &'static str) -> Result<Option<&'a str>, ObjectError> {
    match map.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(other) => Err(ObjectError::WrongType { field, expected: "a text", found: type_name(other) }),
    }
}

/// What people call the type of `value`.
pub(crate) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map",
    }
}

/// RFC 1123 label: lower-case letters, digits, `-`, with a letter or digit at both ends.
fn is_label(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !text.is_empty()
        && text.len() <= LABEL_BYTES_MAX
        && text.bytes().all(allowed)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// RFC 1123 subdomain as Kubernetes checks it: labels joined by dots, at most 253 bytes in all. As in Kubernetes, one
/// label may be longer than 63 bytes.
fn is_subdomain(text: &str) -> bool {
    let part = |part: &str| {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        !part.is_empty() && part.bytes().all(allowed) && !part.starts_with('-') && !part.ends_with('-')
    };
    text.len() <= SUBDOMAIN_BYTES_MAX && text.split('.').all(part)
}

fn is_kind(text: &str) -> bool {
    text.len() <= LABEL_BYTES_MAX
        && text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// Names are DNS subdomains, except where Kubernetes itself has names such as `system:auth-delegator` or `2001:db8::1`.
/// Those must only be one segment of a path: `ValidatePathSegmentName` in `k8s.io/apimachinery`.
fn check_name(api_group: &str, kind: &str, name: &str) -> Result<(), ObjectError> {
    if name.is_empty() {
        return Err(ObjectError::EmptyName);
    }
    if name.len() > SUBDOMAIN_BYTES_MAX {
        return Err(ObjectError::LongName { bytes: name.len() });
    }
    let path_segment =
        api_group == "rbac.authorization.k8s.io" || (api_group == "networking.k8s.io" && kind == "IPAddress");
    if path_segment {
        let bad = |c: char| c == '/' || c == '%' || c.is_control();
        if name == "." || name == ".." || name.contains(bad) {
            let rule = "it may not be `.` or `..` nor contain `/`, `%` or control characters";
            return Err(ObjectError::Name { found: name.to_owned(), rule });
        }
    } else if !is_subdomain(name) {
        let rule = "use lower-case letters, digits, `-` and `.`, with a letter or digit at both ends";
        return Err(ObjectError::Name { found: name.to_owned(), rule });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
