//! Shows the checks what happens in the world and what its members hold.

use std::collections::BTreeMap;
use std::time::Duration;

use sync_core::replica::Replica;
use sync_core::state::ObjectHash;
use sync_core::store::StoreError;

use super::{Outcome, World};
use crate::checks::{self, Held};
use crate::holding::{Holding, Look};
use crate::plan::{Action, Event, Name};
use crate::scenario::Kind;
use crate::trace::{Happening, Member, Told};

/// How often all stores are read as far as what was acknowledged.
const READ_EVERY: Duration = Duration::from_secs(15 * 60);

/// How often every change is read.
const READ_CHANGES_EVERY: Duration = Duration::from_secs(4 * 3600);

impl World<'_> {
    /// Reads the store of the member to which something happened. What workloads report happens too often for that.
    pub(super) async fn check_after(&mut self, event: &Event) {
        if matches!(event.action, Action::Status { .. }) {
            return;
        }
        let is_release = matches!(event.action, Action::Edit { .. } | Action::Release { .. });
        let unread = self.unread;
        self.check_with(std::slice::from_ref(&event.on), Look::Frontiers, is_release).await;
        if is_release && self.unread > unread {
            self.checks.missed_a_release();
        }
    }

    pub(super) async fn check_now_and_then(&mut self, at: Duration) {
        let is_due = |every: Duration| at.as_secs().is_multiple_of(every.as_secs());
        if is_due(READ_CHANGES_EVERY) {
            self.check_all(Look::Changes).await;
        } else if is_due(READ_EVERY) {
            self.check_all(Look::Acknowledged).await;
        }
    }

    /// Reads the stores of all members that run.
    pub(super) async fn check_all(&mut self, look: Look) {
        let all: Vec<Name> = self.sites.keys().cloned().collect();
        self.check(&all, look).await;
    }

    /// Shows what happened, and what these members hold, in the order in which that was so.
    pub(super) async fn check(&mut self, members: &[Name], look: Look) {
        self.check_with(members, look, look >= Look::Changes).await;
    }

    /// The same; `wanted`: of hubs also what nodes are to hold.
    async fn check_with(&mut self, members: &[Name], look: Look, wanted: bool) {
        for name in members.iter().filter(|_| !self.checks.is_idle()).collect::<Vec<_>>() {
            let Some(read) = self.read(name, look, wanted).await else { continue };
            let Ok(Read { length, at, holding, target }) = read else {
                self.unread += 1;
                continue;
            };
            self.show(length);
            let member: Member = (&**name).into();
            self.checks.held(&Held { member: &member, at, holding: &holding, target: target.as_ref() });
            if let Some(stamp) = &holding.agent.applied {
                self.book.tell_applied(&member, stamp);
            }
        }
        self.show(self.book.length());
        for broken in self.checks.take_broken() {
            self.broken.push(broken.to_string());
            self.book.tell(Happening::Broken { invariant: broken.invariant, sentence: broken.sentence });
        }
    }

    async fn read(&self, name: &Name, look: Look, wanted: bool) -> Option<Result<Read, StoreError>> {
        let site = self.sites.get(name)?;
        let (book, target, keeps_target) = (self.book.clone(), site.target().clone(), site.guest.is_none());
        let read = move |replica: &mut Replica| -> Result<Read, StoreError> {
            let (length, at) = (book.length(), book.now());
            let mut holding = Holding::read(replica, look)?;
            if wanted {
                holding = holding.with_wanted(replica)?;
            }
            let target = (look >= Look::Acknowledged && keeps_target).then(|| target.hashes());
            Ok(Read { length, at, holding, target })
        };
        site.handle()?.call(move |replica, _| read(replica)).await.ok()
    }

    fn show(&mut self, length: u64) {
        for entry in self.book.take(length) {
            self.note_copies(&entry.what);
            self.checks.happened(&entry);
        }
    }

    fn note_copies(&mut self, what: &Happening) {
        if let Happening::Replica { event: Told::Cloned(_) | Told::RefusedAsClone(_), .. } = what {
            self.has_seen_a_twin = true;
        }
        if let Happening::Fault { member, kind, .. } = what
            && **kind == *Kind::CloneDisk.name()
        {
            self.copied.insert((&**member).into());
        }
        if let Happening::Replica { member, event: Told::RefusedAsClone(_) } = what
            && self.copied.contains(&**member)
        {
            self.refused.insert((&**member).into());
        }
        if let Happening::LinkLive { member, .. } = what {
            self.refused.remove(&**member);
        }
    }

    /// Whether nothing is asked of a node in the end: its enrolment was taken back, or somebody else has its key.
    pub(super) fn is_apart(&self, name: &Name) -> bool {
        self.revoked.contains(name) || self.checks.facts().of(name).is_hostile
    }

    /// What honest members still differ in, by their stores.
    pub(super) async fn difference(&mut self) -> Option<String> {
        let mut holdings = BTreeMap::new();
        let hubs = self.plan.hubs.iter().map(|hub| hub.name.clone());
        for name in hubs.chain(self.joined.clone()).collect::<Vec<_>>() {
            if self.is_apart(&name) {
                continue;
            }
            let Some(holding) = self.hold(&name, Look::Frontiers).await else {
                return Some(format!("{name} cannot be read"));
            };
            holdings.insert(Member::from(&*name), holding);
        }
        checks::difference(self.checks.facts(), &holdings)
    }

    /// What the run came to.
    pub(super) async fn conclude(&mut self, outcome: &mut Outcome) {
        let nodes: Vec<Name> = self.joined.iter().filter(|name| !self.is_apart(name)).cloned().collect();
        for name in nodes {
            if let Some(holding) = self.hold(&name, Look::Frontiers).await {
                outcome.ending.insert((&*name).into(), holding.agent.objects);
            }
        }
        outcome.broken = std::mem::take(&mut self.broken);
        outcome.events = std::mem::take(&mut self.events);
        outcome.verdicts = self.checks.verdicts().collect();
        outcome.unread = self.unread;
        outcome.last = self.book.with_trace(|trace| trace.last().map(ToString::to_string).collect());
    }
}

/// A store as it was read, and the target at the same moment.
struct Read {
    /// The length of the book then.
    length: u64,
    at: u64,
    holding: Holding,
    target: Option<BTreeMap<String, ObjectHash>>,
}
