//! Frames that wait for one link, bounded by their number and by the bytes of those that carry changes.
//!
//! A peer bounds what it is sent by the credit that it grants. One that grants again and again and does not read would have
//! this side hold as much as it likes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::mpsc;

use crate::limits::{LINK_BYTES_WAITING_MAX, LINK_FRAMES_WAITING_MAX};
use crate::wire::Close;

/// What the replica has for a link.
#[derive(Debug)]
pub(super) enum LinkOut {
    Frame { frame: Vec<u8>, carries_changes: bool },
    Close(Close),
}

impl LinkOut {
    /// Bytes that count against the bound.
    fn weight(&self) -> u64 {
        match self {
            Self::Frame { frame, carries_changes: true } => frame.len() as u64,
            Self::Frame { carries_changes: false, .. } | Self::Close(_) => 0,
        }
    }
}

/// The peer has not read for a whole window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Full;

/// The end that the replica's thread has.
#[derive(Debug)]
pub(super) struct Outbox {
    frames: mpsc::Sender<LinkOut>,
    bytes: Arc<AtomicU64>,
}

/// The end that the link's driver has.
#[derive(Debug)]
pub(super) struct Waiting {
    frames: mpsc::Receiver<LinkOut>,
    bytes: Arc<AtomicU64>,
    /// Of what was taken last, until it has left.
    taken: u64,
}

pub(super) fn outbox() -> (Outbox, Waiting) {
    let (sender, frames) = mpsc::channel(LINK_FRAMES_WAITING_MAX);
    let bytes = Arc::new(AtomicU64::new(0));
    (Outbox { frames: sender, bytes: Arc::clone(&bytes) }, Waiting { frames, bytes, taken: 0 })
}

impl Outbox {
    /// Puts something behind what waits.
    ///
    /// # Errors
    /// [`Full`], or the driver is gone; it was not put.
    pub(super) fn put(&self, out: LinkOut) -> Result<(), Full> {
        let weight = out.weight();
        // Only this end adds, so what is read here can only have become less.
        if weight > 0 && self.bytes.load(Ordering::Relaxed).saturating_add(weight) > LINK_BYTES_WAITING_MAX {
            return Err(Full);
        }
        self.frames.try_send(out).map_err(|_| Full)?;
        self.bytes.fetch_add(weight, Ordering::Relaxed);
        Ok(())
    }
}

impl Waiting {
    /// The next to be sent, once the one before has left; `None` when the replica let go of the link.
    pub(super) async fn next(&mut self) -> Option<LinkOut> {
        self.bytes.fetch_sub(std::mem::take(&mut self.taken), Ordering::Relaxed);
        let out = self.frames.recv().await?;
        self.taken = out.weight();
        Some(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::FRAME_BYTES_MAX;

    fn frame(bytes: usize, carries_changes: bool) -> LinkOut {
        LinkOut::Frame { frame: vec![0; bytes], carries_changes }
    }

    #[tokio::test]
    async fn what_waits_is_bounded_by_bytes_until_it_has_left() {
        let (outbox, mut waiting) = outbox();
        for _ in 0..LINK_BYTES_WAITING_MAX / FRAME_BYTES_MAX as u64 {
            assert_eq!(outbox.put(frame(FRAME_BYTES_MAX, true)), Ok(()));
        }
        assert_eq!(outbox.put(frame(1, true)), Err(Full));
        assert_eq!(outbox.put(frame(1, false)), Ok(()), "an acknowledgement is not held up");
        assert!(waiting.next().await.is_some());
        assert_eq!(outbox.put(frame(1, true)), Err(Full), "it has not left yet");
        assert!(waiting.next().await.is_some());
        assert_eq!(outbox.put(frame(1, true)), Ok(()));
    }

    #[tokio::test]
    async fn what_waits_is_bounded_by_number() {
        let (outbox, mut waiting) = outbox();
        (0..LINK_FRAMES_WAITING_MAX).for_each(|_| assert_eq!(outbox.put(frame(1, false)), Ok(())));
        assert_eq!(outbox.put(frame(1, false)), Err(Full));
        assert!(waiting.next().await.is_some());
        assert_eq!(outbox.put(frame(1, false)), Ok(()));
    }
}
