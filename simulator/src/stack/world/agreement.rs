//! Whether all agree after the healing, and what the run came to.

use std::time::Duration;

use hub::service::{AdminCommand, AdminReply};
use tokio::time::sleep;

use super::{Outcome, World};
use crate::answers::{self, Answers};
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
            self.replace_refused().await;
        }
        outcome.lateness = self.lateness();
        outcome
    }

    /// Why the fleet does not agree yet.
    async fn disagreement(&mut self) -> Option<String> {
        let mut answers = Vec::new();
        for hub in self.plan.hubs.iter().map(|hub| hub.name.clone()).collect::<Vec<_>>() {
            let Some(AdminReply::Nodes(nodes)) = self.ask(&hub, AdminCommand::ListNodes).await else {
                return Some(format!("{hub} does not answer"));
            };
            let Some(AdminReply::Layers(layers)) = self.ask(&hub, AdminCommand::ListLayers).await else {
                return Some(format!("{hub} does not answer"));
            };
            answers.push(Answers { hub: hub.to_string(), nodes, layers });
        }
        answers::disagreement(&answers, self.joined.iter().filter(|name| !self.is_apart(name)).map(|name| &**name))
    }
}
