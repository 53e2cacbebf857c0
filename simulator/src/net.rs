//! A network in virtual time: members with addresses, lines between them, and UDP sockets that the real QUIC stack uses.
//!
//! [`line::Line`] says what becomes of a datagram, as a value. [`Internet`] knows who is where and carries what is under way;
//! A socket is quinn's view of it, [`port::Port`] that of a machine.
//!
//! Time is `tokio`'s paused clock, so what is due arrives at the next whole millisecond, as timers do in production.

mod internet;
pub mod line;
pub mod port;
mod socket;

pub use internet::{Internet, MemberId};
