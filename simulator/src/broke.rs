//! What a run failed by: which check, so that a smaller run can be asked whether it fails by the same.

use std::fmt;
use std::io;
use std::time::Duration;

use crate::checks::clocks;
use crate::machines;
use crate::plan::Plan;
use crate::rehearse::record::judge_clocks;
use crate::scenario::{Check, Depth};
use crate::stack::book::Book;
use crate::stack::world;
use crate::trace::Trace;

/// By check, verdicts that were given, and that could not be.
pub type Verdicts = Vec<(Check, u64, u64)>;

/// What a run failed by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broke {
    /// Which check said so; `None` when the world could not be set up or run.
    pub check: Option<Check>,
    /// In one sentence.
    pub sentence: String,
}

impl Broke {
    /// The first thing that a run failed by, from what it says of itself.
    #[must_use]
    pub fn of(broken: &[String], agreed_after: Option<Duration>, disagreement: Option<&str>) -> Option<Self> {
        if let Some(sentence) = broken.first() {
            return Some(Self { check: check(sentence), sentence: sentence.clone() });
        }
        let sentence = || format!("no agreement: {}", disagreement.unwrap_or("nobody was asked"));
        agreed_after.is_none().then(|| Self { check: Some(Check::Converges), sentence: sentence() })
    }

    /// Runs `plan` at its depth, without a trace, and says what it fails by. Only a plan whose clocks are asked about is run
    /// with right clocks too.
    ///
    /// # Errors
    /// When the system gives no runtime.
    pub fn by(plan: &Plan, with_clocks: bool) -> io::Result<Option<Self>> {
        Self::judged(plan, with_clocks).map(|(broke, _)| broke)
    }

    /// The same, with what was judged; nothing at depth 1.
    ///
    /// # Errors
    /// When the system gives no runtime.
    pub fn judged(plan: &Plan, with_clocks: bool) -> io::Result<(Option<Self>, Verdicts)> {
        match plan.depth {
            Depth::Machines => {
                let mut options = machines::Options { threads: 1, eyes: &mut machines::nobody };
                match machines::run(plan, &mut options, |_| ()) {
                    Ok(it) => Ok((Self::of(&it.broken, it.agreed_after, it.disagreement.as_deref()), Vec::new())),
                    Err(error) => Ok((Some(Self { check: None, sentence: error.to_string() }), Vec::new())),
                }
            }
            Depth::Stack | Depth::Live => {
                let book = Book::new(Trace::new(0));
                let mut it = world::runtime()?.block_on(world::run(plan, book, |_| ()));
                if with_clocks && it.broken.is_empty() && clocks::with_right_clocks(plan).is_some() {
                    judge_clocks(plan, &mut it)?;
                }
                Ok((Self::of(&it.broken, it.agreed_after, it.disagreement.as_deref()), it.verdicts))
            }
        }
    }

    /// Whether both failed by the same check.
    #[must_use]
    pub fn is_like(&self, other: &Self) -> bool {
        self.check == other.check
    }
}

impl fmt::Display for Broke {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)
    }
}

/// The check of a sentence that begins with `invariant N: `.
fn check(sentence: &str) -> Option<Check> {
    let (number, _) = sentence.strip_prefix("invariant ")?.split_once(": ")?;
    let number: u8 = number.parse().ok()?;
    Check::ALL.into_iter().find(|check| check.number() == number && number > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_run_failed_by_is_told_by_the_number_of_the_invariant() {
        let of = |sentence: &str| Broke::of(&[sentence.to_owned()], None, None).unwrap().check;
        assert_eq!(of("invariant 1: the hub lost it"), Some(Check::AcknowledgedIsKept));
        assert_eq!(of("invariant 10: van-1 is not back"), Some(Check::ComesBackAlone));
        assert_eq!(of("invariant 0: nothing"), None);
        assert_eq!(of("hub could not be set up: no room"), None);
        assert_eq!(Broke::of(&[], Some(Duration::ZERO), None), None);
        assert_eq!(Broke::of(&[], None, Some("why")).unwrap().check, Some(Check::Converges));
    }
}
