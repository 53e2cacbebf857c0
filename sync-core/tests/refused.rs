//! What is refused because the receiver lacks what its sender thought it holds: it comes again in a form that needs nothing,
//! also when the refusal was lost with its link.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "fleet/site.rs"]
mod site;
#[path = "fleet/world.rs"]
mod world;

use std::collections::BTreeSet;

use serde_json::json;
use sync_core::document::generation::CutPolicy;
use sync_core::document::{DocumentKey, Heads};
use sync_core::replica::Event;
use sync_core::store::{DATABASE_FILE, StoreError};

use site::{EAGER, Site, site};
use world::{Fleet, Member, layer_key};

/// A disk that forgot the newest change of a document, behind the replica's back.
fn lose(fleet: &mut Fleet, at: Member, key: &DocumentKey) {
    let database = rusqlite::Connection::open(fleet.folder(at).join(DATABASE_FILE)).unwrap();
    let sql =
        "DELETE FROM change WHERE id = (SELECT max(change.id) FROM change JOIN document d ON d.id = change.document
               AND d.generation = change.generation WHERE d.document = ?)";
    assert_eq!(database.execute(sql, [key.id().0]).unwrap(), 1);
    drop(database);
    fleet.restart(at);
}

fn refusals(fleet: &Fleet, at: Member) -> usize {
    fleet.count(at, |event| matches!(event, Event::RefusedByPeer { .. }))
}

fn frontiers(fleet: &mut Fleet, at: Member, key: &DocumentKey) -> BTreeSet<Heads> {
    let read = |tx: &sync_core::store::Tx<'_>| {
        let document = tx.document(key.id())?.unwrap();
        let log = tx.log_of(document.row)?.into_iter().filter(|row| row.held);
        Ok::<_, StoreError>(log.map(|row| row.frontier.frontier().heads.clone()).collect())
    };
    fleet.at(at).inspect(read).unwrap()
}

/// Who writes, who has forgotten, and what.
#[derive(Debug, Clone, Copy)]
enum Way {
    LayerToNode,
    LayerToHub,
    ReportToHub,
}

const WAYS: [Way; 3] = [Way::LayerToNode, Way::LayerToHub, Way::ReportToHub];

impl Way {
    /// A site in which the receiver has forgotten what the sender builds on with its next writes.
    fn site(self, seed: u64, policy: CutPolicy) -> (Site, DocumentKey, Member, Member) {
        let mut site = site(seed, policy);
        for number in 0..2 {
            self.write(&mut site, &format!("before-{number}"));
            site.agree();
        }
        let (key, from, to) = match self {
            Self::LayerToNode => (layer_key("base"), site.a, site.node),
            Self::LayerToHub => (layer_key("base"), site.a, site.b),
            Self::ReportToHub => (DocumentKey::observed(site.fleet.id(site.node)), site.node, site.a),
        };
        lose(&mut site.fleet, to, &key);
        (0..3).for_each(|number| self.write(&mut site, &format!("after-{number}")));
        (site, key, from, to)
    }

    fn write(self, site: &mut Site, value: &str) {
        match self {
            Self::LayerToNode | Self::LayerToHub => {
                site.fleet.set_field(site.a, "base", "image", json!(value));
                site.fleet.release(site.a, &["base"]);
            }
            Self::ReportToHub => site.fleet.report(site.node, json!({ "web": value })),
        }
    }
}

/// Dialled by the node, or by the hub that is not the home.
fn meet(site: &mut Site, from: Member, to: Member) {
    let (dialer, acceptor) = if from == site.a { (to, from) } else { (from, to) };
    site.fleet.sync(dialer, acceptor);
}

fn arrived(site: &mut Site, key: &DocumentKey, from: Member, to: Member, what: &str) {
    assert_eq!(site.fleet.state(to, key), site.fleet.state(from, key), "{what}");
    if from == site.a && to == site.b {
        let (sent, held) = (frontiers(&mut site.fleet, from, key), frontiers(&mut site.fleet, to, key));
        assert!(sent.is_subset(&held), "{what}: {} of {} frontiers", held.len(), sent.len());
    }
}

#[test]
fn a_delta_that_builds_on_what_is_not_held_comes_again_with_all_of_it() {
    for way in WAYS {
        for (seed, policy) in [(1, CutPolicy::default()), (2, EAGER), (3, CutPolicy { changes: 4, ..EAGER })] {
            let what = format!("{way:?}, {policy:?}");
            let (mut site, key, from, to) = way.site(seed, policy);
            let before = refusals(&site.fleet, from);
            meet(&mut site, from, to);
            arrived(&mut site, &key, from, to, &what);
            let refused = refusals(&site.fleet, from) - before;
            assert!(refused > 0 || policy != CutPolicy::default(), "{what}: nothing was refused");
            meet(&mut site, from, to);
            assert_eq!(refusals(&site.fleet, from) - before, refused, "{what}: told once");
        }
    }
}

#[test]
fn a_refusal_that_was_lost_with_its_link_is_told_on_the_next() {
    for way in WAYS {
        for frames in 1..24 {
            let what = format!("{way:?}, cut after {frames} frames");
            let (mut site, key, from, to) = way.site(4, CutPolicy::default());
            let (dialer, acceptor) = if from == site.a { (to, from) } else { (from, to) };
            site.fleet.sync_cut_after(dialer, acceptor, frames);
            site.fleet.restart(if frames % 2 == 0 { from } else { to });
            meet(&mut site, from, to);
            arrived(&mut site, &key, from, to, &what);
        }
    }
}
