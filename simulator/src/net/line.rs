//! What becomes of each datagram on the line between two members, as a value: same inputs, same fates.

use std::time::Duration;

use crate::random::Random;

/// A direction of a line. The hub end of a line between two hubs is the one that is dialled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// Away from the member that dials.
    ToHub,
    /// Towards the member that dials.
    ToNode,
}

/// What a line is like. Shares are in millionths of the datagrams of each direction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape {
    /// Time that a datagram takes one way.
    pub latency: Duration,
    /// What is added at most. Datagrams do not overtake each other for it.
    pub jitter: Duration,
    /// Lost.
    pub loss: u32,
    /// How many in a row on average, once one is lost.
    pub loss_burst: u32,
    /// Arrive twice.
    pub duplication: u32,
    /// Are held back by one to four times the latency, so that later ones overtake them.
    pub reordering: u32,
    /// Arrive with a flipped bit.
    pub corruption: u32,
    /// Bits a second in each direction, [`Way::ToHub`] first; `None` is no limit.
    pub bandwidth: [Option<u64>; 2],
    /// Bytes that may wait for the bandwidth in each direction.
    pub queue: u64,
    /// The largest IP packet in bytes.
    pub mtu: u64,
    /// Bytes of IP packets, both ways, that a day has; `None` is no limit.
    pub daily_quota: Option<u64>,
}

impl Default for Shape {
    /// A good line: 10 ms, no loss, no limit.
    fn default() -> Self {
        Self {
            latency: Duration::from_millis(10),
            jitter: Duration::ZERO,
            loss: 0,
            loss_burst: 1,
            duplication: 0,
            reordering: 0,
            corruption: 0,
            bandwidth: [None; 2],
            queue: 256 * 1024,
            mtu: 1500,
            daily_quota: None,
        }
    }
}

/// IPv4 and UDP headers, which the line carries too.
pub const HEADER_BYTES: u64 = 28;

/// A datagram that arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// When, in microseconds of the same clock as the sending.
    pub at: u64,
    /// Which bit of it is flipped, counted around its length.
    pub flipped: Option<u64>,
}

/// Why a datagram is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Loss {
    /// The line is down in this direction.
    Down,
    /// By chance.
    Chance,
    /// The queue was full.
    Queue,
    /// It is larger than the line carries.
    TooLarge,
    /// The day's quota is used up.
    Quota,
}

/// What went through one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counted {
    /// Bytes of IP packets that were sent on the line.
    pub bytes: u64,
    /// How many.
    pub datagrams: u64,
    /// How many of them were lost on the way.
    pub lost: u64,
}

/// A line and what is on it.
#[derive(Debug)]
pub struct Line {
    shape: Shape,
    ways: [WayState; 2],
    day: u64,
    used: u64,
    no_quota: bool,
}

#[derive(Debug)]
struct WayState {
    is_open: bool,
    /// When the last bit of what waits has left, in nanoseconds.
    busy_until: u128,
    last_arrival: u64,
    in_burst: bool,
    random: Random,
    counted: Counted,
}

impl Line {
    /// A line that is open both ways.
    #[must_use]
    pub fn new(shape: Shape, seed: u64) -> Self {
        let way = |way: u64| WayState {
            is_open: true,
            busy_until: 0,
            last_arrival: 0,
            in_burst: false,
            random: Random::new(seed.wrapping_mul(2).wrapping_add(way)),
            counted: Counted::default(),
        };
        Self { shape, ways: [way(0), way(1)], day: 0, used: 0, no_quota: false }
    }

    /// What it lets through from now on. What is under way arrives.
    pub fn set_open(&mut self, to_hub: bool, to_node: bool) {
        self.ways[0].is_open = to_hub;
        self.ways[1].is_open = to_node;
    }

    /// What it is like from now on.
    pub fn set_shape(&mut self, shape: Shape) {
        self.shape = shape;
    }

    /// Lifts the quota for good.
    pub fn lift_quota(&mut self) {
        self.no_quota = true;
    }

    /// What it is like.
    #[must_use]
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// What went through.
    #[must_use]
    pub fn counted(&self, way: Way) -> Counted {
        self.ways[way as usize].counted
    }

    /// Sends a datagram of `bytes` of payload at `now` microseconds on the day of this number. The one or two arrivals, or why
    /// there is none.
    ///
    /// # Errors
    /// [`Loss`] says why it does not arrive.
    pub fn send(&mut self, now: u64, day: u64, way: Way, bytes: usize) -> Result<(Arrival, Option<Arrival>), Loss> {
        let packet = bytes as u64 + HEADER_BYTES;
        if day != self.day {
            (self.day, self.used) = (day, 0);
        }
        let state = &mut self.ways[way as usize];
        if !state.is_open {
            return Err(Loss::Down);
        }
        if !self.no_quota && self.shape.daily_quota.is_some_and(|quota| self.used >= quota) {
            return Err(Loss::Quota);
        }
        state.counted.bytes += packet;
        state.counted.datagrams += 1;
        let fate = state.fate(&self.shape, now, way, packet);
        if fate.is_err() {
            state.counted.lost += 1;
        }
        if !matches!(fate, Err(Loss::TooLarge | Loss::Queue)) {
            self.used += packet;
        }
        fate
    }
}

