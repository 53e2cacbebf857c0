//! Keys of objects: what is accepted, what is refused and with which words.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn object(api_version: &str, kind: &str, namespace: &str, name: &str) -> Value {
    json!({"apiVersion": api_version, "kind": kind, "metadata": {"namespace": namespace, "name": name}})
}

#[test]
fn a_key_is_read_from_an_object() {
    let table = [
        (object("apps/v1", "Deployment", "shop", "cart"), "apps/Deployment/shop/cart"),
        (object("apps/v1beta1", "Deployment", "shop", "cart"), "apps/Deployment/shop/cart"),
        (object("v1", "Service", "shop", "cart"), "core/Service/shop/cart"),
        (json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}), "core/Namespace//shop"),
        (
            object("rbac.authorization.k8s.io/v1", "ClusterRole", "", "system:auth-delegator"),
            "rbac.authorization.k8s.io/ClusterRole//system:auth-delegator",
        ),
        (object("networking.k8s.io/v1", "IPAddress", "", "2001:db8::1"), "networking.k8s.io/IPAddress//2001:db8::1"),
        (
            object("apiextensions.k8s.io/v1", "CustomResourceDefinition", "", "charts.helm.cattle.io"),
            "apiextensions.k8s.io/CustomResourceDefinition//charts.helm.cattle.io",
        ),
    ];
    for (object, text) in table {
        let key = ObjectKey::of(&object).unwrap();
        assert_eq!(key.to_string(), text);
        assert_eq!(text.parse::<ObjectKey>(), Ok(key));
    }
}

#[test]
fn what_is_no_object_is_refused_by_the_field_that_is_wrong() {
    let long = "a".repeat(254);
    let named = |name: Value| json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}});
    let table = [
        (json!([]), ObjectError::NotAMap { found: "a list" }),
        (json!({"kind": "Pod", "metadata": {"name": "a"}}), ObjectError::Missing { field: "apiVersion" }),
        (json!({"apiVersion": "v1", "metadata": {"name": "a"}}), ObjectError::Missing { field: "kind" }),
        (json!({"apiVersion": "v1", "kind": "Pod"}), ObjectError::Missing { field: "metadata.name" }),
        (json!({"apiVersion": "v1", "kind": "Pod", "metadata": {}}), ObjectError::Missing { field: "metadata.name" }),
        (json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"generateName": "a-"}}), ObjectError::GenerateName),
        (
            json!({"apiVersion": 1, "kind": "Pod", "metadata": {"name": "a"}}),
            ObjectError::WrongType { field: "apiVersion", expected: "a text", found: "a number" },
        ),
        (
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": "a"}),
            ObjectError::WrongType { field: "metadata", expected: "a map", found: "a text" },
        ),
        (named(json!(7)), ObjectError::WrongType { field: "metadata.name", expected: "a text", found: "a number" }),
        (named(json!("")), ObjectError::EmptyName),
        (named(json!(long)), ObjectError::LongName { bytes: 254 }),
        (object("core/v1", "Pod", "", "a"), ObjectError::CoreGroup),
        (object("apps/v1/x", "Pod", "", "a"), ObjectError::ApiVersion { found: "apps/v1/x".into() }),
        (object("/v1", "Pod", "", "a"), ObjectError::ApiVersion { found: "/v1".into() }),
        (object("", "Pod", "", "a"), ObjectError::ApiVersion { found: String::new() }),
        (object("Apps/v1", "Pod", "", "a"), ObjectError::Group { found: "Apps".into() }),
        (object("v1", "", "", "a"), ObjectError::Kind { found: String::new() }),
        (object("v1", "Pod/x", "", "a"), ObjectError::Kind { found: "Pod/x".into() }),
        (object("v1", "Pod", "a.b", "a"), ObjectError::Namespace { found: "a.b".into() }),
    ];
    for (object, error) in table {
        assert_eq!(ObjectKey::of(&object), Err(error), "{object}");
    }
}

#[test]
fn only_some_kinds_may_have_names_that_are_no_dns_subdomains() {
    for name in ["system:node", "Cart", "a_b", "-a", "a-", "a..b", ".", "a/b", "a%b", "é"] {
        assert!(matches!(ObjectKey::new("apps", "Deployment", "", name), Err(ObjectError::Name { .. })), "{name}");
    }
    for name in ["system:node", "Cart", "a_b", "a..b"] {
        assert!(ObjectKey::new("rbac.authorization.k8s.io", "ClusterRole", "", name).is_ok(), "{name}");
    }
    for name in [".", "..", "a/b", "a%b", "a\nb"] {
        let key = ObjectKey::new("rbac.authorization.k8s.io", "ClusterRole", "", name);
        assert!(matches!(key, Err(ObjectError::Name { .. })), "{name}");
    }
}

#[test]
fn a_text_that_is_no_key_is_refused() {
    for text in ["", "apps", "apps/Deployment/cart", "apps/Deployment/shop/cart/x", "/Service/shop/cart"] {
        assert_eq!(text.parse::<ObjectKey>(), Err(ObjectError::Text { found: text.to_owned() }));
    }
}

proptest! {
    #[test]
    fn the_text_form_reads_back(
        group in "([a-z0-9]{1,4}(\\.[a-z0-9]{1,4}){0,2})?",
        kind in "[A-Z][A-Za-z0-9]{0,8}",
        namespace in "([a-z0-9]([-a-z0-9]{0,4}[a-z0-9])?)?",
        name in "[a-z0-9]{1,4}(\\.[a-z0-9]{1,4}){0,2}",
    ) {
        prop_assume!(group != CORE_GROUP);
        let key = ObjectKey::new(&group, &kind, &namespace, &name).unwrap();
        prop_assert_eq!(key.to_string().parse::<ObjectKey>(), Ok(key));
    }

    #[test]
    fn whatever_parses_prints_as_it_was(text in "([a-z./]{0,6}/){3}[a-z:.]{0,6}") {
        if let Ok(key) = text.parse::<ObjectKey>() {
            prop_assert_eq!(key.to_string(), text);
        }
    }
}
