//! A small fleet in one process: replicas on temporary folders, links that lose frames, restarts, backups.
#![allow(dead_code, reason = "each test binary uses a part of it")]

#[path = "copies.rs"]
mod copies;
#[path = "seeded.rs"]
mod seeded;

use std::collections::VecDeque;
use std::path::Path;

use serde_json::{Map, Value};
use sync_core::document::DocumentKey;
use sync_core::document::generation::CutPolicy;
use sync_core::env::{Instant, WallTime, no_witness};
use sync_core::id::{LinkId, Name, NodeId};
use sync_core::identity::{CertificateAuthority, Identity, Role, SigningKey, VerifiedPeer};
use sync_core::replica::{Event, Now, Output, Replica, WriteError};
use sync_core::state::desired::{AssignmentState, DEFAULT_RELEASE, LayerPin, ReleaseState, from_state, to_state};
use sync_core::state::roster::HomeField;
use sync_core::store::{PeerRow, Store, StoreError, chain_origin};
use sync_core::wire::{Close, CloseCode};
use tempfile::TempDir;

pub(crate) use seeded::Seeded;

/// Which member of the fleet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Member(pub(crate) usize);

struct Seat {
    folder: TempDir,
    /// `None` only while it restarts.
    replica: Option<Replica>,
    peer: VerifiedPeer,
    id: NodeId,
    /// The identity, for giving it to a new store.
    pem: String,
    /// Documents that replicas of this seat loaded before their restarts.
    loaded: u64,
}

/// What passed over links.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Passed {
    pub(crate) frames: u64,
    /// Frames with the length before each (RFC 9000, section 16).
    pub(crate) bytes: u64,
}

struct Wire {
    ends: [Member; 2],
    id: LinkId,
    /// What is under way from each end.
    under_way: [VecDeque<Item>; 2],
}

enum Item {
    Frame(Vec<u8>),
    Close,
}

pub(crate) struct Fleet {
    pub(crate) entropy: Seeded,
    authority: CertificateAuthority,
    seats: Vec<Seat>,
    wires: Vec<Wire>,
    next_link: u64,
    pub(crate) events: Vec<(Member, Event)>,
    pub(crate) passed: Passed,
    /// A side took a new incarnation: its peer dials again at once.
    redials: bool,
    /// Why links were closed, by either side.
    pub(crate) closes: Vec<(Member, Close)>,
    /// The wall clock.
    pub(crate) seconds: u64,
    /// When histories are cut, of members that join or start from now on.
    pub(crate) policy: CutPolicy,
}

impl Fleet {
    pub(crate) fn new(seed: u64) -> Self {
        let mut entropy = Seeded(seed);
        let authority = CertificateAuthority::create(&mut entropy, Name::new("fleet").unwrap()).unwrap();
        Self {
            entropy,
            authority,
            seats: Vec::new(),
            wires: Vec::new(),
            next_link: 1,
            events: Vec::new(),
            passed: Passed::default(),
            redials: false,
            closes: Vec::new(),
            seconds: 1_000,
            policy: CutPolicy::default(),
        }
    }

    pub(crate) fn hub(&mut self) -> Member {
        self.join(Role::Hub)
    }

    pub(crate) fn node(&mut self) -> Member {
        self.join(Role::Node)
    }

    fn join(&mut self, role: Role) -> Member {
        let key = SigningKey::generate(&mut self.entropy);
        let identity = self.authority.identity(&mut self.entropy, key, role).unwrap();
        let folder = memory_folder();
        let mut store = Store::open(folder.path()).unwrap();
        Replica::init(&mut store, &identity, &mut self.entropy).unwrap();
        let mut replica = Replica::open(store, &mut self.entropy, no_witness()).unwrap();
        replica.set_cut_policy(self.policy);
        let (peer, id, pem) = (VerifiedPeer::in_process(&identity), identity.id(), identity.to_pem());
        self.seats.push(Seat { folder, replica: Some(replica), peer, id, pem, loaded: 0 });
        Member(self.seats.len() - 1)
    }

    /// Makes `hub` the home of every desired document, which alone cuts their histories. Written at `at`.
    pub(crate) fn home(&mut self, at: Member, hub: Member) {
        let (now, home) = (self.now(), self.id(hub));
        let mut roster = self.at(at).roster().unwrap();
        let epoch = Some(roster.highest_epoch() + 1);
        roster.home = HomeField { hub: Some(home), epoch };
        self.at(at).edit(now, |edit| edit.write_roster(&roster)).unwrap();
        self.drain(at);
    }

    pub(crate) fn now(&self) -> Now {
        Now { instant: Instant(self.seconds * 1_000_000), wall: WallTime(Some(self.seconds)) }
    }

