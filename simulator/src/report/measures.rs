//! Distributions over runs: each as its percentiles, which are values that were there (nearest rank).

use serde::Serialize;

use super::model::{Figures, Run};

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// [`Figures::convergence`], one value a run.
    Convergence,
    /// [`Figures::lateness`].
    Lateness,
    /// [`Figures::behind`].
    Behind,
    /// [`Figures::payload`].
    Payload,
    /// [`Figures::wire`].
    Wire,
}

impl Kind {
    /// In the order in which they are shown.
    pub const ALL: [Self; 5] = [Self::Convergence, Self::Lateness, Self::Behind, Self::Payload, Self::Wire];

    fn values(self, figures: &Figures) -> &[u64] {
        match self {
            Self::Convergence => figures.convergence.as_slice(),
            Self::Lateness => &figures.lateness,
            Self::Behind => &figures.behind,
            Self::Payload => &figures.payload,
            Self::Wire => &figures.wire,
        }
    }
}

/// A distribution.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Measure {
    /// Of what.
    pub kind: Kind,
    /// How many values there are.
    pub count: usize,
    /// What is no value although it was waited for: runs that did not agree, releases that a node did not come to hold.
    pub missing: u64,
    /// Their mean, rounded down.
    pub mean: u64,
    /// The values at which 0, 1, … 100 percent of all are reached; empty without values.
    pub percentiles: Vec<u64>,
}

/// All measures over runs.
pub(super) fn measures(runs: &[Run]) -> Vec<Measure> {
    let of = |kind: Kind| {
        let values = runs.iter().flat_map(|run| kind.values(&run.figures).iter().copied()).collect();
        let missing = match kind {
            Kind::Convergence => runs.iter().filter(|run| run.figures.convergence.is_none()).count() as u64,
            Kind::Lateness => runs.iter().map(|run| run.figures.never).sum(),
            Kind::Behind | Kind::Payload | Kind::Wire => 0,
        };
        measure(kind, values, missing)
    };
    Kind::ALL.into_iter().map(of).collect()
}

fn measure(kind: Kind, mut values: Vec<u64>, missing: u64) -> Measure {
    values.sort_unstable();
    let count = values.len();
    let sum: u128 = values.iter().map(|value| u128::from(*value)).sum();
    let mean = sum.checked_div(count as u128).and_then(|mean| u64::try_from(mean).ok()).unwrap_or(0);
    let at = |percent: usize| values.get((count * percent).div_ceil(100).saturating_sub(1)).copied();
    Measure { kind, count, missing, mean, percentiles: (0..=100).filter_map(at).collect() }
}

/// How late a node was with each release that it came to hold, in milliseconds, and how many it did not. A node is there from
/// the first release that it holds.
pub(crate) fn late(releases: &[(u64, u64)], applied: &[(u64, u64)]) -> (Vec<u64>, u64) {
    let Some((&(joined, first), rest)) = applied.split_first() else { return (Vec::new(), 0) };
    let mut held = first;
    let mut lateness = Vec::new();
    for &(at, version) in rest {
        let newly = releases.iter().filter(|(made, release)| *made <= at && held < *release && *release <= version);
        lateness.extend(newly.map(|(made, _)| at.saturating_sub((*made).max(joined))));
        held = version;
    }
    (lateness, releases.iter().filter(|(_, release)| *release > held).count() as u64)
}

/// The share of its time in which a node held an older release than the newest, in hundredths of a percent.
pub(super) fn behind(releases: &[(u64, u64)], applied: &[(u64, u64)], end: u64) -> Option<u64> {
    let &(joined, _) = applied.first()?;
    // At each time, releases first: one that is applied as it is made was never missed.
    let made = releases.iter().map(|(at, version)| (*at, false, *version));
    let mut steps: Vec<_> = made.chain(applied.iter().map(|(at, version)| (*at, true, *version))).collect();
    steps.sort_by_key(|(at, _, _)| *at);
    steps.push((end, false, 0));
    let (mut newest, mut held, mut since, mut total) = (0, 0, joined, 0);
    for (at, is_applied, version) in steps {
        let at = at.max(joined);
        total += if held < newest { at - since } else { 0 };
        since = at;
        if is_applied {
            held = version;
        } else {
            newest = newest.max(version);
        }
    }
    let time = u128::from(end.saturating_sub(joined));
    let share = (u128::from(total) * 10_000).checked_div(time).unwrap_or(0);
    u64::try_from(share).ok()
}
