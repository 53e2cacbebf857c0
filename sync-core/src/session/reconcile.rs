//! Finding what a peer lacks of a feed that started over (decision D4), as two values: the feed's sender offers, its
//! receiver inquires.
//!
//! ```text
//! sender                                        receiver
//! Summary: each frontier, or how many  -------> looks each up, or
//!                                      <------- Reconcile  \  until the receiver knows
//! Reconcile                            ------->            /  which frontiers it lacks
//!                                      <------- Want: their documents, with what it holds of each
//! Push: these, built on that           ------->
//! ```
//!
//! Negentropy (range-based set reconciliation; Meyer, "Range-Based Set Reconciliation", SRDS 2023; version 1 of
//! hoytech/negentropy) splits the sorted digests into sixteen ranges, compares a fingerprint of each, and goes into those
//! that differ. Nothing that a peer says makes a side loop: each side counts the other's messages.

use negentropy::{Id, Negentropy, NegentropyStorageVector};

use super::{Effect, Phase, Session};
use crate::document::FrontierDigest;
use crate::limits::{RECONCILE_BYTES_MAX, RECONCILE_ROUNDS_MAX, SUMMARY_ITEMS_MAX, WANT_BYTES_MAX};
use crate::wire::{CloseCode, Message, Reconcile, Summary, Want, Wanted};

type Ranges = Negentropy<'static, NegentropyStorageVector>;

/// The peer broke the protocol.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReconcileError {
    /// A message that nobody waits for.
    #[error("a message of reconciling that was not asked for")]
    Unasked,
    /// It does not come to an end.
    #[error("reconciling takes more than {RECONCILE_ROUNDS_MAX} rounds")]
    Rounds,
    /// The message is malformed.
    #[error("a malformed message of reconciling: {0}")]
    Malformed(String),
}

fn malformed(error: &negentropy::Error) -> ReconcileError {
    ReconcileError::Malformed(error.to_string())
}

fn ranges(digests: &[FrontierDigest]) -> Result<Ranges, ReconcileError> {
    let mut storage = NegentropyStorageVector::with_capacity(digests.len());
    for digest in digests {
        storage.insert(0, Id::from_byte_array(digest.to_bytes())).map_err(|error| malformed(&error))?;
    }
    storage.seal().map_err(|error| malformed(&error))?;
    Negentropy::owned(storage, RECONCILE_BYTES_MAX as u64).map_err(|error| malformed(&error))
}

/// Counts a message of the peer's.
fn count(rounds: &mut u32) -> Result<(), ReconcileError> {
    *rounds += 1;
    if *rounds > RECONCILE_ROUNDS_MAX { Err(ReconcileError::Rounds) } else { Ok(()) }
}

/// The sender's side.
#[derive(Debug, Default)]
pub struct Offer {
    state: OfferState,
}

#[derive(Debug, Default)]
enum OfferState {
    /// It is known how far the peer is, or it has said so.
    #[default]
    Closed,
    /// The own feed is being read.
    Reading,
    /// The peer has the summary. `wants` is how many documents it may still name.
    Open { ranges: Option<Box<Ranges>>, rounds: u32, wants: usize },
}

impl Offer {
    /// Whether what the peer lacks is not known yet.
    #[must_use]
    pub fn is_open(&self) -> bool {
        !matches!(self.state, OfferState::Closed)
    }

    /// The feed is going to be read.
    pub fn prepare(&mut self) {
        self.state = OfferState::Reading;
    }

    /// The summary of these digests, ascending; `None` when there is nothing to ask about.
    ///
    /// # Errors
    /// [`ReconcileError`]; this side's digests cannot be put in order.
    pub fn begin(&mut self, digests: Vec<FrontierDigest>) -> Result<Option<Summary>, ReconcileError> {
        let wants = digests.len();
        if digests.is_empty() {
            self.state = OfferState::Closed;
            return Ok(None);
        }
        let is_list = wants <= SUMMARY_ITEMS_MAX;
        let ranges = if is_list { None } else { Some(Box::new(ranges(&digests)?)) };
        self.state = OfferState::Open { ranges, rounds: 0, wants };
        Ok(Some(if is_list { Summary::Listed(digests) } else { Summary::Counted(wants as u64) }))
    }

