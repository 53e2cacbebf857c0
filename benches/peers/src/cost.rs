//! What an engine took, and as a JSON line.

use std::time::Duration;

use crate::{samod, sets};

/// What one engine took.
pub(crate) struct Cost {
    pub(crate) engine: String,
    pub(crate) bytes: u64,
    pub(crate) flights: u64,
    pub(crate) hub: Duration,
}

/// Documents that samod-core meets with at most: its time grows with the square of their number, 27 s for 2,000.
const DOCUMENTS_MAX: usize = 1_000;

/// Changes that it meets with at most: every document stays in memory with its whole history.
const CHANGES_MAX: usize = 200_000;

/// A reconnect with nothing changed, of each engine.
pub(crate) fn idle(documents: usize, changes: usize) -> Result<Vec<Cost>, String> {
    let measured = documents.min(DOCUMENTS_MAX).min(CHANGES_MAX / changes.max(1)).max(1);
    let mut samod = samod::reconnect(measured, changes)?;
    if measured < documents {
        let times = documents / measured;
        samod.engine += &format!(" ({measured} documents, times {times})");
        samod.bytes *= times as u64;
        samod.hub *= u32::try_from(times).unwrap_or(u32::MAX);
    }
    Ok(vec![sets::reconcile(documents, 0)?, samod])
}

/// Prints it as one line.
pub(crate) fn print(cost: &Cost) {
    let line = serde_json::json!({
        "engine": cost.engine,
        "bytes": cost.bytes,
        "round_trips": cost.flights.div_ceil(2),
        "cpu_ns": u64::try_from(cost.hub.as_nanos()).unwrap_or(u64::MAX),
    });
    println!("{line}");
}

/// CPU time of the calling thread.
pub(crate) fn thread_cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}
