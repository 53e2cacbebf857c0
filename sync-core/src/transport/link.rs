//! One conversation with one peer: frames both ways over one stream, an end with a code and a reason.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use quinn::{ConnectionError, ReadError, RecvStream, SendStream, VarInt, WriteError};

use crate::identity::VerifiedPeer;
use crate::limits::{CLOSE_REASON_BYTES_MAX, FRAME_BYTES_MAX, READ_BYTES_MAX};
use crate::transport::frame::{FrameDecoder, FrameError, prefixed};

/// Codes of TLS alerts inside QUIC's error codes (RFC 9001, 4.8).
const TLS_ALERTS: std::ops::Range<u64> = 0x100..0x200;

/// Why a side ends a connection, as a number on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CloseCode(pub u32);

impl CloseCode {
    /// All was said.
    pub const DONE: Self = Self(0);
    /// The process ends or restarts; dial again.
    pub const SHUTTING_DOWN: Self = Self(1);
    /// The dialer showed no certificate of the fleet.
    pub const NO_CERTIFICATE: Self = Self(2);
    /// A frame is too large, or its length malformed.
    pub const BAD_FRAME: Self = Self(3);
    /// The peer did not keep to the replication protocol.
    pub const PROTOCOL: Self = Self(4);
    /// The peer is revoked.
    pub const REVOKED: Self = Self(5);
    /// The same peer has opened a newer link.
    pub const REPLACED: Self = Self(6);
    /// This side has too much to do; dial again later.
    pub const BUSY: Self = Self(7);
    /// The other side took too long.
    pub const TOO_SLOW: Self = Self(8);
    /// Another copy of the peer's store is in use.
    pub const CLONED: Self = Self(9);
    /// A side takes a new incarnation; dial again at once.
    pub const RESTARTED: Self = Self(10);
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match *self {
            Self::DONE => "done",
            Self::SHUTTING_DOWN => "shutting down",
            Self::NO_CERTIFICATE => "no certificate",
            Self::BAD_FRAME => "bad frame",
            Self::PROTOCOL => "protocol error",
            Self::REVOKED => "revoked",
            Self::REPLACED => "replaced by a newer link",
            Self::BUSY => "busy",
            Self::TOO_SLOW => "too slow",
            Self::CLONED => "another copy of this data folder is in use",
            Self::RESTARTED => "a side begins a new incarnation",
            Self(other) => return write!(f, "code {other}"),
        })
    }
}

/// How a link failed or ended, by who is to blame. Frames that were received before stand; of those that were sent, only the
/// ones that the peer acknowledged in the protocol above are known to have arrived.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// The peer sent no frame. The connection was closed with [`CloseCode::BAD_FRAME`].
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The peer ended the stream within a frame.
    #[error("the peer ended the stream in the middle of a frame")]
    CutShort,
    /// The peer closed the connection.
    #[error("the peer closed the link ({code}): {reason}")]
    ClosedByPeer {
        /// Why, for programs.
        code: CloseCode,
        /// Why, for people. The peer's words.
        reason: String,
    },
    /// The peer's TLS ended the handshake: it does not take this side's certificate.
    #[error("the peer refused this side's certificate (TLS alert {alert}); is it a hub of the same fleet?")]
    CertificateRefused {
        /// The alert (RFC 8446, 6.2).
        alert: u8,
    },
    /// The peer broke QUIC or TLS, or says that this side did.
    #[error("the connection broke: {reason}")]
    Transport {
        /// What the QUIC library says.
        reason: String,
    },
    /// The peer has forgotten the connection: it restarted. Dial again.
    #[error("the peer has restarted")]
    Reset,
    /// Nothing was heard for the idle timeout. Nobody is to blame; dial again.
    #[error("nothing was heard from the peer for too long")]
    TimedOut,
    /// This side closed the connection.
    #[error("this side has closed the link")]
    ClosedHere,
    /// The caller's mistake: the frame is past the bound. It was not sent; the link stands.
    #[error("a frame of {bytes} bytes cannot be sent; at most {FRAME_BYTES_MAX} can")]
    TooLarge {
        /// Its length.
        bytes: usize,
    },
    /// The caller's mistake: an earlier `send` was dropped before it ended, so the stream holds half a frame.
    #[error("an earlier frame was abandoned half sent; the link cannot go on")]
    Torn,
}

