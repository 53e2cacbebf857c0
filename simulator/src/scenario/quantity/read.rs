//! How each quantity is read and written. What is written is read as the same value.

use std::fmt;
use std::time::{Duration, UNIX_EPOCH};

use super::{
    Bandwidth, Count, Drift, Factor, Offset, Quantity, Range, Rate, Share, Size, Span, TimeOfDay, Timestamp, UtcOffset,
};

/// Decimal places of the numbers that are kept in millionths.
const PLACES: u32 = 6;

const MILLION: u64 = 1_000_000;

const SPAN_PATTERN: &str = "[0-9]+ ?[a-zA-Z]+( ?[0-9]+ ?[a-zA-Z]+)*";

/// A decimal number in millionths. More places than that are refused, not rounded.
fn millionths(text: &str) -> Option<u64> {
    let (whole, places) = text.split_once('.').unwrap_or((text, ""));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(places) || text.ends_with('.') || places.len() > PLACES as usize {
        return None;
    }
    let padded: String = places.chars().chain("000000".chars()).take(PLACES as usize).collect();
    whole.parse::<u64>().ok()?.checked_mul(MILLION)?.checked_add(padded.parse().ok()?)
}

/// Writes millionths as a decimal number without zeros at its end.
fn write_millionths(f: &mut fmt::Formatter<'_>, value: u64) -> fmt::Result {
    let (whole, rest) = (value / MILLION, value % MILLION);
    if rest == 0 {
        return write!(f, "{whole}");
    }
    let places = format!("{rest:06}");
    write!(f, "{whole}.{}", places.trim_end_matches('0'))
}

/// Splits a number from its unit.
fn split(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    (number, unit.trim_start())
}

/// A number with one of `units`, each with what it is worth.
fn with_unit(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let (number, unit) = split(text);
    let (_, worth) = units.iter().find(|(name, _)| *name == unit)?;
    let value = u128::from(millionths(number)?) * u128::from(*worth);
    (value % u128::from(MILLION) == 0).then(|| u64::try_from(value / u128::from(MILLION)).ok())?
}

/// Writes a whole number with the largest of `units` (ascending) that divides it.
fn write_unit(f: &mut fmt::Formatter<'_>, value: u64, units: &[(&str, u64)]) -> fmt::Result {
    let fits = units.iter().rev().find(|(_, worth)| value >= *worth && value.is_multiple_of(*worth));
    let (name, worth) = fits.or(units.first()).copied().unwrap_or(("", 1));
    write!(f, "{}{name}", value / worth)
}

const SIZES: [(&str, u64); 7] =
    [("B", 1), ("kB", 1000), ("KiB", 1 << 10), ("MB", 1_000_000), ("MiB", 1 << 20), ("GB", 1_000_000_000), ("GiB", 1 << 30)];

const BANDWIDTHS: [(&str, u64); 4] =
    [("bit/s", 1), ("kbit/s", 1000), ("Mbit/s", 1_000_000), ("Gbit/s", 1_000_000_000)];

impl Quantity for Span {
    const NAME: &'static str = "Span";
    const EXPECTED: &'static str = "a duration such as \"5s\", \"1h 30m\" or \"7d\"";
    const PATTERN: &'static str = SPAN_PATTERN;

    fn read(text: &str) -> Option<Self> {
        humantime::parse_duration(text).ok().map(Self)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, nanos) = (self.0.as_secs(), u64::from(self.0.subsec_nanos()));
        let parts = [
            (seconds / 86_400, "d"),
            (seconds / 3600 % 24, "h"),
            (seconds / 60 % 60, "m"),
            (seconds % 60, "s"),
            (nanos / 1_000_000, "ms"),
            (nanos / 1000 % 1000, "us"),
            (nanos % 1000, "ns"),
        ];
        let mut written = parts.into_iter().filter(|(value, _)| *value > 0);
        let Some((value, unit)) = written.next() else { return f.write_str("0s") };
        write!(f, "{value}{unit}")?;
        written.try_for_each(|(value, unit)| write!(f, " {value}{unit}"))
    }
}

