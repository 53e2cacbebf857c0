//! Invariant 4: an edge applies only what signed frontiers name and what it holds completely; newer is causal.
//!
//! Verifies: the assignment and the release that a node applied were signed by a hub; each that it applies next includes the
//! one before, across generations; nodes that applied the same release with the same layers hold the same objects; and these
//! are all that a hub has under that assignment and release. Not verified: layers that name the same object (none of a
//! simulated fleet do), and steps between two readings. Frontiers that no store showed yet, and releases for which no hub was
//! asked, are not judged.

use std::collections::BTreeMap;

use sync_core::document::{Clock, DocumentKey};
use sync_core::id::{DocumentId, Name, NodeId};
use sync_core::state::ObjectHash;
use sync_core::state::desired::DEFAULT_RELEASE;
use sync_core::state::observed::{AppliedStamp, Stamp};

use super::{Facts, Found, Held, Watch};
use crate::holding::{HeldFrontier, is_above};
use crate::trace::Member;

/// What two nodes have applied when the release, and the layers with their versions, are the same.
type Same = (String, BTreeMap<Name, u64>);

#[derive(Debug, Default)]
pub(super) struct Causal {
    signed: BTreeMap<(DocumentId, String), (u32, Clock, NodeId)>,
    applied: BTreeMap<Member, (u64, AppliedStamp)>,
    objects: BTreeMap<Same, (BTreeMap<String, ObjectHash>, Member)>,
}

impl Watch for Causal {
    fn held(&mut self, facts: &Facts, held: &Held<'_>, found: &mut Found) {
        let known = facts.of(held.member);
        if known.is_rotten {
            found.unjudged += 1;
            return;
        }
        for (id, document) in &held.holding.documents {
            for frontier in document.signed.iter().chain(&document.latest) {
                let place = (*id, heads(frontier));
                self.signed
                    .entry(place)
                    .or_insert_with(|| (frontier.generation, frontier.clock.clone(), frontier.author));
            }
        }
        let Some(stamp) = &held.holding.agent.applied else { return };
        let same = (stamp.release.heads.clone(), stamp.layers.clone());
        let objects = &held.holding.agent.objects;
        let (first, who) = self.objects.entry(same).or_insert_with(|| (objects.clone(), held.member.clone()));
        found.judge(first == objects, || {
            let version = stamp.release.version;
            format!(
                "{who} and {} applied release v{version} with the same layers and hold different objects",
                held.member
            )
        });
        match facts.wanted(&held.holding.node, stamp) {
            Some(wanted) => found.judge(wanted == objects, || {
                let version = stamp.release.version;
                format!("{} applied release v{version} and does not hold what a hub has under it", held.member)
            }),
            None => found.unjudged += 1,
        }
        let before = self.applied.insert(held.member.clone(), (known.lost, stamp.clone()));
        let before = before.filter(|(lost, before)| *lost == known.lost && before != stamp).map(|(_, before)| before);
        let assignment = DocumentKey::assignment(held.holding.node).id();
        self.judge(
            facts,
            held.member,
            ("assignment", assignment),
            &stamp.assignment,
            before.as_ref().map(|it| &it.assignment),
            found,
        );
        let Ok(name) = Name::new(DEFAULT_RELEASE) else { return };
        let release = DocumentKey::release(&name).id();
        self.judge(
            facts,
            held.member,
            ("release", release),
            &stamp.release,
            before.as_ref().map(|it| &it.release),
            found,
        );
    }
}

impl Causal {
    fn judge(
        &self,
        facts: &Facts,
        member: &Member,
        (called, document): (&str, DocumentId),
        now: &Stamp,
        before: Option<&Stamp>,
        found: &mut Found,
    ) {
        let Some((generation, clock, author)) = self.signed.get(&(document, now.heads.clone())) else {
            found.unjudged += 1;
            return;
        };
        found.judge(facts.is_hub(author), || {
            format!("{member} applied {called} v{}, which no hub has signed", now.version)
        });
        let Some(before) = before.filter(|before| before.heads != now.heads) else { return };
        let Some((below, old, _)) = self.signed.get(&(document, before.heads.clone())) else {
            found.unjudged += 1;
            return;
        };
        found.judge(is_above((*generation, clock), (*below, old)), || {
            format!("{member} went from {called} v{} to v{}, which does not include it", before.version, now.version)
        });
    }
}

/// As a stamp has them.
fn heads(frontier: &HeldFrontier) -> String {
    frontier.heads.to_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}
