//! The first change of every generation of a document: computed from what both sides know.
//!
//! The genesis of generation 0 follows from the document's key, so documents that two hubs create apart from each other
//! have one root and merge. That of a later generation follows from the state at the cut (decision D5). Its actor is
//! BLAKE3 of the document id, the generation and the heads at the cut, its time is 0.

use automerge::transaction::{CommitOptions, Transactable};
use automerge::{ActorId, Automerge, ObjType, ROOT};
use serde_json::{Map, Value};

use super::frontier::Heads;
use super::history::{ActorBytes, ChangeMeta};
use super::json::{self, JsonError};
use super::key::DocumentKey;

/// A genesis change: its bytes (an uncompressed Automerge change chunk) and its place in the history.
#[derive(Debug, Clone)]
pub struct Genesis {
    /// The chunk.
    pub bytes: Vec<u8>,
    /// Hash, actor and counters.
    pub meta: ChangeMeta,
}

/// The actor of the genesis of this generation, which was cut at `cut`; generation 0 was not.
#[must_use]
pub fn genesis_actor(key: &DocumentKey, generation: u32, cut: Option<&Heads>) -> ActorBytes {
    let mut hasher = blake3::Hasher::new_derive_key("archipel 2026 genesis actor");
    hasher.update(&key.id().0).update(&generation.to_be_bytes());
    if let Some(cut) = cut {
        hasher.update(&cut.to_bytes());
    }
    let mut actor = [0; 16];
    hasher.finalize_xof().fill(&mut actor);
    ActorBytes(actor)
}

/// The genesis of generation 0 of this document: one empty map for each root map of its kind.
#[must_use]
#[expect(clippy::expect_used, reason = "writes fixed keys into a new document; its input is a closed enum")]
pub fn genesis(key: &DocumentKey) -> Genesis {
    let mut document = Automerge::new().with_actor(ActorId::from(&genesis_actor(key, 0, None).0[..]));
    let mut transaction = document.transaction();
    for map in key.kind.root_maps() {
        transaction.put_object(ROOT, *map, ObjType::Map).expect("the root takes a map");
    }
    transaction.commit_with(CommitOptions::default().with_time(0));
    last_change(&document).expect("the transaction was not empty")
}

/// The genesis of a later generation: all of `state` in one change. `None` when there is nothing in it.
///
/// # Errors
/// [`JsonError`] when the state breaks a bound of documents.
pub fn genesis_after_cut(
    key: &DocumentKey,
    generation: u32,
    cut: &Heads,
    state: &Map<String, Value>,
) -> Result<Option<Genesis>, JsonError> {
    let actor = genesis_actor(key, generation, Some(cut));
    let mut document = Automerge::new().with_actor(ActorId::from(&actor.0[..]));
    let mut transaction = document.transaction();
    json::write_json(&mut transaction, state)?;
    transaction.commit_with(CommitOptions::default().with_time(0));
    Ok(last_change(&document))
}

/// The last change that `document`'s own actor made.
fn last_change(document: &Automerge) -> Option<Genesis> {
    let change = document.get_last_local_change()?;
    Some(Genesis { meta: ChangeMeta::of(&change)?, bytes: change.raw_bytes().to_vec() })
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
