//! A fleet of a few real replicas and agents in one process, for the tests of what looks at fleets.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use edge_node::agent::{self, Look as Sight};
use serde_json::{Map, Value, json};
use sync_core::document::generation::CutPolicy;
use sync_core::document::{DocumentKey, SignedFrontier};
use sync_core::env::{Entropy, Instant, WallTime, no_witness};
use sync_core::id::{Name, NodeId};
use sync_core::identity::{CertificateAuthority, Identity, Role, SigningKey};
use sync_core::replica::{Now, Replica, in_process};
use sync_core::state::desired::{AssignmentState, DEFAULT_RELEASE, LayerPin, ReleaseState, from_state, to_state};
use sync_core::state::observed::{AppliedStamp, Stamp};
use sync_core::store::Store;
use tempfile::TempDir;

use crate::holding::{Holding, Look};
use crate::random::Random;
use crate::target::{Change, Target};
use crate::trace::{Ended, Happening, Member, Work};

/// Entropy from the simulator's own generator.
struct Seeded(Random);

impl Entropy for Seeded {
    fn fill(&mut self, target: &mut [u8]) {
        target.chunks_mut(8).for_each(|chunk| {
            let bytes = self.0.next_u64().to_be_bytes();
            chunk.copy_from_slice(&bytes[..chunk.len()]);
        });
    }
}

pub(crate) struct Seat {
    folder: TempDir,
    replica: Option<Replica>,
    pem: String,
    pub(crate) node: NodeId,
    pub(crate) target: Target,
    boots: u32,
}

pub(crate) struct Fleet {
    entropy: Seeded,
    authority: CertificateAuthority,
    pub(crate) seats: BTreeMap<Member, Seat>,
    /// Virtual time in microseconds; each step takes a second.
    pub(crate) at: u64,
    /// The wall clock is this far from the true time, in seconds; `None`: it is not known.
    pub(crate) wall: Option<u64>,
    pub(crate) happened: Vec<(u64, Happening)>,
    pub(crate) policy: CutPolicy,
}

fn memory_folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { TempDir::new_in(memory).unwrap() } else { TempDir::new().unwrap() }
}

pub(crate) fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

pub(crate) fn map(value: Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap()
}

/// A ConfigMap, with its key.
pub(crate) fn object(called: &str, data: &str) -> (String, Value) {
    let manifest = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": { "name": called, "namespace": "shop" }, "data": { "text": data },
    });
    (sync_core::state::ObjectKey::of(&manifest).unwrap().to_string(), manifest)
}

impl Fleet {
    pub(crate) fn new(seed: u64) -> Self {
        let mut entropy = Seeded(Random::new(seed));
        let authority = CertificateAuthority::create(&mut entropy, name("fleet")).unwrap();
        Self {
            entropy,
            authority,
            seats: BTreeMap::new(),
            at: 0,
            wall: Some(1_000),
            happened: Vec::new(),
            policy: CutPolicy::default(),
        }
    }

    /// A hub `hub` and nodes `n-1` to `n-3`, all started. The nodes have the layer `base`, released with two objects, and the
    /// layer `extra` without any.
    pub(crate) fn of_three(seed: u64) -> Self {
        let mut fleet = Self::new(seed);
        fleet.join("hub", Role::Hub);
        fleet.edit("hub", "base", &[object("a", "1"), object("b", "1")]);
        fleet.edit("hub", "extra", &[]);
        fleet.release("hub", &["base", "extra"]);
        for node in ["n-1", "n-2", "n-3"] {
            fleet.join(node, Role::Node);
            fleet.assign("hub", node, &["base", "extra"]);
        }
        fleet
    }

    pub(crate) fn join(&mut self, called: &str, role: Role) {
        let key = SigningKey::generate(&mut self.entropy);
        let identity = self.authority.identity(&mut self.entropy, key, role).unwrap();
        let seat = Seat {
            folder: memory_folder(),
            replica: None,
            pem: identity.to_pem(),
            node: identity.id(),
            target: Target::default(),
            boots: 0,
        };
        self.seats.insert(called.into(), seat);
        self.wipe(called);
        self.start(called);
        self.tell(Happening::Work { member: called.into(), work: Work::Join });
    }

