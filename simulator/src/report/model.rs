//! What a page shows, as a value. All times are virtual, in milliseconds since the start of the run.

use serde::Serialize;

use super::measures::{Measure, measures};
use crate::scenario::Scenario;
use crate::trace::Header;

/// All that is on a page.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// One set of runs, or two to compare.
    pub sets: Vec<Set>,
    /// Runs that have no timeline because there are too many.
    pub left_out: usize,
}

/// Runs that belong together.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Set {
    /// What it is called.
    pub name: String,
    /// The runs, as they were given.
    pub runs: Vec<Run>,
    /// What was measured over all of them.
    pub measures: Vec<Measure>,
}

/// A run.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Run {
    /// Its trace.
    pub label: String,
    /// The scenario's name.
    pub scenario: String,
    /// What that rehearses.
    pub rehearses: String,
    /// The seed, as text: a number of a script has 53 bits.
    pub seed: String,
    /// The depth.
    pub depth: u8,
    /// The version of the program.
    pub program: String,
    /// When the last thing happened.
    pub end: u64,
    /// When the world was healed.
    pub healed: Option<u64>,
    /// When all agreed.
    pub agreed: Option<u64>,
    /// What broke.
    pub broken: Vec<String>,
    /// What it came to.
    pub figures: Figures,
    /// What happened; `None` where the page has no room for it.
    pub story: Option<Story>,
}

/// What a run came to. One value a node or a release unless it is said otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Figures {
    /// From the healing until all agreed, in milliseconds; none when they did not.
    pub convergence: Option<u64>,
    /// For each node and each release that it came to hold: how long that took after the release was made and the node was there, in milliseconds.
    pub lateness: Vec<u64>,
    /// Pairs of a node and a release that it did not come to hold.
    pub never: u64,
    /// For each node the share of time since its first release in which a newer one was made, in hundredths of a percent.
    pub behind: Vec<u64>,
    /// For each node the bytes of frames, in and out.
    pub payload: Vec<u64>,
    /// For each node the bytes of IP packets, in and out.
    pub wire: Vec<u64>,
}

/// What happened in a run.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Story {
    /// Hubs first, each kind by name.
    pub members: Vec<Member>,
    /// When each release was made, and its version.
    pub releases: Vec<(u64, u64)>,
    /// What happened, in words.
    pub log: Vec<Log>,
    /// What else happened that is worth a word and has no room.
    pub unlogged: u64,
}

/// What happened to one member.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// It is a hub.
    pub is_hub: bool,
    /// When its process ran.
    pub runs: Vec<Span>,
    /// What it met.
    pub faults: Vec<Fault>,
    /// Its links to those it dials, as the world lets them be.
    pub links: Vec<Link>,
    /// With whom it talked: both sides had said hello.
    pub talks: Vec<Link>,
    /// When it came to hold which release.
    pub applied: Vec<(u64, u64)>,
    /// At each time what had passed until then, in bytes: frames in, frames out, packets in, packets out.
    pub bytes: Vec<[u64; 5]>,
}

/// A time from a begin to an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Span(pub u64, pub u64);

/// A fault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// Its kind.
    pub kind: String,
    /// When it was. One that does not last ends as it begins.
    pub span: Span,
    /// Whether it hit a state in which it matters.
    pub mattered: bool,
}

/// When something to another member was up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Link {
    /// The other one.
    pub to: String,
    /// When, and by which profile; the profile of a talk is empty.
    pub up: Vec<(u64, u64, String)>,
}

/// Something that happened, in words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Log {
    /// When.
    pub at: u64,
    /// What.
    pub text: String,
}

impl Run {
    /// A run of which only the header is known.
    ///
    /// # Errors
    /// What is wrong with the header's scenario.
    pub fn begin(label: String, header: &Header) -> Result<Self, String> {
        let scenario = Scenario::parse(&label, &header.scenario).map_err(|error| error.to_string())?;
        Ok(Self {
            label,
            scenario: scenario.name,
            rehearses: scenario.rehearses,
            seed: header.seed.to_string(),
            depth: header.depth,
            program: header.program.clone(),
            ..Self::default()
        })
    }

    fn is_good(&self) -> bool {
        self.broken.is_empty() && self.agreed.is_some()
    }
}

impl Set {
    /// A set, with what was measured over it.
    #[must_use]
    pub fn new(name: String, runs: Vec<Run>) -> Self {
        let measures = measures(&runs);
        Self { name, runs, measures }
    }
}

impl Report {
    /// A report with at most `stories` timelines: those of runs that failed come first, then those that were given first, of both sets in turn.
    #[must_use]
    pub fn new(mut sets: Vec<Set>, stories: usize) -> Self {
        let places = sets
            .iter()
            .enumerate()
            .flat_map(|(set, it)| it.runs.iter().enumerate().map(move |(run, it)| (it.is_good(), run, set)));
        let mut places: Vec<_> = places.collect();
        places.sort_unstable();
        let left_out: Vec<_> = places.into_iter().skip(stories).collect();
        for (_, run, set) in &left_out {
            if let Some(run) = sets.get_mut(*set).and_then(|set| set.runs.get_mut(*run)) {
                run.story = None;
            }
        }
        Self { sets, left_out: left_out.len() }
    }
}
