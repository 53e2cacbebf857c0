//! Tests of what people see.

use serde_json::json;
use sync_core::id::Name;

use super::*;
use crate::service::{Difference, LayerSummary, NodeObject};

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn node_version(release_version: u64) -> NodeVersion {
    let layers = vec![
        LayerVersion { name: name("base"), layer_version: 12 },
        LayerVersion { name: name("north"), layer_version: 3 },
    ];
    NodeVersion { assignment_version: 2, release_version, layers }
}

fn farm() -> NodeSummary {
    NodeSummary {
        name: name("wind-farm-7"),
        id: "ab".repeat(32),
        labels: Labels::from([("region".to_owned(), "north".to_owned())]),
        link: Link::Down,
        last_contact_seconds_ago: Some(3 * 86_400 + 5),
        desired: Some(node_version(41)),
        applied: Some(node_version(40)),
        applied_age_seconds: Some(5 * 86_400),
        health: Health::Degraded,
        health_message: "cart: 0 of 2 ready\u{1b}[2J\nforged".to_owned(),
        observed_age_seconds: Some(3 * 86_400),
        payload_bytes_in: 1_536,
        payload_bytes_out: 99,
        round_trips: 2,
        quarantined_count: 1,
        past: Past { incarnation: 1, ..Past::default() },
        enrolment: Enrolment::Enrolled,
    }
}

fn new_node() -> NodeSummary {
    NodeSummary {
        name: name("ship"),
        id: "cd".repeat(32),
        labels: Labels::new(),
        link: Link::Never,
        last_contact_seconds_ago: None,
        desired: None,
        applied: None,
        applied_age_seconds: None,
        health: Health::Unknown,
        health_message: String::new(),
        observed_age_seconds: None,
        payload_bytes_in: 0,
        payload_bytes_out: 0,
        round_trips: 0,
        quarantined_count: 0,
        past: Past::default(),
        enrolment: Enrolment::Enrolled,
    }
}

#[test]
fn ages_are_short() {
    let table = [(0, "now"), (3, "3s ago"), (59, "59s ago"), (60, "1m ago"), (3_599, "59m ago"), (3_600, "1h ago")];
    for (seconds, text) in table {
        assert_eq!(age(Some(seconds)), text);
    }
    assert_eq!(age(Some(86_400 * 400)), "400d ago");
    assert_eq!(age(None), "never");
}

