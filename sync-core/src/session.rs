//! One conversation with one peer, as a value: frames and answers come in, effects come out. It knows no store, no clock
//! and no socket.
//!
//! ```text
//! Greeting --hello of the peer--> Live --close, ours or theirs--> Closed
//!     \--hello late, no common version, broken protocol-----------^
//! ```
//!
//! Both sides do the same: send a hello, compare, then each pushes what its own feed holds past the peer's cursor, and
//! acknowledges what the peer pushed once that is durable. The dialer speaks first, because a stream exists for the other
//! side only when something came through it.
//!
//! The owner handles each effect of [`Session::poll_effect`], in order, before it hands in the next input.

mod credit;
pub mod dialer;
mod greeting;
pub mod reconcile;

use std::collections::VecDeque;
use std::time::Duration;

use crate::document::FrontierDigest;
use crate::env::Instant;
use crate::id::{Incarnation, StoreId};
use crate::limits::{HELLO_WAIT_SECONDS, PUSH_ROOM_MIN, WINDOW_STEPS_MAX};
use crate::session::credit::Credit;
pub use crate::session::credit::push_cost;
use crate::session::reconcile::{Inquiry, Offer};
use crate::wire::{Close, CloseCode, Message, Position, Push, Refuse, Resume, Want};

/// What the owner has to do, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Hand this to the transport.
    Transmit(Message),
    /// The peer said hello: judge which copy of its store it speaks for, bring its feed up to date, look whether that passed
    /// through the peer's cursor, and answer with [`Session::handle_met`], or end the session. The acceptor has not said
    /// hello yet.
    Meet {
        /// Its store.
        store: StoreId,
        /// Its incarnation.
        incarnation: Incarnation,
        /// The end of its own feed for this side.
        head: Position,
        /// How much of its feed it holds; `None` before the first contact.
        cursor: Option<Position>,
    },
    /// The feed for this peer cannot go on from where the peer is: owe it everything again, then answer with
    /// [`Session::handle_restarted`].
    Restart,
    /// Read the feed's next entry after this place and hand its next frame, of at most [`Session::room`] bytes, in with
    /// [`Session::handle_step`].
    Fetch {
        /// Number of the entry before it.
        after: u64,
    },
    /// Admit what came and make it durable, with the place that this side has reached by it, in one transaction; then
    /// [`Session::handle_stored`].
    Store(Push, Option<Position>),
    /// Record that the peer made its feed durable up to the place of this number.
    Acknowledged(u64),
    /// The peer will not have this frontier.
    Refused(Refuse),
    /// The peer holds the beginning of this transfer.
    Resume(Resume),
    /// Read which frontiers the feed holds after this place, up to where the peer is not known to be; then
    /// [`Session::handle_summary`].
    Summarise {
        /// Number of the entry before.
        after: u64,
    },
    /// Read every frontier that is held here, if the peer may ask for that; then [`Session::handle_gathered`].
    Gather,
    /// Look up which of these frontiers of the peer's feed are held here, then [`Session::handle_compared`].
    Compare(Vec<FrontierDigest>),
    /// The peer lacks something of these documents.
    Wanted(Want),
    /// The peer went on from the place of [`Session::handle_suspect`]: it is a second copy. End the session.
    Cloned,
    /// The peer has ended the session for a reason that this side has to act upon.
    Told(Close),
    /// Both sides held the same when they said hello, or have come there since.
    Synced,
    /// End the link, after everything before this was handed to the transport.
    Close(Close),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Greeting {
        until: Instant,
    },
    /// The peer may be a copy that has gone on beside another: what it says next tells.
    Suspecting {
        until: Instant,
    },
    Live,
    Closed,
}

/// The facts that a hello states about its sender.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// The own store.
    pub store: StoreId,
    /// Its incarnation.
    pub incarnation: Incarnation,
    /// The end of the own feed for the peer.
    pub head: Position,
    /// How much of the peer's feed is durable here.
    pub cursor: Option<Position>,
    /// Bytes of pushes that the peer may have under way.
    pub credit: u64,
    /// Transfers of the peer's of which the beginning is durable here.
    pub resume: Vec<Resume>,
}

