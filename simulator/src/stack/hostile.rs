//! Nodes that were taken over: someone with a node's key and certificate speaks to each hub in the node's reach, beside the
//! node, from an address of his own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use sync_core::id::NodeId;
use sync_core::identity::{Identity, SigningKey};
use sync_core::replica::Replica;
use sync_core::transport::Network;
use tokio::task::JoinSet;

use self::attacks::Thief;
use self::conversation::{Noted, Notes};
use self::insider::{Insider, Loot};
use super::site::Site;
use super::world::{Fault, Todo, World, shape};
use crate::net::MemberId;
use crate::net::port::Port;
use crate::plan::{Event, Name};
use crate::random::Random;
use crate::scenario::Attack;
use crate::trace::Happening;

mod attacks;
mod changes;
mod conversation;
mod insider;
mod pushes;

/// How long an attack lasts, if the healing does not end it sooner: some idle timeouts.
const ATTACK_LASTS: Duration = Duration::from_secs(180);

/// An attack that is under way.
pub(super) struct UnderWay {
    attack: Attack,
    tasks: JoinSet<()>,
    port: Arc<Port>,
    notes: Notes,
}

impl World<'_> {
    /// Begins an attack in the name of a node; whether there was anybody to take over.
    pub(super) async fn attack(&mut self, number: usize, event: &Event, attack: Attack) -> bool {
        let name = &event.on;
        let Some(insider) = self.insider(name).await else { return false };
        let insider = Arc::new(insider);
        let seed = u64::from(event.draw);
        let member = self.attacker(name, seed);
        let port = Arc::new(Port::new(self.internet.clone(), member, seed));
        let notes = Notes::default();
        let mut tasks = JoinSet::new();
        for (number, (address, hub)) in (0..).zip(self.hubs_in_reach(name)) {
            let Ok(endpoint) = port.dialer(address) else { continue };
            let random = Random::new(seed ^ (number << 40));
            let (insider, notes) = (Arc::clone(&insider), notes.clone());
            let thief = Thief { insider, endpoint, address, hub, number, random, notes };
            tasks.spawn(thief.carry_out(attack));
        }
        self.attacks.insert(number, UnderWay { attack, tasks, port, notes });
        self.put(self.now() + ATTACK_LASTS, Todo::End(name.clone(), Fault::Attack(number)));
        true
    }

    /// Whether a hub had to deal with an attack so far.
    pub(super) fn has_met_a_hub(&self, number: usize) -> bool {
        self.attacks.get(&number).is_some_and(|under_way| under_way.notes.read().sessions > 0)
    }

    /// The attacker goes away, and what he did is told.
    pub(super) async fn end_attack(&mut self, name: &Name, number: usize) {
        let Some(UnderWay { attack, mut tasks, port, notes }) = self.attacks.remove(&number) else { return };
        tasks.shutdown().await;
        port.kill().await;
        let Noted { sessions, frames, leaked } = notes.read();
        for document in leaked {
            self.broken.push(format!("invariant 6: somebody with the key of {name} was sent {document}"));
        }
        let member = (&**name).into();
        self.book.tell(Happening::Attacked { member, attack: attack.name().into(), sessions, frames });
    }

    /// What there is to know of a node and in its store; `None` before it has joined.
    async fn insider(&self, name: &Name) -> Option<Insider> {
        let identity = self.identities.get(name)?;
        let key = SigningKey::from_seed(*identity.key().seed());
        let identity = Identity::new(key, identity.chain().to_vec(), identity.pin()).ok()?;
        let loot = match self.sites.get(name).and_then(Site::handle) {
            Some(handle) => handle.call(|replica: &mut Replica, _| Loot::read(replica)).await.ok().and_then(Result::ok),
            None => None,
        };
        let of = |name: &Name| self.identities.get(name).map(Identity::id);
        let planned = self.plan.nodes.iter().find(|node| node.name == *name);
        Some(Insider {
            layers: planned.map(|node| node.layers.iter().map(ToString::to_string).collect()).unwrap_or_default(),
            others: self
                .plan
                .nodes
                .iter()
                .filter(|node| node.name != *name)
                .filter_map(|node| of(&node.name))
                .collect(),
            hubs: self.plan.hubs.iter().filter_map(|hub| of(&hub.name)).collect(),
            loot: loot.unwrap_or_default(),
            identity,
        })
    }

    fn hubs_in_reach(&self, name: &Name) -> Vec<(SocketAddr, NodeId)> {
        let links = self.plan.links.iter().filter(|link| link.from == *name);
        let place = |hub: &Name| Some((self.sites.get(hub)?.address(), self.identities.get(hub)?.id()));
        links.filter_map(|link| place(&link.to)).collect()
    }

    /// The machine from which a node is attacked, over lines like the node's own that are always up.
    fn attacker(&mut self, name: &Name, seed: u64) -> MemberId {
        let member = match self.attackers.get(name) {
            Some(member) => *member,
            None => {
                let member = self.new_member();
                self.internet.add_member(member);
                self.attackers.insert(name.clone(), member);
                member
            }
        };
        let now = self.now();
        for link in self.plan.links.iter().filter(|link| link.from == *name) {
            let change = link.changes.iter().rev().find(|change| change.at <= now);
            if let (Some(change), Some(to)) = (change, self.member(&link.to)) {
                self.internet.add_line(member, to, shape(self.plan.profile(change)), seed);
            }
        }
        member
    }
}
