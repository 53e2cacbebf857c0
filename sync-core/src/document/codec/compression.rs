//! zstd (RFC 8878) without what both sides know: no magic number, no checksum, and a dictionary that is part of this crate.

use std::cell::RefCell;
use std::io::{BufRead, Read};
use std::sync::LazyLock;

use zstd::bulk::Compressor;
use zstd::dict::{DecoderDictionary, EncoderDictionary};
use zstd::stream::read::Decoder;
use zstd::zstd_safe::{CParameter, DCtx, DParameter};

use super::UnpackError;
use crate::limits::{DELTA_BYTES_MAX, KEPT_DECOMPRESSOR_BYTES_MAX};

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

/// What is at most this long, which nearly all is, shares a thread's compressor: its memory, some hundred kilobytes, costs
/// more to get than a row costs to compress.
const KEPT_BYTES_MAX: usize = 4 * 1024;

thread_local! {
    static ROW_COMPRESSOR: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
    static PLAIN_DECOMPRESSOR: RefCell<Option<DCtx<'static>>> = const { RefCell::new(None) };
    static ROW_DECOMPRESSOR: RefCell<Option<DCtx<'static>>> = const { RefCell::new(None) };
}

fn row_frame(plain: &[u8]) -> std::io::Result<Vec<u8>> {
    with_compressor(
        &ROW_COMPRESSOR,
        plain.len(),
        || Compressor::with_prepared_dictionary(&ROW_ENCODER),
        |compressor| frame(compressor, plain),
    )
}

/// A compressor that a thread keeps.
pub(super) type KeptCompressor = std::thread::LocalKey<RefCell<Option<Compressor<'static>>>>;

/// Runs `work` with the thread's compressor, or where `length` is above [`KEPT_BYTES_MAX`] with one of its own. All are made
/// by `make`.
pub(super) fn with_compressor<T>(
    kept: &'static KeptCompressor,
    length: usize,
    make: impl Fn() -> std::io::Result<Compressor<'static>>,
    work: impl FnOnce(&mut Compressor<'_>) -> std::io::Result<T>,
) -> std::io::Result<T> {
    if length > KEPT_BYTES_MAX {
        return work(&mut make()?);
    }
    kept.with_borrow_mut(|kept| match kept {
        Some(compressor) => work(compressor),
        None => work(kept.insert(make()?)),
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
        PLAIN_ZSTD => read_plain(framed, bound),
        ZSTD_WITH_DICTIONARY_1 => read_all(&ROW_DECOMPRESSOR, Some(&ROW_DECODER), framed, bound),
        number => Err(UnpackError::Dictionary { number }),
    }
}

/// Bytes that the buffer of a zstd stream begins with.
const FIRST_BYTES: usize = 16 * 1024;

/// Reads a zstd stream of at most `bound` bytes into a buffer that never grows past them.
pub(super) fn read_plain(stream: impl BufRead, bound: usize) -> Result<Vec<u8>, UnpackError> {
    read_all(&PLAIN_DECOMPRESSOR, None, stream, bound)
}

/// [`read_plain`] with a decompressor that the thread keeps for this dictionary, unless the stream asked for so much that it
/// is let go.
fn read_all(
    kept: &'static std::thread::LocalKey<RefCell<Option<DCtx<'static>>>>,
    dictionary: Option<&'static DecoderDictionary<'static>>,
    stream: impl BufRead,
    bound: usize,
) -> Result<Vec<u8>, UnpackError> {
    kept.with_borrow_mut(|kept| {
        let mut context = match kept.take() {
            Some(context) => context,
            None => make_decompressor(dictionary).ok_or(UnpackError::Compression)?,
        };
        // It begins anew whatever the stream before left in it.
        let plain = read_stream(Decoder::with_context(stream, &mut context), bound);
        *kept = Some(context).filter(|context| context.sizeof() <= KEPT_DECOMPRESSOR_BYTES_MAX);
        plain
    })
}

fn make_decompressor(dictionary: Option<&'static DecoderDictionary<'static>>) -> Option<DCtx<'static>> {
    let mut context = DCtx::try_create()?;
    context.set_parameter(DParameter::WindowLogMax(WINDOW_LOG_MAX)).ok()?;
    if let Some(dictionary) = dictionary {
        context.ref_ddict(dictionary.as_ddict()).ok()?;
    }
    Some(context)
}

fn read_stream(mut decoder: Decoder<'_, impl BufRead>, bound: usize) -> Result<Vec<u8>, UnpackError> {
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

    #[test]
    fn a_stream_is_read_alike_whatever_its_thread_has_read_before() {
        let row = compress(&b"a row like the others, a row like the others".repeat(3), true);
        let plain = decompress(&row, 1024).unwrap();
        // Magic, no content size, a window of 16 MiB, one raw block of 4 bytes that is not the last, and nothing after it.
        let large_and_cut = [&[0x28, 0xb5, 0x2f, 0xfd, 0, 14 << 3, 0x20, 0, 0][..], &[0; 4]].concat();
        let mut damaged = row.clone();
        damaged.iter_mut().rev().take(3).for_each(|byte| *byte = 0xff);
        for _ in 0..3 {
            assert_eq!(read_plain(&large_and_cut[..], 1024), Err(UnpackError::Compression));
            assert_eq!(decompress(&row, plain.len() - 1), Err(UnpackError::TooLarge));
            let _ = decompress(&damaged, 1024);
            assert_eq!(decompress(&row, 1024).unwrap(), plain);
        }
        let kept = PLAIN_DECOMPRESSOR.with_borrow(|kept| kept.as_ref().map_or(0, DCtx::sizeof));
        assert!(kept <= KEPT_DECOMPRESSOR_BYTES_MAX, "{kept}");
    }
}