    pub(crate) fn id(&self, member: Member) -> NodeId {
        self.seats[member.0].id
    }

    pub(crate) fn peer(&self, member: Member) -> VerifiedPeer {
        self.seats[member.0].peer.clone()
    }

    pub(crate) fn identity(&self, member: Member) -> Identity {
        Identity::from_pem(&self.seats[member.0].pem).unwrap()
    }

    pub(crate) fn folder(&self, member: Member) -> &Path {
        self.seats[member.0].folder.path()
    }

    pub(crate) fn at(&mut self, member: Member) -> &mut Replica {
        self.seats[member.0].replica.as_mut().unwrap()
    }

    pub(crate) fn documents_loaded(&self, member: Member) -> u64 {
        let seat = &self.seats[member.0];
        seat.loaded + seat.replica.as_ref().unwrap().documents_loaded()
    }

    /// Tells `at` who `other` is, as an enrolment does.
    pub(crate) fn introduce(&mut self, at: Member, other: Member) {
        let peer = self.peer(other);
        let origin = chain_origin(self.store_id(at), 1, peer.id());
        let now = self.now();
        self.at(at)
            .edit(now, |edit| {
                if edit.tx().peer(peer.id())?.is_none() {
                    edit.tx().add_peer(peer.key(), peer.role(), None, origin)?;
                }
                Ok::<_, StoreError>(())
            })
            .unwrap();
        self.drain(at);
    }

    pub(crate) fn store_id(&mut self, member: Member) -> sync_core::id::StoreId {
        self.at(member).inspect(|tx| Ok::<_, StoreError>(tx.identity()?.unwrap().store)).unwrap()
    }

    pub(crate) fn peer_row(&mut self, at: Member, other: Member) -> PeerRow {
        let id = self.id(other);
        self.at(at).inspect(|tx| tx.peer(id)).unwrap().unwrap()
    }

    // Links.

    /// Puts a link between two members; `dialer` speaks first.
    pub(crate) fn link(&mut self, dialer: Member, acceptor: Member) {
        let id = LinkId(self.next_link);
        self.next_link += 1;
        let now = self.now();
        self.wires.push(Wire { ends: [dialer, acceptor], id, under_way: Default::default() });
        for (end, other, is_dialer) in [(acceptor, dialer, false), (dialer, acceptor, true)] {
            let peer = self.peer(other);
            self.at(end).handle_link_up(now, id, &peer, is_dialer).unwrap();
            self.drain(end);
        }
    }

    pub(crate) fn is_linked(&self) -> bool {
        !self.wires.is_empty()
    }

    /// Takes what a replica wants carried out.
    pub(crate) fn drain(&mut self, member: Member) {
        while let Some(output) = self.at(member).poll_output() {
            match output {
                Output::Transmit { link, frame, .. } => self.put(member, link, Item::Frame(frame)),
                Output::Close { link, close } => {
                    self.redials |= close.code == CloseCode::Restarted;
                    self.closes.push((member, close));
                    self.put(member, link, Item::Close);
                }
                Output::Event(event) => self.events.push((member, event)),
            }
        }
    }

    fn put(&mut self, from: Member, link: LinkId, item: Item) {
        if let Some(wire) = self.wires.iter_mut().find(|wire| wire.id == link) {
            let end = usize::from(wire.ends[1] == from);
            wire.under_way[end].push_back(item);
        }
    }

    /// Delivers one frame, over a random link in a random direction. `false` when nothing is under way.
    pub(crate) fn step(&mut self) -> bool {
        let busy: Vec<(usize, usize)> = (0..self.wires.len())
            .flat_map(|wire| [(wire, 0), (wire, 1)])
            .filter(|(wire, end)| !self.wires[*wire].under_way[*end].is_empty())
            .collect();
        if busy.is_empty() {
            return false;
        }
        let (wire, end) = busy[(self.entropy.next() % busy.len() as u64) as usize];
        let link = self.wires[wire].id;
        let to = self.wires[wire].ends[1 - end];
        match self.wires[wire].under_way[end].pop_front() {
            Some(Item::Frame(frame)) => {
                self.passed.frames += 1;
                self.passed.bytes += framed(frame.len());
                let now = self.now();
                self.at(to).handle_frame(now, link, &frame).unwrap();
                self.drain(to);
            }
            Some(Item::Close) | None => self.cut_wire(wire),
        }
        true
    }

