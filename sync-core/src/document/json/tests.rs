//! Reading back, operation counts, merging forks, conflicts and foreign values.

use automerge::{ActorId, ObjType, ROOT, ScalarValue, transaction::Transactable};
use proptest::prelude::*;
use serde_json::json;

use super::*;

fn empty(actor: u8) -> Automerge {
    Automerge::new().with_actor(ActorId::from([actor; 16]))
}

fn map(value: &Value) -> &Map<String, Value> {
    value.as_object().unwrap()
}

fn write(doc: &mut Automerge, target: &Value) -> usize {
    let mut tx = doc.transaction();
    let written = write_json(&mut tx, map(target)).unwrap();
    tx.commit();
    written.operations
}

fn read(doc: &Automerge) -> Value {
    Value::Object(read_json(doc, None).unwrap())
}

/// A document with `value` under actor 1.
fn document(value: &Value) -> Automerge {
    let mut doc = empty(1);
    write(&mut doc, value);
    assert_eq!(&read(&doc), value);
    doc
}

fn fork(doc: &Automerge, actor: u8) -> Automerge {
    doc.fork().with_actor(ActorId::from([actor; 16]))
}

fn deployment() -> Value {
    json!({"objects": {"apps/Deployment/shop/cart": {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "cart", "namespace": "shop"},
        "spec": {"replicas": 2, "template": {"spec": {"containers": [
            {"name": "cart", "image": "cart:1", "args": ["--a", "--b", "--c"],
             "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}, {"name": "C", "value": "3"}],
             "ports": [{"containerPort": 80, "name": "http"}]},
            {"name": "log", "image": "log:1"},
        ]}}},
    }}})
}

/// `deployment()` with one change at a JSON pointer below the object.
fn changed(at: &str, value: Value) -> Value {
    let mut result = deployment();
    *result.pointer_mut(&format!("/objects/apps~1Deployment~1shop~1cart{at}")).unwrap() = value;
    result
}

const POD: &str = "/spec/template/spec";

#[test]
fn a_change_costs_what_it_changes() {
    let container = format!("{POD}/containers/0");
    let env = |names: &[(&str, &str)]| {
        names.iter().map(|(name, value)| json!({"name": name, "value": value})).collect::<Value>()
    };
    let table = [
        ("nothing", deployment(), 0),
        ("scaling", changed("/spec/replicas", json!(3)), 1),
        ("one field of one variable", changed(&format!("{container}/env/1/value"), json!("9")), 1),
        ("an image", changed(&format!("{container}/image"), json!("cart:2")), 1),
        (
            "a port: the item and its fields",
            changed(
                &format!("{container}/ports"),
                json!([{"containerPort": 80, "name": "http"}, {"containerPort": 81, "name": "admin"}]),
            ),
            3,
        ),
        ("a variable goes: one item", changed(&format!("{container}/env"), env(&[("A", "1"), ("C", "3")])), 1),
        (
            "the last variable comes first: delete, insert, two fields",
            changed(&format!("{container}/env"), env(&[("C", "3"), ("A", "1"), ("B", "2")])),
            4,
        ),
        (
            "a variable in front and one changed",
            changed(&format!("{container}/env"), env(&[("Z", "0"), ("A", "1"), ("B", "9"), ("C", "3")])),
            4,
        ),
        ("one argument is replaced", changed(&format!("{container}/args"), json!(["--a", "--x", "--c"])), 1),
        ("one argument comes", changed(&format!("{container}/args"), json!(["--a", "--x", "--b", "--c"])), 1),
        ("one argument goes", changed(&format!("{container}/args"), json!(["--a", "--c"])), 1),
        ("another type", changed("/spec/replicas", json!("2")), 1),
        ("everything goes: one root field", json!({}), 1),
    ];
    for (what, target, operations) in table {
        let mut doc = document(&deployment());
        assert_eq!(write(&mut doc, &target), operations, "{what}");
        assert_eq!(read(&doc), target, "{what}");
    }
}

#[test]
fn numbers_of_another_writer_are_not_rewritten() {
    let mut doc = empty(1);
    let mut tx = doc.transaction();
    tx.put(ROOT, "uint", ScalarValue::Uint(1)).unwrap();
    tx.put(ROOT, "int", 1_i64).unwrap();
    tx.commit();
    assert_eq!(write(&mut doc, &json!({"uint": 1, "int": 1})), 0);
    assert_eq!(write(&mut doc, &json!({"uint": 1.0, "int": 1})), 1);
}

#[test]
fn numbers_keep_their_value_and_type() {
    let numbers = json!([0, -1, i64::MIN, i64::MAX, u64::MAX, 1.0, 0.1, 1e300]);
    assert_eq!(read(&document(&json!({"n": numbers}))).to_string(), json!({"n": numbers}).to_string());
}

