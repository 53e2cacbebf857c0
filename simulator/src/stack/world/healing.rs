//! The healing: whatever lasts ends, and all that is down starts.

use super::{Todo, World};
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
