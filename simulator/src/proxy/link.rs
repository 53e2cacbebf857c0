//! What happens to each datagram of one link, and how much passed.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::random::Random;

/// A way through the link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the node to the hub.
    ToHub,
    /// From the hub to the node.
    ToNode,
}

/// What happens to one datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on at once.
    Pass,
    /// It goes on later. A later datagram may overtake it.
    Delay(Duration),
    /// It is lost.
    Drop,
}

/// Faults of both ways. The default has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Faults {
    /// Time that every datagram takes, one way.
    pub latency: Duration,
    /// Time drawn for each datagram on top, from zero to this.
    pub jitter: Duration,
    /// Datagrams lost, of each thousand.
    pub loss_per_mille: u16,
}

/// What went through one way. Whole UDP payloads; headers are not counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counted {
    /// Bytes that went on.
    pub bytes: u64,
    /// Datagrams that went on.
    pub datagrams: u64,
    /// Datagrams that did not.
    pub dropped: u64,
}

#[derive(Debug, Default)]
struct Way {
    cut: bool,
    counted: Counted,
}

#[derive(Debug)]
struct Inner {
    to_hub: Way,
    to_node: Way,
    faults: Faults,
    random: Random,
}

/// The switches and counters of one link, shared between the proxy and whoever steers it.
#[derive(Debug)]
pub struct LinkState(Mutex<Inner>);

impl LinkState {
    /// A link that is up both ways and has no faults. `seed` decides which datagrams later faults meet.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Mutex::new(Inner {
            to_hub: Way::default(),
            to_node: Way::default(),
            faults: Faults::default(),
            random: Random::new(seed),
        }))
    }

    /// Cuts both ways.
    pub fn cut(&self) {
        self.set_up(Direction::ToHub, false);
        self.set_up(Direction::ToNode, false);
    }

    /// Heals both ways.
    pub fn heal(&self) {
        self.set_up(Direction::ToHub, true);
        self.set_up(Direction::ToNode, true);
    }

    /// Cuts or heals one way. Datagrams that are held back already still arrive.
    pub fn set_up(&self, direction: Direction, up: bool) {
        self.inner().way(direction).cut = !up;
    }

    /// Sets the faults that apply while the link is up.
    pub fn set_faults(&self, faults: Faults) {
        self.inner().faults = faults;
    }

    /// What went through one way since the start.
    #[must_use]
    pub fn counted(&self, direction: Direction) -> Counted {
        self.inner().way(direction).counted
    }

    /// Decides what happens to a datagram of `bytes`, and counts it.
    pub fn judge(&self, direction: Direction, bytes: usize) -> Verdict {
        let mut inner = self.inner();
        let lost = inner.way(direction).cut || inner.lose();
        let counted = &mut inner.way(direction).counted;
        if lost {
            counted.dropped += 1;
            return Verdict::Drop;
        }
        counted.datagrams += 1;
        counted.bytes = counted.bytes.saturating_add(bytes as u64);
        let wait = inner.wait();
        if wait.is_zero() { Verdict::Pass } else { Verdict::Delay(wait) }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Plain numbers: a panic elsewhere leaves nothing half-written.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn way(&mut self, direction: Direction) -> &mut Way {
        match direction {
            Direction::ToHub => &mut self.to_hub,
            Direction::ToNode => &mut self.to_node,
        }
    }

    fn lose(&mut self) -> bool {
        self.faults.loss_per_mille > 0 && self.random.below(1000) < u64::from(self.faults.loss_per_mille)
    }

    fn wait(&mut self) -> Duration {
        let jitter = u64::try_from(self.faults.jitter.as_micros()).unwrap_or(u64::MAX);
        let drawn = if jitter == 0 { 0 } else { self.random.below(jitter.saturating_add(1)) };
        self.faults.latency.saturating_add(Duration::from_micros(drawn))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_way_can_be_cut_alone() {
        let link = LinkState::new(1);
        link.set_up(Direction::ToNode, false);
        assert_eq!(link.judge(Direction::ToHub, 10), Verdict::Pass);
        assert_eq!(link.judge(Direction::ToNode, 10), Verdict::Drop);
        assert_eq!(link.counted(Direction::ToHub), Counted { bytes: 10, datagrams: 1, dropped: 0 });
        assert_eq!(link.counted(Direction::ToNode), Counted { bytes: 0, datagrams: 0, dropped: 1 });
    }

    #[test]
    fn the_same_seed_loses_the_same_datagrams() {
        let verdicts = |seed| {
            let link = LinkState::new(seed);
            link.set_faults(Faults { loss_per_mille: 300, ..Faults::default() });
            (0..1000).map(|_| link.judge(Direction::ToHub, 1)).collect::<Vec<_>>()
        };
        assert_eq!(verdicts(5), verdicts(5));
        assert_ne!(verdicts(5), verdicts(6));
        let lost = verdicts(5).into_iter().filter(|verdict| *verdict == Verdict::Drop).count();
        assert!((200..400).contains(&lost), "{lost} of 1000 lost");
    }

    #[test]
    fn latency_and_jitter_add_up() {
        let link = LinkState::new(1);
        let ms = Duration::from_millis;
        link.set_faults(Faults { latency: ms(20), jitter: ms(5), loss_per_mille: 0 });
        for _ in 0..100 {
            let Verdict::Delay(wait) = link.judge(Direction::ToHub, 1) else { panic!("not delayed") };
            assert!((ms(20)..=ms(25)).contains(&wait), "{wait:?}");
        }
    }
}
