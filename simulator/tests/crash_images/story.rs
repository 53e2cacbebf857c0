//! A hub and a node that go through every kind of transaction, from a seed, with a look at crash images of each.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde_json::{Map, Value, json};
use simulator::disk::{Disk, DiskImage, Geometry};
use sync_core::document::DocumentKey;
use sync_core::id::{LinkId, Name};
use sync_core::identity::{CertificateAuthority, Role, SigningKey};
use sync_core::replica::{Edit, Output, Replica, WriteError};
use sync_core::state::desired::{AssignmentState, DEFAULT_RELEASE, LayerPin, ReleaseState, to_state};
use sync_core::state::roster::HomeField;
use sync_core::store::{Redemption, TokenRow, chain_origin};
use sync_core::wire::{Message, PushEntry};

use crate::judge::left_when_durable;
use crate::look::{Look, Tally};
use crate::machine::{Machine, Member, Model, NOW, Seeded};

pub(crate) const NODE: usize = 0;
pub(crate) const HUB: usize = 1;

const GEOMETRIES: [Geometry; 3] = [
    // As SQLite takes every disk of a Unix machine to be.
    Geometry { sector_bytes: 4096, powersafe: true, promised: true },
    Geometry { sector_bytes: 512, powersafe: true, promised: true },
    Geometry { sector_bytes: 512, powersafe: false, promised: false },
];

pub(crate) struct Story<'t> {
    pub(crate) seed: u64,
    entropy: Seeded,
    /// Choices of images, apart from those of the story: looking harder changes nothing of it.
    pub(crate) looks: Seeded,
    pub(crate) machines: [Machine; 2],
    link: Option<LinkId>,
    links: u64,
    under_way: [VecDeque<Vec<u8>>; 2],
    turn: u64,
    pub(crate) forked: bool,
    pub(crate) seen: BTreeSet<[u8; 32]>,
    pub(crate) look: Look,
    pub(crate) tally: &'t mut Tally,
}

/// What a call hands back: the value, and what was under way if it comes through.
type Attempt = Model;

fn map(value: Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap_or_default()
}

fn layer_key() -> DocumentKey {
    DocumentKey::layer(&Name::new("base").unwrap())
}

fn token(id: u64) -> TokenRow {
    let (id, secret_hash) = (id.to_be_bytes(), [7; 32]);
    TokenRow {
        id,
        secret_hash,
        labels: BTreeMap::new(),
        expires: 100_000,
        redeemed_by: None,
        role: Role::Node,
        authority: false,
    }
}

/// The hub lets the node in, as `hub/src/enrol.rs` does; it may have done so before, or have forgotten the token.
pub(crate) fn enrol(hub: &mut Replica, node: &Member) -> Result<(), WriteError> {
    hub.edit(NOW, |edit| {
        let token = token(1);
        if edit.tx().check_token(token.id, token.secret_hash, node.id(), 1_000)? == Redemption::Unknown {
            edit.tx().add_token(&token, 1_000)?;
        }
        if edit.tx().peer(node.id())?.is_some_and(|row| row.name.is_some()) {
            return Ok(());
        }
        redeem(edit, node, "edge", &token)
    })
}

fn redeem(edit: &mut Edit<'_>, node: &Member, name: &str, token: &TokenRow) -> Result<(), WriteError> {
    let store = edit.tx().identity()?.unwrap();
    if edit.tx().peer(node.id())?.is_none() {
        let origin = chain_origin(store.store, store.incarnation, node.id());
        edit.tx().add_peer(node.peer.key(), Role::Node, Some(name), origin)?;
    }
    edit.tx().redeem_token(token.id, node.id())?;
    let state = AssignmentState {
        node: Name::new(name).unwrap(),
        labels: BTreeMap::new(),
        layers: vec![Name::new("base").unwrap()],
        release: Name::new(DEFAULT_RELEASE).unwrap(),
        by_hand: true,
        store: None,
        key: Some(*node.peer.key()),
    };
    edit.write(&DocumentKey::assignment(node.id()), &to_state(&state)).map(drop)
}

