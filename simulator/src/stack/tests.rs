//! The real stack in virtual time: that it works at all, and that the same seed gives the same run.

use std::time::Duration;

use hub::service::{AdminCommand, AdminReply, AssignTarget, KeyedObject};
use serde_json::json;
use sync_core::document::DocumentKey;
use sync_core::id::Name;
use sync_core::transport::Settings;

use super::book::Book;
use super::site::{Role, Site, SiteConfig};
use super::wall::WallClock;
use crate::disk::{CrashPolicy, Geometry};
use crate::net::line::Shape;
use crate::net::{Internet, MemberId};
use crate::random::Random;
use crate::trace::Trace;

const START: u64 = 1_780_000_000;

fn site(internet: &Internet, name: &str, role: Role, number: u32, seed: u64) -> Site {
    let config = SiteConfig {
        name: Name::new(name).unwrap(),
        role,
        member: MemberId(number),
        seed: seed.wrapping_mul(1000) + u64::from(number),
        geometry: Geometry::default(),
        capacity: None,
        wall: WallClock::new(START as i64 * 1000, 0),
        settings: Settings::default(),
        interval: Duration::from_secs(60),
    };
    Site::new(config, internet.clone())
}

async fn layer(hub: &Site, replicas: u32) {
    let object = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"replicas": replicas}});
    let objects = vec![KeyedObject { key: "apps/Deployment/shop/web".to_owned(), object }];
    let name = Name::new("base").unwrap();
    hub.ask(AdminCommand::ApplyLayer { name, objects, release: true }).await.unwrap().unwrap();
}

fn replicas(node: &Site) -> Option<u64> {
    node.target().objects().get("apps/Deployment/shop/web")?["spec"]["replicas"].as_u64()
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..3600 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    panic!("an hour has passed and not: {what}");
}

/// Two nodes through a day with cuts, a crash, a loss of power and edits. What went over the lines, exactly.
fn day(seed: u64) -> Vec<(u64, u64, u64)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let internet = Internet::new(START);
        tokio::spawn(internet.clone().carry());
        let mut hub = site(&internet, "hub", Role::Hub, 0, seed);
        let mut nodes: Vec<Site> = (1..3).map(|n| site(&internet, &format!("node-{n}"), Role::Node, n, seed)).collect();
        let shape = Shape { latency: Duration::from_millis(40), loss: 10_000, ..Shape::default() };
        for node in &nodes {
            internet.add_line(node.member(), hub.member(), shape.clone(), seed);
        }
        hub.found(None).await.unwrap();
        hub.start().await.unwrap();
        layer(&hub, 1).await;
        for node in &mut nodes {
            let labels = [("site".to_owned(), "any".to_owned())].into();
            let token = hub.ask(AdminCommand::CreateToken { ttl_seconds: 3600, labels }).await.unwrap().unwrap();
            let AdminReply::Token(token) = token else { panic!("no token") };
            node.join(token.token, hub.address()).await.unwrap();
            node.start().await.unwrap();
        }
        let layers = vec![Name::new("base").unwrap()];
        let target = AssignTarget::Selector([("site".to_owned(), "any".to_owned())].into());
        hub.ask(AdminCommand::Assign { layers, target }).await.unwrap().unwrap();
        until("both applied the first release", || nodes.iter().all(|node| replicas(node) == Some(1))).await;
        let mut random = Random::new(seed);
        for hour in 2..24 {
            let cut = hour % 3 == 0;
            internet.with_line(MemberId(1), MemberId(0), |line| line.set_open(!cut, !cut));
            if hour == 7 {
                nodes[1].crash(CrashPolicy::Kept, &mut random).await;
                nodes[1].start().await.unwrap();
            }
            if hour == 11 {
                hub.crash(CrashPolicy::Scattered { kept: 40, garbled: 20 }, &mut random).await;
                tokio::time::sleep(Duration::from_secs(600)).await;
                hub.start().await.unwrap();
            }
            layer(&hub, hour).await;
            tokio::time::sleep(Duration::from_secs(3600)).await;
        }
        internet.with_line(MemberId(1), MemberId(0), |line| line.set_open(true, true));
        until("both applied the last release", || nodes.iter().all(|node| replicas(node) == Some(23))).await;
        let counted = |node: &Site| {
            let ways = internet.counted(node.member(), MemberId(0));
            (ways[0].bytes, ways[1].bytes, ways[0].datagrams)
        };
        let counted = nodes.iter().map(counted).collect();
        for node in &mut nodes {
            node.stop().await;
        }
        hub.stop().await;
        counted
    })
}

