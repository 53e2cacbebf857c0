//! File names of a directory target: `archipel-50-deployment-shop-cart-1f3a9c2e.yaml`.
//!
//! K3s names an `Addon` after the part before the first dot and applies files in the order of their names, so the part
//! is an RFC 1123 label, different for different keys, and begins with the stage.

use sync_core::limits::NAME_BYTES_MAX;

use crate::actuator::{Digest, Stage};

const PREFIX: &str = "archipel-";
const EXTENSION: &str = ".yaml";
/// Digits of the key's hash. Two keys collide only when their readable parts are equal as well; that is then refused.
const HASH_DIGITS: usize = 8;
/// What is left for the readable part: the label less the prefix, two digits of stage, two hyphens, and the hash.
const SLUG_BYTES_MAX: usize = NAME_BYTES_MAX - PREFIX.len() - 2 - 2 - HASH_DIGITS;

/// The name of the file that holds the object `key`.
pub(super) fn of(key: &str, stage: Stage) -> String {
    let order = match stage {
        Stage::Namespace => "00",
        Stage::Definition => "10",
        Stage::Support => "30",
        Stage::Workload => "50",
        Stage::Guard => "90",
    };
    // Of `group/kind/namespace/name` the group tells people least; the hash covers it.
    let readable = if key.matches('/').count() == 3 { key.split_once('/').map_or(key, |(_, rest)| rest) } else { key };
    let hash: String = Digest::of(key.as_bytes()).to_string().chars().take(HASH_DIGITS).collect();
    format!("{PREFIX}{order}-{}-{hash}{EXTENSION}", slug(readable))
}

/// True for the names that [`of`] gives. No other file is ever written or deleted, whatever a database says.
pub(super) fn is_ours(file: &str) -> bool {
    let Some(label) = file.strip_suffix(EXTENSION).filter(|label| label.len() <= NAME_BYTES_MAX) else { return false };
    let Some(rest) = label.strip_prefix(PREFIX) else { return false };
    let Some((order, rest)) = rest.split_once('-') else { return false };
    let Some((slug, hash)) = rest.rsplit_once('-') else { return false };
    let is_digit = |byte: u8| byte.is_ascii_digit();
    let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let is_slug = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (order.len() == 2 && order.bytes().all(is_digit))
        && (hash.len() == HASH_DIGITS && hash.bytes().all(is_hex))
        && (!slug.is_empty() && slug.bytes().all(is_slug))
}

/// The name under which a file is written before it is renamed. K3s ignores files with a leading dot; k0s does not, but
/// takes only `.yaml`.
pub(super) fn partial(file: &str) -> String {
    format!(".{file}.partial")
}

/// True for the names that [`partial`] gives to our files.
pub(super) fn is_partial(file: &str) -> bool {
    file.strip_prefix('.').and_then(|file| file.strip_suffix(".partial")).is_some_and(is_ours)
}

/// Lower-case letters, digits, and single hyphens for all else.
fn slug(text: &str) -> String {
    let mut slug = String::new();
    for c in text.chars().map(|c| c.to_ascii_lowercase()) {
        if slug.len() == SLUG_BYTES_MAX {
            break;
        }
        if c.is_ascii_alphanumeric() {
            slug.push(c);
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    let slug = slug.trim_end_matches('-');
    if slug.is_empty() { "object".to_owned() } else { slug.to_owned() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sync_core::id::Name;

    use super::*;

    #[test]
    fn names_are_readable_and_sort_by_stage() {
        let cart = of("apps/Deployment/shop/cart", Stage::Workload);
        assert!(cart.starts_with("archipel-50-deployment-shop-cart-"), "{cart}");
        assert!(of("/Namespace//shop", Stage::Namespace).starts_with("archipel-00-namespace-shop-"));
        assert!(of("/Namespace//shop", Stage::Namespace) < of("x/CRD//a", Stage::Definition));
    }

    #[test]
    fn equal_slugs_are_told_apart_by_the_hash() {
        assert_ne!(of("g/Kind/a-b/c", Stage::Workload), of("g/Kind/a/b-c", Stage::Workload));
        let long = "x".repeat(100);
        assert_ne!(of(&format!("{long}1"), Stage::Workload), of(&format!("{long}2"), Stage::Workload));
    }

    #[test]
    fn only_our_own_names_are_ours() {
        let ours = of("apps/Deployment/shop/cart", Stage::Workload);
        assert!(is_ours(&ours) && is_partial(&partial(&ours)));
        for file in [
            "traefik.yaml",
            "archipel-notes.yaml",
            "archipel-50-cart.yaml",
            "archipel-50--00000000.yaml",
            "archipel-5x-a-00000000.yaml",
            "archipel-50-a-0000000g.yaml",
            "archipel-50-a-00000000.yml",
            "archipel-50-a.b-00000000.yaml",
            "archipel-50-../../etc/passwd-00000000.yaml",
            "archipel-50-a-00000000.yaml.skip",
            ".archipel-50-a-00000000.yaml",
            "",
        ] {
            assert!(!is_ours(file), "{file}");
            assert!(!is_partial(file), "{file}");
        }
    }

    fn any_stage() -> impl Strategy<Value = Stage> {
        prop::sample::select(vec![Stage::Namespace, Stage::Definition, Stage::Support, Stage::Workload, Stage::Guard])
    }

    proptest! {
        #[test]
        fn every_name_is_a_legal_label_and_ours(key in any::<String>(), stage in any_stage()) {
            let file = of(&key, stage);
            let label = file.strip_suffix(".yaml").unwrap();
            prop_assert!(Name::new(label).is_ok(), "{}", label);
            prop_assert!(is_ours(&file), "{}", file);
        }

        #[test]
        fn different_keys_have_different_names(keys in prop::collection::btree_set("[a-c/.-]{0,6}", 0..200)) {
            let names: std::collections::BTreeSet<_> = keys.iter().map(|key| of(key, Stage::Workload)).collect();
            prop_assert_eq!(names.len(), keys.len());
        }
    }
}
