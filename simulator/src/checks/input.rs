//! Invariant 8: no input from a network or a disk panics, hangs or grows memory without bound.
//!
//! Verifies: nothing panics; no process ends by itself or fails to start unless its disk has or had a fault; and nobody honest,
//! with a sound store, is blamed for bad input. Not verified: blame for carrying what somebody has signed with a stolen key, hangs within one step
//! (the run itself hangs then), and memory, which a process of one fleet cannot tell apart by member.

use super::{Facts, Found, Held, Watch};
use crate::trace::{Entry, Happening, Told};

#[derive(Debug, Default)]
pub(super) struct Input;

impl Watch for Input {
    fn happened(&mut self, facts: &Facts, entry: &Entry, found: &mut Found) {
        if let Happening::Panicked { member, message } = &entry.what {
            found.judge(false, || format!("{member} panicked: {message}"));
        }
        if let Happening::Failed { member, message } = &entry.what {
            let known = facts.of(member);
            if known.had_disk_fault || known.is_rotten || known.has_lied || known.is_revoked {
                found.unjudged += 1;
            } else {
                found.judge(false, || format!("{member} has a sound disk and does not run: {message}"));
            }
        }
        if let Happening::Replica { member, event: Told::Quarantined { peer, document, reason } } = &entry.what
            && let Some(name) = facts.name(peer)
        {
            let is_sound = |who: &str| facts.of(who).is_sound() && facts.of(who).lost == 0;
            let is_carried = document.as_ref().is_some_and(|document| facts.is_of_a_thief(document));
            if is_sound(name) && is_sound(member) && !is_carried {
                found.judge(false, || format!("{member} refused input of {name}, which is honest: {reason}"));
            } else {
                found.unjudged += 1;
            }
        }
    }

    fn held(&mut self, _facts: &Facts, _held: &Held<'_>, found: &mut Found) {
        // A member that answers has lived through all its input so far.
        found.judged += 1;
    }
}
