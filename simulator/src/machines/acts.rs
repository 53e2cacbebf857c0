//! What an event of a plan does to a member.

use std::sync::Arc;

use hub::admin::answer;
use hub::service::fleet::{FleetCommand, NodeRequest};
use hub::service::{AdminCommand, AdminReply};
use sync_core::replica::Replica;
use sync_core::store::Store;

use super::eyes::Note;
use super::figures::has_place;
use super::member::{Medium, Member, Process};
use super::part::{Due, Part};
use super::set_up::id;
use super::{Micros, micros};
use crate::plan::{Action, Event, Name};
use crate::workload::files::Edit;
use crate::workload::remark;

impl Part<'_> {
    /// Carries out the event of this number; whether it took effect.
    pub(super) fn act(&mut self, number: usize, member: usize, event: &Event) -> bool {
        if !has_place(&event.action) {
            return false;
        }
        match &event.action {
            Action::Join => {
                if !event.at.is_zero() {
                    self.join(member, false);
                }
                true
            }
            Action::Crash { down } => self.crash(member, micros(*down)),
            Action::PowerLoss { down, .. } => self.lose_power(member, micros(*down)),
            Action::Pause { lasts } => self.pause(member, micros(*lasts)),
            Action::Restart => self.restart(member),
            Action::RestoreBackup { .. } => self.restore(number, member),
            Action::CloneDisk { lasts } => self.clone_disk(number, member, micros(*lasts)),
            Action::WipeStore => self.wipe(member),
            Action::Clock1970 => self.clock(member, |it, now| it.wall.set(now, 0)),
            Action::ClockJump { by } => self.clock(member, |it, now| it.wall.jump(now, by.0)),
            Action::ClockDrift { drift, lasts } => {
                self.queue.put(self.now + micros(*lasts), Due::Drift { member });
                self.clock(member, |it, now| it.wall.set_drift(now, it.clock.drift.0.saturating_add(drift.0)))
            }
            Action::AddressChange => {
                self.lose_connections(member);
                true
            }
            Action::Edit { layer, release, .. } => {
                self.edit_files(event);
                self.apply_layer(member, layer, *release)
            }
            Action::Release { back: 0 } => self.make_release(member),
            Action::Release { back } => self.go_back(member, *back),
            Action::Status { values } => self.say(member, *values, event.draw),
            Action::TargetEdit { objects } => {
                let Some(it) = self.members.get(member).filter(|it| it.is_up()) else { return false };
                let edit = |number: &u32| it.target.edit_by_hand(u64::from(event.draw) + u64::from(*number)).is_some();
                let count = (0..*objects).filter(edit).count();
                self.want_look(member);
                count > 0
            }
            Action::Revoke { node } => {
                let command = AdminCommand::Fleet(FleetCommand::RevokeNode(NodeRequest { name: id(node) }));
                let is_done = self.ask(member, command).is_some();
                if let Some(it) = self.by_name.get(node).and_then(|node| self.members.get_mut(*node)) {
                    it.is_revoked |= is_done;
                }
                is_done
            }
            Action::DiskFull { .. }
            | Action::BitRot { .. }
            | Action::LyingFsync { .. }
            | Action::IoErrors { .. }
            | Action::NatRebind
            | Action::Hostile { .. } => false,
        }
    }

    /// Asks a hub; `None` when it does not run or refuses.
    pub(super) fn ask(&mut self, member: usize, command: AdminCommand) -> Option<AdminReply> {
        let it = self.members.get_mut(member).filter(|it| it.is_up())?;
        let now = it.now(self.now);
        let running = it.running()?;
        let reply = answer(&mut running.replica, now, running.context.as_ref()?, command);
        self.finish(member, None);
        match reply {
            Ok(reply) => Some(reply),
            Err(error) => {
                tracing::info!(%error, "a hub refused");
                None
            }
        }
    }

    /// Somebody edits the files of a layer, whichever hub they are meant for.
    pub(super) fn edit_files(&mut self, event: &Event) {
        if let Action::Edit { layer, objects: change, add, remove, .. } = event.action.clone() {
            self.files.edit(&layer, Edit { change, add, remove }, event.draw);
        }
    }

    fn apply_layer(&mut self, member: usize, layer: &Name, release: bool) -> bool {
        let Some(content) = self.files.layer(layer) else { return false };
        let command = AdminCommand::ApplyLayer { name: id(layer), objects: content.keyed(), release };
        let Some(AdminReply::LayerApplied(applied)) = self.ask(member, command) else { return false };
        if let Some(version) = applied.release_version {
            self.releases.push((self.now, version));
            self.files.note_release(Some(layer));
        }
        true
    }

    fn make_release(&mut self, member: usize) -> bool {
        let reply = self.ask(member, AdminCommand::Release { layers: Vec::new() });
        let Some(AdminReply::Released(released)) = &reply else { return false };
        self.releases.push((self.now, released.release_version));
        self.files.note_release(None);
        true
    }

    /// Somebody takes the files of an older release and releases them.
    fn go_back(&mut self, member: usize, back: u32) -> bool {
        if !self.members.get(member).is_some_and(Member::is_up) {
            return false;
        }
        let Some(changed) = self.files.go_back(back) else { return false };
        changed.iter().all(|layer| self.apply_layer(member, layer, false)) && self.make_release(member)
    }

    /// Workloads of a node report another status.
    fn say(&mut self, member: usize, values: u32, draw: u32) -> bool {
        let Some(it) = self.members.get(member) else { return false };
        let super::member::Role::Node(node) = it.role else { return false };
        let workloads = self.plan.nodes.get(node).map_or(0, |node| node.workloads);
        let keys = it.target.first_keys(workloads as usize);
        for number in 0..values {
            let place = (u64::from(draw) + u64::from(number)).checked_rem(keys.len() as u64).unwrap_or(0);
            let Some(key) = keys.get(usize::try_from(place).unwrap_or(0)) else { return false };
            it.target.set_remark(key, &remark(draw, number));
        }
        self.want_look(member);
        values > 0
    }

    fn clock(&mut self, member: usize, change: impl FnOnce(&mut Member, Micros)) -> bool {
        let now = self.now;
        let Some(it) = self.members.get_mut(member) else { return false };
        change(it, now);
        true
    }

    /// The clock runs as planned again; at the healing it shows the true time and runs with it.
    pub(super) fn set_clock_right(&mut self, member: usize, is_true: bool) {
        let start = i64::try_from(self.plan.start.0).unwrap_or(0) * 1000;
        self.clock(member, |it, now| {
            it.wall.set_drift(now, if is_true { 0 } else { it.clock.drift.0 });
            if is_true {
                it.wall.set(now, start + i64::try_from(now / 1000).unwrap_or(i64::MAX));
            }
        });
    }

    /// Ends a process: with a goodbye, or as if it were killed.
    pub(super) fn stop(&mut self, member: usize, in_order: bool) {
        let Some(it) = self.members.get_mut(member) else { return };
        it.still_since = None;
        it.held.clear();
        let now = it.now(self.now);
        let Some(running) = it.running() else { return };
        if in_order {
            let result = running.replica.shut_down(now);
            self.report(member, result);
            self.finish(member, None);
        }
        self.cut_off(member, !in_order);
        if let Some(it) = self.members.get_mut(member) {
            it.end(in_order);
        }
        self.note(member, &Note::Stopped { in_order });
    }

    fn start_in(&mut self, member: usize, wait: Micros) {
        let at = self.now + wait;
        if let Some(it) = self.members.get_mut(member) {
            it.start_at = Some(at);
            self.queue.put(at, Due::Start { member });
        }
    }

    pub(super) fn handle_start(&mut self, member: usize) {
        if self.members.get(member).is_some_and(|it| it.start_at == Some(self.now)) {
            self.start(member);
        }
    }

    /// Starts a process, if it is off, and lets it do what it does first.
    pub(super) fn start(&mut self, member: usize) {
        let now = self.now;
        let Some(it) = self.members.get_mut(member) else { return };
        let result = it.start(now);
        if !self.report(member, result).unwrap_or(false) {
            return;
        }
        self.counts.starts += 1;
        let Some(it) = self.members.get(member) else { return };
        let (boot, dialers) = (it.boots, it.dialers.len());
        self.note(member, &Note::Started { boot });
        self.advertise(member);
        self.want_pass(member, now);
        self.finish(member, None);
        for dialer in 0..dialers {
            let turn = self.members.get(member).and_then(|it| it.dialers.get(dialer)).map_or(0, |it| it.turn);
            self.queue.put(now, Due::Dial { member, dialer, turn });
        }
        self.back_up_young(member);
    }

    fn crash(&mut self, member: usize, down: Micros) -> bool {
        if self.members.get_mut(member).and_then(Member::running).is_none() {
            return false;
        }
        self.stop(member, false);
        self.start_in(member, down);
        true
    }

    fn lose_power(&mut self, member: usize, down: Micros) -> bool {
        if !self.crash(member, down) {
            return false;
        }
        self.clock(member, |it, now| {
            it.target.lose_power();
            if !it.clock.keeps_time {
                it.wall.set(now, 0);
            }
        })
    }

    fn restart(&mut self, member: usize) -> bool {
        if !self.members.get(member).is_some_and(Member::is_up) {
            return false;
        }
        let wait = self.longest_round_trip(member);
        self.stop(member, true);
        self.start_in(member, wait);
        true
    }

    fn pause(&mut self, member: usize, lasts: Micros) -> bool {
        let now = self.now;
        let Some(it) = self.members.get_mut(member).filter(|it| it.is_up()) else { return false };
        it.still_since = Some(now);
        self.tell_quiet(member, true);
        self.queue.put(now + lasts, Due::GoOn { member });
        true
    }

    pub(super) fn go_on(&mut self, member: usize) {
        let now = self.now;
        let Some(it) = self.members.get_mut(member) else { return };
        if it.still_since.take().is_none() {
            return;
        }
        for due in std::mem::take(&mut it.held) {
            // A pass is known by its time.
            if let (Due::Pass { .. } | Due::Timeout { .. }, Process::Runs(running)) = (&due, &mut it.process) {
                let (pass, timeout) = (&mut running.pass_at, &mut running.timeout_at);
                let set = if matches!(due, Due::Pass { .. }) { pass } else { timeout };
                *set = set.map(|_| now);
            }
            self.queue.put(now, due);
        }
        self.tell_quiet(member, false);
    }

    /// Copies the files for an event to come; of a member that has none yet, once it has.
    pub(super) fn back_up(&mut self, member: usize, event: usize) {
        let Some(it) = self.members.get(member) else { return };
        if let Some(copy) = it.copy(&event.to_string()) {
            self.backups.insert(event, copy);
        }
    }

    /// Backups that were due before the member's first start.
    fn back_up_young(&mut self, member: usize) {
        let plan = self.plan;
        let Some(it) = self.members.get(member).filter(|it| it.boots == 1 && it.needs_disk) else { return };
        let name = it.name.clone();
        let is_due = |number: &usize| {
            let event = plan.events.get(*number).filter(|event| event.on == name);
            matches!(event, Some(Event { action: Action::RestoreBackup { age }, at, .. })
                if micros(at.saturating_sub(*age)) <= self.now)
        };
        let due: Vec<usize> = self.events.iter().copied().filter(is_due).collect();
        due.into_iter().for_each(|event| self.back_up(member, event));
    }

    fn restore(&mut self, number: usize, member: usize) -> bool {
        let Some(copy) = self.backups.remove(&number) else { return false };
        if !self.members.get(member).is_some_and(Member::is_up) {
            self.backups.insert(number, copy);
            return false;
        }
        self.stop(member, true);
        if let Some(it) = self.members.get_mut(member) {
            it.process = Process::Off(Medium::Disk(copy));
        }
        self.start_in(member, 0);
        true
    }

    fn clone_disk(&mut self, number: usize, member: usize, lasts: Micros) -> bool {
        let Some(twin) = self.twins.get(&number).copied() else { return false };
        let Some(it) = self.members.get(member).filter(|it| it.is_up()) else { return false };
        let Some(copy) = it.copy(&number.to_string()) else { return false };
        let (identity, joined_at) = (it.identity.clone(), it.joined_at.clone());
        let Some(it) = self.members.get_mut(twin) else { return false };
        it.process = Process::Off(Medium::Disk(copy));
        it.joined_at = joined_at;
        if let Some(identity) = identity {
            it.set_identity(identity);
        }
        self.start(twin);
        self.queue.put(self.now + lasts, Due::EndTwin { member: twin });
        true
    }

    fn wipe(&mut self, member: usize) -> bool {
        if !self.members.get(member).is_some_and(Member::is_up) {
            return false;
        }
        self.stop(member, true);
        let Some(it) = self.members.get_mut(member) else { return false };
        let Some(identity) = it.identity.clone() else { return false };
        let made = it.wiped(&identity);
        if let Some(medium) = self.report(member, made)
            && let Some(it) = self.members.get_mut(member)
        {
            it.process = Process::Off(medium);
        }
        self.start_in(member, 0);
        true
    }

    /// Ends everything that lasts.
    pub(super) fn heal(&mut self, now: Micros) {
        self.now = now;
        self.is_healed = true;
        for member in 0..self.members.len() {
            let Some(it) = self.members.get(member) else { continue };
            if it.is_twin() {
                self.stop(member, false);
                continue;
            }
            self.go_on(member);
            self.set_clock_right(member, true);
            self.start(member);
            self.note(member, &Note::Healed);
        }
    }
}

impl Member {
    /// New files with nothing but its identity in them.
    fn wiped(&self, identity: &Arc<sync_core::identity::Identity>) -> Result<Medium, String> {
        let text = |error: &dyn std::fmt::Display| error.to_string();
        let (mut store, disk): (Store, _) = self.new_medium().and_then(Medium::open).map_err(|error| text(&error))?;
        Replica::init(&mut store, identity, &mut self.drawn("wiped")).map_err(|error| text(&error))?;
        Ok(Medium::of(store, disk))
    }
}
