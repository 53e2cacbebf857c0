//! Runs a plan on the real stack: sets the fleet up, lets time pass from event to event, heals the world, and waits until all
//! agree.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::time::Duration;

use hub::service::fleet::{FleetCommand, FleetReply, HubTokenRequest};
use hub::service::{AdminCommand, AdminReply, AssignTarget};
use sync_core::identity::Identity;
use sync_core::transport::Settings;
use tokio::time::Instant;

use super::book::Book;
use super::hostile::UnderWay;
use super::site::{Look, Role, Site, SiteConfig};
use super::wall::WallClock;
use crate::checks::Checks;
use crate::disk::{Disk, Geometry};
use crate::guests::{Guest, Guests};
use crate::holding::Look as Reading;
use crate::net::line::Shape;
use crate::net::{Internet, MemberId};
use crate::plan::stream::Stream;
use crate::plan::{Action, Event, Name, Plan, PlannedClock};
use crate::random::Random;
use crate::scenario::{self, LinkState};
use crate::trace::{Happening, Work};
use crate::workload::files::Files;

mod agreement;
mod asking;
mod checking;
mod faults;
mod guests;
mod healing;
mod lateness;
mod outcome;
mod samples;
mod traffic;
mod words;

pub use outcome::{Outcome, Tally};
pub(crate) use words::id;
pub(super) use words::policy;
pub use words::shape;

/// How often an agent looks for changes by hand. Production does it every two seconds; a day of that is two thousand times
/// what a day of a minute is, and finds nothing else.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// How often the world looks at its members.
const WATCH_EVERY: Duration = Duration::from_secs(60);

/// How long a supervisor waits before it starts a process again that has ended.
const START_AGAIN: Duration = Duration::from_secs(10);

/// How long whoever sets up a node that could not join waits at most before the next try.
const JOIN_WAIT_MAX: Duration = Duration::from_secs(1800);

/// What the world has to do at some time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Todo {
    /// A link changes: its number, and the number of the change.
    Link(usize, usize),
    /// A copy of the files is made, for the event of this number.
    Backup(Name, usize),
    /// The plan's event of this number.
    Event(usize),
    /// A process starts.
    Start(Name),
    /// A node tries to join again, after so long a wait; the next is twice as long.
    Join(Name, Duration),
    /// A fault ends.
    End(Name, Fault),
    /// The world looks at its members.
    Watch,
}

/// What lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fault {
    Pause,
    DiskFull,
    LyingSyncs,
    IoErrors,
    Drift,
    Twin,
    /// The attack of the plan's event of this number.
    Attack(usize),
}

/// A world.
pub(super) struct World<'p> {
    pub(super) plan: &'p Plan,
    pub(super) internet: Internet,
    pub(super) sites: BTreeMap<Name, Site>,
    pub(super) twins: BTreeMap<Name, Site>,
    pub(super) identities: BTreeMap<Name, Identity>,
    pub(super) files: Files,
    pub(super) backups: BTreeMap<usize, Disk>,
    pub(super) revoked: Vec<Name>,
    /// Whose disk did not keep its word: it lied about a sync or rotted.
    pub(super) doubtful: BTreeSet<Name>,
    /// Whose disk has rotted. What it damaged may be found late or never, so the healing replaces it.
    pub(super) rotted: BTreeSet<Name>,
    pub(super) joined: Vec<Name>,
    /// Nodes of which there was a copy, and those of them that were last refused for the other copy's sake.
    copied: BTreeSet<Name>,
    refused: BTreeSet<Name>,
    pub(super) random: Random,
    pub(super) lateness: lateness::Lateness,
    /// Books of hubs whose process ended, and what they forgot of the traffic since.
    closed: BTreeMap<Name, [u64; 2]>,
    forgotten: [i64; 2],
    pub(super) broken: Vec<String>,
    pub(super) is_healed: bool,
    pub(super) book: Book,
    pub(super) lasting: BTreeMap<(Name, Fault), faults::Lasting>,
    pub(super) has_seen_a_twin: bool,
    pub(super) attacks: BTreeMap<usize, UnderWay>,
    /// The machine from which a node is attacked.
    pub(super) attackers: BTreeMap<Name, MemberId>,
    /// Links that are down and mattered when they went down.
    mattering: BTreeSet<usize>,
    pub(super) checks: Checks,
    guests: &'p mut Guests,
    unread: u64,
    start: Instant,
    todo: BinaryHeap<Reverse<(Duration, Todo)>>,
    events: BTreeMap<&'static str, Tally>,
    members: u32,
}

