//! Texts and chunks as they lie on the disk: under zstd (RFC 8878) where that is shorter, with their own length beside them.
//! A stored value as long as its length is the value itself.

use std::cell::RefCell;

use zstd::bulk::{Compressor, Decompressor};

use super::error::StoreError;
use crate::limits::COMPRESSED_BYTES_MAX;

/// Fast, and within a few percent of the slow levels on values of some kilobytes.
const LEVEL: i32 = 3;

/// Below this many bytes a frame saves nothing.
const PLAIN_BYTES_MIN: usize = 64;

/// A value as it is stored.
#[derive(Debug)]
pub(super) struct Compressed {
    pub(super) stored: Vec<u8>,
    /// Bytes of the value itself.
    pub(super) size: u64,
}

thread_local! {
    /// One of each for each thread that owns a store: their tables are made once.
    static COMPRESSOR: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

/// The frame; `None` where zstd cannot have its memory.
fn frame(plain: &[u8]) -> Option<Vec<u8>> {
    COMPRESSOR.with_borrow_mut(|kept| {
        let mut compressor = kept.take().or_else(|| Compressor::new(LEVEL).ok())?;
        let frame = compressor.compress(plain).ok()?;
        *kept = Some(compressor);
        Some(frame)
    })
}

/// What a frame holds, of at most `length` bytes; `None` when it is damaged.
fn unframe(frame: &[u8], length: usize) -> Option<Vec<u8>> {
    DECOMPRESSOR.with_borrow_mut(|kept| {
        let mut decompressor = kept.take().or_else(|| Decompressor::new().ok())?;
        // Dropped after a damaged one: the next begins anew.
        let plain = decompressor.decompress(frame, length).ok()?;
        *kept = Some(decompressor);
        Some(plain)
    })
}

/// What is stored for a value.
pub(super) fn compress(plain: &[u8]) -> Compressed {
    let size = plain.len() as u64;
    let packs = plain.len() >= PLAIN_BYTES_MIN && size <= COMPRESSED_BYTES_MAX;
    let frame = packs.then(|| frame(plain)).flatten();
    let stored = frame.filter(|frame| frame.len() < plain.len()).unwrap_or_else(|| plain.to_vec());
    Compressed { stored, size }
}

/// The value. A damaged one takes no more memory than its length, which is bounded.
pub(super) fn decompress(stored: Vec<u8>, size: u64, place: &'static str) -> Result<Vec<u8>, StoreError> {
    if stored.len() as u64 == size {
        return Ok(stored);
    }
    let damaged = || StoreError::Corrupt { place };
    let length = usize::try_from(size).ok().filter(|_| size <= COMPRESSED_BYTES_MAX).ok_or_else(damaged)?;
    let plain = unframe(&stored, length).ok_or_else(damaged)?;
    if plain.len() == length { Ok(plain) } else { Err(damaged()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_comes_back_and_long_ones_are_stored_shorter() {
        let text = "{\"health\":\"Healthy\",\"ready\":3}".repeat(100);
        for plain in [&b""[..], b"{}", &[7; 63], &[7; 64], text.as_bytes()] {
            let Compressed { stored, size } = compress(plain);
            assert!(stored.len() <= plain.len());
            assert_eq!(decompress(stored, size, "a test").unwrap(), plain);
        }
        assert!(compress(text.as_bytes()).stored.len() < text.len() / 10);
    }

    #[test]
    fn a_damaged_value_is_told_from_a_short_one() {
        let text = "one two three four ".repeat(50);
        let Compressed { stored, size } = compress(text.as_bytes());
        for (stored, size) in [
            (stored.clone(), size - 1),
            (stored.clone(), size + 1),
            (stored.clone(), u64::MAX),
            (stored[1..].to_vec(), size),
            (Vec::new(), 3),
        ] {
            assert!(matches!(decompress(stored, size, "a test"), Err(StoreError::Corrupt { place: "a test" })));
        }
    }
}
