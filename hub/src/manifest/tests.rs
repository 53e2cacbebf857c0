//! Tests of the manifest reader.

use std::fs;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::limits::{MANIFEST_FILE_BYTES_MAX, OBJECT_BYTES_MAX};

fn read(text: &str) -> Result<ParsedLayer, ManifestError> {
    read_stream("f.yaml", text.as_bytes())
}

/// A ConfigMap whose `data` is this flow or block text.
fn config(data: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: a}}\ndata:{data}\n")
}

fn data(text: &str) -> Value {
    let layer = read(&config(text)).unwrap_or_else(|error| panic!("{text}: {error}"));
    layer.objects[0].object["data"].clone()
}

fn keys(layer: &ParsedLayer) -> Vec<&str> {
    layer.objects.iter().map(|object| object.key.as_str()).collect()
}

#[test]
fn scalars_are_read_as_kubectl_reads_them() {
    let table = [
        (" {v: 0644}", json!(420)),
        (" {v: yes}", json!(true)),
        (" {v: 'yes'}", json!("yes")),
        (" {v: \"0644\"}", json!("0644")),
        (" {v: 18446744073709551615}", json!(u64::MAX)),
        (" {v: 1.0}", json!(1)),
        (" {v: ~}", json!(null)),
        ("\n  v: |-\n    yes", json!("yes")),
        ("\n  v: |- # why\n    0644", json!("0644")),
        ("\n  v: >-\n\n    on", json!("\non")),
        ("\n  v: &a |-\n    no\n  w: 1", json!("no")),
        ("\n  v:\n    yes", json!(true)),
        ("\n  v: a\n    b", json!("a b")),
        ("\n  v: |\n    é: \"x\n     &y", json!("é: \"x\n &y\n")),
        ("\n  u: foo |\n  v: off", json!(false)),
        ("\n  u: &x 0644\n  v: *x", json!(420)),
        ("\n  u: &x 'on'\n  v: *x", json!("on")),
        ("\n  u: &x # why\n    on\n  v: *x", json!(true)),
        ("\n  u: [&x 1, &x 2]\n  v: *x", json!(2)),
        ("\n  u: &m {k: 0x10}\n  v: *m", json!({"k": 16})),
        ("\n  u: &m {k: &x 1}\n  w: &x 2\n  z: *m\n  v: *x", json!(2)),
        ("\n  u: &m {k: 1, l: 2}\n  v: {<<: *m, l: 3}", json!({"k": 1, "l": 3})),
        ("\n  u: &m {k: 1}\n  v: {<<: [*m, {k: 2, l: 2}]}", json!({"k": 1, "l": 2})),
        ("\n  v: {\"<<\": 1}", json!({"<<": 1})),
        ("\n  v:\n    ? |-\n      on\n    : 1", json!({"on": 1})),
        ("\n  u: &x k\n  v: {*x : 1}", json!({"k": 1})),
        ("\n  u: &m {k: 1}\n  v: {l: 2, <<: *m, <<x: 3}", json!({"k": 1, "l": 2, "<<x": 3})),
        ("\n  u: &e\n  v: [*e, &f , *f]", json!([null, null, null])),
        ("\n  v:", json!(null)),
        ("\n  v: {}", json!({})),
        ("\r\n  v: 0644\r", json!(420)),
    ];
    for (text, expected) in table {
        assert_eq!(data(text)["v"], expected, "{text}");
    }
    let with_mark = format!("\u{feff}{}", config(" {v: 0644}"));
    assert_eq!(read(&with_mark).unwrap().objects[0].object["data"]["v"], json!(420));
}

#[test]
fn documents_lists_and_empty_documents_become_objects() {
    let text = "\
# a comment
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
---
---
# nothing
---
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: Namespace, metadata: {name: shop}}
- apiVersion: rbac.authorization.k8s.io/v1
  kind: ClusterRole
  metadata: {name: \"system:x\"}
...
";
    let layer = read(text).unwrap();
    assert_eq!(
        keys(&layer),
        ["apps/Deployment/shop/web", "core/Namespace//shop", "rbac.authorization.k8s.io/ClusterRole//system:x"]
    );
    let places: Vec<String> = layer.objects.iter().map(|object| object.source.to_string()).collect();
    assert_eq!(places, ["f.yaml:3:1", "f.yaml:13:3", "f.yaml:14:3"]);
}

