//! Tells the story of a run from the entries of its trace, one after the other.

use std::collections::BTreeMap;

use sync_core::id::NodeId;

use super::measures::{behind, late};
use super::model::{Fault, Log, Member, Run, Span, Story};
use super::spans::{Spans, Towards};
use crate::trace::{Entry, Happening, Sample, Told, Work};

/// What a run has in words at most: more is for the trace.
const LOG_MAX: usize = 5_000;

/// A fault that its link shows.
const LINK_DOWN: &str = "link-down";

/// A story that is being told.
#[derive(Debug, Default)]
pub(super) struct Teller {
    members: BTreeMap<String, Known>,
    names: BTreeMap<NodeId, String>,
    releases: Vec<(u64, u64)>,
    log: Vec<Log>,
    unlogged: u64,
    end: u64,
    healed: Option<u64>,
    agreed: Option<u64>,
    broken: Vec<String>,
}

/// One member so far.
#[derive(Debug, Default)]
struct Known {
    is_hub: bool,
    runs: Spans,
    faults: Vec<(Fault, bool)>,
    links: Towards,
    talks: Towards,
    applied: Vec<(u64, u64)>,
    bytes: Vec<[u64; 5]>,
    /// What its books said last of frames in and out, and what they had forgotten before.
    booked: (u64, u64),
    forgotten: (u64, u64),
}

impl Teller {
    /// The next entry.
    pub(super) fn happened(&mut self, entry: &Entry) {
        // After that the world is taken down.
        if self.agreed.is_some() && !matches!(entry.what, Happening::Sample { .. } | Happening::Broken { .. }) {
            return;
        }
        let at = entry.at / 1000;
        self.end = at;
        if is_worth_a_word(&entry.what) {
            if self.log.len() < LOG_MAX {
                self.log.push(Log { at, text: entry.what.to_string() });
            } else {
                self.unlogged += 1;
            }
        }
        if entry.what == Happening::Healed {
            self.healed = Some(at);
        } else if entry.what == Happening::Agreed {
            self.agreed = Some(at);
        } else if let Happening::Broken { .. } = &entry.what {
            self.broken.push(entry.what.to_string());
        } else if let Happening::Work { work: Work::Release { version }, .. } = &entry.what {
            self.releases.push((at, *version));
        } else if let Happening::Started { member, node, .. } = &entry.what {
            self.names.insert(*node, member.to_string());
        }
        if let Some(member) = entry.what.member() {
            self.members.entry(member.to_string()).or_default().happened(at, &entry.what, &self.names);
        }
    }

    /// The run, with its story and what it came to.
    pub(super) fn finish(self, mut run: Run) -> Run {
        let end = self.end;
        let known = self.members.into_iter().map(|(name, known)| known.finish(name, end));
        let (hubs, nodes): (Vec<Member>, Vec<Member>) = known.partition(|member| member.is_hub);
        let figures = &mut run.figures;
        figures.convergence = self.healed.zip(self.agreed).map(|(healed, agreed)| agreed.saturating_sub(healed));
        for node in &nodes {
            let (mut held, never) = late(&self.releases, &node.applied);
            figures.lateness.append(&mut held);
            figures.never += never;
            figures.behind.extend(behind(&self.releases, &node.applied, end));
            if let Some([_, frames_in, frames_out, packets_in, packets_out]) = node.bytes.last() {
                figures.payload.push(frames_in.saturating_add(*frames_out));
                figures.wire.push(packets_in.saturating_add(*packets_out));
            }
        }
        (run.end, run.healed, run.agreed, run.broken) = (end, self.healed, self.agreed, self.broken);
        let members = hubs.into_iter().chain(nodes).collect();
        run.story = Some(Story { members, releases: self.releases, log: self.log, unlogged: self.unlogged });
        run
    }
}

impl Known {
    fn happened(&mut self, at: u64, what: &Happening, names: &BTreeMap<NodeId, String>) {
        let name = |id: &NodeId| names.get(id).cloned().unwrap_or_else(|| id.short());
        match what {
            Happening::Started { is_hub, .. } => {
                self.is_hub = *is_hub;
                self.runs.begin(at);
            }
            Happening::Stopped { .. } => {
                self.runs.end(at);
                self.talks.end_all(at);
            }
            Happening::Link { to, is_up: true, profile, .. } => self.links.begin(to, profile, at),
            Happening::Link { to, is_up: false, .. } => self.links.end(to, at),
            Happening::LinkLive { peer, .. } => self.talks.begin(&name(peer), "", at),
            Happening::LinkDown { peer, .. } => self.talks.end(&name(peer), at),
            Happening::Fault { kind, mattered, .. } if **kind != *LINK_DOWN => {
                let fault = Fault { kind: kind.to_string(), span: Span(at, at), mattered: *mattered };
                self.faults.push((fault, true));
            }
            Happening::FaultEnded { kind, mattered, .. } => {
                let mut begun = self.faults.iter_mut().rev();
                if let Some((fault, is_open)) = begun.find(|(fault, is_open)| *is_open && *fault.kind == **kind) {
                    (fault.span.1, fault.mattered, *is_open) = (at, *mattered, false);
                }
            }
            Happening::Applied { release, .. } => self.applied.push((at, release.version)),
            Happening::Sample { sample, .. } => self.count(at, sample),
            Happening::Fault { .. }
            | Happening::Panicked { .. }
            | Happening::Failed { .. }
            | Happening::Work { .. }
            | Happening::Put { .. }
            | Happening::Removed { .. }
            | Happening::Replica { .. }
            | Happening::Attacked { .. }
            | Happening::Healed
            | Happening::Agreed
            | Happening::Broken { .. } => {}
        }
    }

    /// A store that was set back says less than before: what it forgot has passed nevertheless.
    fn count(&mut self, at: u64, sample: &Sample) {
        let Sample { payload_in, payload_out, datagrams_in, datagrams_out, .. } = *sample;
        self.forgotten.0 = self.forgotten.0.saturating_add(self.booked.0.saturating_sub(payload_in));
        self.forgotten.1 = self.forgotten.1.saturating_add(self.booked.1.saturating_sub(payload_out));
        self.booked = (payload_in, payload_out);
        let frames_in = self.forgotten.0.saturating_add(payload_in);
        let frames_out = self.forgotten.1.saturating_add(payload_out);
        self.bytes.push([at, frames_in, frames_out, datagrams_in, datagrams_out]);
    }

    fn finish(self, name: String, end: u64) -> Member {
        Member {
            name,
            is_hub: self.is_hub,
            runs: self.runs.finish(end),
            faults: self.faults.into_iter().map(|(fault, _)| fault).collect(),
            links: self.links.finish(end),
            talks: self.talks.finish(end),
            applied: self.applied,
            bytes: self.bytes,
        }
    }
}

/// Whether people want to read it: what is drawn, and what happens all the time, has no line of its own.
fn is_worth_a_word(what: &Happening) -> bool {
    !matches!(
        what,
        Happening::Link { .. }
            | Happening::LinkLive { .. }
            | Happening::LinkDown { .. }
            | Happening::Put { .. }
            | Happening::Removed { .. }
            | Happening::Sample { .. }
            | Happening::Work { work: Work::Status { .. }, .. }
            | Happening::Replica { event: Told::Changed(_) | Told::Synced(_), .. }
    ) && !matches!(what, Happening::Work { work: Work::Other { word }, .. } if &**word == "status")
        && !matches!(what, Happening::Fault { kind, .. } | Happening::FaultEnded { kind, .. } if &**kind == LINK_DOWN)
}
