//! A stream of bytes, cut anywhere, to frames and messages. What is read is written back to the same message.

use sync_core::id::NodeId;
use sync_core::limits::FRAME_BYTES_MAX;
use sync_core::transport::frame::{FrameDecoder, prefixed};
use sync_core::wire::Message;

use crate::Seed;

/// The first byte says in which pieces the rest arrives.
pub fn run(bytes: &[u8]) {
    let Some((cut, stream)) = bytes.split_first() else { return };
    let mut decoder = FrameDecoder::new(FRAME_BYTES_MAX);
    let (sender, receiver) = (NodeId([1; 32]), NodeId([2; 32]));
    for piece in stream.chunks(usize::from(*cut).max(1)) {
        decoder.push(piece);
        loop {
            match decoder.next_frame() {
                Ok(Some(frame)) => {
                    if let Ok(message) = Message::decode(&frame, sender) {
                        let again = Message::decode(&message.encode(receiver), sender);
                        assert_eq!(again, Ok(message));
                    }
                }
                Ok(None) => break,
                Err(_) => return,
            }
        }
        assert!(decoder.held() <= 2 * stream.len() + 64, "{} bytes are held", decoder.held());
    }
}

/// Whole conversations, each in a few pieces.
pub fn seeds() -> Vec<Seed> {
    let conversations = crate::session::conversations();
    let stream = |frames: Vec<Vec<u8>>| frames.into_iter().flat_map(prefixed).collect::<Vec<u8>>();
    conversations.into_iter().map(|(name, frames)| (name, [&[64][..], &stream(frames)].concat())).collect()
}
