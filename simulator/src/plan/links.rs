//! The life of each link: its preferred profile that is up, less what is cut.

use std::collections::BTreeMap;
use std::time::Duration;

use super::calendars::{Windows, windows};
use super::expand::{PlanError, TooMuch};
use super::stream::Stream;
use super::{LinkChange, Name, PlannedLink};
use crate::scenario::{Link, LinkState, Scenario, Way};

/// Changes of all links together: a hundred for each of a hundred thousand nodes.
const LINK_CHANGES_MAX: usize = 10_000_000;

/// What events do to one link.
#[derive(Debug, Clone, Default)]
pub(super) struct Meddling {
    /// When it is cut, and which way.
    pub(super) cuts: Vec<(Duration, Duration, Way)>,
    /// What it is from when on, in place of its calendars.
    pub(super) set: Vec<(Duration, LinkState, Option<Name>)>,
}

/// A link without its life.
#[derive(Debug, Clone)]
pub(super) struct Ends<'a> {
    pub(super) from: Name,
    pub(super) to: Name,
    /// Names of profiles, the preferred one first.
    pub(super) links: &'a [String],
}

impl Ends<'_> {
    pub(super) fn name(&self) -> String {
        format!("{}/{}", self.from, self.to)
    }

    /// The profile that is used where nothing else is said.
    pub(super) fn preferred(&self) -> Name {
        self.links.first().map_or_else(Name::default_profile, |name| Name::from(name.as_str()))
    }
}

/// Gives every link its life from zero to `end`.
pub(super) fn live(
    scenario: &Scenario,
    seed: u64,
    ends: Vec<Ends<'_>>,
    meddling: &BTreeMap<String, Meddling>,
    end: Duration,
) -> Result<Vec<PlannedLink>, PlanError> {
    let nothing = Meddling::default();
    let mut links = Vec::with_capacity(ends.len());
    let mut written = 0;
    // Links of one member are neighbours and share their calendars.
    let mut bearers: Option<(Name, Vec<Bearer>)> = None;
    for ends in ends {
        let meddling = meddling.get(&ends.name()).unwrap_or(&nothing);
        let known = bearers.take().filter(|(member, _)| *member == ends.from);
        let (member, of_member) = match known {
            Some(known) => known,
            None => (ends.from.clone(), bearers_of(scenario, seed, &ends, end)?),
        };
        let changes = if meddling.set.is_empty() {
            changes(&of_member, &meddling.cuts, end)
        } else {
            in_place(&ends, meddling)
        };
        bearers = Some((member, of_member));
        written += changes.len();
        if written > LINK_CHANGES_MAX {
            return Err(PlanError::TooMuch(TooMuch { what: "changes of links", most: LINK_CHANGES_MAX }));
        }
        let mut link = PlannedLink { from: ends.from.clone(), to: ends.to.clone(), changes };
        link.settle(end, &ends.preferred());
        links.push(link);
    }
    Ok(links)
}

/// A profile and when its calendars let it be up.
struct Bearer {
    profile: Name,
    up: Windows,
}

fn bearers_of(scenario: &Scenario, seed: u64, ends: &Ends<'_>, end: Duration) -> Result<Vec<Bearer>, PlanError> {
    let default = Link::default();
    let mut bearers = Vec::new();
    for name in ends.links {
        let link = scenario.link.get(name).unwrap_or(&default);
        let mut up = Windows::always(end);
        for calendar in link.calendar.iter().filter_map(|name| Some((name, scenario.calendar.get(name)?))) {
            let mut stream = Stream::new(seed, &["calendar", calendar.0, &ends.from]);
            let says = windows(calendar.1, &mut stream, scenario.start, end, LINK_CHANGES_MAX)
                .ok_or(PlanError::TooMuch(TooMuch { what: "windows of a calendar", most: LINK_CHANGES_MAX }))?;
            up = up.and(&says);
        }
        bearers.push(Bearer { profile: Name::from(name.as_str()), up });
    }
    Ok(bearers)
}

fn changes(bearers: &[Bearer], cuts: &[(Duration, Duration, Way)], end: Duration) -> Vec<LinkChange> {
    let cut = |but: Way| -> Windows {
        cuts.iter().filter(|(_, _, way)| *way != but).map(|(from, until, _)| (*from, (*until).min(end))).collect()
    };
    let (cut_to_hub, cut_to_node) = (cut(Way::ToNode), cut(Way::ToHub));
    let all = bearers.iter().map(|bearer| &bearer.up).chain([&cut_to_hub, &cut_to_node]);
    let mut times = Vec::with_capacity(2 * all.clone().map(Windows::len).sum::<usize>() + 1);
    times.push(Duration::ZERO);
    times.extend(all.flat_map(Windows::iter).flat_map(|(from, until)| [from, until]));
    times.sort_unstable();
    times.dedup();
    let mut profile = bearers.first().map_or_else(Name::default_profile, |bearer| bearer.profile.clone());
    let mut changes = Vec::with_capacity(times.len());
    for at in times {
        let bearer = bearers.iter().find(|bearer| bearer.up.contains(at));
        if let Some(bearer) = bearer {
            profile = bearer.profile.clone();
        }
        let state = match (bearer, cut_to_hub.contains(at), cut_to_node.contains(at)) {
            (None, ..) | (_, true, true) => LinkState::Down,
            (Some(_), false, false) => LinkState::Up,
            (Some(_), true, false) => LinkState::ToNodeOnly,
            (Some(_), false, true) => LinkState::ToHubOnly,
        };
        changes.push(LinkChange { at, state, profile: profile.clone() });
    }
    changes
}

fn in_place(ends: &Ends<'_>, meddling: &Meddling) -> Vec<LinkChange> {
    let mut set = meddling.set.clone();
    set.sort_unstable();
    let mut profile = ends.preferred();
    let change = |(at, state, by): (Duration, LinkState, Option<Name>)| {
        profile = by.unwrap_or_else(|| profile.clone());
        LinkChange { at, state, profile: profile.clone() }
    };
    set.into_iter().map(change).collect()
}

impl PlannedLink {
    /// Gives the changes the form that every plan has: from zero on, up at the end, each unlike the one before.
    pub(super) fn settle(&mut self, end: Duration, preferred: &Name) {
        let up = |at| LinkChange { at, state: LinkState::Up, profile: preferred.clone() };
        let mut settled: Vec<LinkChange> = Vec::with_capacity(self.changes.len() + 2);
        settled.push(up(Duration::ZERO));
        for change in self.changes.drain(..).filter(|change| change.at < end) {
            let last = settled.last();
            if last.is_some_and(|last| last.at == change.at) {
                settled.pop();
            }
            let alike = |last: &LinkChange| last.state == change.state && last.profile == change.profile;
            if !settled.last().is_some_and(alike) {
                settled.push(change);
            }
        }
        settled.push(up(end));
        self.changes = settled;
    }

    /// The profile that it is healed to.
    pub(super) fn preferred(&self) -> Name {
        self.changes.last().map_or_else(Name::default_profile, |change| change.profile.clone())
    }
}
