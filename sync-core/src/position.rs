//! A place in a feed: what stores keep, sessions compare and messages carry.

use crate::id::Chain;

/// A place in a feed, with the hash of everything up to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Number of the last entry; 0 before the first.
    pub number: u64,
    /// The rolling hash there.
    pub chain: Chain,
}
