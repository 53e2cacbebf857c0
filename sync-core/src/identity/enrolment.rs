//! What a new member and a hub say to each other when the member, a node or another hub, joins. Messages only: tables and sockets are others'.

#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        reason = "its input comes from a network or a disk"
    )
)]

use std::fmt;

use prost::Message as _;
use rustls::pki_types::CertificateDer;

use crate::id::{Name, NameError, NodeId};
use crate::identity::token::{hub_prefix, secret_hash};
use crate::identity::{PublicKey, Signature, SigningKey, Token};
use crate::limits::{ADDRESS_BYTES_MAX, CERTIFICATE_BYTES_MAX, JOIN_MESSAGE_BYTES_MAX, REFUSAL_BYTES_MAX};
use crate::wire::join_proto as proto;

/// What a join signature starts with, so that it can be taken for nothing else that the key signs.
const SIGNATURE_DOMAIN: &[u8] = b"archipel 2026 join request\0";

/// The same for a request to come in as a hub.
const HUB_SIGNATURE_DOMAIN: &[u8] = b"archipel 2026 hub join request\0";

/// Certificates in a reply: the node's own and the fleet's root.
const CHAIN_LENGTH: usize = 2;

/// A node asks to be let in.
#[derive(Clone, PartialEq, Eq)]
pub struct JoinRequest {
    /// Which token it was given.
    pub token_id: [u8; 8],
    /// The token's secret.
    pub secret: [u8; 16],
    /// The first half of the id of the hub that the token names.
    pub hub: [u8; 16],
    /// The name that it asks for.
    pub name: Name,
    /// Its key.
    pub key: PublicKey,
    /// It asks to come in as a hub: where it can be reached, `HOST:PORT`, if it knows that. `None`: as a node.
    pub as_hub: Option<Option<String>>,
    signature: Signature,
}

impl JoinRequest {
    /// The request of the holder of `key`, under `name`.
    #[must_use]
    pub fn new(token: &Token, name: Name, key: &SigningKey) -> Self {
        Self::signed(token, name, None, key)
    }

    /// The request of a hub, which others reach at `address`.
    #[must_use]
    pub fn new_hub(token: &Token, name: Name, address: Option<String>, key: &SigningKey) -> Self {
        Self::signed(token, name, Some(address), key)
    }

    fn signed(token: &Token, name: Name, as_hub: Option<Option<String>>, key: &SigningKey) -> Self {
        let signature = key.sign(&signed_text(&token.id, &token.hub, &name, &key.public(), as_hub.as_ref()));
        Self { token_id: token.id, secret: token.secret, hub: token.hub, name, key: key.public(), as_hub, signature }
    }

    /// The hash to compare with the one that the hub stored for the token.
    #[must_use]
    pub fn secret_hash(&self) -> [u8; 32] {
        secret_hash(&self.token_id, &self.secret)
    }

    /// Whether the token names this hub.
    #[must_use]
    pub fn names_hub(&self, hub: &NodeId) -> bool {
        self.hub == hub_prefix(hub)
    }

    /// The message. A few hundred bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let message = proto::JoinRequest {
            token_id: self.token_id.to_vec(),
            secret: self.secret.to_vec(),
            hub: self.hub.to_vec(),
            name: self.name.as_str().to_owned(),
            public_key: self.key.0.to_vec(),
            signature: self.signature.0.to_vec(),
            as_hub: self.as_hub.is_some(),
            address: self.as_hub.clone().flatten().unwrap_or_default(),
        };
        message.encode_to_vec()
    }

    /// Reads a request and checks that its sender holds the private half of the key.
    ///
    /// # Errors
    /// [`JoinMessageError`]; answer it with [`JoinRefusal::BadRequest`].
    pub fn decode(bytes: &[u8]) -> Result<Self, JoinMessageError> {
        check_length(bytes)?;
        let message = proto::JoinRequest::decode(bytes)?;
        if message.address.len() > ADDRESS_BYTES_MAX {
            return Err(JoinMessageError::Field { field: "address" });
        }
        let address = Some(message.address).filter(|address| !address.is_empty());
        let request = Self {
            token_id: fixed(&message.token_id, "token_id")?,
            secret: fixed(&message.secret, "secret")?,
            hub: fixed(&message.hub, "hub")?,
            name: Name::new(&message.name)?,
            key: PublicKey(fixed(&message.public_key, "public_key")?),
            signature: Signature(fixed(&message.signature, "signature")?),
            as_hub: message.as_hub.then_some(address),
        };
        let as_hub = request.as_hub.as_ref();
        let text = signed_text(&request.token_id, &request.hub, &request.name, &request.key, as_hub);
        if !request.key.verifies(&text, &request.signature) {
            return Err(JoinMessageError::Signature);
        }
        Ok(request)
    }
}