    pub(crate) fn tell(&mut self, what: Happening) {
        self.at += 1_000_000;
        self.happened.push((self.at, what));
    }

    fn seat(&mut self, member: &str) -> &mut Seat {
        self.seats.get_mut(member).unwrap()
    }

    pub(crate) fn id(&self, member: &str) -> NodeId {
        self.seats[member].node
    }

    pub(crate) fn at(&mut self, member: &str) -> &mut Replica {
        self.seat(member).replica.as_mut().unwrap()
    }

    pub(crate) fn now(&self) -> Now {
        Now { instant: Instant(self.at), wall: WallTime(self.wall.map(|wall| wall + self.at / 1_000_000)) }
    }

    /// The process starts on what its folder holds.
    pub(crate) fn start(&mut self, member: &str) {
        let store = Store::open(self.seat(member).folder.path()).unwrap();
        let mut replica = Replica::open(store, &mut self.entropy, no_witness()).unwrap();
        replica.set_cut_policy(self.policy);
        let is_hub = replica.identity().role() == Role::Hub;
        let seat = self.seat(member);
        seat.replica = Some(replica);
        seat.boots += 1;
        let (boot, node) = (seat.boots, seat.node);
        let clock_is_wrong = self.wall.is_none();
        self.tell(Happening::Started { member: member.into(), boot, node, is_hub, clock_is_wrong });
    }

    pub(crate) fn stop(&mut self, member: &str) {
        self.seat(member).replica = None;
        self.tell(Happening::Stopped { member: member.into(), how: Ended::Killed });
    }

    pub(crate) fn is_up(&self, member: &str) -> bool {
        self.seats[member].replica.is_some()
    }

    /// A copy of a stopped member's folder.
    pub(crate) fn backup(&mut self, member: &str) -> TempDir {
        let copy = memory_folder();
        copy_files(self.seat(member).folder.path(), copy.path());
        copy
    }

    /// A stopped member is set back to a copy.
    pub(crate) fn restore(&mut self, member: &str, copy: &TempDir) {
        let folder = memory_folder();
        copy_files(copy.path(), folder.path());
        self.seat(member).folder = folder;
    }

    /// A stopped member has its identity and nothing else.
    pub(crate) fn wipe(&mut self, member: &str) {
        let identity = Identity::from_pem(&self.seat(member).pem).unwrap();
        let folder = memory_folder();
        let mut store = Store::open(folder.path()).unwrap();
        Replica::init(&mut store, &identity, &mut self.entropy).unwrap();
        drop(store);
        self.seat(member).folder = folder;
    }

    /// The two talk until neither has more to say.
    pub(crate) fn sync(&mut self, dialer: &str, acceptor: &str) {
        let now = self.now();
        let mut first = self.seat(dialer).replica.take().unwrap();
        let exchanged = in_process::sync(now, &mut first, self.at(acceptor)).unwrap();
        self.seat(dialer).replica = Some(first);
        for (node, event) in exchanged.events {
            let member = if node == self.id(dialer) { dialer } else { acceptor };
            let what = Happening::of_event(&member.into(), event);
            what.into_iter().for_each(|what| self.tell(what));
        }
    }

    // What people and agents do.

    pub(crate) fn write(&mut self, member: &str, key: &DocumentKey, state: Value) -> SignedFrontier {
        let now = self.now();
        self.at(member).write(now, key, &map(state)).unwrap()
    }

    pub(crate) fn edit(&mut self, hub: &str, layer: &str, objects: &[(String, Value)]) -> Stamp {
        let objects: Map<String, Value> = objects.iter().cloned().collect();
        let made = self.write(hub, &DocumentKey::layer(&name(layer)), json!({ "objects": objects }));
        let made = Stamp::from(&made);
        self.tell(Happening::Work { member: hub.into(), work: Work::Edit { layer: layer.into(), made: made.clone() } });
        made
    }