    /// Delivers frames until nothing is under way. A fleet that never comes to rest fails here.
    pub(crate) fn run(&mut self) -> Passed {
        let before = self.passed;
        for _ in 0..2_000_000 {
            if !self.step() {
                let (frames, bytes) = (self.passed.frames - before.frames, self.passed.bytes - before.bytes);
                return Passed { frames, bytes };
            }
        }
        panic!("the fleet does not come to rest");
    }

    pub(crate) fn cut_all(&mut self) {
        while !self.wires.is_empty() {
            self.cut_wire(0);
        }
    }

    /// Frames under way are lost.
    fn cut_wire(&mut self, wire: usize) {
        let wire = self.wires.remove(wire);
        let now = self.now();
        for end in wire.ends {
            if let Some(replica) = self.seats[end.0].replica.as_mut() {
                replica.handle_link_down(now, wire.id).unwrap();
                self.drain(end);
            }
        }
    }

    /// One whole conversation, with those that follow at once when a side takes a new incarnation.
    pub(crate) fn sync(&mut self, dialer: Member, acceptor: Member) -> Passed {
        let mut all = Passed::default();
        for _ in 0..5 {
            self.redials = false;
            self.link(dialer, acceptor);
            let passed = self.run();
            all = Passed { frames: all.frames + passed.frames, bytes: all.bytes + passed.bytes };
            self.cut_all();
            if !self.redials {
                return all;
            }
        }
        panic!("the two tell each other to dial again for ever");
    }

    /// A conversation of which only the first frames arrive.
    pub(crate) fn sync_cut_after(&mut self, dialer: Member, acceptor: Member, frames: u64) {
        self.link(dialer, acceptor);
        for _ in 0..frames {
            self.step();
        }
        self.cut_all();
    }

    // What happens to machines.

    fn stop(&mut self, member: Member) {
        let seat = &mut self.seats[member.0];
        let replica = seat.replica.take().unwrap();
        seat.loaded += replica.documents_loaded();
        drop(replica);
        while let Some(wire) = self.wires.iter().position(|wire| wire.ends.contains(&member)) {
            self.cut_wire(wire);
        }
    }

    fn start(&mut self, member: Member) {
        let store = Store::open(self.folder(member)).unwrap();
        let mut replica = Replica::open(store, &mut self.entropy, no_witness()).unwrap();
        replica.set_cut_policy(self.policy);
        self.seats[member.0].replica = Some(replica);
    }

    /// The process dies and starts again on its folder.
    pub(crate) fn restart(&mut self, member: Member) {
        self.stop(member);
        self.start(member);
    }

    // What people and agents do.

    pub(crate) fn write(&mut self, member: Member, key: &DocumentKey, state: Value) {
        self.try_write(member, key, state).unwrap();
    }

    pub(crate) fn try_write(&mut self, member: Member, key: &DocumentKey, state: Value) -> Result<(), WriteError> {
        let now = self.now();
        let result = self.at(member).write(now, key, &map(state));
        self.drain(member);
        result.map(drop)
    }

    /// Writes a layer of one object with these fields.
    pub(crate) fn write_layer(&mut self, hub: Member, layer: &str, fields: Value) {
        let state = serde_json::json!({ "objects": { "one": fields } });
        self.write(hub, &layer_key(layer), state);
    }

    /// Sets one field of a layer, leaving the others.
    pub(crate) fn set_field(&mut self, hub: Member, layer: &str, field: &str, value: Value) {
        let key = layer_key(layer);
        let mut state = match self.at(hub).read(&key).unwrap() {
            Some(view) => Value::Object(view.state),
            None => serde_json::json!({ "objects": { "one": {} } }),
        };
        state["objects"]["one"][field] = value;
        self.write(hub, &key, state);
    }

    pub(crate) fn pin(&mut self, hub: Member, layer: &str) -> LayerPin {
        let view = self.at(hub).read(&layer_key(layer)).unwrap().unwrap();
        let frontier = view.frontier.frontier().clone();
        LayerPin { generation: frontier.generation, version: frontier.version, heads: frontier.heads }
    }

    /// Releases these layers as they stand, and leaves the others at what was released.
    pub(crate) fn release(&mut self, hub: Member, layers: &[&str]) {
        let pins = layers.iter().map(|layer| (name(layer), self.pin(hub, layer))).collect::<Vec<_>>();
        self.release_pins(hub, pins);
    }

    pub(crate) fn release_pins(&mut self, hub: Member, pins: Vec<(Name, LayerPin)>) {
        let view = self.at(hub).read(&release_key()).unwrap();
        let mut state = view.and_then(|view| from_state::<ReleaseState>(&view.state)).unwrap_or_default();
        state.layers.extend(pins);
        self.write(hub, &release_key(), Value::Object(to_state(&state)));
    }

