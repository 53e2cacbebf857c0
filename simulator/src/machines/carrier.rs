//! One direction of a link: when what is sent arrives. In order, and everything does; what a real link loses comes later.

use std::time::Duration;

use super::{Micros, micros, overhead};
use crate::random::Random;
use crate::scenario::Link;

/// What a link is like, for both its ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    latency: Micros,
    jitter: Micros,
    /// In millionths of the packets.
    loss: u32,
    /// Bits a second: away from the member that dials by the plan, and towards it.
    rates: [Option<u64>; 2],
}

impl Shape {
    pub(super) fn of(link: &Link) -> Self {
        Self {
            latency: micros(link.latency.0),
            jitter: micros(link.jitter.0),
            loss: link.loss.0,
            rates: [link.to_hub.map(|rate| rate.0), link.to_node.map(|rate| rate.0)],
        }
    }

    /// There and back, with half the jitter each way.
    pub(super) fn round_trip(&self) -> Micros {
        2 * self.latency + self.jitter
    }

    /// One way without jitter.
    pub(super) fn latency(&self) -> Micros {
        self.latency
    }

    /// How long a sender waits for an acknowledgement before it sends again (RFC 9002, 6.2.1, with a variation of an eighth).
    pub(super) fn probe_after(&self) -> Micros {
        self.round_trip() * 3 / 2 + micros(overhead::ACK_DELAY)
    }
}

/// What is on its way in one direction.
#[derive(Debug)]
pub(super) struct Carrier {
    /// When the last bit of what waits has left, in nanoseconds.
    busy_until: u128,
    last_arrival: Micros,
    random: Random,
}

/// How often one packet is sent at most: a link that loses everything is down, not slow.
const TRIES_MAX: u32 = 8;

impl Carrier {
    pub(super) fn new(seed: u64) -> Self {
        Self { busy_until: 0, last_arrival: 0, random: Random::new(seed) }
    }

    /// When `wire` bytes in so many packets that are sent now have arrived, and the bytes that went with those sent again.
    pub(super) fn send(&mut self, now: Micros, shape: &Shape, is_away: bool, packets: u64, wire: u64) -> (Micros, u64) {
        let mut sent = wire;
        let mut delay = 0;
        if shape.loss > 0 {
            for _ in 0..packets {
                let tries = (0..TRIES_MAX).take_while(|_| self.random.below(1_000_000) < u64::from(shape.loss)).count();
                let tries = u32::try_from(tries).unwrap_or(TRIES_MAX);
                sent += u64::from(tries) * wire / packets.max(1);
                // The wait doubles: once, twice, four times as long.
                delay = delay.max(shape.probe_after() * ((1_u64 << tries) - 1));
            }
        }
        let now_ns = u128::from(now) * 1000;
        let mut leaves = now_ns;
        if let Some(rate) = shape.rates[usize::from(!is_away)] {
            leaves = self.busy_until.max(now_ns) + u128::from(sent) * 8_000_000_000 / u128::from(rate.max(1));
            self.busy_until = leaves;
        }
        let jitter = if shape.jitter > 0 { self.random.below(shape.jitter + 1) } else { 0 };
        let left = u64::try_from(leaves / 1000).unwrap_or(u64::MAX);
        self.last_arrival = left.saturating_add(shape.latency + jitter + delay).max(self.last_arrival);
        (self.last_arrival, sent)
    }
}

/// How long after `begin` a probe goes out that is not before `now`, when they go out after `first` and then after waits that
/// double.
pub(super) fn probe_at(begin: Micros, first: Micros, now: Micros) -> Micros {
    let first = first.max(1);
    let mut wait = 0;
    let mut step = first;
    while begin.saturating_add(wait) < now {
        wait = wait.saturating_add(step);
        step = step.saturating_mul(2).min(micros(Duration::from_secs(60)));
    }
    begin.saturating_add(wait)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{Bandwidth, Share, Span};

    #[test]
    fn what_is_sent_at_once_waits_for_the_bandwidth_of_its_direction() {
        let link = Link { to_hub: Some(Bandwidth(80_000)), ..Link::default() };
        let shape = Shape::of(&link);
        let mut carrier = Carrier::new(1);
        let arrivals: Vec<_> = (0..3).map(|_| carrier.send(0, &shape, true, 1, 1000).0).collect();
        assert_eq!(arrivals, [110_000, 210_000, 310_000]);
        assert_eq!(Carrier::new(1).send(0, &shape, false, 1, 1000).0, 10_000);
    }

    #[test]
    fn loss_is_delay_and_bytes_and_keeps_the_order() {
        let link = Link { loss: Share(300_000), jitter: Span(Duration::from_millis(5)), ..Link::default() };
        let shape = Shape::of(&link);
        let mut carrier = Carrier::new(7);
        let sent: Vec<_> = (0..2000).map(|n| carrier.send(n * 100_000, &shape, true, 1, 100)).collect();
        assert!(sent.windows(2).all(|pair| pair[0].0 <= pair[1].0));
        // Each is sent 1 / (1 - 0.3) times on average.
        let bytes: u64 = sent.iter().map(|(_, bytes)| bytes).sum();
        assert!((270_000..300_000).contains(&bytes), "{bytes}");
    }

    #[test]
    fn a_probe_waits_twice_as_long_each_time() {
        assert_eq!([0, 1, 100, 101, 301].map(|now| probe_at(0, 100, now)), [0, 100, 100, 300, 700]);
    }
}