#[test]
fn edits_of_different_fields_merge() {
    let base = document(&deployment());
    let container = format!("{POD}/containers/0");
    let (mut one, mut two) = (fork(&base, 2), fork(&base, 3));
    write(&mut one, &changed(&format!("{container}/image"), json!("cart:2")));
    write(&mut two, &changed(&format!("{container}/env/2/value"), json!("9")));
    one.merge(&mut two).unwrap();
    two.merge(&mut one).unwrap();

    let mut both = changed(&format!("{container}/image"), json!("cart:2"));
    let env = format!("/objects/apps~1Deployment~1shop~1cart{container}/env/2/value");
    *both.pointer_mut(&env).unwrap() = json!("9");
    assert_eq!(read(&one), both);
    assert_eq!(read(&two), both);
    assert_eq!(conflicts(&one, None).unwrap(), []);
}

#[test]
fn concurrent_values_are_a_conflict_until_one_is_written() {
    let base = document(&deployment());
    let (mut one, mut two) = (fork(&base, 2), fork(&base, 3));
    write(&mut one, &changed("/spec/replicas", json!(3)));
    write(&mut two, &changed("/spec/replicas", json!({"min": 4})));
    one.merge(&mut two).unwrap();
    two.merge(&mut one).unwrap();

    let found = conflicts(&one, None).unwrap();
    assert_eq!(found, conflicts(&two, None).unwrap());
    let [conflict] = &found[..] else { panic!("one conflict, not {found:?}") };
    assert_eq!(pointer(&conflict.path), "/objects/apps~1Deployment~1shop~1cart/spec/replicas");
    assert_eq!(conflict.values, [json!({"min": 4}), json!(3)]);
    assert_eq!(conflict.values.first(), read(&one).pointer(&pointer(&conflict.path)));
    assert_eq!(conflicts(&one, Some(&base.get_heads())).unwrap(), []);

    let heads = one.get_heads();
    let shown = read(&one);
    assert_eq!(write(&mut one, &shown), 0);
    write(&mut one, &changed("/spec/replicas", json!(5)));
    assert_eq!(conflicts(&one, None).unwrap(), []);
    assert_eq!(conflicts(&one, Some(&heads)).unwrap(), found);
}

#[test]
fn equal_concurrent_values_are_no_conflict() {
    let base = document(&deployment());
    let (mut one, mut two) = (fork(&base, 2), fork(&base, 3));
    write(&mut one, &changed("/spec/replicas", json!(3)));
    write(&mut two, &changed("/spec/replicas", json!(3)));
    one.merge(&mut two).unwrap();
    assert_eq!(conflicts(&one, None).unwrap(), []);
}

#[test]
fn conflicts_in_list_elements_are_found() {
    let base = document(&json!({"args": ["a", "b"]}));
    let (mut one, mut two) = (fork(&base, 2), fork(&base, 3));
    write(&mut one, &json!({"args": ["a", "c"]}));
    write(&mut two, &json!({"args": ["a", "d"]}));
    one.merge(&mut two).unwrap();
    let found = conflicts(&one, None).unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].path, [PathSegment::Key("args".into()), PathSegment::Index(1)]);
    assert_eq!(found[0].values, [json!("d"), json!("c")]);
}

#[test]
fn an_older_version_is_read_at_its_heads() {
    let mut doc = document(&json!({"a": 1, "list": [1, 2, {"x": []}]}));
    let heads = doc.get_heads();
    write(&mut doc, &json!({"a": 2, "list": [2, {"x": [1]}]}));
    assert_eq!(Value::Object(read_json(&doc, Some(&heads)).unwrap()), json!({"a": 1, "list": [1, 2, {"x": []}]}));
    assert_eq!(read_json(&doc, Some(&[])).unwrap(), Map::new());
    let unknown = ChangeHash([7; 32]);
    assert!(matches!(read_json(&doc, Some(&[unknown])), Err(JsonError::UnknownHead { .. })));
    assert!(matches!(conflicts(&doc, Some(&[unknown])), Err(JsonError::UnknownHead { .. })));
}

#[test]
fn what_is_no_json_is_refused_where_it_stands() {
    let text = |tx: &mut Transaction<'_>, list: &automerge::ObjId| {
        let text = tx.insert_object(list, 1, ObjType::Text).unwrap();
        tx.splice_text(&text, 0, 0, "hello").unwrap();
    };
    let scalar = |value: ScalarValue| {
        move |tx: &mut Transaction<'_>, list: &automerge::ObjId| tx.insert(list, 1, value.clone()).unwrap()
    };
    type Write = Box<dyn Fn(&mut Transaction<'_>, &automerge::ObjId)>;
    let table: [(&str, Write); 5] = [
        ("a text object", Box::new(text)),
        ("a counter", Box::new(scalar(ScalarValue::counter(1)))),
        ("a time", Box::new(scalar(ScalarValue::Timestamp(1)))),
        ("bytes", Box::new(scalar(ScalarValue::Bytes(vec![1])))),
        ("a number that is not finite", Box::new(scalar(ScalarValue::F64(f64::NAN)))),
    ];
    for (expected, write) in table {
        let mut doc = empty(1);
        let mut tx = doc.transaction();
        let list = tx.put_object(ROOT, "list", ObjType::List).unwrap();
        tx.insert(&list, 0, 1).unwrap();
        write(&mut tx, &list);
        tx.commit();
        let refused = |error: JsonError| {
            let JsonError::Foreign { at, found } = error else { panic!("{error}") };
            (at, found)
        };
        assert_eq!(refused(read_json(&doc, None).unwrap_err()), ("/list/1".to_owned(), expected));
        assert_eq!(refused(conflicts(&doc, None).unwrap_err()).1, expected);
        let mut tx = doc.transaction();
        assert_eq!(refused(write_json(&mut tx, &Map::new()).unwrap_err()).1, expected);
        assert_eq!(tx.rollback(), 0);
    }
}

