//! Rehearse disconnects on the real code.
//!
//! `archipel-sim live` runs a real hub and real agents as processes of this machine, cuts a link, heals it, and checks
//! what came out.
//!
//! `archipel-sim bench sync` and `archipel-sim bench agents` measure the same code against other engines in one run ([`mod@bench`]).
//!
//! [`mod@disk`] is a disk in memory under the real SQLite, for power losses and broken disks.
//!
//! What follows is about `live`.
//!
//! **Real:** the hub and the agents (the code of `archipel-hub` and `archipel-edge`, run under hidden subcommands of this
//! binary), their command lines, SQLite and its files, QUIC and TLS over UDP sockets, process kills and restarts, the
//! clock.
//!
//! **Simulated:** the network between a node and the hub is a UDP proxy on loopback ([`proxy`]) that cuts, delays and
//! loses datagrams; the cluster is a folder that the agent writes objects to.
//!
//! **Not covered:** power loss (a killed process leaves its writes in the page cache), full or broken disks, wrong clocks,
//! a Kubernetes API server, more than a few dozen nodes, and machines other than Unix ones. A live run is not
//! reproducible from its seed: the operating system schedules it.

pub mod bench;
pub mod broke;
pub mod checks;
pub mod cli;
pub mod commands;
pub mod disk;
pub mod embedded;
pub mod holding;
pub mod live;
pub mod machines;
#[cfg(feature = "mutants")]
pub mod mutants;
pub mod net;
pub mod plan;
pub mod process;
pub mod proxy;
pub mod random;
pub mod rehearse;
pub mod replay;
pub mod report;
pub mod scenario;
pub mod shrink;
pub mod stack;
pub mod swarm;
pub mod target;
pub mod trace;
pub mod workload;
