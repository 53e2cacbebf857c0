//! A scenario file: a fleet, its links, what is done to it, and what must hold.
//!
//! A [`Scenario`] is what people write; a [`Plan`](crate::plan::Plan) is what it comes to for one seed at one depth. Worlds
//! are built from plans. The guide with every field is `docs/simulator.md`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub mod calendar;
pub mod check;
pub mod event;
pub mod link;
pub mod list;
pub mod member;
pub mod quantity;
pub mod read;
pub mod schema;
pub mod shipped;

pub use calendar::{Calendar, CalendarKind, Weekday, Window};
pub use event::{Attack, EventSource, Kind, LinkState, Unsynced, Way};
pub use link::Link;
pub use member::{Clock, Disk, Group, Hub, Layer};
pub use quantity::{
    Bandwidth, Count, Drift, Factor, Offset, Quantity, Range, Rate, Share, Size, Span, TimeOfDay, Timestamp, UtcOffset,
};
pub use read::ScenarioError;

/// The name of the link, disk and clock that is used where none is named. A table of that name changes it.
pub const DEFAULT: &str = "default";

/// A whole scenario file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// The scenario's name: lower-case letters, digits and `-`.
    pub name: String,
    /// What it rehearses, in one sentence.
    pub rehearses: String,
    /// The seed that is used when the command line gives none, below 2^63.
    #[serde(default = "first_seed")]
    #[schemars(range(max = 9_223_372_036_854_775_807_u64))]
    pub seed: u64,
    /// The true time at which the run begins. Hours of calendars and clocks go by it.
    #[serde(default)]
    pub start: Timestamp,
    /// How long the run is, with healing.
    pub duration: Span,
    /// When trouble ends.
    #[serde(default)]
    pub heal: Heal,
    /// The depths at which the scenario makes sense (`depth.1`, `depth.2`, `depth.3`), each with its limits. None: all.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub depth: BTreeMap<Depth, DepthLimit>,
    /// The hubs. None: one called `hub`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hub: Vec<Hub>,
    /// Groups of nodes that are alike.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub group: Vec<Group>,
    /// Links by name. `default` is there unless it is changed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub link: BTreeMap<String, Link>,
    /// Calendars by name: when a link can be up.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub calendar: BTreeMap<String, Calendar>,
    /// Disks by name. `default` is there unless it is changed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub disk: BTreeMap<String, Disk>,
    /// Clocks by name. `default` is there unless it is changed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub clock: BTreeMap<String, Clock>,
    /// The layers, as they are before anything happens.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub layer: Vec<Layer>,
    /// What happens: work and trouble, at set times or at random.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub event: Vec<EventSource>,
    /// What must hold.
    #[serde(default)]
    pub checks: Checks,
    /// How far `swarm` may vary the scenario.
    #[serde(default)]
    pub swarm: Swarm,
}

const fn first_seed() -> u64 {
    1
}

/// When the world is healed: links up, every process running, disks and clocks as they should be, and no event after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Heal {
    /// When, from the start. Unset: so late that `within` still fits the duration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<Span>,
    /// How long after that every honest member may take to agree.
    pub within: Span,
}

impl Default for Heal {
    fn default() -> Self {
        Self { at: None, within: Span::seconds(30 * 60) }
    }
}

/// How real the world is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Depth {
    /// Replicas as machines over one queue of events; thousands of nodes.
    #[serde(rename = "1")]
    Machines,
    /// The real stack in virtual time; tens of nodes.
    #[serde(rename = "2")]
    Stack,
    /// Processes of this machine behind a UDP proxy, in real time.
    #[serde(rename = "3")]
    Live,
}

impl Depth {
    /// All depths, the least real first.
    pub const ALL: [Self; 3] = [Self::Machines, Self::Stack, Self::Live];

    /// 1, 2 or 3.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Machines => 1,
            Self::Stack => 2,
            Self::Live => 3,
        }
    }
}

/// What a scenario is at one depth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DepthLimit {
    /// Nodes altogether: groups with `{n}` in their names share them in proportion to their counts. Unset: the counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nodes: Option<u32>,
    /// The duration at this depth. Unset: that of the scenario.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration: Option<Span>,
    /// How many times faster everything up to the healing happens; for depth 3, which runs in real time. Unset: 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub speed: Option<u32>,
}

