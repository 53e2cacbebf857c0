//! Enrolment: a token and a key become a certificate, a peer and a first assignment, or a hub of the roster, in one
//! transaction.

use sync_core::env::Entropy;
use sync_core::id::{Name, NodeId};
use sync_core::identity::certificate::Role;
use sync_core::identity::{
    CertificateAuthority, CertificateChain, HandedAuthority, JoinRefusal, JoinReply, JoinRequest, SigningKey,
};
use sync_core::limits::HUBS_MAX;
#[cfg(feature = "mutants")]
use sync_core::mutants::{Mutant, planted};
use sync_core::replica::{Edit, Now, Replica, WriteError};
use sync_core::state::roster::HubEntry;
use sync_core::store::{Authority, Redemption, StoreError, TokenRow, chain_origin};

use crate::admin::{check_address, first_assignment};

/// Answers a request whose signature was checked.
pub fn enrol(replica: &mut Replica, now: Now, entropy: &mut dyn Entropy, request: &JoinRequest) -> JoinReply {
    if !request.names_hub(&replica.identity().id()) {
        return refused(JoinRefusal::OtherHub, "");
    }
    let result = replica.edit(now, |edit| redeem(edit, now, entropy, request));
    result.unwrap_or_else(|error| match error {
        EnrolError::Refused(reply) => *reply,
        EnrolError::Write(error) => {
            tracing::error!(%error, "a node could not be enrolled");
            refused(JoinRefusal::BadRequest, "the hub could not store the enrolment; nothing was changed, try again")
        }
    })
}

/// Why nothing was enrolled.
enum EnrolError {
    Refused(Box<JoinReply>),
    Write(WriteError),
}

impl From<StoreError> for EnrolError {
    fn from(error: StoreError) -> Self {
        Self::Write(error.into())
    }
}

/// `message` adds to what the reason says by itself.
fn refused(reason: JoinRefusal, message: &str) -> JoinReply {
    JoinReply::Refused { reason, message: message.to_owned() }
}

fn redeem(
    edit: &mut Edit<'_>,
    now: Now,
    entropy: &mut dyn Entropy,
    request: &JoinRequest,
) -> Result<JoinReply, EnrolError> {
    let refuse = |reason, message: &str| Err(EnrolError::Refused(Box::new(refused(reason, message))));
    let node = request.key.node_id();
    // Without a clock no token can be known to be still good: refuse rather than guess. One that this node redeemed
    // before is good whatever the time.
    let wall = now.wall.0.unwrap_or(u64::MAX);
    #[cfg(feature = "mutants")]
    let wall = if planted(Mutant::TokenWithoutClock) { now.wall.0.unwrap_or(0) } else { wall };
    let token = match edit.tx().check_token(request.token_id, request.secret_hash(), node, wall)? {
        Redemption::Unknown => return refuse(JoinRefusal::UnknownToken, ""),
        Redemption::Expired if now.wall.0.is_none() => {
            return refuse(JoinRefusal::BadRequest, "the hub does not know the time; set its machine's clock");
        }
        Redemption::Expired => return refuse(JoinRefusal::Expired, ""),
        Redemption::Used => return refuse(JoinRefusal::AlreadyUsed, ""),
        Redemption::Valid(token) => token,
    };
    if (token.role == Role::Hub) != request.as_hub.is_some() {
        let message = match token.role {
            Role::Hub => "this token is for another hub: `archipel-hub init --join`",
            Role::Node => "this token is for a node; make one with `archipel-hub token create --hub`",
        };
        return refuse(JoinRefusal::BadRequest, message);
    }
    if edit.tx().authority()?.is_none() {
        return refuse(JoinRefusal::NoAuthority, "");
    }
    if let Some(address) = &request.as_hub {
        return redeem_as_hub(edit, entropy, request, &token, address.as_deref());
    }
    let known = edit.tx().peer(node)?;
    let named = edit.tx().peer_by_name(request.name.as_str())?;
    if named.is_some_and(|other| other.node != node) {
        return refuse(JoinRefusal::NameTaken, "");
    }
    if known.as_ref().is_some_and(|peer| peer.revoked) {
        return refuse(JoinRefusal::BadRequest, "this node was revoked; join with a new data folder");
    }
    let name = known.as_ref().and_then(|peer| peer.name.as_deref());
    if let Some(name) = name.filter(|name| *name != request.name.as_str()) {
        // Its first answer was lost, and the second try names it otherwise.
        return refuse(JoinRefusal::BadRequest, &format!("this node is enrolled as `{name}`; join with that name"));
    }
    let is_new = name.is_none();
    let chain = match issue(edit, entropy, request, Role::Node) {
        Ok(chain) => chain,
        Err(message) => return refuse(JoinRefusal::BadRequest, &message),
    };
    if known.is_some() && is_new {
        // It came with a valid certificate before a token: this hub was restored from a time before it joined.
        edit.tx().name_peer(node, request.name.as_str())?;
    } else if is_new {
        let store = edit.tx().identity()?.ok_or(StoreError::Corrupt { place: "store" })?;
        let origin = chain_origin(store.store, store.incarnation, node);
        edit.tx().add_peer(&request.key, Role::Node, Some(request.name.as_str()), origin)?;
    }
    if is_new {
        edit.tx().redeem_token(token.id, node)?;
        first_assignment(edit, request.key, request.name.clone(), token.labels).map_err(EnrolError::Write)?;
    }
    keep_certificate(edit, node, &chain)?;
    Ok(JoinReply::Accepted { chain, authority: None })
}

