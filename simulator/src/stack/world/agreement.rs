//! Whether all agree after the healing, and what the run came to.

use std::time::Duration;

use hub::service::{AdminCommand, AdminReply, Health};
use tokio::time::sleep;

use super::{Outcome, World};
use crate::holding::Look;
use crate::trace::Happening;

/// How often agreement is looked for after the healing.
const AGREEMENT_EVERY: Duration = Duration::from_secs(1);

impl World<'_> {
    /// Waits until every node runs what it should and every hub says so.
    pub(super) async fn agree(&mut self) -> Outcome {
        let healed = self.now();
        let mut outcome = Outcome::default();
        loop {
            let passed = self.now() - healed;
            outcome.disagreement = match self.disagreement().await {
                None => self.difference().await,
                why => why,
            };
            if outcome.disagreement.is_none() {
                outcome.agreed_after = Some(passed);
                self.book.tell(Happening::Agreed);
                break;
            }
            if passed >= self.plan.heal_within || !self.broken.is_empty() {
                break;
            }
            sleep(AGREEMENT_EVERY).await;
            self.watch();
            self.start_due(self.now()).await;
            self.check(&[], Look::Frontiers).await;
        }
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
                if self.is_apart(name) {
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
}
