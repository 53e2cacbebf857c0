//! What a member does by itself: an agent's passes, dialling, and a hub's line in the roster.

use std::time::Duration;

use edge_node::agent::{self, Look, PassResult};
use edge_node::hubs::candidates;
use sync_core::env::{Instant, no_witness};

use super::eyes::Note;
use super::member::{Member, address};
use super::part::{Due, Part};
use super::{LOOK_EVERY, Micros, micros, overhead};

/// How a link ended, as its dialer takes it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Lost {
    pub(super) retry_after: Option<Duration>,
    pub(super) is_revoked: bool,
    pub(super) has_restarted: bool,
}

impl Part<'_> {
    /// The agent is to look at its target at this time, or earlier.
    pub(super) fn want_pass(&mut self, member: usize, at: Micros) {
        let Some(it) = self.members.get_mut(member).filter(|it| !it.is_hub()) else { return };
        let Some(running) = it.running() else { return };
        if running.pass_at.is_none_or(|set| at < set) {
            running.pass_at = Some(at);
            self.queue.put(at, Due::Pass { member });
        }
    }

    /// Somebody has changed the target: the agent finds out when it looks next.
    pub(super) fn want_look(&mut self, member: usize) {
        self.want_pass(member, self.now + micros(LOOK_EVERY) / 2);
    }

    pub(super) fn handle_pass(&mut self, member: usize) {
        let Some(running) = self.members.get_mut(member).and_then(Member::running) else { return };
        if running.pass_at != Some(self.now) {
            return;
        }
        running.pass_at = None;
        let result = self.pass(member);
        let again = self.report(member, result).unwrap_or(true);
        if again {
            self.want_pass(member, self.now + micros(LOOK_EVERY));
        }
        self.finish(member, None);
    }

    /// One pass, as the agent's own loop makes it. Whether the next look may find something that this one left.
    fn pass(&mut self, member: usize) -> Result<bool, String> {
        self.counts.passes += 1;
        let Some(it) = self.members.get_mut(member) else { return Ok(false) };
        let now = it.now(self.now);
        let mut target = it.target.clone();
        let Some(running) = it.running() else { return Ok(false) };
        let replica = &mut running.replica;
        let mut pass = match running.pass.take().filter(|last| last.is_current(replica)) {
            Some(last) => last,
            None => agent::begin(replica).map_err(|error| error.to_string())?,
        };
        let (result, inventory) = match pass.look(&mut target, now) {
            Look::Done(result) => (result, None),
            Look::ToDo { wider, seen } => {
                let saved = wider.map_or(Ok(()), |wider| agent::save_inventory(replica, now, &wider));
                pass.carry_out(&mut target, &seen, saved, &no_witness())
            }
        };
        let has_said = inventory.is_none() && pass.has_said(&result);
        let committed =
            if has_said { Ok(()) } else { agent::commit(replica, now, &mut pass, &result, inventory.as_ref()) };
        for change in target.take_changes() {
            self.note(member, &Note::Target(&change));
        }
        if let Some(stamp) = pass.stamp().filter(|_| result.is_complete) {
            self.count_applied(member, stamp.release.version);
            if let Some(it) = self.members.get_mut(member)
                && it.applied.replace(stamp.release.version) != Some(stamp.release.version)
            {
                self.counts.applied += 1;
                self.note(member, &Note::Applied(stamp));
            }
        }
        if let Some(running) = self.members.get_mut(member).and_then(Member::running) {
            running.pass = Some(pass);
        }
        committed.map_err(|error| error.to_string())?;
        let PassResult { leaving, failed, target_error, .. } = result;
        Ok(leaving > 0 || !failed.is_empty() || target_error.is_some())
    }

    /// How late the node is with the releases up to this version that it had not applied.
    fn count_applied(&mut self, member: usize, version: u64) {
        let Some(it) = self.members.get_mut(member).filter(|it| !it.is_twin()) else { return };
        let Some(before) = it.applied.filter(|before| *before < version) else { return };
        let joined = it.joined.unwrap_or_default();
        for (at, _) in self.releases.iter().rev().take_while(|(_, made)| *made > before) {
            let late = self.now.saturating_sub((*at).max(joined));
            it.figures.stalest = it.figures.stalest.max(Duration::from_micros(late));
            self.lateness.push(late / 1000);
        }
    }

    pub(super) fn handle_dial(&mut self, member: usize, dialer: usize, turn: u32) {
        let keeper = self.members.get(member).and_then(|it| it.dialers.get(dialer));
        if keeper.is_some_and(|it| it.turn == turn && !it.is_dialling) {
            self.dial(member, dialer);
        }
    }

    /// Dials whoever is next.
    fn dial(&mut self, member: usize, dialer: usize) {
        let most = overhead::HANDSHAKE_TIMEOUT;
        let Some(it) = self.members.get_mut(member) else { return };
        let joined_at = it.joined_at.clone();
        let Some(running) = it.running() else { return };
        let written = running.replica.content_written();
        let addresses = match running.candidates.take().filter(|(at, _)| *at == written) {
            Some((_, addresses)) => addresses,
            None => {
                let Ok(roster) = running.replica.roster() else { return };
                candidates(&joined_at, &roster)
            }
        };
        running.candidates = Some((written, addresses.clone()));
        let Some(keeper) = it.dialers.get_mut(dialer).filter(|it| !it.has_ended) else { return };
        let (end, patience) = match keeper.end {
            Some(end) if it.ends.get(end).is_some_and(|end| end.connection.is_some()) => return,
            Some(end) => (Some(end), most),
            None => {
                keeper.addresses = addresses.len();
                let place = keeper.rounds.place(addresses.len());
                let Some(to) = addresses.get(place) else { return };
                let end = it.ends.iter().position(|end| address(&end.peer_name) == *to);
                (end, keeper.rounds.patience(addresses.len(), most))
            }
        };
        keeper.turn += 1;
        keeper.is_dialling = true;
        let turn = keeper.turn;
        self.counts.dials += 1;
        self.queue.put(self.now + micros(patience), Due::GiveUp { member, dialer, turn });
        if let Some(end) = end {
            self.begin(member, end, dialer);
        }
    }

    pub(super) fn handle_give_up(&mut self, member: usize, dialer: usize, turn: u32) {
        let Some(it) = self.members.get_mut(member) else { return };
        let keeper = it.dialers.get(dialer);
        if !keeper.is_some_and(|it| it.turn == turn && it.is_dialling) {
            return;
        }
        for end in &mut it.ends {
            end.dialling.take_if(|it| it.dialer == dialer);
        }
        self.lost(member, dialer, Lost::default(), false);
    }

    /// A try failed, or a link ended: what the agent's and the hub's own loops do then.
    pub(super) fn lost(&mut self, member: usize, dialer: usize, lost: Lost, is_live: bool) {
        let now = Instant(self.now);
        let Some(it) = self.members.get_mut(member) else { return };
        let Some(keeper) = it.dialers.get_mut(dialer) else { return };
        keeper.is_dialling = false;
        let was_live = is_live || lost.has_restarted;
        if was_live {
            keeper.dialer.handle_live();
            keeper.rounds.handle_live();
        }
        if lost.is_revoked {
            keeper.has_ended = true;
            return;
        }
        keeper.asked = keeper.asked.max(lost.retry_after);
        if keeper.end.is_none() && !was_live && keeper.rounds.handle_failure(keeper.addresses) {
            self.dial(member, dialer);
            return;
        }
        let super::member::Process::Runs(running) = &mut it.process else { return };
        let Instant(again) = keeper.dialer.handle_down(now, keeper.asked.take(), &mut running.entropy);
        let turn = keeper.turn;
        self.queue.put(again, Due::Dial { member, dialer, turn });
    }

    /// A hub writes its address into the roster once that knows it.
    pub(super) fn advertise(&mut self, member: usize) {
        let Some(it) = self.members.get_mut(member).filter(|it| it.is_hub()) else { return };
        let (now, own) = (it.now(self.now), vec![address(&it.name)]);
        let Some(running) = it.running().filter(|it| !it.is_advertised) else { return };
        let result = hub::founding::advertise(&mut running.replica, now, &own);
        let is_advertised = self.report(member, result).unwrap_or(false);
        if let Some(running) = self.members.get_mut(member).and_then(Member::running) {
            running.is_advertised = is_advertised;
        }
    }
}
