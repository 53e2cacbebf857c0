//! The first change of every document: computed, never sent.
//!
//! Both sides of a link derive it from the document's key and generation, so documents that two hubs create apart from
//! each other have one root and merge. Its actor is BLAKE3 of the document id and the generation, its time is 0.

use automerge::transaction::{CommitOptions, Transactable};
use automerge::{ActorId, Automerge, ObjType, ROOT};

use super::history::{ActorBytes, ChangeMeta};
use super::key::DocumentKey;
use crate::id::ChangeHash;

/// A genesis change: its bytes (an uncompressed Automerge change chunk) and its place in the history.
#[derive(Debug, Clone)]
pub struct Genesis {
    /// The chunk.
    pub bytes: Vec<u8>,
    /// Hash, actor and counters.
    pub meta: ChangeMeta,
}

/// The actor of the genesis of this generation.
#[must_use]
pub fn genesis_actor(key: &DocumentKey, generation: u32) -> ActorBytes {
    let mut hasher = blake3::Hasher::new_derive_key("archipel 2026 genesis actor");
    hasher.update(&key.id().0).update(&generation.to_be_bytes());
    let mut actor = [0; 16];
    hasher.finalize_xof().fill(&mut actor);
    ActorBytes(actor)
}

/// The genesis of generation 0 of this document: one empty map for each root map of its kind.
#[must_use]
#[expect(clippy::expect_used, reason = "writes fixed keys into a new document; its input is a closed enum")]
pub fn genesis(key: &DocumentKey) -> Genesis {
    let actor = genesis_actor(key, 0);
    let mut document = Automerge::new().with_actor(ActorId::from(&actor.0[..]));
    let mut transaction = document.transaction();
    for map in key.kind.root_maps() {
        transaction.put_object(ROOT, *map, ObjType::Map).expect("the root takes a map");
    }
    transaction.commit_with(CommitOptions::default().with_time(0));
    let change = document.get_last_local_change().expect("the transaction was not empty");
    let meta = ChangeMeta {
        hash: ChangeHash(change.hash().0),
        actor,
        seq: change.seq(),
        start_op: change.start_op().get(),
        max_op: change.max_op(),
        deps: Vec::new(),
    };
    Genesis { bytes: change.raw_bytes().to_vec(), meta }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Name;

    #[test]
    fn the_genesis_of_a_document_never_changes() {
        let base = genesis(&DocumentKey::layer(&Name::new("base").unwrap()));
        assert_eq!(base.meta.hash.to_string(), "089bfe11f7abdfaf16881a2c21c05161e3008f0f0ea2f0cef47e2c824b620f40");
        let other = genesis(&DocumentKey::layer(&Name::new("north").unwrap()));
        assert_ne!(base.meta.hash, other.meta.hash);
    }
}
