//! Members that can reach each other, with one queue: takes what is due, hands it to the member, and carries out what that
//! wants.

use std::collections::BTreeMap;
use std::sync::Arc;

use sync_core::document::DocumentKind;
use sync_core::env::Instant;
use sync_core::identity::VerifiedPeer;
use sync_core::replica::{Event, Output};

use super::Micros;
use super::end::{Place, of_link};
use super::eyes::{Eyes, Note};
use super::figures::{Counts, Tally};
use super::member::Member;
use super::queue::Queue;
use crate::disk::Disk;
use crate::plan::{self, Plan};
use crate::workload::files::Files;

/// Something that is due at a member.
#[derive(Debug)]
pub(super) enum Due {
    /// A frame arrives.
    Frame { at: Place, number: u32, frame: Vec<u8> },
    /// The first packet of a handshake arrives.
    Hail { at: Place, number: u32, peer: Arc<VerifiedPeer> },
    /// Its answer arrives.
    Answer { at: Place, number: u32, peer: Arc<VerifiedPeer> },
    /// The first packet is sent again, after this wait, if nobody answered.
    Probe { member: usize, end: usize, number: u32, wait: Micros },
    /// A handshake has taken too long.
    GiveUp { member: usize, dialer: usize, turn: u32 },
    /// It is time to dial.
    Dial { member: usize, dialer: usize, turn: u32 },
    /// Nothing was heard for too long.
    Expire { member: usize, end: usize, number: u32, turn: u32 },
    /// What was stuck goes out.
    Flush { member: usize, end: usize, number: u32 },
    /// What was sent before the end has arrived.
    Closed { member: usize, end: usize, number: u32 },
    /// The peer has ended the connection.
    PeerClosed { at: Place, number: u32 },
    /// The peer's process is gone, and nothing says so.
    Gone { at: Place, number: u32 },
    /// The peer's process stands still, or goes on.
    Quiet { at: Place, number: u32, is_quiet: bool },
    /// The replica's own timer.
    Timeout { member: usize },
    /// The agent looks at its target.
    Pass { member: usize },
    /// A link is something else from now on, for this end.
    Link { member: usize, end: usize, link: usize, change: usize },
    /// A process starts.
    Start { member: usize },
    /// A process that stands still goes on.
    GoOn { member: usize },
    /// A clock runs as before.
    Drift { member: usize },
    /// A second machine is switched off.
    EndTwin { member: usize },
    /// A node tries to join again.
    Join { member: usize },
    /// A copy of the files is made, for the event of this number.
    Backup { member: usize, event: usize },
}

impl Due {
    /// To whom it happens.
    fn member(&self) -> usize {
        match self {
            Self::Frame { at, .. }
            | Self::Hail { at, .. }
            | Self::Answer { at, .. }
            | Self::PeerClosed { at, .. }
            | Self::Gone { at, .. }
            | Self::Quiet { at, .. } => at.member,
            Self::Probe { member, .. }
            | Self::GiveUp { member, .. }
            | Self::Dial { member, .. }
            | Self::Expire { member, .. }
            | Self::Flush { member, .. }
            | Self::Closed { member, .. }
            | Self::Timeout { member }
            | Self::Pass { member }
            | Self::Link { member, .. }
            | Self::Start { member }
            | Self::GoOn { member }
            | Self::Drift { member }
            | Self::EndTwin { member }
            | Self::Join { member }
            | Self::Backup { member, .. } => *member,
        }
    }

    /// Whether a process that stands still does not notice before it goes on.
    fn waits(&self) -> bool {
        match self {
            Self::Frame { .. }
            | Self::Hail { .. }
            | Self::Answer { .. }
            | Self::Probe { .. }
            | Self::GiveUp { .. }
            | Self::Dial { .. }
            | Self::Expire { .. }
            | Self::Flush { .. }
            | Self::Closed { .. }
            | Self::PeerClosed { .. }
            | Self::Timeout { .. }
            | Self::Pass { .. } => true,
            Self::Gone { .. }
            | Self::Quiet { .. }
            | Self::Link { .. }
            | Self::Start { .. }
            | Self::GoOn { .. }
            | Self::Drift { .. }
            | Self::EndTwin { .. }
            | Self::Join { .. }
            | Self::Backup { .. } => false,
        }
    }
}

