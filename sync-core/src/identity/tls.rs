//! TLS 1.3 (RFC 8446) as this fleet speaks it: mutual, pinned to one authority, no tickets, no early data, no dates.

use std::sync::{Arc, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ClientConfig, Resumption};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, ring, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoServerSessionStorage, ServerConfig};
use rustls::version::TLS13;
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, SignatureScheme};

use crate::identity::certificate::check_chain;
use crate::identity::{CaPin, Certified, Identity, PeerRefusal, Role};

/// The protocol name (ALPN, RFC 7301) of links between members of a fleet.
pub const SYNC_PROTOCOL: &[u8] = b"archipel/1";

/// The protocol name of the join exchange.
pub const JOIN_PROTOCOL: &[u8] = b"archipel-join/1";

/// The name that a dialer gives to TLS. It is neither sent nor checked.
pub const HUB_NAME: &str = "hub.archipel";

/// Signatures that are accepted, in certificates and in handshakes.
static SIGNATURES: WebPkiSupportedAlgorithms = WebPkiSupportedAlgorithms {
    all: &[webpki::ring::ED25519],
    mapping: &[(SignatureScheme::ED25519, &[webpki::ring::ED25519])],
};

/// Why no TLS configuration could be made. The caller or this program is to blame; nothing was sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// Only a hub is dialled.
    #[error("only a hub can listen for peers; this identity is a node's")]
    NotAHub,
    /// The TLS library does not take the key, the chain or the algorithms.
    #[error("TLS cannot use this identity: {0}")]
    Library(#[from] Error),
}

/// The configuration of a hub that listens. It asks every client for a certificate and lets those pass that show none: they
/// may join, and nothing else, which is checked after the handshake.
///
/// # Errors
/// [`TlsError`] when the identity is a node's or unusable.
pub fn server_config(identity: &Identity) -> Result<ServerConfig, TlsError> {
    if identity.role() != Role::Hub {
        return Err(TlsError::NotAHub);
    }
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(Arc::new(MemberCheck { pin: identity.pin() }))
        .with_single_cert(identity.chain().to_vec(), identity.tls_key())?;
    config.alpn_protocols = vec![SYNC_PROTOCOL.to_vec(), JOIN_PROTOCOL.to_vec()];
    // A resumed session skips the client's certificate, and with it revocation.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    Ok(config)
}

/// The configuration of a member that dials a hub, and the check that will know why a handshake failed.
///
/// # Errors
/// [`TlsError`] when the identity is unusable.
pub fn client_config(identity: &Identity) -> Result<(ClientConfig, Arc<HubCheck>), TlsError> {
    let check = Arc::new(HubCheck { pin: identity.pin(), refusal: OnceLock::new() });
    let config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(check.clone())
        .with_client_auth_cert(identity.chain().to_vec(), identity.tls_key())?;
    Ok((finished(config, SYNC_PROTOCOL), check))
}

/// The configuration of a node that joins the fleet behind `pin`.
///
/// # Errors
/// [`TlsError`] when the TLS library lacks TLS 1.3.
pub fn join_config(pin: CaPin) -> Result<(ClientConfig, Arc<HubCheck>), TlsError> {
    let check = Arc::new(HubCheck { pin, refusal: OnceLock::new() });
    let config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(check.clone())
        .with_no_client_auth();
    Ok((finished(config, JOIN_PROTOCOL), check))
}

fn finished(mut config: ClientConfig, protocol: &[u8]) -> ClientConfig {
    config.alpn_protocols = vec![protocol.to_vec()];
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    config.enable_sni = false;
    config
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider { signature_verification_algorithms: SIGNATURES, ..ring::default_provider() })
}

fn check_presented(
    end_entity: &CertificateDer<'_>,
    others: &[CertificateDer<'_>],
    pin: &CaPin,
) -> Result<Certified, PeerRefusal> {
    // Bounded before it is copied: a chain is two certificates.
    let chain: Vec<_> = std::iter::once(end_entity).chain(others.iter().take(2)).cloned().collect();
    check_chain(&chain, pin)
}

fn refused(refusal: PeerRefusal) -> Error {
    Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(refusal))))
}

fn no_tls12() -> Result<HandshakeSignatureValid, Error> {
    Err(Error::General("TLS 1.2 is not spoken".into()))
}

/// Checks on the dialer's side that a hub of the pinned fleet answers. One per dial.
#[derive(Debug)]
pub struct HubCheck {
    pin: CaPin,
    refusal: OnceLock<PeerRefusal>,
}

impl HubCheck {
    /// Why the peer was refused, once it was. The TLS library itself only passes a text on.
    #[must_use]
    pub fn refusal(&self) -> Option<&PeerRefusal> {
        self.refusal.get()
    }

    fn check(&self, end_entity: &CertificateDer<'_>, others: &[CertificateDer<'_>]) -> Result<(), PeerRefusal> {
        let certified = check_presented(end_entity, others, &self.pin)?;
        match certified.role {
            Role::Hub => Ok(()),
            Role::Node => Err(PeerRefusal::NotAHub { node: certified.key.node_id() }),
        }
    }
}

impl ServerCertVerifier for HubCheck {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.check(end_entity, intermediates)
            .map(|()| ServerCertVerified::assertion())
            .map_err(|refusal| refused(self.refusal.get_or_init(|| refusal).clone()))
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        no_tls12()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &SIGNATURES)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        SIGNATURES.supported_schemes()
    }
}

/// Checks on the hub's side that a client which shows a certificate is a member of the fleet.
#[derive(Debug)]
struct MemberCheck {
    pin: CaPin,
}

impl ClientCertVerifier for MemberCheck {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        check_presented(end_entity, intermediates, &self.pin).map(|_| ClientCertVerified::assertion()).map_err(refused)
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        no_tls12()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &SIGNATURES)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        SIGNATURES.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::env::Entropy;
    use crate::id::Name;
    use crate::identity::{CertificateAuthority, SigningKey};

    struct Sevens;

    impl Entropy for Sevens {
        fn fill(&mut self, target: &mut [u8]) {
            target.fill(7);
        }
    }

    fn hub() -> Identity {
        let fleet = CertificateAuthority::create(&mut Sevens, Name::new("north-sea").unwrap()).unwrap();
        fleet.identity(&mut Sevens, SigningKey::from_seed([1; 32]), Role::Hub).unwrap()
    }

    #[test]
    fn no_date_makes_a_hub_unknown() {
        let hub = hub();
        let (_, check) = client_config(&hub).unwrap();
        let name = ServerName::try_from("anything.example").unwrap();
        for seconds in [0, 1 << 31, 1 << 40] {
            let now = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
            let [leaf, root] = hub.chain() else { panic!("two certificates") };
            assert!(
                check.verify_server_cert(leaf, std::slice::from_ref(root), &name, &[], now).is_ok(),
                "at {seconds}"
            );
        }
    }

    #[test]
    fn nothing_is_resumed_and_nothing_is_sent_early() {
        let hub = hub();
        let server = server_config(&hub).unwrap();
        assert_eq!((server.send_tls13_tickets, server.max_early_data_size), (0, 0));
        assert!(!server.session_storage.can_cache());
        assert!(!server.ticketer.enabled());
        for (client, _) in [client_config(&hub).unwrap(), join_config(hub.pin()).unwrap()] {
            assert!(!client.enable_early_data);
        }
    }
}