#[test]
fn json_is_read_and_checked_too() {
    let json = r#"{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "n": 1.0, "t": "\ud83d\ude00"}"#;
    let layer = read_stream("f.json", format!("{json}\n").as_bytes()).unwrap();
    assert_eq!(layer.objects[0].object["n"], json!(1));
    assert_eq!(layer.objects[0].object["t"], json!("\u{1f600}"));
    assert_eq!(read(json).unwrap().objects[0].object, layer.objects[0].object);
    let table = [
        ("{\"a\": 1,\n \"a\": 2}", "f.json:2:4: the key `a` is in this map twice; delete one of them"),
        ("{}\n{,}", "f.json:2:2: malformed JSON: key must be a string"),
        ("null", "f.json holds no object; an empty layer is deleted with `layer delete`, not applied"),
        ("[1]", "f.json:1:1: a Kubernetes object is a map, this is a list"),
        ("{\"a\": 1e999}", "f.json:1:11: malformed JSON: number out of range"),
    ];
    for (text, message) in table {
        assert_eq!(read_stream("f.json", text.as_bytes()).unwrap_err().to_string(), message, "{text}");
    }
}

#[test]
fn every_mistake_is_named_with_its_place() {
    let head = "apiVersion: v1\nkind: ConfigMap\n";
    let object = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n";
    let table = [
        (
            "a: b\nc: 1\n d: 2\n".to_owned(),
            "f.yaml:3:3: malformed YAML: mapping values are not allowed in this context",
        ),
        (format!("{object}data: {{a: *x}}\n"), "f.yaml:4:11: malformed YAML: while parsing node, found unknown anchor"),
        (
            format!("{object}data:\n  k: 1\n  k: 2\n"),
            "f.yaml:6:3: the key `k` is in this map twice, first at f.yaml:5:3; delete one of them",
        ),
        (
            format!("{object}data: {{1: a}}\n"),
            "f.yaml:4:8: the key `1` is not a string; put it in quotes if it is meant as text",
        ),
        (
            format!("{object}data:\n  on: a\n"),
            "f.yaml:5:3: the key `on` is not a string; put it in quotes if it is meant as text",
        ),
        (
            format!("{object}data: {{[a]: b}}\n"),
            "f.yaml:4:8: the key `[a]` is not a string; put it in quotes if it is meant as text",
        ),
        (
            format!("{object}data: {{a: !!str 1}}\n"),
            "f.yaml:4:11: the tag `!!str` is not accepted; leave it out, and put the value in quotes if it is meant as text",
        ),
        (
            format!("{object}data: !env\n  a: 1\n"),
            "f.yaml:4:7: the tag `!env` is not accepted; leave it out, and put the value in quotes if it is meant as text",
        ),
        (
            format!("{object}data: {{a: !!binary aGk=}}\n"),
            "f.yaml:4:11: the tag `!!binary` is not accepted; leave it out, and put the value in quotes if it is meant as text",
        ),
        (
            format!("{object}data: {{a: .nan}}\n"),
            "f.yaml:4:11: .nan has no JSON form; put it in quotes if it is meant as text",
        ),
        (
            format!("{object}data: {{a: -.Inf}}\n"),
            "f.yaml:4:11: -.Inf has no JSON form; put it in quotes if it is meant as text",
        ),
        (
            format!("{object}data: {{<<: 1}}\n"),
            "f.yaml:4:12: the merge key `<<` takes a map or a list of maps; give it an alias of a map, or put it in quotes",
        ),
        ("- 1\n".to_owned(), "f.yaml:1:1: a Kubernetes object is a map, this is a list"),
        ("---\nhello\n".to_owned(), "f.yaml:2:1: a Kubernetes object is a map, this is a text"),
        (
            "kind: X\nmetadata: {name: a}\n".to_owned(),
            "f.yaml:1:1: the object has no `apiVersion`; every Kubernetes object needs one",
        ),
        (
            format!("{object}---\napiVersion: v1\n"),
            "f.yaml:5:1: the object has no `kind`; every Kubernetes object needs one",
        ),
        (head.to_owned(), "f.yaml:1:1: the object has no `metadata.name`; every Kubernetes object needs one"),
        (format!("{head}metadata: {{name: ''}}\n"), "f.yaml:3:12: `metadata.name` is empty; give the object a name"),
        (
            format!("{head}metadata: {{generateName: a-}}\n"),
            "f.yaml:3:12: the object has `metadata.generateName` but no `metadata.name`; desired objects need a fixed name, so give it one",
        ),
        (format!("{head}metadata: {{name: 1}}\n"), "f.yaml:3:12: `metadata.name` must be a text, not a number"),
        (
            format!("{head}metadata: {{name: a/b}}\n"),
            "f.yaml:3:12: `metadata.name` \"a/b\" is not allowed; use lower-case letters, digits, `-` and `.`, with a letter or digit at both ends",
        ),
        (
            format!("{object}---\n{object}"),
            "f.yaml:5:1: core/ConfigMap//a is already at f.yaml:1:1; a layer holds an object once, so delete one of them",
        ),
        (
            format!("{object}data: {{a: {}x{}}}\n", "[".repeat(96), "]".repeat(96)),
            "f.yaml:4:105: maps and lists are nested more than 96 deep",
        ),
        (
            "# only this\n".to_owned(),
            "f.yaml holds no object; an empty layer is deleted with `layer delete`, not applied",
        ),
    ];
    for (text, message) in table {
        assert_eq!(read(&text).map(|_| ()).unwrap_err().to_string(), message, "{text}");
    }
    let error = read_stream("f.yaml", &b"a: b\nc: \xff\n"[..]).unwrap_err();
    assert_eq!(error.to_string(), "f.yaml:2:4: the text is not UTF-8; save the file as UTF-8");
    let error = read(&config(&format!(" {{v: {}}}", "x".repeat(OBJECT_BYTES_MAX)))).unwrap_err();
    assert!(error.to_string().starts_with("f.yaml:1:1: core/ConfigMap//a has 15729"), "{error}");
    let error = read(&"#".repeat(MANIFEST_FILE_BYTES_MAX + 1)).unwrap_err();
    assert!(matches!(error, ManifestError::FileTooLarge { .. }), "{error}");
}

