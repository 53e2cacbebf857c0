//! Strategic merge by example, by property and against `kubectl`.

use std::process::Command;

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn merged(base: &Value, overlay: &Value) -> Value {
    let mut result = base.clone();
    strategic_merge(&mut result, overlay);
    result
}

#[test]
fn overlays_merge_as_the_rules_say() {
    let table = [
        ("maps merge", json!({"a": {"x": 1}}), json!({"a": {"y": 2}}), json!({"a": {"x": 1, "y": 2}})),
        ("null deletes", json!({"a": 1, "b": 2}), json!({"a": null}), json!({"b": 2})),
        ("null of nothing is nothing", json!({}), json!({"a": null, "b": {"c": null}}), json!({"b": {}})),
        ("nulls of the base stay", json!({"a": null}), json!({"b": 1}), json!({"a": null, "b": 1})),
        ("types change", json!({"a": {"x": 1}}), json!({"a": [1]}), json!({"a": [1]})),
        ("other lists are replaced", json!({"args": ["a", "b"]}), json!({"args": ["c"]}), json!({"args": ["c"]})),
        (
            "keyed lists keep the base's order and append",
            json!({"env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]}),
            json!({"env": [{"name": "D"}, {"name": "B", "value": "3"}, {"name": "C"}]}),
            json!({"env": [{"name": "A", "value": "1"}, {"name": "B", "value": "3"}, {"name": "D"}, {"name": "C"}]}),
        ),
        (
            "an empty keyed list changes nothing",
            json!({"env": [{"name": "A"}]}),
            json!({"env": []}),
            json!({"env": [{"name": "A"}]}),
        ),
        (
            "an item is deleted",
            json!({"env": [{"name": "A"}, {"name": "B"}]}),
            json!({"env": [{"name": "A", "$patch": "delete"}]}),
            json!({"env": [{"name": "B"}]}),
        ),
        (
            "an item is deleted and added again",
            json!({"env": [{"name": "A", "value": "1"}]}),
            json!({"env": [{"name": "A", "$patch": "delete"}, {"name": "A", "valueFrom": {}}]}),
            json!({"env": [{"name": "A", "valueFrom": {}}]}),
        ),
        (
            "a list is replaced",
            json!({"env": [{"name": "A"}]}),
            json!({"env": [{"$patch": "replace"}, {"name": "B"}]}),
            json!({"env": [{"name": "B"}]}),
        ),
        (
            "a map is replaced",
            json!({"strategy": {"rollingUpdate": {"maxSurge": 1}}}),
            json!({"strategy": {"$patch": "replace", "type": "Recreate"}}),
            json!({"strategy": {"type": "Recreate"}}),
        ),
        ("a map is emptied", json!({"a": {"x": 1}}), json!({"a": {"$patch": "delete"}}), json!({"a": {}})),
        ("nothing is emptied", json!({}), json!({"a": {"$patch": "delete"}}), json!({})),
        (
            "other fields are not retained",
            json!({"volumes": [{"name": "v", "configMap": {"name": "c"}}]}),
            json!({"volumes": [{"name": "v", "$retainKeys": ["name", "emptyDir"], "emptyDir": {}}]}),
            json!({"volumes": [{"name": "v", "emptyDir": {}}]}),
        ),
        (
            "ports differ by protocol",
            json!({"containers": [{"name": "dns", "ports": [{"containerPort": 53}]}]}),
            json!({"containers": [{"name": "dns", "ports": [{"containerPort": 53, "protocol": "UDP", "name": "u"}, {"containerPort": 53, "name": "t"}]}]}),
            json!({"containers": [{"name": "dns", "ports": [{"containerPort": 53, "name": "t"}, {"containerPort": 53, "protocol": "UDP", "name": "u"}]}]}),
        ),
        (
            "of repeated items the first is merged",
            json!({"env": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]}),
            json!({"env": [{"name": "A", "value": "3"}]}),
            json!({"env": [{"name": "A", "value": "3"}, {"name": "A", "value": "2"}]}),
        ),
        (
            "a list without its key is replaced",
            json!({"env": [{"name": "A"}]}),
            json!({"env": [{"value": "1"}]}),
            json!({"env": [{"value": "1"}]}),
        ),
        ("data with a dollar sign stays", json!({}), json!({"$ref": "#/a"}), json!({"$ref": "#/a"})),
    ];
    for (rule, base, overlay, expected) in table {
        assert_eq!(merged(&base, &overlay), expected, "{rule}");
    }
}

#[test]
fn directives_that_cannot_be_obeyed_are_named_with_their_path() {
    let table = [
        (
            json!({"a": {"$patch": "remove"}}),
            Some("at `.a`: `$patch` must be `delete` or `replace`, not `remove`; leave it out to merge"),
        ),
        (
            json!({"a": {"$patch": 1}}),
            Some("at `.a`: `$patch` must be `delete` or `replace`, not a number; leave it out to merge"),
        ),
        (json!({"a": {"$retainKeys": "x"}}), Some("at `.a`: `$retainKeys` must be a list of field names")),
        (json!({"a": [{"$patch": "replace"}], "b": {"$patch": "replace", "x": 1}, "$ref": 1}), None),
    ];
    for (overlay, expected) in table {
        let found = check_directives(&overlay).map_err(|error| error.to_string());
        assert_eq!(found.err().as_deref(), expected, "{overlay}");
    }
    let item = json!({"env": [{"name": "B"}, {"$patch": "replace", "name": "A"}]});
    assert_eq!(check_directives(&item), Err(DirectiveError::ReplaceItem { at: ".env[1]".into() }));
    let order = json!({"$setElementOrder/env": []});
    assert!(matches!(check_directives(&order), Err(DirectiveError::Unsupported { .. })));
}

/// Objects with few keys, so that overlays meet their base; with keyed lists, positional lists, nulls and directives.
fn tree() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        2 => Just(Value::Null),
        4 => (0..3_i64).prop_map(Value::from),
        1 => Just(json!("text")),
    ];
    scalar.prop_recursive(4, 32, 4, |inner| {
        let name = || prop::sample::select(vec!["a", "b", "c"]);
        let patch = || prop::option::weighted(0.15, prop::sample::select(vec!["delete", "replace"]));
        let with_patch = |(mut map, patch): (Map<String, Value>, Option<&str>)| {
            map.extend(patch.map(|patch| (PATCH.to_owned(), json!(patch))));
            map
        };
        let fields = prop::collection::btree_map(name().prop_map(str::to_owned), inner.clone(), 0..3)
            .prop_map(|fields| fields.into_iter().collect::<Map<_, _>>());
        let map = (fields, patch()).prop_map(with_patch);
        let item = (map.clone(), prop::option::weighted(0.95, name()), patch()).prop_map(|(mut map, name, patch)| {
            map.extend(name.map(|name| ("name".to_owned(), json!(name))));
            map.extend(patch.map(|patch| (PATCH.to_owned(), json!(patch))));
            Value::Object(map)
        });
        let keyed = prop::collection::vec(prop_oneof![20 => item, 1 => inner.clone()], 0..4);
        prop_oneof![
            3 => map.clone().prop_map(Value::Object),
            3 => (map, keyed).prop_map(|(mut map, env)| {
                map.insert("env".into(), env.into());
                Value::Object(map)
            }),
            1 => prop::collection::vec(inner, 0..4).prop_map(Value::Array),
        ]
    })
}

