//! Makes a hub's data folder: a fleet of its own, or a further hub of one that is there.

use std::path::PathBuf;

use sync_core::env::Entropy;
use sync_core::id::{Name, NodeId};
use sync_core::identity::certificate::Role;
use sync_core::identity::{CertificateAuthority, HandedAuthority, Identity, SigningKey, Token, TokenError};
use sync_core::limits::HUB_ADDRESSES_MAX;
use sync_core::replica::{Edit, InitError, Now, Replica, WriteError};
use sync_core::state::roster::{HomeField, HubEntry};
use sync_core::store::{Authority, OpenError, Store, StoreError};
use sync_core::transport::{JoinError, Machine, ResolveError, Settings, join_as_hub};

use crate::admin::{NAMED_PEERS, NamedPeer, check_address};

/// Where the hub's name is kept in the local values.
const NAME: &str = "hub.name";
/// Where the key waits between the request to another hub and its answer.
const JOINING: &str = "hub.joining";
/// Kept when the hub joined a fleet that others made: it does not begin a roster.
const JOINED: &str = "hub.joined";

/// What a new hub is made with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InitConfig {
    /// Its data folder, made when it is missing.
    pub data_folder: PathBuf,
    /// What people call it; `hub-` and the start of its id when left out.
    pub name: Option<Name>,
    /// The fleet to join; a fleet of its own when left out.
    pub join: Option<JoinFleet>,
    /// Time-outs.
    pub settings: Settings,
}

/// How to join a fleet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinFleet {
    /// What `archipel-hub token create --hub` printed.
    pub token: String,
    /// `HOST:PORT` of the hub that printed it.
    pub hub_address: String,
    /// `HOST:PORT` where others reach the new hub, if it is known yet.
    pub own_address: Option<String>,
}

/// A hub that was made.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Founded {
    /// Its id.
    pub id: NodeId,
    /// What people call it.
    pub name: Name,
    /// It holds the fleet's certificate authority.
    pub has_authority: bool,
}