impl<'t> Story<'t> {
    /// A hub and a node on empty disks.
    pub(crate) fn new(seed: u64, look: Look, tally: &'t mut Tally) -> Self {
        let mut entropy = Seeded::new(seed);
        let authority = CertificateAuthority::create(&mut entropy, Name::new("fleet").unwrap()).unwrap();
        let geometry = GEOMETRIES[usize::try_from(seed % GEOMETRIES.len() as u64).unwrap()];
        let machines = [Role::Node, Role::Hub].map(|role| {
            let member = Member::new(&authority, role, &mut entropy);
            Machine::new(member, Disk::new(entropy.0.next_u64(), geometry))
        });
        Self {
            seed,
            entropy,
            looks: Seeded::new(seed ^ 0x5eed),
            machines,
            link: None,
            links: 0,
            under_way: Default::default(),
            turn: 0,
            forked: false,
            seen: BTreeSet::new(),
            look,
            tally,
        }
    }

    /// Everything, from the first start to the rest after a restored backup.
    pub(crate) fn play(mut self) {
        self.start(HUB);
        self.start(NODE);
        self.found();
        self.machines.iter().for_each(|machine| machine.set_faults(self.look.faults));
        let mut backups = Vec::new();
        for step in 0..70 {
            if self.tally.failures.len() > 20 {
                return;
            }
            if step % 20 == 12 {
                backups
                    .push([NODE, HUB].map(|who| (self.machines[who].disk.image(), self.machines[who].model.clone())));
            }
            self.step();
        }
        let who = usize::from(self.entropy.below(2) == 1);
        let (image, model) = backups.swap_remove(0)[who].clone();
        self.set_back(who, &image, model);
        for _ in 0..6 {
            self.link_up();
            self.deliver(40);
            self.step();
        }
    }

    fn step(&mut self) {
        match self.entropy.below(20) {
            0 | 1 => self.write_layer(),
            2 => self.write_large_layer(),
            3 | 4 => self.release(),
            5..=7 => self.report(),
            8 => self.keep_value(),
            9 | 10 => self.link_up(),
            11 => self.link_down(),
            12 => self.restart(),
            13 => self.bad_frame(),
            14 => self.enrol_another(),
            15 if self.entropy.below(4) == 0 => self.fill_the_log(),
            _ => {
                let frames = 1 + self.entropy.below(12);
                self.deliver(frames);
            }
        }
    }

    // What happens.

    fn start(&mut self, who: usize) {
        let after = self.machines[who].model.clone();
        let mut entropy = self.entropy.clone();
        self.step_of(who, after, |machine| {
            machine.replica = Some(machine.member.start(&machine.disk, &mut entropy).unwrap());
        });
        self.entropy = entropy;
    }

    fn found(&mut self) {
        let home = self.machines[HUB].member.id();
        self.call(
            HUB,
            |_| {},
            |hub| {
                hub.edit::<_, WriteError>(NOW, |edit| {
                    let mut roster = edit.roster()?;
                    roster.home = HomeField { hub: Some(home), epoch: Some(1) };
                    edit.write_roster(&roster).map(drop)
                })
                .unwrap();
            },
        );
        self.call(
            HUB,
            |_| {},
            |hub| hub.edit::<_, WriteError>(NOW, |edit| Ok(edit.tx().add_token(&token(1), 1_000)?)).unwrap(),
        );
        let node = self.machines[NODE].member.clone();
        self.call(HUB, |_| {}, |hub| enrol(hub, &node).unwrap());
        self.write_layer();
        self.release();
        self.report();
        self.link_up();
        self.deliver(100);
    }

    fn write(&mut self, key: &DocumentKey, state: &Map<String, Value>) {
        let written = self.call(HUB, |_| {}, |hub| hub.write(NOW, key, state).unwrap());
        self.machines[HUB].model.saw(written.frontier());
    }

    fn layer(&mut self) -> Map<String, Value> {
        let view = self.machines[HUB].replica.as_mut().unwrap().read(&layer_key()).unwrap();
        view.map_or_else(|| map(json!({ "objects": { "one": {} } })), |view| view.state)
    }

    fn write_layer(&mut self) {
        self.turn += 1;
        let (mut state, turn) = (self.layer(), self.turn);
        state["objects"]["one"]["turn"] = json!(turn);
        self.write(&layer_key(), &state);
    }