/// The same without directives: something that may be in a cluster.
fn object() -> impl Strategy<Value = Value> {
    tree().prop_map(|mut value| {
        strip_directives(&mut value);
        value
    })
}

fn has_directive(value: &Value) -> bool {
    match value {
        Value::Object(map) => map.iter().any(|(key, value)| is_directive(key) || has_directive(value)),
        Value::Array(list) => list.iter().any(has_directive),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn merging_twice_is_merging_once(base in object(), overlay in tree()) {
        let once = merged(&base, &overlay);
        prop_assert_eq!(merged(&once, &overlay), once);
    }

    #[test]
    fn an_empty_overlay_changes_nothing(base in object()) {
        prop_assume!(base.is_object());
        prop_assert_eq!(merged(&base, &json!({})), base);
    }

    #[test]
    fn no_directive_survives(base in object(), overlay in tree()) {
        prop_assert!(!has_directive(&base));
        prop_assert!(!has_directive(&merged(&base, &overlay)));
    }
}

/// Orders keyed lists by key: Kubernetes puts new items first, we put them last (see the module's documentation).
fn in_key_order(value: &mut Value, field: ListField<'_>) {
    match value {
        Value::Object(map) => map.iter_mut().for_each(|(key, value)| in_key_order(value, field.child(key))),
        Value::Array(list) => {
            list.iter_mut().for_each(|item| in_key_order(item, field));
            if let Some(key) = NaturalKey::of_field(field) {
                list.sort_by_key(|item| key.of_item(item));
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn deployment() -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "cart", "labels": {"app": "cart", "tier": "web"}},
        "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "cart"}}, "template": {"spec": {
            "containers": [
                {"name": "cart", "image": "cart:1", "args": ["a", "b"],
                 "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
                 "ports": [{"containerPort": 80, "name": "http"}],
                 "volumeMounts": [{"mountPath": "/data", "name": "data"}]},
                {"name": "log", "image": "log:1"},
            ],
            "hostAliases": [{"ip": "10.0.0.1", "hostnames": ["a"]}],
            "imagePullSecrets": [{"name": "one"}],
            "tolerations": [{"key": "k", "operator": "Exists"}],
            "volumes": [{"name": "data", "configMap": {"name": "c"}}],
        }}},
    })
}

