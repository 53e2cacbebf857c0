//! A bundle from an enrolled node, into a hub: as raw bytes, and as frames under the node's valid signature; afterwards the
//! hub still takes an honest one.

use std::io::Cursor;
use std::sync::OnceLock;

use sync_core::limits::FRAME_BYTES_MAX;
use sync_core::replica::bundle::ImportError;
use sync_core::transport::frame::{FrameDecoder, prefixed};
use sync_core::wire::bundle::{BundleReadError, BundleReader};
use sync_core::wire::{Message, Push};

use crate::Seed;
use crate::bundled::frames_of;
use crate::door::Door;
use crate::session::conversations;

/// What the bytes after the first are.
const RAW: u8 = 0;
const FRAMES: u8 = 1;

/// Runs a file (the first byte is even) or a stream of frames to be signed (it is odd).
pub fn run(bytes: &[u8]) {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    let mut door = Door::silent();
    if kind % 2 == RAW {
        raw(&mut door, bytes);
    } else {
        signed(&mut door, bytes);
    }
    let file = door.bundle(honest());
    let again = door.import(&file).map(|imported| imported.entries);
    assert_eq!(again.ok(), Some(2));
}

/// The pushes of an honest node; making them takes longer than a run.
fn honest() -> &'static [Vec<u8>] {
    static PUSHES: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    PUSHES.get_or_init(|| {
        let found = conversations().into_iter().find(|(name, _)| name == "honest");
        let (_, frames) = found.expect("a conversation of that name");
        let is_push =
            |frame: &&Vec<u8>| matches!(Message::decode(frame, Door::silent().node.id()), Ok(Message::Push(_)));
        frames.iter().filter(is_push).cloned().collect()
    })
}

/// No fuzzer guesses a signature: whatever is not word for word what the node signed is refused whole.
fn raw(door: &mut Door, bytes: &[u8]) {
    let before = door.dump();
    let is_whole = match door.import(bytes) {
        Err(ImportError::Read(BundleReadError::Malformed { .. }) | ImportError::Frame(_) | ImportError::Unexpected) => {
            true
        }
        other => other.is_ok(),
    };
    assert!(is_whole || door.dump() == before, "a refused file left something behind");
    // The reader alone, past the signature.
    if let Ok(mut reader) = BundleReader::open(Cursor::new(bytes)) {
        let mut read = 0;
        while let Ok(Some(frame)) = reader.frame() {
            read += frame.len();
        }
        assert!(read < bytes.len(), "frames are longer than the file");
    }
}

fn signed(door: &mut Door, bytes: &[u8]) {
    let mut decoder = FrameDecoder::new(FRAME_BYTES_MAX);
    decoder.push(bytes);
    let mut frames = Vec::new();
    while let Ok(Some(frame)) = decoder.next_frame() {
        // A frame of no bytes is how the file ends.
        if !frame.is_empty() {
            frames.push(frame);
        }
    }
    let file = door.bundle(&frames);
    assert_eq!(frames_of(&file).len(), frames.len() + 1);
    let quarantined = door.quarantined();
    if let Ok(imported) = door.import(&file) {
        let kept = door.quarantined() - quarantined;
        assert!(kept <= imported.refused, "more in quarantine than was refused");
    }
}

/// Honest files, whole and cut, and what nodes may say on links.
pub fn seeds() -> Vec<Seed> {
    let door = Door::silent();
    let mut seeds = Vec::new();
    for (name, frames) in conversations() {
        let pushes = frames.get(1..).unwrap_or_default().to_vec();
        if ["honest", "in-parts", "generation"].contains(&name.as_str()) {
            let file = door.bundle(&pushes);
            let cut = file.get(..file.len() / 2).unwrap_or_default();
            seeds.push((format!("file-{name}"), [&[RAW], &file[..]].concat()));
            seeds.push((format!("cut-{name}"), [&[RAW], cut].concat()));
        }
        let stream: Vec<u8> = pushes.into_iter().flat_map(prefixed).collect();
        seeds.push((name, [&[FRAMES], &stream[..]].concat()));
    }
    let bare = Push { entry: None, through: Some(door.place().into()), more: true };
    let bare = prefixed(Message::Push(bare).encode(door.node.id())).repeat(100);
    seeds.push(("bare".to_owned(), [&[FRAMES], &bare[..]].concat()));
    seeds
}
