//! Rehearse disconnects on the real code.
//!
//! Two things are for other programs' tests: [`Rehearsal`], which runs a scenario in virtual time with an actuator and
//! workloads of your own ([`mod@guests`]), and what it takes and gives: [`mod@scenario`], [`mod@plan`], [`mod@trace`],
//! [`mod@random`]. `archipel-sim` is the rest: its modules are public for this package's own tests and benches, which are
//! crates of their own, and change without notice; that is why they are hidden.
//!
//! What can be rehearsed, at which depth what is real, and what is not covered at any is in `docs/simulator.md`.

mod answers;
#[doc(hidden)]
pub mod bench;
#[doc(hidden)]
pub mod broke;
#[doc(hidden)]
pub mod checks;
#[doc(hidden)]
pub mod cli;
#[doc(hidden)]
pub mod commands;
#[doc(hidden)]
pub mod disk;
#[doc(hidden)]
pub mod embedded;
pub mod guests;
#[doc(hidden)]
pub mod holding;
#[doc(hidden)]
pub mod live;
#[doc(hidden)]
pub mod machines;
#[cfg(feature = "mutants")]
#[doc(hidden)]
pub mod mutants;
#[doc(hidden)]
pub mod net;
pub mod plan;
#[doc(hidden)]
pub mod process;
#[doc(hidden)]
pub mod proxy;
pub mod random;
#[doc(hidden)]
pub mod rehearse;
#[doc(hidden)]
pub mod replay;
#[doc(hidden)]
pub mod report;
pub mod scenario;
#[doc(hidden)]
pub mod shrink;
#[doc(hidden)]
pub mod stack;
#[doc(hidden)]
pub mod swarm;
#[doc(hidden)]
pub mod target;
pub mod trace;
#[doc(hidden)]
pub mod workload;

pub use guests::{Boot, Failure, Fleet, FleetError, HubEnd, NodeEnd, Rehearsal, RehearsalError, Rehearsed};
