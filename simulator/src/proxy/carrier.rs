//! Holds datagrams back until they are due, and sends them in the order in which they are.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::link::LinkState;

/// Datagrams held back at once. More than a second of a busy link; what comes on top is lost, as on a full queue.
const DELAYED_MAX: usize = 4096;

/// By which socket a datagram leaves, and where to.
#[derive(Debug, Clone)]
pub(super) struct Way {
    pub(super) socket: Arc<UdpSocket>,
    pub(super) to: SocketAddr,
}

/// Takes datagrams to be carried. Clones are the same carrier.
#[derive(Debug, Clone)]
pub(super) struct Carrier(mpsc::Sender<Waiting>);

#[derive(Debug)]
struct Waiting {
    at: Instant,
    way: Way,
    bytes: Vec<u8>,
}

impl Carrier {
    /// A carrier, and the task that does its work for as long as somebody hands it something.
    pub(super) fn new() -> (Self, impl Future<Output = ()> + Send) {
        let (sender, receiver) = mpsc::channel(DELAYED_MAX);
        (Self(sender), carry(receiver))
    }

    /// Carries a datagram, or what the link makes of it.
    pub(super) fn carry(&self, link: &LinkState, way: crate::net::line::Way, road: Way, datagram: &[u8]) {
        for due in link.judge(way, datagram.len()) {
            let mut bytes = datagram.to_vec();
            if let Some(bit) = due.flipped.and_then(|draw| draw.checked_rem(bytes.len() as u64 * 8))
                && let Some(byte) = bytes.get_mut(usize::try_from(bit / 8).unwrap_or_default())
            {
                *byte ^= 1 << (bit % 8);
            }
            // A carrier that is full has lost it, as a full queue does.
            let _ = self.0.try_send(Waiting { at: due.at, way: road.clone(), bytes });
        }
    }
}

async fn carry(mut handed: mpsc::Receiver<Waiting>) {
    let mut waiting: BTreeMap<(Instant, u64), Waiting> = BTreeMap::new();
    let mut number = 0;
    loop {
        let next = waiting.first_key_value().map(|((at, _), _)| *at);
        tokio::select! {
            biased;
            () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {}
            datagram = handed.recv() => {
                let Some(datagram) = datagram else { return };
                if waiting.len() < DELAYED_MAX {
                    number += 1;
                    waiting.insert((datagram.at, number), datagram);
                }
            }
        }
        while let Some(first) = waiting.first_entry().filter(|first| first.key().0 <= Instant::now()) {
            let Waiting { way, bytes, .. } = first.remove();
            // A datagram that cannot be sent is a lost one: that is what UDP promises.
            let _ = way.socket.send_to(&bytes, way.to).await;
        }
    }
}
