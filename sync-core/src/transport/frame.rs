//! Frames on a stream: a LEB128 length, then that many bytes. Sans-IO.

#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        reason = "its input comes from a network or a disk"
    )
)]

use crate::limits::READ_BYTES_MAX;

/// Bytes of the longest length prefix: 28 bits, more than any frame.
const PREFIX_BYTES_MAX: usize = 4;

/// Why a stream holds no further frame. The peer is to blame; frames before it stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The length prefix is longer than it needs to be or than any prefix.
    #[error("the peer sent a malformed frame length")]
    Prefix,
    /// The announced length is past the bound. Nothing was allocated for it.
    #[error("the peer announced a frame of {claimed} bytes; at most {max} are accepted")]
    Oversize {
        /// The announced length.
        claimed: usize,
        /// The bound.
        max: usize,
    },
}

/// Puts the length in front of a frame.
#[must_use]
pub fn prefixed(mut frame: Vec<u8>) -> Vec<u8> {
    let mut prefix = Vec::with_capacity(PREFIX_BYTES_MAX);
    let mut rest = frame.len();
    while rest >= 0x80 {
        prefix.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    prefix.push(rest as u8);
    frame.splice(..0, prefix);
    frame
}

/// Cuts a stream of bytes into frames. Holds what arrived of one frame and what was read with it, never more than that.
#[derive(Debug)]
pub struct FrameDecoder {
    max: usize,
    bytes: Vec<u8>,
    taken: usize,
}

impl FrameDecoder {
    /// A decoder that refuses frames of more than `max` bytes.
    #[must_use]
    pub fn new(max: usize) -> Self {
        Self { max, bytes: Vec::new(), taken: 0 }
    }

    /// Adds bytes as they arrived.
    pub fn push(&mut self, arrived: &[u8]) {
        self.bytes.drain(..self.taken);
        self.taken = 0;
        self.bytes.extend_from_slice(arrived);
    }

    /// The next complete frame, or `None` until more bytes arrive.
    ///
    /// # Errors
    /// [`FrameError`]; the stream is of no use after it.
    pub fn next_frame(&mut self) -> Result<Option<Vec<u8>>, FrameError> {
        let waiting = self.bytes.get(self.taken..).unwrap_or_default();
        let Some((length, prefix)) = read_prefix(waiting)? else { return Ok(None) };
        if length > self.max {
            return Err(FrameError::Oversize { claimed: length, max: self.max });
        }
        let end = prefix.saturating_add(length);
        let Some(frame) = waiting.get(prefix..end).map(<[u8]>::to_vec) else { return Ok(None) };
        self.taken = self.taken.saturating_add(end);
        if self.taken == self.bytes.len() {
            self.bytes.clear();
            self.bytes.shrink_to(READ_BYTES_MAX);
            self.taken = 0;
        }
        Ok(Some(frame))
    }

    /// Whether no part of a frame waits for its rest.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.taken == self.bytes.len()
    }

    /// Bytes of memory that are held.
    #[must_use]
    pub fn held(&self) -> usize {
        self.bytes.capacity()
    }
}

/// The length at the front and the bytes that it takes; `None` when it is not complete.
fn read_prefix(bytes: &[u8]) -> Result<Option<(usize, usize)>, FrameError> {
    let mut length = 0;
    for ((taken, shift), byte) in (1..=PREFIX_BYTES_MAX).zip((0_u32..).step_by(7)).zip(bytes) {
        length |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            // A zero at the end adds nothing: one length has one form.
            return if *byte == 0 && taken > 1 { Err(FrameError::Prefix) } else { Ok(Some((length, taken))) };
        }
    }
    if bytes.len() >= PREFIX_BYTES_MAX { Err(FrameError::Prefix) } else { Ok(None) }
}

const _: () = assert!(crate::limits::FRAME_BYTES_MAX < 1 << (7 * PREFIX_BYTES_MAX));

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::FRAME_BYTES_MAX;
    use proptest::prelude::*;

    #[test]
    fn a_claimed_length_allocates_nothing() {
        let mut decoder = FrameDecoder::new(FRAME_BYTES_MAX);
        let announced = prefixed(vec![0; FRAME_BYTES_MAX]);
        decoder.push(&announced[..8]);
        assert_eq!(decoder.next_frame(), Ok(None));
        assert!(decoder.held() < 64);

        let mut decoder = FrameDecoder::new(FRAME_BYTES_MAX);
        decoder.push(&[0xff, 0xff, 0xff, 0x7f]);
        let refused = decoder.next_frame();
        assert_eq!(refused, Err(FrameError::Oversize { claimed: (1 << 28) - 1, max: FRAME_BYTES_MAX }));
        assert!(decoder.held() < 64);
    }

    #[test]
    fn one_length_has_one_form() {
        for prefix in [&[0x80, 0x00][..], &[0x81, 0x80, 0x00], &[0xff, 0xff, 0xff, 0xff]] {
            let mut decoder = FrameDecoder::new(FRAME_BYTES_MAX);
            decoder.push(prefix);
            assert_eq!(decoder.next_frame(), Err(FrameError::Prefix), "{prefix:x?}");
        }
    }

    #[test]
    fn a_small_frame_costs_one_byte() {
        assert_eq!(prefixed(vec![7; 127]).len(), 128);
        assert_eq!(prefixed(vec![7; 128]).len(), 130);
    }

    #[test]
    fn memory_of_a_large_frame_is_given_back() {
        let mut decoder = FrameDecoder::new(FRAME_BYTES_MAX);
        decoder.push(&prefixed(vec![1; FRAME_BYTES_MAX]));
        assert_eq!(decoder.next_frame().unwrap().unwrap().len(), FRAME_BYTES_MAX);
        assert!(decoder.held() <= READ_BYTES_MAX);
    }

    proptest! {
        #[test]
        fn frames_survive_any_cutting_of_the_stream(
            frames in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..400), 0..8),
            cut in 1_usize..50,
        ) {
            let stream: Vec<u8> = frames.iter().cloned().flat_map(prefixed).collect();
            let mut decoder = FrameDecoder::new(1024);
            let mut read = Vec::new();
            for piece in stream.chunks(cut) {
                decoder.push(piece);
                while let Some(frame) = decoder.next_frame().unwrap() {
                    read.push(frame);
                }
            }
            prop_assert_eq!(read, frames);
            prop_assert!(decoder.is_empty());
        }
    }
}
