//! The world of a rehearsal at depth 3: members as processes, fronts before hubs, links, and the clock that the plan goes by.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hub::client::{AdminClient, ClientError};
use tokio::time::{Instant, sleep_until, timeout};

use super::LiveError;
use super::member::Member;
use super::owners::Owners;
use crate::machines::Tally;
use crate::plan::{Action, Event, Name, Plan};
use crate::proxy::{LinkState, Proxy};
use crate::scenario;
use crate::stack::world::shape;
use crate::trace::{Happening, Trace, Work};
use crate::workload::files::Files;

/// How often the world looks at its members.
const WATCH_EVERY: Duration = Duration::from_millis(200);

/// How long a hub may take to answer a command. It takes milliseconds; a busy machine gets the rest.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);

/// How long whoever could not do something now waits before the next try.
const RETRY: Duration = Duration::from_secs(1);

/// How long a silent link counts as alive at least, how many ways over it on top, and how much it carries meanwhile. With less,
/// links that are slow and lose a datagram would hardly come up.
const PATIENCE_MIN: Duration = Duration::from_secs(2);
const PATIENT_WAYS: u32 = 12;
const HANDSHAKE_BITS: u64 = 80_000;

/// How often figures of all members go into the trace, of the time up to the healing.
const SAMPLES: u32 = 40;

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
    /// A node tries to join again.
    Join(Name),
    /// Something that lasts ends.
    End(Name, Fault),
    /// Figures are taken.
    Sample,
    /// The world looks at its members.
    Watch,
}

/// What lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fault {
    Pause,
    Twin,
}

impl Fault {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Pause => "pause",
            Self::Twin => "clone-disk",
        }
    }
}

/// A link, and what it lets through now.
#[derive(Debug)]
pub(super) struct Cable {
    pub(super) from: Name,
    pub(super) to: Name,
    pub(super) state: Arc<LinkState>,
    pub(super) is_up: bool,
}

/// A world.
pub(super) struct World<'p> {
    pub(super) plan: &'p Plan,
    pub(super) program: PathBuf,
    pub(super) work: PathBuf,
    /// How long a silent link counts as alive.
    pub(super) idle_timeout: Duration,
    /// The day of a quota.
    pub(super) day: Duration,
    pub(super) members: BTreeMap<Name, Member>,
    pub(super) twins: BTreeMap<Name, Member>,
    /// Before each hub.
    pub(super) fronts: BTreeMap<Name, Proxy>,
    /// In the order of the plan.
    pub(super) cables: Vec<Cable>,
    /// Links by the ends that they have for a front: who dials, and whom. Those of twins are among them.
    pub(super) lanes: super::set_up::Lanes,
    pub(super) owners: Owners,
    /// What people keep in files.
    pub(super) files: Files,
    pub(super) backups: BTreeMap<usize, PathBuf>,
    pub(super) joined: Vec<Name>,
    pub(super) revoked: Vec<Name>,
    pub(super) broken: Vec<String>,
    pub(super) events: BTreeMap<&'static str, Tally>,
    pub(super) left_out: BTreeMap<&'static str, u64>,
    /// When each release was made, in milliseconds, and its version.
    pub(super) releases: Vec<(u64, u64)>,
    pub(super) seen: BTreeMap<Name, super::watch::Seen>,
    pub(super) trace: Trace,
    start: Instant,
    has_begun: bool,
    todo: BinaryHeap<Reverse<(Duration, Todo)>>,
}

/// Where a world is made, and how fast it is.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// The `archipel-sim` that hubs and agents are run with.
    pub(super) program: PathBuf,
    /// The folder of everything.
    pub(super) work: PathBuf,
    /// How many times faster than the scenario it is.
    pub(super) speed: u32,
}

impl<'p> World<'p> {
    pub(super) fn new(plan: &'p Plan, place: &Place, trace: Trace) -> Self {
        let idle = sync_core::transport::Settings::default().idle_timeout;
        Self {
            plan,
            program: place.program.clone(),
            work: place.work.clone(),
            // Of hurried outages most would be over before production's half a minute is.
            idle_timeout: (idle / place.speed.max(1)).max(patience(plan)).min(idle),
            day: Duration::from_secs(24 * 3600) / place.speed.max(1),
            members: BTreeMap::new(),
            twins: BTreeMap::new(),
            fronts: BTreeMap::new(),
            cables: Vec::new(),
            lanes: super::set_up::Lanes::default(),
            owners: Owners::default(),
            files: Files::new(&plan.layers, plan.seed),
            backups: BTreeMap::new(),
            joined: Vec::new(),
            revoked: Vec::new(),
            broken: Vec::new(),
            events: BTreeMap::new(),
            left_out: BTreeMap::new(),
            releases: Vec::new(),
            seen: BTreeMap::new(),
            trace,
            start: Instant::now(),
            has_begun: false,
            todo: BinaryHeap::new(),
        }
    }

