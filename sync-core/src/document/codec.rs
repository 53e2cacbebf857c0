//! Changes of one document as they travel: without what the receiver can derive, and back byte for byte (decisions D3, D11).
//!
//! Three codecs. [`Codec::RawZstd`] takes any chunk. [`Codec::Runs`] writes a batch as one row of symbols, for few changes, and
//! [`Codec::Columns`] each kind of symbol into a lane of its own, for many; both say only what the operations before do not
//! foretell. The layout is in `docs/protocol.md`.
//!
//! Both lean on one property of Automerge: a change has exactly one encoding, so its columns can be written anew from its
//! operations. [`pack`] unpacks what it packed and sends the chunks as they are when they do not come back the same.
#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::unreachable
)]

mod change;
mod column;
mod compression;
mod flags;
mod lane;
mod predict;
mod raw;
mod read;
mod value;
mod write;

pub(super) use column::write_unsigned;

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use self::lane::{Sink, Source};
use self::read::short_name;
use self::write::Batch;
use super::history::{ActorBytes, ChangeMeta, Clock, History};
use super::scan::ReadError;
use crate::id::ChangeHash;
use crate::limits::{
    CHANGE_BYTES_MAX, DELTA_BYTES_MAX, DELTA_CHANGES_MAX, UNPACKED_BYTES_MAX, UNPACKED_BYTES_MIN, UNPACKED_RATIO_MAX,
};

/// How a batch is packed. The numbers are those of the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Codec {
    /// Chunks as they are, under zstd.
    RawZstd = 1,
    /// One row of symbols, under zstd with a dictionary.
    Runs = 2,
    /// A lane for each kind of symbol, under zstd.
    Columns = 3,
}

impl Codec {
    /// The number on the wire and in the store.
    #[must_use]
    pub fn number(self) -> u8 {
        self as u8
    }

    /// The codec of this number; `None` for one that this version does not know.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        [Self::RawZstd, Self::Runs, Self::Columns].into_iter().find(|codec| codec.number() == number)
    }
}

/// A packed batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed {
    /// How.
    pub codec: Codec,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// What the receiver of a batch surely holds. A batch refers to nothing else.
#[derive(Clone, Copy)]
pub struct Base<'a> {
    clock: &'a Clock,
    find: &'a dyn Fn(&ChangeHash) -> Option<ChangeMeta>,
}

impl std::fmt::Debug for Base<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Base").field("clock", self.clock).finish_non_exhaustive()
    }
}

impl<'a> Base<'a> {
    /// The changes in `clock`. `find` looks up a change by its hash; what it finds outside of the clock is not used.
    #[must_use]
    pub fn new(clock: &'a Clock, find: &'a dyn Fn(&ChangeHash) -> Option<ChangeMeta>) -> Self {
        Self { clock, find }
    }

    /// Nothing: the receiver lacks the document.
    #[must_use]
    pub fn nothing(clock: &'a Clock) -> Self {
        Self { clock, find: &|_| None }
    }

    fn held(&self, hash: &ChangeHash) -> Option<ChangeMeta> {
        (self.find)(hash).filter(|meta| meta.seq <= self.clock.seq(&meta.actor))
    }

    /// How each actor is named: one that the receiver holds by four bytes, one of a known author by its random half.
    fn name_actors(&self, actors: &[ActorBytes]) -> Vec<Vec<u8>> {
        let mut held: BTreeMap<[u8; 4], usize> = BTreeMap::new();
        for (actor, _) in self.clock.iter() {
            let count = held.entry(short_name(actor)).or_default();
            *count = count.saturating_add(1);
        }
        let mut named: Vec<ActorBytes> = Vec::new();
        let mut names = Vec::new();
        for actor in actors {
            let short = short_name(actor);
            let like = named.iter().position(|other| other.0.first_chunk::<8>() == actor.0.first_chunk::<8>());
            let mut name = Vec::new();
            if self.clock.seq(actor) > 0 && held.get(&short) == Some(&1) {
                name.push(0);
                name.extend_from_slice(&short);
            } else if let Some(like) = like {
                write_unsigned(&mut name, (like as u64).saturating_add(2));
                name.extend(actor.0.iter().skip(8));
            } else {
                name.push(1);
                name.extend_from_slice(&actor.0);
            }
            named.push(*actor);
            names.push(name);
        }
        names
    }
}