#[test]
fn a_fleet_lives_through_a_day_and_the_same_seed_gives_the_same_day_to_the_byte() {
    let first = day(7);
    assert_eq!(first, day(7));
    assert_ne!(first, day(8));
}

#[test]
fn a_remark_about_a_target_that_looks_as_before_is_reported_and_then_nothing_more_is_written() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let internet = Internet::new(START);
        tokio::spawn(internet.clone().carry());
        let mut hub = site(&internet, "hub", Role::Hub, 0, 1);
        let mut node = site(&internet, "node", Role::Node, 1, 1);
        internet.add_line(node.member(), hub.member(), Shape::default(), 1);
        hub.found(None).await.unwrap();
        hub.start().await.unwrap();
        layer(&hub, 1).await;
        let labels = [("site".to_owned(), "any".to_owned())].into();
        let token = hub.ask(AdminCommand::CreateToken { ttl_seconds: 3600, labels }).await.unwrap().unwrap();
        let AdminReply::Token(token) = token else { panic!("no token") };
        node.join(token.token, hub.address()).await.unwrap();
        node.start().await.unwrap();
        let layers = vec![Name::new("base").unwrap()];
        let target = AssignTarget::Selector([("site".to_owned(), "any".to_owned())].into());
        hub.ask(AdminCommand::Assign { layers, target }).await.unwrap().unwrap();
        until("it applied the release", || replicas(&node) == Some(1)).await;
        let own = DocumentKey::observed(node.identity().unwrap().id());
        for ready in ["1 of 2 ready", "2 of 2 ready"] {
            tokio::time::sleep(Duration::from_secs(600)).await;
            node.target().set_remark("apps/Deployment/shop/web", ready);
            tokio::time::sleep(Duration::from_secs(120)).await;
            let key = own.clone();
            let view = hub.handle().unwrap().call(move |replica, _| replica.read(&key)).await.unwrap().unwrap();
            assert_eq!(view.unwrap().state["objects"]["apps/Deployment/shop/web"]["message"], ready);
        }
        let rows = || node.handle().unwrap().call(|replica, _| replica.rows_written());
        let before = rows().await.unwrap();
        tokio::time::sleep(Duration::from_secs(3600)).await;
        assert_eq!(rows().await.unwrap(), before);
        node.stop().await;
        hub.stop().await;
    });
}

/// Two vans, a tunnel, an edit, a crash and a loss of power.
const TWO_VANS: &str = r#"
name = "two-vans"
rehearses = "Two vans lose power and their link"
duration = "3h"

[[group]]
name = "van-{n}"
count = 2
layers = ["base"]

[[layer]]
name = "base"

[[event]]
kind = "edit"
layer = "base"
at = ["30m", "1h"]

[[event]]
kind = "cut"
on = ["van-1"]
at = ["20m"]
lasts = "1h"

[[event]]
kind = "power-loss"
on = ["van-1"]
at = ["25m"]
lasts = "5m"

[[event]]
kind = "crash"
on = ["hub"]
at = ["70m"]
lasts = "2m"

[[event]]
kind = "status"
on = ["van-2"]
at = ["40m"]
values = 2
"#;

/// A boat that loses what a disk can lose, and whose clock and address change.
const ONE_BOAT: &str = r#"
name = "one-boat"
rehearses = "A boat is set back, wiped, cloned, full and in 1970"
duration = "4h"

[heal]
within = "90m"

[[group]]
name = "boat"
layers = ["base"]

[[layer]]
name = "base"

[[event]]
kind = "edit"
layer = "base"
every = "20m"

[[event]]
kind = "status"
every = "7m"

[[event]]
kind = "restore-backup"
at = ["45m"]
age = "30m"

[[event]]
kind = "clock-1970"
at = ["50m"]

[[event]]
kind = "disk-full"
at = ["59m"]
lasts = "10m"

