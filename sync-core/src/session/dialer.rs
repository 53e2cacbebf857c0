//! When to dial again: exponential backoff with full jitter, as a value.
//!
//! Full jitter (a uniform draw between zero and the bound) spreads a fleet that lost its hub at one moment better than a
//! fixed wait with a little noise; see "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.

use std::time::Duration;

use crate::env::{Entropy, Instant};
use crate::limits::{REDIAL_WAIT_MS_MAX, REDIAL_WAIT_MS_MIN, RETRY_AFTER_MS_MAX};

/// The state of one link that is to be kept up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Dialer {
    failures: u32,
}

impl Dialer {
    /// A link came up and both sides said hello: the next failure starts from the shortest wait.
    pub fn handle_live(&mut self) {
        self.failures = 0;
    }

    /// A try failed or a link went down: when to try again. A peer that asked for a wait knows better than a bound that
    /// doubles: it is kept, up to [`RETRY_AFTER_MS_MAX`], plus a jitter of up to a quarter of it and the shortest bound.
    pub fn handle_down(&mut self, now: Instant, asked: Option<Duration>, entropy: &mut dyn Entropy) -> Instant {
        let mut random = [0; 8];
        entropy.fill(&mut random);
        let random = u64::from_be_bytes(random);
        let least = REDIAL_WAIT_MS_MIN / 2;
        let wait_ms = match asked {
            Some(asked) => {
                let asked = u64::try_from(asked.as_millis()).unwrap_or(u64::MAX).min(RETRY_AFTER_MS_MAX);
                least + asked + random % (asked / 4 + REDIAL_WAIT_MS_MIN)
            }
            None => {
                let bound = REDIAL_WAIT_MS_MIN.saturating_mul(1 << self.failures.min(16)).min(REDIAL_WAIT_MS_MAX);
                self.failures = self.failures.saturating_add(1);
                least + random % bound.max(1)
            }
        };
        now.after(Duration::from_millis(wait_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed(u8);

    impl Entropy for Fixed {
        fn fill(&mut self, target: &mut [u8]) {
            target.fill(self.0);
        }
    }

    #[test]
    fn the_wait_grows_to_a_bound_and_starts_over_after_a_live_link() {
        let mut dialer = Dialer::default();
        let wait = |dialer: &mut Dialer| {
            dialer.handle_down(Instant(0), None, &mut Fixed(0xfe)).since(Instant(0)).as_millis() as u64
        };
        let first = wait(&mut dialer);
        assert!(first <= REDIAL_WAIT_MS_MIN * 3 / 2);
        let waits: Vec<_> = (0..40).map(|_| wait(&mut dialer)).collect();
        assert!(waits.iter().any(|ms| *ms > REDIAL_WAIT_MS_MAX / 8));
        assert!(waits.iter().all(|ms| *ms < REDIAL_WAIT_MS_MAX + REDIAL_WAIT_MS_MIN));
        dialer.handle_live();
        assert_eq!(wait(&mut dialer), first);
    }

    #[test]
    fn two_nodes_that_fail_together_do_not_return_together() {
        let mut dialer = Dialer { failures: 5 };
        let mut other = dialer;
        let a = dialer.handle_down(Instant(0), Some(Duration::from_secs(3)), &mut Fixed(1));
        let b = other.handle_down(Instant(0), Some(Duration::from_secs(3)), &mut Fixed(9));
        assert_ne!(a, b);
        assert!(a.since(Instant(0)) >= Duration::from_secs(3));
    }

    #[test]
    fn a_wait_that_the_peer_asked_for_is_obeyed_within_reason_and_is_no_failure() {
        let mut dialer = Dialer::default();
        for _ in 0..20 {
            let wait = dialer.handle_down(Instant(0), Some(Duration::from_secs(8)), &mut Fixed(0xfe));
            let wait = wait.since(Instant(0)).as_millis() as u64;
            assert!((8_000..=10_000 + 2 * REDIAL_WAIT_MS_MIN).contains(&wait), "{wait}");
        }
        assert_eq!(dialer, Dialer::default());
        let forever = dialer.handle_down(Instant(0), Some(Duration::MAX), &mut Fixed(0xfe)).since(Instant(0));
        assert!(forever <= Duration::from_millis(RETRY_AFTER_MS_MAX * 5 / 4 + 2 * REDIAL_WAIT_MS_MIN));
    }
}