impl WayState {
    fn fate(&mut self, shape: &Shape, now: u64, way: Way, packet: u64) -> Result<(Arrival, Option<Arrival>), Loss> {
        if packet > shape.mtu {
            return Err(Loss::TooLarge);
        }
        let now_ns = u128::from(now) * 1000;
        let mut leaves = now_ns;
        if let Some(rate) = shape.bandwidth[way as usize] {
            let rate = u128::from(rate.max(1));
            let waiting = self.busy_until.saturating_sub(now_ns) * rate / 8_000_000_000;
            if waiting + u128::from(packet) > u128::from(shape.queue.max(packet)) {
                return Err(Loss::Queue);
            }
            leaves = self.busy_until.max(now_ns) + u128::from(packet) * 8_000_000_000 / rate;
            self.busy_until = leaves;
        }
        if self.loses(shape) {
            return Err(Loss::Chance);
        }
        let left = u64::try_from(leaves / 1000).unwrap_or(u64::MAX);
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let jitter = self.random.below(micros(shape.jitter).saturating_add(1));
        let in_order = left.saturating_add(micros(shape.latency)).saturating_add(jitter).max(self.last_arrival);
        let at = if self.happens(shape.reordering) {
            in_order.saturating_add(micros(shape.latency).saturating_mul(1 + self.random.below(4)))
        } else {
            self.last_arrival = in_order;
            in_order
        };
        let flipped = self.happens(shape.corruption).then(|| self.random.next_u64());
        let twice = self.happens(shape.duplication).then(|| {
            let behind = self.random.below(micros(shape.latency).saturating_add(1));
            Arrival { at: at.saturating_add(behind), flipped: None }
        });
        Ok((Arrival { at, flipped }, twice))
    }

    /// Two states, good and bad (Gilbert 1960): in the bad one everything is lost.
    fn loses(&mut self, shape: &Shape) -> bool {
        let (loss, burst) = (u64::from(shape.loss.min(1_000_000)), u64::from(shape.loss_burst.max(1)));
        if loss == 0 {
            self.in_burst = false;
            return false;
        }
        let change = if self.in_burst {
            1_000_000 / burst
        } else {
            // So that the share of the bad state is the loss.
            loss.saturating_mul(1_000_000).checked_div(burst * (1_000_000 - loss)).unwrap_or(1_000_000)
        };
        if burst == 1 {
            self.in_burst = self.happens(shape.loss);
        } else if self.happens(u32::try_from(change.min(1_000_000)).unwrap_or(1_000_000)) {
            self.in_burst = !self.in_burst;
        }
        self.in_burst
    }

    fn happens(&mut self, millionths: u32) -> bool {
        millionths > 0 && self.random.below(1_000_000) < u64::from(millionths)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrivals(line: &mut Line, count: u64) -> Vec<Arrival> {
        (0..count).filter_map(|n| line.send(n * 1000, 0, Way::ToHub, 1000).ok()).map(|(first, _)| first).collect()
    }

    #[test]
    fn the_bandwidth_spaces_what_is_sent_at_once_and_the_queue_drops_the_rest() {
        let shape = Shape { bandwidth: [Some(80_000), None], queue: 5 * 1028, ..Shape::default() };
        let mut line = Line::new(shape, 1);
        let fates: Vec<_> = (0..8).map(|_| line.send(0, 0, Way::ToHub, 1000)).collect();
        let times: Vec<u64> = fates.iter().flatten().map(|(first, _)| first.at).collect();
        assert_eq!(times, [112_800, 215_600, 318_400, 421_200, 524_000]);
        assert_eq!(fates[5], Err(Loss::Queue));
        assert!(line.send(0, 0, Way::ToNode, 1000).is_ok_and(|(first, _)| first.at == 10_000));
    }

    #[test]
    fn losses_come_in_bursts_and_their_share_stays() {
        for burst in [1, 8] {
            let shape = Shape { loss: 100_000, loss_burst: burst, ..Shape::default() };
            let mut line = Line::new(shape, 7);
            let lost: Vec<bool> = (0..200_000).map(|n| line.send(n * 1000, 0, Way::ToHub, 10).is_err()).collect();
            let share = lost.iter().filter(|lost| **lost).count();
            assert!((17_000..23_000).contains(&share), "{share} of 200000");
            let begins = lost.windows(2).filter(|pair| !pair[0] && pair[1]).count();
            let mean = share * 10 / begins;
            assert!(mean.abs_diff(burst as usize * 10) < burst as usize * 3, "{mean} tenths in a row for {burst}");
        }
    }

    #[test]
    fn jitter_keeps_the_order_and_reordering_does_not() {
        let jitter = Shape { jitter: Duration::from_millis(50), ..Shape::default() };
        let came = arrivals(&mut Line::new(jitter.clone(), 3), 500);
        assert!(came.windows(2).all(|pair| pair[0].at <= pair[1].at));
        let came = arrivals(&mut Line::new(Shape { reordering: 50_000, ..jitter }, 3), 500);
        assert!(came.windows(2).any(|pair| pair[0].at > pair[1].at));
    }

    #[test]
    fn a_quota_lasts_a_day_and_a_closed_way_uses_none() {
        let mut line = Line::new(Shape { daily_quota: Some(2 * 1028), ..Shape::default() }, 1);
        line.set_open(false, true);
        assert_eq!(line.send(0, 5, Way::ToHub, 1000), Err(Loss::Down));
        assert!(line.send(0, 5, Way::ToNode, 1000).is_ok());
        assert!(line.send(0, 5, Way::ToNode, 1000).is_ok());
        assert_eq!(line.send(0, 5, Way::ToNode, 1000), Err(Loss::Quota));
        assert!(line.send(0, 6, Way::ToNode, 1000).is_ok());
        assert_eq!(line.send(0, 6, Way::ToNode, 1473), Err(Loss::TooLarge));
    }
}
