//! Time and randomness as values. Nothing below `transport` reads a clock or asks the system for random bytes.

use std::time::Duration;

/// A point on a monotonic clock: microseconds since some start that only the caller knows.
///
/// Unlike `std::time::Instant` it can be built, stored and printed, so a simulated run is reproducible.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Instant(pub u64);

impl Instant {
    /// This point plus `wait`; the far end of the clock when that overflows.
    #[must_use]
    pub fn after(self, wait: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(wait.as_micros()).unwrap_or(u64::MAX)))
    }

    /// Time from `earlier` to here; zero when `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

/// Wall-clock time in seconds since 1970, for people. `None` when the machine does not know it.
///
/// No invariant of the engine depends on it (invariant 9): it is shown, and it bounds the life of tokens on the hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct WallTime(pub Option<u64>);

/// A source of random bytes, handed in by the shell or by a seeded simulator.
pub trait Entropy: Send {
    /// Fills `target` with random bytes.
    fn fill(&mut self, target: &mut [u8]);
}

/// The named points of the write path where a crash must lose nothing.
///
/// The engine reports each as it passes. Production ignores them; tests end the process at one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CrashPoint {
    /// A local write is in an open transaction.
    WriteBeforeCommit,
    /// A local write is durable and nobody was told yet.
    WriteAfterCommit,
    /// A peer's feed was extended, in an open transaction.
    FeedBeforeCommit,
    /// A frame with changes is about to be handed to the transport.
    BeforeSend,
    /// A frame with changes was handed to the transport.
    AfterSend,
    /// A frame with changes arrived; nothing was stored.
    ReceiveBeforeCommit,
    /// Received changes are durable; the acknowledgement was not built yet.
    ReceiveAfterCommit,
    /// The acknowledgement is about to be handed to the transport.
    BeforeAcknowledge,
    /// An acknowledgement arrived; it was not recorded yet.
    AcknowledgeBeforeCommit,
    /// The target holds some files of a release and not the others.
    DuringTargetWrite,
    /// The target holds the release; that it was applied is not recorded yet.
    TargetWritten,
}

impl CrashPoint {
    /// All points, in the order of the write path.
    pub const ALL: [Self; 11] = [
        Self::WriteBeforeCommit,
        Self::WriteAfterCommit,
        Self::FeedBeforeCommit,
        Self::BeforeSend,
        Self::AfterSend,
        Self::ReceiveBeforeCommit,
        Self::ReceiveAfterCommit,
        Self::BeforeAcknowledge,
        Self::AcknowledgeBeforeCommit,
        Self::DuringTargetWrite,
        Self::TargetWritten,
    ];

    /// The point's name on a command line, for example `write-before-commit`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::WriteBeforeCommit => "write-before-commit",
            Self::WriteAfterCommit => "write-after-commit",
            Self::FeedBeforeCommit => "feed-before-commit",
            Self::BeforeSend => "before-send",
            Self::AfterSend => "after-send",
            Self::ReceiveBeforeCommit => "receive-before-commit",
            Self::ReceiveAfterCommit => "receive-after-commit",
            Self::BeforeAcknowledge => "before-acknowledge",
            Self::AcknowledgeBeforeCommit => "acknowledge-before-commit",
            Self::DuringTargetWrite => "during-target-write",
            Self::TargetWritten => "target-written",
        }
    }
}

/// Is told of every crash point as it passes. It may end the process; it cannot change what happens.
pub type Witness = std::sync::Arc<dyn Fn(CrashPoint) + Send + Sync>;

/// The witness of production: it does nothing.
#[must_use]
pub fn no_witness() -> Witness {
    std::sync::Arc::new(|_| {})
}
