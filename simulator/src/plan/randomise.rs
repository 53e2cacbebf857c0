//! Variants of a scenario for a swarm: each seed leaves out some events and moves rates, links and counts.
//!
//! Leaving things out finds more than having everything always on: what is on hides what the rest would do (Groce, Zhang,
//! Eide, Chen and Regehr, "Swarm testing", ISSTA 2012).

use std::time::Duration;

use super::stream::Stream;
use crate::scenario::{Bandwidth, Depth, EventSource, Factor, Link, Scenario, Share, Span};

/// The least bandwidth of a variant: with less not even a handshake passes in time.
const BANDWIDTH_MIN: u64 = 8_000;

/// The largest share of a variant: with more, a link is down and says that it is up.
const SHARE_MAX: u64 = 500_000;

/// The longest latency of a variant, in nanoseconds: ten seconds, beyond any orbit.
const LATENCY_NS_MAX: u64 = 10_000_000_000;

/// The variant of `scenario` for `seed` at `depth`, within the bounds of its table `swarm`. It is a scenario like any other,
/// with that seed.
#[must_use]
pub fn randomise(scenario: &Scenario, seed: u64, depth: Depth) -> Scenario {
    let mut variant = scenario.clone();
    let swarm = &scenario.swarm;
    let stream = |concern: &str, name: &str| Stream::new(seed, &["swarm", concern, name]);
    // A seed above the largest of a file is the caller's to refuse; here it stays readable.
    variant.seed = seed & (u64::MAX >> 1);
    let kept = |source: &EventSource| swarm.keep.iter().any(|keep| keep == source.key() || keep == source.kind.name());
    variant.event.retain(|source| kept(source) || !stream("leave-out", source.key()).happens(swarm.leave_out.0));
    for source in &mut variant.event {
        let factor = stream("rate", source.key()).draw(swarm.rates);
        if let Some(rate) = &mut source.rate {
            rate.0 = times(rate.0, factor).clamp(1, 86_400_000_000);
        }
    }
    for (name, link) in &mut variant.link {
        vary(link, |concern| stream(concern, name).draw(swarm.links));
    }
    let mut limit = scenario.limit(depth);
    if let Some(nodes) = swarm.nodes {
        limit.nodes = Some(stream("nodes", "").draw(nodes).0);
    }
    variant.depth = [(depth, limit)].into();
    variant
}

fn vary(link: &mut Link, factor: impl Fn(&str) -> Factor) {
    for (concern, span) in [("latency", &mut link.latency), ("jitter", &mut link.jitter)] {
        let nanos = u64::try_from(span.0.as_nanos()).unwrap_or(u64::MAX);
        let micros = times(nanos, factor(concern)).min(LATENCY_NS_MAX) / 1000;
        *span = Span(Duration::from_micros(micros));
    }
    for (concern, share) in [
        ("loss", &mut link.loss),
        ("duplication", &mut link.duplication),
        ("reordering", &mut link.reordering),
        ("corruption", &mut link.corruption),
    ] {
        let varied = times(share.0.into(), factor(concern)).min(SHARE_MAX.max(share.0.into()));
        *share = Share(u32::try_from(varied).unwrap_or(share.0));
    }
    for (concern, bandwidth) in [("to_hub", &mut link.to_hub), ("to_node", &mut link.to_node)] {
        if let Some(Bandwidth(bits)) = bandwidth {
            let varied = u128::from(*bits) * 1_000_000 / u128::from(factor(concern).0.max(1));
            *bits = u64::try_from(varied).unwrap_or(u64::MAX).max(BANDWIDTH_MIN.min(*bits));
        }
    }
}

fn times(value: u64, factor: Factor) -> u64 {
    u64::try_from(u128::from(value) * u128::from(factor.0) / 1_000_000).unwrap_or(u64::MAX)
}
