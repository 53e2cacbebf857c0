//! Run-length encoded columns, read one row at a time: nothing is expanded, and only the writer's own encoding is taken.
//!
//! Automerge does not keep a change's bytes: it writes the columns anew when the change is asked for. A column in any other
//! encoding than the writer's would come back with another hash, so what the writer never writes is refused.

use super::leb128::{ReadError, Reader};

/// What is wrong with a run-length encoded column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// An integer or a text could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A run of no rows.
    #[error("a run has no rows")]
    Empty,
    /// Rows that the writer would have put into the run before.
    #[error("two runs stand where the writer writes one")]
    Split,
    /// Equal values in a literal run.
    #[error("a literal run repeats a value")]
    Repeat,
    /// A column of absent values only, which the writer leaves out.
    #[error("it holds absent values only, and should be left out")]
    AllAbsent,
    /// An absent value in a column that has one in every row.
    #[error("a row has no value")]
    Absent,
    /// Fewer rows than the change has operations.
    #[error("it has too few rows")]
    TooFewRows,
    /// More rows than the change has operations.
    #[error("it has too many rows")]
    TooManyRows,
    /// A counter outside of 64 bits.
    #[error("differences add up to more than 64 bits")]
    Overflow,
}

/// A value of a run-length encoded column.
pub(super) trait RunValue<'a>: Copy + PartialEq {
    fn read(reader: &mut Reader<'a>) -> Result<Self, ReadError>;
}

impl RunValue<'_> for u64 {
    fn read(reader: &mut Reader<'_>) -> Result<Self, ReadError> {
        reader.unsigned()
    }
}

impl RunValue<'_> for i64 {
    fn read(reader: &mut Reader<'_>) -> Result<Self, ReadError> {
        reader.signed()
    }
}

impl<'a> RunValue<'a> for &'a str {
    fn read(reader: &mut Reader<'a>) -> Result<Self, ReadError> {
        reader.text()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RunKind {
    Missing,
    Start,
    Absent,
    Repeated,
    Literal,
}

/// A column of optional values: runs of one value, runs of absent values, and literal runs.
#[derive(Debug, Clone)]
pub(super) struct Runs<'a, T> {
    reader: Reader<'a>,
    kind: RunKind,
    left: u64,
    last: Option<T>,
}

impl<'a, T: RunValue<'a>> Runs<'a, T> {
    pub(super) fn new(column: &'a [u8]) -> Self {
        Self { reader: Reader::new(column), kind: RunKind::Start, left: 0, last: None }
    }

    /// A column that the change may leave out: every value is absent then.
    pub(super) fn optional(column: &'a [u8]) -> Self {
        let kind = if column.is_empty() { RunKind::Missing } else { RunKind::Start };
        Self { kind, ..Self::new(column) }
    }

    /// The rows of the column, from the lengths of its runs. Takes time in proportion to its bytes, not to its rows.
    pub(super) fn count_rows(mut self) -> Result<u64, RunError> {
        let mut rows = 0_u64;
        while !self.reader.is_empty() {
            self.start_run()?;
            rows = rows.saturating_add(self.left);
            if self.kind == RunKind::Literal {
                while self.left > 0 {
                    self.next()?;
                }
            }
            self.left = 0;
        }
        Ok(rows)
    }

    fn start_run(&mut self) -> Result<(), RunError> {
        let length = self.reader.signed()?;
        let before = self.kind;
        if length == 0 {
            self.left = self.reader.unsigned()?;
            self.kind = RunKind::Absent;
            self.last = None;
            if self.left > 0 && before == RunKind::Start && self.reader.is_empty() {
                return Err(RunError::AllAbsent);
            }
        } else if length > 0 {
            self.left = length.unsigned_abs();
            self.kind = RunKind::Repeated;
            let value = Some(T::read(&mut self.reader)?);
            // A single value is written as a literal run of one.
            if length == 1 || value == self.last {
                return Err(RunError::Split);
            }
            self.last = value;
        } else {
            self.left = length.unsigned_abs();
            self.kind = RunKind::Literal;
        }
        match self.left {
            0 => Err(RunError::Empty),
            _ if self.kind == before && before != RunKind::Repeated => Err(RunError::Split),
            _ => Ok(()),
        }
    }

    /// The next row. Past the last one it is an error: the caller knows how many there are.
    pub(super) fn next(&mut self) -> Result<Option<T>, RunError> {
        if self.kind == RunKind::Missing {
            return Ok(None);
        }
        if self.left == 0 {
            if self.reader.is_empty() {
                return Err(RunError::TooFewRows);
            }
            self.start_run()?;
        }
        self.left = self.left.saturating_sub(1);
        if self.kind == RunKind::Literal {
            let value = Some(T::read(&mut self.reader)?);
            if value == self.last {
                return Err(RunError::Repeat);
            }
            self.last = value;
        }
        Ok(self.last)
    }

    /// The next row of a column that has a value in every row.
    pub(super) fn next_present(&mut self) -> Result<T, RunError> {
        self.next()?.ok_or(RunError::Absent)
    }

    /// Checks that every row was read.
    pub(super) fn finish(&self) -> Result<(), RunError> {
        if self.left == 0 && self.reader.is_empty() { Ok(()) } else { Err(RunError::TooManyRows) }
    }
}

