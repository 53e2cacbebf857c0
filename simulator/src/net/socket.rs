//! quinn's view of a simulated network: a UDP socket that never blocks and never fragments.

use std::fmt::Debug;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, UdpPoller};

use super::internet::{Internet, SocketId};

/// An open socket. Closed when it is dropped.
#[derive(Debug)]
pub(super) struct Socket {
    internet: Internet,
    id: SocketId,
    address: SocketAddr,
}

impl Socket {
    pub(super) fn new(internet: Internet, id: SocketId, address: SocketAddr) -> Self {
        Self { internet, id, address }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.internet.close(self.id);
    }
}

impl AsyncUdpSocket for Socket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(AlwaysWritable)
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let size = transmit.segment_size.unwrap_or(transmit.contents.len()).max(1);
        for datagram in transmit.contents.chunks(size) {
            self.internet.send(self.id, transmit.destination, datagram);
        }
        Ok(())
    }

    fn poll_recv(
        &self,
        context: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let mut count = 0;
        for (buffer, meta) in buffers.iter_mut().zip(meta) {
            let Some(datagram) = self.internet.receive(self.id, context.waker()) else { break };
            let length = datagram.bytes.len().min(buffer.len());
            if let (Some(target), Some(bytes)) = (buffer.get_mut(..length), datagram.bytes.get(..length)) {
                target.copy_from_slice(bytes);
            }
            *meta = RecvMeta { addr: datagram.from, len: length, stride: length, ecn: None, ..RecvMeta::default() };
            count += 1;
        }
        if count == 0 { Poll::Pending } else { Poll::Ready(Ok(count)) }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }

    /// quinn looks for the path's MTU only where datagrams are not fragmented.
    fn may_fragment(&self) -> bool {
        false
    }
}

#[derive(Debug)]
struct AlwaysWritable;

impl UdpPoller for AlwaysWritable {
    fn poll_writable(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
