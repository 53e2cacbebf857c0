//! What a replica owns to prove who it is: its key, its chain of certificates, the pin of its fleet.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::pem::{PemObject as _, SectionKind};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::id::NodeId;
use crate::identity::certificate::check_chain;
use crate::identity::{CaPin, PeerRefusal, Role, SigningKey};

/// Characters of a line of PEM (RFC 7468).
const PEM_LINE: usize = 64;

/// A member of a fleet. Its debug form does not show the secret.
#[derive(Debug)]
pub struct Identity {
    key: SigningKey,
    chain: Vec<CertificateDer<'static>>,
    role: Role,
    pin: CaPin,
}

impl Identity {
    /// Puts together a key and the chain that a hub issued for it.
    ///
    /// # Errors
    /// [`IdentityError`] when the chain is not of the pinned fleet or certifies another key.
    pub fn new(key: SigningKey, chain: Vec<CertificateDer<'static>>, pin: CaPin) -> Result<Self, IdentityError> {
        let certified = check_chain(&chain, &pin).map_err(IdentityError::Chain)?;
        if certified.key != key.public() {
            return Err(IdentityError::OtherKey { own: key.node_id(), certified: certified.key.node_id() });
        }
        Ok(Self { key, chain, role: certified.role, pin })
    }

    /// For the authority, which has just issued the chain.
    pub(crate) fn of_parts(key: SigningKey, chain: Vec<CertificateDer<'static>>, role: Role, pin: CaPin) -> Self {
        Self { key, chain, role, pin }
    }

    /// The id of this replica.
    #[must_use]
    pub fn id(&self) -> NodeId {
        self.key.node_id()
    }

    /// The key.
    #[must_use]
    pub fn key(&self) -> &SigningKey {
        &self.key
    }

    /// The own certificate, then the fleet's root.
    #[must_use]
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }

    /// Hub or node.
    #[must_use]
    pub fn role(&self) -> Role {
        self.role
    }

    /// The fleet.
    #[must_use]
    pub fn pin(&self) -> CaPin {
        self.pin
    }

    /// The private key in the form that TLS takes.
    pub(crate) fn tls_key(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.key.to_pkcs8()).into()
    }

    /// The whole identity as one PEM text (RFC 7468): private key, own certificate, root. It is a secret.
    #[must_use]
    pub fn to_pem(&self) -> String {
        let certificates = self.chain.iter().map(|certificate| pem_section("CERTIFICATE", certificate));
        std::iter::once(pem_section("PRIVATE KEY", &self.key.to_pkcs8())).chain(certificates).collect()
    }

    /// Reads what [`to_pem`](Self::to_pem) wrote. The fleet is that of the root in the file: whoever can write the file can
    /// replace the key as well.
    ///
    /// # Errors
    /// [`IdentityError`] when the text holds no key and no chain, or when they do not belong together.
    pub fn from_pem(text: &str) -> Result<Self, IdentityError> {
        let mut key = None;
        let mut chain = Vec::new();
        for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(text.as_bytes()) {
            let (kind, der) = section.map_err(|error| IdentityError::Pem { reason: format!("{error:?}") })?;
            if kind == SectionKind::PrivateKey {
                key = SigningKey::from_pkcs8(&der);
            } else if kind == SectionKind::Certificate {
                chain.push(CertificateDer::from(der));
            }
        }
        let missing = |what: &str| IdentityError::Pem { reason: format!("it holds no {what}") };
        let key = key.ok_or_else(|| missing("Ed25519 private key in PKCS#8"))?;
        let root = chain.last().ok_or_else(|| missing("certificate"))?;
        let anchor = webpki::anchor_from_trusted_cert(root)
            .map_err(|error| IdentityError::Chain(PeerRefusal::Invalid { reason: error.to_string() }))?;
        let pin = CaPin::of_spki(&webpki::spki_for_anchor(&anchor));
        Self::new(key, chain, pin)
    }
}

/// Why a key and a chain are no identity. The file or the hub that issued the chain is to blame; nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// The chain proves nothing, or belongs to another fleet.
    #[error("the chain of certificates is not usable: {0}")]
    Chain(#[source] PeerRefusal),
    /// The chain was issued for another key.
    #[error("the certificate is for the key of {}, this is the key of {}; join again", .certified.short(), .own.short())]
    OtherKey {
        /// The holder of the key.
        own: NodeId,
        /// The one that the certificate names.
        certified: NodeId,
    },
    /// The text is not PEM, or parts are missing.
    #[error("the identity file cannot be read: {reason}; restore it, or join again with a new token")]
    Pem {
        /// What is wrong with it.
        reason: String,
    },
}

fn pem_section(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut section = format!("-----BEGIN {label}-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(PEM_LINE));
        section.push_str(line);
        section.push('\n');
        rest = after;
    }
    section.push_str(&format!("-----END {label}-----\n"));
    section
}
