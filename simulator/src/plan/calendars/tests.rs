//! Calendars: windows as people would list them by hand.

use super::*;
use crate::scenario::{Range, Window};

const HOUR: u64 = 3600;

fn hours(of: impl IntoIterator<Item = (u64, u64)>) -> Windows {
    of.into_iter().map(|(from, until)| (Duration::from_secs(from * HOUR), Duration::from_secs(until * HOUR))).collect()
}

fn listed(calendar: &Calendar, start: &str, end: u64) -> Windows {
    let start = crate::scenario::Quantity::read(start).unwrap();
    windows(calendar, &mut Stream::new(1, &["test"]), start, Duration::from_secs(end * HOUR), 1000).unwrap()
}

const MONDAY: &str = "2026-01-05T00:00:00Z";

#[test]
fn office_hours_go_by_weekday_and_offset() {
    let calendar = Calendar {
        kind: CalendarKind::Hours,
        days: vec![Weekday::Mon, Weekday::Fri],
        from: Some(TimeOfDay(8 * 60)),
        until: Some(TimeOfDay(18 * 60)),
        utc_offset: Some(UtcOffset(60)),
        ..Calendar::default()
    };
    assert_eq!(listed(&calendar, MONDAY, 7 * 24), hours([(7, 17), (4 * 24 + 7, 4 * 24 + 17)]));
    // The run begins inside the hours.
    assert_eq!(listed(&calendar, "2026-01-09T12:00:00Z", 24), hours([(0, 5)]));
}

#[test]
fn hours_over_midnight_belong_to_the_day_on_which_they_begin() {
    let calendar = Calendar {
        kind: CalendarKind::Hours,
        days: vec![Weekday::Sun],
        from: Some(TimeOfDay(22 * 60)),
        until: Some(TimeOfDay(6 * 60)),
        ..Calendar::default()
    };
    assert_eq!(listed(&calendar, MONDAY, 7 * 24), hours([(0, 6), (6 * 24 + 22, 7 * 24)]));
}

#[test]
fn passes_come_after_each_period_also_those_that_began_before_the_start() {
    let calendar = Calendar {
        kind: CalendarKind::Passes,
        period: Some(Span::seconds(10 * HOUR)),
        up: Some(Range::exactly(Span::seconds(4 * HOUR))),
        phase: Some(Range::exactly(Span::seconds(8 * HOUR))),
        ..Calendar::default()
    };
    assert_eq!(listed(&calendar, MONDAY, 30), hours([(0, 2), (8, 12), (18, 22), (28, 30)]));
    let at_once = Calendar { phase: None, ..calendar };
    assert_eq!(listed(&at_once, MONDAY, 11), hours([(0, 4), (10, 11)]));
}

#[test]
fn a_road_is_open_first_and_its_tunnels_keep_their_bounds() {
    let range = |least, most| Some(Range { least: Span::seconds(least), most: Span::seconds(most), mean: None });
    let calendar =
        Calendar { kind: CalendarKind::Tunnels, up: range(60, 600), down: range(5, 50), ..Calendar::default() };
    let all: Vec<_> = listed(&calendar, MONDAY, 24).iter().collect();
    assert_eq!(all[0].0, Duration::ZERO);
    assert!(all.len() > 100, "{}", all.len());
    for pair in all.windows(2) {
        let (up, down) = (pair[0].1 - pair[0].0, pair[1].0 - pair[0].1);
        assert!((60..=600).contains(&up.as_secs()) && (5..=50).contains(&down.as_secs()), "{pair:?}");
    }
}

#[test]
fn windows_are_merged_and_outages_are_what_they_leave() {
    let window =
        |from: u64, until: u64| Window { from: Span::seconds(from * HOUR), until: Span::seconds(until * HOUR) };
    let listed_windows = vec![window(5, 9), window(1, 2), window(8, 12)];
    let calendar = |kind| Calendar { kind, windows: listed_windows.clone(), ..Calendar::default() };
    assert_eq!(listed(&calendar(CalendarKind::Windows), MONDAY, 10), hours([(1, 2), (5, 10)]));
    assert_eq!(listed(&calendar(CalendarKind::Outages), MONDAY, 20), hours([(0, 1), (2, 5), (12, 20)]));
    assert_eq!(listed(&calendar(CalendarKind::Always), MONDAY, 20), hours([(0, 20)]));
}

#[test]
fn two_calendars_are_up_when_both_are() {
    let both = hours([(1, 4), (6, 9), (10, 20)]).and(&hours([(0, 2), (3, 7), (8, 12), (15, 16)]));
    assert_eq!(both, hours([(1, 2), (3, 4), (6, 7), (8, 9), (10, 12), (15, 16)]));
    assert!([1, 3, 6, 11, 15].iter().all(|at| both.contains(Duration::from_secs(at * HOUR))));
    assert!([0, 2, 4, 9, 12, 16, 30].iter().all(|at| !both.contains(Duration::from_secs(at * HOUR))));
}

#[test]
fn too_many_windows_are_refused() {
    let calendar = Calendar {
        kind: CalendarKind::Passes,
        period: Some(Span::seconds(10)),
        up: Some(Range::exactly(Span::seconds(4))),
        ..Calendar::default()
    };
    let end = Duration::from_secs(10_000);
    assert_eq!(windows(&calendar, &mut Stream::new(1, &[]), Timestamp(0), end, 999), None);
}