#[test]
fn a_field_that_is_wrong_is_named_with_its_own_line() {
    let list = "apiVersion: v1\nkind: List\nitems:\n";
    let table = [
        ("apiVersion: v1\nkind:\nmetadata: {name: a}\n".to_owned(), "f.yaml:2:1: the object has no `kind`"),
        ("apiVersion: a/b/c\nkind: X\n".to_owned(), "f.yaml:1:1: the object has no `metadata.name`"),
        (
            "kind: X\nmetadata:\n  name: a\napiVersion: a/b/c\n".to_owned(),
            "f.yaml:4:1: apiVersion \"a/b/c\" is neither",
        ),
        ("kind: X\napiVersion: v1\nmetadata: [a]\n".to_owned(), "f.yaml:3:1: `metadata` must be a map, not a list"),
        (
            format!("{list}- 1\n- apiVersion: v1\n  kind: X\n"),
            "f.yaml:4:3: a Kubernetes object is a map, this is a number",
        ),
        (
            format!(
                "{list}- {{apiVersion: v1, kind: X, metadata: {{name: a}}}}\n- apiVersion: v1\n  kind: X\n  metadata:\n    namespace: A\n    name: a\n"
            ),
            "f.yaml:8:5: the namespace \"A\" is not a DNS label",
        ),
        (format!("{list}- apiVersion: v1\n  kind: X\n"), "f.yaml:4:3: the object has no `metadata.name`"),
    ];
    for (text, message) in table {
        let error = read(&text).unwrap_err().to_string();
        assert!(error.starts_with(message), "{error}");
    }
}

