//! Where the codec's symbols go: all into one row of bytes (runs), or each kind into its own lane (columns).

use std::collections::BTreeMap;

use super::UnpackError;
use super::column::write_unsigned;
use crate::document::scan::leb128::Reader;

/// A kind of symbol. Values have three lanes for each stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    Batch,
    ChangeFlags,
    Author,
    Deps,
    OperationCount,
    Time,
    OperationFlags,
    Object,
    ObjectCounter,
    Key,
    KeyText,
    Element,
    Kind,
    Predecessor,
    PredecessorCounter,
    Numbers(usize),
    Texts(usize),
    TextBytes(usize),
}

const FIRST_VALUE_LANE: usize = 15;

/// Streams of values with lanes of their own; those past it share the last ones.
const VALUE_STREAMS: usize = 48;

const LANES: usize = FIRST_VALUE_LANE + 3 * VALUE_STREAMS;

impl Lane {
    fn number(self) -> usize {
        let of_values = |stream: usize, which: usize| {
            let stream = stream.min(VALUE_STREAMS.saturating_sub(1));
            stream.saturating_mul(3).saturating_add(which).saturating_add(FIRST_VALUE_LANE)
        };
        match self {
            Self::Batch => 0,
            Self::ChangeFlags => 1,
            Self::Author => 2,
            Self::Deps => 3,
            Self::OperationCount => 4,
            Self::Time => 5,
            Self::OperationFlags => 6,
            Self::Object => 7,
            Self::ObjectCounter => 8,
            Self::Key => 9,
            Self::KeyText => 10,
            Self::Element => 11,
            Self::Kind => 12,
            Self::Predecessor => 13,
            Self::PredecessorCounter => 14,
            Self::Numbers(stream) => of_values(stream, 0),
            Self::Texts(stream) => of_values(stream, 1),
            Self::TextBytes(stream) => of_values(stream, 2),
        }
    }
}

/// Takes symbols.
#[derive(Debug)]
pub(super) enum Sink {
    Row(Vec<u8>),
    Lanes(BTreeMap<usize, Vec<u8>>),
}

impl Sink {
    pub(super) fn row() -> Self {
        Self::Row(Vec::new())
    }

    pub(super) fn lanes() -> Self {
        Self::Lanes(BTreeMap::new())
    }

    pub(super) fn bytes(&mut self, lane: Lane) -> &mut Vec<u8> {
        match self {
            Self::Row(row) => row,
            Self::Lanes(lanes) => lanes.entry(lane.number()).or_default(),
        }
    }

    pub(super) fn unsigned(&mut self, lane: Lane, value: u64) {
        write_unsigned(self.bytes(lane), value);
    }

    /// How many lanes there are up to the last one in use, the length of each, their bytes. A row is itself.
    pub(super) fn finish(self) -> Vec<u8> {
        let lanes = match self {
            Self::Row(row) => return row,
            Self::Lanes(lanes) => lanes,
        };
        let end = lanes.last_key_value().map_or(0, |(last, _)| last.saturating_add(1));
        let mut out = Vec::new();
        write_unsigned(&mut out, end as u64);
        for number in 0..end {
            write_unsigned(&mut out, lanes.get(&number).map_or(0, Vec::len) as u64);
        }
        lanes.values().for_each(|lane| out.extend_from_slice(lane));
        out
    }
}

/// Gives symbols back.
#[derive(Debug)]
pub(super) enum Source<'a> {
    Row(Reader<'a>),
    Lanes(BTreeMap<usize, Reader<'a>>),
}

impl<'a> Source<'a> {
    pub(super) fn row(bytes: &'a [u8]) -> Self {
        Self::Row(Reader::new(bytes))
    }

    pub(super) fn lanes(bytes: &'a [u8]) -> Result<Self, UnpackError> {
        let mut reader = Reader::new(bytes);
        let count = reader.unsigned()?;
        if count > LANES as u64 {
            return Err(UnpackError::Malformed { what: "number of lanes" });
        }
        let lengths = (0..count).map(|_| reader.unsigned()).collect::<Result<Vec<_>, _>>()?;
        let mut lanes = BTreeMap::new();
        for (number, length) in lengths.into_iter().enumerate() {
            lanes.insert(number, Reader::new(reader.take(length)?));
        }
        if reader.is_empty() { Ok(Self::Lanes(lanes)) } else { Err(UnpackError::Malformed { what: "end" }) }
    }

    pub(super) fn reader(&mut self, lane: Lane) -> &mut Reader<'a> {
        match self {
            Self::Row(row) => row,
            Self::Lanes(lanes) => lanes.entry(lane.number()).or_insert(Reader::new(&[])),
        }
    }

    pub(super) fn unsigned(&mut self, lane: Lane) -> Result<u64, UnpackError> {
        Ok(self.reader(lane).unsigned()?)
    }

    pub(super) fn index(&mut self, lane: Lane) -> Result<usize, UnpackError> {
        usize::try_from(self.unsigned(lane)?).map_err(|_| UnpackError::Malformed { what: "index" })
    }

    /// Bytes after their length, both in this lane.
    pub(super) fn prefixed(&mut self, lane: Lane) -> Result<&'a [u8], UnpackError> {
        let length = self.unsigned(lane)?;
        Ok(self.reader(lane).take(length)?)
    }

    /// Checks that every symbol was taken.
    pub(super) fn finish(&self) -> Result<(), UnpackError> {
        let done = match self {
            Self::Row(row) => row.is_empty(),
            Self::Lanes(lanes) => lanes.values().all(Reader::is_empty),
        };
        if done { Ok(()) } else { Err(UnpackError::Malformed { what: "end" }) }
    }
}