    /// The answer to the peer's message.
    ///
    /// # Errors
    /// [`ReconcileError`]: the peer is to blame.
    pub fn answer(&mut self, message: &[u8]) -> Result<Vec<u8>, ReconcileError> {
        let OfferState::Open { ranges: Some(ranges), rounds, .. } = &mut self.state else {
            return Err(ReconcileError::Unasked);
        };
        count(rounds)?;
        ranges.reconcile(message).map_err(|error| malformed(&error))
    }

    /// The peer says what it lacks.
    ///
    /// # Errors
    /// [`ReconcileError`]: the peer is to blame.
    pub fn handle_want(&mut self, want: &Want) -> Result<(), ReconcileError> {
        let OfferState::Open { wants, .. } = &mut self.state else { return Err(ReconcileError::Unasked) };
        // An empty frame that is not the last says nothing, and could come for ever.
        let is_idle = want.documents.is_empty() && want.more;
        *wants = wants.checked_sub(want.documents.len()).filter(|_| !is_idle).ok_or(ReconcileError::Unasked)?;
        if !want.more {
            self.state = OfferState::Closed;
        }
        Ok(())
    }
}

/// What the receiver does next.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// Read everything that is held here, then [`Inquiry::begin`].
    Gather,
    /// Send this message.
    Send(Vec<u8>),
    /// Look up which of these are held here. The others are wanted.
    Compare(Vec<FrontierDigest>),
}

/// The receiver's side.
#[derive(Debug, Default)]
pub struct Inquiry {
    state: InquiryState,
}

#[derive(Debug, Default)]
enum InquiryState {
    #[default]
    NotAsked,
    Gathering,
    Asking {
        ranges: Box<Ranges>,
        rounds: u32,
        lacking: Vec<Id>,
    },
    Done,
}

impl Inquiry {
    /// The peer's summary came. One on each link.
    ///
    /// # Errors
    /// [`ReconcileError`]: the peer is to blame.
    pub fn handle_summary(&mut self, summary: Summary) -> Result<Next, ReconcileError> {
        if !matches!(self.state, InquiryState::NotAsked) {
            return Err(ReconcileError::Unasked);
        }
        match summary {
            Summary::Listed(digests) => {
                self.state = InquiryState::Done;
                Ok(Next::Compare(digests))
            }
            Summary::Counted(_) => {
                self.state = InquiryState::Gathering;
                Ok(Next::Gather)
            }
        }
    }

    /// The first message, out of everything that is held here.
    ///
    /// # Errors
    /// [`ReconcileError`].
    pub fn begin(&mut self, held: &[FrontierDigest]) -> Result<Vec<u8>, ReconcileError> {
        if !matches!(self.state, InquiryState::Gathering) {
            return Err(ReconcileError::Unasked);
        }
        let mut ranges = Box::new(ranges(held)?);
        let message = ranges.initiate().map_err(|error| malformed(&error))?;
        self.state = InquiryState::Asking { ranges, rounds: 0, lacking: Vec::new() };
        Ok(message)
    }

    /// The peer answered.
    ///
    /// # Errors
    /// [`ReconcileError`]: the peer is to blame.
    pub fn handle_answer(&mut self, message: &[u8]) -> Result<Next, ReconcileError> {
        let InquiryState::Asking { ranges, rounds, lacking } = &mut self.state else {
            return Err(ReconcileError::Unasked);
        };
        count(rounds)?;
        let more = ranges.reconcile_with_ids(message, &mut Vec::new(), lacking).map_err(|error| malformed(&error))?;
        if let Some(message) = more {
            return Ok(Next::Send(message));
        }
        let mut lacking: Vec<FrontierDigest> =
            std::mem::take(lacking).into_iter().map(|id| FrontierDigest::from_bytes(&id.to_bytes())).collect();
        lacking.sort_unstable();
        lacking.dedup();
        self.state = InquiryState::Done;
        Ok(Next::Compare(lacking))
    }
}

