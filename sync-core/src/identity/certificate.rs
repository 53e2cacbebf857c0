//! What a certificate proves here: this key belongs to this fleet, as a hub or as a node. Dates and names prove nothing.

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

use std::cell::Cell;
use std::fmt;
use std::time::Duration;

use rustls::pki_types::{CertificateDer, UnixTime};
use webpki::{EndEntityCert, ExtendedKeyUsageValidator, KeyPurposeId, KeyPurposeIdIter};

use crate::id::NodeId;
use crate::identity::{Identity, PublicKey};
use crate::limits::CERTIFICATE_BYTES_MAX;

/// Certificates in a chain: the holder's own, then the root of the fleet.
const CHAIN_LENGTH: usize = 2;

/// The time at which every certificate is checked: 2026-01-01. Certificates are valid from 1975 to 4096 and the wall clock
/// is not asked, so a node whose clock is wrong still knows its hub (invariant 9).
const CHECKING_TIME: Duration = Duration::from_secs(1_767_225_600);

/// The fleet, as everyone in it knows it: BLAKE3 of the SubjectPublicKeyInfo of its certificate authority.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CaPin(pub [u8; 32]);

impl CaPin {
    /// The pin of the authority with this SubjectPublicKeyInfo (DER).
    #[must_use]
    pub fn of_spki(spki: &[u8]) -> Self {
        Self(blake3::derive_key("archipel 2026 certificate authority pin", spki))
    }
}

impl fmt::Display for CaPin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for CaPin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CaPin({self})")
    }
}

/// What the holder of a certificate is. It is written as the certificate's extended key usage: a hub's has `serverAuth`
/// and `clientAuth`, for hubs dial each other; a node's has `clientAuth` alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// A replica of the central service.
    Hub,
    /// An edge cluster.
    Node,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hub => "hub",
            Self::Node => "node",
        })
    }
}

/// What a chain of certificates says. Anyone can copy a chain, so this does not say who sent it; [`VerifiedPeer`] does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Certified {
    /// The certified key.
    pub key: PublicKey,
    /// What its holder is.
    pub role: Role,
}

/// A peer that proved, in a handshake, that it holds the private key of a certificate of this fleet.
///
/// Only a handshake makes one, or [`VerifiedPeer::in_process`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedPeer {
    id: NodeId,
    certified: Certified,
    certificate: CertificateDer<'static>,
}

impl VerifiedPeer {
    /// The peer at the other end of a link inside one process. Holding its identity, private key and all, proves as much
    /// as a handshake does.
    #[must_use]
    pub fn in_process(identity: &Identity) -> Self {
        let certificate = identity.chain().first().cloned().unwrap_or_else(|| Vec::new().into());
        Self::new(Certified { key: identity.key().public(), role: identity.role() }, certificate)
    }

    fn new(certified: Certified, certificate: CertificateDer<'static>) -> Self {
        Self { id: certified.key.node_id(), certified, certificate }
    }

    /// The peer's id: the hash of its key.
    #[must_use]
    pub fn id(&self) -> NodeId {
        self.id
    }

    /// The peer's public key.
    #[must_use]
    pub fn key(&self) -> &PublicKey {
        &self.certified.key
    }

    /// Whether the peer is a hub or a node.
    #[must_use]
    pub fn role(&self) -> Role {
        self.certified.role
    }

    /// The peer's own certificate, in DER.
    #[must_use]
    pub fn certificate(&self) -> &[u8] {
        &self.certificate
    }
}

/// Why a peer's certificates were not accepted. The peer is to blame, or it belongs elsewhere; nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PeerRefusal {
    /// The peer showed no certificate.
    #[error("the peer showed no certificate; enrol it with a join token first")]
    NoCertificate,
    /// The chain has another form than the two certificates that every member of a fleet holds.
    #[error(
        "the peer's chain has {certificates} certificates, of {bytes} bytes at most; a fleet member shows {CHAIN_LENGTH} of at most {CERTIFICATE_BYTES_MAX} bytes"
    )]
    Chain {
        /// Certificates in the chain.
        certificates: usize,
        /// The length of the longest.
        bytes: usize,
    },
    /// The chain ends in another fleet's authority.
    #[error(
        "the pin does not match: the peer belongs to the fleet with CA pin {found}, this side to {pinned}; check the address and the token"
    )]
    OtherFleet {
        /// The pin this side was given.
        pinned: CaPin,
        /// The pin of the authority that the peer showed.
        found: CaPin,
    },
    /// The certificate is not signed by the authority it was shown with, or cannot be read.
    #[error("the peer's certificate is not valid: {reason}")]
    Invalid {
        /// What the X.509 library says.
        reason: String,
    },
    /// The certified key is not an Ed25519 key.
    #[error("the peer's certificate holds a key that is not Ed25519")]
    KeyType,
    /// The certificate names neither usage that makes a hub or a node.
    #[error("the peer's certificate says neither hub nor node")]
    NoRole,
    /// A node answered where a hub was expected.
    #[error("{} answered, a node; only a hub may be dialled", .node.short())]
    NotAHub {
        /// The node that answered.
        node: NodeId,
    },
}

