//! Invariant 7: every queue, cache, message, document and table is bounded.
//!
//! Verifies, by the bounds of `sync-core/src/limits.rs`: quarantine, transfers in staging, records of generations, kept
//! generations, and the history of what a node writes. Not verified: what is in memory (queues of links and of the replica,
//! caches), and the history of documents of hubs, whose cut may wait for an open conflict or an absent home.

use sync_core::document::DocumentKind;
use sync_core::limits::{
    GENERATION_ACTORS_MAX, GENERATION_CHANGES_MAX, GENERATION_RECORDS_MAX, GENERATIONS_KEPT_MAX, QUARANTINE_BYTES_MAX,
    QUARANTINE_ENTRIES_MAX, STAGED_TRANSFERS_MAX, STAGING_BYTES_MAX, STAGING_TOTAL_BYTES_MAX,
};

use super::{Facts, Found, Held, Watch};

#[derive(Debug, Default)]
pub(super) struct Bounded;

impl Watch for Bounded {
    fn held(&mut self, _facts: &Facts, held: &Held<'_>, found: &mut Found) {
        let Some(sizes) = held.holding.sizes else { return };
        let figures = [
            ("entries in quarantine", sizes.quarantine.rows, QUARANTINE_ENTRIES_MAX),
            ("bytes of one input in quarantine", sizes.quarantined_input_max, QUARANTINE_BYTES_MAX as u64),
            ("transfers of one peer", sizes.transfer_of_one.rows, STAGED_TRANSFERS_MAX as u64),
            ("bytes that transfers of one peer announce", sizes.transfer_of_one.bytes, STAGING_BYTES_MAX),
            ("bytes that transfers announce", sizes.transfer.bytes, STAGING_TOTAL_BYTES_MAX),
            ("bytes in staging", sizes.staging.bytes, STAGING_TOTAL_BYTES_MAX),
            ("records of generations of one document", sizes.roots_of_one, GENERATION_RECORDS_MAX as u64),
        ];
        for (what, size, most) in figures {
            found.judge(size <= most, || format!("{} holds {size} {what}, and {most} is the bound", held.member));
        }
        for document in held.holding.documents.values() {
            // The present one, and those that something still names.
            let (kept, most) = (document.generations.len(), GENERATIONS_KEPT_MAX + 1);
            found.judge(kept <= most, || {
                format!("{} holds {kept} generations of {}, and {most} is the bound", held.member, document.key)
            });
            if document.key.kind == DocumentKind::Observed {
                let extent = document.extent;
                let is_cut = extent.changes <= GENERATION_CHANGES_MAX + 1 && extent.actors <= GENERATION_ACTORS_MAX + 1;
                found.judge(is_cut, || {
                    let (changes, actors) = (extent.changes, extent.actors);
                    format!(
                        "{} holds {changes} changes of {actors} actors of {}, which was not cut",
                        held.member, document.key
                    )
                });
            }
        }
    }
}
