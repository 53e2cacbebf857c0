//! The agent that governs one edge cluster by itself: composes what is desired from its own disk, keeps a target so, and
//! reports what it observes.

pub mod actuator;
pub mod agent;
pub mod bundle;
pub mod cli;
mod goal;
pub mod hubs;
pub mod join;
pub mod reconcile;
pub mod run;
pub mod status;