/// Reads what a chain says: the holder's certificate, then the root, which has to match `pin` and to have signed the first.
///
/// # Errors
/// [`PeerRefusal`] when the chain is of another fleet or proves nothing.
pub fn check_chain(chain: &[CertificateDer<'_>], pin: &CaPin) -> Result<Certified, PeerRefusal> {
    if chain.is_empty() {
        return Err(PeerRefusal::NoCertificate);
    }
    let longest = chain.iter().map(|certificate| certificate.len()).max().unwrap_or(0);
    let [leaf, root] = chain else {
        return Err(PeerRefusal::Chain { certificates: chain.len(), bytes: longest });
    };
    if longest > CERTIFICATE_BYTES_MAX {
        return Err(PeerRefusal::Chain { certificates: chain.len(), bytes: longest });
    }

    let anchor = webpki::anchor_from_trusted_cert(root).map_err(invalid)?;
    let found = CaPin::of_spki(&webpki::spki_for_anchor(&anchor));
    if found != *pin {
        return Err(PeerRefusal::OtherFleet { pinned: *pin, found });
    }

    let leaf = EndEntityCert::try_from(leaf).map_err(invalid)?;
    let usages = NamedUsages::default();
    leaf.verify_for_usage(
        &[webpki::ring::ED25519],
        &[anchor],
        &[],
        UnixTime::since_unix_epoch(CHECKING_TIME),
        &usages,
        None,
        None,
    )
    .map_err(invalid)?;
    let key = PublicKey::from_spki(&leaf.subject_public_key_info()).ok_or(PeerRefusal::KeyType)?;
    Ok(Certified { key, role: usages.role().ok_or(PeerRefusal::NoRole)? })
}

/// Takes the holder of `chain` as verified. To be called only after a handshake in which the peer signed with that key.
#[cfg_attr(not(feature = "quic"), expect(dead_code, reason = "only a transport shakes hands"))]
pub(crate) fn verify_peer(chain: &[CertificateDer<'_>], pin: &CaPin) -> Result<VerifiedPeer, PeerRefusal> {
    let certified = check_chain(chain, pin)?;
    let certificate = chain.first().ok_or(PeerRefusal::NoCertificate)?.clone().into_owned();
    Ok(VerifiedPeer::new(certified, certificate))
}

/// Object identifier 1.3.6.1.5.5.7.3.1 (RFC 5280, 4.2.1.12), as DER content.
const SERVER_AUTH: KeyPurposeId<'static> = KeyPurposeId::new(&[0x2b, 6, 1, 5, 5, 7, 3, 1]);

/// Object identifier 1.3.6.1.5.5.7.3.2.
const CLIENT_AUTH: KeyPurposeId<'static> = KeyPurposeId::new(&[0x2b, 6, 1, 5, 5, 7, 3, 2]);

/// Notes the usages that the leaf names; which of them are enough is decided afterwards.
#[derive(Default)]
struct NamedUsages {
    server: Cell<bool>,
    client: Cell<bool>,
}

impl NamedUsages {
    fn role(&self) -> Option<Role> {
        match (self.server.get(), self.client.get()) {
            (true, true) => Some(Role::Hub),
            (false, true) => Some(Role::Node),
            (_, false) => None,
        }
    }
}

impl ExtendedKeyUsageValidator for NamedUsages {
    fn validate(&self, usages: KeyPurposeIdIter<'_, '_>) -> Result<(), webpki::Error> {
        for usage in usages {
            let usage = usage?;
            self.server.set(self.server.get() || usage == SERVER_AUTH);
            self.client.set(self.client.get() || usage == CLIENT_AUTH);
        }
        Ok(())
    }
}

fn invalid(error: webpki::Error) -> PeerRefusal {
    PeerRefusal::Invalid { reason: error.to_string() }
}

#[cfg(test)]
mod tests;
