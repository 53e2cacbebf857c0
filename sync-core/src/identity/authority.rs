//! The fleet's certificate authority: an Ed25519 key on the hub that says which keys belong to the fleet.

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyUsagePurpose, SanType, SerialNumber,
};
use rustls::pki_types::CertificateDer;

use crate::env::Entropy;
use crate::id::Name;
use crate::identity::tls::HUB_NAME;
use crate::identity::{CaPin, Identity, PublicKey, Role, SigningKey};

/// Bytes of a serial number. RFC 5280 allows 20; the first bit stays clear, for the number is positive.
const SERIAL_BYTES: usize = 16;

/// A fleet's root of trust. Whoever holds its key can make hubs.
#[derive(Debug)]
pub struct CertificateAuthority {
    key: SigningKey,
    fleet: Name,
    root: CertificateDer<'static>,
}

impl CertificateAuthority {
    /// Makes a fleet: a new key and its self-signed root.
    ///
    /// # Errors
    /// [`CertificateError`] when the X.509 library cannot write the root.
    pub fn create(entropy: &mut dyn Entropy, fleet: Name) -> Result<Self, CertificateError> {
        Self::from_parts(SigningKey::generate(entropy), fleet)
    }

    /// The authority of a stored key. The root follows from the key and the fleet's name, so only those are stored.
    ///
    /// # Errors
    /// [`CertificateError`] when the X.509 library cannot write the root.
    pub fn from_parts(key: SigningKey, fleet: Name) -> Result<Self, CertificateError> {
        let public = key.public();
        let serial = blake3::derive_key("archipel 2026 root certificate serial", &public.0);
        let params = root_params(&fleet, &serial);
        let root = params.self_signed(&Signer::new(&key))?.into();
        Ok(Self { key, fleet, root })
    }

    /// The key, for storing it.
    #[must_use]
    pub fn key(&self) -> &SigningKey {
        &self.key
    }

    /// The name of the fleet. It is shown to people and proves nothing.
    #[must_use]
    pub fn fleet(&self) -> &Name {
        &self.fleet
    }

    /// The root certificate.
    #[must_use]
    pub fn root(&self) -> &CertificateDer<'static> {
        &self.root
    }

    /// What the fleet's members know the authority by.
    #[must_use]
    pub fn pin(&self) -> CaPin {
        CaPin::of_spki(&self.key.public().to_spki())
    }

    /// Certifies that the holder of `key` is a member of the fleet. The certificate carries a random serial number, and
    /// dates that nobody reads: 1975 to 4096.
    ///
    /// # Errors
    /// [`CertificateError`] when the X.509 library cannot write the certificate.
    pub fn issue(
        &self,
        entropy: &mut dyn Entropy,
        key: &PublicKey,
        role: Role,
    ) -> Result<CertificateDer<'static>, CertificateError> {
        let mut serial = [0; SERIAL_BYTES];
        entropy.fill(&mut serial);
        let params = leaf_params(key, role, &serial)?;
        let issuer = Issuer::new(root_params(&self.fleet, &serial), Signer::new(&self.key));
        Ok(params.signed_by(&RawKey(*key), &issuer)?.into())
    }

    /// Certifies the key and returns the chain that its holder shows: the certificate, then the root.
    ///
    /// # Errors
    /// As [`issue`](Self::issue).
    pub fn issue_chain(
        &self,
        entropy: &mut dyn Entropy,
        key: &PublicKey,
        role: Role,
    ) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
        Ok(vec![self.issue(entropy, key, role)?, self.root.clone()])
    }

    /// Makes an identity of this fleet for a key at hand: the first hub's own, and those of tests and simulations.
    ///
    /// # Errors
    /// As [`issue`](Self::issue).
    pub fn identity(
        &self,
        entropy: &mut dyn Entropy,
        key: SigningKey,
        role: Role,
    ) -> Result<Identity, CertificateError> {
        let chain = self.issue_chain(entropy, &key.public(), role)?;
        Ok(Identity::of_parts(key, chain, role, self.pin()))
    }
}

/// The X.509 library could not write a certificate. A defect of this program; nothing was issued.
#[derive(Debug, thiserror::Error)]
#[error("a certificate could not be written: {0}")]
pub struct CertificateError(#[from] rcgen::Error);

fn root_params(fleet: &Name, serial: &[u8]) -> CertificateParams {
    let mut params = dated_params(fleet.as_str(), serial);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
}

fn leaf_params(key: &PublicKey, role: Role, serial: &[u8]) -> Result<CertificateParams, CertificateError> {
    let mut params = dated_params(&key.node_id().to_string(), serial);
    params.subject_alt_names = vec![SanType::DnsName(server_name(role).try_into()?)];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = match role {
        Role::Hub => vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth],
        Role::Node => vec![ExtendedKeyUsagePurpose::ClientAuth],
    };
    Ok(params)
}

/// The DNS name in every certificate of a role. Nobody checks it; TLS wants a name to ask for.
fn server_name(role: Role) -> &'static str {
    match role {
        Role::Hub => HUB_NAME,
        Role::Node => "node.archipel",
    }
}

fn dated_params(common_name: &str, serial: &[u8]) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.not_before = rcgen::date_time_ymd(1975, 1, 1);
    params.not_after = rcgen::date_time_ymd(4096, 1, 1);
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.serial_number = Some(positive_serial(serial));
    params
}

fn positive_serial(random: &[u8]) -> SerialNumber {
    let mut bytes: Vec<u8> = random.iter().copied().take(SERIAL_BYTES).collect();
    if let Some(first) = bytes.first_mut() {
        *first = (*first & 0x7f) | 0x40; // never zero at the front: every serial has the same length
    }
    SerialNumber::from(bytes)
}

/// A public key as rcgen takes it.
struct RawKey(PublicKey);

impl rcgen::PublicKeyData for RawKey {
    fn der_bytes(&self) -> &[u8] {
        &self.0.0
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &rcgen::PKCS_ED25519
    }
}

/// The authority's key as rcgen takes it.
struct Signer<'a> {
    key: &'a SigningKey,
    public: PublicKey,
}

impl<'a> Signer<'a> {
    fn new(key: &'a SigningKey) -> Self {
        Self { key, public: key.public() }
    }
}

impl rcgen::PublicKeyData for Signer<'_> {
    fn der_bytes(&self) -> &[u8] {
        &self.public.0
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &rcgen::PKCS_ED25519
    }
}

impl rcgen::SigningKey for Signer<'_> {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        Ok(self.key.sign(message).0.to_vec())
    }
}
