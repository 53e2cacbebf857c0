//! What a calendar must keep, by its kind.

use super::Place;
use crate::scenario::{Calendar, CalendarKind, Span};

/// The shortest time that a calendar is up or down: a link that flaps faster is one with loss.
const SHORTEST: Span = Span::seconds(1);

pub(super) fn check(calendar: &Calendar, place: &mut Place<'_>) {
    let (needs, takes): (&[&str], &[&str]) = match calendar.kind {
        CalendarKind::Always => (&[], &[]),
        CalendarKind::Passes => (&["period", "up"], &["phase"]),
        CalendarKind::Tunnels => (&["up", "down"], &[]),
        CalendarKind::Hours => (&[], &["days", "from", "until", "utc_offset"]),
        CalendarKind::Windows | CalendarKind::Outages => (&["windows"], &[]),
    };
    let set = set(calendar);
    for field in needs.iter().filter(|field| !set.contains(field)) {
        place.wrong(format!("a calendar of this kind needs `{field}`"));
    }
    for field in set.iter().filter(|field| !needs.contains(field) && !takes.contains(field)) {
        let taken: Vec<&str> = needs.iter().chain(takes).copied().collect();
        let taken = if taken.is_empty() { "nothing".to_owned() } else { taken.join(", ") };
        place.at(field).wrong(format!("`{field}` says nothing about a calendar of this kind, which takes {taken}"));
    }
    for (key, range) in [("up", calendar.up), ("down", calendar.down)] {
        place.at(key).require(range.is_none_or(|range| range.least >= SHORTEST), "expected a second or more");
    }
    if let Some(period) = calendar.period {
        place.at("period").require(period >= SHORTEST, "expected a second or more");
        let fits = calendar.up.is_none_or(|up| up.most <= period);
        place.at("up").require(fits, "a pass cannot last longer than the period");
        let fits = calendar.phase.is_none_or(|phase| phase.most <= period);
        place.at("phase").require(fits, "expected the period at most: later passes follow from it");
    }
    for (index, window) in calendar.windows.iter().enumerate() {
        place.at("windows").item(index).require(window.from < window.until, "`from` must be before `until`");
    }
}

fn set(calendar: &Calendar) -> Vec<&'static str> {
    let set = [
        ("period", calendar.period.is_some()),
        ("up", calendar.up.is_some()),
        ("down", calendar.down.is_some()),
        ("phase", calendar.phase.is_some()),
        ("days", !calendar.days.is_empty()),
        ("from", calendar.from.is_some()),
        ("until", calendar.until.is_some()),
        ("utc_offset", calendar.utc_offset.is_some()),
        ("windows", !calendar.windows.is_empty()),
    ];
    set.into_iter().filter(|(_, set)| *set).map(|(field, _)| field).collect()
}