    /// A layer that packs to more than one part.
    fn write_large_layer(&mut self) {
        let text: String = (0..5_000).map(|_| format!("{:016x}", self.entropy.0.next_u64())).collect();
        let mut state = self.layer();
        state["objects"]["one"]["data"] = json!(text);
        self.write(&layer_key(), &state);
        self.release();
    }

    fn release(&mut self) {
        let view = self.machines[HUB].replica.as_mut().unwrap().read(&layer_key()).unwrap();
        let Some(view) = view else { return };
        let frontier = view.frontier.frontier();
        let pin =
            LayerPin { generation: frontier.generation, version: frontier.version, heads: frontier.heads.clone() };
        let state = ReleaseState { layers: [(Name::new("base").unwrap(), pin)].into() };
        self.write(&DocumentKey::release(&Name::new(DEFAULT_RELEASE).unwrap()), &to_state(&state));
    }

    fn report(&mut self) {
        self.turn += 1;
        let turn = self.turn;
        let key = DocumentKey::observed(self.machines[NODE].member.id());
        let state = map(json!({ "objects": { "web": { "ready": turn } } }));
        self.call(
            NODE,
            |model| model.report = Some(turn),
            |node| {
                node.edit::<_, WriteError>(NOW, |edit| edit.report(&key, &state)).unwrap();
            },
        );
    }

    fn keep_value(&mut self) {
        self.turn += 1;
        let (turn, who) = (self.turn, usize::from(self.entropy.below(2) == 1));
        self.call(
            who,
            |model| model.local = Some(turn),
            |replica| {
                replica.edit::<_, WriteError>(NOW, |edit| Ok(edit.tx().set_local("turn", &turn)?)).unwrap();
            },
        );
    }

    /// The log of SQLite grows until it is carried over while the machine runs.
    fn fill_the_log(&mut self) {
        let who = usize::from(self.entropy.below(2) == 1);
        self.machines[who].disk.stop_recording();
        for turn in 0..11 {
            let padding = format!("{turn}").repeat(300_000);
            let replica = self.machines[who].replica.as_mut().unwrap();
            replica.edit::<_, WriteError>(NOW, |edit| Ok(edit.tx().set_local("padding", &padding)?)).unwrap();
        }
        let replica = self.machines[who].replica.as_mut().unwrap();
        replica.edit::<_, WriteError>(NOW, |edit| Ok(edit.tx().remove_local("padding")?)).unwrap();
        self.drain(who);
        self.machines[who].record_from_here();
        // The next transaction fills it, unless that was before.
        (0..3).for_each(|_| self.keep_value());
    }

    fn enrol_another(&mut self) {
        let id = 100 + self.turn;
        self.turn += 1;
        let authority = self.machines[HUB].member.authority.clone().unwrap();
        let key = SigningKey::from_seed(authority.seed);
        let authority = CertificateAuthority::from_parts(key, Name::new(&authority.fleet).unwrap()).unwrap();
        let member = Member::new(&authority, Role::Node, &mut self.entropy);
        self.call(
            HUB,
            |_| {},
            |hub| hub.edit::<_, WriteError>(NOW, |edit| Ok(edit.tx().add_token(&token(id), 1_000)?)).unwrap(),
        );
        self.call(
            HUB,
            |_| {},
            |hub| {
                hub.edit(NOW, |edit| redeem(edit, &member, &format!("edge-{id}"), &token(id))).unwrap();
            },
        );
    }

    fn link_up(&mut self) {
        self.link_down();
        self.links += 1;
        let link = LinkId(self.links);
        self.link = Some(link);
        for (who, is_dialer) in [(HUB, false), (NODE, true)] {
            let peer = self.machines[1 - who].member.peer.clone();
            self.call(who, |_| {}, |replica| replica.handle_link_up(NOW, link, &peer, is_dialer).unwrap());
        }
    }

    fn link_down(&mut self) {
        let Some(link) = self.link.take() else { return };
        self.under_way = Default::default();
        for who in [NODE, HUB] {
            if self.machines[who].replica.is_some() {
                self.call(who, |_| {}, |replica| replica.handle_link_down(NOW, link).unwrap());
            }
        }
    }

