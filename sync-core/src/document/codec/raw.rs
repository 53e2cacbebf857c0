//! Codec 1: chunks as they are, one after the other, under zstd (RFC 8878). It takes any chunk and stays readable for ever.

use std::cell::RefCell;

use zstd::bulk::Compressor;

use super::UnpackError;
use super::compression::{read_plain, with_compressor};
use crate::limits::{CHANGE_BYTES_MAX, DELTA_BYTES_MAX, DELTA_CHANGES_MAX};

/// A middle level: batches are made once a peer, and the content is text with much repetition.
const ZSTD_LEVEL: i32 = 9;

thread_local! {
    static COMPRESSOR: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
}

/// A u32 length (little endian) before each chunk, all compressed together.
pub(super) fn pack(chunks: &[&[u8]]) -> std::io::Result<Vec<u8>> {
    let mut plain = Vec::new();
    for chunk in chunks {
        plain.extend_from_slice(&u32::try_from(chunk.len()).unwrap_or(u32::MAX).to_le_bytes());
        plain.extend_from_slice(chunk);
    }
    let make = || Compressor::new(ZSTD_LEVEL);
    with_compressor(&COMPRESSOR, plain.len(), make, |compressor| compressor.compress(&plain))
}

/// Unpacks chunks, never holding more than the bound in memory whatever the frame claims.
pub(super) fn unpack(packed: &[u8]) -> Result<Vec<Vec<u8>>, UnpackError> {
    let plain = read_plain(packed, DELTA_BYTES_MAX)?;
    let mut chunks = Vec::new();
    let mut rest = plain.as_slice();
    while !rest.is_empty() {
        let (length, tail) = rest.split_first_chunk::<4>().ok_or(UnpackError::Truncated)?;
        let length = u32::from_le_bytes(*length) as usize;
        if length > CHANGE_BYTES_MAX || chunks.len() == DELTA_CHANGES_MAX {
            return Err(UnpackError::TooMany);
        }
        let (chunk, tail) = tail.split_at_checked(length).ok_or(UnpackError::Truncated)?;
        chunks.push(chunk.to_vec());
        rest = tail;
    }
    Ok(chunks)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn chunks_survive_packing(chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..20)) {
            let slices: Vec<&[u8]> = chunks.iter().map(Vec::as_slice).collect();
            let packed = pack(&slices).unwrap();
            prop_assert_eq!(unpack(&packed).unwrap(), chunks);
        }

        #[test]
        fn arbitrary_bytes_are_refused_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = unpack(&bytes);
        }
    }

    #[test]
    fn a_bomb_is_refused_at_the_bound() {
        let bomb = zstd::bulk::compress(&vec![0; DELTA_BYTES_MAX + 1], 3).unwrap();
        assert!(bomb.len() < 4096);
        assert_eq!(unpack(&bomb), Err(UnpackError::TooLarge));
    }

    #[test]
    fn a_frame_that_asks_for_a_window_above_a_delta_is_refused() {
        // RFC 8878, 3.1.1: magic, no content size, a window of 2^(10 + exponent), one raw block of 4 bytes, the last.
        let frame = |exponent: u8| [&[0x28, 0xb5, 0x2f, 0xfd, 0, exponent << 3, 0x21, 0, 0][..], &[0; 4]].concat();
        assert_eq!(unpack(&frame(14)), Ok(vec![Vec::new()]));
        assert_eq!(unpack(&frame(15)), Err(UnpackError::Compression));
    }
}
