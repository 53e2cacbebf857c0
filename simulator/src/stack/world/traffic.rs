//! What went over the links of the hubs, whatever their processes forget.

use sync_core::replica::Replica;
use sync_core::store::PeerTraffic;

use super::{Outcome, World};
use crate::plan::Name;

impl World<'_> {
    /// Counts the bytes of the run.
    pub(super) async fn account(&mut self, outcome: &mut Outcome) {
        for link in &self.plan.links {
            if let (Some(from), Some(to)) = (self.member(&link.from), self.member(&link.to)) {
                let counted = self.internet.counted(from, to);
                for (sum, way) in outcome.wire_bytes.iter_mut().zip(counted) {
                    *sum += way.bytes;
                }
            }
        }
        for hub in &self.plan.hubs {
            let Some(booked) = self.booked(&hub.name).await else { continue };
            for (sum, more) in outcome.payload_bytes.iter_mut().zip(booked) {
                *sum += more;
            }
        }
        for (sum, more) in outcome.payload_bytes.iter_mut().zip(self.forgotten) {
            *sum = sum.saturating_add_signed(more);
        }
    }

    /// Bytes of frames with their lengths in the books of a hub that runs: in, out.
    async fn booked(&self, hub: &Name) -> Option<[u64; 2]> {
        let handle = self.sites.get(hub)?.handle()?;
        let read = |replica: &mut Replica, _| {
            let live: Vec<PeerTraffic> = replica.live_traffic().into_values().collect();
            let peers = replica.inspect(|tx| tx.peers());
            peers.map(|peers| peers.into_iter().map(|peer| peer.traffic).chain(live).collect::<Vec<_>>())
        };
        let traffic = handle.call(read).await.ok()?.ok()?;
        Some(traffic.iter().fold([0; 2], |sum, it| [sum[0] + it.bytes_in, sum[1] + it.bytes_out]))
    }

    /// A hub's process may end, or its files be set back: what is in its books now has passed, whatever they say later.
    pub(super) async fn close_books(&mut self, name: &Name) {
        if self.plan.hubs.iter().any(|hub| hub.name == *name)
            && let Some(booked) = self.booked(name).await
        {
            self.closed.insert(name.clone(), booked);
        }
    }

    /// It runs again: the difference was forgotten.
    pub(super) async fn open_books(&mut self, name: &Name) {
        let Some(after) = self.booked(name).await else { return };
        let Some(before) = self.closed.remove(name) else { return };
        for ((sum, before), after) in self.forgotten.iter_mut().zip(before).zip(after) {
            *sum += before.cast_signed() - after.cast_signed();
        }
    }
}
