//! A feed as a file: a header, frames as on a link, and one signature over all of it. What it means is in `docs/protocol.md`.
//!
//! ```text
//! "archipel bundle\n" | version: 1 byte | recipient: 32 | from: number (u64, little endian), chain (16)
//! certificate of the exporter: length (u32, little endian), DER
//! frames: length (u32, little endian, not 0), the frame; the first is a hello, all others are pushes
//! 0 (u32) | signature of the exporter: 64, over "archipel 2026 bundle", a zero byte,
//!           and BLAKE3 derive_key("archipel 2026 bundle content") of all bytes before the signature
//! ```

#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        reason = "its input comes from a disk"
    )
)]

use std::io::{BufReader, ErrorKind, Read, Seek, SeekFrom, Write};

use crate::id::{Chain, NodeId};
use crate::identity::{PublicKey, Signature, SigningKey};
use crate::limits::{BUNDLE_BYTES_MAX, BUNDLE_FRAMES_MAX, CERTIFICATE_BYTES_MAX, FRAME_BYTES_MAX};
use crate::position::Position;

const MAGIC: &[u8; 16] = b"archipel bundle\n";
/// The version of the layout that is written and read here.
pub const BUNDLE_VERSION: u8 = 1;
const CONTENT_CONTEXT: &str = "archipel 2026 bundle content";
const SIGNATURE_DOMAIN: &[u8] = b"archipel 2026 bundle\0";
/// The signature's bytes.
const SIGNATURE_BYTES: u64 = 64;
/// The end of the frames and the signature.
pub const TRAILER_BYTES: u64 = 4 + SIGNATURE_BYTES;

/// Who wrote a bundle, for whom, and from where on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BundleHeader {
    /// Whom the feed is for.
    pub recipient: NodeId,
    /// The place in the feed before the bundle's first entry.
    pub from: Position,
    /// The exporter's certificate in DER, without the root.
    pub certificate: Vec<u8>,
}

/// Why a file is no bundle that can be believed. Nothing was done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BundleReadError {
    /// The file cannot be read.
    #[error("the file cannot be read: {0}")]
    Io(#[from] std::io::Error),
    /// It begins with other bytes.
    #[error("this is no bundle; a bundle is written by the command `bundle export`")]
    NotABundle,
    /// A layout that is not known here.
    #[error("a bundle of version {found}, this program reads {BUNDLE_VERSION}; use the newer program")]
    Version {
        /// The file's.
        found: u8,
    },
    /// Over [`BUNDLE_BYTES_MAX`].
    #[error("a bundle of {bytes} bytes; at most {BUNDLE_BYTES_MAX} are allowed")]
    TooLarge {
        /// Its length.
        bytes: u64,
    },
    /// Over [`BUNDLE_FRAMES_MAX`].
    #[error("the bundle has more than {BUNDLE_FRAMES_MAX} frames; what came before in it was taken")]
    TooManyFrames,
    /// Its end is missing, or bytes in it were changed.
    #[error("the bundle is damaged: cut short, or changed on the way; copy it again, nothing of it was taken")]
    Damaged,
    /// Its exporter signed it, and wrote it wrongly.
    #[error("the exporter wrote a bundle that breaks the format at byte {at}; what came before in it was taken")]
    Malformed {
        /// Where.
        at: u64,
    },
}

fn content_hasher() -> blake3::Hasher {
    blake3::Hasher::new_derive_key(CONTENT_CONTEXT)
}

fn signed_message(hasher: &blake3::Hasher) -> Vec<u8> {
    [SIGNATURE_DOMAIN, hasher.finalize().as_bytes()].concat()
}

/// Writes a bundle, frame by frame.
#[derive(Debug)]
pub struct BundleWriter<W> {
    out: W,
    hasher: blake3::Hasher,
    bytes: u64,
    frames: u64,
}

impl<W: Write> BundleWriter<W> {
    /// Writes the header.
    ///
    /// # Errors
    /// What the writer says.
    pub fn begin(out: W, header: &BundleHeader) -> std::io::Result<Self> {
        let mut writer = Self { out, hasher: content_hasher(), bytes: 0, frames: 0 };
        writer.put(MAGIC)?;
        writer.put(&[BUNDLE_VERSION])?;
        writer.put(&header.recipient.0)?;
        writer.put(&header.from.number.to_le_bytes())?;
        writer.put(&header.from.chain.0)?;
        writer.put_with_length(&header.certificate)?;
        Ok(writer)
    }

    /// Writes one frame.
    ///
    /// # Errors
    /// What the writer says.
    pub fn frame(&mut self, frame: &[u8]) -> std::io::Result<()> {
        self.frames = self.frames.saturating_add(1);
        self.put_with_length(frame)
    }

    /// Whether so many more frames of so many bytes fit the bounds of a bundle, with its end.
    #[must_use]
    pub fn fits(&self, frames: u64, bytes: u64) -> bool {
        let lengths = frames.saturating_mul(4);
        let end = [self.bytes, bytes, lengths, TRAILER_BYTES].into_iter().fold(0, u64::saturating_add);
        end <= BUNDLE_BYTES_MAX && self.frames.saturating_add(frames) <= BUNDLE_FRAMES_MAX
    }

