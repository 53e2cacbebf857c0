//! A fleet that comes back at one moment, in virtual time.

use std::collections::BTreeSet;

use super::*;
use crate::session::dialer::Dialer;

struct Seeded(u64);

impl Entropy for Seeded {
    fn fill(&mut self, target: &mut [u8]) {
        for byte in target {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            *byte = (self.0 >> 56) as u8;
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Happens {
    Served,
    Arrives,
}

/// What came of ten thousand nodes.
struct Return {
    most_at_work: usize,
    served: usize,
    arrivals: Vec<u64>,
    took: Duration,
}

/// Each node's catch-up takes `service`, give or take a half.
fn ten_thousand_return(service: Duration) -> Return {
    let mut entropy = Seeded(1);
    let mut catch_ups = CatchUps::new(&mut entropy);
    let mut dialers = vec![Dialer::default(); 10_000];
    let start = Instant(5_000_000);
    // The queue of the test: when, what, who.
    let mut events: BTreeSet<(Instant, Happens, usize)> =
        (0..dialers.len()).map(|node| (start, Happens::Arrives, node)).collect();
    let (mut at_work, mut most_at_work, mut served, mut now) = (0_usize, 0, 0, start);
    let mut arrivals = vec![0; 4_000];
    while let Some((at, what, node)) = events.pop_first() {
        now = at;
        let link = LinkId(node as u64);
        match what {
            Happens::Served => {
                catch_ups.done(now, link);
                at_work -= 1;
                served += 1;
            }
            Happens::Arrives => {
                arrivals[now.since(start).as_secs() as usize] += 1;
                match catch_ups.admit(now, link) {
                    Ok(()) => {
                        at_work += 1;
                        most_at_work = most_at_work.max(at_work);
                        let takes = service / 2 + catch_ups.up_to(service);
                        events.insert((now.after(takes), Happens::Served, node));
                    }
                    Err(wait) => {
                        assert!(wait <= Duration::from_millis(REDIAL_WAIT_MS_MAX) * 5 / 4 + FIRST_AVERAGE);
                        let again = dialers[node].handle_down(now, Some(wait), &mut entropy);
                        events.insert((again, Happens::Arrives, node));
                    }
                }
            }
        }
    }
    assert!(catch_ups.working.is_empty());
    Return { most_at_work, served, arrivals, took: now.since(start) }
}

#[test]
fn ten_thousand_nodes_that_return_at_once_are_served_a_few_at_a_time() {
    for service_ms in [100, 400, 2_000] {
        let service = Duration::from_millis(service_ms);
        let back = ten_thousand_return(service);
        assert_eq!(back.served, 10_000);
        assert!(back.most_at_work <= CATCH_UPS_MAX);
        // As long as it takes at least, with so many at once, and not many times as long.
        let least = service * 10_000 / CATCH_UPS_MAX as u32;
        assert!(back.took < least * 6 + Duration::from_secs(10), "{:?} for {least:?}", back.took);
        // After the first second they come spread: never many times what can be served.
        let rate = CATCH_UPS_MAX as u64 * 1_000 / service_ms;
        let worst = back.arrivals.iter().skip(1).max().copied().unwrap_or(0);
        assert!(worst <= rate * 5 + 100, "{worst} in a second, where {rate} are served");
        let tries: u64 = back.arrivals.iter().sum();
        println!("{service:?} each: {:?}, at least {least:?}; {tries} tries, {worst} a second at worst", back.took);
        assert!(tries <= 60_000, "{tries} tries");
    }
}

#[test]
fn whoever_is_slow_does_not_keep_others_out() {
    let mut catch_ups = CatchUps::new(&mut Seeded(2));
    let start = Instant(0);
    for link in 0..CATCH_UPS_MAX as u64 {
        assert_eq!(catch_ups.admit(start, LinkId(link)), Ok(()));
    }
    let first = catch_ups.admit(start, LinkId(1_000)).unwrap_err();
    let waits: Vec<Duration> = (0..1_000).map(|link| catch_ups.admit(start, LinkId(link)).unwrap_err()).collect();
    assert!(waits.iter().all(|wait| *wait > first / 2) && waits[999] > waits[0] * 10, "the wait rises with the queue");
    let later = start.after(Duration::from_secs(CATCH_UP_SECONDS_MAX));
    assert_eq!(catch_ups.admit(later, LinkId(1_000)), Ok(()));
    assert_eq!(catch_ups.working.len(), 1);
}
