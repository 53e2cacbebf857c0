//! The beginning of a conversation: both hellos, and from where each side's feed goes on.

use std::time::Duration;

use super::{Effect, Phase, Session};
use crate::env::Instant;
use crate::limits::HELLO_WAIT_SECONDS;
use crate::wire::{Close, CloseCode, Hello, Message, Position, Push, VERSION_MAX, VERSION_MIN};

impl Session {
    /// Whether one of the two sides lacks something, by the peer's hello.
    #[must_use]
    pub fn has_work(&self, hello: &Hello) -> bool {
        hello.cursor != Some(self.facts.head) || !(hello.head.number == 0 || self.facts.cursor == Some(hello.head))
    }

    /// Ends the conversation instead of answering the peer's hello: it should come again after the wait.
    pub fn turn_away(&mut self, wait: Duration) {
        let retry_after_ms = u32::try_from(wait.as_millis()).unwrap_or(u32::MAX);
        let message = "many come back at once; this one gets its turn later".to_owned();
        self.close_with(Close { code: CloseCode::Busy, message, retry_after_ms, incarnation: 0 });
    }

    /// A transfer that was cut is told before the peer may push, so that it never pushes what is held: its credit follows then.
    pub(super) fn greet(&mut self) {
        self.credit.grant(self.facts.credit);
        self.effects.push_back(Effect::Transmit(Message::Hello(Hello {
            version_min: VERSION_MIN,
            version_max: VERSION_MAX,
            store: self.facts.store,
            incarnation: self.facts.incarnation,
            head: self.facts.head,
            cursor: self.facts.cursor,
            credit: if self.facts.resume.is_empty() { self.facts.credit } else { 0 },
        })));
    }

    /// After both hellos: before, the peer would take it for a copy of its own that goes on.
    fn resume(&mut self) {
        let resume = std::mem::take(&mut self.facts.resume);
        if !resume.is_empty() {
            self.effects.extend(resume.into_iter().map(|resume| Effect::Transmit(Message::Resume(resume))));
            self.effects.push_back(Effect::Transmit(Message::Credit(self.facts.credit)));
        }
    }

    pub(super) fn handle_hello(&mut self, hello: &Hello) {
        if hello.version_max.min(VERSION_MAX) < hello.version_min.max(VERSION_MIN) {
            let message = format!(
                "no common protocol version: {VERSION_MIN} to {VERSION_MAX} here, {} to {} there; update the older side",
                hello.version_min, hello.version_max
            );
            if self.answers {
                self.greet();
            }
            self.close(CloseCode::NoCommonVersion, &message);
            return;
        }
        self.phase = Phase::Live;
        self.credit.begin(hello.credit);
        self.theirs_is_empty = hello.head.number == 0;
        self.placed = hello.cursor.is_some();
        self.holds_theirs = self.theirs_is_empty || self.facts.cursor == Some(hello.head);
        // Nothing is fetched before the answer.
        self.fetching = true;
        let (store, incarnation, head, cursor) = (hello.store, hello.incarnation, hello.head, hello.cursor);
        self.effects.push_back(Effect::Meet { store, incarnation, head, cursor });
    }

    /// Before [`Session::handle_met`]: what was durable here of the peer's feed counts no more, because it is another feed.
    pub fn handle_other_store(&mut self) {
        self.facts.cursor = None;
        self.holds_theirs = self.theirs_is_empty;
    }

    /// Instead of [`Session::handle_met`], by the acceptor: the peer speaks for an older copy of its store, of whose feed
    /// everything up to this place was durable here once, and its feed goes further. It is told that as this side's cursor. If
    /// it has lost that place it ends the session and takes a new incarnation; if not it goes on from there, and shows by
    /// this that it is a second copy. `false`: this side has said hello already, and cannot ask.
    pub fn handle_suspect(&mut self, now: Instant, place: Position) -> bool {
        if !self.answers || self.phase != Phase::Live {
            return false;
        }
        self.facts.cursor = Some(place);
        self.greet();
        self.phase = Phase::Suspecting { until: now.after(Duration::from_secs(HELLO_WAIT_SECONDS)) };
        true
    }

    /// Before [`Session::handle_met`]: up to here of the own feed the peer may hold what it has not acknowledged.
    pub fn handle_unsure(&mut self, until: u64) {
        self.unsure = until;
    }

    /// The answer to [`Effect::Meet`]: where the feed goes on (0 before the first contact), or `None` when it never passed
    /// the place that the peer named; and its end.
    pub fn handle_met(&mut self, at: Option<u64>, head: Position) {
        if self.answers {
            // With the head of the feed that the peer was served from, also when that has started over since.
            self.greet();
        }
        self.resume();
        self.facts.head = head;
        match at {
            Some(number) => {
                self.fetching = false;
                self.sent = number;
                self.summarise(number);
                self.advance();
            }
            None => self.effects.push_back(Effect::Restart),
        }
    }

    /// After [`Session::handle_met`]: refusals of earlier sessions that the peer may not have heard.
    pub fn handle_untold(&mut self, refusals: Vec<Message>) {
        self.effects.extend(refusals.into_iter().map(Effect::Transmit));
    }

    /// The answer to [`Effect::Restart`]: the place before the feed's first entry, and its end. The peer is told to forget
    /// its cursor, or it would be found nowhere again when this link dies, or when nothing is in its scope.
    pub fn handle_restarted(&mut self, origin: Position, head: Position) {
        self.facts.head = head;
        self.offer.prepare();
        let start = Push { entry: None, through: Some(origin.into()), more: head.number > 0 };
        self.handle_step(0, vec![start], 0);
        self.unsure = head.number;
        self.summarise(0);
        self.advance();
    }
}
