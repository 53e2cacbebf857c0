//! What happens to each datagram of one link, and how much passed.

use std::net::Ipv4Addr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::net::line::{self, Line, Shape, Way};

/// How long the day of a quota is, unless it is said otherwise.
const DAY: Duration = Duration::from_secs(24 * 3600);

/// A datagram that goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// When.
    pub at: Instant,
    /// Which bit of it is flipped, counted around its length.
    pub flipped: Option<u64>,
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

#[derive(Debug)]
struct Inner {
    line: Line,
    counted: [Counted; 2],
    nat_idle: Option<Duration>,
    /// How often everything behind the NAT was mapped anew.
    mappings: u64,
    /// How often whoever dials got another address.
    addresses: u32,
    day: Duration,
}

/// The switches and counters of one link, shared between the proxy and whoever steers it.
#[derive(Debug)]
pub struct LinkState {
    began: Instant,
    inner: Mutex<Inner>,
}

/// What a NAT knows of one client.
#[derive(Debug)]
pub(super) struct Mapping {
    number: u64,
    used: Mutex<Instant>,
}

impl LinkState {
    /// A link that is up both ways, takes no time and has no faults. `seed` decides which datagrams later faults meet.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let shape = Shape { latency: Duration::ZERO, mtu: u64::MAX, ..Shape::default() };
        let inner = Inner {
            line: Line::new(shape, seed),
            counted: [Counted::default(); 2],
            nat_idle: None,
            mappings: 0,
            addresses: 0,
            day: DAY,
        };
        Self { began: Instant::now(), inner: Mutex::new(inner) }
    }

    /// Cuts both ways.
    pub fn cut(&self) {
        self.set_open(false, false);
    }

    /// Heals both ways.
    pub fn heal(&self) {
        self.set_open(true, true);
    }

    /// What it lets through from now on. Datagrams that are held back already still arrive.
    pub fn set_open(&self, to_hub: bool, to_node: bool) {
        self.inner().line.set_open(to_hub, to_node);
    }

    /// What it is like from now on.
    pub fn set_shape(&self, shape: Shape) {
        self.inner().line.set_shape(shape);
    }

    /// After how long without a datagram a NAT forgets a client; `None` is no NAT.
    pub fn set_nat(&self, idle: Option<Duration>) {
        self.inner().nat_idle = idle;
    }

    /// How long a day is, for quotas.
    pub fn set_day(&self, day: Duration) {
        self.inner().day = day;
    }

    /// Lifts the quota for good.
    pub fn lift_quota(&self) {
        self.inner().line.lift_quota();
    }

    /// The NAT maps every client to another port from now on.
    pub fn rebind(&self) {
        self.inner().mappings += 1;
    }

    /// Whoever dials has another address from now on.
    pub fn move_away(&self) {
        let mut inner = self.inner();
        inner.addresses += 1;
        inner.mappings += 1;
    }

    /// The address by which a hub sees whoever dials.
    pub(super) fn address(&self) -> Ipv4Addr {
        // 127.0.0.1 first, then the others of 127.0.0.0/16 but for those that end with 0 and 255.
        let addresses = self.inner().addresses;
        let byte = |number: u32| u8::try_from(number).unwrap_or_default();
        Ipv4Addr::new(127, 0, byte(addresses / 254 % 256), byte(addresses % 254 + 1))
    }

    /// What went through one way since the start.
    #[must_use]
    pub fn counted(&self, way: Way) -> Counted {
        self.inner().counted[way as usize]
    }

    /// The same as it is paid for: IP packets that were sent on the link, also those that were lost on it.
    #[must_use]
    pub fn sent(&self, way: Way) -> line::Counted {
        self.inner().line.counted(way)
    }

    /// Decides what happens to a datagram of `bytes`, and counts it: it goes on once, twice, or not at all.
    pub fn judge(&self, way: Way, bytes: usize) -> Vec<Due> {
        let now = self.began.elapsed();
        let mut inner = self.inner();
        let day = now.as_nanos().checked_div(inner.day.as_nanos()).and_then(|day| u64::try_from(day).ok());
        let micros = u64::try_from(now.as_micros()).unwrap_or(u64::MAX);
        let fate = inner.line.send(micros, day.unwrap_or(0), way, bytes);
        let counted = &mut inner.counted[way as usize];
        let Ok((first, second)) = fate else {
            counted.dropped += 1;
            return Vec::new();
        };
        counted.datagrams += 1;
        counted.bytes = counted.bytes.saturating_add(bytes as u64);
        let due = |arrival: line::Arrival| Due {
            at: self.began + Duration::from_micros(arrival.at),
            flipped: arrival.flipped,
        };
        std::iter::once(first).chain(second).map(due).collect()
    }

    /// A client is new to the NAT.
    pub(super) fn map(&self) -> Mapping {
        Mapping { number: self.inner().mappings, used: Mutex::new(Instant::now()) }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Plain numbers: a panic elsewhere leaves nothing half-written.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Mapping {
    /// Whether the NAT still knows the client.
    pub(super) fn is_known(&self, link: &LinkState) -> bool {
        let inner = link.inner();
        let used = *self.used.lock().unwrap_or_else(PoisonError::into_inner);
        self.number == inner.mappings && inner.nat_idle.is_none_or(|idle| used.elapsed() <= idle)
    }

    /// Something passed.
    pub(super) fn touch(&self) {
        *self.used.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_way_can_be_cut_alone() {
        let link = LinkState::new(1);
        link.set_open(true, false);
        assert_eq!(link.judge(Way::ToHub, 10).len(), 1);
        assert_eq!(link.judge(Way::ToNode, 10), Vec::new());
        assert_eq!(link.counted(Way::ToHub), Counted { bytes: 10, datagrams: 1, dropped: 0 });
        assert_eq!(link.counted(Way::ToNode), Counted { bytes: 0, datagrams: 0, dropped: 1 });
    }

    #[test]
    fn the_same_seed_loses_the_same_datagrams() {
        let lost = |seed| {
            let link = LinkState::new(seed);
            link.set_shape(Shape { loss: 300_000, ..Shape::default() });
            (0..1000).map(|_| link.judge(Way::ToHub, 1).is_empty()).collect::<Vec<_>>()
        };
        assert_eq!(lost(5), lost(5));
        assert_ne!(lost(5), lost(6));
        let count = lost(5).into_iter().filter(|lost| *lost).count();
        assert!((200..400).contains(&count), "{count} of 1000 lost");
    }

    #[test]
    fn latency_and_jitter_add_up_and_a_new_link_takes_no_time() {
        let link = LinkState::new(1);
        let now = Instant::now();
        assert!(link.judge(Way::ToHub, 1).first().unwrap().at <= Instant::now());
        let ms = Duration::from_millis;
        link.set_shape(Shape { latency: ms(20), jitter: ms(5), ..Shape::default() });
        for _ in 0..100 {
            let due = link.judge(Way::ToHub, 1);
            let due = due.first().unwrap();
            assert!(due.at >= now + ms(20) && due.at <= Instant::now() + ms(25), "{due:?}");
        }
    }

    #[test]
    fn a_quota_lasts_as_long_as_a_day_is_said_to_be() {
        let link = LinkState::new(1);
        link.set_shape(Shape { daily_quota: Some(1), ..Shape::default() });
        assert_eq!(link.judge(Way::ToHub, 100).len(), 1);
        assert_eq!(link.judge(Way::ToHub, 100), Vec::new());
        link.set_day(Duration::from_nanos(1));
        assert_eq!(link.judge(Way::ToHub, 100).len(), 1);
    }

    #[test]
    fn every_address_is_another_one_that_a_machine_can_have() {
        let link = LinkState::new(1);
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..600 {
            let [first, _, _, last] = link.address().octets();
            assert!(first == 127 && last != 0 && last != 255);
            assert!(seen.insert(link.address()));
            link.move_away();
        }
    }
}
