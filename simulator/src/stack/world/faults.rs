//! Carries events out, and tells of each fault whether it hit a state in which it matters.

use std::time::Duration;

use super::{Fault, Todo, World};
use crate::holding::{Holding, Look};
use crate::plan::{Action, Event, Name};
use crate::scenario::LinkState;
use crate::stack::site::Site;
use crate::trace::{Happening, Work};

/// What a link that goes down is called among faults.
const LINK_DOWN: &str = "link-down";

/// A fault that lasts, as it began.
#[derive(Debug, Clone, Copy)]
pub(in crate::stack) struct Lasting {
    kind: &'static str,
    mattered: bool,
    /// What the disk had done wrong before.
    effects: u64,
}

impl World<'_> {
    /// Carries out an event, tells of it, and counts it.
    pub(super) async fn carry_out(&mut self, number: usize, event: &Event) {
        let (name, what) = (event.on.clone(), event.action.name());
        let unsettled = if event.action.is_work() { false } else { self.is_unsettled(&name).await };
        let mattered = self.matters(number, event, unsettled).await;
        let effects = self.effects(&name);
        if !self.act(number, event).await {
            return;
        }
        self.reach(&event.action);
        if event.action == Action::Join {
            // Told when it has joined, which may be later.
            return;
        }
        if event.action.is_work() {
            let mut word = what.to_owned();
            if let Action::Edit { layer: about, .. } | Action::Revoke { node: about } = &event.action {
                word = format!("{what} {about}");
            }
            let work = Work::Other { word: word.into() };
            self.book.tell(Happening::Work { member: (&*name).into(), work });
            return;
        }
        if let Some(fault) = lasting(&event.action) {
            self.lasting.insert((name.clone(), fault), Lasting { kind: what, mattered, effects });
        }
        self.mattered(what, mattered);
        self.book.tell(Happening::Fault { member: (&*name).into(), kind: what.into(), mattered });
    }

    /// A fault that lasts ends.
    pub(super) async fn finish(&mut self, name: &Name, fault: Fault) {
        let begun = self.lasting.remove(&(name.clone(), fault));
        let at_end = match (fault, begun) {
            (_, None) => false,
            (Fault::Disk, Some(begun)) => self.effects(name) > begun.effects,
            (Fault::Pause, Some(_)) => self.is_unsettled(name).await,
            (Fault::Twin, Some(_)) => self.has_seen_a_twin,
            (Fault::Drift, Some(begun)) => begun.mattered,
        };
        self.end(name, fault).await;
        let Some(begun) = begun else { return };
        if at_end && !begun.mattered {
            self.mattered(begun.kind, true);
        }
        let mattered = at_end || begun.mattered;
        self.book.tell(Happening::FaultEnded { member: (&**name).into(), kind: begun.kind.into(), mattered });
    }

    /// A link changes. Its going down is a fault like others: it matters when something waits to cross, at its begin or its end.
    pub(super) async fn turn_link(&mut self, number: usize, change: usize) {
        let Some(link) = self.plan.links.get(number) else { return };
        let state = |change: usize| link.changes.get(change).map(|change| change.state);
        let before = change.checked_sub(1).and_then(state);
        let (was_down, is_down) = (before == Some(LinkState::Down), state(change) == Some(LinkState::Down));
        let waits = if was_down || (is_down && before.is_some()) {
            self.is_unsettled(&link.from).await || self.has_news_for(&link.to, &link.from).await
        } else {
            false
        };
        self.change_link(number, change);
        let member = || (&*link.from).into();
        if was_down && !is_down {
            // Counted once: at its begin, or else at its end.
            let counted = self.mattering.remove(&number);
            self.mattered(LINK_DOWN, waits && !counted);
            self.book.tell(Happening::FaultEnded { member: member(), kind: LINK_DOWN.into(), mattered: waits });
        } else if is_down && before.is_some() && !was_down {
            let tally = self.events.entry(LINK_DOWN).or_default();
            (tally.planned, tally.reached) = (tally.planned + 1, tally.reached + 1);
            self.mattered(LINK_DOWN, waits);
            if waits {
                self.mattering.insert(number);
            }
            self.book.tell(Happening::Fault { member: member(), kind: LINK_DOWN.into(), mattered: waits });
        }
    }

    fn mattered(&mut self, kind: &'static str, mattered: bool) {
        self.events.entry(kind).or_default().mattered += u64::from(mattered);
    }

    async fn matters(&mut self, number: usize, event: &Event, unsettled: bool) -> bool {
        let name = &event.on;
        match &event.action {
            Action::RestoreBackup { .. } => {
                let copy = self.backups.get(&number).map(crate::disk::Disk::hash);
                copy.is_some() && copy != self.sites.get(name).map(|site| site.disk().hash())
            }
            Action::WipeStore => {
                let held = self.hold(name, Look::Frontiers).await;
                held.is_some_and(|held| held.agent.applied.is_some() || held.documents.len() > 1)
            }
            // What is flipped is found at the next read of it, or never.
            Action::BitRot { .. } => true,
            Action::Clock1970 | Action::ClockJump { .. } | Action::ClockDrift { .. } => {
                self.sites.get(name).is_some_and(|site| site.handle().is_some())
            }
            // Only what follows shows it.
            Action::CloneDisk { .. }
            | Action::DiskFull { .. }
            | Action::LyingFsync { .. }
            | Action::IoErrors { .. }
            | Action::Hostile { .. } => false,
            Action::Crash { .. }
            | Action::Pause { .. }
            | Action::Restart
            | Action::PowerLoss { .. }
            | Action::AddressChange
            | Action::NatRebind => unsettled,
            Action::Join
            | Action::Edit { .. }
            | Action::Release { .. }
            | Action::Status { .. }
            | Action::TargetEdit { .. }
            | Action::Revoke { .. } => true,
        }
    }

    fn effects(&self, name: &Name) -> u64 {
        let effects = self.sites.get(name).map(|site| site.disk().effects()).unwrap_or_default();
        effects.full + effects.reads_failed + effects.writes_failed + effects.syncs_failed + effects.syncs_lied
    }

    /// Whether the member has something that can be lost, or must be done again: unsynced writes, unflushed steps, transfers
    /// that are not whole, entries that a peer has not acknowledged, a report that nobody has, datagrams under way.
    async fn is_unsettled(&self, name: &Name) -> bool {
        let Some(site) = self.sites.get(name).filter(|site| site.handle().is_some()) else { return false };
        if site.disk().unsynced() > 0 || site.target().is_unflushed() || self.internet.is_awaited(site.member()) {
            return true;
        }
        let Some(held) = self.hold(name, Look::Acknowledged).await else { return true };
        held.sizes.is_some_and(|sizes| sizes.transfer.rows > 0)
            || held.peers.values().any(|peer| peer.feed.1 > 0 && !peer.is_revoked)
            || held.documents.values().any(|document| document.pending.is_some())
    }

    async fn has_news_for(&self, name: &Name, peer: &Name) -> bool {
        let Some(node) = self.identities.get(peer).map(sync_core::identity::Identity::id) else { return false };
        let Some(held) = self.hold(name, Look::Acknowledged).await else { return false };
        held.peers.get(&node).is_some_and(|peer| peer.feed.1 > 0)
    }

    /// What a member's store says; `None` when it does not run or cannot be read.
    pub(in crate::stack) async fn hold(&self, name: &Name, look: Look) -> Option<Holding> {
        let handle = self.sites.get(name).and_then(Site::handle)?;
        handle.call(move |replica, _| Holding::read(replica, look)).await.ok()?.ok()
    }

    /// Does what was due while agreement is waited for: only starts are left.
    pub(super) async fn start_due(&mut self, due: Duration) {
        while self.todo.peek().is_some_and(|todo| todo.0.0 <= due) {
            if let Some(std::cmp::Reverse((_, Todo::Start(name)))) = self.todo.pop() {
                self.start(&name).await;
            }
        }
    }
}

fn lasting(action: &Action) -> Option<Fault> {
    let is_disk = matches!(action, Action::DiskFull { .. } | Action::LyingFsync { .. } | Action::IoErrors { .. });
    let others = [
        (matches!(action, Action::Pause { .. }), Fault::Pause),
        (is_disk, Fault::Disk),
        (matches!(action, Action::ClockDrift { .. }), Fault::Drift),
        (matches!(action, Action::CloneDisk { .. }), Fault::Twin),
    ];
    others.into_iter().find_map(|(is_this, fault)| is_this.then_some(fault))
}
