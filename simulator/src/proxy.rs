//! A UDP proxy between one node and the hub that cuts, delays and loses datagrams.

use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tokio::net::UdpSocket;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

mod link;

pub use link::{Counted, Direction, Faults, LinkState, Verdict};

/// Client addresses with an upstream socket. A restarted agent comes from a new port; the oldest port makes room.
const CLIENTS_MAX: usize = 64;

/// Datagrams held back at once. More than a second of a busy link; what comes on top is lost, as on a full queue.
const DELAYED_MAX: usize = 4096;

/// Bytes of the largest UDP datagram.
const DATAGRAM_BYTES_MAX: usize = 65_535;

/// One proxied link. Dropping it closes its sockets.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    link: Arc<LinkState>,
    _pump: JoinSet<()>,
}

impl Proxy {
    /// Listens on a free port of 127.0.0.1 and forwards to `hub`, obeying `link`.
    ///
    /// # Errors
    /// The operating system's, when no socket can be bound.
    pub async fn start(hub: SocketAddr, link: Arc<LinkState>) -> io::Result<Self> {
        let front = Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?);
        let address = front.local_addr()?;
        let mut pump = JoinSet::new();
        pump.spawn(pump_to_hub(front, hub, Arc::clone(&link)));
        Ok(Self { address, link, _pump: pump })
    }

    /// The address that the node dials instead of the hub's.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The link's switches and counters.
    #[must_use]
    pub fn link(&self) -> &LinkState {
        &self.link
    }
}

/// A client's way to the hub. Dropping it ends the way back.
struct Upstream {
    client: SocketAddr,
    socket: Arc<UdpSocket>,
    _way_back: JoinSet<()>,
}

async fn pump_to_hub(front: Arc<UdpSocket>, hub: SocketAddr, link: Arc<LinkState>) {
    let delayed = Arc::new(Semaphore::new(DELAYED_MAX));
    let mut upstreams = VecDeque::new();
    let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
    loop {
        let Ok((length, client)) = front.recv_from(&mut buffer).await else { return };
        let datagram = buffer.get(..length).unwrap_or_default();
        let verdict = link.judge(Direction::ToHub, length);
        if verdict == Verdict::Drop {
            continue;
        }
        let Ok(socket) = upstream(&mut upstreams, client, hub, &front, &link, &delayed).await else { continue };
        forward(verdict, &socket, hub, datagram, &delayed).await;
    }
}

/// The socket through which `client` reaches the hub, made at its first datagram.
async fn upstream(
    upstreams: &mut VecDeque<Upstream>,
    client: SocketAddr,
    hub: SocketAddr,
    front: &Arc<UdpSocket>,
    link: &Arc<LinkState>,
    delayed: &Arc<Semaphore>,
) -> io::Result<Arc<UdpSocket>> {
    if let Some(known) = upstreams.iter().find(|upstream| upstream.client == client) {
        return Ok(Arc::clone(&known.socket));
    }
    // Not connected, so that a hub that is down does not turn into errors on this socket.
    let socket = Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?);
    let mut way_back = JoinSet::new();
    way_back.spawn(pump_to_node(
        Arc::clone(&socket),
        hub,
        Arc::clone(front),
        client,
        Arc::clone(link),
        Arc::clone(delayed),
    ));
    if upstreams.len() >= CLIENTS_MAX {
        upstreams.pop_front();
    }
    upstreams.push_back(Upstream { client, socket: Arc::clone(&socket), _way_back: way_back });
    Ok(socket)
}

async fn pump_to_node(
    socket: Arc<UdpSocket>,
    hub: SocketAddr,
    front: Arc<UdpSocket>,
    client: SocketAddr,
    link: Arc<LinkState>,
    delayed: Arc<Semaphore>,
) {
    let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
    loop {
        let Ok((length, sender)) = socket.recv_from(&mut buffer).await else { return };
        if sender != hub {
            continue;
        }
        let verdict = link.judge(Direction::ToNode, length);
        forward(verdict, &front, client, buffer.get(..length).unwrap_or_default(), &delayed).await;
    }
}

async fn forward(verdict: Verdict, socket: &Arc<UdpSocket>, to: SocketAddr, datagram: &[u8], delayed: &Arc<Semaphore>) {
    match verdict {
        Verdict::Drop => {}
        // A datagram that cannot be sent is a lost one: that is what UDP promises.
        Verdict::Pass => drop(socket.send_to(datagram, to).await),
        Verdict::Delay(wait) => {
            let Ok(place) = Arc::clone(delayed).try_acquire_owned() else { return };
            let (socket, datagram) = (Arc::clone(socket), datagram.to_vec());
            tokio::spawn(async move {
                tokio::time::sleep(wait).await;
                let _ = socket.send_to(&datagram, to).await;
                drop(place);
            });
        }
    }
}

#[cfg(test)]
mod tests;
