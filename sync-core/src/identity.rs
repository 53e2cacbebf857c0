//! Who says something: keys, certificates, enrolment.

pub mod authority;
pub mod certificate;
pub mod enrolment;
pub mod key;
pub mod owned;
pub mod tls;
pub mod token;

pub use authority::CertificateAuthority;
pub use certificate::{CaPin, Certified, PeerRefusal, Role, VerifiedPeer};
pub use enrolment::{HandedAuthority, JoinRefusal, JoinReply, JoinRequest};
pub use key::{PublicKey, Signature, SigningKey};
pub use owned::{Identity, IdentityError};
pub use token::{Token, TokenError};

/// Certificates in DER, the holder's own first, then the fleet's root.
pub type CertificateChain = Vec<rustls::pki_types::CertificateDer<'static>>;
