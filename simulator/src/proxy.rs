//! A UDP proxy before a hub: does to datagrams what the link of whoever sends them says.
//!
//! [`LinkState`] decides by the same [`Line`](crate::net::line::Line) as simulated networks; this forwards. Each client has a
//! socket of its own towards the hub, which is what the hub sees of it: a NAT that forgets, and another address, are another
//! such socket.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tokio::net::UdpSocket;
use tokio::task::JoinSet;

use carrier::{Carrier, Way as Road};

mod carrier;
mod link;

pub use crate::net::line::{Shape, Way};
pub use link::{Counted, Due, LinkState};

/// Client addresses with an upstream socket. A restarted agent comes from a new port; the oldest port makes room.
const CLIENTS_MAX: usize = 64;

/// Bytes of the largest UDP datagram.
const DATAGRAM_BYTES_MAX: usize = 65_535;

/// The link of a client, and which way of it leads away from that client.
#[derive(Debug, Clone)]
pub struct Lane {
    /// The link.
    pub link: Arc<LinkState>,
    /// The way of what the client sends: to the hub, unless the client is dialled on this link and dials back.
    pub way: Way,
}

/// Says whose link a client's datagrams take; `None` loses them, and the next one asks again.
pub type Whose = Arc<dyn Fn(SocketAddr) -> Option<Lane> + Send + Sync>;

/// A front before one hub. Dropping it closes its sockets.
pub struct Proxy {
    address: SocketAddr,
    _pump: JoinSet<()>,
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Proxy {
    /// Listens on a free port of 127.0.0.1 and forwards to `hub`; every client is the one that dials on `link`.
    ///
    /// # Errors
    /// The operating system's, when no socket can be bound.
    pub async fn start(hub: SocketAddr, link: Arc<LinkState>) -> io::Result<Self> {
        Self::start_shared(hub, Arc::new(move |_| Some(Lane { link: Arc::clone(&link), way: Way::ToHub }))).await
    }

    /// The same for clients that have links of their own.
    ///
    /// # Errors
    /// The operating system's, when no socket can be bound.
    pub async fn start_shared(hub: SocketAddr, whose: Whose) -> io::Result<Self> {
        let front = Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?);
        let address = front.local_addr()?;
        let mut pump = JoinSet::new();
        let (carrier, carrying) = Carrier::new();
        pump.spawn(carrying);
        pump.spawn(pump_to_hub(front, hub, whose, carrier));
        Ok(Self { address, _pump: pump })
    }

    /// The address that clients dial instead of the hub's.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// A client's way to the hub. Dropping it ends the way back.
struct Upstream {
    client: SocketAddr,
    lane: Lane,
    mapping: Arc<link::Mapping>,
    socket: Arc<UdpSocket>,
    _way_back: JoinSet<()>,
}

async fn pump_to_hub(front: Arc<UdpSocket>, hub: SocketAddr, whose: Whose, carrier: Carrier) {
    let mut upstreams: VecDeque<Upstream> = VecDeque::new();
    let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
    loop {
        let Ok((length, client)) = front.recv_from(&mut buffer).await else { return };
        let known = upstreams.iter().position(|upstream| upstream.client == client);
        let lane = match known.and_then(|place| upstreams.get(place)) {
            Some(upstream) if upstream.mapping.is_known(&upstream.lane.link) => None,
            // The NAT has forgotten it: the hub hears it from another port, and what it sends to the old one is lost.
            Some(upstream) => Some(upstream.lane.clone()),
            None => match whose(client) {
                Some(lane) => Some(lane),
                None => continue,
            },
        };
        if let Some(lane) = lane {
            upstreams.retain(|upstream| upstream.client != client);
            let Ok(upstream) = open(lane, client, hub, &front, &carrier).await else { continue };
            if upstreams.len() >= CLIENTS_MAX {
                upstreams.pop_front();
            }
            upstreams.push_back(upstream);
        }
        let Some(upstream) = upstreams.iter().find(|upstream| upstream.client == client) else { continue };
        upstream.mapping.touch();
        let road = Road { socket: Arc::clone(&upstream.socket), to: hub };
        carrier.carry(&upstream.lane.link, upstream.lane.way, road, buffer.get(..length).unwrap_or_default());
    }
}

/// Opens the socket by which the hub sees `client`.
async fn open(
    lane: Lane,
    client: SocketAddr,
    hub: SocketAddr,
    front: &Arc<UdpSocket>,
    carrier: &Carrier,
) -> io::Result<Upstream> {
    // Not connected, so that a hub that is down does not turn into errors on this socket.
    let socket = match UdpSocket::bind((lane.link.address(), 0)).await {
        Ok(socket) => socket,
        // Not every system has all of 127.0.0.0/8: there another address is another port only.
        Err(_) => UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?,
    };
    let socket = Arc::new(socket);
    let mapping = Arc::new(lane.link.map());
    let mut way_back = JoinSet::new();
    let road = Road { socket: Arc::clone(front), to: client };
    way_back.spawn(pump_back(Arc::clone(&socket), hub, lane.clone(), Arc::clone(&mapping), road, carrier.clone()));
    Ok(Upstream { client, lane, mapping, socket, _way_back: way_back })
}

async fn pump_back(
    socket: Arc<UdpSocket>,
    hub: SocketAddr,
    lane: Lane,
    mapping: Arc<link::Mapping>,
    road: Road,
    carrier: Carrier,
) {
    let back = match lane.way {
        Way::ToHub => Way::ToNode,
        Way::ToNode => Way::ToHub,
    };
    let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
    loop {
        let Ok((length, sender)) = socket.recv_from(&mut buffer).await else { return };
        if sender != hub || !mapping.is_known(&lane.link) {
            continue;
        }
        mapping.touch();
        carrier.carry(&lane.link, back, road.clone(), buffer.get(..length).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests;
