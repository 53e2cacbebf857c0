//! The trace of a run: what happened, in order and with its virtual time; hashed, kept in a ring, and written as JSON lines.
//!
//! Two runs of one seed have one [`Trace::hash`]. A file begins with a [`Header`], from which the run can be made again, and
//! has one [`Entry`] a line after it ([`read`]).

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, Write};

use serde::{Deserialize, Serialize};

mod happening;
mod read;
#[cfg(test)]
mod tests;
mod text;

pub use happening::{Ended, Happening, Member, Sample, Told, Work};
pub use read::{ReadError, Reader, Wrong, read};
pub use text::Text;

/// The number of the file's format.
pub const FORMAT: u32 = 1;

/// The first line of a trace file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// [`FORMAT`].
    pub format: u32,
    /// The version of the program that made the run.
    pub program: String,
    /// The seed.
    pub seed: u64,
    /// The depth, 1 to 3.
    pub depth: u8,
    /// The explicit scenario, as TOML: expanded for this seed, so that it gives this run again.
    pub scenario: String,
}

impl Header {
    /// The header of a run of this program.
    #[must_use]
    pub fn new(seed: u64, depth: u8, scenario: String) -> Self {
        Self { format: FORMAT, program: env!("CARGO_PKG_VERSION").to_owned(), seed, depth, scenario }
    }
}

/// One line of a trace.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Virtual time since the start of the run, in microseconds.
    pub at: u64,
    /// What happened.
    pub what: Happening,
}

/// A trace as it grows. Its memory is bounded: it keeps the last entries for a failure message, a writer takes all.
pub struct Trace {
    hasher: blake3::Hasher,
    last: VecDeque<Entry>,
    keep: usize,
    length: u64,
    now: u64,
    writer: Option<Box<dyn Write + Send>>,
    failed: Option<io::Error>,
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trace").field("length", &self.length).field("now", &self.now).finish_non_exhaustive()
    }
}

impl Trace {
    /// An empty trace that keeps the last `keep` entries.
    #[must_use]
    pub fn new(keep: usize) -> Self {
        Self {
            hasher: blake3::Hasher::new_derive_key("archipel 2026 trace"),
            last: VecDeque::new(),
            keep,
            length: 0,
            now: 0,
            writer: None,
            failed: None,
        }
    }

    /// The same, and everything goes to `writer`, which had better be buffered.
    ///
    /// # Errors
    /// Those of writing the header.
    pub fn with_writer(keep: usize, header: &Header, mut writer: Box<dyn Write + Send>) -> io::Result<Self> {
        writeln!(writer, "{}", serde_json::to_string(header)?)?;
        Ok(Self { writer: Some(writer), ..Self::new(keep) })
    }

    /// Appends what happened at this virtual time (microseconds). Time does not go back; where a world says so, it is wrong,
    /// and the entry gets the time of the one before.
    pub fn push(&mut self, at: u64, what: Happening) {
        debug_assert!(at >= self.now, "{what} at {at} comes after an entry of {}", self.now);
        self.now = self.now.max(at);
        let entry = Entry { at: self.now, what };
        let line = entry.line();
        self.hasher.update(line.as_bytes()).update(b"\n");
        self.length += 1;
        if let Some(writer) = &mut self.writer
            && let Err(error) = writeln!(writer, "{line}")
        {
            // The run is worth more than its file: it goes on, and `finish` says what is missing.
            (self.failed, self.writer) = (Some(error), None);
        }
        let is_figures = matches!(entry.what, Happening::Sample { .. });
        if self.keep > 0 && !is_figures {
            if self.last.len() == self.keep {
                self.last.pop_front();
            }
            self.last.push_back(entry);
        }
    }

    /// BLAKE3, `derive_key("archipel 2026 trace")`, over the lines of all entries so far, each with its line feed.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        *self.hasher.finalize().as_bytes()
    }

    /// How many entries there are.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.length
    }

    /// The last entries, the oldest first. Figures of members are left out: they would take the places of what led to a failure.
    pub fn last(&self) -> impl Iterator<Item = &Entry> {
        self.last.iter()
    }

    /// Hands the rest to the system.
    ///
    /// # Errors
    /// The first that any write met; the file lacks everything from there on.
    pub fn finish(&mut self) -> io::Result<()> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        self.writer.as_mut().map_or(Ok(()), |writer| writer.flush())
    }
}

impl Entry {
    /// Its canonical form: fields in the order in which they are declared, no white space.
    fn line(&self) -> String {
        // Happenings are plain values with text keys, so this cannot fail; if it did, hash and file would say so.
        serde_json::to_string(self).unwrap_or_else(|error| format!("{{\"at\":{},\"error\":\"{error}\"}}", self.at))
    }
}

/// `1d 02:03:04.000005 n-1 started (boot 2)`.
impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", Clock(self.at), self.what)
    }
}

/// A virtual time for people.
#[derive(Debug, Clone, Copy)]
pub struct Clock(pub u64);

impl fmt::Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, micros) = (self.0 / 1_000_000, self.0 % 1_000_000);
        let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
        if days > 0 {
            write!(f, "{days}d ")?;
        }
        write!(f, "{hours:02}:{minutes:02}:{:02}.{micros:06}", seconds % 60)
    }
}