/// A part of the world.
pub(super) struct Part<'p> {
    pub(super) plan: &'p Plan,
    pub(super) number: usize,
    pub(super) now: Micros,
    pub(super) members: Vec<Member>,
    pub(super) by_name: BTreeMap<plan::Name, usize>,
    pub(super) queue: Queue<Due>,
    /// What is due in other parts.
    pub(super) outbox: Vec<(usize, Micros, Due)>,
    /// Numbers of the plan's events that happen here, and how far they went.
    pub(super) events: Vec<usize>,
    pub(super) next_event: usize,
    pub(super) files: Files,
    /// The member that is the twin of an event.
    pub(super) twins: BTreeMap<usize, usize>,
    pub(super) backups: BTreeMap<usize, Disk>,
    /// Releases that hubs of this part made, with their versions.
    pub(super) releases: Vec<(Micros, u64)>,
    /// How late nodes applied releases, in milliseconds.
    pub(super) lateness: Vec<u64>,
    pub(super) last_change: Micros,
    pub(super) counts: Counts,
    pub(super) tallies: BTreeMap<&'static str, Tally>,
    pub(super) broken: Vec<String>,
    pub(super) is_healed: bool,
    pub(super) eyes: Box<dyn Eyes>,
}

/// Broken things that are kept: the first says most.
const BROKEN_MAX: usize = 100;