fn nested(depth: usize) -> Value {
    (1..depth).fold(json!({}), |inner, _| json!({ "a": inner }))
}

#[test]
fn bounds_are_checked_before_anything_is_written() {
    let long = "k".repeat(DOCUMENT_KEY_BYTES_MAX + 1);
    let refused = |target: &Value| {
        let mut doc = empty(1);
        let mut tx = doc.transaction();
        let error = write_json(&mut tx, map(target)).unwrap_err();
        assert_eq!(tx.rollback(), 0);
        error
    };
    assert!(matches!(refused(&json!({"a": 1, "m": {long: 1}})), JsonError::Key { at, .. } if at == "/m"));
    assert!(
        matches!(refused(&json!({"a": 1, "t": "x".repeat(VALUE_BYTES_MAX + 1)})), JsonError::Text { at, .. } if at == "/t")
    );
    assert!(matches!(refused(&nested(DOCUMENT_DEPTH_MAX + 1)), JsonError::Depth { .. }));
    document(&nested(DOCUMENT_DEPTH_MAX));
}

#[test]
fn a_document_nested_too_deep_is_refused() {
    let mut doc = empty(1);
    let mut tx = doc.transaction();
    let mut object = ROOT;
    for _ in 0..20_000 {
        object = tx.put_object(&object, "a", ObjType::Map).unwrap();
    }
    tx.commit();
    assert!(matches!(read_json(&doc, None), Err(JsonError::Depth { .. })));
}

#[test]
fn empty_keys_and_odd_texts_are_kept() {
    document(&json!({"": {"": [""]}, "a/b~c": "\u{0}\u{1F980}", "$patch": "delete"}));
}

/// JSON with few keys and values, so that two of them have much in common; with keyed lists.
fn json_map() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-2..3_i64).prop_map(Value::from),
        Just(json!(u64::MAX)),
        Just(json!(0.5)),
        "[ab]{0,2}".prop_map(Value::from),
    ];
    let tree = scalar.prop_recursive(4, 40, 5, |inner| {
        let fields = prop::collection::btree_map("[a-c]", inner.clone(), 0..4).prop_map(|map| json!(map));
        let item = (fields.clone(), "[A-E]").prop_map(|(mut item, name)| {
            item["name"] = json!(name);
            item
        });
        let env = prop::collection::vec(item, 0..5).prop_map(|env| json!({ "env": env }));
        prop_oneof![fields, env, prop::collection::vec(inner, 0..6).prop_map(Value::Array)]
    });
    prop::collection::btree_map("[a-c]|env", tree, 0..4).prop_map(|map| json!(map))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn what_is_written_is_read_and_written_once(a in json_map(), b in json_map()) {
        let mut doc = document(&a);
        let before = doc.get_heads();
        let operations = write(&mut doc, &b);
        prop_assert_eq!(operations == 0, a == b);
        prop_assert_eq!(read(&doc), b.clone());
        prop_assert_eq!(write(&mut doc, &b), 0);
        prop_assert_eq!(Value::Object(read_json(&doc, Some(&before)).unwrap()), a);
    }

    #[test]
    fn forks_that_change_different_fields_merge_to_both(a in json_map(), x in json_map(), y in json_map()) {
        let with = |x: &Value, y: &Value| json!({"spec": {"x": x, "y": y, "rest": a}});
        let base = document(&with(&a, &a));
        let (mut one, mut two) = (fork(&base, 2), fork(&base, 3));
        write(&mut one, &with(&x, &a));
        write(&mut two, &with(&a, &y));
        one.merge(&mut two).unwrap();
        two.merge(&mut one).unwrap();
        prop_assert_eq!(read(&one), with(&x, &y));
        prop_assert_eq!(read(&two), with(&x, &y));
        prop_assert_eq!(conflicts(&one, None).unwrap(), vec![]);
    }

    #[test]
    fn replicas_with_the_same_changes_show_the_same(a in json_map(), b in json_map(), c in json_map()) {
        let base = document(&a);
        let (mut one, mut two) = (fork(&base, 2), fork(&base, 3));
        write(&mut one, &b);
        write(&mut two, &c);
        one.merge(&mut two).unwrap();
        two.merge(&mut one).unwrap();
        prop_assert_eq!(read(&one), read(&two));
        prop_assert_eq!(conflicts(&one, None).unwrap(), conflicts(&two, None).unwrap());
        // A merge can leave what no writer wrote, such as one key twice in a list; it must still be writable.
        write(&mut one, &b);
        prop_assert_eq!(read(&one), b);
    }
}
