//! Who is where, and what is under way between them.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use tokio::sync::Notify;

use super::line::{Counted, Line, Loss, Shape, Way};

/// A member of the world, by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberId(pub u32);

/// A member's socket: the machine and the port on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SocketId {
    member: MemberId,
    port: u16,
}

/// The whole network. Clones are the same network.
#[derive(Debug, Clone)]
pub struct Internet {
    inner: Arc<Mutex<Inner>>,
    due: Arc<Notify>,
    start: tokio::time::Instant,
}

/// Datagrams that a socket holds for its reader; the system drops the rest.
const SOCKET_DATAGRAMS_MAX: usize = 4096;

/// The first port that the system gives.
const PORTS_FROM: u16 = 20_000;

#[derive(Debug, Default)]
struct Inner {
    members: BTreeMap<MemberId, Member>,
    lines: BTreeMap<(MemberId, MemberId), Line>,
    sockets: BTreeMap<SocketId, Inbox>,
    /// What the other side sees of a socket behind a NAT, and the way back.
    outside: BTreeMap<(SocketId, MemberId), Mapping>,
    inside: BTreeMap<SocketAddr, SocketId>,
    flights: BinaryHeap<Reverse<Flight>>,
    flown: u64,
    next_address: u32,
    /// Seconds since 1970 at the start: days begin at midnight UTC.
    epoch: u64,
}

#[derive(Debug)]
struct Member {
    address: Ipv4Addr,
    next_port: u16,
    /// After this long without a datagram, in microseconds, its NAT forgets a mapping.
    nat_idle: Option<u64>,
    is_frozen: bool,
}

#[derive(Debug, Clone, Copy)]
struct Mapping {
    outside: SocketAddr,
    used: u64,
}

#[derive(Debug, Default)]
struct Inbox {
    datagrams: VecDeque<Datagram>,
    reader: Option<Waker>,
}

/// A datagram at its receiver.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Datagram {
    pub(super) from: SocketAddr,
    pub(super) bytes: Vec<u8>,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Flight {
    at: u64,
    number: u64,
    to: SocketId,
    datagram: Datagram,
}

impl Internet {
    /// An empty network. `epoch` is the time of day at the start, in seconds since 1970. To be called within a runtime.
    #[must_use]
    pub fn new(epoch: u64) -> Self {
        let inner = Inner { epoch, ..Inner::default() };
        Self { inner: Arc::new(Mutex::new(inner)), due: Arc::default(), start: tokio::time::Instant::now() }
    }

    /// Microseconds since the start.
    #[must_use]
    pub fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// The true time of day, in seconds since 1970.
    #[must_use]
    pub fn time_of_day(&self) -> u64 {
        self.inner().epoch + self.now() / 1_000_000
    }

