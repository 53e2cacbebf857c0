//! Planted bugs, one at a time: what the simulator's checks must catch. Only in builds with the feature `mutants`.
//!
//! A seam is a `#[cfg(feature = "mutants")]` statement that asks [`planted`] and then does the wrong thing. Nothing turns the
//! feature on by default, and a build with it behaves as any other until [`plant`] is called.

use std::sync::OnceLock;

/// A bug that can be planted. The docs of each say what goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mutant {
    // Planted by somebody who has not read the checks.
    /// A revoked member whose certificate is remembered is let in again when it dials, and is sent what is in its scope.
    /// Breaks invariant 6.
    RevokedIsMetAsKnown,
    /// A frontier beside the newest one replaces it, unmerged: each of two hubs shows, and their nodes apply, what the other
    /// wrote. Breaks invariants 3 and 4.
    ConcurrentIsNewer,
    /// The home hub merges concurrent frontiers by writing its own view over both, so what the other hub acknowledged meanwhile
    /// is gone. Breaks invariant 1.
    HomeMergesItsOwnView,
    /// A feed goes on from what the peer acknowledged once, although its hello says less: a store that was set back is never
    /// given what it lost. Breaks invariant 1.
    GoesOnFromAcknowledged,
    /// The feed of a hub starts over empty and still counts as scanned, so a hub that was set back is not brought forward by
    /// another. Breaks invariant 5.
    RestartedFeedStaysScanned,
    /// A generation is cut while a field is in conflict, and the value that is not shown is lost. Breaks invariant 1.
    CutWithOpenConflict,
    /// Whoever holds all of a cut and more is taken to have nothing that the cut lacks, so its late work is dropped. Breaks
    /// invariant 1.
    LateWorkCountsAsCut,
    /// Only who may cut a document drops its old generations; who follows the cuts keeps all of them. Breaks invariant 7.
    FollowerDropsNothing,
    /// Commits are not synced: a loss of power undoes what was acknowledged and sent. Breaks invariants 1 and 2.
    CommitsAreNotSynced,
    /// Nodes are sent a layer as it stands, not as far as their release names it. Breaks invariant 6, and nodes then wait for a
    /// frontier that never comes.
    UnreleasedGoesToNodes,
    /// A report that waits for a hub is not replaced by the next one, so the hub gets the first and never the last. Breaks
    /// invariant 1.
    WaitingReportStays,
    /// A report is dropped when the clock, unknown or set back, says that the last one was made later. Breaks invariant 9.
    ReportNeedsLaterTime,
    /// When the disk fails in a step of a session the error is only logged, and the link goes on past that step. Breaks
    /// invariant 1.
    FailedStepKeepsLink,
    /// A hub that does not know the time takes every token for one that has not expired. Breaks invariant 9.
    TokenWithoutClock,
    /// A node tells what it has applied by the release alone, so a newer assignment under the same release is never applied.
    /// Breaks invariant 4.
    AppliedIsReleaseAlone,
    /// What looks like ours in the target and is in no inventory is removed, as after a restore of the node. Breaks
    /// invariant 5.
    ForeignIsRemoved,
}

static PLANTED: OnceLock<Mutant> = OnceLock::new();

/// Plants a bug in this process, for good. `false`: another one is in it already.
pub fn plant(mutant: Mutant) -> bool {
    PLANTED.set(mutant).is_ok()
}

/// Whether this bug is planted.
#[must_use]
pub fn planted(mutant: Mutant) -> bool {
    PLANTED.get() == Some(&mutant)
}
