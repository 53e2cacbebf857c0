//! Who says something: keys, certificates, enrolment.

pub mod key;

pub use key::{PublicKey, Signature, SigningKey};