    pub(crate) fn assign(&mut self, hub: Member, node: Member, layers: &[&str]) {
        self.assign_named(hub, node, &format!("node-{}", node.0), layers);
    }

    pub(crate) fn assign_named(&mut self, hub: Member, node: Member, called: &str, layers: &[&str]) {
        let state = AssignmentState {
            node: name(called),
            labels: [("site".to_owned(), node.0.to_string())].into(),
            layers: layers.iter().map(|layer| name(layer)).collect(),
            release: name(DEFAULT_RELEASE),
            by_hand: true,
            store: None,
            key: Some(*self.peer(node).key()),
        };
        let key = DocumentKey::assignment(self.id(node));
        self.write(hub, &key, Value::Object(to_state(&state)));
    }

    pub(crate) fn report(&mut self, node: Member, fields: Value) {
        let key = DocumentKey::observed(self.id(node));
        let state = map(serde_json::json!({ "objects": fields }));
        let now = self.now();
        self.at(node).edit(now, |edit| edit.report(&key, &state)).unwrap();
        self.drain(node);
    }

    /// What `at` knows `node` to have observed.
    pub(crate) fn observed(&mut self, at: Member, node: Member) -> Value {
        let key = DocumentKey::observed(self.id(node));
        let view = self.at(at).read(&key).unwrap();
        view.map_or(Value::Null, |view| view.state["objects"].clone())
    }

    pub(crate) fn state(&mut self, at: Member, key: &DocumentKey) -> Value {
        self.at(at).read(key).unwrap().map_or(Value::Null, |view| Value::Object(view.state))
    }

    /// Everything that replication is about, in a text: documents with their frontiers, views, changes and log.
    pub(crate) fn dump(&mut self, member: Member) -> Vec<String> {
        self.at(member).inspect(|tx| Ok::<_, StoreError>(dump(tx))).unwrap()
    }

    /// The views as they would be compared between replicas.
    pub(crate) fn views(&mut self, member: Member) -> Vec<String> {
        self.at(member)
            .inspect(|tx| {
                let mut views = Vec::new();
                for document in tx.documents()? {
                    let Some(latest) = document.latest else { continue };
                    let heads = tx.log_row(latest)?.frontier.frontier().heads.to_bytes();
                    let view = serde_json::to_string(&tx.view(document.row)?).unwrap();
                    views.push(format!("{:?} {heads:?} {view}", document.key));
                }
                views.sort();
                Ok::<_, StoreError>(views)
            })
            .unwrap()
    }

    pub(crate) fn quarantined(&mut self, member: Member) -> Vec<String> {
        let entries = self.at(member).inspect(|tx| tx.quarantined()).unwrap();
        entries.into_iter().map(|entry| entry.reason).collect()
    }

    pub(crate) fn count(&self, at: Member, wanted: impl Fn(&Event) -> bool) -> usize {
        self.events.iter().filter(|(member, event)| *member == at && wanted(event)).count()
    }
}

pub(crate) fn dump(tx: &sync_core::store::Tx<'_>) -> Vec<String> {
    let mut lines = Vec::new();
    for document in tx.documents().unwrap() {
        let latest = document.latest.map(|latest| tx.log_row(latest).unwrap().frontier);
        let view = serde_json::to_string(&tx.view(document.row).unwrap()).unwrap();
        lines.push(format!("{:?} generation {} {latest:?} {view}", document.key, document.generation));
        lines.extend(
            tx.chunks(document.row, document.generation)
                .unwrap()
                .iter()
                .map(|chunk| blake3::hash(chunk).to_hex().to_string()),
        );
    }
    lines.push(format!("log {}", tx.log_length().unwrap()));
    lines
}

/// Folders in memory where the system has them: a test is about order, not about how long a disk takes to flush.
pub(crate) fn memory_folder() -> TempDir {
    let shared = Path::new("/dev/shm");
    if shared.is_dir() { TempDir::new_in(shared).unwrap() } else { TempDir::new().unwrap() }
}

pub(crate) fn framed(frame: usize) -> u64 {
    let prefix = match frame {
        0..=127 => 1,
        128..=16_383 => 2,
        16_384..=2_097_151 => 3,
        _ => 4,
    };
    frame as u64 + prefix
}

pub(crate) fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

pub(crate) fn layer_key(layer: &str) -> DocumentKey {
    DocumentKey::layer(&name(layer))
}

pub(crate) fn release_key() -> DocumentKey {
    DocumentKey::release(&name(DEFAULT_RELEASE))
}

pub(crate) fn map(value: Value) -> Map<String, Value> {
    value.as_object().cloned().expect("a map")
}