/// Why no hub was made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FoundingError {
    /// The data folder cannot be used. It is as it was.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The folder belongs to somebody. It is as it was.
    #[error(transparent)]
    Init(#[from] InitError),
    /// The token is no token. Nothing was sent.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The address cannot be resolved. Nothing was sent.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// The other hub was not reached, is not the token's, or said no.
    #[error(transparent)]
    Hub(#[from] JoinError),
    /// An address is malformed. Nothing was sent.
    #[error("{0}")]
    Address(String),
    /// The other hub let this one in as a node. It is to blame; nothing was stored.
    #[error("the other hub issued a node's certificate; use a token of `archipel-hub token create --hub`")]
    NotAHub,
    /// A certificate could not be made. A defect of this program.
    #[error("the fleet's certificate authority could not be made: {0}")]
    Authority(String),
}

fn made(error: impl std::fmt::Display) -> FoundingError {
    FoundingError::Authority(error.to_string())
}

/// Makes a hub's data folder. The hub is started with `serve` afterwards.
///
/// # Errors
/// [`FoundingError`]. The same command may be repeated; a key that was sent once is used again.
pub async fn init(config: InitConfig) -> Result<Founded, FoundingError> {
    init_on(&Machine::system(), Store::open(&config.data_folder)?, config).await
}

/// [`init`] on a machine and a store of the caller's making.
///
/// # Errors
/// As [`init`].
pub async fn init_on(machine: &Machine, mut store: Store, config: InitConfig) -> Result<Founded, FoundingError> {
    if let Some(identity) = store.begin_read()?.identity()? {
        return Err(InitError::Taken(SigningKey::from_seed(identity.seed).node_id()).into());
    }
    match config.join {
        None => found_fleet(&mut store, &mut *machine.entropy(), config.name),
        Some(join) => join_fleet(machine, &mut store, config.name, &join, &config.settings).await,
    }
}

/// Founds a fleet: an authority, and this hub as its first member. The authority is stored first, so a process that dies in
/// between goes on from it.
///
/// # Errors
/// [`FoundingError`].
pub fn found_fleet(store: &mut Store, entropy: &mut dyn Entropy, name: Option<Name>) -> Result<Founded, FoundingError> {
    let stored = store.begin_read()?.authority()?;
    let authority = match stored {
        Some(stored) => crate::enrol::open_authority(&stored).map_err(made)?,
        None => {
            let fleet = Name::new("fleet").map_err(made)?;
            let authority = CertificateAuthority::create(entropy, fleet).map_err(made)?;
            let tx = store.begin()?;
            tx.set_authority(&Authority { seed: *authority.key().seed(), fleet: authority.fleet().to_string() })?;
            tx.commit()?;
            authority
        }
    };
    let key = SigningKey::generate(entropy);
    let name = name.map_or_else(|| default_name(key.node_id()), Ok)?;
    let tx = store.begin()?;
    tx.set_local(NAME, &name)?;
    tx.commit()?;
    let identity = authority.identity(entropy, key, Role::Hub).map_err(made)?;
    Replica::init(store, &identity, entropy)?;
    Ok(Founded { id: identity.id(), name, has_authority: true })
}

fn default_name(id: NodeId) -> Result<Name, FoundingError> {
    Name::new(&format!("hub-{}", id.short())).map_err(made)
}

async fn join_fleet(
    machine: &Machine,
    store: &mut Store,
    name: Option<Name>,
    join: &JoinFleet,
    settings: &Settings,
) -> Result<Founded, FoundingError> {
    let token = Token::parse(&join.token)?;
    join.own_address.iter().try_for_each(|address| check_address(address)).map_err(FoundingError::Address)?;
    let addresses = machine.network().resolve(&join.hub_address).await?;
    let mut entropy = machine.entropy();
    let tx = store.begin()?;
    let seed = match tx.local::<[u8; 32]>(JOINING)? {
        Some(seed) => seed,
        None => *SigningKey::generate(&mut *entropy).seed(),
    };
    tx.set_local(JOINING, &seed)?;
    tx.commit()?;
    let key = SigningKey::from_seed(seed);
    let name = name.map_or_else(|| default_name(key.node_id()), Ok)?;
    let mut result = None;
    for address in addresses {
        let joined = join_as_hub(machine, address, &token, &name, join.own_address.clone(), &key, settings).await;
        let go_on = matches!(joined, Err(JoinError::Dial(_)));
        result = Some(joined);
        if !go_on {
            break;
        }
    }
    let Some(joined) = result else { return Err(ResolveError::NoAddress { text: join.hub_address.clone() }.into()) };
    let (identity, authority) = joined?;
    settle(store, &mut *entropy, name, &join.hub_address, &identity, authority)
}

/// Makes a store that of a hub which another has let in. `hub_address` is where that one is reached.
///
/// # Errors
/// [`FoundingError`].
pub fn settle(
    store: &mut Store,
    entropy: &mut dyn Entropy,
    name: Name,
    hub_address: &str,
    identity: &Identity,
    authority: Option<HandedAuthority>,
) -> Result<Founded, FoundingError> {
    if identity.role() != Role::Hub {
        return Err(FoundingError::NotAHub);
    }
    let tx = store.begin()?;
    tx.set_local(NAME, &name)?;
    tx.set_local(JOINED, &true)?;
    let first = NamedPeer { name: "first".to_owned(), address: hub_address.to_owned(), id: None };
    tx.set_local(NAMED_PEERS, &[first])?;
    if let Some(authority) = &authority {
        let stored = Authority { seed: authority.seed, fleet: authority.fleet.to_string() };
        let opened = crate::enrol::open_authority(&stored).map_err(made)?;
        if opened.pin() != identity.pin() {
            return Err(made("the other hub handed over the authority of another fleet"));
        }
        tx.set_authority(&stored)?;
    }
    tx.commit()?;
    Replica::init(store, identity, entropy)?;
    // The key lives in the identity now.
    let tx = store.begin()?;
    tx.remove_local(JOINING)?;
    tx.commit()?;
    Ok(Founded { id: identity.id(), name, has_authority: authority.is_some() })
}

/// Writes into the roster what this hub knows best: its addresses, and whether it holds the authority. The hub that founded
/// the fleet begins the roster, with itself as the home of everything. `false`: the roster does not know this hub yet.
///
/// # Errors
/// [`WriteError`]; nothing was written.
pub fn advertise(replica: &mut Replica, now: Now, addresses: &[String]) -> Result<bool, WriteError> {
    let own = replica.identity().id();
    replica.edit(now, |edit: &mut Edit<'_>| {
        let tx = edit.tx();
        let authority = tx.authority()?.is_some();
        let may_begin = authority && !tx.local::<bool>(JOINED)?.unwrap_or(false);
        let name: Option<Name> = tx.local(NAME)?;
        let mut roster = edit.roster()?;
        let before = roster.clone();
        if roster.home.hub.is_none() && may_begin {
            roster.home = HomeField { hub: Some(own), epoch: Some(1) };
        }
        if may_begin && !roster.hubs.contains_key(&own) && !roster.revoked.contains_key(&own) {
            let name = name.or_else(|| default_name(own).ok());
            let entry = name.map(|name| HubEntry { name, addresses: Vec::new(), authority });
            roster.hubs.extend(entry.map(|entry| (own, entry)));
        }
        let Some(entry) = roster.hubs.get_mut(&own) else { return Ok(false) };
        entry.authority = authority;
        if !addresses.is_empty() {
            entry.addresses = addresses.iter().take(HUB_ADDRESSES_MAX).cloned().collect();
        }
        if roster != before {
            edit.write_roster(&roster)?;
        }
        Ok(true)
    })
}
