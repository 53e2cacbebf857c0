//! Words of scenarios in the words of the engine, lines and disks.

use crate::disk::CrashPolicy;
use crate::net::line::Shape;
use crate::scenario;

/// The line of a profile.
#[must_use]
pub fn shape(link: &scenario::Link) -> Shape {
    Shape {
        latency: link.latency.0,
        jitter: link.jitter.0,
        loss: link.loss.0,
        loss_burst: link.loss_burst,
        duplication: link.duplication.0,
        reordering: link.reordering.0,
        corruption: link.corruption.0,
        bandwidth: [link.to_hub.map(|rate| rate.0), link.to_node.map(|rate| rate.0)],
        queue: link.queue.0,
        mtu: u64::from(link.mtu),
        daily_quota: link.daily_quota.map(|quota| quota.0),
    }
}

/// What a crash leaves of writes that were not synced.
pub(in crate::stack) fn policy(unsynced: scenario::Unsynced) -> CrashPolicy {
    match unsynced {
        scenario::Unsynced::Kept => CrashPolicy::Kept,
        scenario::Unsynced::Lost => CrashPolicy::Lost,
        scenario::Unsynced::Torn => CrashPolicy::Prefix,
        scenario::Unsynced::Mixed => CrashPolicy::Scattered { kept: 40, garbled: 20 },
    }
}

/// A name of a plan as the engine has it.
#[expect(clippy::expect_used, reason = "a scenario is checked for this before it becomes a plan")]
pub(crate) fn id(name: &str) -> sync_core::id::Name {
    sync_core::id::Name::new(name).expect("names of a plan are names of the engine")
}