impl Part<'_> {
    /// When something is due next.
    pub(super) fn next_at(&self) -> Option<Micros> {
        let event = self.next_event_at();
        let due = self.queue.next_at();
        event.into_iter().chain(due).min()
    }

    fn next_event_at(&self) -> Option<Micros> {
        let number = self.events.get(self.next_event)?;
        self.plan.events.get(*number).map(|event| super::micros(event.at))
    }

    /// Does everything that is due before `until`.
    pub(super) fn run_until(&mut self, until: Micros, mut told: impl FnMut(Micros)) {
        while self.next_at().is_some_and(|at| at < until) {
            self.step();
            told(self.now);
        }
    }

    /// Does the next thing. What is due comes before an event of the same time: a link that is cut then is cut before, as at
    /// depth 2.
    pub(super) fn step(&mut self) {
        let due_at = self.queue.next_at();
        if let Some(at) = self.next_event_at()
            && due_at.is_none_or(|due| at < due)
        {
            self.now = at;
            let number = self.events.get(self.next_event).copied().unwrap_or_default();
            self.next_event += 1;
            self.happen(number);
        } else if let Some((at, due)) = self.queue.pop() {
            self.now = at;
            self.take(due);
        }
    }

    fn take(&mut self, due: Due) {
        let member = due.member();
        let Some(it) = self.members.get_mut(member) else { return };
        if it.still_since.is_some() && due.waits() {
            it.held.push(due);
            return;
        }
        match due {
            Due::Frame { at, number, frame } => self.handle_frame(at, number, &frame),
            Due::Hail { at, number, peer } => self.handle_hail(at, number, peer),
            Due::Answer { at, number, peer } => self.handle_answer(at, number, &peer),
            Due::Probe { end, number, wait, .. } => self.handle_probe(member, end, number, wait),
            Due::GiveUp { dialer, turn, .. } => self.handle_give_up(member, dialer, turn),
            Due::Dial { dialer, turn, .. } => self.handle_dial(member, dialer, turn),
            Due::Expire { end, number, turn, .. } => self.handle_expire(member, end, number, turn),
            Due::Flush { end, number, .. } => self.handle_flush(member, end, number),
            Due::Closed { end, number, .. } => self.handle_closed(member, end, number, true),
            Due::PeerClosed { at, number } => self.handle_closed(at.member, at.end, number, false),
            Due::Gone { at, number } => self.handle_gone(at, number),
            Due::Quiet { at, number, is_quiet } => self.handle_quiet(at, number, is_quiet),
            Due::Timeout { .. } => self.handle_timeout(member),
            Due::Pass { .. } => self.handle_pass(member),
            Due::Link { end, link, change, .. } => self.handle_link(member, end, link, change),
            Due::Start { .. } => self.handle_start(member),
            Due::GoOn { .. } => self.go_on(member),
            Due::Drift { .. } => self.set_clock_right(member, false),
            Due::EndTwin { .. } => self.stop(member, false),
            Due::Join { .. } => {
                if self.members.get(member).is_some_and(|it| it.joined.is_none()) {
                    self.join(member, false);
                }
            }
            Due::Backup { event, .. } => self.back_up(member, event),
        }
    }

    /// Puts what is due at a place that may be in another part.
    pub(super) fn put_at(&mut self, place: Place, at: Micros, due: Due) {
        if place.part == self.number {
            self.queue.put(at, due);
        } else {
            self.outbox.push((place.part, at, due));
        }
    }

    /// What is wrong with the run.
    pub(super) fn breaks(&mut self, what: String) {
        if self.broken.len() < BROKEN_MAX {
            self.broken.push(what);
        }
    }

    pub(super) fn note(&mut self, member: usize, note: &Note<'_>) {
        let Some(it) = self.members.get_mut(member) else { return };
        it.mark(self.now, note);
        self.eyes.note(Instant(self.now), &it.name, note);
    }

    /// Carries out what a replica wants after an input that came by `end`, if it came by one.
    pub(super) fn finish(&mut self, member: usize, end: Option<usize>) {
        self.counts.inputs += 1;
        while let Some(output) =
            self.members.get_mut(member).and_then(Member::running).and_then(|it| it.replica.poll_output())
        {
            match output {
                Output::Transmit { link, frame, .. } => {
                    let (end, number) = of_link(link);
                    self.transmit(member, end, number, frame);
                }
                Output::Close { link, close } => {
                    let (end, number) = of_link(link);
                    self.close(member, end, number, close);
                }
                Output::Event(event) => self.hear(member, end, &event),
            }
        }
        self.rearm(member);
        if let Some(it) = self.members.get_mut(member)
            && let super::member::Process::Runs(running) = &mut it.process
        {
            self.eyes.look(Instant(self.now), &it.name, &mut running.replica);
        }
    }

    fn hear(&mut self, member: usize, end: Option<usize>, event: &Event) {
        self.note(member, &Note::Replica(event));
        if let Event::Changed(key) = event {
            self.counts.changes += 1;
            self.last_change = self.now;
            if key.kind != DocumentKind::Observed {
                self.want_pass(member, self.now);
            }
            if key.kind == DocumentKind::Roster {
                self.advertise(member);
            }
        }
        if let (Event::LinkLive(_), Some(it)) = (event, self.members.get_mut(member)) {
            it.figures.sessions += 1;
            let end = end.and_then(|end| it.ends.get_mut(end));
            if let Some(connection) = end.and_then(|end| end.connection.as_mut()) {
                connection.is_live = true;
            }
        }
    }

    /// Keeps the replica's timer.
    fn rearm(&mut self, member: usize) {
        let Some(running) = self.members.get_mut(member).and_then(Member::running) else { return };
        let Some(Instant(at)) = running.replica.poll_timeout() else { return };
        if running.timeout_at.is_none_or(|set| at < set) {
            running.timeout_at = Some(at);
            self.queue.put(at, Due::Timeout { member });
        }
    }

    fn handle_timeout(&mut self, member: usize) {
        let Some(it) = self.members.get_mut(member) else { return };
        let now = it.now(self.now);
        let Some(running) = it.running() else { return };
        if running.timeout_at != Some(self.now) {
            return;
        }
        running.timeout_at = None;
        if running.replica.poll_timeout().is_some_and(|at| at <= now.instant) {
            let result = running.replica.handle_timeout(now);
            self.report(member, result);
            self.finish(member, None);
        } else {
            self.rearm(member);
        }
    }

    /// A store that fails here is a defect: no disk of this depth has a fault.
    pub(super) fn report<T, E: std::fmt::Display>(&mut self, member: usize, result: Result<T, E>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                let name = self.members.get(member).map(|it| it.name.clone());
                self.breaks(format!("{} at {} us: {error}", name.unwrap_or_else(|| "nobody".into()), self.now));
                None
            }
        }
    }

    /// Something of the plan happens.
    fn happen(&mut self, number: usize) {
        let plan = self.plan;
        let Some(event) = plan.events.get(number) else { return };
        let Some(member) = self.by_name.get(&event.on).copied() else {
            // An edit at a hub of another part: what somebody keeps in files changes all the same.
            self.edit_files(event);
            return;
        };
        let tally = self.tallies.entry(event.action.name()).or_default();
        tally.planned += 1;
        if self.act(number, member, event) {
            self.tallies.entry(event.action.name()).or_default().reached += 1;
            self.note(member, &Note::Acted(&event.action));
        }
    }
}
