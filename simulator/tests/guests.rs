//! Guests of a simulated world, as a developer writes them: the example, and what it does not show.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hub::service::AdminCommand;
use simulator::trace::{Happening, Work};
use simulator::{Fleet, FleetError, Rehearsal, RehearsalError};

#[path = "../examples/cold_storage.rs"]
#[expect(dead_code, unreachable_pub, reason = "its main is for `cargo run --example`, and here it is a module")]
mod cold_storage;

const TWO_HOURS: &str = r#"
name = "two-hours"
rehearses = "A hub that is down for a while, and a node"
duration = "2h"
[[group]]
name = "kiosk"
layers = ["base"]
[[layer]]
name = "base"
objects = 3
[[event]]
kind = "hub-crash"
at = ["20m"]
lasts = "10m"
"#;

#[test]
fn the_example_holds_and_its_seed_gives_the_same_run_again() {
    let first = cold_storage::rehearse(7).unwrap();
    let (planned, reached) = first.events("power-loss");
    assert!(planned > 0 && reached > 0, "{planned} losses of power planned, {reached} took effect");
    let noted = |what: &Happening| matches!(what, Happening::Work { work: Work::Other { word }, .. } if word.starts_with("set to"));
    assert!(first.trace().filter(|entry| noted(&entry.what)).count() >= 4);
    assert_eq!(first.nodes.len(), 3);
    let hub = &first.hubs["hub"];
    assert_eq!(hub.layers["cooling"].objects.len(), 1);
    for (name, node) in &hub.nodes {
        assert_eq!(node.differences, Vec::new(), "{name}");
        assert!(node.objects[0].message.starts_with("holds "), "{:?}", node.objects);
    }
    assert_eq!(cold_storage::rehearse(7).unwrap().trace_hash(), first.trace_hash());
    assert_ne!(cold_storage::rehearse(8).unwrap().trace_hash(), first.trace_hash());
}

#[test]
fn a_workload_sees_virtual_time_and_who_is_off() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let tells = Arc::clone(&told);
    let work = |fleet: Fleet| async move {
        assert_eq!(fleet.now(), Duration::ZERO);
        assert_eq!((fleet.hubs(), fleet.nodes()), (&["hub".to_owned()][..], &["kiosk".to_owned()][..]));
        fleet.sleep_until(Duration::from_secs(25 * 60)).await;
        let off = fleet.ask("hub", AdminCommand::Status).await.unwrap_err();
        let unknown = fleet.ask("kiosk", AdminCommand::Status).await.unwrap_err();
        let documents = fleet.replica("kiosk").await.unwrap();
        let documents = documents.call(|replica, _| replica.inspect(|tx| tx.documents())).await.unwrap().unwrap().len();
        fleet.sleep(Duration::from_secs(10 * 60)).await;
        let back = fleet.ask("hub", AdminCommand::Status).await.is_ok();
        tells.lock().unwrap().push((off, unknown, documents, back, fleet.now()));
    };
    Rehearsal::parse(TWO_HOURS).unwrap().workload(work).run().unwrap().verdict().unwrap();
    let told = told.lock().unwrap();
    let (off, unknown, documents, back, now) = told.first().unwrap();
    assert_eq!(*off, FleetError::Off("hub".to_owned()));
    assert_eq!(*unknown, FleetError::Unknown("kiosk".to_owned()));
    assert!(*documents >= 3 && *back && *now == Duration::from_secs(35 * 60));
}

#[test]
fn a_workload_is_dropped_at_the_healing() {
    let rounds = Arc::new(AtomicU64::new(0));
    let counts = Arc::clone(&rounds);
    let work = |fleet: Fleet| async move {
        loop {
            fleet.sleep(Duration::from_secs(60)).await;
            counts.fetch_add(1, Ordering::Relaxed);
        }
    };
    Rehearsal::parse(TWO_HOURS).unwrap().workload(work).run().unwrap().verdict().unwrap();
    // The healing is at an hour and a half, and nothing happens at it any more.
    assert_eq!(rounds.load(Ordering::Relaxed), 89);
}

#[test]
#[should_panic(expected = "as it should not be")]
fn a_failed_assertion_of_a_workload_fails_the_test() {
    let work = |fleet: Fleet| async move {
        fleet.sleep(Duration::from_secs(60)).await;
        panic!("as it should not be");
    };
    drop(Rehearsal::parse(TWO_HOURS).unwrap().workload(work).run());
}

#[test]
fn an_actuator_for_nobody_and_a_scenario_of_another_depth_are_refused() {
    let nobody = Rehearsal::parse(TWO_HOURS).unwrap().actuator("truck-*", |_| panic!("never made")).run();
    assert!(matches!(&nobody, Err(RehearsalError::NoNode { pattern, .. }) if pattern == "truck-*"), "{nobody:?}");
    let text = format!("{TWO_HOURS}[depth.1]\n");
    let other = Rehearsal::parse(&text).unwrap().run();
    assert!(matches!(&other, Err(RehearsalError::Plan(_))), "{other:?}");
    assert!(Rehearsal::load("two-hour").unwrap_err().to_string().contains("two-hour"));
}
