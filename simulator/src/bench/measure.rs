//! What time and memory cost, of this thread, this process or a child; and on which machine.

use std::time::{Duration, Instant};

use peak_alloc::PeakAlloc;
use rustix::time::{ClockId, clock_gettime};

/// Clock ticks of `/proc/PID/stat` in a second. Linux has reported this value on every architecture since 2.6.
const TICKS_A_SECOND: u64 = 100;

/// CPU time of the calling thread.
#[must_use]
pub(super) fn thread_cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Time spent: on the clock, and on a CPU by the thread that did the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Spent {
    /// On the clock.
    pub(super) wall: Duration,
    /// On a CPU.
    pub(super) cpu: Duration,
}

impl Spent {
    /// Runs `work` and adds what it took.
    pub(super) fn on<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let (wall, cpu) = (Instant::now(), thread_cpu());
        let value = work();
        self.cpu += thread_cpu().saturating_sub(cpu);
        self.wall += wall.elapsed();
        value
    }
}

/// Bytes of Rust's heap in this process. SQLite's own memory is not in it (its page cache has a bound of 2 MiB).
#[must_use]
pub(super) fn heap() -> u64 {
    PeakAlloc.current_usage() as u64
}

/// What a process has used up to now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct ProcessUse {
    /// CPU time of all its threads, to 10 ms.
    pub(super) cpu: Duration,
    /// Bytes resident now.
    pub(super) resident: u64,
}

/// What process `id` has used, from `/proc`; `None` when it is gone or the system has no `/proc`.
#[must_use]
pub(super) fn process(id: u32) -> Option<ProcessUse> {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The program's name, in parentheses, may hold anything.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = fields.get(11)?.parse::<u64>().ok()?.checked_add(fields.get(12)?.parse().ok()?)?;
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?.trim();
    let kilobytes: u64 = resident.strip_suffix("kB")?.trim().parse().ok()?;
    Some(ProcessUse { cpu: Duration::from_millis(ticks * 1_000 / TICKS_A_SECOND), resident: kilobytes * 1024 })
}

/// The machine, for the head of a page.
#[must_use]
pub(super) fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let models = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = models.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or("unknown CPU", |(_, model)| model);
    let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = memory.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kilobytes: u64 = total.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok()).unwrap_or(0);
    let gigabytes = (kilobytes as f64 / 1_048_576.0).round();
    format!("{cores} cores, {model}, {gigabytes} GiB, {} {}", std::env::consts::OS, std::env::consts::ARCH)
}

/// Today as `YYYY-MM-DD` in UTC.
#[must_use]
pub(super) fn today() -> String {
    let since_1970 = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    date(since_1970.as_secs() / 86_400)
}

/// The civil date so many days after 1970-01-01 (Hinnant, "chrono-compatible low-level date algorithms").
fn date(days: u64) -> String {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_since_1970_are_dates() {
        assert_eq!([0, 59, 11_016, 20_780].map(date), ["1970-01-01", "1970-03-01", "2000-02-29", "2026-11-23"]);
    }

    #[test]
    fn work_on_this_thread_costs_cpu_time() {
        let mut spent = Spent::default();
        let sum: u64 = spent.on(|| (0..3_000_000_u64).map(std::hint::black_box).sum());
        assert!(sum > 0 && spent.cpu > Duration::ZERO);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_process_is_measured_and_one_that_is_gone_is_not() {
        let own = process(std::process::id()).unwrap();
        assert!(own.resident > 100_000);
        assert_eq!(process(u32::MAX), None);
    }
}
