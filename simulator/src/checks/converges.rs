//! Liveness: after the healing every honest member agrees within a bound.
//!
//! Verifies, once every node runs what its hubs say: hubs hold the same frontier of every document; a node and every hub hold the
//! same assignment, release, roster and report of it; and no report waits. Not verified: layers at nodes beyond what they applied
//! (they hold released ones only), and revoked or hostile members.

use std::collections::BTreeMap;

use sync_core::document::DocumentKind;
use sync_core::identity::Role;

use super::Facts;
use crate::holding::{HeldDocument, Holding};
use crate::trace::Member;

/// What members still differ in; `None` when they agree.
#[must_use]
pub fn difference(facts: &Facts, holdings: &BTreeMap<Member, Holding>) -> Option<String> {
    let honest = |member: &Member| !facts.of(member).is_revoked && !facts.of(member).is_hostile;
    let all = || holdings.iter().filter(|(member, _)| honest(member));
    for (hub, here) in all().filter(|(_, holding)| holding.role == Role::Hub) {
        for (member, there) in all().filter(|(member, _)| *member != hub) {
            for (id, document) in &there.documents {
                let (kind, is_node) = (document.key.kind, there.role == Role::Node);
                let owner = document.key.owner.as_ref().and_then(|owner| facts.name(owner));
                let is_passed = owner.is_some_and(|owner| !honest(owner)) || (is_node && kind == DocumentKind::Layer);
                if is_passed {
                    continue;
                }
                if document.pending.is_some() {
                    return Some(format!("{member} has a report that nobody has"));
                }
                if here.documents.get(id).and_then(place) != place(document) {
                    return Some(format!("{hub} and {member} hold different frontiers of {}", document.key));
                }
            }
        }
    }
    None
}

fn place(document: &HeldDocument) -> Option<(u32, Vec<u8>)> {
    document.latest.as_ref().map(|latest| (latest.generation, latest.heads.to_bytes()))
}