/// What the receiver of a batch knows of the changes that it holds.
pub trait Known {
    /// Hash and counter of the last operation of the `seq`th change of `actor`.
    fn change(&self, actor: &ActorBytes, seq: u64) -> Option<(ChangeHash, u64)>;

    /// Every actor with a change.
    fn actors(&self) -> Vec<ActorBytes>;
}

impl Known for History {
    fn change(&self, actor: &ActorBytes, seq: u64) -> Option<(ChangeHash, u64)> {
        self.change_of(actor, seq).map(|meta| (meta.hash, meta.max_op))
    }

    fn actors(&self) -> Vec<ActorBytes> {
        self.actors().copied().collect()
    }
}

/// What a batch refers to, as its receiver would look it up.
struct Referred<'a> {
    clock: &'a Clock,
    changes: BTreeMap<(ActorBytes, u64), (ChangeHash, u64)>,
}

impl Known for Referred<'_> {
    fn change(&self, actor: &ActorBytes, seq: u64) -> Option<(ChangeHash, u64)> {
        self.changes.get(&(*actor, seq)).copied()
    }

    fn actors(&self) -> Vec<ActorBytes> {
        self.clock.iter().map(|(actor, _)| *actor).collect()
    }
}

/// Why a batch cannot be unpacked. Nothing was stored. Its sender is to blame, but for the last two: what it holds and what
/// is held here are not what it thought, and the batch has to come again with everything spelled out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UnpackError {
    /// Not a zstd frame, or a damaged one.
    #[error("the batch is not valid zstd")]
    Compression,
    /// Larger than [`DELTA_BYTES_MAX`] once unpacked, or it takes more to unpack than its own size allows
    /// ([`UNPACKED_RATIO_MAX`]).
    #[error("the batch unpacks to more than {DELTA_BYTES_MAX} bytes, or takes too much memory to unpack")]
    TooLarge,
    /// More than [`DELTA_CHANGES_MAX`] changes, a change above [`CHANGE_BYTES_MAX`], or too many operations.
    #[error("the batch holds more than {DELTA_CHANGES_MAX} changes, or a change of more than {CHANGE_BYTES_MAX} bytes")]
    TooMany,
    /// A length that does not fit.
    #[error("the batch ends inside a change")]
    Truncated,
    /// Compressed in a way that this version does not know.
    #[error("the batch is compressed in a way ({number}) that this version does not know; update this side")]
    Dictionary {
        /// The number of the way.
        number: u8,
    },
    /// A symbol that says nothing.
    #[error("the batch's {what} is malformed")]
    Malformed {
        /// What the symbol is about.
        what: &'static str,
    },
    /// The batch refers to a change or an actor that is not held here, or not by one name.
    #[error("the batch builds on a change that is not held here")]
    NotHeld,
    /// The rebuilt changes are not those that were packed.
    #[error("the batch builds on other changes than those held here")]
    Differs,
}

impl From<ReadError> for UnpackError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Truncated => Self::Truncated,
            ReadError::TooLarge | ReadError::NotShortest | ReadError::NotUtf8 => Self::Malformed { what: "integer" },
        }
    }
}

/// Raw bytes of a batch up to which a row is tried: with more, lanes win.
const RUNS_BYTES_MAX: usize = 16 * 1024;

/// Packs chunks, which are in a causal order, into the smallest form.
///
/// # Errors
/// When zstd cannot allocate.
pub fn pack(base: &Base<'_>, chunks: &[&[u8]]) -> std::io::Result<Packed> {
    let raw: usize = chunks.iter().map(|chunk| chunk.len()).fold(0, usize::saturating_add);
    let mut best: Option<Packed> = None;
    for codec in [Codec::Columns, Codec::Runs] {
        let may_win = match codec {
            Codec::Runs => raw <= RUNS_BYTES_MAX,
            Codec::Columns | Codec::RawZstd => chunks.len() > 1 || raw > RUNS_BYTES_MAX / 8,
        };
        let found = may_win.then(|| pack_as(codec, base, chunks)).transpose()?.flatten();
        best = best.into_iter().chain(found).min_by_key(|packed| packed.bytes.len());
    }
    // Runs of equal operations take a few bytes in a chunk and one symbol each in a batch of symbols.
    if let Some(best) = &best
        && best.bytes.len() < raw / 8
    {
        return Ok(best.clone());
    }
    let as_they_are = Packed { codec: Codec::RawZstd, bytes: raw::pack(chunks)? };
    Ok(best.filter(|best| best.bytes.len() < as_they_are.bytes.len()).unwrap_or(as_they_are))
}

