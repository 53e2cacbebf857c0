//! Offline-first replication of Automerge documents in SQLite, as signed deltas over QUIC.
//!
//! A [`Replica`] is a store on disk and the conversations it takes part in, as a value: inputs go in through `handle_*`,
//! outputs come out of [`Replica::poll_output`], and no clock, socket or thread is inside. [`replica::in_process`] joins two
//! of them without a network, `transport` over QUIC.
//!
//! ```
//! use serde_json::json;
//! use sync_core::document::DocumentKey;
//! use sync_core::env::no_witness;
//! use sync_core::id::Name;
//! use sync_core::identity::{CertificateAuthority, Role, SigningKey};
//! use sync_core::replica::{Now, in_process};
//! use sync_core::{Replica, store::Store};
//! # struct Counting(u8);
//! # impl sync_core::env::Entropy for Counting {
//! #     fn fill(&mut self, target: &mut [u8]) {
//! #         target.fill_with(|| { self.0 = self.0.wrapping_mul(5).wrapping_add(3); self.0 });
//! #     }
//! # }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let mut entropy = Counting(7);
//! let fleet = CertificateAuthority::create(&mut entropy, Name::new("harbour")?)?;
//! let mut join = || -> Result<Replica, Box<dyn std::error::Error>> {
//!     let key = SigningKey::generate(&mut entropy);
//!     let identity = fleet.identity(&mut entropy, key, Role::Hub)?;
//!     let mut store = Store::open_in_memory()?; // or a folder on disk
//!     Replica::init(&mut store, &identity, &mut entropy)?;
//!     Ok(Replica::open(store, &mut entropy, no_witness())?)
//! };
//! let (mut ship, mut shore) = (join()?, join()?);
//!
//! // Both write while they are apart. What they wrote is signed and durable.
//! let cargo = DocumentKey::layer(&Name::new("cargo")?);
//! let state = |value: serde_json::Value| value.as_object().cloned().unwrap_or_default();
//! ship.write(Now::default(), &cargo, &state(json!({ "objects": { "crates": 40 } })))?;
//! shore.write(Now::default(), &cargo, &state(json!({ "objects": { "barrels": 7 } })))?;
//!
//! in_process::sync(Now::default(), &mut ship, &mut shore)?;
//! let merged = json!({ "objects": { "barrels": 7, "crates": 40 } });
//! assert_eq!(json!(ship.read(&cargo)?.map(|view| view.state)), merged);
//! assert_eq!(json!(shore.read(&cargo)?.map(|view| view.state)), merged);
//!
//! // Nothing new: two hellos, whatever the number of documents.
//! assert_eq!(in_process::sync(Now::default(), &mut ship, &mut shore)?.frames, 2);
//! # Ok(())
//! # }
//! ```

pub mod document;
pub mod env;
pub mod id;
pub mod identity;
pub mod limits;
#[cfg(feature = "mutants")]
pub mod mutants;
pub mod part;
pub mod position;
pub mod replica;
pub mod session;
pub mod state;
pub mod store;
#[cfg(feature = "quic")]
pub mod transport;
pub mod wire;

pub use replica::{Event, Now, Output, Replica};
