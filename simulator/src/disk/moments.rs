//! A recording of a disk: what a crash after each of its operations could leave.

use simulated_vfs::FileKind;

use super::crash::{CrashPolicy, DiskImage, Frozen};
use crate::random::Random;

/// What a disk was asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// A file was made.
    Create,
    /// Bytes were written.
    Write,
    /// A file was made longer or shorter.
    Resize,
    /// A file, or the folder, was synced.
    Sync,
    /// A file was deleted.
    Delete,
    /// Nothing: the program said that something was done ([`super::Disk::mark`]).
    Mark,
}

/// A disk right after one of its operations.
#[derive(Debug, Clone)]
pub struct Moment {
    /// The operation.
    pub operation: Operation,
    /// The file that it was about.
    pub file: String,
    /// What SQLite keeps there.
    pub kind: Option<FileKind>,
    /// How many transactions had ended before on this disk since the recording began: writers that gave back the write-ahead
    /// log after they had written to it.
    pub transaction: u64,
    pub(super) frozen: Frozen,
}

impl Moment {
    /// What is found when the machine comes back from a crash at this moment.
    #[must_use]
    pub fn image(&self, policy: CrashPolicy, random: &mut Random) -> DiskImage {
        self.frozen.image(policy, random)
    }

    /// How many changes had not become durable.
    #[must_use]
    pub fn unsynced(&self) -> usize {
        self.frozen.pending.len()
    }
}

/// Whether somebody records, and what was recorded.
#[derive(Debug, Default)]
pub(super) struct Recording {
    moments: Option<Vec<Moment>>,
    transactions: u64,
    /// Something was written to the log since the last transaction ended.
    wrote: bool,
}

impl Recording {
    pub(super) fn start(&mut self) {
        *self = Self { moments: Some(Vec::new()), ..Self::default() };
    }

    pub(super) fn stop(&mut self) {
        self.moments = None;
    }

    pub(super) fn take(&mut self) -> Vec<Moment> {
        self.moments.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// The number of the transaction that is under way, and whether it has written; `None` when nobody records.
    pub(super) fn now(&self) -> Option<(u64, bool)> {
        self.moments.is_some().then_some((self.transactions, self.wrote))
    }

    pub(super) fn push(&mut self, moment: Moment) {
        self.wrote |= moment.kind == Some(FileKind::Wal) && moment.operation == Operation::Write;
        if let Some(moments) = &mut self.moments {
            moments.push(moment);
        }
    }

    /// A writer has given back the write-ahead log.
    pub(super) fn writer_left(&mut self) {
        self.transactions += u64::from(self.wrote);
        self.wrote = false;
    }
}
