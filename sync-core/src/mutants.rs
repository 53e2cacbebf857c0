//! Planted bugs, one at a time: what the simulator's checks must catch. Only in builds with the feature `mutants`.
//!
//! A seam is a `#[cfg(feature = "mutants")]` statement that asks [`planted`] and then does the wrong thing. Nothing turns the
//! feature on by default, and a build with it behaves as any other until [`plant`] is called.

use std::sync::OnceLock;

/// The enum, and what there is to know of each variant: what goes wrong, and which invariant of `docs/architecture.md` that
/// breaks; 0 is that all agree in the end.
macro_rules! mutants {
    ($(#[$about:meta])* $visible:vis enum $name:ident {
        $($(#[doc = $doc:literal])+ $variant:ident breaks $invariant:literal),* $(,)?
    }) => {
        $(#[$about])*
        $visible enum $name { $($(#[doc = $doc])+ $variant),* }

        impl $name {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// What goes wrong.
            #[must_use]
            pub fn about(self) -> &'static str {
                match self { $(Self::$variant => concat!($($doc),+).trim_ascii()),* }
            }

            /// The number of the invariant that it breaks.
            #[must_use]
            pub fn invariant(self) -> u8 {
                match self { $(Self::$variant => $invariant),* }
            }
        }
    };
}

mutants! {
    /// A bug that can be planted. The docs of each say what goes wrong.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
    #[non_exhaustive]
    pub enum Mutant {
        /// A hub acknowledges what it did not sync.
        HubCommitsUnsynced breaks 1,
        /// A commit that failed is taken for one that succeeded, and what came is acknowledged.
        CommitErrorIgnored breaks 1,
        /// A node sends what it did not sync.
        NodeCommitsUnsynced breaks 2,
        /// Every start writes under the actor of the one before.
        ActorReused breaks 2,
        /// Whoever merges concurrent frontiers goes on showing its own side.
        MergeShowsOwnSide breaks 3,
        /// Of several frontiers that come together the last one's state is not shown.
        ViewOfBatchForgotten breaks 3,
        /// A node takes whatever frontier comes last for the newest.
        OlderAccepted breaks 4,
        /// The higher version is the newer one, whatever it includes.
        NewerByVersion breaks 4,
        /// A node takes a layer as it holds it, not as the release names it.
        NewestLayerTaken breaks 4,
        /// A node applies a release without the layers that have not come yet.
        MissingLayerLeftOut breaks 5,
        /// An agent without an assignment empties its target.
        UnassignedSweeps breaks 5,
        /// Nodes do not give a hub back what that lost.
        RestoredHubLeftBehind breaks 5,
        /// A hub sends every node the assignments of all.
        AssignmentsServedToAll breaks 6,
        /// A hub merges what a node wrote beside itself, and signs it.
        HubMergesReports breaks 6,
        /// The signature of a frontier is not checked.
        SignatureUnchecked breaks 6,
        /// Whoever is known may write any document.
        AnyoneMayWrite breaks 6,
        /// No history is ever cut.
        NeverCut breaks 7,
        /// What was cut stays.
        OldGenerationsKept breaks 7,
        /// A panic when something comes and the time is not known.
        PanicsWithoutClock breaks 8,
        /// A batch of several changes goes without its last one.
        RunDropped breaks 8,
        /// A hub does not release while its clock is before the time of the last release.
        ReleaseWaitsForClock breaks 9,
        /// A hub writes the day into what it is given.
        StampedByClock breaks 9,
        /// An agent forgets at its start what it has applied.
        AppliedForgotten breaks 10,
        /// What was changed by hand in the target stays so.
        DriftOverlooked breaks 10,
        /// What a node finds while it has no link it does not record.
        ReportLostOffline breaks 10,
        /// A node that could not reach a hub for some minutes stops trying.
        GivesUpDialling breaks 0,
        /// A place in a feed is believed by its number, whatever the chain there.
        ChainIgnored breaks 0,
        /// What comes from another hub waits until a node dials again.
        RelayedNewsKeptBack breaks 0,
        // Planted by somebody who has not read the checks.
        /// A revoked member whose certificate is remembered is let in again when it dials, and is sent what is in its
        /// scope.
        RevokedIsMetAsKnown breaks 6,
        /// A frontier beside the newest one replaces it, unmerged: each of two hubs shows, and their nodes apply, what the
        /// other wrote.
        ConcurrentIsNewer breaks 3,
        /// The home hub merges concurrent frontiers by writing its own view over both, so what the other hub acknowledged
        /// meanwhile is gone.
        HomeMergesItsOwnView breaks 1,
        /// A feed goes on from what the peer acknowledged once, although its hello says less: a store that was set back is
        /// never given what it lost.
        GoesOnFromAcknowledged breaks 1,
        /// The feed of a hub starts over empty and still counts as scanned, so a hub that was set back is not brought
        /// forward by another.
        RestartedFeedStaysScanned breaks 5,
        /// A generation is cut while a field is in conflict, and the value that is not shown is lost.
        CutWithOpenConflict breaks 1,
        /// Whoever holds all of a cut and more is taken to have nothing that the cut lacks, so its late work is dropped.
        LateWorkCountsAsCut breaks 1,
        /// Only who may cut a document drops its old generations; who follows the cuts keeps all of them.
        FollowerDropsNothing breaks 7,
        /// Commits are not synced: a loss of power undoes what was acknowledged and sent.
        CommitsAreNotSynced breaks 1,
        /// Nodes are sent a layer as it stands, not as far as their release names it, and wait for a frontier that
        /// never comes.
        UnreleasedGoesToNodes breaks 6,
        /// A report that waits for a hub is not replaced by the next one, so the hub gets the first and never the last.
        WaitingReportStays breaks 1,
        /// A report is dropped when the clock, unknown or set back, says that the last one was made later.
        ReportNeedsLaterTime breaks 9,
        /// When the disk fails in a step of a session the error is only logged, and the link goes on past that step.
        FailedStepKeepsLink breaks 1,
        /// A hub that does not know the time takes every token for one that has not expired.
        TokenWithoutClock breaks 9,
        /// A node tells what it has applied by the release alone, so a newer assignment under the same release is never
        /// applied.
        AppliedIsReleaseAlone breaks 4,
        /// What looks like ours in the target and is in no inventory is removed, as after a restore of the node.
        ForeignIsRemoved breaks 5,
    }
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
