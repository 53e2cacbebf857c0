//! Depth 1: replicas of hubs and agents as machines over one queue of events, thousands of them in one process.
//!
//! **Real:** the replica with its admission, Automerge and SQL; the agent's passes ([`edge_node::agent`]), its choice of hubs and
//! its waits; the hub's commands and its enrolment; sessions and frames to the byte.
//!
//! **Models:** a link is a stream in order that loses nothing: loss is delay (`carrier.rs`). QUIC is its round trips and bytes
//! (`overhead.rs`): a handshake, an idle timeout, keep-alives as a formula. A database is in memory and holds what was
//! committed; members whose files are copied or set back have a simulated disk without faults. An agent does not look at its
//! target again and again: whoever changes the target has it looked at after half of [`LOOK_EVERY`], which is what waiting
//! for the next look comes to on average. A pass takes no time.
//!
//! **Not at this depth:** NAT, MTU, duplication, reordering, corruption, bursts of loss, queues, quotas, congestion; faults of
//! disks; hostile nodes; the drift of timers. What of a plan has no place here is counted ([`Outcome::left_out`]).
//!
//! # Order and threads
//!
//! Members fall into parts: nodes that share a hub are in one. Parts have a queue each. While a link between hubs of two
//! parts is up, and until nothing of it is under way any more, the earliest event of all parts is next; while all such links
//! are down, no part can reach another, and each runs on a thread of its own. Either way each member meets the same events in
//! the same order, so one seed has one trace, whatever the number of threads.

use std::time::Duration;

mod acts;
mod agent;
mod carrier;
mod end;
mod eyes;
mod figures;
mod link;
mod member;
mod overhead;
mod part;
mod queue;
mod set_up;
mod wall;
mod world;

pub use eyes::{Eyes, NoEyes, Note, nobody};
pub use figures::{Counts, MemberFigures, Quantiles, Tally};
pub use world::{MachinesError, Options, Outcome, run};

/// How often an agent looks at its target for changes by hand. The same as at depth 2.
pub const LOOK_EVERY: Duration = Duration::from_secs(60);

/// The port in the addresses of hubs. Nothing listens there.
const PORT: u16 = 7440;

/// Microseconds of virtual time since the start of the run.
type Micros = u64;

fn micros(time: Duration) -> Micros {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