    fn deliver(&mut self, frames: u64) {
        for _ in 0..frames {
            let from = usize::from(self.entropy.below(2) == 1);
            let from = if self.under_way[from].is_empty() { 1 - from } else { from };
            let (Some(frame), Some(link)) = (self.under_way[from].pop_front(), self.link) else { return };
            self.call(1 - from, |_| {}, |replica| replica.handle_frame(NOW, link, &frame).unwrap());
        }
    }

    fn bad_frame(&mut self) {
        let Some(link) = self.link else { return };
        let who = usize::from(self.entropy.below(2) == 1);
        self.call(who, |_| {}, |replica| replica.handle_frame(NOW, link, b"no message at all").unwrap());
        self.link_down();
    }

    /// A process ends in order, and starts again on its disk.
    fn restart(&mut self) {
        let who = usize::from(self.entropy.below(2) == 1);
        self.link_down();
        let model = self.machines[who].model.clone();
        self.step_of(who, model, |machine| machine.replica = None);
        self.start(who);
    }

    /// The machine is set back to a backup of its disk.
    fn set_back(&mut self, who: usize, image: &DiskImage, model: Model) {
        self.machines[who].replica = None;
        self.link_down();
        let seed = self.entropy.0.next_u64();
        let member = self.machines[who].member.clone();
        self.machines[who] = Machine::new(member, Disk::from_image(seed, image));
        self.machines[who].model = model;
        self.forked = true;
        self.start(who);
    }

    // Looking.

    fn call<T>(&mut self, who: usize, attempt: impl FnOnce(&mut Attempt), work: impl FnOnce(&mut Replica) -> T) -> T {
        let mut after = self.machines[who].model.clone();
        attempt(&mut after);
        self.step_of(who, after, |machine| work(machine.replica.as_mut().unwrap()))
    }

    /// Does something on a machine, looks at crashes on the way, and carries out what it leads to.
    fn step_of<T>(&mut self, who: usize, after: Model, work: impl FnOnce(&mut Machine) -> T) -> T {
        let other = &self.machines[1 - who];
        let other = other.replica.is_some().then(|| other.disk.image());
        let value = work(&mut self.machines[who]);
        let frames = self.drain(who);
        let machine = &mut self.machines[who];
        machine.disk.mark();
        let moments = machine.disk.take_moments();
        machine.chronicle.add(&moments).unwrap();
        self.look_at(who, &moments, other.as_ref(), &after);
        self.machines[who].model = after;
        let to = self.machines[1 - who].member.id();
        if let Err(error) = left_when_durable(&self.machines[who], to, &frames) {
            self.fail(who, None, &error);
        }
        self.note_sent(who, &frames);
        self.under_way[who].extend(frames);
        value
    }

    fn drain(&mut self, who: usize) -> Vec<Vec<u8>> {
        let Some(replica) = self.machines[who].replica.as_mut() else { return Vec::new() };
        let outputs = std::iter::from_fn(|| replica.poll_output());
        let frames = outputs.filter_map(|output| match output {
            Output::Transmit { frame, .. } => Some(frame),
            Output::Close { .. } | Output::Event(_) => None,
        });
        frames.collect()
    }

    /// What the other now may count on.
    fn note_sent(&mut self, who: usize, frames: &[Vec<u8>]) {
        let machine = &mut self.machines[who];
        for frame in frames {
            match Message::decode(frame, machine.member.id()).unwrap() {
                Message::Acknowledge(position) => {
                    machine.model.acknowledged = machine.model.acknowledged.max(position);
                }
                Message::Push(push) => {
                    let Some(PushEntry::Delta(delta)) = push.entry else { continue };
                    let Some(signed) = delta.frontier else { continue };
                    machine.model.saw(&signed.frontier);
                }
                Message::Hello(_)
                | Message::Refuse(_)
                | Message::Close(_)
                | Message::Summary(_)
                | Message::Want(_)
                | Message::Reconcile(_)
                | Message::Credit(_)
                | Message::Resume(_) => {}
            }
        }
    }
}