[[event]]
kind = "address-change"
at = ["80m"]

[[event]]
kind = "clone-disk"
at = ["85m"]
lasts = "30m"

[[event]]
kind = "wipe-store"
at = ["125m"]

[[event]]
kind = "target-edit"
at = ["130m"]
"#;

#[test]
fn a_plan_runs_to_agreement_and_the_same_seed_gives_the_same_trace() {
    for (file, text) in [("two-vans.toml", TWO_VANS), ("one-boat.toml", ONE_BOAT)] {
        let scenario = crate::scenario::Scenario::parse(file, text).unwrap();
        let run = |seed| {
            let plan = crate::plan::Plan::expand(&scenario, seed, crate::scenario::Depth::Stack).unwrap();
            let book = Book::new(Trace::new(8));
            super::world::runtime().unwrap().block_on(super::world::run(&plan, book, |_| ()))
        };
        let outcome = run(3);
        assert_eq!(outcome.broken, Vec::<String>::new());
        assert!(outcome.agreed_after.is_some(), "{file}: {:?}", outcome.disagreement);
        assert!(outcome.trace.1 > 50, "{:?}", outcome.trace);
        assert_eq!(outcome, run(3));
        assert_ne!(outcome.trace, run(4).trace);
    }
}

/// A hub whose disk is full for four hours.
const A_FULL_HUB: &str = include_str!("../../scenarios/regressions/full-hub.toml");

#[test]
fn a_hub_without_room_is_dialled_less_and_less_often() {
    let scenario = crate::scenario::Scenario::parse("full-hub.toml", A_FULL_HUB).unwrap();
    let plan = crate::plan::Plan::expand(&scenario, 3, crate::scenario::Depth::Stack).unwrap();
    let outcome = super::world::runtime().unwrap().block_on(super::world::run(&plan, Book::new(Trace::new(8)), |_| ()));
    assert!(outcome.agreed_after.is_some(), "{:?}", outcome.disagreement);
    // Two nodes, four hours, a link every two and a half minutes, some 12 kB each way for a handshake and a hello.
    assert!(outcome.wire_bytes.iter().sum::<u64>() < 6_000_000, "{:?}", outcome.wire_bytes);
}

/// A link that comes and goes every few seconds.
const A_LOOSE_CABLE: &str = r#"
name = "a-loose-cable"
rehearses = "What a link costs that has next to nothing to carry"
duration = "3h"

[[group]]
name = "gate"
layers = ["base"]
links = ["loose"]

[link.loose]
calendar = ["contact"]

[calendar.contact]
kind = "tunnels"
up = "40s"
down = "40s"

[[layer]]
name = "base"
objects = 2
size = "2kB"
"#;

#[test]
fn a_link_that_has_nothing_to_carry_costs_its_handshake_and_little_more() {
    let scenario = crate::scenario::Scenario::parse("a-loose-cable.toml", A_LOOSE_CABLE).unwrap();
    let plan = crate::plan::Plan::expand(&scenario, 1, crate::scenario::Depth::Stack).unwrap();
    let outcome = super::world::runtime().unwrap().block_on(super::world::run(&plan, Book::new(Trace::new(8)), |_| ()));
    assert!(outcome.agreed_after.is_some(), "{:?}", outcome.disagreement);
    let [_, to_node] = outcome.wire_bytes;
    // Some 135 links of a handshake and a hello. A look for larger packets would take 5 kB more on each.
    assert!(to_node < 135 * 2_500, "{to_node}");
}

/// Each attack that there is, in the name of one of two nodes at two hubs, and the work that goes on.
fn all_attacks() -> String {
    let mut text = r#"
name = "all-attacks"
rehearses = "Somebody has the key of a node"
duration = "4h"

[[hub]]
name = "hub-{n}"
count = 2

[[group]]
name = "honest"
layers = ["base"]

[[group]]
name = "stolen"
layers = ["base"]

[[layer]]
name = "base"

[[layer]]
name = "secret"

[[event]]
kind = "edit"
layer = "base"
add = 1
remove = 1
every = "13m"

[[event]]
kind = "status"
every = "5m"
"#
    .to_owned();
    for (number, attack) in crate::scenario::Attack::ALL.into_iter().enumerate() {
        let (name, minute) = (attack.name(), 10 + 12 * number);
        text += &format!(
            "[[event]]\nkind = \"hostile\"\nname = \"{name}\"\non = [\"stolen\"]\nattack = \"{name}\"\nat = [\"{minute}m\"]\n"
        );
    }
    text
}

