//! Tests of the command line.

use std::sync::Arc;

use sync_core::env::no_witness;

use super::*;
use crate::api::{bind_socket, serve};
use crate::service::{
    AdminCommand, AdminError, AdminErrorKind, AdminHandler, AdminReply, AppliedLayer, KeyedObject, LayerDetail,
    LayerSummary,
};

fn parse(line: &str) -> Result<Arguments, clap::Error> {
    Arguments::try_parse_from(std::iter::once("archipel-hub").chain(line.split_whitespace()))
}

#[test]
fn the_definition_of_the_command_line_is_sound() {
    Arguments::command().debug_assert();
}

#[test]
fn every_command_is_understood() {
    for line in [
        "serve --data d",
        "serve --data d --listen 127.0.0.1:1",
        "token create --data d",
        "token create --data d --ttl 1h --label region=north --label example.com/tier=a_B.c",
        "layer apply base -f x.yaml --data d",
        "layer apply base -f - --data d --no-release -o json",
        "layer list --data d",
        "--output json layer show base --data d",
        "layer show base -o yaml --data d",
        "layer delete base --data d",
        "assign --layers base,north --node n --data d",
        "assign --layers base --selector region=north,tier=a --data d",
        "release --data d",
        "release --layers a,b --data d",
        "nodes --data d",
        "node show n --data d",
        "status --data d",
        "status",
        "init --data d",
        "init --data d --name a",
        "init --data d --name b --join t --hub-address h:1 --advertise b:1",
        "serve --data d --advertise a:1 --advertise b:1",
        "token create --data d --hub",
        "token create --data d --hub --with-authority --ttl 1h",
        "peer add b b:1 --data d",
        "peer list --data d -o json",
        "peer remove b --data d",
        "home show --data d",
        "home move base --to b --data d",
        "home move --all --to b --data d",
        "conflict list --data d",
        "conflict resolve base /objects/x --take 2 --data d",
        "node revoke n --data d",
        "node confirm n --data d",
        "node confirm --all --data d",
        "node rename n m --data d",
    ] {
        assert!(parse(line).is_ok(), "{line}: {}", parse(line).unwrap_err());
    }
}

#[test]
fn wrong_use_exits_with_2_and_help_with_0() {
    for line in [
        "",
        "sreve",
        "serve --data d --listen here",
        "token create --data d --ttl soon",
        "token create --data d --ttl 0s",
        "token create --data d --ttl 9years",
        "token create --data d --label region",
        "token create --data d --label =north",
        "token create --data d --label Up/er=north",
        "token create --data d --label UP/er=north",
        "token create --data d --label a=-",
        "token create --data d --label a=1 --label a=2",
        "layer apply base --data d",
        "layer apply Base -f x --data d",
        "layer list -o yaml --data d",
        "assign --layers base --data d",
        "assign --layers base --node n --selector a=b --data d",
        "assign --layers a,a --node n --data d",
        "assign --node n --data d",
        "release --layers a,b,a --data d",
        "init --data d --join t",
        "init --data d --hub-address h:1",
        "serve --data d --advertise here",
        "token create --data d --with-authority",
        "token create --data d --hub --label a=b",
        "home move --to b --data d",
        "home move base --all --to b --data d",
        "conflict resolve base /x --data d",
        "node confirm --data d",
    ] {
        let code = run_cli(std::iter::once("archipel-hub").chain(line.split_whitespace()));
        assert_eq!(format!("{code:?}"), format!("{:?}", ExitCode::from(2)), "{line}");
    }
    for line in ["--help", "--version", "layer apply --help"] {
        let code = run_cli(std::iter::once("archipel-hub").chain(line.split_whitespace()));
        assert_eq!(format!("{code:?}"), format!("{:?}", ExitCode::SUCCESS), "{line}");
    }
}