/// One conversation. See the module's page.
#[derive(Debug)]
pub struct Session {
    phase: Phase,
    facts: Facts,
    /// The other side dialled: our hello follows theirs.
    answers: bool,
    /// The peer's feed for this side has no entries.
    theirs_is_empty: bool,
    /// Up to here of the own feed the peer may hold what it has not acknowledged.
    unsure: u64,
    /// The question what that is, towards the peer and from the peer.
    offer: Offer,
    inquiry: Inquiry,
    /// By the peer's last word, everything of its feed is durable here.
    holds_theirs: bool,
    /// Number of the last entry of the own feed whose frames were handed out.
    sent: u64,
    /// Steps that wait for an acknowledgement.
    in_flight: VecDeque<u64>,
    /// What was handed out last does not end its step.
    within_step: bool,
    /// The peer knows the chain at the place of `sent`.
    placed: bool,
    credit: Credit,
    /// A fetch was asked for and not answered yet.
    fetching: bool,
    /// [`Effect::Synced`] was given out for the present state.
    synced: bool,
    effects: VecDeque<Effect>,
    round_trips: u64,
}

impl Session {
    /// Begins a conversation. The dialer's hello is the first effect; the acceptor's follows the peer's.
    #[must_use]
    pub fn open(now: Instant, facts: Facts, is_dialer: bool) -> Self {
        let until = now.after(Duration::from_secs(HELLO_WAIT_SECONDS));
        let mut session = Self {
            phase: Phase::Greeting { until },
            facts,
            answers: !is_dialer,
            theirs_is_empty: false,
            unsure: 0,
            offer: Offer::default(),
            inquiry: Inquiry::default(),
            holds_theirs: false,
            sent: 0,
            in_flight: VecDeque::new(),
            within_step: false,
            placed: false,
            credit: Credit::default(),
            fetching: false,
            synced: false,
            effects: VecDeque::new(),
            round_trips: 0,
        };
        if is_dialer {
            session.greet();
            session.round_trips = 1;
        }
        session
    }