/// Runs `plan`. To be called on a paused clock ([`runtime`]).
pub async fn run(plan: &Plan, book: Book, told: impl FnMut(Duration)) -> Outcome {
    run_with(plan, book, &mut Guests::default(), told).await
}

/// The same with guests, who are told what members hold at the end.
pub(crate) async fn run_with(plan: &Plan, book: Book, guests: &mut Guests, mut told: impl FnMut(Duration)) -> Outcome {
    let is_asked = guests.asks_for_the_end;
    let mut world = World::new(plan, book, guests);
    let carrier = tokio::spawn(world.internet.clone().carry());
    world.set_up().await;
    world.schedule();
    world.begin_workloads();
    while let Some(at) = world.step().await {
        told(at);
    }
    world.guests.workloads.end().await;
    let mut outcome = Outcome::default();
    if world.broken.is_empty() {
        world.sample().await;
        world.heal().await;
        world.check_all(Reading::Changes).await;
    }
    if world.broken.is_empty() {
        outcome = world.agree().await;
        world.check_all(Reading::Changes).await;
        world.sample().await;
    }
    world.conclude(&mut outcome).await;
    world.account(&mut outcome).await;
    if is_asked {
        world.tell_guests_the_end().await;
    }
    for site in world.sites.values_mut() {
        site.stop().await;
    }
    carrier.abort();
    outcome.trace = world.book.with_trace(|trace| (trace.hash(), trace.length()));
    outcome
}

/// One thread on a paused clock.
///
/// # Errors
/// When the system gives no runtime.
pub fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()
}

impl<'p> World<'p> {
    fn new(plan: &'p Plan, book: Book, guests: &'p mut Guests) -> Self {
        let internet = Internet::new(plan.start.0);
        let mut world = Self {
            plan,
            internet,
            sites: BTreeMap::new(),
            twins: BTreeMap::new(),
            identities: BTreeMap::new(),
            files: Files::new(&plan.layers, plan.seed),
            backups: BTreeMap::new(),
            revoked: Vec::new(),
            doubtful: BTreeSet::new(),
            rotted: BTreeSet::new(),
            joined: Vec::new(),
            copied: BTreeSet::new(),
            refused: BTreeSet::new(),
            random: Random::new(Stream::new(plan.seed, &["world"]).next_u64()),
            lateness: lateness::Lateness::default(),
            closed: BTreeMap::new(),
            forgotten: [0; 2],
            broken: Vec::new(),
            is_healed: false,
            book,
            lasting: BTreeMap::new(),
            has_seen_a_twin: false,
            attacks: BTreeMap::new(),
            attackers: BTreeMap::new(),
            mattering: BTreeSet::new(),
            checks: Checks::new(&plan.checks),
            guests,
            unread: 0,
            start: Instant::now(),
            todo: BinaryHeap::new(),
            events: BTreeMap::new(),
            members: 0,
        };
        for hub in &plan.hubs {
            world.add(&hub.name, Role::Hub, &hub.disk, hub.clock);
        }
        for node in &plan.nodes {
            world.add(&node.name, Role::Node, &node.disk, node.clock);
        }
        for link in &plan.links {
            if let (Some(from), Some(to)) = (world.member(&link.from), world.member(&link.to)) {
                let seed = Stream::new(plan.seed, &["line", &link.name()]).next_u64();
                world.internet.add_line(from, to, Shape::default(), seed);
            }
        }
        world
    }

    fn add(&mut self, name: &Name, role: Role, disk: &scenario::Disk, clock: PlannedClock) {
        let mut site = self.site(name, name, role, disk, clock);
        site.write_into(self.book.clone(), (&**name).into());
        site.guest = self.guests.makers.get(&**name).cloned().map(Guest::new);
        self.sites.insert(name.clone(), site);
    }

