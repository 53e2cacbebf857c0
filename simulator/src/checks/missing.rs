//! Invariant 5: nothing is deleted on an edge because something is missing.
//!
//! Verifies: of each object that an agent removed from its target, that the desired state it applied next is another one and
//! does not name the object, and that at least one of the releases made for the node does not. A removal that is still under
//! way waits. Together with invariant 4, which says that the other one is newer and that nothing of it is missing, only a newer
//! signed assignment or release deletes. Not verified: removals by people, and those of a node whose
//! store has flipped bits or was lost or set back since (not judged).

use std::collections::BTreeMap;

use sync_core::state::observed::{AppliedStamp, Stamp};

use super::{Facts, Found, Held, Watch};
use crate::trace::{Entry, Happening, Member};

#[derive(Debug, Default)]
pub(super) struct Missing {
    applied: BTreeMap<Member, Option<Goal>>,
    removed: BTreeMap<(Member, String), Removal>,
}

/// A removal that is not judged yet.
#[derive(Debug)]
struct Removal {
    /// What was applied before.
    before: Option<Goal>,
    /// How often the node had lost its past.
    lost: u64,
}

/// The frontiers of what is applied. When that was is left out: clocks differ.
type Goal = (Stamp, Stamp);

fn goal(applied: &AppliedStamp) -> Goal {
    (applied.assignment.clone(), applied.release.clone())
}

impl Watch for Missing {
    fn happened(&mut self, facts: &Facts, entry: &Entry, found: &mut Found) {
        if let Happening::Removed { member, key } = &entry.what {
            let known = facts.of(member);
            let node = known.node.filter(|_| !known.is_rotten);
            match node.and_then(|node| facts.was_ever_left_out(&node, key)) {
                Some(was) => {
                    found.judge(was, || format!("{member} removed {key}, which every release for it names"));
                }
                None => found.unjudged += 1,
            }
            let (before, lost) = (self.applied.get(member).cloned().flatten(), known.lost);
            self.removed.insert((member.clone(), key.to_string()), Removal { before, lost });
        }
        if let Happening::Put { member, key } = &entry.what {
            self.removed.remove(&(member.clone(), key.to_string()));
        }
    }

    fn held(&mut self, facts: &Facts, held: &Held<'_>, found: &mut Found) {
        let agent = &held.holding.agent;
        let now = agent.applied.as_ref().map(goal);
        self.applied.insert(held.member.clone(), now.clone());
        let known = facts.of(held.member);
        let waits = |key: &str| agent.inventory.get(key) == Some(&false);
        let judged = self.removed.extract_if(.., |(member, key), _| member == held.member && !waits(key));
        for ((member, key), Removal { before, lost }) in judged {
            if known.is_rotten || known.lost != lost {
                found.unjudged += 1;
                continue;
            }
            found.judge(!agent.objects.contains_key(&key), || {
                format!("{member} removed {key}, which the release that it applied names")
            });
            found.judge(now.is_some() && now != before, || {
                format!("{member} removed {key} and applied no other assignment or release")
            });
        }
    }
}