    /// The next thing to do.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// When [`Session::handle_timeout`] wants to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.phase {
            Phase::Greeting { until } | Phase::Suspecting { until } => Some(until),
            Phase::Live | Phase::Closed => None,
        }
    }

    /// Times that this side waited for the other, so far: once for the hello, once for each flight of pushes.
    #[must_use]
    pub fn round_trips(&self) -> u64 {
        self.round_trips
    }

    /// Whether both hellos were exchanged and the session did not end.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.phase == Phase::Live
    }

    /// Ends the conversation when the peer's hello is late.
    pub fn handle_timeout(&mut self, now: Instant) {
        if let Phase::Greeting { until } | Phase::Suspecting { until } = self.phase
            && now >= until
        {
            self.close(CloseCode::Protocol, "no answer came in time");
        }
    }

    /// Takes a frame of the peer's.
    pub fn handle_message(&mut self, message: Message) {
        match (self.phase, message) {
            (Phase::Closed, _) => {}
            (Phase::Greeting { .. }, Message::Hello(hello)) => self.handle_hello(&hello),
            (_, Message::Close(close)) => {
                self.phase = Phase::Closed;
                if matches!(close.code, CloseCode::Cloned | CloseCode::Restarted) {
                    self.effects.push_back(Effect::Told(close.clone()));
                }
                self.effects.push_back(Effect::Close(close));
            }
            (Phase::Suspecting { .. }, _) => self.effects.push_back(Effect::Cloned),
            (Phase::Live, Message::Push(push)) => self.handle_push(push),
            (Phase::Live, Message::Acknowledge(through)) => self.handle_acknowledge(through),
            (Phase::Live, Message::Refuse(refuse)) => self.effects.push_back(Effect::Refused(refuse)),
            (Phase::Live, Message::Credit(bytes)) => self.handle_credit(bytes),
            (Phase::Live, Message::Resume(resume)) => self.effects.push_back(Effect::Resume(resume)),
            (Phase::Live, Message::Summary(summary)) => {
                let next = self.inquiry.handle_summary(summary);
                self.inquire(next);
            }
            (Phase::Live, Message::Reconcile(it)) => self.handle_reconcile(&it),
            (Phase::Live, Message::Want(want)) => match self.offer.handle_want(&want) {
                Ok(()) => {
                    self.effects.push_back(Effect::Wanted(want));
                    self.advance();
                }
                Err(error) => self.close(CloseCode::Protocol, &error.to_string()),
            },
            (Phase::Greeting { .. }, _) => self.close(CloseCode::Protocol, "the first frame was no hello"),
            (Phase::Live, Message::Hello(_)) => self.close(CloseCode::Protocol, "a second hello"),
        }
    }

    fn handle_push(&mut self, push: Push) {
        let place = push.through.map(|through| push.place(through, self.facts.cursor));
        if place == Some(None) {
            self.close(CloseCode::Protocol, "a push to a place that does not follow from what is held");
            return;
        }
        (self.synced, self.holds_theirs) = (false, false);
        self.effects.push_back(Effect::Store(push, place.flatten()));
    }

    /// Counts a push against what the peer was granted, by the length of its frame. Before the push itself is handed in.
    pub fn charge(&mut self, frame: u64) {
        if self.credit.charge(frame).is_err() && self.is_live() {
            self.close(CloseCode::Protocol, "more was pushed than was granted");
        }
    }

    /// The own feed has grown to here.
    pub fn handle_head(&mut self, head: Position) {
        self.facts.head = head;
        if self.phase == Phase::Live {
            self.advance();
        }
    }

    /// Bytes of the largest push that should be handed out now. What must travel beside the changes may make one larger.
    #[must_use]
    pub fn room(&self) -> u64 {
        self.credit.room()
    }

    /// Whether the peer knows the chain at the place that was sent last, and can tell the next one.
    #[must_use]
    pub fn is_placed(&self) -> bool {
        self.placed
    }

    /// Bytes of pushes handed out of which the peer has not said that they are durable.
    #[must_use]
    pub fn under_way(&self) -> u64 {
        self.credit.under_way()
    }

    /// Steps that wait for an acknowledgement.
    #[must_use]
    pub fn unacknowledged(&self) -> usize {
        self.in_flight.len()
    }

    /// How much the owner lets this side have under way, at least [`crate::limits::LINK_BYTES_MIN`].
    pub fn handle_window(&mut self, bytes: u64) {
        self.credit.set_window(bytes);
    }

    /// The answer to [`Effect::Fetch`]: frames of one step, their bytes, and its number. When the last frame has no place
    /// to go through, the step goes on, and the number is that of the entry before it.
    pub fn handle_step(&mut self, number: u64, frames: Vec<Push>, bytes: u64) {
        if self.phase != Phase::Live {
            return;
        }
        self.credit.spend(bytes, frames.len());
        self.fetching = false;
        if self.in_flight.is_empty() && !self.within_step {
            self.round_trips += 1;
        }
        self.sent = number;
        self.synced = false;
        self.within_step = frames.last().is_none_or(|push| push.through.is_none());
        if !self.within_step {
            self.in_flight.push_back(number);
            self.placed = true;
        }
        self.effects.extend(frames.into_iter().map(|push| Effect::Transmit(Message::Push(push))));
        self.advance();
    }

    fn handle_credit(&mut self, bytes: u64) {
        self.credit.add(bytes);
        self.advance();
    }

    /// The answer to [`Effect::Store`], after the commit: what was refused, and how far the peer's feed is durable now.
    /// `more` is the push's own word.
    pub fn handle_stored(&mut self, refused: Option<Refuse>, through: Option<Position>, more: bool) {
        if self.phase != Phase::Live {
            return;
        }
        self.effects.extend(refused.map(|refuse| Effect::Transmit(Message::Refuse(refuse))));
        if let Some(through) = through {
            self.facts.cursor = Some(through);
            self.holds_theirs = !more;
            self.effects.push_back(Effect::Transmit(Message::Acknowledge(through.number)));
        }
        self.effects.extend(self.credit.renew().map(|bytes| Effect::Transmit(Message::Credit(bytes))));
        self.advance();
    }

    /// Each step is acknowledged once, in the order in which they were sent.
    fn handle_acknowledge(&mut self, number: u64) {
        if self.in_flight.front() != Some(&number) {
            self.close(CloseCode::Protocol, "an acknowledgement of something that was not sent");
            return;
        }
        self.in_flight.pop_front();
        if self.in_flight.is_empty() && !self.within_step {
            self.credit.settle();
        }
        self.effects.push_back(Effect::Acknowledged(number));
        self.advance();
    }

    /// Asks for the next step when there is one and the window has room; says so once when nothing is left to do.
    fn advance(&mut self) {
        if self.phase != Phase::Live || self.fetching || self.offer.is_open() {
            return;
        }
        if self.sent < self.facts.head.number {
            if self.room() >= PUSH_ROOM_MIN && self.in_flight.len() < WINDOW_STEPS_MAX {
                self.fetching = true;
                self.effects.push_back(Effect::Fetch { after: self.sent });
            }
            return;
        }
        if self.in_flight.is_empty() && self.holds_theirs && !self.synced {
            self.synced = true;
            self.effects.push_back(Effect::Synced);
        }
    }

    /// Ends the conversation from this side.
    pub fn close(&mut self, code: CloseCode, message: &str) {
        self.close_with(Close { code, message: message.to_owned(), retry_after_ms: 0, incarnation: 0 });
    }

    /// Ends the conversation from this side, with everything that there is to say.
    pub fn close_with(&mut self, close: Close) {
        if self.phase != Phase::Closed {
            self.phase = Phase::Closed;
            self.effects.push_back(Effect::Transmit(Message::Close(close.clone())));
            self.effects.push_back(Effect::Close(close));
        }
    }
}

#[cfg(test)]
mod tests;
