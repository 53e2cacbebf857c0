//! Reads a trace file back, line by line; an error says which.

use std::io::{self, BufRead, Read};

use super::{Entry, FORMAT, Header};

/// Bytes of one line. The header holds the whole explicit scenario: ten thousand nodes with a week of link changes each fit.
const LINE_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// A trace file cannot be used from this line on.
#[derive(Debug, thiserror::Error)]
#[error("line {line} of the trace: {wrong}")]
pub struct ReadError {
    /// From 1.
    pub line: u64,
    /// What is wrong.
    pub wrong: Wrong,
}

/// What is wrong with a line of a trace file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Wrong {
    /// The file cannot be read.
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
    /// There is none.
    #[error("the file is empty; a trace begins with its header")]
    Empty,
    /// It was written by another version of this program.
    #[error("format {found}, and this program reads {FORMAT}; use the version {program} that wrote it")]
    Format {
        /// The number.
        found: u64,
        /// Who wrote it.
        program: String,
    },
    /// It is no header.
    #[error("not the header of a trace: {0}")]
    Header(serde_json::Error),
    /// It is no entry.
    #[error("not an entry of a trace; the file may have been cut there: {0}")]
    Entry(serde_json::Error),
    /// It is earlier than the line before.
    #[error("time goes back from {before} to {at} microseconds; lines were moved")]
    Back {
        /// Its time.
        at: u64,
        /// The time of the line before.
        before: u64,
    },
    /// It has no end within reason.
    #[error("longer than {LINE_BYTES_MAX} bytes; this is no trace")]
    TooLong,
}

/// The entries of a trace file, one after the other.
#[derive(Debug)]
pub struct Reader<R> {
    header: Header,
    lines: Lines<R>,
    now: u64,
    is_over: bool,
}

#[derive(Debug)]
struct Lines<R> {
    from: R,
    number: u64,
}

impl<R: BufRead> Lines<R> {
    fn next(&mut self) -> Result<Option<String>, ReadError> {
        self.number += 1;
        let mut line = String::new();
        let read = self.from.by_ref().take(LINE_BYTES_MAX).read_line(&mut line);
        match read {
            Ok(0) => Ok(None),
            Ok(_) if !line.ends_with('\n') && line.len() as u64 >= LINE_BYTES_MAX => Err(self.wrong(Wrong::TooLong)),
            Ok(_) => Ok(Some(line)),
            Err(error) => Err(self.wrong(error.into())),
        }
    }

    fn wrong(&self, wrong: Wrong) -> ReadError {
        ReadError { line: self.number, wrong }
    }
}

/// Opens a trace.
///
/// # Errors
/// [`ReadError`] when its first line is no header of this format.
pub fn read<R: BufRead>(from: R) -> Result<Reader<R>, ReadError> {
    let mut lines = Lines { from, number: 0 };
    let Some(line) = lines.next()? else { return Err(lines.wrong(Wrong::Empty)) };
    let value: serde_json::Value = serde_json::from_str(&line).map_err(|error| lines.wrong(Wrong::Header(error)))?;
    // Before its other fields are looked at: another format may have others.
    let format = value.get("format").and_then(serde_json::Value::as_u64);
    if let Some(found) = format.filter(|format| *format != u64::from(FORMAT)) {
        let program = value.get("program").and_then(|program| program.as_str()).unwrap_or("of the program").to_owned();
        return Err(lines.wrong(Wrong::Format { found, program }));
    }
    let header = serde_json::from_value(value).map_err(|error| lines.wrong(Wrong::Header(error)))?;
    Ok(Reader { header, lines, now: 0, is_over: false })
}

impl<R: BufRead> Reader<R> {
    /// The first line.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    fn entry(&mut self) -> Result<Option<Entry>, ReadError> {
        let Some(line) = self.lines.next()? else { return Ok(None) };
        let entry: Entry = serde_json::from_str(&line).map_err(|error| self.lines.wrong(Wrong::Entry(error)))?;
        let before = std::mem::replace(&mut self.now, entry.at);
        if entry.at < before {
            return Err(self.lines.wrong(Wrong::Back { at: entry.at, before }));
        }
        Ok(Some(entry))
    }
}

/// Ends with the file, or with the first error.
impl<R: BufRead> Iterator for Reader<R> {
    type Item = Result<Entry, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        let entry = self.entry().transpose();
        self.is_over = !matches!(entry, Some(Ok(_)));
        entry
    }
}