    /// Ends the frames and signs; gives the length of the whole in bytes.
    ///
    /// # Errors
    /// What the writer says.
    pub fn finish(mut self, key: &SigningKey) -> std::io::Result<u64> {
        self.put(&0_u32.to_le_bytes())?;
        let signature = key.sign(&signed_message(&self.hasher));
        self.put(&signature.0)?;
        self.out.flush()?;
        Ok(self.bytes)
    }

    fn put(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.out.write_all(bytes)?;
        self.hasher.update(bytes);
        self.bytes = self.bytes.saturating_add(bytes.len() as u64);
        Ok(())
    }

    fn put_with_length(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        let length = u32::try_from(bytes.len()).map_err(|_| ErrorKind::InvalidInput)?;
        self.put(&length.to_le_bytes())?;
        self.put(bytes)
    }
}

/// Reads a bundle: the header, then a check of the whole, then frame by frame.
#[derive(Debug)]
pub struct BundleReader<R> {
    source: BufReader<R>,
    header: BundleHeader,
    /// Where the next frame begins.
    at: u64,
    /// Where the signature begins.
    end: u64,
    frames_left: u64,
}

impl<R: Read + Seek> BundleReader<R> {
    /// Reads the header from the beginning of the source. Nothing in it is to be believed before [`BundleReader::verify`].
    ///
    /// # Errors
    /// [`BundleReadError`].
    pub fn open(mut source: R) -> Result<Self, BundleReadError> {
        let bytes = source.seek(SeekFrom::End(0))?;
        source.seek(SeekFrom::Start(0))?;
        let mut source = BufReader::new(source);
        if take::<16>(&mut source).map_err(not_a_bundle)? != *MAGIC {
            return Err(BundleReadError::NotABundle);
        }
        let [found] = take(&mut source)?;
        if found != BUNDLE_VERSION {
            return Err(BundleReadError::Version { found });
        }
        if bytes > BUNDLE_BYTES_MAX {
            return Err(BundleReadError::TooLarge { bytes });
        }
        let recipient = NodeId(take(&mut source)?);
        let number = u64::from_le_bytes(take(&mut source)?);
        let from = Position { number, chain: Chain(take(&mut source)?) };
        let certificate = take_with_length(&mut source, CERTIFICATE_BYTES_MAX)?.ok_or(BundleReadError::Damaged)?;
        let at = source.stream_position()?;
        let end = bytes.checked_sub(SIGNATURE_BYTES).filter(|end| *end > at).ok_or(BundleReadError::Damaged)?;
        let header = BundleHeader { recipient, from, certificate };
        Ok(Self { source, header, at, end, frames_left: BUNDLE_FRAMES_MAX })
    }

    /// The header.
    #[must_use]
    pub fn header(&self) -> &BundleHeader {
        &self.header
    }

    /// Reads the whole file and checks that the holder of this key signed it as it is.
    ///
    /// # Errors
    /// [`BundleReadError`].
    pub fn verify(&mut self, exporter: &PublicKey) -> Result<(), BundleReadError> {
        self.source.seek(SeekFrom::Start(0))?;
        let mut hasher = content_hasher();
        let hashed = std::io::copy(&mut (&mut self.source).take(self.end), &mut hasher)?;
        let signature = Signature(take(&mut self.source)?);
        if hashed != self.end || !exporter.verifies(&signed_message(&hasher), &signature) {
            return Err(BundleReadError::Damaged);
        }
        self.source.seek(SeekFrom::Start(self.at))?;
        Ok(())
    }

    /// The next frame; `None` at the end.
    ///
    /// # Errors
    /// [`BundleReadError`].
    pub fn frame(&mut self) -> Result<Option<Vec<u8>>, BundleReadError> {
        let malformed = BundleReadError::Malformed { at: self.at };
        let frame = match take_with_length(&mut self.source, FRAME_BYTES_MAX) {
            Err(BundleReadError::Io(error)) => return Err(error.into()),
            Err(_) => return Err(malformed),
            Ok(frame) => frame,
        };
        self.at = self.source.stream_position()?;
        match frame {
            Some(frame) if self.at < self.end => {
                self.frames_left = self.frames_left.checked_sub(1).ok_or(BundleReadError::TooManyFrames)?;
                Ok(Some(frame))
            }
            None if self.at == self.end => Ok(None),
            _ => Err(malformed),
        }
    }
}

fn not_a_bundle(error: BundleReadError) -> BundleReadError {
    if matches!(error, BundleReadError::Damaged) { BundleReadError::NotABundle } else { error }
}

fn take<const N: usize>(source: &mut impl Read) -> Result<[u8; N], BundleReadError> {
    let mut bytes = [0; N];
    match source.read_exact(&mut bytes) {
        Ok(()) => Ok(bytes),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Err(BundleReadError::Damaged),
        Err(error) => Err(error.into()),
    }
}

/// Bytes after their length; `None` for no bytes.
fn take_with_length(source: &mut impl Read, max: usize) -> Result<Option<Vec<u8>>, BundleReadError> {
    let length = u32::from_le_bytes(take(source)?);
    if length == 0 {
        return Ok(None);
    }
    if length as usize > max {
        return Err(BundleReadError::Damaged);
    }
    let mut bytes = Vec::new();
    // Memory grows with what is there, not with what is claimed.
    source.take(u64::from(length)).read_to_end(&mut bytes)?;
    if bytes.len() == length as usize { Ok(Some(bytes)) } else { Err(BundleReadError::Damaged) }
}
