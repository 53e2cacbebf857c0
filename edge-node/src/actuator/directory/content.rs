//! What a file of a directory target holds: a comment for people, and the manifest as JSON, which is YAML.

use std::fmt::Write;

use crate::actuator::DesiredObject;

const HEADER: &str = "# Kept by archipel-edge, which undoes edits made here. Change the layer on the hub.\n";

/// A file without objects. K3s deletes what it applied from the file before.
pub(super) const EMPTIED: &str =
    "# Emptied by archipel-edge, so that K3s deletes what this file held. It goes away by itself after a minute.\n";

/// The file of an object; the same bytes for equal manifests.
pub(super) fn render(object: &DesiredObject) -> String {
    let mut text = HEADER.to_owned();
    // Outside its strings JSON is plain ASCII, so these characters stand in strings, where an escape means the same.
    for c in format!("{:#}\n", object.manifest).chars() {
        if needs_escape(c) {
            // Writing to a string does not fail.
            let _ = write!(text, "\\u{:04x}", u32::from(c));
        } else {
            text.push(c);
        }
    }
    text
}

/// Characters that JSON allows in a string as they are and YAML 1.1 (the one of Kubernetes) does not, or folds like a
/// line break.
fn needs_escape(c: char) -> bool {
    matches!(c, '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_file_is_a_comment_and_the_manifest_as_json() {
        let object =
            DesiredObject::new("/ConfigMap/shop/cart", json!({"kind": "ConfigMap", "data": {"a": "1\n---\n2"}}));
        let text = render(&object);
        let (comment, body) = text.split_once('\n').unwrap();
        assert!(comment.starts_with("# ") && text.ends_with("}\n"));
        assert!(!body.contains("\n---"), "a document separator inside a value stays inside its line");
        assert_eq!(serde_json::from_str::<serde_json::Value>(body).unwrap(), object.manifest);
        assert_eq!(text, render(&object));
    }

    #[test]
    fn characters_that_yaml_would_fold_or_refuse_are_escaped() {
        let value = json!({"data": "a\u{2028}b\u{85}c\u{feff}d\u{7f}e é 船 \u{1f6a2} \u{1} \\ \""});
        let text = render(&DesiredObject::new("k", value.clone()));
        assert!(text.contains(r"a\u2028b\u0085c\ufeffd\u007fe é 船"), "{text}");
        let body = text.split_once('\n').unwrap().1;
        assert_eq!(serde_json::from_str::<serde_json::Value>(body).unwrap(), value);
    }

    #[test]
    fn an_emptied_file_is_one_comment() {
        assert!(EMPTIED.lines().all(|line| line.starts_with('#')) && EMPTIED.ends_with('\n'));
    }
}