impl Quantity for Offset {
    const NAME: &'static str = "Offset";
    const EXPECTED: &'static str = "a difference of clocks such as \"5m\" or \"-1h\"";
    const PATTERN: &'static str = "-?[0-9]+ ?[a-zA-Z]+( ?[0-9]+ ?[a-zA-Z]+)*";

    fn read(text: &str) -> Option<Self> {
        let size = Span::read(text.strip_prefix('-').unwrap_or(text))?.0;
        let size = i64::try_from(size.as_millis()).ok().filter(|_| size.subsec_nanos().is_multiple_of(1_000_000))?;
        Some(Self(if text.starts_with('-') { -size } else { size }))
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        write!(f, "{sign}{}", Span(Duration::from_millis(self.0.unsigned_abs())))
    }
}

impl Quantity for Drift {
    const NAME: &'static str = "Drift";
    const EXPECTED: &'static str = "a drift of a clock such as \"40ppm\" or \"-200ppm\"";
    const PATTERN: &'static str = "-?[0-9]+ ?ppm";

    fn read(text: &str) -> Option<Self> {
        text.strip_suffix("ppm")?.trim_end().parse().ok().filter(|_| !text.starts_with('+')).map(Self)
    }
}

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}ppm", self.0)
    }
}

impl Quantity for Size {
    const NAME: &'static str = "Size";
    const EXPECTED: &'static str = "a size such as \"512B\", \"64KiB\" or \"5MB\"";
    const PATTERN: &'static str = "[0-9]+(\\.[0-9]+)? ?(B|[kMG]B|[KMG]iB)";

    fn read(text: &str) -> Option<Self> {
        with_unit(text, &SIZES).map(Self)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_unit(f, self.0, &SIZES)
    }
}

impl Quantity for Bandwidth {
    const NAME: &'static str = "Bandwidth";
    const EXPECTED: &'static str = "a bandwidth such as \"64kbit/s\" or \"10Mbit/s\"";
    const PATTERN: &'static str = "[0-9]+(\\.[0-9]+)? ?[kMG]?bit/s";

    fn read(text: &str) -> Option<Self> {
        with_unit(text, &BANDWIDTHS).map(Self)
    }
}

impl fmt::Display for Bandwidth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_unit(f, self.0, &BANDWIDTHS)
    }
}

impl Quantity for Share {
    const NAME: &'static str = "Share";
    const EXPECTED: &'static str = "a share such as \"2%\" or \"0.05%\", to four places";
    const PATTERN: &'static str = "[0-9]+(\\.[0-9]{1,4})? ?%";

    fn read(text: &str) -> Option<Self> {
        let percent = millionths(text.strip_suffix('%')?.trim_end())?;
        let ppm = u32::try_from(percent / 100).ok()?;
        (percent.is_multiple_of(100) && ppm <= 1_000_000).then_some(Self(ppm))
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_millionths(f, u64::from(self.0) * 100)?;
        f.write_str("%")
    }
}

/// Names of the times that a rate may be per, with how many of each a day has, times seven so that a week is whole.
const PER: [(&str, u64); 5] = [("week", 1), ("day", 7), ("h", 7 * 24), ("hour", 7 * 24), ("min", 7 * 24 * 60)];

impl Quantity for Rate {
    const NAME: &'static str = "Rate";
    const EXPECTED: &'static str = "a rate such as \"2/day\", \"0.5/h\" or \"1/week\"";
    const PATTERN: &'static str = "[0-9]+(\\.[0-9]+)?/(week|day|h|hour|min)";

    fn read(text: &str) -> Option<Self> {
        let (number, per) = text.split_once('/')?;
        let (_, sevenths) = PER.iter().find(|(name, _)| *name == per)?;
        Some(Self(millionths(number)?.checked_mul(*sevenths)? / 7))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_millionths(f, self.0)?;
        f.write_str("/day")
    }
}

