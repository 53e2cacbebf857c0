//! Writes figures of every member into the trace, now and then.

use std::time::Duration;

use sync_core::replica::Replica;
use sync_core::store::{PeerTraffic, StoreError};

use super::World;
use crate::holding;
use crate::net::line::Counted;
use crate::plan::Name;
use crate::trace::{Happening, Sample};

/// How often figures are taken, or a multiple of it.
const SAMPLE_EVERY: Duration = Duration::from_secs(15 * 60);

/// How often they are taken in a run at most: a year has no more of them than four days, so that they do not fill its trace.
const SAMPLES_MAX: u32 = 400;

impl World<'_> {
    pub(super) async fn sample_now_and_then(&mut self, at: Duration) {
        if self.checks.is_idle() {
            return;
        }
        let times = (self.plan.duration / SAMPLES_MAX).as_secs() / SAMPLE_EVERY.as_secs() + 1;
        if at.as_secs().is_multiple_of(times * SAMPLE_EVERY.as_secs()) {
            self.sample().await;
        }
    }

    /// Writes the figures of all members that run.
    pub(super) async fn sample(&mut self) {
        for name in self.sites.keys().cloned().collect::<Vec<_>>() {
            let Some(handle) = self.sites.get(&name).and_then(|site| site.handle()) else { continue };
            // A store that cannot be read now has no figures; the checks count that.
            let Ok(Ok(mut sample)) = handle.call(|replica, _| figures(replica)).await else { continue };
            (sample.datagrams_in, sample.datagrams_out) = self.passed(&name);
            self.book.tell(Happening::Sample { member: (&*name).into(), sample });
        }
    }

    /// Bytes of IP packets towards a member, and away from it, over all its lines: lost ones too, as whoever pays for them does.
    fn passed(&self, name: &Name) -> (u64, u64) {
        let mut passed = (0, 0);
        for link in &self.plan.links {
            let (Some(from), Some(to)) = (self.member(&link.from), self.member(&link.to)) else { continue };
            let [to_hub, to_node]: [Counted; 2] = self.internet.counted(from, to);
            if link.from == *name {
                passed = (passed.0 + to_node.bytes, passed.1 + to_hub.bytes);
            } else if link.to == *name {
                passed = (passed.0 + to_hub.bytes, passed.1 + to_node.bytes);
            }
        }
        passed
    }
}

fn figures(replica: &mut Replica) -> Result<Sample, StoreError> {
    let live: Vec<PeerTraffic> = replica.live_traffic().into_values().collect();
    replica.inspect(|tx| {
        let traffic = tx.peers()?.into_iter().map(|peer| peer.traffic).chain(live).collect::<Vec<_>>();
        Ok(Sample {
            payload_in: traffic.iter().map(|it| it.bytes_in).sum(),
            payload_out: traffic.iter().map(|it| it.bytes_out).sum(),
            documents: tx.documents()?.len() as u64,
            database_bytes: tx.table_sizes()?.database_bytes,
            applied: holding::applied(tx)?.map(|stamp| stamp.release.version),
            ..Sample::default()
        })
    })
}
