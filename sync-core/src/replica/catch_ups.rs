//! How many sessions with something to catch up a hub takes at once, and when those that it turns away should come back.
//!
//! Whoever is turned away gets the next place of a queue that exists only as a point in time: each place is as long as one
//! session takes on average, divided by how many run at once. So a fleet that comes back at one moment is spread over as
//! long as it takes to serve, and the hub remembers nothing of each node.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::env::{Entropy, Instant};
use crate::id::LinkId;
use crate::limits::{CATCH_UP_SECONDS_MAX, CATCH_UPS_MAX, REDIAL_WAIT_MS_MAX};

/// The average that is believed before the first session ended: a slow round trip. And the least.
const FIRST_AVERAGE: Duration = Duration::from_millis(300);
const LEAST_AVERAGE: Duration = Duration::from_millis(50);

/// See the module's page.
#[derive(Debug)]
pub(super) struct CatchUps {
    /// Links at work, with the time since when.
    working: BTreeMap<LinkId, Instant>,
    average: Duration,
    /// When the last place that was given away begins.
    last_place: Instant,
    random: u64,
}

impl CatchUps {
    pub(super) fn new(entropy: &mut dyn Entropy) -> Self {
        let mut random = [0; 8];
        entropy.fill(&mut random);
        Self {
            working: BTreeMap::new(),
            average: FIRST_AVERAGE,
            last_place: Instant::default(),
            random: u64::from_be_bytes(random),
        }
    }

    /// Takes the link's session, or says how long its peer should wait.
    pub(super) fn admit(&mut self, now: Instant, link: LinkId) -> Result<(), Duration> {
        let slow = Duration::from_secs(CATCH_UP_SECONDS_MAX);
        self.working.retain(|_, since| now.since(*since) < slow);
        if self.working.len() < CATCH_UPS_MAX {
            self.working.insert(link, now);
            return Ok(());
        }
        let longest = Duration::from_millis(REDIAL_WAIT_MS_MAX);
        let place = self.average / CATCH_UPS_MAX as u32;
        self.last_place = self.last_place.max(now).after(place).min(now.after(longest));
        let wait = self.last_place.since(now);
        Err(wait + self.up_to(wait / 4 + place))
    }

    /// The link's session holds what it should, or ended.
    pub(super) fn done(&mut self, now: Instant, link: LinkId) {
        if let Some(since) = self.working.remove(&link) {
            let took = now.since(since).clamp(LEAST_AVERAGE, Duration::from_secs(CATCH_UP_SECONDS_MAX));
            self.average = (self.average * 7 + took) / 8;
        }
    }

    /// A random time below the bound (SplitMix64; Steele, Lea, Flood 2014).
    fn up_to(&mut self, bound: Duration) -> Duration {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let bound = u64::try_from(bound.as_micros()).unwrap_or(u64::MAX).max(1);
        Duration::from_micros((z ^ (z >> 31)) % bound)
    }
}

#[cfg(test)]
mod tests;