#[test]
fn aliases_are_written_out_within_bounds() {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..9 {
        let aliases = vec![format!("*a{}", level - 1); 9].join(", ");
        bomb.push_str(&format!("a{level}: &a{level} [{aliases}]\n"));
    }
    let mut towers = "a0: &a0 [x]\n".to_owned();
    for level in 1..100 {
        towers.push_str(&format!("a{level}: &a{level} [*a{}]\n", level - 1));
    }
    let copies = "the anchors and aliases of the file write out more than";
    let table = [
        (bomb, format!("f.yaml:7:15: {copies}")),
        (format!("a: &a {}\nb: [{}]\n", "x".repeat(1_000_000), "*a, ".repeat(100)), format!("f.yaml:2:269: {copies}")),
        (
            format!("a: {}{}", "&a [".repeat(90), "x".repeat(1_000_000) + &"]".repeat(90)),
            format!("f.yaml:1:92: {copies}"),
        ),
        (towers, "f.yaml:96:12: maps and lists are nested more than 96 deep".to_owned()),
        (
            "a: &a [*a]\n".to_owned(),
            "f.yaml:1:8: malformed YAML: the alias names a value that it is part of".to_owned(),
        ),
        ("a: &a 1\n---\na: *a\n".to_owned(), "f.yaml:3:4: malformed YAML: the alias names a value".to_owned()),
    ];
    for (text, message) in table {
        let error = read(&text).unwrap_err().to_string();
        assert!(error.starts_with(&message), "{error}");
    }
    assert_eq!(data(&format!("\n  a: &a {}\n  b: *a", "x".repeat(700_000)))["b"].as_str().map(str::len), Some(700_000));
}

#[test]
fn hostile_text_is_refused_soon() {
    let steps: String = (0..1200).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect();
    let deep = "maps and lists are nested more than 96 deep";
    let table = [
        ("- ".repeat(200_000), format!("f.yaml:1:193: {deep}")),
        ("- &a ".repeat(200_000), "f.yaml:1:6: malformed YAML: block sequence entries are not allowed".to_owned()),
        (steps, format!("f.yaml:97:97: {deep}")),
        ("? ".repeat(20_000), "f.yaml:1:3: the key `? ? ? ".to_owned()),
        ("a: &a ".repeat(100_000), "f.yaml:1:8: malformed YAML: mapping values are not allowed".to_owned()),
        ("&a ".repeat(200_000), "f.yaml:1:4: malformed YAML".to_owned()),
        ("[".repeat(100_000), format!("f.yaml:1:256: {deep}")),
        ("a: ".to_owned() + &"{a: ".repeat(100_000), format!("f.yaml:1:384: {deep}")),
        ("x".repeat(2_000_000), "f.yaml:1:1: a Kubernetes object is a map".to_owned()),
        ("x\n".repeat(500_000), "f.yaml:1:1: a Kubernetes object is a map".to_owned()),
        ("\t".repeat(2_000_000), "f.yaml holds no object".to_owned()),
        ("- \t\n".repeat(200_000), "f.yaml:1:1: a Kubernetes object is a map".to_owned()),
    ];
    for (text, message) in table {
        let start = std::time::Instant::now();
        let error = read(&text).unwrap_err().to_string();
        assert!(error.starts_with(&message), "{error:.200}");
        assert!(start.elapsed() < std::time::Duration::from_secs(5), "{message}: {:?}", start.elapsed());
    }
}

#[test]
fn block_scalars_may_hold_what_looks_like_hostile_yaml() {
    let line = "    ? - &word *word [{ &word : ! &word\n";
    let text = data(&format!("\n  v: |\n{}", line.repeat(1000)));
    assert_eq!(text["v"], json!(line[4..].repeat(1000)));
    let indented = format!("    {}- x\n", " ".repeat(5000));
    assert_eq!(data(&format!("\n  v: |2\n{indented}"))["v"], json!(indented[4..]));
    let words = "some &word and more\n".repeat(20_000);
    assert_eq!(data(&format!("\n  v: |\n    {}", words.replace('\n', "\n    ")))["v"], json!(words));
}

