//! A frontier's name for comparing what two stores hold, without its signature or its changes.

use crate::document::Heads;
use crate::id::DocumentId;

const CONTEXT: &str = "archipel 2026 document state";

/// Bytes of a [`FrontierDigest`].
pub const DIGEST_BYTES: usize = 32;

/// Which document, and where it stands: the first 16 bytes of BLAKE3, `derive_key("archipel 2026 document state")`, over the
/// generation (u32, big endian) and the heads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct FrontierDigest {
    /// The document.
    pub document: DocumentId,
    /// The hash of generation and heads.
    pub state: [u8; 16],
}

impl FrontierDigest {
    /// The digest of the frontier with these heads.
    #[must_use]
    pub fn new(document: DocumentId, generation: u32, heads: &Heads) -> Self {
        Self::of_bytes(document, generation, &heads.to_bytes())
    }

    /// The same, from the heads as they are stored: concatenated.
    #[must_use]
    pub fn of_bytes(document: DocumentId, generation: u32, heads: &[u8]) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key(CONTEXT);
        hasher.update(&generation.to_be_bytes()).update(heads);
        let mut state = [0; 16];
        hasher.finalize_xof().fill(&mut state);
        Self { document, state }
    }

    /// Document id, then state.
    #[must_use]
    pub fn to_bytes(self) -> [u8; DIGEST_BYTES] {
        let mut bytes = [0; DIGEST_BYTES];
        let (document, state) = bytes.split_at_mut(16);
        document.copy_from_slice(&self.document.0);
        state.copy_from_slice(&self.state);
        bytes
    }

    /// Reads [`FrontierDigest::to_bytes`].
    #[must_use]
    pub fn from_bytes(bytes: &[u8; DIGEST_BYTES]) -> Self {
        let (mut document, mut state) = ([0; 16], [0; 16]);
        let (first, second) = bytes.split_at(16);
        document.copy_from_slice(first);
        state.copy_from_slice(second);
        Self { document: DocumentId(document), state }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::ChangeHash;

    #[test]
    fn a_digest_is_of_document_generation_and_heads() {
        let heads = Heads::new(vec![ChangeHash([9; 32]), ChangeHash([3; 32])]).unwrap();
        let digest = FrontierDigest::new(DocumentId([1; 16]), 0, &heads);
        assert_eq!(FrontierDigest::from_bytes(&digest.to_bytes()), digest);
        assert_ne!(FrontierDigest::new(DocumentId([1; 16]), 1, &heads).state, digest.state);
        let pinned = "5fb7ce0daaabdc4fe785d389abc46296";
        let text: String = digest.state.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(text, pinned);
    }
}
