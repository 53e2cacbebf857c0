//! Invariant 10: an edge that restarts alone comes back with its desired state, repairs drift, and goes on recording.
//!
//! Verifies: after a start a node knows what it had applied; a while after anything happened to it its target holds exactly
//! what it applied, whether a hub is in reach or not (after its store was lost also what that one named, which nobody may
//! remove); and its report is recorded. Not verified: how fast (a while is five looks of the agent), and nodes whose store was
//! set back, wiped, cloned or rotten.

use std::collections::BTreeMap;

use sync_core::document::DocumentKey;
use sync_core::state::observed::AppliedStamp;

use super::{Facts, Found, Held, Watch};
use crate::trace::Member;

/// Microseconds in which an agent that nothing disturbs has put everything right: five of its looks.
const SETTLES_IN: u64 = 5 * 60 * 1_000_000;

#[derive(Debug, Default)]
pub(super) struct Alone {
    /// Who had applied what, and how often it had lost its past then.
    applied: BTreeMap<Member, (u64, AppliedStamp)>,
}

impl Watch for Alone {
    fn held(&mut self, facts: &Facts, held: &Held<'_>, found: &mut Found) {
        let (known, agent) = (facts.of(held.member), &held.holding.agent);
        if known.is_hub {
            return;
        }
        if !known.is_sound() {
            found.unjudged += 1;
            return;
        }
        let before = self.applied.get(held.member).filter(|(lost, _)| *lost == known.lost).map(|(_, before)| before);
        let forgets = || format!("{} has forgotten what it applied", held.member);
        match (&agent.applied, before) {
            // Heads never come back, so the same ones with another time were applied a second time.
            (Some(now), Some(before)) if now.release == before.release && now.assignment == before.assignment => {
                found.judge(now.at == before.at, forgets);
            }
            (None, Some(_)) => found.judge(false, forgets),
            _ => {}
        }
        if let Some(now) = &agent.applied {
            self.applied.insert(held.member.clone(), (known.lost, now.clone()));
        }
        let is_calm = known.is_up && known.faults.is_empty() && held.at.saturating_sub(known.stirred_at) >= SETTLES_IN;
        let is_under_way = agent.inventory.values().any(|is_held| !is_held);
        if agent.applied.is_none() || !is_calm || is_under_way {
            found.unjudged += 1;
            return;
        }
        if let Some(target) = held.target {
            let differs = |(key, hash): &(&String, _)| target.get(*key) != Some(*hash);
            let differing = agent.objects.iter().find(differs).map(|(key, _)| key);
            // Of what a lost store named nothing is removed (invariant 5): nobody knows that it was the agent's.
            let is_foreign = |key: &String| known.lost > 0 && !agent.inventory.contains_key(key);
            let is_left = |key: &&String| !agent.objects.contains_key(*key) && !is_foreign(key);
            let wrong = differing.or_else(|| target.keys().find(is_left));
            found.judge(wrong.is_none(), || {
                let key = wrong.map_or("something", |key| key);
                format!("{} has left {key} in its target as it should not be", held.member)
            });
        }
        let recorded = held.holding.documents.get(&DocumentKey::observed(held.holding.node).id());
        let is_recorded = recorded.is_some_and(|document| {
            agent.report.is_some() && (document.pending == agent.report || document.view == agent.report)
        });
        found.judge(is_recorded, || format!("{} has not recorded its report", held.member));
    }
}
