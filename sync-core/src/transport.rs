//! Moves frames between two replicas over QUIC (RFC 9000), and gives a replica its thread. The only asynchronous code; it
//! decides nothing.
//!
//! A hub [listens](Endpoint::listen), nodes and other hubs [`dial`] it, new nodes [`join`]. Each link is one bidirectional
//! stream on one connection, opened by the dialer; the hub sees the link when the dialer's first frame arrives.

pub mod clock;
pub mod endpoint;
pub mod enrol;
pub mod entropy;
pub mod frame;
pub mod link;
pub mod machine;
mod outbox;
pub mod resolve;
pub mod settings;
pub mod thread;

pub use clock::Clock;
pub use endpoint::{DialError, Endpoint, Incoming, ListenError, dial, dial_on};
pub use enrol::{JoinConnection, JoinError, RequestError, join, join_as_hub, join_on};
pub use entropy::SystemEntropy;
pub use link::{CloseCode, FrameReceiver, FrameSender, Link, LinkControl, LinkError, Traffic};
pub use machine::{Machine, Network, Resolving, Threads};
pub use resolve::{ResolveError, resolve};
pub use settings::Settings;
pub use thread::{LinkEnd, ReplicaHandle, ReplicaThread, Stopped};