    /// Releases these layers as they stand, and leaves the others at what was released.
    pub(crate) fn release(&mut self, hub: &str, layers: &[&str]) -> Stamp {
        let key = DocumentKey::release(&name(DEFAULT_RELEASE));
        let view = self.at(hub).read(&key).unwrap();
        let mut state = view.and_then(|view| from_state::<ReleaseState>(&view.state)).unwrap_or_default();
        for layer in layers {
            let view = self.at(hub).read(&DocumentKey::layer(&name(layer))).unwrap().unwrap();
            let frontier = view.frontier.frontier().clone();
            let (generation, version, heads) = (frontier.generation, frontier.version, frontier.heads);
            state.layers.insert(name(layer), LayerPin { generation, version, heads });
        }
        let made = Stamp::from(&self.write(hub, &key, Value::Object(to_state(&state))));
        let work = Work::Release { release: DEFAULT_RELEASE.into(), made: made.clone() };
        self.tell(Happening::Work { member: hub.into(), work });
        made
    }

    pub(crate) fn assign(&mut self, hub: &str, node: &str, layers: &[&str]) {
        let state = AssignmentState {
            node: name(node),
            labels: BTreeMap::new(),
            layers: layers.iter().map(|layer| name(layer)).collect(),
            release: name(DEFAULT_RELEASE),
            by_hand: true,
            store: None,
            key: Some(Identity::from_pem(&self.seats[node].pem).unwrap().key().public()),
        };
        let key = DocumentKey::assignment(self.id(node));
        let made = Stamp::from(&self.write(hub, &key, Value::Object(to_state(&state))));
        self.tell(Happening::Work { member: hub.into(), work: Work::Assign { node: node.into(), made } });
    }

    /// One pass of the node's agent.
    pub(crate) fn pass(&mut self, node: &str) {
        self.pass_with(node, |_| ());
    }

    /// One pass, with something between the steps in the target and the commit.
    pub(crate) fn pass_with(&mut self, node: &str, between: impl FnOnce(&mut Self)) {
        let now = self.now();
        let mut actuator = self.seats[node].target.actuator();
        let pass = agent::begin(self.at(node)).unwrap();
        let (result, inventory) = match pass.look(&mut *actuator, now) {
            Sight::Done(result) => (result, None),
            Sight::ToDo { wider, seen } => {
                let saved = wider.map_or(Ok(()), |wider| agent::save_inventory(self.at(node), now, &wider));
                pass.carry_out(&mut *actuator, &seen, saved, &no_witness())
            }
        };
        let changes = self.seats[node].target.take_changes();
        for change in changes {
            let member = Member::from(node);
            self.tell(match change {
                Change::Put { key, .. } => Happening::Put { member, key: key.into() },
                Change::Removed { key } => Happening::Removed { member, key: key.into() },
            });
        }
        between(self);
        let before = self.applied(node);
        agent::commit(self.at(node), now, &pass, &result, inventory.as_ref()).unwrap();
        let after = self.applied(node);
        if let Some(AppliedStamp { assignment, release, .. }) = after.filter(|after| Some(after) != before.as_ref()) {
            self.tell(Happening::Applied { member: node.into(), assignment, release });
        }
    }

    pub(crate) fn applied(&mut self, node: &str) -> Option<AppliedStamp> {
        self.holding(node, Look::Frontiers).agent.applied
    }

    /// Somebody changes an object on site.
    pub(crate) fn edit_by_hand(&mut self, node: &str, draw: u64) -> Option<String> {
        let key = self.seats[node].target.edit_by_hand(draw)?;
        let work = Work::HandEdit { key: Arc::from(key.as_str()) };
        self.tell(Happening::Work { member: node.into(), work });
        Some(key)
    }

    /// Every node syncs with the hub, applies and syncs again.
    pub(crate) fn round(&mut self, hub: &str) {
        let nodes: Vec<Member> = self.seats.keys().filter(|name| name.starts_with("n-")).cloned().collect();
        for node in nodes.iter().filter(|node| self.is_up(node)).cloned().collect::<Vec<_>>() {
            self.sync(&node, hub);
            self.pass(&node);
            self.sync(&node, hub);
        }
    }

    pub(crate) fn holding(&mut self, member: &str, look: Look) -> Holding {
        Holding::read(self.at(member), look).unwrap()
    }
}

fn copy_files(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}
