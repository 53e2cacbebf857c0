//! Quantities of a scenario as people write them, such as `"10m"`, `"64kbit/s"`, `"2%"`, `"3/day"` and `"30s..5m"`.
//!
//! All are whole numbers inside, so that they compare exactly and come back from a file as they went.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

mod read;

/// A value that is one string in a scenario file.
pub trait Quantity: Copy + Ord + fmt::Display {
    /// The type's name in the schema.
    const NAME: &'static str;
    /// What to write, with examples.
    const EXPECTED: &'static str;
    /// A regular expression that every such string matches (ECMA 262, without anchors).
    const PATTERN: &'static str;
    /// The value of a string; `None` when it is none.
    fn read(text: &str) -> Option<Self>;
}

/// A length of time, to the nanosecond: `"5s"`, `"1h 30m"`, `"7d"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Span(pub Duration);

/// A difference of clocks in milliseconds, either way: `"-5m"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Offset(pub i64);

/// How much faster a clock runs, in millionths: `"-40ppm"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Drift(pub i32);

/// Bytes: `"512B"`, `"64kB"` (1000), `"64KiB"` (1024).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Size(pub u64);

/// Bits in a second: `"64kbit/s"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Bandwidth(pub u64);

/// Parts per million, written in percent: `"0.5%"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Share(pub u32);

/// How often something happens on average, in millionths a day: `"2/day"`, `"0.5/h"`, `"1/week"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Rate(pub u64);

/// A factor in millionths: `"0.25"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Factor(pub u64);

/// A whole number that is part of a range: `"3"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Count(pub u32);

/// A point in time in seconds since 1970, UTC: `"2026-01-05T00:00:00Z"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub u64);

/// Minutes since midnight: `"08:30"`; `"24:00"` ends a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct TimeOfDay(pub u16);

/// Minutes that a local clock is ahead of UTC: `"+05:30"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct UtcOffset(pub i16);

/// One value, or two bounds to draw between, both possible: `"30s"`, `"30s..5m"`, or `"30s..5m mean 1m"`.
///
/// Without a mean every value between the bounds is as likely. With one, the draw is exponential with that mean and what
/// falls outside is moved to the bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Range<T> {
    /// The least that is drawn.
    pub least: T,
    /// The most that is drawn.
    pub most: T,
    /// The mean of an exponential draw, before the bounds.
    pub mean: Option<T>,
}

impl<T: Copy + PartialEq> Range<T> {
    /// The range of one value.
    pub const fn exactly(value: T) -> Self {
        Self { least: value, most: value, mean: None }
    }

    /// Whether nothing is left to chance.
    pub fn is_exact(&self) -> bool {
        self.least == self.most
    }
}

impl Span {
    /// Whole seconds.
    #[must_use]
    pub const fn seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }
}

impl Default for Factor {
    fn default() -> Self {
        Self(1_000_000)
    }
}

impl Default for Timestamp {
    /// Monday, 5 January 2026, 00:00 UTC.
    fn default() -> Self {
        Self(1_767_571_200)
    }
}

/// Reads a [`Quantity`] from a string and nothing else.
struct Text<T>(PhantomData<T>);

impl<T: Quantity> Visitor<'_> for Text<T> {
    type Value = T;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(T::EXPECTED)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        T::read(text).ok_or_else(|| E::custom(format_args!("expected {}, found \"{text}\"", T::EXPECTED)))
    }
}

fn schema_of<T: Quantity>() -> Schema {
    json_schema!({ "type": "string", "description": T::EXPECTED, "pattern": format!("^({})$", T::PATTERN) })
}

macro_rules! one_string {
    ($($name:ty),+) => { $(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str(Text::<Self>(PhantomData))
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                Cow::Borrowed(<Self as Quantity>::NAME)
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                schema_of::<Self>()
            }
        }
    )+ };
}

one_string!(Span, Offset, Drift, Size, Bandwidth, Share, Rate, Factor, Count, Timestamp, TimeOfDay, UtcOffset);

impl<T: Quantity> Serialize for Range<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de, T: Quantity> Deserialize<'de> for Range<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct RangeText<T>(PhantomData<T>);
        impl<T: Quantity> Visitor<'_> for RangeText<T> {
            type Value = Range<T>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(formatter, "{}, or two of them as a range `LEAST..MOST`", T::EXPECTED)
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Range<T>, E> {
                read::range(text).ok_or_else(|| {
                    let what = T::EXPECTED;
                    E::custom(format_args!(
                        "expected {what}, or a range `LEAST..MOST` or `LEAST..MOST mean MEAN` of such, found \"{text}\""
                    ))
                })
            }
        }
        deserializer.deserialize_str(RangeText(PhantomData))
    }
}

impl<T: Quantity> JsonSchema for Range<T> {
    fn schema_name() -> Cow<'static, str> {
        Cow::Owned(format!("{}Range", T::NAME))
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let one = T::PATTERN;
        json_schema!({
            "type": "string",
            "description": format!("{}, or `LEAST..MOST` to draw between, or `LEAST..MOST mean MEAN`", T::EXPECTED),
            "pattern": format!("^({one})(\\.\\.({one})( mean ({one}))?)?$"),
        })
    }
}

#[cfg(test)]
mod tests;
