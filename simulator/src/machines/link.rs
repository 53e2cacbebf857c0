//! Connections: dialling, frames in and out, silence, ends.

use std::sync::Arc;
use std::time::Duration;

use sync_core::identity::VerifiedPeer;
use sync_core::wire::{Close, CloseCode};

use super::agent::Lost;
use super::carrier::{Shape, probe_at};
use super::end::{Connection, Dialling, End, Place, link_id};
use super::eyes::Note;
use super::member::Member;
use super::part::{Due, Part};
use super::{Micros, micros, overhead};
use crate::scenario::LinkState;

impl Part<'_> {
    fn end(&mut self, member: usize, end: usize) -> Option<&mut End> {
        self.members.get_mut(member)?.ends.get_mut(end)
    }

    /// The connection of this number, if it is the present one.
    fn connection(&mut self, member: usize, end: usize, number: u32) -> Option<&mut Connection> {
        self.end(member, end)?.connection.as_mut().filter(|it| it.number == number)
    }

    /// Sends bytes that are no frame; when they arrive.
    fn send_bytes(&mut self, member: usize, end: usize, wire: u64) -> Micros {
        let now = self.now;
        let Some(it) = self.members.get_mut(member) else { return now };
        let Some(end) = it.ends.get_mut(end) else { return now };
        let (arrival, sent) = end.carrier.send(now, &end.shape, end.is_away, overhead::packets(wire), wire);
        it.figures.wire_out += sent;
        arrival
    }

    /// Begins a handshake. It is for the dialer to give up.
    pub(super) fn begin(&mut self, member: usize, end: usize, dialer: usize) {
        let Some(it) = self.end(member, end) else { return };
        it.tries += 1;
        let number = it.tries;
        it.dialling = Some(Dialling { number, dialer });
        self.hail(member, end, number);
        let wait = micros(overhead::FIRST_PROBE);
        self.queue.put(self.now + wait, Due::Probe { member, end, number, wait });
    }

    fn hail(&mut self, member: usize, end: usize, number: u32) {
        let Some(it) = self.end(member, end) else { return };
        let (can_send, place) = (it.can_send, it.peer);
        let Some(peer) = self.members.get(member).and_then(|it| it.peer.clone()) else { return };
        if can_send {
            let arrival = self.send_bytes(member, end, overhead::HELLO_BYTES);
            self.put_at(place, arrival, Due::Hail { at: place, number, peer });
        }
    }

    pub(super) fn handle_probe(&mut self, member: usize, end: usize, number: u32, wait: Micros) {
        let Some(it) = self.end(member, end) else { return };
        if it.dialling.is_some_and(|it| it.number == number) {
            self.hail(member, end, number);
            self.queue.put(self.now + 2 * wait, Due::Probe { member, end, number, wait: 2 * wait });
        }
    }

    pub(super) fn handle_hail(&mut self, at: Place, number: u32, peer: Arc<VerifiedPeer>) {
        let Place { member, end, .. } = at;
        let Some(it) = self.members.get_mut(member) else { return };
        let (is_running, own) = (it.running().is_some(), it.peer.clone());
        let Some(it) = it.ends.get_mut(end) else { return };
        let is_known = it.connection.as_ref().is_some_and(|it| it.number == number);
        let Some(own) = own.filter(|_| is_running && !is_known) else { return };
        it.answered = Some((number, peer));
        let (can_send, place) = (it.can_send, it.peer);
        if can_send {
            let arrival = self.send_bytes(member, end, overhead::ANSWER_BYTES);
            self.put_at(place, arrival, Due::Answer { at: place, number, peer: own });
        }
    }

    pub(super) fn handle_answer(&mut self, at: Place, number: u32, peer: &VerifiedPeer) {
        let Place { member, end, .. } = at;
        let now = self.now;
        let Some(it) = self.end(member, end) else { return };
        let Some(dialling) = it.dialling.take_if(|it| it.number == number) else { return };
        it.connection = Some(Connection::new(number, Some(dialling.dialer), now));
        if let Some(dialer) = self.members.get_mut(member).and_then(|it| it.dialers.get_mut(dialling.dialer)) {
            dialer.is_dialling = false;
        }
        self.send_bytes(member, end, overhead::PROOF_BYTES);
        self.take_link(member, end, number, peer, true);
        self.watch_silence(member, end);
    }

    fn take_link(&mut self, member: usize, end: usize, number: u32, peer: &VerifiedPeer, is_dialer: bool) {
        let Some(it) = self.members.get_mut(member) else { return };
        let now = it.now(self.now);
        let Some(running) = it.running() else { return };
        let result = running.replica.handle_link_up(now, link_id(end, number), peer, is_dialer);
        self.report(member, result);
        self.finish(member, Some(end));
    }

    pub(super) fn handle_frame(&mut self, at: Place, number: u32, frame: &[u8]) {
        let Place { member, end, .. } = at;
        let now = self.now;
        let Some(it) = self.members.get_mut(member) else { return };
        if it.running().is_none() {
            return;
        }
        let Some(its) = it.ends.get_mut(end) else { return };
        let opened = its.answered.take_if(|answered| answered.0 == number);
        if opened.is_some() {
            its.connection = Some(Connection::new(number, None, now));
        }
        let Some(connection) = its.connection.as_mut().filter(|it| it.number == number) else { return };
        connection.heard = connection.heard.max(now);
        if connection.silence.is_none() {
            connection.unanswered = None;
        }
        let (peer_name, bytes) = (its.peer_name.clone(), overhead::framed(frame.len()));
        it.figures.payload_in += bytes;
        it.figures.frames_in += 1;
        it.figures.wire_out += overhead::ACK_BYTES * overhead::packets(bytes).div_ceil(2);
        if let Some((_, peer)) = opened {
            self.take_link(member, end, number, &peer, false);
            self.watch_silence(member, end);
        }
        self.note(member, &Note::Came { from: &peer_name, frame });
        let Some(it) = self.members.get_mut(member) else { return };
        let time = it.now(now);
        let Some(running) = it.running() else { return };
        let result = running.replica.handle_frame(time, link_id(end, number), frame);
        self.report(member, result);
        self.finish(member, Some(end));
    }

    /// Hands a frame to a connection; one that has ended takes none.
    pub(super) fn transmit(&mut self, member: usize, end: usize, number: u32, frame: Vec<u8>) {
        let now = self.now;
        let Some(it) = self.members.get_mut(member) else { return };
        it.figures.payload_out += overhead::framed(frame.len());
        it.figures.frames_out += 1;
        let Some(its) = it.ends.get_mut(end) else { return };
        let (name, can_send) = (its.peer_name.clone(), its.can_send);
        let Some(connection) = its.connection.as_mut().filter(|it| it.number == number) else { return };
        let waits = !can_send || !connection.stuck.is_empty();
        let mut expires = None;
        match &mut connection.silence {
            Some(silence) => {
                if silence.handle_sent(now) {
                    connection.turn += 1;
                    expires = Some((silence.until, connection.turn));
                }
            }
            None => {
                connection.unanswered.get_or_insert(now);
            }
        }
        if let Some((until, turn)) = expires {
            self.queue.put(until, Due::Expire { member, end, number, turn });
        }
        self.note(member, &Note::Sent { to: &name, frame: &frame });
        if waits {
            let Some(connection) = self.connection(member, end, number) else { return };
            if connection.stuck.is_empty() {
                connection.stuck_since = now;
            }
            connection.stuck.push(frame);
        } else {
            self.send(member, end, number, frame);
        }
    }

    fn send(&mut self, member: usize, end: usize, number: u32, frame: Vec<u8>) {
        let now = self.now;
        let Some(it) = self.members.get_mut(member) else { return };
        let Some(its) = it.ends.get_mut(end) else { return };
        let stream = overhead::framed(frame.len());
        let (packets, wire) = (overhead::packets(stream), overhead::wire_bytes(stream));
        let (arrival, sent) = its.carrier.send(now, &its.shape, its.is_away, packets, wire);
        let (is_open, latency, at) = (its.is_open(), its.shape.latency(), its.peer);
        if let Some(connection) = its.connection.as_mut().filter(|_| is_open) {
            // It is acknowledged then.
            connection.heard = connection.heard.max(arrival + latency);
            connection.unanswered = None;
        }
        it.figures.wire_out += sent;
        self.put_at(at, arrival, Due::Frame { at, number, frame });
    }

    /// A connection that nothing can be heard on is given up in time, unless that changes.
    fn watch_silence(&mut self, member: usize, end: usize) {
        let now = self.now;
        let Some(it) = self.end(member, end) else { return };
        let (is_open, shape) = (it.is_open(), it.shape);
        let Some(connection) = &mut it.connection else { return };
        let number = connection.number;
        match (is_open, connection.silence) {
            (false, None) => {
                let silence = connection.silence(now, &shape);
                connection.silence = Some(silence);
                connection.turn += 1;
                let turn = connection.turn;
                self.queue.put(silence.until.max(now), Due::Expire { member, end, number, turn });
            }
            (true, Some(_)) => {
                (connection.silence, connection.unanswered) = (None, None);
                connection.turn += 1;
                connection.heard = now + shape.round_trip();
            }
            _ => {}
        }
    }

    pub(super) fn handle_expire(&mut self, member: usize, end: usize, number: u32, turn: u32) {
        if self.connection(member, end, number).is_some_and(|it| it.turn == turn && it.silence.is_some()) {
            self.tell_gone(member, end);
            self.drop_connection(member, end, Lost::default());
        }
    }

    /// The peer hears nothing more on the present connection, and is told nothing.
    fn tell_gone(&mut self, member: usize, end: usize) {
        let Some(it) = self.end(member, end) else { return };
        let Some(connection) = &it.connection else { return };
        let (at, number) = (it.peer, connection.number);
        self.put_at(at, self.now, Due::Gone { at, number });
    }

    pub(super) fn handle_gone(&mut self, at: Place, number: u32) {
        let Some(connection) = self.connection(at.member, at.end, number) else { return };
        connection.is_gone = true;
        self.watch_silence(at.member, at.end);
    }

    pub(super) fn handle_quiet(&mut self, at: Place, number: u32, is_quiet: bool) {
        let Some(connection) = self.connection(at.member, at.end, number) else { return };
        connection.is_quiet = is_quiet;
        self.watch_silence(at.member, at.end);
    }

    /// Tells the peers of all connections that the process stands still, or goes on.
    pub(super) fn tell_quiet(&mut self, member: usize, is_quiet: bool) {
        let Some(it) = self.members.get(member) else { return };
        let open = it.ends.iter().filter_map(|end| Some((end.peer, end.connection.as_ref()?.number)));
        for (at, number) in open.collect::<Vec<_>>() {
            self.put_at(at, self.now, Due::Quiet { at, number, is_quiet });
        }
    }

    pub(super) fn handle_flush(&mut self, member: usize, end: usize, number: u32) {
        let Some(it) = self.end(member, end) else { return };
        if !it.can_send {
            return;
        }
        let Some(connection) = it.connection.as_mut().filter(|it| it.number == number) else { return };
        for frame in std::mem::take(&mut connection.stuck) {
            self.send(member, end, number, frame);
        }
    }

    /// The replica ends a link: the connection stays until what was sent has arrived.
    pub(super) fn close(&mut self, member: usize, end: usize, number: u32, close: Close) {
        let now = self.now;
        let Some(it) = self.end(member, end) else { return };
        let round_trip = it.shape.round_trip();
        let Some(connection) = it.connection.as_mut().filter(|it| it.number == number) else { return };
        if connection.closing.replace(close).is_none() {
            self.queue.put(now + round_trip, Due::Closed { member, end, number });
        }
    }

    /// The connection is over, because this side or the other has ended it.
    pub(super) fn handle_closed(&mut self, member: usize, end: usize, number: u32, is_own: bool) {
        let Some(it) = self.end(member, end) else { return };
        let (at, is_open) = (it.peer, it.is_open());
        let Some(connection) = it.connection.as_mut().filter(|it| it.number == number) else { return };
        let lost = connection.closing.as_ref().map(Lost::of).unwrap_or_default();
        if is_own && !is_open {
            // What was sent last cannot be acknowledged: the silence ends it.
            return;
        }
        if is_own {
            let arrival = self.send_bytes(member, end, overhead::CLOSE_BYTES);
            self.put_at(at, arrival, Due::PeerClosed { at, number });
        }
        self.drop_connection(member, end, lost);
    }

    /// Ends the present connection here.
    fn drop_connection(&mut self, member: usize, end: usize, lost: Lost) {
        let now = self.now;
        let Some(it) = self.members.get_mut(member) else { return };
        let Some(connection) = it.ends.get_mut(end).and_then(|end| end.connection.take()) else { return };
        it.count_keep_alives(end, &connection, now);
        let time = it.now(now);
        if let Some(running) = it.running() {
            let result = running.replica.handle_link_down(time, link_id(end, connection.number));
            self.report(member, result);
            self.finish(member, Some(end));
        }
        if let Some(dialer) = connection.dialer {
            self.lost(member, dialer, lost, connection.is_live);
        }
    }

    /// Everything of a process that was on its links is gone. Peers of one that was killed are not told.
    pub(super) fn cut_off(&mut self, member: usize, is_killed: bool) {
        let now = self.now;
        let ends = self.members.get(member).map_or(0, |it| it.ends.len());
        for end in 0..ends {
            if is_killed {
                self.tell_gone(member, end);
            }
            let Some(it) = self.members.get_mut(member) else { return };
            let Some(its) = it.ends.get_mut(end) else { return };
            (its.dialling, its.answered) = (None, None);
            if let Some(connection) = its.connection.take() {
                it.count_keep_alives(end, &connection, now);
            }
        }
    }

    /// A link is something else from now on.
    pub(super) fn handle_link(&mut self, member: usize, end: usize, link: usize, change: usize) {
        let plan = self.plan;
        let Some(planned) = plan.links.get(link) else { return };
        let Some(now) = planned.changes.get(change) else { return };
        let Some(it) = self.end(member, end) else { return };
        let (away, back) = match now.state {
            LinkState::Up => (true, true),
            LinkState::Down => (false, false),
            LinkState::ToHubOnly => (true, false),
            LinkState::ToNodeOnly => (false, true),
        };
        it.shape = Shape::of(plan.profile(now));
        (it.can_send, it.can_hear) = if it.is_away { (away, back) } else { (back, away) };
        let peer = it.peer_name.clone();
        self.note(member, &Note::Link { to: &peer, change: now });
        self.watch_silence(member, end);
        self.release(member, end);
        if let Some(next) = planned.changes.get(change + 1) {
            self.queue.put(micros(next.at), Due::Link { member, end, link, change: change + 1 });
        }
    }

    /// What was stuck goes out with the next probe, now that it can.
    fn release(&mut self, member: usize, end: usize) {
        let now = self.now;
        let Some(it) = self.end(member, end) else { return };
        let (can_send, probe) = (it.can_send, it.shape.probe_after());
        let Some(connection) = it.connection.as_ref().filter(|it| can_send && !it.stuck.is_empty()) else { return };
        let (number, at) = (connection.number, probe_at(connection.stuck_since, probe, now));
        self.queue.put(at, Due::Flush { member, end, number });
    }

    /// The longest round trip of a link that is open now.
    pub(super) fn longest_round_trip(&self, member: usize) -> Micros {
        let ends = self.members.get(member).map_or(&[][..], |it| &it.ends);
        ends.iter().filter(|end| end.connection.is_some()).map(|end| end.shape.round_trip()).max().unwrap_or(0)
    }

    /// Another address: the connections are lost, and nobody is told.
    pub(super) fn lose_connections(&mut self, member: usize) {
        let ends = self.members.get(member).map_or(0, |it| it.ends.len());
        for end in 0..ends {
            self.tell_gone(member, end);
            let Some(it) = self.end(member, end) else { return };
            let Some(connection) = it.connection.as_mut() else { continue };
            connection.is_gone = true;
            self.watch_silence(member, end);
        }
    }
}

impl Lost {
    /// How the dialer of a link that ended with this takes it.
    fn of(close: &Close) -> Self {
        let wait = Duration::from_millis(u64::from(close.retry_after_ms));
        Self {
            retry_after: Some(wait).filter(|wait| !wait.is_zero()),
            is_revoked: close.code == CloseCode::Revoked,
            has_restarted: close.code == CloseCode::Restarted,
        }
    }
}

impl Member {
    /// Adds what keep-alives came to on a connection that is over: a PING of the dialer's and an acknowledgement, each time
    /// that nothing was said for a while. Frames in between are few, and not taken off.
    fn count_keep_alives(&mut self, end: usize, connection: &Connection, now: Micros) {
        let Some(it) = self.ends.get(end) else { return };
        let until = connection.silence.map_or(now, |_| connection.heard.min(now));
        let every = micros(overhead::KEEP_ALIVE) + it.shape.round_trip();
        let times = until.saturating_sub(connection.opened) / every.max(1);
        let bytes = if connection.dialer.is_some() { overhead::PING_BYTES } else { overhead::ACK_BYTES };
        self.figures.wire_out += times * bytes;
    }
}
