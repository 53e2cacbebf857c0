//! Parts: a packed batch that does not fit one frame travels as ranges of its bytes.

use crate::id::TransferId;

/// A range of a packed batch. How long it is, the bytes beside it say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// The transfer.
    pub transfer: TransferId,
    /// Where the part begins in the packed batch.
    pub offset: u64,
    /// Bytes of the packed batch.
    pub total: u64,
}

const CONTEXT: &str = "archipel 2026 transfer";

/// The name of the transfer that carries these bytes: BLAKE3, `derive_key` with a context of its own, first 16 bytes. A side
/// that packs the same batch again continues the same transfer.
#[must_use]
pub fn transfer_id(packed: &[u8]) -> TransferId {
    let mut id = [0; 16];
    blake3::Hasher::new_derive_key(CONTEXT).update(packed).finalize_xof().fill(&mut id);
    TransferId(id)
}
