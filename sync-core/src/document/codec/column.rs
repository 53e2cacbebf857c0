//! Writes columns as Automerge's writer does: runs of one value, runs of absent values, literal runs, differences, truth
//! values. For each list of rows there is one encoding, so a change that is written again has the bytes that it had.

/// Appends an unsigned LEB128 integer in its shortest form.
pub(in crate::document) fn write_unsigned(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(low_bits(value) | 0x80);
        value >>= 7;
    }
    out.push(low_bits(value));
}

/// Appends a signed LEB128 integer (two's complement) in its shortest form.
pub(super) fn write_signed(out: &mut Vec<u8>, mut value: i64) {
    while !(-64..64).contains(&value) {
        out.push(low_bits(value.cast_unsigned()) | 0x80);
        value >>= 7;
    }
    out.push(low_bits(value.cast_unsigned()));
}

fn low_bits(value: u64) -> u8 {
    value.to_le_bytes()[0] & 0x7f
}

/// A value of a run-length encoded column.
pub(super) trait ColumnValue: Copy + PartialEq {
    fn write(self, out: &mut Vec<u8>);
}

impl ColumnValue for u64 {
    fn write(self, out: &mut Vec<u8>) {
        write_unsigned(out, self);
    }
}

impl ColumnValue for i64 {
    fn write(self, out: &mut Vec<u8>) {
        write_signed(out, self);
    }
}

impl ColumnValue for &[u8] {
    fn write(self, out: &mut Vec<u8>) {
        write_unsigned(out, self.len() as u64);
        out.extend_from_slice(self);
    }
}

/// A run-length encoded column; empty when every value is absent.
pub(super) fn runs<T: ColumnValue>(values: impl Iterator<Item = Option<T>>) -> Vec<u8> {
    let mut writer = RunWriter { out: Vec::new(), literal: Vec::new(), any: false };
    let mut current: Option<(Option<T>, u64)> = None;
    for value in values {
        match &mut current {
            Some((last, count)) if *last == value => *count = count.saturating_add(1),
            _ => {
                if let Some((value, count)) = current.replace((value, 1)) {
                    writer.run(value, count);
                }
            }
        }
    }
    if let Some((value, count)) = current {
        writer.run(value, count);
    }
    writer.finish()
}

struct RunWriter<T> {
    out: Vec<u8>,
    literal: Vec<T>,
    any: bool,
}

impl<T: ColumnValue> RunWriter<T> {
    fn run(&mut self, value: Option<T>, count: u64) {
        match value {
            Some(value) if count == 1 => self.literal.push(value),
            Some(value) => {
                self.end_literal();
                write_signed(&mut self.out, count.cast_signed());
                value.write(&mut self.out);
                self.any = true;
            }
            None => {
                self.end_literal();
                write_signed(&mut self.out, 0);
                write_unsigned(&mut self.out, count);
            }
        }
    }

    fn end_literal(&mut self) {
        if self.literal.is_empty() {
            return;
        }
        self.any = true;
        write_signed(&mut self.out, (self.literal.len() as u64).cast_signed().wrapping_neg());
        for value in self.literal.drain(..) {
            value.write(&mut self.out);
        }
    }

    fn finish(mut self) -> Vec<u8> {
        self.end_literal();
        if self.any { self.out } else { Vec::new() }
    }
}

/// A column of differences, each to the present value before it.
pub(super) fn differences(values: impl Iterator<Item = Option<u64>>) -> Vec<u8> {
    let mut before = 0_i64;
    runs(values.map(|value| {
        value.map(|value| {
            let value = value.cast_signed();
            let difference = value.wrapping_sub(before);
            before = value;
            difference
        })
    }))
}

/// A column of truth values: the lengths of alternating runs, of `false` first.
pub(super) fn booleans(values: impl Iterator<Item = bool>) -> Vec<u8> {
    let mut out = Vec::new();
    let (mut value, mut count, mut any) = (false, 0_u64, false);
    for next in values {
        any = true;
        if next != value {
            write_unsigned(&mut out, count);
            (value, count) = (next, 0);
        }
        count = count.saturating_add(1);
    }
    if any {
        write_unsigned(&mut out, count);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_written_as_the_scanner_reads_them() {
        let rows = [Some(5), Some(5), Some(5), None, None, Some(1), Some(2), Some(7), Some(7_u64)];
        assert_eq!(runs(rows.into_iter()), [3, 5, 0, 2, 0x7e, 1, 2, 2, 7]);
        assert_eq!(runs([Some(5), Some(6), Some(6), Some(5_u64)].into_iter()), [0x7f, 5, 2, 6, 0x7f, 5]);
        assert_eq!(runs([None::<u64>, None].into_iter()), [0_u8; 0]);
    }

    #[test]
    fn booleans_start_with_false() {
        assert_eq!(booleans([true, true, false].into_iter()), [0, 2, 1]);
        assert_eq!(booleans([false, false].into_iter()), [2]);
        assert_eq!(booleans([].into_iter()), [0_u8; 0]);
    }
}
