//! Asks hubs, as their administrators do.

use hub::service::{AdminCommand, AdminError, AdminReply};

use super::World;
use crate::plan::Name;
use crate::trace::{Happening, Work};

impl World<'_> {
    /// Asks a hub; `None` when it does not answer or refuses.
    pub(in crate::stack) async fn ask(&mut self, hub: &Name, command: AdminCommand) -> Option<AdminReply> {
        let answer = self.try_ask(hub, command).await?;
        answer.inspect_err(|error| tracing::info!(%hub, %error, "a hub refused")).ok()
    }

    /// Asks a hub; `None` when it does not answer.
    pub(super) async fn try_ask(
        &mut self,
        hub: &Name,
        command: AdminCommand,
    ) -> Option<Result<AdminReply, AdminError>> {
        let answer = self.sites.get(hub)?.ask(command).await?;
        if let Ok(reply) = &answer
            && let Some(version) = self.lateness.handle_reply(reply)
        {
            let work = Work::Release { version };
            self.book.tell(Happening::Work { member: (&**hub).into(), work });
        }
        Some(answer)
    }
}
