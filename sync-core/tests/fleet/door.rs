//! An enrolled peer without a replica: its frames are made by hand.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use automerge::{ActorId, AutoCommit, Change};
use sha2::{Digest, Sha256};
use sync_core::document::codec::{Base, pack_as};
use sync_core::document::genesis::genesis;
use sync_core::document::{
    ActorBytes, Clock, Codec, DocumentKey, Frontier, Heads, PackedFrontiers, SignedFrontier, UnverifiedFrontier,
};
use sync_core::env::no_witness;
use sync_core::id::{Chain, ChangeHash, LinkId, Name, NodeId, StoreId};
use sync_core::identity::{CertificateAuthority, Identity, Role, SigningKey, VerifiedPeer};
use sync_core::limits::WINDOW_BYTES_MAX;
use sync_core::replica::{Event, Now, Output, Replica};
use sync_core::store::{Store, StoreError};
use sync_core::wire::{DeltaFrame, Hello, Message, Part, Position, Push, PushEntry, VERSION_MAX, VERSION_MIN};

use crate::world::{Seeded, dump};

pub(crate) struct Door {
    pub(crate) hub: Replica,
    authority: CertificateAuthority,
    entropy: Seeded,
    pub(crate) node: Identity,
    link: LinkId,
    next: u64,
    pub(crate) events: Vec<Event>,
}

impl Door {
    /// A hub, and a node that has dialled it and said nothing yet.
    pub(crate) fn silent() -> Self {
        let mut entropy = Seeded(7);
        let authority = CertificateAuthority::create(&mut entropy, Name::new("fleet").unwrap()).unwrap();
        let mut member = |role| {
            let key = SigningKey::generate(&mut entropy);
            authority.identity(&mut entropy, key, role).unwrap()
        };
        let (hub, node) = (member(Role::Hub), member(Role::Node));
        let mut store = Store::open_in_memory().unwrap();
        Replica::init(&mut store, &hub, &mut entropy).unwrap();
        let hub = Replica::open(store, &mut entropy, no_witness()).unwrap();
        let link = LinkId(0);
        let mut door = Self { hub, authority, entropy, node, link, next: 0, events: Vec::new() };
        door.dial();
        door
    }

    /// The same, after both hellos.
    pub(crate) fn open() -> Self {
        let mut door = Self::silent();
        door.greet();
        door
    }

    pub(crate) fn dial(&mut self) {
        self.hub.handle_link_down(Now::default(), self.link).unwrap();
        self.link = LinkId(self.link.0 + 1);
        let peer = VerifiedPeer::in_process(&self.node);
        self.hub.handle_link_up(Now::default(), self.link, &peer, false).unwrap();
        self.answers();
    }

    pub(crate) fn hello(&self) -> Hello {
        Hello {
            version_min: VERSION_MIN,
            version_max: VERSION_MAX,
            store: StoreId([1; 16]),
            incarnation: sync_core::id::Incarnation { number: 1, nonce: sync_core::id::Nonce([6; 8]) },
            head: Position { number: 0, chain: Chain([0; 16]) },
            cursor: None,
            credit: WINDOW_BYTES_MAX,
        }
    }

    pub(crate) fn greet(&mut self) {
        let answers = self.say(&Message::Hello(self.hello()));
        assert!(matches!(answers[..], [Message::Hello(_)]), "{answers:?}");
    }

    /// A member of the fleet of which the hub has never heard.
    pub(crate) fn stranger(&mut self, role: Role) -> Identity {
        let key = SigningKey::generate(&mut self.entropy);
        self.authority.identity(&mut self.entropy, key, role).unwrap()
    }

    /// Another member, known at the hub.
    pub(crate) fn member(&mut self, role: Role) -> Identity {
        let key = SigningKey::generate(&mut self.entropy);
        let identity = self.authority.identity(&mut self.entropy, key, role).unwrap();
        let now = Now::default();
        let add =
            |tx: &sync_core::store::Tx<'_>| tx.add_peer(&identity.key().public(), role, None, Chain([0; 16])).map(drop);
        self.hub.edit(now, |edit| add(edit.tx())).unwrap();
        identity
    }

    pub(crate) fn say(&mut self, message: &Message) -> Vec<Message> {
        self.say_bytes(&message.encode(self.node.id()))
    }

    pub(crate) fn say_bytes(&mut self, frame: &[u8]) -> Vec<Message> {
        self.hub.handle_frame(Now::default(), self.link, frame).unwrap();
        self.answers()
    }

    fn answers(&mut self) -> Vec<Message> {
        let mut answers = Vec::new();
        while let Some(output) = self.hub.poll_output() {
            match output {
                Output::Transmit { frame, .. } => {
                    let message = Message::decode(&frame, self.hub.identity().id()).unwrap();
                    // Pushes made by hand ask for no credit; what they may not do, the tests of the session say.
                    if !matches!(message, Message::Credit(_)) {
                        answers.push(message);
                    }
                }
                Output::Event(event) => self.events.push(event),
                Output::Close { .. } => {}
            }
        }
        answers
    }

