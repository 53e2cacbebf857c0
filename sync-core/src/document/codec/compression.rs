//! zstd (RFC 8878) without what both sides know: no magic number, no checksum, and a dictionary that is part of this crate.

use std::cell::RefCell;
use std::io::Read;
use std::sync::LazyLock;

use zstd::bulk::Compressor;
use zstd::dict::{DecoderDictionary, EncoderDictionary};
use zstd::stream::read::Decoder;
use zstd::zstd_safe::{CParameter, DParameter};

use super::UnpackError;
use crate::limits::DELTA_BYTES_MAX;

const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// The largest window a frame may ask for, as a power of two: [`DELTA_BYTES_MAX`].
const WINDOW_LOG_MAX: u32 = 24;

const _: () = assert!(DELTA_BYTES_MAX == 1 << WINDOW_LOG_MAX);

/// Trained by `sync-core/tests/codec_dictionary.rs` on histories as this project writes them. Never change its bytes: a
/// better one gets another number.
static DICTIONARY_1: &[u8] = include_bytes!("dictionary-1.zstd-dictionary");

/// Rows are short; with the dictionary's tables a higher level finds nothing more.
const ROW_LEVEL: i32 = 19;

static ROW_ENCODER: LazyLock<EncoderDictionary<'static>> =
    LazyLock::new(|| EncoderDictionary::copy(DICTIONARY_1, ROW_LEVEL));
static ROW_DECODER: LazyLock<DecoderDictionary<'static>> = LazyLock::new(|| DecoderDictionary::copy(DICTIONARY_1));

/// How the bytes after the first one are compressed.
const STORED: u8 = 0;
const PLAIN_ZSTD: u8 = 1;
const ZSTD_WITH_DICTIONARY_1: u8 = 2;

/// Lanes up to this size are worth the slowest level, which puts lanes that differ into blocks of their own.
const SLOW_BYTES_MAX: usize = 512 * 1024;

/// The smallest form: its number, then its bytes. Nothing when zstd cannot allocate and the bytes cannot be stored either.
pub(super) fn compress(plain: &[u8], with_dictionary: bool) -> Vec<u8> {
    let level = if plain.len() <= SLOW_BYTES_MAX { 19 } else { 9 };
    let mut candidates = vec![(STORED, plain.to_vec())];
    if with_dictionary {
        candidates.extend(row_frame(plain).map(|frame| (ZSTD_WITH_DICTIONARY_1, frame)));
    } else {
        let compressor = Compressor::new(level);
        candidates.extend(compressor.and_then(|mut it| frame(&mut it, plain)).map(|frame| (PLAIN_ZSTD, frame)));
    }
    let smallest = candidates.into_iter().min_by_key(|(_, bytes)| bytes.len());
    smallest.map(|(number, bytes)| [&[number][..], &bytes].concat()).unwrap_or_default()
}

/// Rows up to this size, which nearly all are, share a thread's compressor: its memory, some hundred kilobytes, costs more to
/// get than a row costs to compress.
const KEPT_BYTES_MAX: usize = 4 * 1024;

thread_local! {
    static ROW_COMPRESSOR: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
}

fn row_frame(plain: &[u8]) -> std::io::Result<Vec<u8>> {
    if plain.len() > KEPT_BYTES_MAX {
        return frame(&mut Compressor::with_prepared_dictionary(&ROW_ENCODER)?, plain);
    }
    ROW_COMPRESSOR.with_borrow_mut(|kept| {
        let compressor = match kept {
            Some(compressor) => compressor,
            None => kept.insert(Compressor::with_prepared_dictionary(&ROW_ENCODER)?),
        };
        frame(compressor, plain)
    })
}

fn frame(compressor: &mut Compressor<'_>, plain: &[u8]) -> std::io::Result<Vec<u8>> {
    compressor.set_parameter(CParameter::DictIdFlag(false))?;
    compressor.set_parameter(CParameter::ContentSizeFlag(false))?;
    compressor.set_parameter(CParameter::ChecksumFlag(false))?;
    let frame = compressor.compress(plain)?;
    Ok(frame.strip_prefix(&MAGIC).map(<[u8]>::to_vec).unwrap_or(frame))
}

/// Undoes [`compress`], never holding more than `bound` bytes in memory whatever the frame claims.
pub(super) fn decompress(packed: &[u8], bound: usize) -> Result<Vec<u8>, UnpackError> {
    let (number, bytes) = packed.split_first().ok_or(UnpackError::Truncated)?;
    let framed = (&MAGIC[..]).chain(bytes);
    match *number {
        STORED if bytes.len() > bound => Err(UnpackError::TooLarge),
        STORED => Ok(bytes.to_vec()),
        PLAIN_ZSTD => read_all(Decoder::with_buffer(framed), bound),
        ZSTD_WITH_DICTIONARY_1 => read_all(Decoder::with_prepared_dictionary(framed, &ROW_DECODER), bound),
        number => Err(UnpackError::Dictionary { number }),
    }
}

/// Bytes that the buffer of a zstd stream begins with.
const FIRST_BYTES: usize = 16 * 1024;

/// Reads a zstd stream of at most `bound` bytes into a buffer that never grows past them.
pub(super) fn read_all<R: std::io::BufRead>(
    decoder: std::io::Result<Decoder<'_, R>>,
    bound: usize,
) -> Result<Vec<u8>, UnpackError> {
    let mut decoder = decoder.map_err(|_| UnpackError::Compression)?;
    decoder.set_parameter(DParameter::WindowLogMax(WINDOW_LOG_MAX)).map_err(|_| UnpackError::Compression)?;
    let mut plain = Vec::new();
    loop {
        let room = plain.len().max(FIRST_BYTES).min(bound.saturating_sub(plain.len()));
        plain.reserve_exact(room);
        let more = (&mut decoder).take(room as u64).read_to_end(&mut plain).map_err(|_| UnpackError::Compression)?;
        if more < room {
            return Ok(plain);
        }
        if plain.len() == bound {
            let ends = decoder.read(&mut [0]).map_err(|_| UnpackError::Compression)? == 0;
            return if ends { Ok(plain) } else { Err(UnpackError::TooLarge) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a compressor of its own is what the test needs")]
    fn a_row_gives_the_same_bytes_whatever_its_thread_has_compressed_before() {
        let row = |seed: usize| (0..200 + seed * 37).map(|at| (at * (seed + 3) % 23) as u8).collect::<Vec<u8>>();
        for seed in (0..40).rev().chain(0..40) {
            let plain = row(seed);
            let here = compress(&plain, true);
            let there = std::thread::spawn(move || compress(&row(seed), true)).join().unwrap();
            assert_eq!(here, there);
            assert_eq!(decompress(&here, plain.len()).unwrap(), plain);
        }
    }
}