/// A column whose every value is the difference to the value before.
#[derive(Debug, Clone)]
pub(super) struct Deltas<'a> {
    runs: Runs<'a, i64>,
    value: i64,
}

impl<'a> Deltas<'a> {
    pub(super) fn new(column: &'a [u8]) -> Self {
        Self { runs: Runs::new(column), value: 0 }
    }

    /// A column that the change may leave out: every value is absent then.
    pub(super) fn optional(column: &'a [u8]) -> Self {
        Self { runs: Runs::optional(column), value: 0 }
    }

    pub(super) fn next(&mut self) -> Result<Option<i64>, RunError> {
        let Some(difference) = self.runs.next()? else { return Ok(None) };
        self.value = self.value.checked_add(difference).ok_or(RunError::Overflow)?;
        Ok(Some(self.value))
    }

    pub(super) fn finish(&self) -> Result<(), RunError> {
        self.runs.finish()
    }
}

/// A column of truth values: lengths of alternating runs, of `false` first.
#[derive(Debug, Clone)]
pub(super) struct Booleans<'a> {
    reader: Reader<'a>,
    value: bool,
    left: u64,
    started: bool,
}

impl<'a> Booleans<'a> {
    pub(super) fn new(column: &'a [u8]) -> Self {
        Self { reader: Reader::new(column), value: true, left: 0, started: false }
    }

    pub(super) fn next(&mut self) -> Result<bool, RunError> {
        while self.left == 0 {
            if self.reader.is_empty() {
                return Err(RunError::TooFewRows);
            }
            self.left = self.reader.unsigned()?;
            self.value = !self.value;
            // Only the first run of `false` may be empty.
            if self.left == 0 && self.started {
                return Err(RunError::Empty);
            }
            self.started = true;
        }
        self.left = self.left.saturating_sub(1);
        Ok(self.value)
    }

    pub(super) fn finish(&self) -> Result<(), RunError> {
        if self.left == 0 && self.reader.is_empty() { Ok(()) } else { Err(RunError::TooManyRows) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(column: &[u8]) -> Result<Vec<Option<u64>>, RunError> {
        let count = Runs::<'_, u64>::new(column).count_rows()?;
        let mut runs = Runs::new(column);
        let rows = (0..count).map(|_| runs.next()).collect::<Result<_, _>>()?;
        runs.finish()?;
        Ok(rows)
    }

    #[test]
    fn the_writers_encoding_is_read() {
        // 5 5 5, absent twice, 1 2, 7 7
        let column = [3, 5, 0, 2, 0x7e, 1, 2, 2, 7];
        let expected = [Some(5), Some(5), Some(5), None, None, Some(1), Some(2), Some(7), Some(7)];
        assert_eq!(rows(&column), Ok(expected.to_vec()));
        assert_eq!(rows(&[0x7f, 5, 2, 6, 0x7f, 5]), Ok(vec![Some(5), Some(6), Some(6), Some(5)]));
        assert_eq!(rows(&[0, 1, 0x7f, 5]), Ok(vec![None, Some(5)]));
    }

    #[test]
    fn every_other_encoding_is_refused() {
        for (column, reason) in [
            (&[1, 5][..], RunError::Split),
            (&[2, 5, 2, 5], RunError::Split),
            (&[0x7f, 5, 0x7f, 6], RunError::Split),
            (&[0x7f, 5, 2, 5], RunError::Split),
            (&[2, 5, 0x7f, 5], RunError::Repeat),
            (&[0x7e, 5, 5], RunError::Repeat),
            (&[0, 1, 0, 1], RunError::Split),
            (&[0x7f, 5, 0, 0], RunError::Empty),
            (&[0, 3], RunError::AllAbsent),
            (&[2], RunError::Read(ReadError::Truncated)),
        ] {
            assert_eq!(rows(column), Err(reason), "{column:?}");
        }
    }

    #[test]
    fn a_run_of_2_to_the_36_is_counted_at_once() {
        let column = [0x80, 0x80, 0x80, 0x80, 0x80, 2, 1];
        assert_eq!(Runs::<'_, u64>::new(&column).count_rows(), Ok(1 << 36));
    }

    #[test]
    fn booleans_start_with_false_and_alternate() {
        let mut column = Booleans::new(&[0, 2, 1]);
        assert_eq!((column.next(), column.next(), column.next()), (Ok(true), Ok(true), Ok(false)));
        assert_eq!((column.finish(), column.next()), (Ok(()), Err(RunError::TooFewRows)));
        assert_eq!(Booleans::new(&[0, 0, 1]).next(), Err(RunError::Empty));
    }
}