impl Quantity for Factor {
    const NAME: &'static str = "Factor";
    const EXPECTED: &'static str = "a factor such as \"0.25\" or \"4\"";
    const PATTERN: &'static str = "[0-9]+(\\.[0-9]{1,6})?";

    fn read(text: &str) -> Option<Self> {
        millionths(text).map(Self)
    }
}

impl fmt::Display for Factor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_millionths(f, self.0)
    }
}

impl Quantity for Count {
    const NAME: &'static str = "Count";
    const EXPECTED: &'static str = "a whole number such as \"3\"";
    const PATTERN: &'static str = "[0-9]+";

    fn read(text: &str) -> Option<Self> {
        text.parse().ok().filter(|_| !text.starts_with('+')).map(Self)
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl Quantity for Timestamp {
    const NAME: &'static str = "Timestamp";
    const EXPECTED: &'static str = "a point in time in UTC such as \"2026-01-05T00:00:00Z\", in quotes";
    const PATTERN: &'static str = "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z";

    fn read(text: &str) -> Option<Self> {
        let time = humantime::parse_rfc3339(text).ok()?.duration_since(UNIX_EPOCH).ok()?;
        (time.subsec_nanos() == 0).then_some(Self(time.as_secs()))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The largest time that can be written is the last second of the year 9999.
        let time = UNIX_EPOCH + Duration::from_secs(self.0.min(253_402_300_799));
        write!(f, "{}", humantime::format_rfc3339_seconds(time))
    }
}

/// Hours and minutes, both of two digits.
fn clock(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let part = |text: &str| text.parse::<u16>().ok().filter(|_| text.len() == 2 && !text.starts_with('+'));
    let (hours, minutes) = (part(hours)?, part(minutes)?);
    (minutes < 60 && hours * 60 + minutes <= 24 * 60).then_some(hours * 60 + minutes)
}

impl Quantity for TimeOfDay {
    const NAME: &'static str = "TimeOfDay";
    const EXPECTED: &'static str = "a time of day such as \"08:30\"";
    const PATTERN: &'static str = "[0-2][0-9]:[0-5][0-9]";

    fn read(text: &str) -> Option<Self> {
        clock(text).map(Self)
    }
}

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.0 / 60, self.0 % 60)
    }
}

impl Quantity for UtcOffset {
    const NAME: &'static str = "UtcOffset";
    const EXPECTED: &'static str = "an offset from UTC such as \"+01:00\" or \"-03:30\"";
    const PATTERN: &'static str = "[+-][01][0-9]:[0-5][0-9]";

    fn read(text: &str) -> Option<Self> {
        let minutes = clock(text.strip_prefix(['+', '-'])?)?;
        let minutes = i16::try_from(minutes).ok().filter(|minutes| *minutes <= 14 * 60)?;
        Some(Self(if text.starts_with('-') { -minutes } else { minutes }))
    }
}

impl fmt::Display for UtcOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { '-' } else { '+' };
        write!(f, "{sign}{:02}:{:02}", self.0.unsigned_abs() / 60, self.0.unsigned_abs() % 60)
    }
}

/// One value, `LEAST..MOST`, or `LEAST..MOST mean MEAN` with the mean between the others.
pub(super) fn range<T: Quantity>(text: &str) -> Option<Range<T>> {
    let Some((least, rest)) = text.split_once("..") else { return T::read(text).map(Range::exactly) };
    let (most, mean) = match rest.split_once(" mean ") {
        Some((most, mean)) => (most, Some(T::read(mean)?)),
        None => (rest, None),
    };
    let (least, most) = (T::read(least)?, T::read(most)?);
    let ordered = least <= most && mean.is_none_or(|mean| least <= mean && mean <= most);
    ordered.then_some(Range { least, most, mean: mean.filter(|_| least < most) })
}

impl<T: Quantity> fmt::Display for Range<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.mean {
            _ if self.least == self.most => write!(f, "{}", self.least),
            None => write!(f, "{}..{}", self.least, self.most),
            Some(mean) => write!(f, "{}..{} mean {mean}", self.least, self.most),
        }
    }
}
