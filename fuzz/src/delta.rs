//! A packed batch, and what it unpacks to.

use sync_core::document::codec::{Base, pack_as, unpack};
use sync_core::document::history::ChangeMeta;
use sync_core::document::{Clock, Codec, History};
use sync_core::limits::{CHANGE_BYTES_MAX, DELTA_BYTES_MAX, DELTA_CHANGES_MAX};

use crate::Seed;
use crate::batches;
use crate::door::{Door, changes_of};
use crate::pushed;

const CODECS: [Codec; 3] = [Codec::RawZstd, Codec::Runs, Codec::Columns];

/// What a receiver of an honest document holds: a batch may refer to it.
struct Receiver {
    chunks: Vec<Vec<u8>>,
    history: History,
    clock: Clock,
}

impl Receiver {
    fn new() -> Self {
        let door = Door::silent();
        let chunks = changes_of(&mut pushed::small(&door).1);
        let (mut history, mut clock) = (History::default(), Clock::default());
        for chunk in &chunks {
            let change = automerge::Change::from_bytes(chunk.clone()).unwrap();
            let mut meta = ChangeMeta::of(&change).unwrap();
            // The genesis is not among them.
            meta.deps.retain(|dep| history.contains(dep));
            if let Ok(_) = history.push(meta.clone()) {
                clock.raise(meta.actor, meta.seq);
            }
        }
        Self { chunks, history, clock }
    }

    fn pack(&self, codec: Codec, chunks: &[Vec<u8>], base: &Clock) -> Option<Vec<u8>> {
        let slices: Vec<&[u8]> = chunks.iter().map(Vec::as_slice).collect();
        let find = |hash: &_| self.history.meta(hash).cloned();
        pack_as(codec, &Base::new(base, &find), &slices).unwrap().map(|packed| packed.bytes)
    }
}

thread_local! {
    static RECEIVER: Receiver = Receiver::new();
}

/// The first byte names the codec. When it is even the rest is a batch as it came; when it is odd, the rest is what was
/// compressed, so that what is inside is tried as well as the compression around it.
pub fn run(bytes: &[u8]) {
    let Some((kind, rest)) = bytes.split_first() else { return };
    let codec = CODECS[usize::from(kind / 2) % CODECS.len()];
    let packed = match (kind % 2, codec) {
        (0, _) => rest.to_vec(),
        (_, Codec::RawZstd) => zstd::bulk::compress(rest, 1).unwrap(),
        // A check that will not fit, and the bytes stored.
        (_, _) => [&[0; 5], rest].concat(),
    };
    RECEIVER.with(|receiver| {
        let Ok(chunks) = unpack(codec, &packed, &receiver.history) else { return };
        assert!(chunks.len() <= DELTA_CHANGES_MAX);
        assert!(chunks.iter().all(|chunk| chunk.len() <= CHANGE_BYTES_MAX));
        assert!(chunks.iter().map(Vec::len).sum::<usize>() <= DELTA_BYTES_MAX);
        for codec in CODECS {
            // Chunks that are no changes travel as they are only.
            let Some(packed) = receiver.pack(codec, &chunks, &receiver.clock) else { continue };
            assert_eq!(unpack(codec, &packed, &receiver.history).as_ref(), Ok(&chunks));
        }
    });
}

/// Batches of an honest document, packed and plain, and such that ask for much.
pub fn seeds() -> Vec<Seed> {
    let receiver = Receiver::new();
    let with = |kind: u8, bytes: &[u8]| [&[kind][..], bytes].concat();
    let mut seeds = Vec::new();
    for (number, codec) in (0_u8..).zip(CODECS) {
        for (name, chunks, base) in [
            ("whole", &receiver.chunks[..], Clock::default()),
            ("empty", &[], Clock::default()),
            ("held", &receiver.chunks[1..], receiver.clock.clone()),
        ] {
            let Some(packed) = receiver.pack(codec, chunks, &base) else { continue };
            seeds.push((format!("{name}-{number}"), with(2 * number, &packed)));
            let plain = match codec {
                Codec::RawZstd => zstd::stream::decode_all(&packed[..]).unwrap(),
                _ if packed.get(4) == Some(&0) => packed[5..].to_vec(),
                _ => continue,
            };
            seeds.push((format!("{name}-plain-{number}"), with(2 * number + 1, &plain)));
        }
    }
    for symbols in [1 << 12, DELTA_BYTES_MAX as u64] {
        for (name, packed) in batches::greedy(batches::Size { symbols, noise: 0 }) {
            seeds.push((format!("greedy-{name}-{symbols}"), with(2, &packed)));
        }
    }
    seeds
}
