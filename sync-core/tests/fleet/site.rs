//! Two hubs, of which one is the home of every document, and a node of both.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use serde_json::{Value, json};
use sync_core::document::DocumentKey;
use sync_core::document::generation::CutPolicy;
use sync_core::store::StoreError;

use super::world::{Fleet, Member, layer_key};

/// A generation ends with almost every write.
pub(crate) const EAGER: CutPolicy = CutPolicy {
    changes: 3,
    actors: 64,
    log_ratio: 1000,
    log_bytes_min: 1 << 20,
    log_bytes_max: u64::MAX,
    log_operations: u64::MAX,
};

pub(crate) struct Site {
    pub(crate) fleet: Fleet,
    /// The home of all documents of the hubs.
    pub(crate) a: Member,
    pub(crate) b: Member,
    pub(crate) node: Member,
}

/// Two hubs and a node that know each other and the layer `base`.
pub(crate) fn site(seed: u64, policy: CutPolicy) -> Site {
    let mut fleet = Fleet::new(seed);
    fleet.policy = policy;
    let (a, b, node) = (fleet.hub(), fleet.hub(), fleet.node());
    for (at, other) in [(a, b), (b, a), (node, a), (node, b), (a, node), (b, node)] {
        fleet.introduce(at, other);
    }
    fleet.home(a, a);
    fleet.write_layer(a, "base", json!({ "image": "web:1", "replicas": 1, "zone": "x" }));
    fleet.release(a, &["base"]);
    fleet.assign(a, node, &["base"]);
    fleet.sync(a, b);
    fleet.sync(node, a);
    Site { fleet, a, b, node }
}

impl Site {
    /// Writes the layer at its home until it has begun `cuts` more generations.
    pub(crate) fn cut(&mut self, cuts: u32) {
        let until = self.generation(self.a) + cuts;
        for number in 0_u32.. {
            if self.generation(self.a) == until {
                return;
            }
            self.fleet.set_field(self.a, "base", "turn", json!(format!("{until}-{number}")));
        }
    }

    pub(crate) fn generation(&mut self, at: Member) -> u32 {
        let id = layer_key("base").id();
        self.fleet.at(at).inspect(|tx| Ok::<_, StoreError>(tx.document(id)?.unwrap().generation)).unwrap()
    }

    pub(crate) fn one(&mut self, at: Member) -> Value {
        self.fleet.state(at, &layer_key("base"))["objects"]["one"].clone()
    }

    pub(crate) fn meet(&mut self) {
        for _ in 0..3 {
            self.fleet.sync(self.a, self.b);
            self.fleet.sync(self.node, self.a);
            self.fleet.sync(self.node, self.b);
        }
    }

    /// In what the hubs differ.
    pub(crate) fn difference(&mut self) -> String {
        let mut lines = Vec::new();
        for hub in [self.a, self.b] {
            let read = |tx: &sync_core::store::Tx<'_>| {
                let mut all = Vec::new();
                for document in tx.documents()? {
                    let Some(latest) = document.latest else { continue };
                    let (heads, state) =
                        (tx.log_row(latest)?.frontier.frontier().heads.short(), tx.view(document.row)?);
                    let root = tx.root(document.row, document.generation)?.map(|root| root.root().genesis.to_string());
                    let state = serde_json::to_string(&state.unwrap_or_default().get("objects")).unwrap_or_default();
                    all.push(format!(
                        "{:?} {} {:.6} {heads} {state}",
                        document.key.kind,
                        document.generation,
                        root.unwrap_or_default()
                    ));
                }
                Ok::<_, StoreError>(all)
            };
            lines.push(self.fleet.at(hub).inspect(read).unwrap());
            lines.push(self.fleet.quarantined(hub));
        }
        let (one, other) = (lines[0].clone(), lines[2].clone());
        lines[0].retain(|line| !other.contains(line));
        lines[2].retain(|line| !one.contains(line));
        lines.push(self.fleet.events.iter().map(|it| format!("{it:?}")).filter(|it| it.contains("Refused")).collect());
        format!("{lines:#?}")
    }

    /// All hold the same, nothing was refused, and nothing is left to say.
    pub(crate) fn agree(&mut self) {
        self.meet();
        let (a, b, node) = (self.a, self.b, self.node);
        assert!(self.fleet.views(a) == self.fleet.views(b), "{}", self.difference());
        let id = self.fleet.id(node);
        let (found, wanted) = (self.fleet.at(node).desired().unwrap(), self.fleet.at(a).desired_of(id).unwrap());
        assert!(found == wanted, "{:?} and {:?}, {:?}", found.release, wanted.release, found.waiting);
        let own = self.fleet.observed(node, node);
        for hub in [a, b] {
            assert_eq!(self.fleet.observed(hub, node), own);
        }
        for member in [a, b, node] {
            assert!(self.fleet.quarantined(member).is_empty(), "{:?}", self.fleet.quarantined(member));
        }
        for (dialer, acceptor) in [(a, b), (node, a), (node, b)] {
            assert_eq!(self.fleet.sync(dialer, acceptor).frames, 2, "something is said again and again");
        }
    }
}

pub(crate) fn generations_held(fleet: &mut Fleet, at: Member, key: &DocumentKey) -> Vec<u32> {
    fleet.at(at).inspect(|tx| tx.generations_held(tx.document(key.id())?.unwrap().row)).unwrap()
}
