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
    /// What the disk had done wrong of this before.
    effects: u64,
    /// Another one of its kind that began meanwhile may last longer.
    until: Duration,
}

impl World<'_> {
    /// Carries out an event, tells of it, and counts it.
    pub(super) async fn carry_out(&mut self, number: usize, event: &Event) {
        let (name, what) = (event.on.clone(), event.action.name());
        let unsettled = if event.action.is_work() { false } else { self.is_unsettled(&name).await };
        let mattered = self.matters(number, event, unsettled).await;
        let fault = lasting(number, &event.action);
        let effects = fault.map_or(0, |fault| self.effects(&name, fault));
        if !self.act(number, event).await {
            return;
        }
        if !matches!(event.action, Action::Hostile { .. }) {
            // An attack is reached when it has met a hub, which its end shows.
            self.reach(&event.action);
        }
        if event.action == Action::Join {
            // Told when it has joined, which may be later.
            return;
        }
        if event.action.is_work() {
            let mut word = what.to_owned();
            if let Action::Edit { layer: about, .. } | Action::Revoke { node: about } = &event.action {
                word = format!("{what} {about}");
            }
            if let Action::Release { back: 1.. } = &event.action {
                "roll-back".clone_into(&mut word);
            }
            let work = Work::Other { word: word.into() };
            self.book.tell(Happening::Work { member: (&*name).into(), work });
            return;
        }
        if let Some(fault) = fault {
            let until = self.now() + event.action.lasts().unwrap_or_default();
            let before = self.lasting.get(&(name.clone(), fault)).map_or(Duration::ZERO, |before| before.until);
            self.lasting
                .insert((name.clone(), fault), Lasting { kind: what, mattered, effects, until: until.max(before) });
        }
        self.mattered(what, mattered);
        self.book.tell(Happening::Fault { member: (&*name).into(), kind: what.into(), mattered });
    }

    /// A fault that lasts ends.
    pub(super) async fn finish(&mut self, name: &Name, fault: Fault) {
        let is_over = |begun: &Lasting| self.is_healed || begun.until <= self.now();
        if self.lasting.get(&(name.clone(), fault)).is_some_and(|begun| !is_over(begun)) {
            return;
        }
        let begun = self.lasting.remove(&(name.clone(), fault));
        let at_end = match (fault, begun) {
            (_, None) => false,
            (Fault::DiskFull | Fault::LyingSyncs | Fault::IoErrors, Some(begun)) => {
                self.effects(name, fault) > begun.effects
            }
            (Fault::Attack(number), Some(_)) => self.has_met_a_hub(number),
            (Fault::Pause, Some(_)) => self.is_unsettled(name).await,
            (Fault::Twin, Some(_)) => self.has_seen_a_twin,
            (Fault::Drift, Some(begun)) => begun.mattered,
        };
        self.end(name, fault).await;
        let Some(begun) = begun else { return };
        if let (Fault::Attack(_), true) = (fault, at_end) {
            self.events.entry(begun.kind).or_default().reached += 1;
        }
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

    /// How often the disk has done this wrong.
    fn effects(&self, name: &Name, fault: Fault) -> u64 {
        let effects = self.sites.get(name).map(|site| site.disk().effects()).unwrap_or_default();
        match fault {
            Fault::DiskFull => effects.full,
            Fault::LyingSyncs => effects.syncs_lied,
            Fault::IoErrors => effects.reads_failed + effects.writes_failed + effects.syncs_failed,
            Fault::Pause | Fault::Drift | Fault::Twin | Fault::Attack(_) => 0,
        }
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

/// What the event of this number begins, if it lasts.
fn lasting(number: usize, action: &Action) -> Option<Fault> {
    let others = [
        (matches!(action, Action::Pause { .. }), Fault::Pause),
        (matches!(action, Action::DiskFull { .. }), Fault::DiskFull),
        (matches!(action, Action::LyingFsync { .. }), Fault::LyingSyncs),
        (matches!(action, Action::IoErrors { .. }), Fault::IoErrors),
        (matches!(action, Action::Hostile { .. }), Fault::Attack(number)),
        (matches!(action, Action::ClockDrift { .. }), Fault::Drift),
        (matches!(action, Action::CloneDisk { .. }), Fault::Twin),
    ];
    others.into_iter().find_map(|(is_this, fault)| is_this.then_some(fault))
}