#[test]
fn every_attack_meets_a_hub_and_nobody_honest_takes_harm_or_blame() {
    let scenario = crate::scenario::Scenario::parse("all-attacks.toml", &all_attacks()).unwrap();
    let plan = crate::plan::Plan::expand(&scenario, 1, crate::scenario::Depth::Stack).unwrap();
    let run = || {
        let book = Book::new(Trace::new(100_000));
        super::world::runtime().unwrap().block_on(super::world::run(&plan, book, |_| ()))
    };
    let outcome = run();
    assert_eq!(outcome.broken, Vec::<String>::new());
    assert!(outcome.agreed_after.is_some(), "{:?}", outcome.disagreement);
    let attacks = crate::scenario::Attack::ALL.len() as u64;
    let tally = outcome.events["hostile"];
    assert_eq!((tally.planned, tally.reached, tally.mattered), (attacks, attacks, attacks));
    // What was refused of it is told, with the reason.
    let told = |what: &str| outcome.last.iter().filter(|entry| entry.contains(what)).count();
    for reason in [
        "the signature on the frontier does not verify",
        "may not write this document",
        "by an actor of someone else",
        "repeats a number that its actor used",
    ] {
        assert!(told(reason) > 0, "{reason}");
    }
    assert!(told("refused input of") > 20, "{}", told("refused input of"));
    assert_eq!(outcome, run());
}

/// A release that is taken back twice, once further than there were releases.
const TAKEN_BACK: &str = r#"
name = "taken-back"
rehearses = "A release is taken back"
duration = "3h"

[[group]]
name = "van"
layers = ["base"]

[[layer]]
name = "base"
objects = 4
size = "4kB"

[[event]]
kind = "edit"
layer = "base"
add = 3
remove = 2
at = ["20m", "40m"]

[[event]]
kind = "release"
name = "one"
back = 1
at = ["1h"]

[[event]]
kind = "release"
name = "further"
back = 2
at = ["80m"]

[[event]]
kind = "release"
name = "too-far"
back = 9
at = ["100m"]
"#;

#[test]
fn a_release_that_is_taken_back_is_a_newer_one_with_the_older_content_at_both_depths() {
    let scenario = crate::scenario::Scenario::parse("taken-back.toml", TAKEN_BACK).unwrap();
    let plan = |depth| crate::plan::Plan::expand(&scenario, 1, depth).unwrap();
    let stack = plan(crate::scenario::Depth::Stack);
    let outcome =
        super::world::runtime().unwrap().block_on(super::world::run(&stack, Book::new(Trace::new(10_000)), |_| ()));
    assert_eq!(outcome.broken, Vec::<String>::new());
    assert!(outcome.agreed_after.is_some(), "{:?}", outcome.disagreement);
    let tally = outcome.events["release"];
    assert_eq!((tally.planned, tally.reached), (3, 2));
    let told = |what: &str| outcome.last.iter().filter(|entry| entry.contains(what)).count();
    // Two edits removed and added objects, and each way back undoes an edit.
    assert!(told("van removed ") > 3, "{:?}", outcome.last);
    assert_eq!(told("roll-back"), 2, "{:?}", outcome.last);
    let removals = outcome.verdicts.iter().find(|(check, _, _)| check.number() == 5).unwrap();
    assert!(removals.1 > 0 && removals.2 == 0, "{removals:?}");
    let machines = plan(crate::scenario::Depth::Machines);
    let mut options = crate::machines::Options { threads: 1, eyes: &mut crate::machines::nobody };
    let outcome = crate::machines::run(&machines, &mut options, |_| ()).unwrap();
    assert!(outcome.agreed_after.is_some() && outcome.broken.is_empty(), "{:?}", outcome.disagreement);
    let tally = outcome.events["release"];
    assert_eq!((tally.planned, tally.reached), (3, 2));
}