impl From<ConnectionError> for LinkError {
    fn from(error: ConnectionError) -> Self {
        match error {
            ConnectionError::ApplicationClosed(close) => Self::ClosedByPeer {
                code: CloseCode(u32::try_from(close.error_code.into_inner()).unwrap_or(u32::MAX)),
                reason: String::from_utf8_lossy(&close.reason).into_owned(),
            },
            ConnectionError::ConnectionClosed(close) => match u64::from(close.error_code) {
                code if TLS_ALERTS.contains(&code) => Self::CertificateRefused { alert: (code & 0xff) as u8 },
                _ => Self::Transport { reason: close.to_string() },
            },
            ConnectionError::Reset => Self::Reset,
            ConnectionError::TimedOut => Self::TimedOut,
            ConnectionError::LocallyClosed => Self::ClosedHere,
            ConnectionError::VersionMismatch | ConnectionError::TransportError(_) | ConnectionError::CidsExhausted => {
                Self::Transport { reason: error.to_string() }
            }
        }
    }
}

impl From<ReadError> for LinkError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::ConnectionLost(lost) => lost.into(),
            ReadError::Reset(code) => Self::Transport { reason: format!("the peer reset the stream with {code}") },
            ReadError::ClosedStream | ReadError::IllegalOrderedRead | ReadError::ZeroRttRejected => Self::ClosedHere,
        }
    }
}

impl From<WriteError> for LinkError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::ConnectionLost(lost) => lost.into(),
            WriteError::Stopped(code) => Self::Transport { reason: format!("the peer stopped the stream with {code}") },
            WriteError::ClosedStream | WriteError::ZeroRttRejected => Self::ClosedHere,
        }
    }
}

/// A conversation with a peer that proved who it is.
#[derive(Debug)]
pub struct Link {
    /// Who is at the other end.
    pub peer: VerifiedPeer,
    /// Where it was when the link began. It may move.
    pub remote: SocketAddr,
    /// Ends the link and tells about it, from any task.
    pub control: LinkControl,
    /// The way out.
    pub sender: FrameSender,
    /// The way in.
    pub receiver: FrameReceiver,
}

impl Link {
    pub(super) fn new(peer: VerifiedPeer, control: LinkControl, send: SendStream, receive: RecvStream) -> Self {
        let sender = FrameSender::new(send, control.clone());
        let receiver = FrameReceiver::new(receive, control.clone(), FRAME_BYTES_MAX);
        Self { peer, remote: control.remote(), control, sender, receiver }
    }
}

/// Bytes that a link has moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traffic {
    /// Bytes of frames sent, with their length prefixes.
    pub payload_sent: u64,
    /// Bytes of frames received, with their length prefixes.
    pub payload_received: u64,
    /// Bytes of UDP payload sent: handshake, acknowledgements and repeats included, IP and UDP headers not.
    pub datagram_sent: u64,
    /// Bytes of UDP payload received.
    pub datagram_received: u64,
}

#[derive(Debug, Default)]
struct Counters {
    sent: AtomicU64,
    received: AtomicU64,
}

/// A handle to a link's connection. The connection ends when the last handle, sender and receiver are gone.
#[derive(Debug, Clone)]
pub struct LinkControl {
    connection: quinn::Connection,
    endpoint: quinn::Endpoint,
    counters: Arc<Counters>,
}

impl LinkControl {
    pub(super) fn new(connection: quinn::Connection, endpoint: quinn::Endpoint) -> Self {
        Self { connection, endpoint, counters: Arc::default() }
    }

    /// Ends the link at once; frames under way may be lost. The peer is told both, the reason cut to
    /// [`CLOSE_REASON_BYTES_MAX`] bytes.
    pub fn close(&self, code: CloseCode, reason: &str) {
        let reason = reason.get(..reason.floor_char_boundary(CLOSE_REASON_BYTES_MAX)).unwrap_or_default();
        self.connection.close(VarInt::from_u32(code.0), reason.as_bytes());
    }

    /// Waits for the end of the link, whoever brings it about, and tells why it ended.
    pub async fn closed(&self) -> LinkError {
        self.connection.closed().await.into()
    }