    /// A machine called `name`, of which everything drawn follows from `seeded`.
    pub(super) fn site(
        &mut self,
        name: &Name,
        seeded: &str,
        role: Role,
        disk: &scenario::Disk,
        clock: PlannedClock,
    ) -> Site {
        let member = self.new_member();
        let shown =
            if clock.keeps_time { i64::try_from(self.plan.start.0).unwrap_or(0) * 1000 + clock.offset.0 } else { 0 };
        let config = SiteConfig {
            name: id(name),
            role,
            member,
            seed: Stream::new(self.plan.seed, &["site", seeded]).next_u64(),
            geometry: Geometry {
                sector_bytes: u32::try_from(disk.sector.0).unwrap_or(4096),
                powersafe: disk.powersafe,
                promised: disk.powersafe,
            },
            capacity: disk.capacity.map(|capacity| capacity.0),
            wall: WallClock::new(shown, clock.drift.0),
            settings: Settings::default(),
            interval: LOOK_EVERY,
        };
        Site::new(config, self.internet.clone())
    }

    /// The number of another machine.
    pub(super) fn new_member(&mut self) -> MemberId {
        self.members += 1;
        MemberId(self.members)
    }

    pub(super) fn member(&self, name: &Name) -> Option<MemberId> {
        self.sites.get(name).map(Site::member)
    }

    /// Hubs, layers, and the nodes that are there from the start, over lines that are all up.
    async fn set_up(&mut self) {
        let hubs: Vec<Name> = self.plan.hubs.iter().map(|hub| hub.name.clone()).collect();
        let Some(first) = hubs.first().cloned() else { return };
        for hub in &hubs {
            // Others are let in by the first, over a line that has to be there for it.
            let join = if *hub == first { None } else { self.hub_token(&first).await };
            let Some(site) = self.sites.get_mut(hub) else { continue };
            let made = async {
                site.found(join).await?;
                site.start().await
            };
            if let Err(error) = made.await {
                self.broken.push(format!("{hub} could not be set up: {error}"));
            }
            self.remember(hub);
        }
        for layer in self.plan.layers.iter().map(|layer| layer.name.clone()).collect::<Vec<_>>() {
            self.apply_layer(&first, &layer, false).await;
        }
        self.ask(&first, AdminCommand::Release { layers: Vec::new() }).await;
        for event in self.plan.events.iter().filter(|event| event.at.is_zero() && event.action == Action::Join) {
            self.join(&event.on.clone()).await;
        }
    }

    async fn hub_token(&mut self, first: &Name) -> Option<(String, std::net::SocketAddr)> {
        let request = HubTokenRequest { ttl_seconds: 3600, with_authority: true };
        let reply = self.ask(first, AdminCommand::Fleet(FleetCommand::CreateHubToken(request))).await;
        let Some(AdminReply::Fleet(FleetReply::Token(token))) = reply else { return None };
        Some((token.token, self.sites.get(first)?.address()))
    }

    pub(super) async fn apply_layer(&mut self, hub: &Name, layer: &str, release: bool) -> bool {
        let Some(content) = self.files.layer(layer) else { return false };
        let command = AdminCommand::ApplyLayer { name: id(layer), objects: content.keyed(), release };
        let done = self.ask(hub, command).await.is_some();
        if done && release {
            self.files.note_release(Some(layer));
        }
        done
    }

    /// Lets a node in at the first of its hubs that answers. `false`: to be tried again.
    pub(super) async fn join(&mut self, name: &Name) -> bool {
        let Some(planned) = self.plan.nodes.iter().find(|node| node.name == *name) else { return true };
        let labels = planned.labels.clone();
        let layers: Vec<_> = planned.layers.iter().map(|layer| id(layer)).collect();
        for hub in planned.hubs.clone() {
            let command = AdminCommand::CreateToken { ttl_seconds: 3600, labels: labels.clone() };
            let Some(AdminReply::Token(token)) = self.ask(&hub, command).await else { continue };
            let Some(address) = self.sites.get(&hub).map(Site::address) else { continue };
            let Some(site) = self.sites.get_mut(name) else { return true };
            if let Err(error) = site.join(token.token, address).await {
                tracing::info!(node = %name, %error, "could not join");
                continue;
            }
            self.ask(&hub, AdminCommand::Assign { layers, target: AssignTarget::Node(id(name)) }).await;
            self.joined.push(name.clone());
            self.book.tell(Happening::Work { member: (&**name).into(), work: Work::Join });
            self.start(name).await;
            self.remember(name);
            return true;
        }
        false
    }

    fn remember(&mut self, name: &Name) {
        if let Some(identity) = self.sites.get(name).and_then(Site::identity) {
            self.identities.insert(name.clone(), identity);
        }
    }

    pub(super) fn put(&mut self, at: Duration, todo: Todo) {
        self.todo.push(Reverse((at, todo)));
    }

