//! Starting processes, again and again; and the healing: whatever lasts ends, and all that is down starts.

use super::super::site::SiteError;
use super::{START_AGAIN, Todo, World};
use crate::net::line::Line;
use crate::plan::Name;
use crate::trace::Happening;

impl World<'_> {
    /// Ends whatever lasts.
    pub(super) async fn heal(&mut self) {
        self.is_healed = true;
        self.book.tell(Happening::Healed);
        for (name, fault) in self.lasting.keys().cloned().collect::<Vec<_>>() {
            self.finish(&name, fault).await;
        }
        let true_ms = i64::try_from(self.plan.start.0).unwrap_or(0) * 1000
            + i64::try_from(self.now().as_millis()).unwrap_or(i64::MAX);
        for site in self.sites.values() {
            site.mend_disk();
            site.wall().set(true_ms);
            site.wall().set_drift(0);
        }
        for (number, link) in self.plan.links.iter().enumerate() {
            self.change_link(number, link.changes.len().saturating_sub(1));
            if let (Some(from), Some(to)) = (self.member(&link.from), self.member(&link.to)) {
                self.internet.with_line(from, to, Line::lift_quota);
            }
        }
        self.watch();
        let joining = |todo: &Todo| if let Todo::Join(name, _) = todo { Some(name.clone()) } else { None };
        let joining: Vec<Name> = self.todo.iter().filter_map(|todo| joining(&todo.0.1)).collect();
        self.todo.clear();
        for name in joining {
            self.join(&name).await;
        }
        let up: Vec<Name> = self.plan.hubs.iter().map(|hub| hub.name.clone()).chain(self.joined.clone()).collect();
        for name in up {
            if self.rotted.contains(&name) {
                self.replace_disk(&name).await;
            }
            self.start(&name).await;
        }
        self.replace_refused().await;
    }

    /// Starts a process; a supervisor tries again when it does not come up. In a healed world somebody does what the
    /// message of a damaged database asks for.
    pub(in crate::stack) async fn start(&mut self, name: &Name) {
        let Some(site) = self.sites.get_mut(name) else { return };
        if site.handle().is_some() {
            return;
        }
        let mut result = site.start().await;
        let is_doubtful = self.doubtful.contains(name);
        let is_damaged = result.as_ref().is_err_and(SiteError::is_damage);
        if is_damaged && !is_doubtful {
            self.broken.push(format!("invariant 2: the database of {name} is damaged, on a disk that kept its word"));
        }
        // What a disk that lied has lost may show anywhere.
        let helps = is_damaged || is_doubtful && result.is_err();
        if helps && self.is_healed && self.give_back(name) {
            self.tell_of_another_disk(name);
            let Some(site) = self.sites.get_mut(name) else { return };
            result = site.start().await;
        }
        if let Err(error) = result {
            tracing::warn!(member = %name, %error, "does not start");
            let at = self.now() + START_AGAIN;
            self.put(at, Todo::Start(name.clone()));
        }
        self.read_reports(name);
        self.open_books(name).await;
    }

    /// Of two copies of a node the hubs may have taken the one that is gone now. What is left is refused for good, and somebody
    /// does what the message asks for: it joins anew.
    pub(super) async fn replace_refused(&mut self) {
        for name in std::mem::take(&mut self.refused) {
            self.replace_disk(&name).await;
            self.start(&name).await;
        }
    }

    async fn replace_disk(&mut self, name: &Name) {
        let Some(site) = self.sites.get_mut(name) else { return };
        site.stop().await;
        self.give_back(name);
        self.tell_of_another_disk(name);
    }

    /// The checks are told of a store that is not what it was, as after any other loss.
    pub(super) fn tell_of_another_disk(&mut self, name: &Name) {
        self.book.tell(Happening::Fault { member: (&**name).into(), kind: "wipe-store".into(), mattered: true });
    }
}
