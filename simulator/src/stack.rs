//! Depth 2: the real stack in virtual time. The hub's and the agent's own loops, quinn, rustls, SQLite and Automerge run on
//! one thread, on a paused clock, a simulated network and simulated disks.
//!
//! A [`site::Site`] is one machine with what outlives a crash: its disk, its clock, its target.

mod acts;
pub mod book;
mod hostile;
pub mod site;
pub mod wall;
pub mod world;

#[cfg(test)]
mod tests;
