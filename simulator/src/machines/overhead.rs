//! What QUIC, UDP and IP add to frames, in bytes and round trips. The only place with such numbers.
//!
//! Sources: header forms of RFC 9000 (17.3: a short header of 1 byte, 8 of connection id as quinn makes them, 2 of packet
//! number; 19.8: a STREAM frame of some 5), RFC 9001 (5.3: 16 bytes of AEAD tag), 28 bytes of IPv4 and UDP; the handshake's
//! flights are padded to 1200 bytes and hold two certificates each way.

use std::time::Duration;

/// A packet of one frame or a part of it: 28 of IP and UDP, 11 of short header, 16 of tag, 5 of STREAM frame.
const PACKET_BYTES: u64 = 60;

/// Bytes of a stream in one packet: quinn begins with 1200 bytes of UDP payload.
const ROOM_BYTES: u64 = 1_168;

/// An acknowledgement: 28 of IP and UDP, 11 of short header, 16 of tag, 6 of ACK frame.
pub(super) const ACK_BYTES: u64 = 61;

/// A keep-alive: a PING in a packet.
pub(super) const PING_BYTES: u64 = 56;

/// What a dialer says first, padded.
pub(super) const HELLO_BYTES: u64 = 1_228;

/// What the acceptor answers: its hello, certificates and proof in two padded datagrams and the rest.
pub(super) const ANSWER_BYTES: u64 = 2_700;

/// What the dialer adds before its first frame: its certificates and proof.
pub(super) const PROOF_BYTES: u64 = 1_500;

/// The end of a connection.
pub(super) const CLOSE_BYTES: u64 = 64;

/// As in `sync_core::transport::Settings`.
pub(super) const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// As there.
pub(super) const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// As there.
pub(super) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// When a first packet that nobody answered is sent again; the wait doubles (RFC 9002, 6.2.2: thrice an initial round trip of
/// 333 ms).
pub(super) const FIRST_PROBE: Duration = Duration::from_millis(999);

/// How long an acknowledgement may be held back (RFC 9000, 18.2), which a probe waits for as well.
pub(super) const ACK_DELAY: Duration = Duration::from_millis(25);

/// Packets of so many bytes of a stream.
pub(super) fn packets(stream: u64) -> u64 {
    stream.div_ceil(ROOM_BYTES).max(1)
}

/// Bytes of IP packets that carry so many bytes of a stream.
pub(super) fn wire_bytes(stream: u64) -> u64 {
    stream + packets(stream) * PACKET_BYTES
}

/// Bytes of a frame with its length before it, a varint of seven bits a byte (LEB128).
pub(super) fn framed(frame: usize) -> u64 {
    let bits = usize::BITS - frame.leading_zeros();
    frame as u64 + u64::from(bits.div_ceil(7).max(1))
}
