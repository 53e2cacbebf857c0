//! One end of a link, and of the connection on it.

use std::sync::Arc;

use sync_core::id::{LinkId, NodeId};
use sync_core::identity::VerifiedPeer;
use sync_core::wire::Close;

use super::Micros;
use super::carrier::{Carrier, Shape};
use super::overhead;
use crate::plan::Name;

/// Where a member is: in which part, there which one, and there which end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) part: usize,
    pub(super) member: usize,
    pub(super) end: usize,
}

/// A member's end of a link. It lives as long as the member's machine; its connections do not.
#[derive(Debug)]
pub(super) struct End {
    pub(super) peer: Place,
    pub(super) peer_name: Name,
    /// Who a hub at the other end is.
    pub(super) peer_id: Option<NodeId>,
    /// It is the one that dials by the plan: what it sends goes away.
    pub(super) is_away: bool,
    pub(super) shape: Shape,
    pub(super) can_send: bool,
    pub(super) can_hear: bool,
    pub(super) carrier: Carrier,
    /// Connections that were tried from here.
    pub(super) tries: u32,
    pub(super) dialling: Option<Dialling>,
    /// A handshake that was answered; its first frame is awaited.
    pub(super) answered: Option<(u32, Arc<VerifiedPeer>)>,
    pub(super) connection: Option<Connection>,
}

/// A handshake that was begun.
#[derive(Debug, Clone, Copy)]
pub(super) struct Dialling {
    pub(super) number: u32,
    pub(super) dialer: usize,
}

/// This end of a connection.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) number: u32,
    /// The dialer that keeps it up, at the end that dialled.
    pub(super) dialer: Option<usize>,
    /// Both sides said hello.
    pub(super) is_live: bool,
    pub(super) opened: Micros,
    /// When the peer was last heard, as far as frames show it; keep-alives are in between.
    pub(super) heard: Micros,
    /// The first thing that was sent since.
    pub(super) unanswered: Option<Micros>,
    /// The peer's process is gone, or stands still.
    pub(super) is_gone: bool,
    pub(super) is_quiet: bool,
    pub(super) silence: Option<Silence>,
    /// Rises with each silence that begins or ends, and names the timer of the present one.
    pub(super) turn: u32,
    /// What waits for the way out.
    pub(super) stuck: Vec<Vec<u8>>,
    pub(super) stuck_since: Micros,
    /// It ends once what was sent has arrived.
    pub(super) closing: Option<Close>,
}

/// A time in which nothing is heard.
#[derive(Debug, Clone, Copy)]
pub(super) struct Silence {
    /// The first packet from here that nobody answers, if it is known: the idle timer starts over with it.
    pub(super) sent: Option<Micros>,
    /// When the connection is given up.
    pub(super) until: Micros,
}

impl Connection {
    pub(super) fn new(number: u32, dialer: Option<usize>, now: Micros) -> Self {
        Self {
            number,
            dialer,
            is_live: false,
            opened: now,
            heard: now,
            unanswered: None,
            is_gone: false,
            is_quiet: false,
            silence: None,
            turn: 0,
            stuck: Vec::new(),
            stuck_since: 0,
            closing: None,
        }
    }

    /// The silence that begins now. Of the keep-alives, which the dialer sends once it heard nothing for
    /// [`overhead::KEEP_ALIVE`], the last that was answered is found by counting; the next is the first that is not.
    pub(super) fn silence(&self, now: Micros, shape: &Shape) -> Silence {
        let (every, idle) = (super::micros(overhead::KEEP_ALIVE), super::micros(overhead::IDLE_TIMEOUT));
        let cycle = every + shape.round_trip();
        let begin = self.heard.min(now);
        let heard = begin + (now - begin) / cycle * cycle;
        let sent = self.unanswered.filter(|sent| *sent >= heard);
        match self.dialer {
            Some(_) => {
                let first = sent.map_or(heard + every, |sent| sent.min(heard + every));
                Silence { sent: Some(first), until: first + idle }
            }
            None => Silence { sent, until: sent.unwrap_or(heard) + idle },
        }
    }
}

impl Silence {
    /// Something is sent into it. Whether it lasts to another time now.
    pub(super) fn handle_sent(&mut self, now: Micros) -> bool {
        if self.sent.is_some_and(|sent| sent <= now) {
            return false;
        }
        (self.sent, self.until) = (Some(now), now + super::micros(overhead::IDLE_TIMEOUT));
        true
    }
}

impl End {
    /// Whether the peer can be heard, and hears.
    pub(super) fn is_open(&self) -> bool {
        let is_there = self.connection.as_ref().is_none_or(|it| !it.is_gone && !it.is_quiet);
        self.can_send && self.can_hear && is_there
    }
}

/// The replica's name of a connection.
pub(super) fn link_id(end: usize, number: u32) -> LinkId {
    LinkId((end as u64) << 32 | u64::from(number))
}

/// The end and the connection of a replica's name of it.
pub(super) fn of_link(link: LinkId) -> (usize, u32) {
    let end = usize::try_from(link.0 >> 32).unwrap_or(usize::MAX);
    (end, u32::try_from(link.0 & u64::from(u32::MAX)).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Link;

    const SECOND: Micros = 1_000_000;

    #[test]
    fn a_dialer_gives_up_half_a_minute_after_its_first_packet_that_nobody_answers() {
        let shape = Shape::of(&Link::default());
        let mut connection = Connection::new(1, Some(0), 0);
        // Keep-alives at 10 s and 20.02 s were answered; the one at 30.04 s is not.
        let silence = connection.silence(25 * SECOND, &shape);
        assert_eq!(silence.sent, Some(30 * SECOND + 40_000));
        assert_eq!(silence.until, 60 * SECOND + 40_000);
        connection.heard = 24 * SECOND;
        let mut silence = connection.silence(25 * SECOND, &shape);
        assert_eq!(silence.until, 64 * SECOND);
        assert!(silence.handle_sent(26 * SECOND) && silence.until == 56 * SECOND);
        assert!(!silence.handle_sent(27 * SECOND));
    }

    #[test]
    fn an_acceptor_gives_up_half_a_minute_after_the_last_word_or_its_own_first_answer() {
        let shape = Shape::of(&Link::default());
        let connection = Connection::new(1, None, 0);
        let mut silence = connection.silence(25 * SECOND, &shape);
        assert_eq!(silence.until, 50 * SECOND + 40_000);
        assert!(silence.handle_sent(40 * SECOND) && silence.until == 70 * SECOND);
    }

    #[test]
    fn a_connection_and_its_name_belong_together() {
        assert_eq!(of_link(link_id(70_000, 9)), (70_000, 9));
    }
}
