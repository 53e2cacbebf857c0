//! Invariant 3: replicas that hold the same changes show the same state, byte for byte.
//!
//! Verifies: wherever and whenever a document is held at some heads of some generation, its state there is the same. Heads are
//! hashes over everything below them, so the same heads are the same changes. Not verified: states below the newest
//! frontier, and stores with flipped bits (not judged).

use std::collections::BTreeMap;

use sync_core::document::Heads;
use sync_core::id::DocumentId;

use super::{Facts, Found, Held, Watch};
use crate::holding::StateHash;
use crate::trace::Member;

#[derive(Debug, Default)]
pub(super) struct States {
    seen: BTreeMap<(DocumentId, u32, Heads), (StateHash, Member)>,
}

impl Watch for States {
    fn held(&mut self, facts: &Facts, held: &Held<'_>, found: &mut Found) {
        if facts.of(held.member).is_rotten {
            found.unjudged += 1;
            return;
        }
        for (id, document) in &held.holding.documents {
            let (Some(latest), Some(view)) = (&document.latest, document.view) else { continue };
            let place = (*id, latest.generation, latest.heads.clone());
            let (first, who) = self.seen.entry(place).or_insert_with(|| (view, held.member.clone()));
            found.judge(*first == view, || {
                let version = latest.version;
                format!(
                    "{who} and {} hold {} at version {version} with the same heads and show different states",
                    held.member, document.key
                )
            });
        }
    }
}
