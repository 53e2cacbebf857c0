//! Invariant 9: invariants 1 to 8 never depend on a wall clock.
//!
//! Verifies: a run with wrong clocks and the same run with right ones end with the same objects on every node. All other
//! checks hold in both. Not verified: times that people read, hashes and versions (what clocks say is part of changes), and plans in
//! which a fault decides by timers what is lost.

use std::collections::BTreeMap;

use sync_core::state::ObjectHash;

use crate::plan::{Action, Plan, PlannedClock};
use crate::trace::Member;

/// What each node holds at the end of a run.
pub type Ending = BTreeMap<Member, BTreeMap<String, ObjectHash>>;

/// The plan with clocks that are right; `None` when they are.
#[must_use]
pub fn with_right_clocks(plan: &Plan) -> Option<Plan> {
    let is_clock =
        |action: &Action| matches!(action, Action::Clock1970 | Action::ClockJump { .. } | Action::ClockDrift { .. });
    let mut right = plan.clone();
    right.events.retain(|event| !is_clock(&event.action));
    let set = |clock: &mut PlannedClock| {
        (clock.offset.0, clock.drift.0, clock.keeps_time) = (0, 0, true);
    };
    right.hubs.iter_mut().for_each(|hub| set(&mut hub.clock));
    right.nodes.iter_mut().for_each(|node| set(&mut node.clock));
    (right != *plan).then_some(right)
}

/// Whether a hub loses what it held: then it hangs on timers which edits others have of it, and the ends of two runs may differ.
#[must_use]
pub fn hangs_on_timers(plan: &Plan) -> bool {
    let loses = |action: &Action| {
        matches!(
            action,
            Action::RestoreBackup { .. } | Action::WipeStore | Action::LyingFsync { .. } | Action::BitRot { .. }
        )
    };
    plan.events.iter().any(|event| loses(&event.action) && plan.hubs.iter().any(|hub| hub.name == event.on))
}

/// What a run with wrong clocks came to and one with right ones did not.
#[must_use]
pub fn difference(wrong: &Ending, right: &Ending) -> Option<String> {
    for (member, objects) in right {
        let Some(others) = wrong.get(member) else {
            return Some(format!("{member} is in the fleet with right clocks and is not with wrong ones"));
        };
        if let Some((key, _)) = objects.iter().find(|(key, hash)| others.get(*key) != Some(hash)) {
            return Some(format!("{member} holds another {key} with wrong clocks than with right ones"));
        }
        if let Some(key) = others.keys().find(|key| !objects.contains_key(*key)) {
            return Some(format!("{member} holds {key} with wrong clocks and does not with right ones"));
        }
    }
    let more = wrong.keys().find(|member| !right.contains_key(*member));
    more.map(|member| format!("{member} is in the fleet with wrong clocks and is not with right ones"))
}
