//! What a run came to.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::checks::clocks::Ending;
use crate::scenario::Check;

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outcome {
    /// How long after the healing all agreed.
    pub agreed_after: Option<Duration>,
    /// What kept them from it.
    pub disagreement: Option<String>,
    /// What broke.
    pub broken: Vec<String>,
    /// What went over all lines between members: bytes of IP packets away from the dialers, and to them.
    pub wire_bytes: [u64; 2],
    /// Frames with their lengths over all links of hubs: in, out.
    pub payload_bytes: [u64; 2],
    /// How late nodes were with releases that they applied.
    pub lateness: crate::machines::Quantiles,
    /// How often each kind of event was asked for, and how often it took effect.
    pub events: BTreeMap<&'static str, Tally>,
    /// The hash of the trace, and how many entries it has.
    pub trace: ([u8; 32], u64),
    /// The last entries of the trace, for people: up to the first that is broken.
    pub last: Vec<String>,
    /// By check, verdicts that were given, and that could not be.
    pub verdicts: Vec<(Check, u64, u64)>,
    /// Stores that could not be read when the checks wanted to.
    pub unread: u64,
    /// What each node held at the end.
    pub ending: Ending,
}

/// How often something was to happen and did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Asked for.
    pub planned: u64,
    /// Took effect.
    pub reached: u64,
    /// Hit a state in which it matters.
    pub mattered: u64,
}