/// Lets another hub in: its certificate, its line in the roster, and the authority when the token says so.
fn redeem_as_hub(
    edit: &mut Edit<'_>,
    entropy: &mut dyn Entropy,
    request: &JoinRequest,
    token: &TokenRow,
    address: Option<&str>,
) -> Result<JoinReply, EnrolError> {
    let refuse = |message: &str| Err(EnrolError::Refused(Box::new(refused(JoinRefusal::BadRequest, message))));
    let hub = request.key.node_id();
    if let Some(Err(message)) = address.map(check_address) {
        return refuse(&message);
    }
    let mut roster = edit.roster()?;
    if roster.hub_named(&request.name).is_some_and(|(id, _)| id != hub) {
        return Err(EnrolError::Refused(Box::new(refused(JoinRefusal::NameTaken, "a hub has it"))));
    }
    if roster.revoked.contains_key(&hub) {
        return refuse("this hub was revoked; join with a new data folder");
    }
    if !roster.hubs.contains_key(&hub) && roster.hubs.len() >= HUBS_MAX {
        return refuse(&format!("the fleet has {HUBS_MAX} hubs already"));
    }
    let chain = match issue(edit, entropy, request, Role::Hub) {
        Ok(chain) => chain,
        Err(message) => return refuse(&message),
    };
    if edit.tx().peer(hub)?.is_none() {
        let store = edit.tx().identity()?.ok_or(StoreError::Corrupt { place: "store" })?;
        let origin = chain_origin(store.store, store.incarnation, hub);
        edit.tx().add_peer(&request.key, Role::Hub, None, origin)?;
    }
    edit.tx().redeem_token(token.id, hub)?;
    keep_certificate(edit, hub, &chain)?;
    let addresses = address.map(str::to_owned).into_iter().collect();
    let entry = HubEntry { name: request.name.clone(), addresses, authority: token.authority };
    roster.hubs.entry(hub).or_insert(entry);
    edit.write_roster(&roster).map_err(EnrolError::Write)?;
    let stored = if token.authority { edit.tx().authority()? } else { None };
    let authority = stored.and_then(|stored| {
        let fleet = Name::new(&stored.fleet).ok()?;
        Some(HandedAuthority { seed: stored.seed, fleet })
    });
    Ok(JoinReply::Accepted { chain, authority })
}

/// Who was let in may be vouched for before it ever links.
fn keep_certificate(edit: &Edit<'_>, member: NodeId, chain: &CertificateChain) -> Result<(), StoreError> {
    chain.first().map_or(Ok(()), |certificate| edit.tx().set_certificate(member, certificate))
}

fn issue(
    edit: &Edit<'_>,
    entropy: &mut dyn Entropy,
    request: &JoinRequest,
    role: Role,
) -> Result<CertificateChain, String> {
    let authority = edit.tx().authority().map_err(|error| error.to_string())?;
    let authority = authority.ok_or("this hub does not hold the fleet's authority")?;
    let authority = open_authority(&authority)?;
    authority.issue_chain(entropy, &request.key, role).map_err(|error| error.to_string())
}

/// The authority of its stored form.
pub(crate) fn open_authority(stored: &Authority) -> Result<CertificateAuthority, String> {
    let fleet = Name::new(&stored.fleet).map_err(|error| error.to_string())?;
    CertificateAuthority::from_parts(SigningKey::from_seed(stored.seed), fleet).map_err(|error| error.to_string())
}
