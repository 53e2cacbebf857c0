//! Calendars: when a link can be up.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::quantity::{Range, Span, TimeOfDay, UtcOffset};

/// When a link can be up. A link with several calendars is up when all say so.
///
/// Times are drawn per member, not per link: all links of a node see the same tunnel.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Calendar {
    /// What the calendar goes by. It decides which of the other fields may be set.
    pub kind: CalendarKind,
    /// `passes`: time from the begin of one pass to that of the next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period: Option<Span>,
    /// `passes`: how long each lasts. `tunnels`: how long it stays up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub up: Option<Range<Span>>,
    /// `tunnels`: how long it stays down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub down: Option<Range<Span>>,
    /// `passes`: when the first one begins, drawn for each member. Unset: at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<Range<Span>>,
    /// `hours`: the days. None: all seven.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub days: Vec<Weekday>,
    /// `hours`: when they begin, local time. Unset: `00:00`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<TimeOfDay>,
    /// `hours`: when they end. At or before `from`: the next day. Unset: `24:00`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<TimeOfDay>,
    /// `hours`: how far local time is ahead of UTC. Unset: `+00:00`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub utc_offset: Option<UtcOffset>,
    /// `windows`: when it is up. `outages`: when it is not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub windows: Vec<Window>,
}

/// What a calendar goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CalendarKind {
    /// Always up.
    #[default]
    Always,
    /// Up again and again after the same time, as when a satellite passes.
    Passes,
    /// Up and down in turn for random times, up first, as on a road with tunnels.
    Tunnels,
    /// Up at some hours of some weekdays.
    Hours,
    /// Up in the listed windows.
    Windows,
    /// Down in the listed windows.
    Outages,
}

/// A time between two points, from the start of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// Its begin.
    pub from: Span,
    /// Its end.
    pub until: Span,
}

/// A day of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Weekday {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}