    /// Since the run began.
    pub(super) fn now(&self) -> Duration {
        self.start.elapsed()
    }

    fn schedule(&mut self) {
        self.start = Instant::now();
        self.book.begin();
        for (number, link) in self.plan.links.iter().enumerate() {
            for (change, it) in link.changes.iter().enumerate() {
                self.put(it.at, Todo::Link(number, change));
            }
        }
        for (number, event) in self.plan.events.iter().enumerate() {
            self.events.entry(event.action.name()).or_default().planned += 1;
            if let Action::RestoreBackup { age } = event.action {
                self.put(event.at.saturating_sub(age), Todo::Backup(event.on.clone(), number));
            }
            if event.at.is_zero() && event.action == Action::Join {
                self.reach(&event.action);
            } else {
                self.put(event.at, Todo::Event(number));
            }
        }
        self.put(WATCH_EVERY, Todo::Watch);
    }

    pub(super) fn reach(&mut self, action: &Action) {
        self.events.entry(action.name()).or_default().reached += 1;
    }

    /// Lets time pass until the next thing to do, and does it; `None` when the world is to be healed.
    async fn step(&mut self) -> Option<Duration> {
        if !self.broken.is_empty() {
            return None;
        }
        let Reverse((at, todo)) = self.todo.pop()?;
        if at >= self.plan.heal_at {
            self.wait_until(self.plan.heal_at).await;
            return None;
        }
        self.wait_until(at).await;
        match todo {
            Todo::Link(link, change) => self.turn_link(link, change).await,
            // A node that has not joined has nothing to copy yet.
            Todo::Backup(name, event) if !self.identities.contains_key(&name) => {
                self.put(at + WATCH_EVERY, Todo::Backup(name, event));
            }
            Todo::Backup(name, event) => {
                if let Some(site) = self.sites.get(&name) {
                    let copy = site.disk().copy(self.random.next_u64());
                    self.backups.insert(event, copy);
                }
            }
            Todo::Event(number) => {
                if let Some(event) = self.plan.events.get(number) {
                    let event: &'p Event = event;
                    self.close_books(&event.on).await;
                    self.carry_out(number, event).await;
                    self.check_after(event).await;
                }
            }
            Todo::Start(name) => self.start(&name).await,
            Todo::Join(name, waited) => {
                if !self.join(&name).await {
                    let wait = (waited * 2).min(JOIN_WAIT_MAX);
                    self.put(self.now() + wait, Todo::Join(name, wait));
                }
            }
            Todo::End(name, fault) => self.finish(&name, fault).await,
            Todo::Watch => {
                self.watch();
                self.check_now_and_then(at).await;
                self.sample_now_and_then(at).await;
                self.put(at + WATCH_EVERY, Todo::Watch);
            }
        }
        self.check(&[], Reading::Frontiers).await;
        Some(at)
    }

    fn change_link(&mut self, number: usize, change: usize) {
        let Some(link) = self.plan.links.get(number) else { return };
        let Some(now) = link.changes.get(change) else { return };
        let (Some(from), Some(to)) = (self.member(&link.from), self.member(&link.to)) else { return };
        let profile = self.plan.profile(now);
        let before = change.checked_sub(1).and_then(|before| link.changes.get(before));
        if before.is_some_and(|before| before.profile != now.profile) {
            self.internet.move_away(from);
        }
        let (to_hub, to_node) = match now.state {
            LinkState::Up => (true, true),
            LinkState::Down => (false, false),
            LinkState::ToHubOnly => (true, false),
            LinkState::ToNodeOnly => (false, true),
        };
        self.internet.set_nat(from, profile.nat_idle.map(|idle| idle.0));
        self.internet.with_line(from, to, |line| {
            line.set_open(to_hub, to_node);
            line.set_shape(shape(profile));
        });
        self.book.tell(Happening::Link {
            from: (&*link.from).into(),
            to: (&*link.to).into(),
            is_up: to_hub || to_node,
            profile: (&*now.profile).into(),
        });
    }

    /// Starts what has ended by itself.
    fn watch(&mut self) {
        let at = self.now() + START_AGAIN;
        let ended: Vec<_> = self.sites.iter_mut().map(|(name, site)| (name.clone(), site.look())).collect();
        for (name, look) in ended {
            if let Look::Ended(reason) = look {
                tracing::info!(member = %name, %reason, "ended by itself");
                self.put(at, Todo::Start(name));
            }
        }
    }
}
