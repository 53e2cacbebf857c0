//! The body of one change: what the scanner takes, Automerge reads to the same and writes back byte for byte.

use automerge::Change;
use sync_core::document::scan::scan_change;

use crate::Seed;
use crate::changes::chunk;
use crate::door::{Door, changes_of};
use crate::pushed;

/// `body` gets the header that fits it; a checksum is not to be guessed.
pub fn run(body: &[u8]) {
    let bytes = chunk(1, body);
    let Ok(scanned) = scan_change(&bytes) else { return };
    let change = Change::from_bytes(bytes.clone()).unwrap();
    assert_eq!(change.raw_bytes(), bytes);
    assert_eq!((change.hash().0, change.seq(), change.max_op()), (scanned.hash.0, scanned.seq, scanned.max_op()));
    assert_eq!(change.decode().operations.len(), scanned.operations.len());
}

/// What comes after the header of a chunk.
pub(crate) fn body_of(chunk: &[u8]) -> Vec<u8> {
    let length = chunk.iter().skip(9).take_while(|byte| **byte & 0x80 != 0).count();
    chunk[9 + length + 1..].to_vec()
}

/// Honest and crafted changes.
pub fn seeds() -> Vec<Seed> {
    let door = Door::silent();
    let mut document = pushed::small(&door).1;
    let honest = changes_of(&mut document).into_iter().enumerate();
    let honest: Vec<Seed> = honest.map(|(number, chunk)| (format!("honest-{number}"), body_of(&chunk))).collect();
    let crafted =
        pushed::crafted(&door, &document).into_iter().filter(|(_, bytes, _)| (60..1000).contains(&bytes.len()));
    honest.into_iter().chain(crafted.map(|(what, bytes, _)| (what.to_owned(), body_of(&bytes)))).collect()
}
