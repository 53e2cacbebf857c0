//! What is seen of members from outside: processes that end, what agents say of themselves, figures, and whether all agree.

use std::collections::BTreeMap;
use std::time::Duration;

use sync_core::id::NodeId;
use tokio::time::{Instant, sleep};

use super::LiveError;
use super::target::{self, Files};
use super::world::{Todo, World};
use crate::answers::{self, Answers};
use crate::plan::Name;
use crate::proxy::Way;
use crate::trace::{Happening, Sample};

/// How often agreement is looked for after the healing.
const AGREEMENT_EVERY: Duration = Duration::from_millis(500);

/// What a node was last seen to say.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    /// The hub it talks to.
    peer: Option<NodeId>,
    /// Which releases it has applied, when in milliseconds.
    pub(super) applied: Vec<(u64, u64)>,
}

impl World<'_> {
    /// Looks at all processes: one that has ended by itself is a defect, as nothing is wrong with its machine.
    pub(super) fn watch(&mut self) {
        let mut ended = Vec::new();
        for (name, member) in self.members.iter_mut().chain(self.twins.iter_mut()) {
            let said = member.panicked();
            if let Some(error) = member.ended() {
                ended.push((name.clone(), said, error.to_string()));
            }
        }
        for (name, said, error) in ended {
            let member = (&*name).into();
            self.tell(Happening::Stopped { member, how: crate::trace::Ended::ByItself });
            if said.is_some() {
                self.judge_words(&name, said);
            } else {
                self.break_(8, error);
            }
            self.put_again(Todo::Start(name));
        }
        for name in self.joined.clone() {
            self.look_at(&name);
        }
    }

    /// Reads what an agent says of itself, and tells what is new. An agent that stands still says nothing new.
    fn look_at(&mut self, name: &Name) {
        let Some(member) = self.members.get(name) else { return };
        // A database that is being made or set back has nothing to say yet.
        let Ok(status) = edge_node::status::status(&member.data, None) else { return };
        let peer = status.hub.filter(|_| status.link_up && member.is_up()).and_then(|hub| self.hub_at(&hub));
        let at = self.millis();
        let seen = self.seen.entry(name.clone()).or_default();
        let before = std::mem::replace(&mut seen.peer, peer);
        let stamp = status.applied.filter(|stamp| {
            let is_new = seen.applied.last().is_none_or(|(_, version)| *version != stamp.release.version);
            if is_new {
                seen.applied.push((at, stamp.release.version));
            }
            is_new
        });
        if before != peer {
            if let Some(peer) = before {
                self.tell(Happening::LinkDown { member: (&**name).into(), peer });
            }
            if let Some(peer) = peer {
                self.tell(Happening::LinkLive { member: (&**name).into(), peer });
            }
        }
        if let Some(stamp) = stamp {
            let (assignment, release) = (stamp.assignment, stamp.release);
            self.tell(Happening::Applied { member: (&**name).into(), assignment, release });
        }
    }

    fn hub_at(&self, address: &str) -> Option<NodeId> {
        let front = self.fronts.iter().find(|(_, front)| front.address().to_string() == *address);
        self.members.get(front?.0)?.id
    }

    /// Writes figures of all members into the trace.
    pub(super) async fn sample(&mut self) {
        let mut frames: BTreeMap<Name, (u64, u64)> = BTreeMap::new();
        for hub in self.hubs() {
            let Some(list) = self.ask(&hub, async |hub| hub.list_nodes().await).await else { continue };
            for node in list.nodes {
                let (of_hub, of_node) = (node.payload_bytes_in, node.payload_bytes_out);
                let all = frames.entry(hub.clone()).or_default();
                *all = (all.0 + of_hub, all.1 + of_node);
                let own = frames.entry(Name::from(node.name.as_str())).or_default();
                *own = (own.0 + of_node, own.1 + of_hub);
            }
        }
        let now: Vec<(Name, Sample)> =
            self.members.keys().map(|name| (name.clone(), self.figures(name, &frames))).collect();
        for (name, sample) in now {
            self.tell(Happening::Sample { member: (&*name).into(), sample });
        }
    }

    fn figures(&self, name: &Name, frames: &BTreeMap<Name, (u64, u64)>) -> Sample {
        let (payload_in, payload_out) = frames.get(name).copied().unwrap_or_default();
        let (mut datagrams_in, mut datagrams_out) = (0, 0);
        for cable in &self.cables {
            let (to_hub, to_node) = (cable.state.sent(Way::ToHub).bytes, cable.state.sent(Way::ToNode).bytes);
            if cable.from == *name {
                (datagrams_in, datagrams_out) = (datagrams_in + to_node, datagrams_out + to_hub);
            } else if cable.to == *name {
                (datagrams_in, datagrams_out) = (datagrams_in + to_hub, datagrams_out + to_node);
            }
        }
        let database = self.members.get(name).map(|member| member.data.join(sync_core::store::DATABASE_FILE));
        let database_bytes = database.and_then(|path| std::fs::metadata(path).ok()).map_or(0, |about| about.len());
        let applied = self.seen.get(name).and_then(|seen| seen.applied.last()).map(|(_, version)| *version);
        Sample { payload_in, payload_out, datagrams_in, datagrams_out, database_bytes, applied, documents: 0 }
    }

    fn hubs(&self) -> Vec<Name> {
        self.plan.hubs.iter().map(|hub| hub.name.clone()).collect()
    }

    /// Waits until all agree. How long that took, or why they do not.
    pub(super) async fn agree(&mut self, told: &mut impl FnMut(&str)) -> Result<Result<Duration, String>, LiveError> {
        let healed = Instant::now();
        loop {
            self.watch();
            let why = self.disagreement().await;
            if !self.broken.is_empty() {
                return Ok(Err(why.unwrap_or_else(|| "something broke".to_owned())));
            }
            let Some(why) = why else {
                self.tell(Happening::Agreed);
                return Ok(Ok(healed.elapsed()));
            };
            if healed.elapsed() >= self.plan.heal_within {
                return Ok(Err(why));
            }
            told(&why);
            sleep(AGREEMENT_EVERY).await;
            for name in self.plan.nodes.iter().map(|node| node.name.clone()).collect::<Vec<_>>() {
                if !self.joined.contains(&name) {
                    self.join(&name).await?;
                }
            }
        }
    }

    /// Why the fleet does not agree yet: by what hubs answer, then by what nodes hold.
    async fn disagreement(&mut self) -> Option<String> {
        if let Some(node) = self.plan.nodes.iter().find(|node| !self.joined.contains(&node.name)) {
            return Some(format!("{} has not joined", node.name));
        }
        let mut answers = Vec::new();
        for hub in self.hubs() {
            let Some(nodes) = self.ask(&hub, async |hub| hub.list_nodes().await).await else {
                return Some(format!("{hub} does not answer"));
            };
            let Some(layers) = self.ask(&hub, async |hub| hub.list_layers().await).await else {
                return Some(format!("{hub} does not answer"));
            };
            answers.push(Answers { hub: hub.to_string(), nodes, layers });
        }
        let honest = self.joined.iter().filter(|name| !self.revoked.contains(name));
        answers::disagreement(&answers, honest.map(|name| &**name)).or_else(|| self.difference())
    }

    /// Nodes with the same layers hold the same files.
    fn difference(&self) -> Option<String> {
        let mut first: BTreeMap<&[Name], (&Name, Files)> = BTreeMap::new();
        for node in self.plan.nodes.iter().filter(|node| !self.revoked.contains(&node.name)) {
            let Some(member) = self.members.get(&node.name) else { continue };
            let files = match target::read(&member.target) {
                Ok(files) if files.is_empty() && !node.layers.is_empty() => {
                    return Some(format!("{} holds nothing", node.name));
                }
                Ok(files) => files,
                Err(error) => return Some(format!("the target of {} cannot be read: {error}", node.name)),
            };
            match first.get(&*node.layers) {
                None => drop(first.insert(&node.layers, (&node.name, files))),
                Some((other, theirs)) => {
                    let differ = target::differences((other, theirs), (&node.name, &files));
                    if let Some(line) = differ.into_iter().next() {
                        return Some(line);
                    }
                }
            }
        }
        None
    }

    /// Stops everything in order, and looks at what was said of panics.
    pub(super) async fn stop_all(&mut self) -> Result<(), LiveError> {
        let nodes_first = self.joined.clone().into_iter().chain(self.hubs());
        for name in nodes_first.collect::<Vec<_>>() {
            self.stop(&name).await?;
        }
        Ok(())
    }
}
