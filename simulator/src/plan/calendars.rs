//! Calendars become windows: the times at which one member's link can be up.

use std::time::Duration;

use super::stream::Stream;
use crate::scenario::{Calendar, CalendarKind, Span, TimeOfDay, Timestamp, UtcOffset, Weekday};

const DAY: Duration = Duration::from_secs(86_400);
const WEEK: [Weekday; 7] = [
    Weekday::Mon,
    Weekday::Tue,
    Weekday::Wed,
    Weekday::Thu,
    Weekday::Fri,
    Weekday::Sat,
    Weekday::Sun,
];

/// Times between begin and end (not included), sorted, none touching another.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Windows(Vec<(Duration, Duration)>);

impl Windows {
    /// From zero to `end`.
    pub(super) fn always(end: Duration) -> Self {
        [(Duration::ZERO, end)].into_iter().collect()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Duration, Duration)> {
        self.0.iter().copied()
    }

    pub(super) fn contains(&self, at: Duration) -> bool {
        let after = self.0.partition_point(|(from, _)| *from <= at);
        after.checked_sub(1).and_then(|index| self.0.get(index)).is_some_and(|(_, until)| at < *until)
    }

    /// The times that are in both.
    pub(super) fn and(&self, other: &Self) -> Self {
        let (mut ours, mut theirs) = (self.0.iter().peekable(), other.0.iter().peekable());
        let mut both = Vec::new();
        while let (Some((from, until)), Some((other_from, other_until))) = (ours.peek(), theirs.peek()) {
            both.push((*from.max(other_from), *until.min(other_until)));
            if until <= other_until { ours.next() } else { theirs.next() };
        }
        both.into_iter().collect()
    }

    /// The times from zero to `end` that are in none.
    pub(super) fn not(&self, end: Duration) -> Self {
        let begins = self.0.iter().map(|(from, _)| *from).chain([end]);
        let ends = [Duration::ZERO].into_iter().chain(self.0.iter().map(|(_, until)| *until));
        ends.zip(begins).collect()
    }
}

impl FromIterator<(Duration, Duration)> for Windows {
    fn from_iter<I: IntoIterator<Item = (Duration, Duration)>>(windows: I) -> Self {
        let mut sorted: Vec<_> = windows.into_iter().filter(|(from, until)| from < until).collect();
        sorted.sort_unstable();
        sorted.dedup_by(|next, kept| {
            let touches = next.0 <= kept.1;
            if touches {
                kept.1 = kept.1.max(next.1);
            }
            touches
        });
        Self(sorted)
    }
}

/// When `calendar` says that a link is up, from zero to `end`, for whom `stream` belongs to. At most `most` windows, then
/// `None`.
pub(super) fn windows(
    calendar: &Calendar,
    stream: &mut Stream,
    start: Timestamp,
    end: Duration,
    most: usize,
) -> Option<Windows> {
    let listed = || calendar.windows.iter().map(|window| (window.from.0, window.until.0.min(end)));
    let all: Vec<_> = match calendar.kind {
        CalendarKind::Always => vec![(Duration::ZERO, end)],
        CalendarKind::Passes => passes(calendar, stream, end).take(most + 1).collect(),
        CalendarKind::Tunnels => open_road(calendar, stream, end).take(most + 1).collect(),
        CalendarKind::Hours => hours(calendar, start, end).take(most + 1).collect(),
        CalendarKind::Windows => listed().collect(),
        CalendarKind::Outages => listed().collect::<Windows>().not(end).0,
    };
    (all.len() <= most).then(|| all.into_iter().filter(|(from, _)| *from < end).collect())
}

fn passes(calendar: &Calendar, stream: &mut Stream, end: Duration) -> impl Iterator<Item = (Duration, Duration)> {
    // A period and a length are always set in a checked scenario; without them there is no pass.
    let period = calendar.period.unwrap_or(Span(end + DAY)).0;
    let up = calendar.up.unwrap_or_default();
    // One period early: the pass that began before the start may still last.
    let first = stream.draw(calendar.phase.unwrap_or_default()).0;
    let mut next = Some(first);
    let mut before = period.checked_sub(first).filter(|before| !before.is_zero());
    std::iter::from_fn(move || {
        let length = stream.draw(up).0;
        if let Some(early) = before.take() {
            return Some((Duration::ZERO, length.saturating_sub(early).min(end)));
        }
        let from = next?;
        next = from.checked_add(period);
        (from < end).then(|| (from, (from + length).min(end)))
    })
}

fn open_road(calendar: &Calendar, stream: &mut Stream, end: Duration) -> impl Iterator<Item = (Duration, Duration)> {
    let (up, down) = (calendar.up.unwrap_or_default(), calendar.down.unwrap_or_default());
    let mut at = Duration::ZERO;
    std::iter::from_fn(move || {
        let from = at;
        let until = from.saturating_add(stream.draw(up).0);
        at = until.saturating_add(stream.draw(down).0);
        (from < end && at > from).then(|| (from, until.min(end)))
    })
}

fn hours(calendar: &Calendar, start: Timestamp, end: Duration) -> impl Iterator<Item = (Duration, Duration)> {
    let offset = i64::from(calendar.utc_offset.unwrap_or(UtcOffset(0)).0) * 60;
    let from = i64::from(calendar.from.unwrap_or(TimeOfDay(0)).0) * 60;
    let until = i64::from(calendar.until.unwrap_or(TimeOfDay(24 * 60)).0) * 60;
    let until = if until <= from { until + 86_400 } else { until };
    let days = if calendar.days.is_empty() { WEEK.to_vec() } else { calendar.days.clone() };
    let start = i64::try_from(start.0).unwrap_or(0);
    let first_day = (start + offset).div_euclid(86_400) - 1;
    // Seconds after the start, at which the local day `day` begins.
    let begin = move |day: i64| day * 86_400 - offset - start;
    let at = |seconds: i64| Duration::from_secs(seconds.max(0).unsigned_abs());
    let last = i64::try_from(end.as_secs()).unwrap_or(i64::MAX);
    (first_day..)
        .take_while(move |day| begin(*day) <= last)
        // 1970 began on a Thursday.
        .filter(move |day| WEEK.get(usize::try_from((day + 3).rem_euclid(7)).unwrap_or(0)).is_some_and(|it| days.contains(it)))
        .map(move |day| (at(begin(day) + from), at(begin(day) + until).min(end)))
}

#[cfg(test)]
mod tests;