#[test]
fn nodes_are_a_table_that_nodes_cannot_forge() {
    let text = nodes(&NodeList { nodes: vec![new_node(), farm()] });
    assert_eq!(
        text,
        "\
NODE         LINK   LAST CONTACT  DESIRED  APPLIED  SINCE   HEALTH                                   REPORTED
ship         never  never         -        -        never   unknown                                  never
wind-farm-7  down   3d ago        a2 r41   a2 r40   5d ago  degraded: cart: 0 of 2 ready\u{fffd}[2J\u{fffd}forged  3d ago
"
    );
    assert!(nodes(&NodeList { nodes: Vec::new() }).contains("archipel-hub token create"));
}

#[test]
fn a_node_shows_desired_applied_observed_and_the_difference() {
    let key = "apps/Deployment/shop/cart".to_owned();
    let detail = NodeDetail {
        node: farm(),
        objects: vec![NodeObject {
            key: key.clone(),
            desired: true,
            applied: true,
            observed: Some(Health::Degraded),
            message: "0 of 2 ready".to_owned(),
        }],
        differences: vec![
            Difference {
                key: key.clone(),
                path: "/spec/replicas".to_owned(),
                desired: Some(json!(2)),
                observed: Some(json!(1)),
            },
            Difference { key, path: String::new(), desired: Some(json!("x".repeat(80))), observed: None },
        ],
    };
    let value = format!("\"{}...", "x".repeat(59));
    let expected = format!(
        "\
node         wind-farm-7
id           {}
labels       region=north
link         down, last contact 3d ago
desired      assignment 2, release 41: base 12, north 3
applied      assignment 2, release 40: base 12, north 3
applied at   5d ago
health       degraded: cart: 0 of 2 ready\u{fffd}[2J\u{fffd}forged
reported     3d ago
payload      1.5 KiB in, 99 B out
round trips  2
quarantined  1

OBJECT                     DESIRED  APPLIED  OBSERVED  MESSAGE
apps/Deployment/shop/cart  yes      yes      degraded  0 of 2 ready

DIFFERENCE                 FIELD           DESIRED                                                          OBSERVED
apps/Deployment/shop/cart  /spec/replicas  2                                                                1
apps/Deployment/shop/cart  (whole object)  {value}  (absent)
",
        "ab".repeat(32)
    );
    assert_eq!(node(&detail), expected);
    let alike = node(&NodeDetail { node: new_node(), objects: Vec::new(), differences: Vec::new() });
    assert!(alike.contains("no assignment") && alike.ends_with("no difference between desired and observed\n"));
}

#[test]
fn layers_and_what_happens_to_them_are_plain_lines() {
    let summary = LayerSummary {
        name: name("base"),
        layer_version: 12,
        released_layer_version: Some(11),
        object_count: 60,
        object_bytes: 5 << 20,
        changed_seconds_ago: Some(300),
        assigned_node_count: 9,
    };
    assert_eq!(
        layers(&LayerList { layers: vec![summary] }),
        "\
LAYER  VERSION  RELEASED  OBJECTS  SIZE     NODES  CHANGED
base   12       11        60       5.0 MiB  9      5m ago
"
    );
    let applied = AppliedLayer {
        name: name("base"),
        layer_version: 12,
        added: vec!["core/Pod//a".to_owned()],
        changed: vec!["core/Pod//b".to_owned()],
        removed: vec!["core/Pod//c".to_owned()],
        unchanged_count: 57,
        release_version: None,
    };
    assert_eq!(
        layer_applied(&applied),
        "\
+ core/Pod//a
~ core/Pod//b
- core/Pod//c
layer base version 12: 1 added, 1 changed, 1 removed, 57 unchanged; not released; send it out with `archipel-hub release`
"
    );
    let assignment = Assigned { layers: vec![name("base"), name("north")], nodes: vec![name("ship")] };
    assert_eq!(assigned(&assignment), "base + north -> ship\n");
    let release = Released { release_version: 4, layers: node_version(4).layers };
    assert_eq!(released(&release), "release 4: base 12, north 3\n");
}

#[test]
fn the_hub_fits_on_a_screen() {
    let hub = HubStatus {
        version: "0.1.0".to_owned(),
        id: "ab12".to_owned(),
        listen: "0.0.0.0:7440".to_owned(),
        uptime_seconds: 7_300,
        release_version: 41,
        unreleased_layers: vec![name("base")],
        layer_count: 3,
        node_count: 200,
        connected_count: 180,
        behind_count: 20,
        degraded_count: 1,
        open_token_count: 0,
        quarantined_count: 0,
        past: Past { incarnation: 1, ..Past::default() },
        database_bytes: 1 << 30,
    };
    assert_eq!(
        status(&hub),
        "\
hub          ab12
version      0.1.0
listens on   0.0.0.0:7440
up for       2h
nodes        200: 180 connected, 20 behind, 1 degraded
layers       3
release      41
unreleased   base
open tokens  0
quarantined  0
database     1.0 GiB
"
    );
}

#[test]
fn copies_of_a_data_folder_are_shown_once_there_are_any() {
    let copied = NodeSummary { past: Past { incarnation: 3, fork_count: 2, clone_count: 4 }, ..new_node() };
    let detail = NodeDetail { node: copied.clone(), objects: Vec::new(), differences: Vec::new() };
    assert!(node(&detail).contains("past         incarnation 3, 2 times lost or set back, 4 copies refused\n"));
    assert!(nodes(&NodeList { nodes: vec![copied] }).contains("never, copy refused 4 times"));
}