#[test]
fn the_data_folder_comes_from_the_flag_then_from_the_environment() {
    let folder = |line: &str, environment: Option<&str>| {
        let Command::Status { data } = parse(line).unwrap().command else { panic!("{line}") };
        data.folder_or(environment.map(OsString::from))
    };
    assert_eq!(folder("status --data a", Some("b")).unwrap(), Path::new("a"));
    assert_eq!(folder("status", Some("b")).unwrap(), Path::new("b"));
    for none in [None, Some("")] {
        let error = folder("status", none).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains("give --data DIR or set ARCHIPEL_HUB_DATA"), "{error}");
    }
}

#[test]
fn labels_follow_the_rules_of_kubernetes() {
    let long = "x".repeat(64);
    for (text, fits) in [
        ("a=b", true),
        ("a=", true),
        ("example.com/A_b.c=1", true),
        ("a=b=c", false),
        ("a/b/c=d", false),
        ("/a=b", false),
        ("a=b c", false),
        (&format!("{long}=a"), false),
        (&format!("a={long}"), false),
    ] {
        assert_eq!(text.parse::<label::Label>().is_ok(), fits, "{text}");
    }
}

fn layer_summary(name: &Name) -> LayerSummary {
    LayerSummary {
        name: name.clone(),
        layer_version: 1,
        released_layer_version: None,
        object_count: 1,
        object_bytes: 1,
        changed_seconds_ago: None,
        assigned_node_count: 0,
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "a fake hub for the commands of these tests")]
fn fake_hub(command: AdminCommand) -> Result<AdminReply, AdminError> {
    match command {
        AdminCommand::ApplyLayer { name, objects, release } => Ok(AdminReply::LayerApplied(AppliedLayer {
            name,
            layer_version: 1,
            added: objects.into_iter().map(|object| object.key).collect(),
            changed: Vec::new(),
            removed: Vec::new(),
            unchanged_count: 0,
            release_version: release.then_some(7),
        })),
        AdminCommand::ShowLayer { name } => Ok(AdminReply::Layer(LayerDetail {
            layer: layer_summary(&name),
            objects: vec![KeyedObject {
                key: "core/Pod//a".to_owned(),
                object: serde_json::json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}}),
            }],
            conflicts: Vec::new(),
        })),
        _ => Err(AdminError::new(AdminErrorKind::NotFound, "nothing there", "look elsewhere")),
    }
}

/// What a command prints, run against a hub that is made of [`fake_hub`].
async fn run(line: &str, manifest: &str) -> Result<String, CliError> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("m.yaml");
    std::fs::write(&file, manifest).unwrap();
    let listener = bind_socket(folder.path()).await.unwrap();
    let handler: AdminHandler = Arc::new(|command| Box::pin(async { fake_hub(command) }));
    let served = tokio::spawn(serve(listener, handler, std::future::pending()));
    let line = line.replace("FILE", file.to_str().unwrap());
    let mut out = Vec::new();
    let result = execute(parse(&format!("{line} --data {}", folder.path().display()))?, no_witness(), &mut out).await;
    served.abort();
    result.map(|()| String::from_utf8(out).unwrap())
}

#[tokio::test]
async fn a_manifest_goes_to_the_hub_and_the_changes_are_printed() {
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n";
    assert_eq!(
        run("layer apply base -f FILE", pod).await.unwrap(),
        "+ core/Pod//a\nlayer base version 1: 1 added, 0 changed, 0 removed, 0 unchanged; in release 7\n"
    );
    let unreleased = run("layer apply base -f FILE --no-release", pod).await.unwrap();
    assert!(unreleased.contains("not released"), "{unreleased}");
    let json = run("layer apply base -f FILE -o json", pod).await.unwrap();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["added"], serde_json::json!(["core/Pod//a"]));
    assert_eq!(
        run("layer show base -o yaml", "").await.unwrap(),
        "---\napiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n"
    );
    let error = run("layer apply base -f FILE", "kind: Pod\n").await.unwrap_err().to_string();
    assert!(
        error.ends_with("m.yaml:1:1: the object has no `apiVersion`; every Kubernetes object needs one"),
        "{error}"
    );
    let error = run("node show n", "").await.unwrap_err().to_string();
    assert_eq!(error, "nothing there; look elsewhere");
}
