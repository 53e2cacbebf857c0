//! Byte credits of one conversation: what the peer may still push, and what this side may.
//!
//! A receiver grants bytes in its hello and grants them again as it makes them durable. One push may be larger than what is
//! left, because the records and certificates beside its changes cannot be cut: the difference is owed from the next grant,
//! and the next push has to wait for that.

use crate::limits::{CREDIT_STEP_BYTES, PUSH_BYTES_MIN, WINDOW_BYTES_MAX};

/// More was pushed than was granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Overdrawn;

/// See the module's page. All figures are bytes of pushes.
#[derive(Debug)]
pub(super) struct Credit {
    /// That the peer may still send.
    granted: i64,
    /// Of the peer's, made durable since it was granted more.
    to_renew: u64,
    /// That the peer granted and that were not used yet.
    left: i64,
    /// Handed out, of which the peer has not said that they are durable.
    under_way: u64,
    /// That the owner lets this side have under way.
    window: u64,
}

impl Default for Credit {
    fn default() -> Self {
        Self { granted: 0, to_renew: 0, left: 0, under_way: 0, window: WINDOW_BYTES_MAX }
    }
}

impl Credit {
    pub(super) fn grant(&mut self, bytes: u64) {
        self.granted = signed(bytes);
    }

    /// A push of the peer's came.
    pub(super) fn charge(&mut self, frame: u64) -> Result<(), Overdrawn> {
        if self.granted <= 0 {
            return Err(Overdrawn);
        }
        let cost = push_cost(frame);
        self.granted -= signed(cost);
        self.to_renew += cost;
        Ok(())
    }

    /// What the peer is to be granted now, when it is worth a frame. What was charged before is durable.
    pub(super) fn renew(&mut self) -> Option<u64> {
        if self.to_renew < CREDIT_STEP_BYTES {
            return None;
        }
        let bytes = std::mem::take(&mut self.to_renew);
        self.granted += signed(bytes);
        Some(bytes)
    }

    /// The peer's hello grants this much.
    pub(super) fn begin(&mut self, bytes: u64) {
        self.left = signed(bytes.min(WINDOW_BYTES_MAX));
    }

    /// The peer made so much durable and grants it again. One that grants more than the bound only forgets what it granted.
    pub(super) fn add(&mut self, bytes: u64) {
        self.left = self.left.saturating_add(signed(bytes)).min(signed(WINDOW_BYTES_MAX));
        self.under_way = self.under_way.saturating_sub(bytes);
    }

    /// Pushes are handed out: their bytes and their number.
    pub(super) fn spend(&mut self, bytes: u64, pushes: usize) {
        let cost = bytes.max(PUSH_BYTES_MIN.saturating_mul(pushes as u64));
        self.left -= signed(cost);
        self.under_way += cost;
    }

    /// Everything that was handed out was acknowledged.
    pub(super) fn settle(&mut self) {
        self.under_way = 0;
    }

    pub(super) fn room(&self) -> u64 {
        u64::try_from(self.left).unwrap_or(0).min(self.window.saturating_sub(self.under_way))
    }

    pub(super) fn under_way(&self) -> u64 {
        self.under_way
    }

    pub(super) fn set_window(&mut self, bytes: u64) {
        self.window = bytes.min(WINDOW_BYTES_MAX);
    }
}

/// What a push takes of a credit, by the length of its frame.
#[must_use]
pub fn push_cost(frame: u64) -> u64 {
    frame.max(PUSH_BYTES_MIN)
}

/// Bytes of frames and grants are far below the 2^63 where the two differ.
fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_push_may_be_larger_than_what_is_left_and_the_next_waits_for_a_grant() {
        let (mut receiver, mut sender) = (Credit::default(), Credit::default());
        receiver.grant(16 * 1024);
        sender.begin(16 * 1024);
        sender.spend(100_000, 1);
        assert_eq!(receiver.charge(100_000), Ok(()));
        assert_eq!(sender.room(), 0);
        assert_eq!(receiver.charge(1), Err(Overdrawn));
        let granted = receiver.renew().expect("more than a step");
        sender.add(granted);
        assert_eq!((sender.room(), sender.under_way()), (16 * 1024, 0));
        assert_eq!(receiver.charge(1), Ok(()));
    }
}