/// The wants in frames of bounded size; at least one, which says that there are no more.
#[must_use]
pub fn want_frames(wanted: Vec<Wanted>) -> Vec<Want> {
    let mut frames = vec![Want { documents: Vec::new(), more: false }];
    let mut bytes = 0;
    for document in wanted {
        let weight = 24 + 24 * document.clock.len();
        if bytes + weight > WANT_BYTES_MAX && bytes > 0 {
            if let Some(last) = frames.last_mut() {
                last.more = true;
            }
            frames.push(Want { documents: Vec::new(), more: false });
            bytes = 0;
        }
        bytes += weight;
        if let Some(last) = frames.last_mut() {
            last.documents.push(document);
        }
    }
    frames
}

impl Session {
    /// Asks for a summary of what the peer may hold after this place.
    pub(super) fn summarise(&mut self, after: u64) {
        self.offer = Offer::default();
        if self.unsure > after && self.phase == Phase::Live {
            self.offer.prepare();
            self.effects.push_back(Effect::Summarise { after });
        }
    }

    /// The answer to [`Effect::Summarise`]: frontiers of the own feed, ascending.
    pub fn handle_summary(&mut self, digests: Vec<FrontierDigest>) {
        if self.phase != Phase::Live {
            return;
        }
        match self.offer.begin(digests) {
            Ok(Some(summary)) => {
                self.round_trips += 1;
                self.effects.push_back(Effect::Transmit(Message::Summary(summary)));
            }
            Ok(None) => self.advance(),
            Err(error) => self.close(CloseCode::Protocol, &error.to_string()),
        }
    }

    pub(super) fn handle_reconcile(&mut self, it: &Reconcile) {
        if it.answer {
            let next = self.inquiry.handle_answer(&it.message);
            return self.inquire(next);
        }
        match self.offer.answer(&it.message) {
            Ok(message) => {
                self.effects.push_back(Effect::Transmit(Message::Reconcile(Reconcile { message, answer: true })));
            }
            Err(error) => self.close(CloseCode::Protocol, &error.to_string()),
        }
    }

    pub(super) fn inquire(&mut self, next: Result<Next, ReconcileError>) {
        match next {
            Ok(Next::Gather) => self.effects.push_back(Effect::Gather),
            Ok(Next::Send(message)) => self.ask(message),
            Ok(Next::Compare(digests)) => self.effects.push_back(Effect::Compare(digests)),
            Err(error) => self.close(CloseCode::Protocol, &error.to_string()),
        }
    }

    fn ask(&mut self, message: Vec<u8>) {
        self.round_trips += 1;
        self.effects.push_back(Effect::Transmit(Message::Reconcile(Reconcile { message, answer: false })));
    }

    /// The answer to [`Effect::Gather`]: every frontier that is held here.
    pub fn handle_gathered(&mut self, held: &[FrontierDigest]) {
        match self.inquiry.begin(held) {
            Ok(message) if self.phase == Phase::Live => self.ask(message),
            Ok(_) => {}
            Err(error) => self.close(CloseCode::Protocol, &error.to_string()),
        }
    }

    /// The answer to [`Effect::Compare`]: the documents of which something is lacking here.
    pub fn handle_compared(&mut self, wanted: Vec<Wanted>) {
        if self.phase == Phase::Live {
            let frames = want_frames(wanted).into_iter();
            self.effects.extend(frames.map(|want| Effect::Transmit(Message::Want(want))));
        }
    }
}

#[cfg(test)]
mod tests;