    pub(super) fn put(&mut self, at: Duration, todo: Todo) {
        self.todo.push(Reverse((at, todo)));
    }

    /// Does this a while from now.
    pub(super) fn put_again(&mut self, todo: Todo) {
        self.put(self.now() + RETRY, todo);
    }

    /// Since the run began; zero while it is set up.
    pub(super) fn now(&self) -> Duration {
        if self.has_begun { self.start.elapsed() } else { Duration::ZERO }
    }

    pub(super) fn millis(&self) -> u64 {
        u64::try_from(self.now().as_millis()).unwrap_or(u64::MAX)
    }

    /// Writes what happens now into the trace.
    pub(super) fn tell(&mut self, what: Happening) {
        let at = u64::try_from(self.now().as_micros()).unwrap_or(u64::MAX);
        self.trace.push(at, what);
    }

    /// An invariant is broken.
    pub(super) fn break_(&mut self, invariant: u8, sentence: String) {
        self.broken.push(format!("invariant {invariant}: {sentence}"));
        self.tell(Happening::Broken { invariant, sentence });
    }

    /// Begins to count time, and plans everything that is to be done.
    pub(super) fn begin(&mut self) {
        let plan = self.plan;
        for (number, link) in plan.links.iter().enumerate() {
            // The healing brings the last one.
            for (change, it) in link.changes.iter().enumerate().take(link.changes.len().saturating_sub(1)) {
                self.put(it.at, Todo::Link(number, change));
            }
        }
        for (number, event) in plan.events.iter().enumerate() {
            if !has_place(&event.action) {
                *self.left_out.entry(event.action.name()).or_default() += 1;
                continue;
            }
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
        self.put(self.sample_every(), Todo::Sample);
        (self.start, self.has_begun) = (Instant::now(), true);
    }

    fn sample_every(&self) -> Duration {
        (self.plan.heal_at / SAMPLES).max(Duration::from_secs(1))
    }

    pub(super) fn reach(&mut self, action: &Action) {
        self.events.entry(action.name()).or_default().reached += 1;
    }

    /// Lets time pass until the next thing to do, and does it; `None` when the world is to be healed.
    pub(super) async fn step(&mut self) -> Result<Option<Duration>, LiveError> {
        let Some(Reverse((at, todo))) = self.todo.pop() else { return Ok(None) };
        if !self.broken.is_empty() {
            return Ok(None);
        }
        if at >= self.plan.heal_at {
            sleep_until(self.start + self.plan.heal_at).await;
            return Ok(None);
        }
        sleep_until(self.start + at).await;
        match todo {
            Todo::Link(number, change) => self.turn_link(number, change),
            Todo::Backup(name, event) => self.back_up(&name, event).await?,
            Todo::Event(number) => {
                if let Some(event) = self.plan.events.get(number) {
                    let event: &'p Event = event;
                    self.carry_out(number, event).await?;
                }
            }
            Todo::Start(name) => self.start(&name).await,
            Todo::Join(name) => {
                if !self.join(&name).await? {
                    self.put_again(Todo::Join(name));
                }
            }
            Todo::End(name, fault) => self.end(&name, fault).await?,
            Todo::Sample => {
                self.sample().await;
                self.put(at + self.sample_every(), Todo::Sample);
            }
            Todo::Watch => {
                self.watch();
                // From now, not from `at`: whoever falls behind skips looks.
                self.put(self.now() + WATCH_EVERY, Todo::Watch);
            }
        }
        Ok(Some(at))
    }

    /// Starts a process; one that does not come up is a defect, as nothing is wrong with its disk.
    pub(super) async fn start(&mut self, name: &Name) {
        let Some(member) = self.members.get_mut(name).filter(|member| !member.is_up()) else { return };
        let started = member.start().await;
        let (boot, is_hub, id) = (member.boots, member.is_hub, member.id);
        match started {
            Ok(()) => {
                if let Some(node) = id {
                    let member = (&**name).into();
                    self.tell(Happening::Started { member, boot, node, is_hub, clock_is_wrong: false });
                }
            }
            Err(error) => {
                self.tell(Happening::Failed { member: (&**name).into(), message: error.to_string() });
                self.break_(10, format!("{name} does not start: {error}"));
            }
        }
    }

    /// Asks a hub; `None` when it does not answer or refuses.
    pub(super) async fn ask<T>(
        &self,
        hub: &Name,
        call: impl AsyncFnOnce(&AdminClient) -> Result<T, ClientError>,
    ) -> Option<T> {
        let member = self.members.get(hub).filter(|member| member.answers())?;
        let client = AdminClient::new(&member.data);
        match timeout(ANSWER_WITHIN, call(&client)).await {
            Ok(Ok(reply)) => Some(reply),
            Ok(Err(error)) => {
                tracing::info!(%hub, %error, "a hub refused");
                None
            }
            Err(_) => None,
        }
    }

    /// A hub made a release, unless there was nothing to release.
    pub(super) fn released(&mut self, hub: &Name, version: u64) {
        if self.releases.last().is_some_and(|(_, last)| *last == version) {
            return;
        }
        let at = self.millis();
        self.releases.push((at, version));
        self.tell(Happening::Work { member: (&**hub).into(), work: Work::Release { version } });
    }

    /// Changes a link as the plan says.
    pub(super) fn turn_link(&mut self, number: usize, change: usize) {
        let Some(link) = self.plan.links.get(number) else { return };
        let Some(now) = link.changes.get(change) else { return };
        let profile = self.plan.profile(now);
        let before = change.checked_sub(1).and_then(|before| link.changes.get(before));
        if before.is_some_and(|before| before.profile != now.profile) {
            self.move_away(&link.from);
        }
        let (to_hub, to_node) = match now.state {
            scenario::LinkState::Up => (true, true),
            scenario::LinkState::Down => (false, false),
            scenario::LinkState::ToHubOnly => (true, false),
            scenario::LinkState::ToNodeOnly => (false, true),
        };
        let Some(cable) = self.cables.get_mut(number) else { return };
        cable.is_up = to_hub && to_node;
        cable.state.set_open(to_hub, to_node);
        cable.state.set_shape(shape(profile));
        cable.state.set_nat(profile.nat_idle.map(|idle| idle.0));
        self.tell(Happening::Link {
            from: (&*link.from).into(),
            to: (&*link.to).into(),
            is_up: to_hub || to_node,
            profile: (&*now.profile).into(),
        });
    }

    /// A member has another address on all its links.
    pub(super) fn move_away(&self, name: &Name) {
        self.cables.iter().filter(|cable| cable.from == *name).for_each(|cable| cable.state.move_away());
    }

    /// Ends whatever lasts, and starts whatever is down.
    pub(super) async fn heal(&mut self) -> Result<(), LiveError> {
        self.tell(Happening::Healed);
        for name in self.twins.keys().cloned().collect::<Vec<_>>() {
            self.end(&name, Fault::Twin).await?;
        }
        let paused: Vec<Name> =
            self.members.values().filter(|member| member.is_paused).map(|member| member.name.clone()).collect();
        for name in paused {
            self.end(&name, Fault::Pause).await?;
        }
        for (number, link) in self.plan.links.iter().enumerate() {
            self.turn_link(number, link.changes.len().saturating_sub(1));
        }
        self.cables.iter().for_each(|cable| cable.state.lift_quota());
        let joining = |todo: &Todo| if let Todo::Join(name) = todo { Some(name.clone()) } else { None };
        let joining: Vec<Name> = self.todo.iter().filter_map(|todo| joining(&todo.0.1)).collect();
        self.todo.clear();
        for name in self.plan.hubs.iter().map(|hub| hub.name.clone()).chain(self.joined.clone()).collect::<Vec<_>>() {
            self.start(&name).await;
        }
        for name in joining {
            self.join(&name).await?;
        }
        Ok(())
    }
}

/// How long a link of the plan may have to be silent while it works: some round trips and a handshake's bytes on the slowest.
fn patience(plan: &Plan) -> Duration {
    let slowest = |link: &scenario::Link| {
        let rate = [link.to_hub, link.to_node].into_iter().flatten().map(|rate| rate.0).min();
        let handshake = rate.and_then(|rate| (HANDSHAKE_BITS * 1000).checked_div(rate)).unwrap_or(0);
        (link.latency.0 + link.jitter.0) * PATIENT_WAYS + Duration::from_millis(handshake)
    };
    PATIENCE_MIN + plan.profiles.values().map(slowest).max().unwrap_or_default()
}

/// Whether an action has a place at this depth; disks and clocks are this machine's, and so is what workloads say.
pub(super) const fn has_place(action: &Action) -> bool {
    match action {
        Action::Join
        | Action::Crash { .. }
        | Action::Pause { .. }
        | Action::Restart
        | Action::PowerLoss { .. }
        | Action::RestoreBackup { .. }
        | Action::CloneDisk { .. }
        | Action::AddressChange
        | Action::NatRebind
        | Action::Edit { .. }
        | Action::Release { .. }
        | Action::TargetEdit { .. }
        | Action::Revoke { .. } => true,
        Action::DiskFull { .. }
        | Action::BitRot { .. }
        | Action::LyingFsync { .. }
        | Action::IoErrors { .. }
        | Action::WipeStore
        | Action::Clock1970
        | Action::ClockJump { .. }
        | Action::ClockDrift { .. }
        | Action::Hostile { .. }
        | Action::Status { .. } => false,
    }
}
