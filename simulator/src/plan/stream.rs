//! Randomness by name: each concern of each member draws from a stream of its own.
//!
//! A stream is the output of BLAKE3 as an extensible function, keyed by the seed and the names. Two streams with different
//! names have nothing to do with each other, so what is drawn for one thing never depends on whether another exists.

use std::time::Duration;

use crate::scenario::{Quantity, Range};

/// What keeps these streams apart from other uses of the same seed.
const CONTEXT: &str = "archipel simulator, streams of draws, 1";

/// An endless sequence of random bits that follows from a seed and names.
#[derive(Debug, Clone)]
pub struct Stream(blake3::OutputReader);

impl Stream {
    /// The stream of `names`: first what is drawn (`"calendar"`), then for whom. The order and the bounds of the names count.
    #[must_use]
    pub fn new(seed: u64, names: &[&str]) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key(CONTEXT);
        hasher.update(&seed.to_le_bytes());
        for name in names {
            hasher.update(&(name.len() as u64).to_le_bytes());
            hasher.update(name.as_bytes());
        }
        Self(hasher.finalize_xof())
    }

    /// The next bytes, for whoever seeds a generator of another kind.
    pub fn fill(&mut self, target: &mut [u8]) {
        self.0.fill(target);
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    /// The next 32 bits.
    pub fn next_u32(&mut self) -> u32 {
        let mut bytes = [0; 4];
        self.fill(&mut bytes);
        u32::from_le_bytes(bytes)
    }

    /// A number below `bound`; 0 when `bound` is 0. By multiplication (Lemire 2019) without rejection: for a bound far below
    /// 2^64 the bias is far below what any run could see.
    pub fn below(&mut self, bound: u64) -> u64 {
        u64::try_from((u128::from(self.next_u64()) * u128::from(bound)) >> 64).unwrap_or(0)
    }

    /// Whether something with this probability, in millionths, happens.
    pub fn happens(&mut self, millionths: u32) -> bool {
        self.below(1_000_000) < u64::from(millionths)
    }

    /// A draw from the exponential distribution with this mean, of whole units.
    ///
    /// By comparisons alone (von Neumann 1951), so that every machine draws the same: logarithms differ in their last bit.
    pub fn exponential(&mut self, mean: u64) -> u64 {
        let mut whole = 0_u64;
        loop {
            let first = self.next_u32();
            let (mut last, mut falls) = (first, 1_u32);
            loop {
                let next = self.next_u32();
                if next >= last {
                    break;
                }
                (last, falls) = (next, falls + 1);
            }
            if falls % 2 == 1 {
                let fixed = (u128::from(whole) << 32) | u128::from(first);
                return u64::try_from((fixed * u128::from(mean)) >> 32).unwrap_or(u64::MAX);
            }
            whole += 1;
        }
    }

    /// A value of a range, in the whole steps of [`Step`].
    pub fn draw<T: Step>(&mut self, range: Range<T>) -> T {
        if range.is_exact() {
            return range.least;
        }
        let (least, most) = (range.least.steps(), range.most.steps());
        let width = most.abs_diff(least);
        let above = match range.mean {
            Some(mean) => self.exponential(mean.steps().abs_diff(least)).min(width),
            None => self.below(width.saturating_add(1)),
        };
        T::from_steps(least.saturating_add_unsigned(above))
    }
}

/// A quantity that is drawn in whole steps.
pub trait Step: Quantity {
    /// The value in steps, rounded down.
    fn steps(self) -> i64;
    /// The value of so many steps.
    fn from_steps(steps: i64) -> Self;
}

impl Step for crate::scenario::Span {
    /// Milliseconds: short enough for every window, long enough to be read in a file.
    fn steps(self) -> i64 {
        i64::try_from(self.0.as_millis()).unwrap_or(i64::MAX)
    }

    fn from_steps(steps: i64) -> Self {
        Self(Duration::from_millis(steps.unsigned_abs()))
    }
}

macro_rules! whole_steps {
    ($($name:ident),+) => { $(
        impl Step for crate::scenario::$name {
            fn steps(self) -> i64 {
                i64::try_from(self.0).unwrap_or(i64::MAX)
            }

            fn from_steps(steps: i64) -> Self {
                Self(steps.try_into().unwrap_or_default())
            }
        }
    )+ };
}

whole_steps!(Offset, Drift, Factor, Count);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Span;

    #[test]
    fn a_stream_follows_from_the_seed_and_the_names() {
        let mut one = Stream::new(7, &["calendar", "node-1"]);
        let mut same = Stream::new(7, &["calendar", "node-1"]);
        assert_eq!([one.next_u64(), one.next_u64()], [same.next_u64(), same.next_u64()]);
        for other in [
            Stream::new(8, &["calendar", "node-1"]),
            Stream::new(7, &["calendar", "node-2"]),
            Stream::new(7, &["calendarnode-1"]),
            Stream::new(7, &["node-1", "calendar"]),
        ] {
            assert_ne!(Stream::new(7, &["calendar", "node-1"]).next_u64(), other.clone().next_u64());
        }
    }

    #[test]
    fn the_first_draws_stay_what_they_are() {
        // A change here changes every plan of every seed that people have written down.
        let mut stream = Stream::new(1, &["test"]);
        assert_eq!([stream.below(1000), stream.below(1000), stream.exponential(1000)], [0, 0, 0]);
    }

    #[test]
    fn exponential_draws_have_their_mean_and_their_tail() {
        let mut stream = Stream::new(3, &["exponential"]);
        let draws: Vec<u64> = (0..20_000).map(|_| stream.exponential(1_000_000)).collect();
        let mean = draws.iter().sum::<u64>() / 20_000;
        assert!((970_000..1_030_000).contains(&mean), "{mean}");
        // e^-1 of them are above the mean, e^-3 above three times the mean.
        let above = |bound: u64| draws.iter().filter(|draw| **draw > bound).count();
        assert!((7_100..7_620).contains(&above(1_000_000)), "{}", above(1_000_000));
        assert!((870..1_130).contains(&above(3_000_000)), "{}", above(3_000_000));
    }

    #[test]
    fn a_draw_keeps_within_its_range_and_reaches_both_ends() {
        let range = Range { least: Span::seconds(1), most: Span(Duration::from_millis(1003)), mean: None };
        let mut stream = Stream::new(5, &["range"]);
        let draws: std::collections::BTreeSet<Span> = (0..200).map(|_| stream.draw(range)).collect();
        assert_eq!(draws.len(), 4, "{draws:?}");
        assert!(draws.first() == Some(&range.least) && draws.last() == Some(&range.most));
    }
}
