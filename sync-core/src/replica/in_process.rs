//! Two replicas of one process exchange what they owe each other, with no network between them.

use super::{Event, Now, Output, Replica, framed_length};
use crate::id::{LinkId, NodeId};
use crate::identity::VerifiedPeer;
use crate::store::StoreError;

/// What passed between two replicas.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Exchanged {
    /// Frames, both ways.
    pub frames: u64,
    /// Their bytes with the length before each, as a network would have carried them.
    pub bytes: u64,
    /// What happened, and at whom.
    pub events: Vec<(NodeId, Event)>,
}

/// The link's name on both sides. It lives only within [`sync`].
const LINK: LinkId = LinkId(u64::MAX);

/// Each of the two may have to begin a new incarnation twice: by its own finding, and above what the other knows.
const TALKS_MAX: usize = 5;

/// Lets two replicas of one fleet talk until neither has more to say: every write of one that is in the other's scope is
/// durable at the other then. When one of them finds that it lost its past they talk again at once. For embedding, tests and files that travel by hand; a replica that has other links open is
/// driven by its owner instead (see [`Replica::poll_output`]).
///
/// # Errors
/// [`StoreError`] of either side; what was acknowledged stands.
pub fn sync(now: Now, dialer: &mut Replica, acceptor: &mut Replica) -> Result<Exchanged, StoreError> {
    let mut exchanged = Exchanged::default();
    for _ in 0..TALKS_MAX {
        if !talk(now, dialer, acceptor, &mut exchanged)? {
            break;
        }
    }
    Ok(exchanged)
}

/// One conversation; whether another has to follow.
fn talk(now: Now, dialer: &mut Replica, acceptor: &mut Replica, exchanged: &mut Exchanged) -> Result<bool, StoreError> {
    let before = (dialer.incarnation(), acceptor.incarnation());
    let peers = [VerifiedPeer::in_process(dialer.identity()), VerifiedPeer::in_process(acceptor.identity())];
    acceptor.handle_link_up(now, LINK, &peers[0], false)?;
    dialer.handle_link_up(now, LINK, &peers[1], true)?;
    loop {
        let forth = carry(now, dialer, acceptor, exchanged)?;
        let back = carry(now, acceptor, dialer, exchanged)?;
        if !forth && !back {
            break;
        }
    }
    dialer.handle_link_down(now, LINK)?;
    acceptor.handle_link_down(now, LINK)?;
    let again = before != (dialer.incarnation(), acceptor.incarnation());
    for replica in [dialer, acceptor] {
        let node = replica.identity().id();
        let events = std::iter::from_fn(|| replica.poll_output()).filter_map(|output| match output {
            Output::Event(event) => Some((node, event)),
            Output::Transmit { .. } | Output::Close { .. } => None,
        });
        exchanged.events.extend(events);
    }
    Ok(again)
}

/// Whether anything was said.
fn carry(now: Now, from: &mut Replica, to: &mut Replica, exchanged: &mut Exchanged) -> Result<bool, StoreError> {
    let mut said = false;
    while let Some(output) = from.poll_output() {
        match output {
            Output::Transmit { frame, .. } => {
                said = true;
                exchanged.frames += 1;
                exchanged.bytes += framed_length(frame.len());
                to.handle_frame(now, LINK, &frame)?;
            }
            // The frame before it said so to the other side.
            Output::Close { .. } => {}
            Output::Event(event) => exchanged.events.push((from.identity().id(), event)),
        }
    }
    Ok(said)
}