#[test]
fn a_folder_is_read_in_order_without_dotfiles_and_other_files() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("sub")).unwrap();
    fs::create_dir(at(".git")).unwrap();
    let object = |name: &str| format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\n");
    fs::write(at("sub/b.yml"), object("b")).unwrap();
    fs::write(at("a.yaml"), object("a")).unwrap();
    fs::write(at("c.json"), r#"{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "c"}}"#).unwrap();
    for ignored in [".hidden.yaml", ".git/x.yaml", "README.md"] {
        fs::write(at(ignored), "not: an object").unwrap();
    }
    let layer = read_path(folder.path()).unwrap();
    assert_eq!(keys(&layer), ["core/Pod//a", "core/Pod//b", "core/Pod//c"]);
    assert_eq!(layer.objects[1].source.file, at("sub/b.yml").display().to_string());

    fs::write(at("sub/z.yaml"), object("a")).unwrap();
    let error = read_path(folder.path()).unwrap_err().to_string();
    let (first, second) = (at("a.yaml"), at("sub/z.yaml"));
    let start = format!("{}:1:1: core/Pod//a is already at {}:1:1", second.display(), first.display());
    assert!(error.starts_with(&start), "{error}");

    fs::write(at("sub/kustomization.yaml"), "resources: []").unwrap();
    let error = read_path(folder.path()).unwrap_err().to_string();
    assert!(error.contains(&format!("kubectl kustomize {} |", at("sub").display())), "{error}");
    assert!(matches!(read_path(&at("sub/kustomization.yaml")), Err(ManifestError::Kustomization { .. })));
    assert!(matches!(read_path(&at(".git/none")), Err(ManifestError::Read { .. })));
    fs::create_dir(at("empty")).unwrap();
    assert!(matches!(read_path(&at("empty")), Err(ManifestError::NoFiles { .. })));
    assert_eq!(read_path(&at("a.yaml")).unwrap().objects.len(), 1);
}

fn any_json() -> impl Strategy<Value = Value> {
    let number = prop_oneof![
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-1000_i32..1000).prop_map(|tenths| json!(f64::from(tenths) / 16.0 + 0.03125)),
    ];
    let text = prop_oneof![
        any::<String>().prop_map(Value::String),
        "(yes|no|0644|~|null|1e3|\\.inf|<<|- a|a: b|#x|x #y)?".prop_map(Value::String),
        "[ a-z:#&!\\-\n]{0,30}\n?".prop_map(Value::String),
    ];
    let leaf = prop_oneof![Just(Value::Null), any::<bool>().prop_map(Value::Bool), number, text];
    leaf.prop_recursive(4, 24, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::Array),
            prop::collection::btree_map("(yes|1|<<|a b|[a-z]{0,5})", inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn arbitrary_bytes_never_panic_the_reader(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _any = read_stream("f.yaml", bytes.as_slice());
        let _any = read_stream("f.json", bytes.as_slice());
    }

    #[test]
    fn arbitrary_yaml_like_text_never_panics_the_reader(text in "([\\-?:&*!|>%@`\"'{}\\[\\], \n#<~a0é\r\t]|- |: |&a |\\*a|\n  |---\n|\\|\n|!!str ){0,60}") {
        let _any = read(&text);
        let _any = read(&config(&format!("\n  {text}")));
    }

    #[test]
    fn a_json_object_survives_both_readers_and_the_printer(content in any_json()) {
        let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "content": content});
        let compact = object.to_string();
        prop_assert_eq!(&read_stream("f.json", compact.as_bytes()).unwrap().objects[0].object, &object);
        let printed = crate::print::objects_yaml([&object].into_iter());
        let read_back = read(&printed).map_err(|error| TestCaseError::fail(format!("{error}\n{printed}")))?;
        prop_assert_eq!(&read_back.objects[0].object, &object, "{}", printed);
    }
}
