//! Layers over layers: what comes out, where it came from, and what is refused.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn document(objects: Value) -> Map<String, Value> {
    Map::from_iter([(OBJECTS.to_owned(), objects)])
}

fn composed(layers: &[(&str, Value)]) -> Result<Effective, ComposeError> {
    let layers: Vec<_> =
        layers.iter().map(|(name, objects)| (Name::new(name).unwrap(), document(objects.clone()))).collect();
    compose(&layers.iter().map(|(name, document)| LayerState { name, document }).collect::<Vec<_>>())
}

fn config_map(name: &str, data: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": "shop", "name": name}, "data": data})
}

const CART: &str = "core/ConfigMap/shop/cart";

#[test]
fn a_later_layer_changes_adds_and_deletes() {
    let till = "core/ConfigMap/shop/till";
    let effective = composed(&[
        ("base", json!({CART: config_map("cart", json!({"a": "1", "b": "2"}))})),
        ("north", json!({CART: {"data": {"b": null, "c": "3"}}, till: config_map("till", json!({}))})),
    ])
    .unwrap();
    let key: ObjectKey = CART.parse().unwrap();
    assert_eq!(effective.objects.get(&key), Some(&config_map("cart", json!({"a": "1", "c": "3"}))));
    assert_eq!(effective.objects.len(), 2);
    let names = |names: &[&str]| names.iter().map(|name| Name::new(name).unwrap()).collect::<Vec<_>>();
    assert_eq!(effective.origins.get(&key), Some(&names(&["base", "north"])));
    assert_eq!(effective.origins.get(&till.parse().unwrap()), Some(&names(&["north"])));

    let gone = composed(&[
        ("base", json!({CART: config_map("cart", json!({"a": "1"}))})),
        ("north", json!({CART: {"$patch": "delete"}})),
    ]);
    assert_eq!(gone, Ok(Effective::default()));

    let again = composed(&[
        ("base", json!({CART: config_map("cart", json!({"a": "1"}))})),
        ("north", json!({CART: {"$patch": "delete"}})),
        ("pier", json!({CART: config_map("cart", json!({"z": "9"}))})),
    ])
    .unwrap();
    assert_eq!(again.objects.get(&key), Some(&config_map("cart", json!({"z": "9"}))));
    assert_eq!(again.origins.get(&key), Some(&names(&["pier"])));
}

#[test]
fn order_decides() {
    let one = ("one", json!({CART: config_map("cart", json!({"a": "1"}))}));
    let two = ("two", json!({CART: config_map("cart", json!({"a": "2"}))}));
    let value =
        |layers: &[(&str, Value)]| composed(layers).unwrap().objects.into_values().next().unwrap()["data"]["a"].clone();
    assert_eq!(value(&[one.clone(), two.clone()]), json!("2"));
    assert_eq!(value(&[two, one]), json!("1"));
}

#[test]
fn an_explicit_null_of_the_layer_that_gives_the_object_stays() {
    let object = config_map("cart", json!({"a": null}));
    let effective = composed(&[("base", json!({CART: object.clone()}))]).unwrap();
    assert_eq!(effective.objects.into_values().next(), Some(object));
}

#[test]
fn faults_name_the_layer_and_the_object() {
    let table = [
        (json!([]), "layer `north`: `objects` must be a map from keys to objects, not a list"),
        (json!({"cart": {}}), "layer `north`: \"cart\" is not an object key; write"),
        (
            json!({CART: 7}),
            "layer `north`, object `core/ConfigMap/shop/cart`: a Kubernetes object is a map, this is a number",
        ),
        (
            json!({CART: {"data": {}}}),
            "layer `north`, object `core/ConfigMap/shop/cart`: the object has no `apiVersion`",
        ),
        (
            json!({CART: config_map("till", json!({}))}),
            "layer `north`, object `core/ConfigMap/shop/cart`: its apiVersion, kind, namespace and name make it `core/ConfigMap/shop/till`",
        ),
        (
            json!({CART: {"data": {"$patch": "remove"}}}),
            "layer `north`, object `core/ConfigMap/shop/cart`, at `.data`: `$patch` must be",
        ),
    ];
    for (objects, message) in table {
        let found = composed(&[("north", objects)]).unwrap_err().to_string();
        assert!(found.starts_with(message), "{found}");
    }
    let name = Name::new("north").unwrap();
    let document = Map::from_iter([("about".to_owned(), json!({})), ("patches".to_owned(), json!([]))]);
    let error = compose(&[LayerState { name: &name, document: &document }]).unwrap_err();
    assert_eq!(error, ComposeError::Field { layer: name, field: "patches".into() });
}

#[test]
fn nothing_composes_to_nothing() {
    assert_eq!(compose(&[]), Ok(Effective::default()));
    assert_eq!(composed(&[("base", json!({}))]), Ok(Effective::default()));
}

proptest! {
    #[test]
    fn one_layer_is_itself(
        objects in prop::collection::btree_map("[a-z]{1,3}", prop::collection::btree_map("[a-z]", "[a-z]{0,3}", 0..4), 0..4)
    ) {
        let objects: Map<_, _> =
            objects.iter().map(|(name, data)| (format!("core/ConfigMap/shop/{name}"), config_map(name, json!(data)))).collect();
        let effective = composed(&[("base", Value::Object(objects.clone()))]).unwrap();
        let back: Map<_, _> = effective.objects.into_iter().map(|(key, object)| (key.to_string(), object)).collect();
        prop_assert_eq!(back, objects);
    }
}
