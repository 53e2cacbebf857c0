//! Making and opening replicas.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::Replica;
use crate::document::ActorBytes;
use crate::env::{Entropy, Witness};
use crate::id::{Incarnation, Nonce, StoreId};
use crate::identity::{CaPin, Identity, IdentityError, SigningKey};
use crate::store::{OpenError, Store, StoreError, StoreIdentity};
#[cfg(feature = "mutants")]
use crate::{
    identity::Role,
    mutants::{Mutant, planted},
};

/// Why a replica cannot be opened. The data folder is as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplicaError {
    /// The database cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Nobody said who this replica is.
    #[error("the data folder has no identity yet; join a hub first")]
    NoIdentity,
    /// The stored identity is damaged.
    #[error("the stored identity is damaged: {0}")]
    Identity(#[from] IdentityError),
}

/// Why a store cannot be given an identity. It is as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InitError {
    /// It has one.
    #[error("the data folder already belongs to {0}")]
    Taken(crate::id::NodeId),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The stored identity is damaged.
    #[error("the stored identity is damaged: {0}")]
    Identity(#[from] IdentityError),
}

impl Replica {
    /// Gives a new store its identity. Once.
    ///
    /// # Errors
    /// [`InitError`].
    pub fn init(store: &mut Store, identity: &Identity, entropy: &mut dyn Entropy) -> Result<(), InitError> {
        let tx = store.begin()?;
        if let Some(stored) = tx.identity()? {
            return Err(InitError::Taken(from_stored(&stored)?.id()));
        }
        let (mut id, mut nonce) = ([0; 16], [0; 8]);
        entropy.fill(&mut id);
        entropy.fill(&mut nonce);
        tx.set_identity(&StoreIdentity {
            store: StoreId(id),
            incarnation: 1,
            nonce: Nonce(nonce),
            role: identity.role(),
            seed: *identity.key().seed(),
            chain: identity.chain().iter().map(|der| der.to_vec()).collect(),
            pin: identity.pin().0,
        })?;
        Ok(tx.commit()?)
    }

    /// Opens the replica of a store that has an identity. It writes under an actor that was never used before.
    ///
    /// # Errors
    /// [`ReplicaError`].
    pub fn open(mut store: Store, entropy: &mut dyn Entropy, witness: Witness) -> Result<Self, ReplicaError> {
        let tx = store.begin_read()?;
        let stored = tx.identity()?.ok_or(ReplicaError::NoIdentity)?;
        drop(tx);
        let identity = from_stored(&stored)?;
        let mut random = [0; 8];
        entropy.fill(&mut random);
        #[cfg(feature = "mutants")]
        {
            if planted(Mutant::ActorReused) {
                random = [0; 8];
            }
            let unsynced = match identity.role() {
                Role::Hub => Mutant::HubCommitsUnsynced,
                Role::Node => Mutant::NodeCommitsUnsynced,
            };
            if planted(unsynced) {
                store.stop_syncing()?;
            }
        }
        let catch_ups = super::catch_ups::CatchUps::new(entropy);
        let mut seed = [0; 32];
        entropy.fill(&mut seed);
        Ok(Self {
            actor: ActorBytes::mint(&identity.id(), random),
            store,
            identity: std::sync::Arc::new(identity),
            store_id: stored.store,
            incarnation: Incarnation { number: stored.incarnation, nonce: stored.nonce },
            seed,
            links: BTreeMap::new(),
            link_of: BTreeMap::new(),
            linked_hubs: BTreeSet::new(),
            outputs: VecDeque::new(),
            flow: super::flow::Flow::default(),
            packed: super::transfer::PackedTransfers::default(),
            catch_ups,
            contacts: super::contacts::Contacts::default(),
            timeouts: super::timeouts::Timeouts::default(),
            witness,
            loads: super::loads::Loads::default(),
            policy: crate::document::generation::CutPolicy::default(),
            aside: 0,
        })
    }

    /// The store, as a process that is killed now leaves it: with everything that is durable. For simulators, and for whoever
    /// opens the replica again.
    #[must_use]
    pub fn into_store(self) -> Store {
        self.store
    }
}

fn from_stored(stored: &StoreIdentity) -> Result<Identity, IdentityError> {
    let chain = stored.chain.iter().map(|der| der.clone().into()).collect();
    Identity::new(SigningKey::from_seed(stored.seed), chain, CaPin(stored.pin))
}
