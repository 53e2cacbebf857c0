//! What an event of a plan does to the world.

use std::time::Duration;

use hub::service::AdminCommand;
use hub::service::fleet::{FleetCommand, NodeRequest};

use super::site::{Role, Site};
use super::world::{Fault, Todo, World, id, policy};
use crate::disk::{CrashPolicy, Failing, Faults};
use crate::plan::{Action, Event, Name, PlannedClock};
use crate::workload::files::Edit;
use crate::workload::remark;

/// The database file, which rots.
const DATABASE: &str = "archipel.db";

impl World<'_> {
    /// Carries out an event; whether it took effect.
    pub(super) async fn act(&mut self, number: usize, event: &Event) -> bool {
        let name = &event.on;
        match &event.action {
            Action::Join => {
                if !self.join(name).await {
                    self.put(self.now() + RETRY, Todo::Join(name.clone(), RETRY));
                }
                true
            }
            Action::Crash { down } => self.crash(name, CrashPolicy::Kept, *down).await,
            Action::PowerLoss { down, unsynced } => self.lose_power(name, policy(*unsynced), *down).await,
            Action::Pause { lasts } => self.last(name, Fault::Pause, *lasts, |world, site| {
                world.set_frozen(site.member(), true);
            }),
            Action::Restart => {
                let Some(site) = self.running(name) else { return false };
                site.stop().await;
                self.start(name).await;
                true
            }
            Action::DiskFull { lasts } => self.last(name, Fault::DiskFull, *lasts, |_, site| {
                let held = site.disk().held_bytes();
                site.disk().set_faults(Faults { capacity: Some(held), ..site.disk().faults() });
            }),
            Action::LyingFsync { lasts } => {
                self.doubtful.insert(name.clone());
                self.last(name, Fault::LyingSyncs, *lasts, |_, site| {
                    site.disk().set_faults(Faults { lying_syncs: true, ..site.disk().faults() });
                })
            }
            Action::IoErrors { lasts, share } => {
                let one_in = 1_000_000_u64.checked_div(u64::from(share.0)).unwrap_or(u64::MAX);
                let failing = Some(Failing::one_in(one_in));
                self.last(name, Fault::IoErrors, *lasts, |_, site| {
                    let faults = Faults { writes: failing, syncs: failing, ..site.disk().faults() };
                    site.disk().set_faults(faults);
                })
            }
            Action::BitRot { bits } => {
                let Some(site) = self.sites.get(name) else { return false };
                let disk = site.disk().clone();
                let has_rotted = (0..*bits).filter(|_| disk.rot(DATABASE, &mut self.random).is_some()).count() > 0;
                if has_rotted {
                    self.doubtful.insert(name.clone());
                    self.rotted.insert(name.clone());
                }
                has_rotted
            }
            Action::RestoreBackup { .. } => {
                let Some(copy) = self.backups.remove(&number) else { return false };
                let Some(site) = self.running(name) else { return false };
                site.stop().await;
                site.set_disk(copy);
                self.start(name).await;
                true
            }
            Action::CloneDisk { lasts } => self.clone_disk(name, *lasts).await,
            Action::WipeStore => self.wipe(name).await,
            Action::Clock1970 => self.clock(name, |wall| wall.set(0)),
            Action::ClockJump { by } => self.clock(name, |wall| wall.jump(by.0)),
            Action::ClockDrift { drift, lasts } => {
                let base = self.planned_drift(name);
                self.last(name, Fault::Drift, *lasts, |_, site| site.wall().set_drift(base.saturating_add(drift.0)))
            }
            Action::AddressChange => self.network(name, |internet, member| internet.move_away(member)),
            Action::NatRebind => self.network(name, |internet, member| internet.rebind(member)),
            Action::Hostile { attack } => self.attack(number, event, *attack).await,
            Action::Edit { layer, objects, add, remove, release } => {
                self.files.edit(layer, Edit { change: *objects, add: *add, remove: *remove }, event.draw);
                self.apply_layer(name, layer, *release).await
            }
            Action::Release { back: 0 } => self.release(name).await,
            Action::Release { back } => self.go_back(name, *back).await,
            Action::Status { values } => self.say(name, *values, event.draw),
            Action::TargetEdit { objects } => {
                let Some(site) = self.running(name) else { return false };
                let edit = |number: &u32| site.target().edit_by_hand(u64::from(event.draw) + u64::from(*number));
                (0..*objects).filter(|number| edit(number).is_some()).count() > 0
            }
            Action::Revoke { node } => {
                let command = FleetCommand::RevokeNode(NodeRequest { name: id(node) });
                let done = self.ask(name, AdminCommand::Fleet(command)).await.is_some();
                self.revoked.extend(done.then(|| node.clone()));
                done
            }
        }
    }

    /// The end of what lasted.
    pub(super) async fn end(&mut self, name: &Name, fault: Fault) {
        match fault {
            Fault::Twin => {
                if let Some(mut twin) = self.twins.remove(name) {
                    twin.crash(CrashPolicy::Kept, &mut self.random).await;
                }
            }
            Fault::Pause => {
                if let Some(member) = self.member(name) {
                    self.internet.set_frozen(member, false);
                }
            }
            Fault::DiskFull => self.mend(name, |site| Faults { capacity: site.capacity(), ..site.disk().faults() }),
            Fault::LyingSyncs => self.mend(name, |site| Faults { lying_syncs: false, ..site.disk().faults() }),
            Fault::IoErrors => self.mend(name, |site| Faults { writes: None, syncs: None, ..site.disk().faults() }),
            Fault::Attack(number) => self.end_attack(name, number).await,
            Fault::Drift => {
                let base = self.planned_drift(name);
                self.clock(name, |wall| wall.set_drift(base));
            }
        }
    }

    async fn release(&mut self, hub: &Name) -> bool {
        let done = self.ask(hub, AdminCommand::Release { layers: Vec::new() }).await.is_some();
        if done {
            self.files.note_release(None);
        }
        done
    }

    /// Somebody takes the files of an older release and releases them.
    async fn go_back(&mut self, hub: &Name, back: u32) -> bool {
        if self.running(hub).is_none() {
            return false;
        }
        let Some(changed) = self.files.go_back(back) else { return false };
        for layer in changed {
            if !self.apply_layer(hub, &layer, false).await {
                return false;
            }
        }
        self.release(hub).await
    }

    /// A disk does one thing right again.
    fn mend(&self, name: &Name, faults: impl FnOnce(&Site) -> Faults) {
        if let Some(site) = self.sites.get(name) {
            site.disk().set_faults(faults(site));
        }
    }

    fn running(&mut self, name: &Name) -> Option<&mut Site> {
        self.sites.get_mut(name).filter(|site| site.handle().is_some())
    }

    fn last(
        &mut self,
        name: &Name,
        fault: Fault,
        lasts: Duration,
        begin: impl FnOnce(&crate::net::Internet, &Site),
    ) -> bool {
        let internet = self.internet.clone();
        let Some(site) = self.running(name) else { return false };
        begin(&internet, site);
        let at = self.now() + lasts;
        self.put(at, Todo::End(name.clone(), fault));
        true
    }

    fn clock(&mut self, name: &Name, change: impl FnOnce(&super::wall::WallClock)) -> bool {
        let Some(site) = self.sites.get(name) else { return false };
        change(site.wall());
        true
    }

    fn network(&mut self, name: &Name, change: impl FnOnce(&crate::net::Internet, crate::net::MemberId)) -> bool {
        let Some(member) = self.member(name) else { return false };
        change(&self.internet, member);
        true
    }

    fn planned_clock(&self, name: &Name) -> Option<PlannedClock> {
        let hubs = self.plan.hubs.iter().map(|hub| (&hub.name, hub.clock));
        let nodes = self.plan.nodes.iter().map(|node| (&node.name, node.clock));
        hubs.chain(nodes).find(|(member, _)| *member == name).map(|(_, clock)| clock)
    }

    fn planned_drift(&self, name: &Name) -> i32 {
        self.planned_clock(name).map_or(0, |clock| clock.drift.0)
    }

    async fn crash(&mut self, name: &Name, policy: CrashPolicy, down: Duration) -> bool {
        let mut random = crate::random::Random::new(self.random.next_u64());
        let Some(site) = self.running(name) else { return false };
        site.crash(policy, &mut random).await;
        let at = self.now() + down;
        self.put(at, Todo::Start(name.clone()));
        true
    }

    async fn lose_power(&mut self, name: &Name, policy: CrashPolicy, down: Duration) -> bool {
        let keeps_time = self.planned_clock(name).is_none_or(|clock| clock.keeps_time);
        let done = self.crash(name, policy, down).await;
        if done && !keeps_time {
            self.clock(name, |wall| wall.set(0));
        }
        done
    }

    async fn clone_disk(&mut self, name: &Name, lasts: Duration) -> bool {
        let seed = self.random.next_u64();
        let Some(copy) = self.running(name).map(|site| site.disk().copy(seed)) else { return false };
        let Some(planned) = self.plan.nodes.iter().find(|node| node.name == *name) else { return false };
        let seeded = format!("{name} twin {seed}");
        let mut twin = self.site(name, &seeded, Role::Node, &planned.disk, planned.clock);
        for link in self.plan.links.iter().filter(|link| link.from == *name) {
            let now = self.now();
            let shape = link.changes.iter().rev().find(|change| change.at <= now).map(|it| self.plan.profile(it));
            if let (Some(shape), Some(to)) = (shape, self.member(&link.to)) {
                self.internet.add_line(twin.member(), to, super::world::shape(shape), seed);
            }
        }
        twin.set_disk(copy);
        if twin.start().await.is_err() {
            return false;
        }
        if let Some(mut old) = self.twins.insert(name.clone(), twin) {
            old.stop().await;
        }
        let at = self.now() + lasts;
        self.put(at, Todo::End(name.clone(), Fault::Twin));
        true
    }

    async fn wipe(&mut self, name: &Name) -> bool {
        let Some(site) = self.running(name) else { return false };
        site.stop().await;
        let done = self.give_back(name);
        if done {
            self.start(name).await;
        }
        done
    }

    /// Gives a machine that is off an empty database with its identity.
    pub(super) fn give_back(&mut self, name: &Name) -> bool {
        let hub = self.plan.nodes.iter().find(|node| node.name == *name).and_then(|node| node.hubs.first());
        let address = hub.and_then(|hub| self.sites.get(hub)).or_else(|| self.sites.get(name)).map(Site::address);
        let (Some(site), Some(address)) = (self.sites.get_mut(name), address) else { return false };
        let Some(identity) = self.identities.get(name) else { return false };
        let result = site.wipe(identity, address);
        if let Err(error) = &result {
            self.broken.push(format!("{name} could not get its identity back: {error}"));
        }
        // Another disk, which has not done anything wrong yet.
        self.rotted.remove(name);
        self.doubtful.remove(name);
        result.is_ok()
    }

    /// Workloads of a node report another status.
    fn say(&mut self, name: &Name, values: u32, draw: u32) -> bool {
        let workloads = self.plan.nodes.iter().find(|node| node.name == *name).map_or(0, |node| node.workloads);
        let Some(site) = self.sites.get(name) else { return false };
        let keys: Vec<String> = site.target().first_keys(workloads as usize);
        for number in 0..values {
            let place = (u64::from(draw) + u64::from(number)).checked_rem(keys.len() as u64).unwrap_or(0);
            let Some(key) = keys.get(usize::try_from(place).unwrap_or(0)) else { return false };
            site.target().set_remark(key, &remark(draw, number));
        }
        values > 0
    }
}

/// How long a node that could not join waits.
const RETRY: Duration = Duration::from_secs(60);
