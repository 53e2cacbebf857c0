//! Offline-first replication of Automerge documents in SQLite, as signed deltas over QUIC.

pub mod document;
pub mod env;
pub mod id;
pub mod identity;
pub mod limits;
pub mod state;