/// Packs chunks with this codec; `None` when it cannot bring them back byte for byte.
///
/// # Errors
/// When zstd cannot allocate.
pub fn pack_as(codec: Codec, base: &Base<'_>, chunks: &[&[u8]]) -> std::io::Result<Option<Packed>> {
    if codec == Codec::RawZstd {
        return Ok(Some(Packed { codec, bytes: raw::pack(chunks)? }));
    }
    let Some(batch) = Batch::read(base, chunks) else { return Ok(None) };
    let plain = batch.write(if codec == Codec::Runs { Sink::row() } else { Sink::lanes() });
    let check = checksum(&batch.hashes);
    let packed = [&check[..], &compression::compress(&plain, codec == Codec::Runs)].concat();
    let mut changes = BTreeMap::new();
    for meta in batch.referred() {
        changes.insert((meta.actor, meta.seq), (meta.hash, meta.max_op));
    }
    let unpacked = unpack(codec, &packed, &Referred { clock: base.clock, changes });
    if unpacked == Err(UnpackError::TooLarge) {
        return Ok(None);
    }
    let same = unpacked.is_ok_and(|unpacked| unpacked.iter().map(Vec::as_slice).eq(chunks.iter().copied()));
    if !same {
        tracing::warn!(?codec, changes = chunks.len(), "a batch does not come back as it was; it is sent as it is");
    }
    Ok(same.then_some(Packed { codec, bytes: packed }))
}

/// The row of symbols of a batch before it is compressed: what the dictionary is trained on. `None` where [`pack_as`] gives
/// none.
#[doc(hidden)]
#[must_use]
pub fn symbols(base: &Base<'_>, chunks: &[&[u8]]) -> Option<Vec<u8>> {
    Some(Batch::read(base, chunks)?.write(Sink::row()))
}

/// Unpacks a batch into chunks. They are what was packed when `known` holds what the sender thought; what they say is still
/// to be checked.
///
/// Takes time in proportion to the bounds in [`limits`](crate::limits), and memory to the bytes that came, at least
/// [`UNPACKED_BYTES_MIN`] and at most [`UNPACKED_BYTES_MAX`], whatever they claim.
///
/// # Errors
/// [`UnpackError`].
pub fn unpack(codec: Codec, packed: &[u8], known: &impl Known) -> Result<Vec<Vec<u8>>, UnpackError> {
    if codec == Codec::RawZstd {
        return raw::unpack(packed);
    }
    let (check, compressed) = packed.split_first_chunk::<4>().ok_or(UnpackError::Truncated)?;
    let bytes_max = packed.len().saturating_mul(UNPACKED_RATIO_MAX).saturating_add(UNPACKED_BYTES_MIN);
    let bytes_max = bytes_max.min(UNPACKED_BYTES_MAX);
    let plain = compression::decompress(compressed, bytes_max.min(DELTA_BYTES_MAX))?;
    let source = if codec == Codec::Runs { Source::row(&plain) } else { Source::lanes(&plain)? };
    let (chunks, hashes) = read::read(source, known, bytes_max.saturating_sub(plain.len()))?;
    if checksum(&hashes) == *check { Ok(chunks) } else { Err(UnpackError::Differs) }
}

/// The first bytes of SHA-256 over the hashes of all changes.
fn checksum(hashes: &[ChangeHash]) -> [u8; 4] {
    let mut hasher = Sha256::new();
    hashes.iter().for_each(|hash| hasher.update(hash.0));
    let [a, b, c, d, ..] = <[u8; 32]>::from(hasher.finalize());
    [a, b, c, d]
}
