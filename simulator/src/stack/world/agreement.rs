//! Whether all agree after the healing, and what the run came to.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::Duration;

use hub::service::{AdminCommand, AdminReply, Health};
use sync_core::replica::Replica;
use sync_core::store::PeerTraffic;
use tokio::time::sleep;

use super::{Outcome, Todo, World};
use crate::plan::Name;

/// How often agreement is looked for after the healing.
const AGREEMENT_EVERY: Duration = Duration::from_secs(1);

impl World<'_> {
    /// Waits until every node runs what it should and every hub says so.
    pub(super) async fn agree(&mut self) -> Outcome {
        let healed = self.now();
        let mut outcome = Outcome {
            agreed_after: None,
            disagreement: None,
            broken: Vec::new(),
            wire_bytes: [0; 2],
            payload_bytes: [0; 2],
            lateness: crate::machines::Quantiles::default(),
            events: BTreeMap::new(),
        };
        loop {
            let passed = self.now() - healed;
            outcome.disagreement = self.disagreement().await;
            if outcome.disagreement.is_none() {
                outcome.agreed_after = Some(passed);
                break;
            }
            if passed >= self.plan.heal_within {
                break;
            }
            sleep(AGREEMENT_EVERY).await;
            self.watch();
            let due = self.now();
            while self.todo.peek().is_some_and(|todo| todo.0.0 <= due) {
                if let Some(Reverse((_, Todo::Start(name)))) = self.todo.pop() {
                    self.start(&name).await;
                }
            }
        }
        outcome.broken = std::mem::take(&mut self.broken);
        outcome.events = std::mem::take(&mut self.events);
        outcome.lateness = self.lateness();
        outcome
    }

    /// Why the fleet does not agree yet.
    async fn disagreement(&mut self) -> Option<String> {
        let mut versions = Vec::new();
        for hub in self.plan.hubs.iter().map(|hub| hub.name.clone()).collect::<Vec<_>>() {
            let Some(AdminReply::Nodes(list)) = self.ask(&hub, AdminCommand::ListNodes).await else {
                return Some(format!("{hub} does not answer"));
            };
            for name in &self.joined {
                if self.revoked.contains(name) {
                    continue;
                }
                let Some(node) = list.nodes.iter().find(|node| node.name.as_str() == &**name) else {
                    return Some(format!("{hub} does not know {name}"));
                };
                if node.desired.is_none() || node.desired != node.applied {
                    return Some(format!("{hub}: {name} runs {:?}, not {:?}", node.applied, node.desired));
                }
                if node.health != Health::Healthy {
                    return Some(format!("{hub}: {name} is {:?}", node.health));
                }
            }
            let Some(AdminReply::Layers(layers)) = self.ask(&hub, AdminCommand::ListLayers).await else {
                return Some(format!("{hub} does not answer"));
            };
            let summary: Vec<_> = layers.layers.iter().map(|it| (it.name.clone(), it.layer_version)).collect();
            versions.push((hub, summary));
        }
        let (first, rest) = versions.split_first()?;
        let other = rest.iter().find(|(_, layers)| *layers != first.1);
        other.map(|(hub, layers)| format!("{hub} has layers {layers:?}, {} has {:?}", first.0, first.1))
    }

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
            let live: Vec<PeerTraffic> = replica.live_traffic().into_iter().map(|(_, traffic)| traffic).collect();
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
