//! Joins a hub: a key made here, a token, and the certificate that comes back.

use std::path::PathBuf;

use sync_core::id::Name;
use sync_core::identity::{SigningKey, Token, TokenError};
use sync_core::replica::{InitError, Replica};
use sync_core::store::{OpenError, Store, StoreError};
use sync_core::transport::{self, Machine, ResolveError, Settings};

use crate::run::{HUB, HubAddress};

/// Where the key waits between the request and the hub's answer.
const JOINING: &str = "edge.joining";
/// Where the node's name is kept.
pub(crate) const NAME: &str = "edge.name";

/// What joining needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinConfig {
    /// The folder of the database, made when it is missing.
    pub data_folder: PathBuf,
    /// `HOST:PORT` of the hub.
    pub hub: String,
    /// The token.
    pub token: String,
    /// What the node is called.
    pub name: Name,
    /// Time-outs.
    pub settings: Settings,
}

/// Why a node did not join.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JoinError {
    /// The data folder cannot be used. It is as it was.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The token is no token. Nothing was sent.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The folder belongs to a member of a fleet already.
    #[error(transparent)]
    Init(#[from] InitError),
    /// The address cannot be resolved. Nothing was sent.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// The hub was not reached, is not the token's, or said no.
    #[error(transparent)]
    Hub(#[from] transport::JoinError),
}

/// Joins. The id of the new node.
///
/// The key is stored before the token is sent: when the answer is lost, the same command tries again with the same key, and
/// the hub answers the same node again.
///
/// # Errors
/// [`JoinError`].
pub async fn join(config: JoinConfig) -> Result<sync_core::id::NodeId, JoinError> {
    join_from(&Machine::system(), &config, Store::open).await
}

/// Gives a new store the identity of a node whose database was lost and whose key was not, and the hub that it had joined.
///
/// # Errors
/// [`JoinError`]; the store is as it was.
pub fn give_back(
    store: &mut Store,
    identity: &sync_core::identity::Identity,
    hub: &str,
    entropy: &mut dyn sync_core::env::Entropy,
) -> Result<(), JoinError> {
    let tx = store.begin()?;
    tx.set_local(HUB, &HubAddress { address: hub.to_owned() })?;
    tx.commit()?;
    Ok(Replica::init(store, identity, entropy)?)
}

/// [`join`] on a machine of the caller's making, which opens the store when all else that can be wrong was looked at.
///
/// # Errors
/// [`JoinError`].
pub async fn join_from(
    machine: &Machine,
    config: &JoinConfig,
    open: impl FnOnce(&std::path::Path) -> Result<Store, OpenError>,
) -> Result<sync_core::id::NodeId, JoinError> {
    let token = Token::parse(config.token.trim())?;
    let addresses = machine.network().resolve(&config.hub).await?;
    let mut store = open(&config.data_folder)?;
    let mut entropy = machine.entropy();
    let tx = store.begin()?;
    if let Some(identity) = tx.identity()? {
        return Err(InitError::Taken(SigningKey::from_seed(identity.seed).node_id()).into());
    }
    let seed = match tx.local::<[u8; 32]>(JOINING)? {
        Some(seed) => seed,
        None => {
            let seed = *SigningKey::generate(&mut *entropy).seed();
            tx.set_local(JOINING, &seed)?;
            seed
        }
    };
    tx.commit()?;
    let key = SigningKey::from_seed(seed);
    let mut result = None;
    for address in addresses {
        let joined = transport::join(machine, address, &token, &config.name, &key, &config.settings).await;
        let go_on = matches!(joined, Err(transport::JoinError::Dial(_)));
        result = Some(joined);
        if !go_on {
            break;
        }
    }
    let Some(joined) = result else { return Err(ResolveError::NoAddress { text: config.hub.clone() }.into()) };
    let identity = joined?;
    let tx = store.begin()?;
    tx.set_local(HUB, &HubAddress { address: config.hub.clone() })?;
    tx.set_local(NAME, &config.name)?;
    tx.commit()?;
    Replica::init(&mut store, &identity, &mut *entropy)?;
    // The key lives in the identity now.
    let tx = store.begin()?;
    tx.remove_local(JOINING)?;
    tx.commit()?;
    Ok(identity.id())
}