impl fmt::Debug for JoinRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinRequest")
            .field("token_id", &self.token_id)
            .field("name", &self.name)
            .field("node", &self.key.node_id())
            .finish_non_exhaustive()
    }
}

/// The hub's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JoinReply {
    /// The node is a member of the fleet.
    Accepted {
        /// Its certificate, then the fleet's root. The node checks them before it stores them.
        chain: Vec<CertificateDer<'static>>,
        /// The fleet's authority, for a hub whose token says so.
        authority: Option<HandedAuthority>,
    },
    /// The node was not let in; the token is as it was.
    Refused {
        /// For programs.
        reason: JoinRefusal,
        /// For people. Cut to [`REFUSAL_BYTES_MAX`] bytes when it is sent.
        message: String,
    },
}

/// The private key of a fleet's certificate authority on its way to another hub. Its debug form does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct HandedAuthority {
    /// The key's seed.
    pub seed: [u8; 32],
    /// The fleet's name.
    pub fleet: Name,
}

impl fmt::Debug for HandedAuthority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HandedAuthority").field("fleet", &self.fleet).finish_non_exhaustive()
    }
}

/// Why a hub does not let a node in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum JoinRefusal {
    /// The hub has no token with this id: mistyped, withdrawn, or made before the hub was restored.
    UnknownToken,
    /// The token exists; its secret is another.
    WrongSecret,
    /// The token's time is over.
    Expired,
    /// Another node came in with this token. The same node may repeat its request and gets its chain again.
    AlreadyUsed,
    /// Another node of the fleet has this name.
    NameTaken,
    /// The token is to be redeemed at another hub.
    OtherHub,
    /// The request could not be read, or its signature is wrong.
    BadRequest,
    /// The hub does not hold the fleet's certificate authority, so it cannot let anyone in.
    NoAuthority,
}

impl JoinRefusal {
    /// All reasons.
    pub const ALL: [Self; 8] = [
        Self::UnknownToken,
        Self::WrongSecret,
        Self::Expired,
        Self::AlreadyUsed,
        Self::NameTaken,
        Self::OtherHub,
        Self::BadRequest,
        Self::NoAuthority,
    ];

    fn on_wire(self) -> proto::Reason {
        match self {
            Self::UnknownToken => proto::Reason::UnknownToken,
            Self::WrongSecret => proto::Reason::WrongSecret,
            Self::Expired => proto::Reason::Expired,
            Self::AlreadyUsed => proto::Reason::AlreadyUsed,
            Self::NameTaken => proto::Reason::NameTaken,
            Self::OtherHub => proto::Reason::OtherHub,
            Self::BadRequest => proto::Reason::BadRequest,
            Self::NoAuthority => proto::Reason::NoAuthority,
        }
    }

    fn from_wire(number: i32) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.on_wire() as i32 == number)
    }
}

impl fmt::Display for JoinRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnknownToken => "the hub does not know this token; make a new one there",
            Self::WrongSecret => "the token's secret is wrong; copy the token again",
            Self::Expired => "the token has expired; make a new one on the hub",
            Self::AlreadyUsed => "another node has used this token; make a new one on the hub",
            Self::NameTaken => "another node has this name; choose a different one",
            Self::OtherHub => "the token is for another hub; dial that one",
            Self::BadRequest => "the hub could not read the request; do both sides run a supported version?",
            Self::NoAuthority => {
                "this hub does not hold the fleet's certificate authority; make a token at one that does"
            }
        })
    }
}

