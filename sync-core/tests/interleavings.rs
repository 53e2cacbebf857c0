//! Random interleavings of two writers, cuts, moves of the home, releases, rollbacks, reports, broken links, restarts and
//! restored backups end in one state, and then nothing is left to say (decision D5, argument in `docs/generations.md`).
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "fleet/site.rs"]
mod site;
#[path = "fleet/world.rs"]
mod world;

use proptest::prelude::*;
use serde_json::json;

use site::{EAGER, generations_held, site};
use world::{layer_key, release_key};

#[derive(Debug, Clone)]
enum Step {
    Field { hub: usize, field: usize, value: u32 },
    Drop { hub: usize, field: usize },
    Release { hub: usize },
    Rollback { back: usize },
    Report { value: u32 },
    Sync { link: usize },
    Cut { link: usize, frames: u64 },
    Restart { member: usize },
    Backup { member: usize },
    Restore { member: usize },
    Home { hub: usize },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0..2usize, 0..4usize, 0..9u32).prop_map(|(hub, field, value)| Step::Field { hub, field, value }),
        1 => (0..2usize, 0..4usize).prop_map(|(hub, field)| Step::Drop { hub, field }),
        1 => (0..2usize).prop_map(|hub| Step::Release { hub }),
        1 => (0..4usize).prop_map(|back| Step::Rollback { back }),
        2 => (0..9u32).prop_map(|value| Step::Report { value }),
        2 => (0..3usize).prop_map(|link| Step::Sync { link }),
        2 => (0..3usize, 0..14u64).prop_map(|(link, frames)| Step::Cut { link, frames }),
        1 => (0..3usize).prop_map(|member| Step::Restart { member }),
        1 => (0..3usize).prop_map(|member| Step::Backup { member }),
        1 => (0..3usize).prop_map(|member| Step::Restore { member }),
        1 => (0..2usize).prop_map(|hub| Step::Home { hub }),
    ];
    prop::collection::vec(step, 1..40)
}

fn interleave(seed: u64, steps: &[Step]) {
    let mut site = site(seed, EAGER);
    let members = [site.a, site.b, site.node];
    let links = [(site.a, site.b), (site.node, site.a), (site.node, site.b)];
    let mut copies: [Option<tempfile::TempDir>; 3] = [None, None, None];
    let mut pins = vec![site.fleet.pin(site.a, "base")];
    for step in steps {
        site.fleet.seconds += 1;
        match *step {
            Step::Field { hub, field, value } => {
                site.fleet.set_field(members[hub], "base", &format!("field-{field}"), json!(value));
            }
            Step::Drop { hub, field } => {
                let mut state = site.fleet.state(members[hub], &layer_key("base"));
                state["objects"]["one"].as_object_mut().unwrap().remove(&format!("field-{field}"));
                site.fleet.write(members[hub], &layer_key("base"), state);
            }
            Step::Release { hub } => {
                pins.push(site.fleet.pin(members[hub], "base"));
                site.fleet.release(members[hub], &["base"]);
            }
            Step::Rollback { back } => {
                let pin = pins[pins.len().saturating_sub(1 + back)].clone();
                site.fleet.release_pins(site.a, vec![(world::name("base"), pin)]);
            }
            Step::Report { value } => site.fleet.report(site.node, json!({ "web": { "ready": value } })),
            Step::Sync { link } => drop(site.fleet.sync(links[link].0, links[link].1)),
            Step::Cut { link, frames } => site.fleet.sync_cut_after(links[link].0, links[link].1, frames),
            Step::Restart { member } => site.fleet.restart(members[member]),
            Step::Backup { member } => copies[member] = Some(site.fleet.backup(members[member])),
            Step::Restore { member } => {
                if let Some(copy) = &copies[member] {
                    site.fleet.restore(members[member], copy);
                }
            }
            Step::Home { hub } => site.fleet.home(members[hub], members[hub]),
        }
    }
    for _ in 0..3 {
        site.meet();
    }
    let (a, b, node) = (site.a, site.b, site.node);
    assert!(site.fleet.views(a) == site.fleet.views(b), "{}", site.difference());
    let own = site.fleet.observed(node, node);
    assert_eq!((site.fleet.observed(a, node), site.fleet.observed(b, node)), (own.clone(), own));
    let released = site.fleet.state(a, &release_key());
    assert_eq!(site.fleet.state(node, &release_key()), released);
    for (dialer, acceptor) in links {
        assert_eq!(site.fleet.sync(dialer, acceptor).frames, 2, "something is said again and again");
    }
    for member in members {
        let held = generations_held(&mut site.fleet, member, &layer_key("base"));
        assert!(held.len() <= 10, "{held:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn writers_cuts_releases_moves_of_the_home_and_restores_end_in_one_state(seed in any::<u64>(), steps in steps()) {
        interleave(seed, &steps);
    }
}
