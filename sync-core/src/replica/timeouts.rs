//! When sessions and notes want to be called: a hub with ten thousand links must not look at all of them after each frame.

use std::collections::BTreeSet;

use super::{Now, Replica};
use crate::env::Instant;
use crate::id::LinkId;
use crate::store::StoreError;

/// The links whose sessions wait for something, by when they have waited too long. No more than there are links.
#[derive(Debug, Default)]
pub(super) struct Timeouts(BTreeSet<(Instant, LinkId)>);

impl Timeouts {
    /// The link has no such time any more.
    pub(super) fn forget(&mut self, id: LinkId, timeout: Option<Instant>) {
        if let Some(at) = timeout {
            self.0.remove(&(at, id));
        }
    }
}

impl Replica {
    /// When [`Replica::handle_timeout`] wants to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timeouts.0.first().map(|(at, _)| *at).into_iter().chain(self.contacts.due()).min()
    }

    /// Lets time-outs pass.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn handle_timeout(&mut self, now: Now) -> Result<(), StoreError> {
        if self.contacts.due().is_some_and(|due| due <= now.instant) {
            self.write_down_contacts()?;
        }
        let due = self.timeouts.0.iter().take_while(|(at, _)| *at <= now.instant);
        let due: Vec<LinkId> = due.map(|(_, id)| *id).collect();
        for id in due {
            if let Some(link) = self.links.get_mut(&id) {
                link.session.handle_timeout(now.instant);
            }
            self.carry_out(now, id)?;
        }
        Ok(())
    }

    /// Notes when the link's session wants to be called now. After an input.
    pub(super) fn keep_timeout(&mut self, id: LinkId) {
        let Some(link) = self.links.get_mut(&id) else { return };
        let timeout = link.session.poll_timeout();
        if timeout != link.timeout {
            self.timeouts.forget(id, link.timeout);
            self.timeouts.0.extend(timeout.map(|at| (at, id)));
            link.timeout = timeout;
        }
    }
}
