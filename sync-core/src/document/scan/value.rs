//! Checks the values of operations: a metadata word (length times 16, plus a type) and as many raw bytes.

use super::error::OperationError;
use super::leb128::{ReadError, Reader};
use crate::limits::VALUE_BYTES_MAX;

/// The metadata word of "no value", which is also that of a JSON null.
pub(super) const NULL: u64 = 0;

const FALSE: u64 = 1;
const TRUE: u64 = 2;
const UNSIGNED: u64 = 3;
const SIGNED: u64 = 4;
const FLOAT: u64 = 5;
const TEXT: u64 = 6;
const BYTES: u64 = 7;
const TIMESTAMP: u64 = 9;

/// Takes the raw bytes that belong to `metadata` and checks that they are a value of its type.
pub(super) fn check_value(metadata: u64, raw: &mut Reader<'_>) -> Result<(), OperationError> {
    let (length, value_type) = (metadata >> 4, metadata & 0x0f);
    if length > VALUE_BYTES_MAX as u64 {
        return Err(OperationError::ValueTooLong { bytes: length });
    }
    let bytes = raw.take(length).map_err(OperationError::MalformedValue)?;
    let wrong_length = OperationError::ValueLength { bytes: length };
    let mut reader = Reader::new(bytes);
    match value_type {
        NULL | FALSE | TRUE => {}
        UNSIGNED => reader.unsigned().map(drop).map_err(OperationError::MalformedValue)?,
        SIGNED | TIMESTAMP => reader.signed().map(drop).map_err(OperationError::MalformedValue)?,
        FLOAT => reader.array::<8>().map(drop).map_err(|_| wrong_length)?,
        TEXT => {
            let text = std::str::from_utf8(bytes);
            return text.map(drop).map_err(|_| OperationError::MalformedValue(ReadError::NotUtf8));
        }
        BYTES => return Ok(()),
        _ => return Err(OperationError::ValueType { value_type }),
    }
    if reader.is_empty() { Ok(()) } else { Err(wrong_length) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(value_type: u64, bytes: &[u8]) -> Result<(), OperationError> {
        check_value((bytes.len() as u64) << 4 | value_type, &mut Reader::new(bytes))
    }

    #[test]
    fn values_of_json_are_taken() {
        for (value_type, bytes) in [
            (NULL, &b""[..]),
            (TRUE, b""),
            (UNSIGNED, b"\x80\x01"),
            (SIGNED, b"\x7f"),
            (FLOAT, b"12345678"),
            (TEXT, "wind-farm ü".as_bytes()),
            (TEXT, b""),
            (BYTES, b"\xff"),
            (TIMESTAMP, b"\x00"),
        ] {
            assert_eq!(check(value_type, bytes), Ok(()), "{value_type}");
        }
    }

    #[test]
    fn values_that_their_type_does_not_allow_are_refused() {
        assert_eq!(check(NULL, b"x"), Err(OperationError::ValueLength { bytes: 1 }));
        assert_eq!(check(UNSIGNED, b"\x80\x00"), Err(OperationError::MalformedValue(ReadError::NotShortest)));
        assert_eq!(check(SIGNED, b""), Err(OperationError::MalformedValue(ReadError::Truncated)));
        assert_eq!(check(UNSIGNED, b"\x01\x01"), Err(OperationError::ValueLength { bytes: 2 }));
        assert_eq!(check(FLOAT, b"123456789"), Err(OperationError::ValueLength { bytes: 9 }));
        assert_eq!(check(TEXT, b"\xff"), Err(OperationError::MalformedValue(ReadError::NotUtf8)));
        assert_eq!(check(8, b"\x01"), Err(OperationError::ValueType { value_type: 8 }));
        assert_eq!(check(10, b""), Err(OperationError::ValueType { value_type: 10 }));
        assert_eq!(
            check_value(u64::MAX, &mut Reader::new(b"")),
            Err(OperationError::ValueTooLong { bytes: u64::MAX >> 4 })
        );
    }
}
