//! From stored changes to a document and its state. The only place that loads an Automerge document.

use std::panic::{AssertUnwindSafe, catch_unwind};

use automerge::{ActorId, Automerge, Change};
use serde_json::{Map, Value};

use super::frontier::Heads;
use super::history::ActorBytes;
use super::json;
use super::scan::check_intact;

/// Why changes do not make a document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MaterialiseError {
    /// Automerge refused a change. Stored changes were checked before, so the store is damaged or the check is too weak.
    #[error("Automerge refused a change: {reason}")]
    Refused {
        /// Automerge's own words.
        reason: String,
    },
    /// A change is not what was stored. Automerge does not look at checksums, and panics or hangs on damaged bytes.
    #[error("a stored change is damaged: {reason}")]
    Damaged {
        /// What is wrong with its bytes.
        reason: String,
    },
    /// Automerge panicked; the document it was building was thrown away.
    #[error("Automerge panicked on a change that passed every check")]
    Panicked,
    /// The state cannot be expressed as JSON.
    #[error("the document's state is not plain JSON: {reason}")]
    NotJson {
        /// What was found, and where.
        reason: String,
    },
}

/// Builds the document of these change chunks, in a causal order.
///
/// # Errors
/// [`MaterialiseError::Damaged`], [`MaterialiseError::Refused`] and [`MaterialiseError::Panicked`].
pub fn load(chunks: &[Vec<u8>], actor: Option<ActorBytes>) -> Result<Automerge, MaterialiseError> {
    let mut document = Automerge::new();
    if let Some(actor) = actor {
        document.set_actor(ActorId::from(&actor.0[..]));
    }
    extend(document, chunks.iter())
}

/// Adds changes to a document, in a causal order; it is gone when that fails.
///
/// # Errors
/// As [`load`].
pub fn extend<'a>(
    mut document: Automerge,
    chunks: impl Iterator<Item = &'a Vec<u8>> + Clone,
) -> Result<Automerge, MaterialiseError> {
    for chunk in chunks.clone() {
        check_intact(chunk).map_err(|error| MaterialiseError::Damaged { reason: error.to_string() })?;
    }
    guarded(move || {
        let changes = chunks.map(|chunk| Change::from_bytes(chunk.clone())).collect::<Result<Vec<_>, _>>();
        let changes = changes.map_err(|error| MaterialiseError::Refused { reason: error.to_string() })?;
        document.apply_changes(changes).map_err(|error| MaterialiseError::Refused { reason: error.to_string() })?;
        Ok(document)
    })
}

/// The state at `heads`, as JSON with sorted keys.
///
/// # Errors
/// [`MaterialiseError::NotJson`] and [`MaterialiseError::Panicked`].
pub fn state_at(document: &Automerge, heads: &Heads) -> Result<Map<String, Value>, MaterialiseError> {
    guarded(|| {
        let heads = heads.to_automerge();
        let mut newest = document.get_heads();
        newest.sort_unstable();
        // What a document shows now it need not look for in its past.
        json::read_json(document, Some(&heads[..]).filter(|heads| *heads != newest))
            .map_err(|error| MaterialiseError::NotJson { reason: error.to_string() })
    })
}

/// A panic inside Automerge ends the one call, not the process. The value under construction is dropped with it.
fn guarded<T>(work: impl FnOnce() -> Result<T, MaterialiseError>) -> Result<T, MaterialiseError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or(Err(MaterialiseError::Panicked))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::DocumentKey;
    use crate::document::genesis::genesis;
    use crate::id::NodeId;

    #[test]
    fn a_chunk_that_was_damaged_on_the_disk_does_not_reach_automerge() {
        let intact = genesis(&DocumentKey::observed(NodeId([1; 32]))).bytes;
        assert!(load(std::slice::from_ref(&intact), None).is_ok());
        for place in 0..intact.len() {
            let mut damaged = intact.clone();
            damaged[place] ^= 1;
            let result = load(&[damaged], None).map(drop);
            assert!(matches!(result, Err(MaterialiseError::Damaged { .. })), "byte {place}: {result:?}");
        }
    }
}