    /// Waits until the peer was told of the end of this and every other link of the same socket. A dialer calls it before the
    /// process exits. Bounded by QUIC: three probe timeouts after the last close.
    pub async fn drained(&self) {
        self.endpoint.wait_idle().await;
    }

    /// What was moved so far.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        let stats = self.connection.stats();
        Traffic {
            payload_sent: self.counters.sent.load(Ordering::Relaxed),
            payload_received: self.counters.received.load(Ordering::Relaxed),
            datagram_sent: stats.udp_tx.bytes,
            datagram_received: stats.udp_rx.bytes,
        }
    }

    /// The present estimate of a round trip.
    #[must_use]
    pub fn round_trip(&self) -> Duration {
        self.connection.rtt()
    }

    /// Where the peer is now.
    #[must_use]
    pub fn remote(&self) -> SocketAddr {
        self.connection.remote_address()
    }
}

/// The sending half of a link.
#[derive(Debug)]
pub struct FrameSender {
    stream: SendStream,
    control: LinkControl,
    torn: bool,
}

impl FrameSender {
    pub(super) fn new(stream: SendStream, control: LinkControl) -> Self {
        Self { stream, control, torn: false }
    }

    /// Hands a frame to QUIC; returns when it was taken, which is not when it arrived. Waits while the windows are full.
    /// Not to be dropped half-way: the link is of no use after that and says so.
    ///
    /// # Errors
    /// [`LinkError`]; after any but `TooLarge` the link has ended.
    pub async fn send(&mut self, frame: Vec<u8>) -> Result<(), LinkError> {
        if self.torn {
            return Err(LinkError::Torn);
        }
        if frame.len() > FRAME_BYTES_MAX {
            return Err(LinkError::TooLarge { bytes: frame.len() });
        }
        let bytes = prefixed(frame);
        self.torn = true;
        self.stream.write_all(&bytes).await?;
        self.torn = false;
        self.control.counters.sent.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    /// Says that no frame will follow. The peer's `recv` gives `None` after the last one. Half a frame is never passed off
    /// as the end: a torn link is reset instead.
    pub fn finish(&mut self) {
        // The only error is that the stream has ended already.
        let _ =
            if self.torn { self.stream.reset(VarInt::from_u32(CloseCode::BAD_FRAME.0)) } else { self.stream.finish() };
    }

    /// After [`finish`](Self::finish): waits until the peer's QUIC has everything.
    ///
    /// # Errors
    /// [`LinkError`] when the link ended before.
    pub async fn delivered(&mut self) -> Result<(), LinkError> {
        match self.stream.stopped().await {
            Ok(_) | Err(quinn::StoppedError::ZeroRttRejected) => Ok(()),
            Err(quinn::StoppedError::ConnectionLost(lost)) => Err(lost.into()),
        }
    }
}

/// The receiving half of a link.
#[derive(Debug)]
pub struct FrameReceiver {
    stream: RecvStream,
    control: LinkControl,
    decoder: FrameDecoder,
}

impl FrameReceiver {
    pub(super) fn new(stream: RecvStream, control: LinkControl, max: usize) -> Self {
        Self { stream, control, decoder: FrameDecoder::new(max) }
    }

    /// The next frame, or `None` when the peer has finished. May be dropped and called again at any point.
    ///
    /// # Errors
    /// [`LinkError`]; the link is of no use after it.
    pub async fn recv(&mut self) -> Result<Option<Vec<u8>>, LinkError> {
        loop {
            match self.decoder.next_frame() {
                Ok(Some(frame)) => return Ok(Some(frame)),
                Ok(None) => {}
                Err(error) => {
                    self.control.close(CloseCode::BAD_FRAME, &error.to_string());
                    return Err(error.into());
                }
            }
            match self.stream.read_chunk(READ_BYTES_MAX, true).await? {
                Some(chunk) => {
                    self.control.counters.received.fetch_add(chunk.bytes.len() as u64, Ordering::Relaxed);
                    self.decoder.push(&chunk.bytes);
                }
                None if self.decoder.is_empty() => return Ok(None),
                None => return Err(LinkError::CutShort),
            }
        }
    }
}
