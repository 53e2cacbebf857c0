//! A machine of the story: its simulated disk, the replica on it, and what is known of both from outside.

use std::collections::BTreeMap;

use simulator::disk::images::Chronicle;
use simulator::disk::{Disk, Faults};
use simulator::random::Random;
use sync_core::document::generation::CutPolicy;
use sync_core::document::{Frontier, Heads};
use sync_core::env::{Entropy, Instant, WallTime, no_witness};
use sync_core::id::{DocumentId, NodeId};
use sync_core::identity::{CertificateAuthority, Identity, Role, SigningKey, VerifiedPeer};
use sync_core::replica::{Now, Replica, ReplicaError};
use sync_core::store::{Authority, DATABASE_FILE, Store};

/// The whole story happens at one time: no invariant reads a clock.
pub(crate) const NOW: Now = Now { instant: Instant(1_000_000), wall: WallTime(Some(1_000)) };

/// A generation ends with every few writes.
const EAGER: CutPolicy = CutPolicy {
    changes: 5,
    actors: 64,
    log_ratio: 1000,
    log_bytes_min: 1 << 30,
    log_bytes_max: u64::MAX,
    log_operations: u64::MAX,
};

#[derive(Debug, Clone)]
pub(crate) struct Seeded(pub(crate) Random);

impl Entropy for Seeded {
    fn fill(&mut self, target: &mut [u8]) {
        for chunk in target.chunks_mut(8) {
            chunk.copy_from_slice(&self.0.next_u64().to_be_bytes()[..chunk.len()]);
        }
    }
}

impl Seeded {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Random::new(seed))
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0.below(bound)
    }
}

/// Who a machine is, whatever its disk holds.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    pub(crate) pem: String,
    pub(crate) peer: VerifiedPeer,
    /// A hub's.
    pub(crate) authority: Option<Authority>,
}

impl Member {
    pub(crate) fn new(authority: &CertificateAuthority, role: Role, entropy: &mut Seeded) -> Self {
        let key = SigningKey::generate(entropy);
        let identity = authority.identity(entropy, key, role).unwrap();
        let stored = Authority { seed: *authority.key().seed(), fleet: authority.fleet().as_str().to_owned() };
        let authority = (role == Role::Hub).then_some(stored);
        Self { pem: identity.to_pem(), peer: VerifiedPeer::in_process(&identity), authority }
    }

    pub(crate) fn id(&self) -> NodeId {
        self.peer.id()
    }

    /// What a process does when it starts, for the first time or again: opens the store, and gives it what it lacks.
    pub(crate) fn start(&self, disk: &Disk, entropy: &mut Seeded) -> Result<Replica, String> {
        let said = |error: &dyn std::error::Error| format!("it does not open: {error}");
        let mut store = Store::open_on(disk.name(), DATABASE_FILE).map_err(|error| said(&error))?;
        let tx = store.begin_read().map_err(|error| said(&error))?;
        let (known, authority) = (tx.identity(), tx.authority());
        drop(tx);
        if known.map_err(|error| said(&error))?.is_none() {
            let identity = Identity::from_pem(&self.pem).map_err(|error| said(&error))?;
            Replica::init(&mut store, &identity, entropy).map_err(|error| said(&error))?;
        }
        if let (Some(own), None) = (&self.authority, authority.map_err(|error| said(&error))?) {
            let tx = store.begin().map_err(|error| said(&error))?;
            tx.set_authority(own).map_err(|error| said(&error))?;
            tx.commit().map_err(|error| said(&error))?;
        }
        let opened: Result<Replica, ReplicaError> = Replica::open(store, entropy, no_witness());
        let mut replica = opened.map_err(|error| said(&error))?;
        replica.set_cut_policy(EAGER);
        Ok(replica)
    }
}

/// What somebody outside was told by a machine, or told it and got an answer: none of it may be lost.
#[derive(Debug, Clone, Default)]
pub(crate) struct Model {
    /// The last value that the embedding program kept.
    pub(crate) local: Option<u64>,
    /// The last report of a node.
    pub(crate) report: Option<u64>,
    /// How much of the other's feed it has acknowledged.
    pub(crate) acknowledged: u64,
    /// The newest frontier of each document that it was seen to hold: written here, or sent.
    pub(crate) frontiers: BTreeMap<DocumentId, (u32, Heads)>,
}

impl Model {
    pub(crate) fn saw(&mut self, frontier: &Frontier) {
        let known = self.frontiers.get(&frontier.document);
        if known.is_none_or(|(generation, _)| *generation <= frontier.generation) {
            self.frontiers.insert(frontier.document, (frontier.generation, frontier.heads.clone()));
        }
    }
}

pub(crate) struct Machine {
    pub(crate) member: Member,
    pub(crate) disk: Disk,
    /// `None` before it was first started, and while it starts again.
    pub(crate) replica: Option<Replica>,
    pub(crate) chronicle: Chronicle,
    pub(crate) model: Model,
}

impl Machine {
    pub(crate) fn new(member: Member, disk: Disk) -> Self {
        disk.record();
        let chronicle = Chronicle::begin(&disk).unwrap();
        Self { member, disk, replica: None, chronicle, model: Model::default() }
    }

    /// Forgets what was recorded, and begins again from what the disk holds now.
    pub(crate) fn record_from_here(&mut self) {
        self.disk.record();
        self.chronicle = Chronicle::begin(&self.disk).unwrap();
    }

    pub(crate) fn set_faults(&self, faults: Faults) {
        self.disk.set_faults(faults);
    }
}