#[test]
fn kubectl_merges_a_deployment_to_the_same_result() {
    if Command::new("kubectl").args(["version", "--client"]).output().is_err() {
        eprintln!(
            "SKIPPED kubectl_merges_a_deployment_to_the_same_result: `kubectl` is not on PATH, so nothing was compared"
        );
        return;
    }
    let pod = |spec: Value| json!({"spec": {"template": {"spec": spec}}});
    let container = |fields: Value| pod(json!({"containers": [merged(&json!({"name": "cart"}), &fields)]}));
    let overlays = [
        json!({}),
        json!({"metadata": {"labels": {"tier": null, "site": "north"}}, "spec": {"replicas": 3}}),
        json!({"spec": {"selector": {"$patch": "replace", "matchLabels": {"site": "north"}}}}),
        json!({"spec": {"selector": {"$patch": "delete"}}}),
        container(
            json!({"image": "cart:2", "args": ["c"], "env": [{"name": "B", "value": "3"}, {"name": "C", "value": "4"}]}),
        ),
        container(json!({"ports": [{"containerPort": 81}, {"containerPort": 80, "name": "web"}]})),
        container(
            json!({"volumeMounts": [{"mountPath": "/data", "readOnly": true}, {"mountPath": "/tmp", "name": "data"}]}),
        ),
        pod(json!({"containers": [{"name": "cart", "env": [{"name": "A", "$patch": "delete"}]}]})),
        pod(json!({"containers": [{"name": "cart", "args": null}, {"name": "new", "image": "new:1"}]})),
        pod(json!({"containers": [{"$patch": "replace"}, {"name": "only", "image": "only:1"}]})),
        pod(json!({"containers": [{"$patch": "delete", "name": "log"}, {"name": "log", "tty": true}]})),
        pod(json!({"containers": []})),
        pod(json!({"tolerations": [{"key": "other"}], "imagePullSecrets": [{"name": "two"}]})),
        pod(json!({"hostAliases": [{"ip": "10.0.0.2", "hostnames": ["b"]}, {"ip": "10.0.0.1", "hostnames": ["c"]}]})),
        pod(json!({"volumes": [{"name": "data", "$retainKeys": ["name", "emptyDir"], "emptyDir": {}}]})),
        pod(json!({"securityContext": {"runAsUser": 1, "fsGroup": null}})),
    ];
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("deployment.json");
    std::fs::write(&file, deployment().to_string()).unwrap();
    for overlay in overlays {
        let output = Command::new("kubectl")
            .args(["patch", "--local", "--type=strategic", "-o", "json", "-f"])
            .arg(&file)
            .args(["-p", &overlay.to_string()])
            .env("HOME", folder.path())
            .env("KUBECONFIG", folder.path().join("none"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{overlay}: {}", String::from_utf8_lossy(&output.stderr));
        let mut theirs: Value = serde_json::from_slice(&output.stdout).unwrap();
        let mut ours = merged(&deployment(), &overlay);
        in_key_order(&mut theirs, ListField::ROOT);
        in_key_order(&mut ours, ListField::ROOT);
        assert_eq!(ours, theirs, "{overlay}");
    }
}
