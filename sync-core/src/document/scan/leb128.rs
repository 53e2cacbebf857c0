//! Reads bytes and LEB128 integers from a slice, and never past its end.

/// Why an integer or a run of bytes could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The bytes end too early.
    #[error("the bytes end in the middle of it")]
    Truncated,
    /// More than 64 bits.
    #[error("an integer has more than 64 bits")]
    TooLarge,
    /// An integer in more bytes than it needs: two byte strings for one value would be two hashes for one change.
    #[error("an integer is written with more bytes than it needs")]
    NotShortest,
    /// A text that is not UTF-8.
    #[error("a text is not UTF-8")]
    NotUtf8,
}

/// A position in a slice.
#[derive(Debug, Clone, Copy)]
pub(in crate::document) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(in crate::document) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(in crate::document) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(in crate::document) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(in crate::document) fn byte(&mut self) -> Result<u8, ReadError> {
        let (first, rest) = self.rest.split_first().ok_or(ReadError::Truncated)?;
        self.rest = rest;
        Ok(*first)
    }

    /// The next `count` bytes. `count` may be anything that the input claims.
    pub(in crate::document) fn take(&mut self, count: u64) -> Result<&'a [u8], ReadError> {
        let count = usize::try_from(count).map_err(|_| ReadError::Truncated)?;
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(ReadError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    pub(in crate::document) fn array<const N: usize>(&mut self) -> Result<[u8; N], ReadError> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(ReadError::Truncated)?;
        self.rest = rest;
        Ok(*taken)
    }

    /// An unsigned integer in its shortest form.
    pub(in crate::document) fn unsigned(&mut self) -> Result<u64, ReadError> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            if shift == 63 && byte > 1 {
                return Err(ReadError::TooLarge);
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return if byte == 0 && shift > 0 { Err(ReadError::NotShortest) } else { Ok(value) };
            }
        }
        Err(ReadError::TooLarge)
    }

    /// A signed integer (two's complement) in its shortest form.
    pub(in crate::document) fn signed(&mut self) -> Result<i64, ReadError> {
        let mut value = 0_i64;
        let mut previous = 0_u8;
        for shift in (0_u32..64).step_by(7) {
            let byte = self.byte()?;
            // The tenth byte holds one bit of the value; the others repeat it.
            if shift == 63 && byte != 0 && byte != 0x7f {
                return Err(ReadError::TooLarge);
            }
            value |= i64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                let repeats_sign = (byte == 0 && previous & 0x40 == 0) || (byte == 0x7f && previous & 0x40 != 0);
                if shift > 0 && repeats_sign {
                    return Err(ReadError::NotShortest);
                }
                // Past the tenth byte there is nothing left to fill with the sign.
                if byte & 0x40 != 0 {
                    value |= (-1_i64).checked_shl(shift.saturating_add(7)).unwrap_or(0);
                }
                return Ok(value);
            }
            previous = byte;
        }
        Err(ReadError::TooLarge)
    }

    /// A length and as many bytes of UTF-8.
    pub(in crate::document) fn text(&mut self) -> Result<&'a str, ReadError> {
        let length = self.unsigned()?;
        std::str::from_utf8(self.take(length)?).map_err(|_| ReadError::NotUtf8)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn unsigned_bytes(mut value: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        while value >= 0x80 {
            bytes.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        bytes.push(value as u8);
        bytes
    }

    fn signed_bytes(mut value: i64) -> Vec<u8> {
        let mut bytes = Vec::new();
        while !(-64..64).contains(&value) {
            bytes.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        bytes.push((value & 0x7f) as u8);
        bytes
    }

    proptest! {
        #[test]
        fn integers_survive_their_shortest_form(value in any::<u64>(), bits in 0_u32..64) {
            let unsigned = value >> bits;
            let signed = (value as i64) >> bits;
            prop_assert_eq!(Reader::new(&unsigned_bytes(unsigned)).unsigned(), Ok(unsigned));
            prop_assert_eq!(Reader::new(&signed_bytes(signed)).signed(), Ok(signed));
        }

        #[test]
        fn what_is_read_is_the_only_form_of_its_value(bytes in prop::collection::vec(any::<u8>(), 0..12)) {
            let mut reader = Reader::new(&bytes);
            if let Ok(value) = reader.unsigned() {
                prop_assert!(bytes.starts_with(&unsigned_bytes(value)));
            }
            let mut reader = Reader::new(&bytes);
            if let Ok(value) = reader.signed() {
                prop_assert!(bytes.starts_with(&signed_bytes(value)));
            }
        }
    }

    #[test]
    fn long_and_cut_integers_are_refused() {
        assert_eq!(Reader::new(&[0x80]).unsigned(), Err(ReadError::Truncated));
        assert_eq!(Reader::new(&[0x80, 0]).unsigned(), Err(ReadError::NotShortest));
        assert_eq!(Reader::new(&[0xff; 10]).unsigned(), Err(ReadError::TooLarge));
        assert_eq!(Reader::new(&[0xff, 0x7f]).signed(), Err(ReadError::NotShortest));
        assert_eq!(Reader::new(&[0xff; 11]).signed(), Err(ReadError::TooLarge));
        assert_eq!(Reader::new(b"ab").take(u64::MAX), Err(ReadError::Truncated));
    }
}
