//! A packed batch, and what it unpacks to. A new codec is one line in [`unpack`].

use sync_core::document::batch;
use sync_core::limits::{CHANGE_BYTES_MAX, DELTA_BYTES_MAX, DELTA_CHANGES_MAX};

use crate::Seed;
use crate::door::{Door, changes_of, pack};
use crate::pushed;

fn unpack(packed: &[u8]) -> Option<Vec<Vec<u8>>> {
    batch::unpack(packed).ok()
}

/// An even first byte: the rest is a batch as it came. An odd one: the rest is what was compressed, so that what is inside
/// is tried as well as the compression around it.
pub fn run(bytes: &[u8]) {
    let Some((kind, rest)) = bytes.split_first() else { return };
    let packed = if kind % 2 == 0 { rest.to_vec() } else { zstd::bulk::compress(rest, 1).unwrap() };
    let Some(chunks) = unpack(&packed) else { return };
    assert!(chunks.len() <= DELTA_CHANGES_MAX);
    assert!(chunks.iter().all(|chunk| chunk.len() <= CHANGE_BYTES_MAX));
    assert!(chunks.iter().map(Vec::len).sum::<usize>() <= DELTA_BYTES_MAX);
    assert_eq!(unpack(&pack(&chunks)), Some(chunks));
}

/// Batches of an honest document, packed and plain.
pub fn seeds() -> Vec<Seed> {
    let door = Door::silent();
    let mut document = pushed::small(&door).1;
    let chunks = changes_of(&mut document);
    let packed = pack(&chunks);
    let plain = zstd::stream::decode_all(&packed[..]).unwrap();
    let empty = pack(&[]);
    let with = |kind: u8, bytes: &[u8]| [&[kind][..], bytes].concat();
    vec![
        ("packed".to_owned(), with(0, &packed)),
        ("empty".to_owned(), with(0, &empty)),
        ("plain".to_owned(), with(1, &plain)),
        ("plain-one".to_owned(), with(1, &plain[..chunks[0].len() + 4])),
    ]
}
