//! What a disk does wrong while its machine runs, and how often it did.

use std::collections::BTreeMap;
use std::time::Duration;

/// Calls that fail: the first `after` succeed, the next `times` do not, and then all is well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failing {
    /// Calls that still succeed.
    pub after: u64,
    /// Calls that fail then; `u64::MAX` for ever.
    pub times: u64,
    /// So many calls succeed after those, then one fails, and so on; `None`: all succeed.
    pub period: Option<u64>,
}

impl Failing {
    /// `times` calls fail after `after` that succeed, and no more.
    #[must_use]
    pub fn once(after: u64, times: u64) -> Self {
        Self { after, times, period: None }
    }

    /// One call of so many fails, as long as it lasts. 0 and 1: every call.
    #[must_use]
    pub fn one_in(calls: u64) -> Self {
        let good = calls.saturating_sub(1);
        Self { after: good, times: 1, period: Some(good) }
    }

    /// Whether this call fails.
    fn strikes(&mut self) -> bool {
        if self.after > 0 {
            self.after -= 1;
            return false;
        }
        let strikes = self.times > 0;
        if self.times < u64::MAX {
            self.times = self.times.saturating_sub(1);
        }
        if let Some(good) = self.period
            && self.times == 0
        {
            (self.after, self.times) = (good, 1);
        }
        strikes
    }
}

/// What a disk does wrong from now on. Nothing by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Faults {
    /// Bytes that all files together may take; writing past it fails as on a full disk.
    pub capacity: Option<u64>,
    /// Reads that fail.
    pub reads: Option<Failing>,
    /// Writes and changes of length that fail. Nothing of them happens.
    pub writes: Option<Failing>,
    /// Syncs that fail. What they were for stays as it was: durable or not.
    pub syncs: Option<Failing>,
    /// Whether syncs are said to have succeeded although nothing became durable.
    pub lying_syncs: bool,
    /// Reads that come back with half of what was asked for, as if the file ended there.
    pub short_reads: Option<Failing>,
    /// How long each call takes.
    pub latency: Latency,
}

/// How long calls take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Latency {
    /// One read.
    pub read: Duration,
    /// One write, or one change of length.
    pub write: Duration,
    /// One sync.
    pub sync: Duration,
}

/// How often each fault took effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Effects {
    /// Writes for which there was no room.
    pub full: u64,
    /// Reads that failed.
    pub reads_failed: u64,
    /// Writes that failed.
    pub writes_failed: u64,
    /// Syncs that failed.
    pub syncs_failed: u64,
    /// Syncs that lied while something waited to become durable.
    pub syncs_lied: u64,
    /// Reads that came back short.
    pub reads_short: u64,
    /// Reads that brought a flipped bit.
    pub reads_rotten: u64,
    /// Calls that took time.
    pub slow: u64,
    /// Calls after the machine was gone.
    pub after_the_end: u64,
}

/// What passed through the files of one name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traffic {
    /// Reads.
    pub reads: u64,
    /// Bytes read.
    pub bytes_read: u64,
    /// Writes.
    pub writes: u64,
    /// Bytes written.
    pub bytes_written: u64,
    /// Syncs.
    pub syncs: u64,
}

/// What passed through a disk, by file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Counters {
    /// By name; temporary files have none.
    pub files: BTreeMap<String, Traffic>,
}

impl Counters {
    /// Over all files.
    #[must_use]
    pub fn total(&self) -> Traffic {
        self.files.values().fold(Traffic::default(), |sum, one| Traffic {
            reads: sum.reads + one.reads,
            bytes_read: sum.bytes_read + one.bytes_read,
            writes: sum.writes + one.writes,
            bytes_written: sum.bytes_written + one.bytes_written,
            syncs: sum.syncs + one.syncs,
        })
    }
}

/// Which call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Call {
    Read,
    Write,
    Sync,
}

/// The faults of a disk at work.
#[derive(Debug, Default)]
pub(super) struct Fate {
    pub(super) faults: Faults,
    pub(super) effects: Effects,
    /// Time that calls took and nobody was charged for.
    pub(super) spent: Duration,
}

fn strikes(fault: &mut Option<Failing>, effect: &mut u64) -> bool {
    let strikes = fault.as_mut().is_some_and(Failing::strikes);
    *effect += u64::from(strikes);
    strikes
}

impl Fate {
    /// Charges the call, and says whether it fails.
    pub(super) fn strikes(&mut self, call: Call) -> bool {
        let Self { faults, effects, spent } = self;
        let (fault, effect, time) = match call {
            Call::Read => (&mut faults.reads, &mut effects.reads_failed, faults.latency.read),
            Call::Write => (&mut faults.writes, &mut effects.writes_failed, faults.latency.write),
            Call::Sync => (&mut faults.syncs, &mut effects.syncs_failed, faults.latency.sync),
        };
        effects.slow += u64::from(!time.is_zero());
        *spent += time;
        strikes(fault, effect)
    }

    pub(super) fn is_short(&mut self) -> bool {
        strikes(&mut self.faults.short_reads, &mut self.effects.reads_short)
    }
}