    /// Pushes a delta as the next step of the node's feed.
    pub(crate) fn push(
        &mut self,
        key: &DocumentKey,
        generation: u32,
        changes: Vec<u8>,
        frontier: UnverifiedFrontier,
    ) -> Vec<Message> {
        let frontier = Some(frontier);
        let (codec, earlier, roots) = (Codec::RawZstd, PackedFrontiers::default(), Vec::new());
        self.push_frame(DeltaFrame {
            key: key.clone(),
            generation,
            codec,
            changes,
            frontier,
            earlier,
            roots,
            part: None,
        })
    }

    /// The same, made elsewhere.
    pub(crate) fn push_frame(&mut self, frame: DeltaFrame) -> Vec<Message> {
        self.next += 1;
        let through = Some(self.place().into());
        self.say(&Message::Push(Push { entry: Some(PushEntry::Delta(frame)), through, more: false }))
    }

    /// Sends a part of a transfer whose frontier is yet to come.
    pub(crate) fn part(&mut self, key: &DocumentKey, part: Part, changes: Vec<u8>) -> Vec<Message> {
        let (roots, part) = (Vec::new(), Some(part));
        let codec = Codec::RawZstd;
        let earlier = PackedFrontiers::default();
        let frame =
            DeltaFrame { key: key.clone(), generation: 0, codec, changes, frontier: None, earlier, roots, part };
        self.say(&Message::Push(Push { entry: Some(PushEntry::Delta(frame)), through: None, more: true }))
    }

    /// Sends the last part of a transfer.
    pub(crate) fn last_part(
        &mut self,
        key: &DocumentKey,
        part: Part,
        changes: Vec<u8>,
        frontier: UnverifiedFrontier,
    ) -> Vec<Message> {
        self.next += 1;
        let (frontier, part) = (Some(frontier), Some(part));
        let codec = Codec::RawZstd;
        let (earlier, roots) = (PackedFrontiers::default(), Vec::new());
        let frame = DeltaFrame { key: key.clone(), generation: 0, codec, changes, frontier, earlier, roots, part };
        let through = Some(self.place().into());
        self.say(&Message::Push(Push { entry: Some(PushEntry::Delta(frame)), through, more: false }))
    }

    pub(crate) fn place(&self) -> Position {
        Position { number: self.next, chain: Chain([self.next as u8; 16]) }
    }

    pub(crate) fn dump(&mut self) -> Vec<String> {
        self.hub.inspect(|tx| Ok::<_, StoreError>(dump(tx))).unwrap()
    }

    pub(crate) fn quarantined(&mut self) -> u64 {
        self.hub.inspect(|tx| tx.quarantine_length()).unwrap()
    }

    /// The node's own document of this kind, with its genesis, under an actor of the node's.
    pub(crate) fn document(&self, key: &DocumentKey) -> AutoCommit {
        document_of(key, self.node.id(), 1)
    }

    /// A frontier over `heads`, signed by the node.
    pub(crate) fn signed(&self, key: &DocumentKey, heads: Vec<ChangeHash>) -> UnverifiedFrontier {
        claim(&frontier(key, heads).sign(self.node.key()))
    }
}

/// A document with its genesis, to be written by the `number`th actor of `author`.
pub(crate) fn document_of(key: &DocumentKey, author: NodeId, number: u8) -> AutoCommit {
    let actor = ActorBytes::mint(&author, [number; 8]);
    let mut document = AutoCommit::new().with_actor(ActorId::from(&actor.0[..]));
    document.apply_changes([Change::from_bytes(genesis(key).bytes).unwrap()]).unwrap();
    document
}

pub(crate) fn heads_of(document: &mut AutoCommit) -> Vec<ChangeHash> {
    document.get_heads().into_iter().map(|hash| ChangeHash(hash.0)).collect()
}

/// All changes but the genesis.
pub(crate) fn changes_of(document: &mut AutoCommit) -> Vec<Vec<u8>> {
    document.commit();
    document.get_changes(&[]).iter().skip(1).map(|change| change.raw_bytes().to_vec()).collect()
}

pub(crate) fn pack(changes: &[Vec<u8>]) -> Vec<u8> {
    let chunks: Vec<&[u8]> = changes.iter().map(Vec::as_slice).collect();
    pack_as(Codec::RawZstd, &Base::nothing(&Clock::default()), &chunks).unwrap().unwrap().bytes
}

pub(crate) fn frontier(key: &DocumentKey, heads: Vec<ChangeHash>) -> Frontier {
    Frontier { document: key.id(), generation: 0, version: 1, heads: Heads::new(heads).unwrap() }
}

pub(crate) fn claim(signed: &SignedFrontier) -> UnverifiedFrontier {
    UnverifiedFrontier {
        frontier: signed.frontier().clone(),
        author: signed.author(),
        signature: *signed.signature(),
        certificates: Vec::new(),
    }
}

/// The hash that a change with these bytes has, or would have if its checksum were right.
pub(crate) fn hash_of(chunk: &[u8]) -> ChangeHash {
    ChangeHash(Sha256::digest(chunk.get(8..).unwrap_or_default()).into())
}