/// What must hold.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Checks {
    /// Which checks run. None: all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub run: Vec<Check>,
    /// A node whose link has been up this long without a break holds the newest release meant for it. Unset: not asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fresh_within: Option<Span>,
}

/// One check: an invariant of `docs/architecture.md`, in its order, or that everyone agrees in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Check {
    /// 1: nothing acknowledged is ever lost.
    AcknowledgedIsKept,
    /// 2: nothing leaves before it is durable, and every start writes under a fresh actor.
    DurableBeforeSent,
    /// 3: same changes, same state.
    SameChangesSameState,
    /// 4: an edge applies only what signed frontiers name and what it holds completely; newer is causal.
    SignedAndComplete,
    /// 5: nothing is deleted because something is missing.
    MissingDeletesNothing,
    /// 6: admission asks who signed.
    WhoSigned,
    /// 7: everything is bounded.
    Bounded,
    /// 8: no input panics, hangs or grows memory without bound.
    NoInputBreaks,
    /// 9: no wall clock in 1 to 8.
    NoWallClock,
    /// 10: an edge that restarts alone comes back, repairs drift and goes on recording.
    ComesBackAlone,
    /// Liveness: after the healing every honest member agrees within `heal.within`.
    Converges,
}

impl Check {
    /// Every check, the invariants in their order.
    pub const ALL: [Self; 11] = [
        Self::AcknowledgedIsKept,
        Self::DurableBeforeSent,
        Self::SameChangesSameState,
        Self::SignedAndComplete,
        Self::MissingDeletesNothing,
        Self::WhoSigned,
        Self::Bounded,
        Self::NoInputBreaks,
        Self::NoWallClock,
        Self::ComesBackAlone,
        Self::Converges,
    ];

    /// Its name in scenarios.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AcknowledgedIsKept => "acknowledged-is-kept",
            Self::DurableBeforeSent => "durable-before-sent",
            Self::SameChangesSameState => "same-changes-same-state",
            Self::SignedAndComplete => "signed-and-complete",
            Self::MissingDeletesNothing => "missing-deletes-nothing",
            Self::WhoSigned => "who-signed",
            Self::Bounded => "bounded",
            Self::NoInputBreaks => "no-input-breaks",
            Self::NoWallClock => "no-wall-clock",
            Self::ComesBackAlone => "comes-back-alone",
            Self::Converges => "converges",
        }
    }

    /// The number of the invariant; 0 for liveness, which is none of the ten.
    #[must_use]
    pub fn number(self) -> u8 {
        let place = Self::ALL.iter().position(|check| *check == self && self != Self::Converges);
        place.and_then(|place| u8::try_from(place + 1).ok()).unwrap_or(0)
    }
}

/// How far `swarm` may vary the scenario: each seed gets a variant of its own, drawn within these bounds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Swarm {
    /// How likely each `event` entry is left out.
    pub leave_out: Share,
    /// Names or kinds of `event` entries that are never left out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub keep: Vec<String>,
    /// What each rate is multiplied by.
    pub rates: Range<Factor>,
    /// What each link's latency, jitter, loss, duplication, reordering and corruption are multiplied by, and its bandwidth
    /// divided by.
    pub links: Range<Factor>,
    /// How many nodes there are. Unset: as many as the scenario says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nodes: Option<Range<Count>>,
}

impl Default for Swarm {
    fn default() -> Self {
        let factor = Range { least: Factor(250_000), most: Factor(4_000_000), mean: None };
        Self { leave_out: Share(500_000), keep: Vec::new(), rates: factor, links: factor, nodes: None }
    }
}

impl Scenario {
    /// When the world is healed if the run is `duration` long; zero when there is no room for it.
    #[must_use]
    pub fn heal_at(&self, duration: Span) -> Span {
        self.heal.at.unwrap_or(Span(duration.0.saturating_sub(self.heal.within.0)))
    }

    /// The depths at which the scenario makes sense.
    #[must_use]
    pub fn depths(&self) -> Vec<Depth> {
        if self.depth.is_empty() { Depth::ALL.to_vec() } else { self.depth.keys().copied().collect() }
    }

    /// What the scenario says about one depth.
    #[must_use]
    pub fn limit(&self, depth: Depth) -> DepthLimit {
        self.depth.get(&depth).copied().unwrap_or_default()
    }
}
