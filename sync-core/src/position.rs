//! A place in a feed: what stores keep, sessions compare and messages carry.
//!
//! ```text
//! chain 0  = BLAKE3("archipel 2026 feed", store id | incarnation (u32, big endian) | the peer's node id)
//! chain n  = BLAKE3("archipel 2026 feed", chain n-1 | document id | 0x01 | generation (u32, big endian) | heads)
//!            BLAKE3("archipel 2026 feed", chain n-1 | document id | 0x00)        when the document leaves the scope
//! ```
//!
//! each cut to 16 bytes. Two feeds that agree at a position agree below it, so one comparison of (position, chain) tells
//! whether either side was lost, restored or replaced.

use crate::document::Heads;
use crate::id::{Chain, DocumentId, NodeId, StoreId};

/// A place in a feed, with the hash of everything up to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Number of the last entry; 0 before the first.
    pub number: u64,
    /// The rolling hash there.
    pub chain: Chain,
}

impl Position {
    /// The place one entry further, where the document is at this frontier of this generation, or has left the scope.
    #[must_use]
    pub fn next(&self, document: DocumentId, frontier: Option<(u32, &Heads)>) -> Self {
        let chain = match frontier {
            Some((generation, heads)) => {
                hashed(&[&self.chain.0, &document.0, &[1], &generation.to_be_bytes(), &heads.to_bytes()])
            }
            None => hashed(&[&self.chain.0, &document.0, &[0]]),
        };
        Self { number: self.number.saturating_add(1), chain }
    }
}

const CONTEXT: &str = "archipel 2026 feed";

fn hashed(parts: &[&[u8]]) -> Chain {
    let mut hasher = blake3::Hasher::new_derive_key(CONTEXT);
    for part in parts {
        hasher.update(part);
    }
    let mut chain = [0; 16];
    hasher.finalize_xof().fill(&mut chain);
    Chain(chain)
}

/// The chain of an empty feed of this store for this peer.
#[must_use]
pub fn chain_origin(store: StoreId, incarnation: u32, peer: NodeId) -> Chain {
    hashed(&[&store.0, &incarnation.to_be_bytes(), &peer.0])
}
