//! The value of an operation, in kinds that can be predicted.

use super::column::{write_signed, write_unsigned};
use crate::document::scan::leb128::Reader;

/// What an operation does. Puts keep the raw bytes that Automerge stores, so that whatever they are comes back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    MakeMap,
    MakeList,
    Delete,
    /// Metadata word and raw bytes.
    Put(u64, Vec<u8>),
}

/// What a value is, as one small number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    MakeMap = 0,
    MakeList = 1,
    Delete = 2,
    Null = 3,
    False = 4,
    True = 5,
    Unsigned = 6,
    Signed = 7,
    Float = 8,
    Text = 9,
    Bytes = 10,
    Timestamp = 11,
    /// A text of lower-case hexadecimal digits, which travels in half its bytes.
    HexText = 12,
}

const KINDS: [Kind; 13] = [
    Kind::MakeMap,
    Kind::MakeList,
    Kind::Delete,
    Kind::Null,
    Kind::False,
    Kind::True,
    Kind::Unsigned,
    Kind::Signed,
    Kind::Float,
    Kind::Text,
    Kind::Bytes,
    Kind::Timestamp,
    Kind::HexText,
];

/// Shorter texts of hexadecimal digits are words and numbers more often than hashes.
const HEX_TEXT_MIN: usize = 16;

impl Kind {
    pub(super) fn from_number(number: u64) -> Option<Self> {
        KINDS.get(usize::try_from(number).ok()?).copied()
    }

    /// Automerge's number of the type, in the low four bits of the metadata word.
    pub(super) fn value_type(self) -> u64 {
        match self {
            Self::MakeMap | Self::MakeList | Self::Delete | Self::Null => 0,
            Self::False => 1,
            Self::True => 2,
            Self::Unsigned => 3,
            Self::Signed => 4,
            Self::Float => 5,
            Self::Text | Self::HexText => 6,
            Self::Bytes => 7,
            Self::Timestamp => 9,
        }
    }
}

impl Value {
    pub(super) fn of(metadata: u64, raw: &[u8]) -> Self {
        Self::Put(metadata, raw.to_vec())
    }

    /// A put of this kind.
    pub(super) fn put(kind: Kind, raw: Vec<u8>) -> Self {
        Self::Put((raw.len() as u64) << 4 | kind.value_type(), raw)
    }

    /// A put of a number of this kind.
    pub(super) fn of_number(kind: Kind, number: u64) -> Self {
        let mut raw = Vec::new();
        if kind == Kind::Unsigned {
            write_unsigned(&mut raw, number);
        } else {
            write_signed(&mut raw, number.cast_signed());
        }
        Self::put(kind, raw)
    }

    /// `None` for a type that is not predicted; its change then travels as it is.
    pub(super) fn kind(&self) -> Option<Kind> {
        let (metadata, raw) = match self {
            Self::MakeMap => return Some(Kind::MakeMap),
            Self::MakeList => return Some(Kind::MakeList),
            Self::Delete => return Some(Kind::Delete),
            Self::Put(metadata, raw) => (metadata, raw),
        };
        match metadata & 0x0f {
            0 => Some(Kind::Null),
            1 => Some(Kind::False),
            2 => Some(Kind::True),
            3 => Some(Kind::Unsigned),
            4 => Some(Kind::Signed),
            5 => Some(Kind::Float),
            6 if is_hex(raw) => Some(Kind::HexText),
            6 => Some(Kind::Text),
            7 => Some(Kind::Bytes),
            9 => Some(Kind::Timestamp),
            _ => None,
        }
    }

    pub(super) fn raw(&self) -> &[u8] {
        match self {
            Self::Put(_, raw) => raw,
            Self::MakeMap | Self::MakeList | Self::Delete => &[],
        }
    }

    pub(super) fn metadata(&self) -> u64 {
        match self {
            Self::Put(metadata, _) => *metadata,
            Self::MakeMap | Self::MakeList | Self::Delete => 0,
        }
    }

    pub(super) fn action(&self) -> u64 {
        match self {
            Self::MakeMap => 0,
            Self::Put(..) => 1,
            Self::MakeList => 2,
            Self::Delete => 3,
        }
    }

    /// The number in the raw bytes of a value of this kind.
    pub(super) fn number(&self, kind: Kind) -> Option<u64> {
        let mut reader = Reader::new(self.raw());
        if kind == Kind::Unsigned { reader.unsigned().ok() } else { reader.signed().ok().map(i64::cast_unsigned) }
    }
}

fn is_hex(text: &[u8]) -> bool {
    text.len() >= HEX_TEXT_MIN
        && text.len().is_multiple_of(2)
        && text.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Two digits in each byte.
pub(super) fn pack_hex(text: &[u8]) -> Vec<u8> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => byte & 0x0f,
        _ => (byte & 0x0f).saturating_add(9),
    };
    let (pairs, _) = text.as_chunks::<2>();
    pairs.iter().map(|[high, low]| digit(*high) << 4 | digit(*low)).collect()
}

pub(super) fn unpack_hex(bytes: &[u8]) -> Vec<u8> {
    let digit = |half: u8| match half {
        0..=9 => half | b'0',
        _ => half.wrapping_sub(10).wrapping_add(b'a'),
    };
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 0x0f)]).collect()
}