impl JoinReply {
    /// The message; at most [`JOIN_MESSAGE_BYTES_MAX`] bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let outcome = match self {
            Self::Accepted { chain, authority } => proto::join_reply::Outcome::Accepted(proto::Accepted {
                chain: chain.iter().map(|certificate| certificate.to_vec()).collect(),
                authority: authority.as_ref().map(|it| it.seed.to_vec()).unwrap_or_default(),
                fleet: authority.as_ref().map(|it| it.fleet.to_string()).unwrap_or_default(),
            }),
            Self::Refused { reason, message } => proto::join_reply::Outcome::Refused(proto::Refused {
                reason: reason.on_wire().into(),
                message: cut(message).to_owned(),
            }),
        };
        proto::JoinReply { outcome: Some(outcome) }.encode_to_vec()
    }

    /// Reads a reply. It does not check the certificates: [`Identity::new`](crate::identity::Identity::new) does.
    ///
    /// # Errors
    /// [`JoinMessageError`] when the hub's answer is not a reply.
    pub fn decode(bytes: &[u8]) -> Result<Self, JoinMessageError> {
        check_length(bytes)?;
        let outcome = proto::JoinReply::decode(bytes)?.outcome;
        match outcome.ok_or(JoinMessageError::Field { field: "outcome" })? {
            proto::join_reply::Outcome::Accepted(accepted) => {
                let sound = |certificate: &Vec<u8>| certificate.len() <= CERTIFICATE_BYTES_MAX;
                if accepted.chain.len() != CHAIN_LENGTH || !accepted.chain.iter().all(sound) {
                    return Err(JoinMessageError::Field { field: "chain" });
                }
                let authority = match accepted.authority.as_slice() {
                    [] => None,
                    seed => {
                        Some(HandedAuthority { seed: fixed(seed, "authority")?, fleet: Name::new(&accepted.fleet)? })
                    }
                };
                let chain = accepted.chain.into_iter().map(CertificateDer::from).collect();
                Ok(Self::Accepted { chain, authority })
            }
            proto::join_reply::Outcome::Refused(refused) => {
                let reason =
                    JoinRefusal::from_wire(refused.reason).ok_or(JoinMessageError::Field { field: "reason" })?;
                Ok(Self::Refused { reason, message: cut(&refused.message).to_owned() })
            }
        }
    }
}

/// Why bytes are no message of the join exchange. Their sender is to blame; nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JoinMessageError {
    /// More bytes than a message can have.
    #[error("the join message has {bytes} bytes, more than {JOIN_MESSAGE_BYTES_MAX}")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// Not a Protocol Buffers message of this type.
    #[error("the join message cannot be read: {0}")]
    Malformed(#[from] prost::DecodeError),
    /// A field is missing, or has another length or value than the schema says.
    #[error("the field `{field}` of the join message is missing or out of range")]
    Field {
        /// The field, as in `join.proto`.
        field: &'static str,
    },
    /// The name is not a name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The sender does not hold the private half of the key, or the request was changed on its way.
    #[error("the signature of the join request does not match its key, token, hub and name")]
    Signature,
}

/// What the member signs. The name comes after parts of fixed lengths and holds no zero byte, so no two requests share a text.
fn signed_text(
    token_id: &[u8; 8],
    hub: &[u8; 16],
    name: &Name,
    key: &PublicKey,
    as_hub: Option<&Option<String>>,
) -> Vec<u8> {
    let text = |domain: &[u8]| [domain, token_id, hub, &key.0, name.as_str().as_bytes()].concat();
    match as_hub {
        None => text(SIGNATURE_DOMAIN),
        Some(address) => {
            [text(HUB_SIGNATURE_DOMAIN).as_slice(), b"\0", address.as_deref().unwrap_or_default().as_bytes()].concat()
        }
    }
}

fn check_length(bytes: &[u8]) -> Result<(), JoinMessageError> {
    if bytes.len() > JOIN_MESSAGE_BYTES_MAX {
        return Err(JoinMessageError::TooLong { bytes: bytes.len() });
    }
    Ok(())
}

fn fixed<const N: usize>(bytes: &[u8], field: &'static str) -> Result<[u8; N], JoinMessageError> {
    bytes.try_into().map_err(|_| JoinMessageError::Field { field })
}

fn cut(message: &str) -> &str {
    message.get(..message.floor_char_boundary(REFUSAL_BYTES_MAX)).unwrap_or(message)
}

#[cfg(test)]
mod tests;