    /// Delivers what is due, for ever. To be run beside everything else.
    pub async fn carry(self) {
        loop {
            let next = self.deliver();
            let wait = async {
                match next {
                    Some(at) => {
                        tokio::time::sleep_until(self.start + std::time::Duration::from_micros(at)).await;
                    }
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = wait => {}
                () = self.due.notified() => {}
            }
        }
    }

    /// Hands over everything that has arrived; when the next thing does.
    fn deliver(&self) -> Option<u64> {
        let now = self.now();
        let mut inner = self.inner();
        let Inner { flights, sockets, members, .. } = &mut *inner;
        while flights.peek().is_some_and(|flight| flight.0.at <= now) {
            if let Some(Reverse(flight)) = flights.pop()
                && let Some(inbox) = sockets.get_mut(&flight.to)
                && inbox.datagrams.len() < SOCKET_DATAGRAMS_MAX
            {
                inbox.datagrams.push_back(flight.datagram);
                let is_frozen = members.get(&flight.to.member).is_some_and(|member| member.is_frozen);
                if let Some(reader) = inbox.reader.take_if(|_| !is_frozen) {
                    reader.wake();
                }
            }
        }
        flights.peek().map(|flight| flight.0.at)
    }

    /// Adds a member. Its address stays until [`Internet::move_away`].
    pub fn add_member(&self, member: MemberId) {
        let mut inner = self.inner();
        let address = inner.fresh_address();
        inner.members.insert(member, Member { address, next_port: PORTS_FROM, nat_idle: None, is_frozen: false });
    }

    /// Where a member is now.
    #[must_use]
    pub fn address(&self, member: MemberId) -> Option<Ipv4Addr> {
        self.inner().members.get(&member).map(|member| member.address)
    }

    /// Adds the line by which `from` dials `to`.
    pub fn add_line(&self, from: MemberId, to: MemberId, shape: Shape, seed: u64) {
        self.inner().lines.insert((from, to), Line::new(shape, seed));
    }

    /// Changes a line. `None` when there is none.
    pub fn with_line<T>(&self, from: MemberId, to: MemberId, change: impl FnOnce(&mut Line) -> T) -> Option<T> {
        self.inner().lines.get_mut(&(from, to)).map(change)
    }

    /// After how long its NAT forgets; `None` is no NAT.
    pub fn set_nat(&self, member: MemberId, idle: Option<std::time::Duration>) {
        if let Some(member) = self.inner().members.get_mut(&member) {
            member.nat_idle = idle.map(|idle| u64::try_from(idle.as_micros()).unwrap_or(u64::MAX));
        }
    }

    /// The NAT maps everything of the member anew: what is sent to the old ports is lost.
    pub fn rebind(&self, member: MemberId) {
        let mut inner = self.inner();
        inner.forget_mappings(member);
        if let Some(member) = inner.members.get_mut(&member)
            && member.nat_idle.is_none()
        {
            // Without a NAT there was no mapping to forget; from now on there is one that never times out.
            member.nat_idle = Some(u64::MAX);
        }
    }

    /// The member has another address from now on.
    pub fn move_away(&self, member: MemberId) {
        let mut inner = self.inner();
        inner.forget_mappings(member);
        let address = inner.fresh_address();
        if let Some(member) = inner.members.get_mut(&member) {
            member.address = address;
        }
    }

    /// Whether the process of the member stands still: what comes to it waits in its sockets, and nothing leaves.
    pub fn set_frozen(&self, member: MemberId, is_frozen: bool) {
        let mut inner = self.inner();
        if let Some(member) = inner.members.get_mut(&member) {
            member.is_frozen = is_frozen;
        }
        let sockets = inner.sockets.iter_mut().filter(|(socket, _)| socket.member == member && !is_frozen);
        for (_, inbox) in sockets {
            if let Some(reader) = inbox.reader.take() {
                reader.wake();
            }
        }
    }

    /// What went through a line, both directions.
    #[must_use]
    pub fn counted(&self, from: MemberId, to: MemberId) -> [Counted; 2] {
        let inner = self.inner();
        let line = inner.lines.get(&(from, to));
        line.map(|line| [line.counted(Way::ToHub), line.counted(Way::ToNode)]).unwrap_or_default()
    }

    /// Whether datagrams are under way to a member, or wait for it.
    #[must_use]
    pub fn is_awaited(&self, member: MemberId) -> bool {
        let inner = self.inner();
        let waits = |(socket, inbox): (&SocketId, &Inbox)| socket.member == member && !inbox.datagrams.is_empty();
        inner.flights.iter().any(|flight| flight.0.to.member == member) || inner.sockets.iter().any(waits)
    }

    /// Opens a socket. `None` when the port is taken or the member unknown.
    pub(super) fn open(&self, member: MemberId, port: u16) -> Option<(SocketId, SocketAddr)> {
        let mut inner = self.inner();
        let machine = inner.members.get_mut(&member)?;
        let address = machine.address;
        let port = if port == 0 {
            machine.next_port = machine.next_port.checked_add(1).unwrap_or(PORTS_FROM);
            machine.next_port
        } else {
            port
        };
        let socket = SocketId { member, port };
        if inner.sockets.contains_key(&socket) {
            return None;
        }
        inner.sockets.insert(socket, Inbox::default());
        Some((socket, (address, port).into()))
    }

    /// Closes a socket: what is under way to it is lost.
    pub(super) fn close(&self, socket: SocketId) {
        let mut inner = self.inner();
        inner.sockets.remove(&socket);
        let gone: Vec<_> = inner.outside.extract_if(.., |(of, _), _| *of == socket).collect();
        for (_, mapping) in gone {
            inner.inside.remove(&mapping.outside);
        }
    }

    /// Takes what has arrived at a socket, or keeps the waker of its reader.
    pub(super) fn receive(&self, socket: SocketId, waker: &Waker) -> Option<Datagram> {
        let mut inner = self.inner();
        let inbox = inner.sockets.get_mut(&socket)?;
        let datagram = inbox.datagrams.pop_front();
        if datagram.is_none() {
            inbox.reader = Some(waker.clone());
        }
        datagram
    }

    /// Sends a datagram, or loses it.
    pub(super) fn send(&self, from: SocketId, to: SocketAddr, bytes: &[u8]) {
        let now = self.now();
        let mut inner = self.inner();
        // What is lost is lost; lines count it.
        let _ = inner.send(from, to, bytes, now);
        drop(inner);
        self.due.notify_one();
    }

    /// Plain data: a panic elsewhere leaves nothing half-written.
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn fresh_address(&mut self) -> Ipv4Addr {
        self.next_address += 1;
        Ipv4Addr::from(0x0a00_0000 | (self.next_address & 0x00ff_ffff))
    }

    fn forget_mappings(&mut self, member: MemberId) {
        let gone: Vec<_> = self.outside.extract_if(.., |(of, _), _| of.member == member).collect();
        for (_, mapping) in gone {
            self.inside.remove(&mapping.outside);
        }
    }

    fn send(&mut self, from: SocketId, to: SocketAddr, bytes: &[u8], now: u64) -> Result<(), Loss> {
        if self.members.get(&from.member).is_none_or(|member| member.is_frozen) {
            return Err(Loss::Down);
        }
        let to = self.find(to, now).ok_or(Loss::Down)?;
        let (line, way) = match self.lines.contains_key(&(from.member, to.member)) {
            true => ((from.member, to.member), Way::ToHub),
            false => ((to.member, from.member), Way::ToNode),
        };
        let source = match way {
            Way::ToHub => self.source(from, to.member, now),
            Way::ToNode => {
                self.touch(to, from.member, now);
                self.members.get(&from.member).map(|member| (member.address, from.port).into())
            }
        };
        let source = source.ok_or(Loss::Down)?;
        let day = (self.epoch + now / 1_000_000) / 86_400;
        let line = self.lines.get_mut(&line).ok_or(Loss::Down)?;
        let (first, second) = line.send(now, day, way, bytes.len())?;
        for arrival in std::iter::once(first).chain(second) {
            let mut bytes = bytes.to_vec();
            if let Some(draw) = arrival.flipped
                && let Some(bit) = draw.checked_rem(bytes.len() as u64 * 8)
                && let Some(byte) = bytes.get_mut(usize::try_from(bit / 8).unwrap_or_default())
            {
                *byte ^= 1 << (bit % 8);
            }
            self.flown += 1;
            let datagram = Datagram { from: source, bytes };
            self.flights.push(Reverse(Flight { at: arrival.at, number: self.flown, to, datagram }));
        }
        Ok(())
    }

    /// Whose socket an address leads to.
    fn find(&self, address: SocketAddr, now: u64) -> Option<SocketId> {
        if let Some(socket) = self.inside.get(&address) {
            // A NAT that has forgotten the way back: whatever comes is lost until something goes out again.
            let idle = self.members.get(&socket.member).and_then(|member| member.nat_idle);
            let mapping = self.outside.iter().find(|((of, _), mapping)| of == socket && mapping.outside == address);
            let is_known =
                mapping.is_some_and(|(_, mapping)| idle.is_none_or(|idle| now.saturating_sub(mapping.used) <= idle));
            return is_known.then_some(*socket);
        }
        let IpAddr::V4(ip) = address.ip() else { return None };
        let (member, _) = self.members.iter().find(|(_, member)| member.address == ip && member.nat_idle.is_none())?;
        Some(SocketId { member: *member, port: address.port() })
    }

    /// What the receiver sees as the sender's address.
    fn source(&mut self, from: SocketId, to: MemberId, now: u64) -> Option<SocketAddr> {
        let member = self.members.get(&from.member)?;
        let Some(idle) = member.nat_idle else { return Some((member.address, from.port).into()) };
        if let Some(mapping) = self.outside.get_mut(&(from, to))
            && now.saturating_sub(mapping.used) <= idle
        {
            mapping.used = now;
            return Some(mapping.outside);
        }
        let address = member.address;
        let outside: SocketAddr = loop {
            self.flown += 1;
            let port = u16::try_from(40_000 + self.flown % 20_000).unwrap_or(u16::MAX);
            if !self.inside.contains_key(&(address, port).into()) {
                break (address, port).into();
            }
        };
        if let Some(old) = self.outside.insert((from, to), Mapping { outside, used: now }) {
            self.inside.remove(&old.outside);
        }
        self.inside.insert(outside, from);
        Some(outside)
    }

    /// What comes in keeps a mapping alive as well.
    fn touch(&mut self, socket: SocketId, from: MemberId, now: u64) {
        if let Some(mapping) = self.outside.get_mut(&(socket, from)) {
            mapping.used = now;
        }
    }
}
