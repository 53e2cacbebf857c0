//! One machine of a simulated world: what outlives a crash, and the process that runs on it.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use edge_node::join::{JoinConfig, JoinError, give_back, join_from};
use edge_node::run::{Island, RunError};
use hub::founding::{FoundingError, InitConfig, JoinFleet, init_on};
use hub::run::{ServeConfig, ServeError, serve_on};
use hub::service::{AdminCommand, AdminError, AdminHandler, AdminReply};
use sync_core::env::{Entropy, no_witness};
use sync_core::id::Name;
use sync_core::identity::{Identity, SigningKey};
use sync_core::replica::{InitError, Replica, ReplicaError};
use sync_core::store::{OpenError, Store};
use sync_core::transport::{Clock, Endpoint, ListenError, Machine, ReplicaHandle, Settings};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tracing::Instrument;

use super::book::{Book, observe};
use super::wall::WallClock;
use crate::disk::{CrashPolicy, Disk, Faults, Geometry};
use crate::guests::Guest;
use crate::net::port::Port;
use crate::net::{Internet, MemberId};
use crate::random::Random;
use crate::target::Target;
use crate::trace::{Ended, Happening, Member};

/// The port of every hub.
pub const HUB_PORT: u16 = 7440;

/// The database on a simulated disk.
const DATABASE: &str = "archipel.db";

/// A clock that is further off than this is said to be wrong.
const CLOCK_OFF_SECONDS: u64 = 3600;

/// What a site is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// A hub.
    Hub,
    /// A node.
    Node,
}

/// A machine.
pub struct Site {
    name: Name,
    role: Role,
    member: MemberId,
    seed: u64,
    internet: Internet,
    disk: Disk,
    geometry: Geometry,
    capacity: Option<u64>,
    wall: WallClock,
    target: Target,
    settings: Settings,
    interval: Duration,
    boots: u64,
    running: Option<Running>,
    book: Option<(Book, Member)>,
    /// Keeps something else than the target.
    pub(super) guest: Option<Guest>,
}

impl std::fmt::Debug for Site {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Site").field("name", &self.name).field("boots", &self.boots).finish_non_exhaustive()
    }
}

/// The process.
struct Running {
    handle: ReplicaHandle,
    admin: Option<AdminHandler>,
    port: Arc<Port>,
    stop: oneshot::Sender<()>,
    tasks: JoinSet<Result<(), String>>,
    /// Ends with the process.
    _observer: JoinSet<()>,
}

/// Why a site does not run. What it was asked to do did not happen.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SiteError {
    /// The disk or the database.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The replica.
    #[error(transparent)]
    Replica(#[from] ReplicaError),
    /// The hub.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// The hub's socket.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// A new hub.
    #[error(transparent)]
    Founding(#[from] FoundingError),
    /// A new node.
    #[error(transparent)]
    Join(#[from] JoinError),
    /// An identity that was given back.
    #[error(transparent)]
    Init(#[from] InitError),
    /// The process ended before it ran.
    #[error("it ended at its start: {0}")]
    Ended(String),
}

impl SiteError {
    /// Whether the database is damaged, so that it does not help to try again.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        if let Self::Open(OpenError::Store(error)) | Self::Serve(ServeError::Store(error)) = self {
            return error.is_damage();
        }
        let (Self::Replica(error) | Self::Serve(ServeError::Replica(error))) = self else { return false };
        if let ReplicaError::Open(OpenError::Store(error)) | ReplicaError::Store(error) = error {
            return error.is_damage();
        }
        matches!(error, ReplicaError::Identity(_))
    }
}

/// What a site is made with.
#[derive(Debug, Clone)]
pub struct SiteConfig {
    /// Its name.
    pub name: Name,
    /// What it is.
    pub role: Role,
    /// Its number.
    pub member: MemberId,
    /// Everything that is drawn on it follows from this.
    pub seed: u64,
    /// Its disk.
    pub geometry: Geometry,
    /// How much fits on it, in bytes; `None`: whatever comes.
    pub capacity: Option<u64>,
    /// Its clock.
    pub wall: WallClock,
    /// Of links.
    pub settings: Settings,
    /// How often an agent looks at its target.
    pub interval: Duration,
}

impl Site {
    /// A machine that is off.
    #[must_use]
    pub fn new(config: SiteConfig, internet: Internet) -> Self {
        internet.add_member(config.member);
        let disk = Disk::new(config.seed, config.geometry);
        disk.set_faults(Faults { capacity: config.capacity, ..Faults::default() });
        Self {
            name: config.name,
            role: config.role,
            member: config.member,
            seed: config.seed,
            internet,
            disk,
            geometry: config.geometry,
            capacity: config.capacity,
            wall: config.wall,
            target: Target::default(),
            settings: config.settings,
            interval: config.interval,
            boots: 0,
            running: None,
            book: None,
            guest: None,
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// Its number.
    #[must_use]
    pub fn member(&self) -> MemberId {
        self.member
    }

    /// Its disk, as long as it is not crashed.
    #[must_use]
    pub fn disk(&self) -> &Disk {
        &self.disk
    }

    /// What it believes the time is.
    #[must_use]
    pub fn wall(&self) -> &WallClock {
        &self.wall
    }

    /// Its target, if it is a node's.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// The way to its replica while it runs.
    #[must_use]
    pub fn handle(&self) -> Option<&ReplicaHandle> {
        self.running.as_ref().map(|running| &running.handle)
    }

    /// Writes what happens to it into a book, under this name.
    pub fn write_into(&mut self, book: Book, name: Member) {
        self.book = Some((book, name));
    }

    fn tell(&self, what: impl FnOnce(Member) -> Happening) {
        if let Some((book, member)) = &self.book {
            book.tell(what(member.clone()));
        }
    }

    /// Where a hub is reached.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        (self.internet.address(self.member).unwrap_or(Ipv4Addr::UNSPECIFIED), HUB_PORT).into()
    }

    /// Makes it a hub: of a new fleet, or of the fleet of which it was given a token and the address of a hub.
    ///
    /// # Errors
    /// [`SiteError`]; it may be tried again.
    pub async fn found(&mut self, join: Option<(String, SocketAddr)>) -> Result<(), SiteError> {
        let (machine, port) = self.boot();
        let join = join.map(|(token, hub)| JoinFleet {
            token,
            hub_address: hub.to_string(),
            own_address: Some(self.address().to_string()),
        });
        let name = Some(self.name.clone());
        let config = InitConfig { data_folder: PathBuf::new(), name, join, settings: self.settings };
        let result = init_on(&machine, Store::open_on(self.disk.name(), DATABASE)?, config).await;
        port.kill().await;
        result?;
        Ok(())
    }

    /// Makes it a node of the fleet of a token.
    ///
    /// # Errors
    /// [`SiteError`]; it may be tried again with the same token.
    pub async fn join(&mut self, token: String, hub: SocketAddr) -> Result<(), SiteError> {
        let (machine, port) = self.boot();
        let config = JoinConfig {
            data_folder: PathBuf::new(),
            hub: hub.to_string(),
            token,
            name: self.name.clone(),
            settings: self.settings,
        };
        let disk = self.disk.name().to_owned();
        let result = join_from(&machine, &config, |_| Store::open_on(&disk, DATABASE)).await;
        port.kill().await;
        result?;
        Ok(())
    }

    /// Starts its process.
    ///
    /// # Errors
    /// [`SiteError`]; it stays off.
    pub async fn start(&mut self) -> Result<(), SiteError> {
        let started = self.start_process().await;
        match &started {
            Ok(()) => {
                let (boot, is_hub) = (u32::try_from(self.boots).unwrap_or(u32::MAX), self.role == Role::Hub);
                let off = self.wall.now_ms() / 1000 - i64::try_from(self.internet.time_of_day()).unwrap_or(0);
                if let Some(node) = self.handle().map(|handle| handle.identity().id()) {
                    let clock_is_wrong = off.unsigned_abs() > CLOCK_OFF_SECONDS;
                    self.tell(|member| Happening::Started { member, boot, node, is_hub, clock_is_wrong });
                }
            }
            Err(error) => self.tell(|member| Happening::Failed { member, message: error.to_string() }),
        }
        started
    }

    async fn start_process(&mut self) -> Result<(), SiteError> {
        let (machine, port) = self.boot();
        let store = Store::open_on(self.disk.name(), DATABASE)?;
        let (stop, stopped) = oneshot::channel::<()>();
        let stopped = async move {
            // A sender that is gone is a site that is gone.
            let _ = stopped.await;
            Ok(())
        };
        let mut tasks = JoinSet::new();
        let (started, handle) = oneshot::channel();
        let mut admin = None;
        match self.role {
            Role::Hub => {
                let address: SocketAddr = (Ipv4Addr::UNSPECIFIED, HUB_PORT).into();
                let advertise = vec![self.address().to_string()];
                let data_folder = PathBuf::new();
                let config = ServeConfig { data_folder, listen: address, advertise, settings: self.settings };
                let replica = hub::run::open(store, &config, &machine, no_witness())?;
                let endpoint = Endpoint::listen(&machine, address, replica.identity(), self.settings)?;
                let (way_in, handler) = oneshot::channel();
                let api = |handler, stop| {
                    drop(way_in.send(handler));
                    async move {
                        let stop: hub::run::ApiStop = stop;
                        stop.await;
                        Ok(())
                    }
                };
                let told = |_, handle: &ReplicaHandle| drop(started.send(handle.clone()));
                let serve = serve_on(replica, endpoint, config, machine, no_witness(), api, told, stopped);
                let span = tracing::info_span!("hub", name = %self.name);
                tasks.spawn(async move { serve.await.map_err(|error| error.to_string()) }.instrument(span));
                admin = handler.await.ok();
            }
            Role::Node => {
                let replica = Replica::open(store, &mut *machine.entropy(), no_witness())?;
                let island = Island {
                    target: match &mut self.guest {
                        Some(guest) => guest.actuator(&self.name, self.seed, self.boots, self.book.clone()),
                        None => self.target.actuator(),
                    },
                    interval: self.interval,
                    settings: self.settings,
                    witness: no_witness(),
                    machine,
                };
                let told = |handle: &ReplicaHandle| drop(started.send(handle.clone()));
                let run = island.run(replica, told, stopped);
                let span = tracing::info_span!("node", name = %self.name);
                tasks.spawn(async move { run.await.map_err(|error: RunError| error.to_string()) }.instrument(span));
            }
        }
        let Ok(handle) = handle.await else {
            let ended = tasks.join_next().await;
            return Err(SiteError::Ended(format!("{ended:?}")));
        };
        let mut observer = JoinSet::new();
        if let Some((book, member)) = &self.book {
            observe(book, member, &handle, &self.target, &mut observer);
        }
        self.running = Some(Running { handle, admin, port, stop, tasks, _observer: observer });
        Ok(())
    }

    /// Asks a hub.
    ///
    /// # Errors
    /// What the hub answers; `None` when it does not run or is no hub.
    pub async fn ask(&self, command: AdminCommand) -> Option<Result<AdminReply, AdminError>> {
        let admin = self.running.as_ref()?.admin.as_ref()?;
        Some(admin(command).await)
    }

    /// Whether its process runs. One that ended by itself says why, once.
    pub fn look(&mut self) -> Look {
        let Some(running) = &mut self.running else { return Look::Off };
        match running.tasks.try_join_next() {
            None => Look::Runs,
            Some(end) => {
                self.running = None;
                self.tell(|member| Happening::Stopped { member, how: Ended::ByItself });
                let has_panicked = end.is_err();
                let why = match end {
                    Ok(Ok(())) => "it stopped".to_owned(),
                    Ok(Err(error)) => error,
                    Err(error) => format!("a panic: {error}"),
                };
                let message = why.clone();
                self.tell(|member| match has_panicked {
                    true => Happening::Panicked { member, message },
                    false => Happening::Failed { member, message },
                });
                Look::Ended(why)
            }
        }
    }

    /// Stops its process in order.
    pub async fn stop(&mut self) {
        if let Some(Running { stop, mut tasks, port, .. }) = self.running.take() {
            let _ = stop.send(());
            while tasks.join_next().await.is_some() {}
            port.kill().await;
            self.tell(|member| Happening::Stopped { member, how: Ended::InOrder });
        }
    }

    /// Kills its process, or cuts its power: `policy` says what becomes of writes that were not synced.
    pub async fn crash(&mut self, policy: CrashPolicy, random: &mut Random) {
        // The disk first: closing a database would write to it.
        let image = self.disk.crash(policy, random);
        if let Some(Running { mut tasks, port, .. }) = self.running.take() {
            port.kill().await;
            tasks.shutdown().await;
            let how = if policy == CrashPolicy::Kept { Ended::Killed } else { Ended::WithoutPower };
            self.tell(|member| Happening::Stopped { member, how });
        }
        if policy != CrashPolicy::Kept {
            self.target.lose_power();
            self.guest.iter_mut().for_each(Guest::lose_power);
        }
        let faults = self.disk.faults();
        self.set_disk(Disk::from_image(random.next_u64(), &image));
        self.disk.set_faults(faults);
    }

    /// Loses its database and gets its identity back, while it is off.
    ///
    /// # Errors
    /// [`SiteError`]; it has no database.
    pub fn wipe(&mut self, identity: &Identity, hub: SocketAddr) -> Result<(), SiteError> {
        let (machine, _) = self.boot();
        self.set_disk(Disk::new(self.seed ^ self.boots, self.geometry));
        let mut store = Store::open_on(self.disk.name(), DATABASE)?;
        match self.role {
            Role::Node => give_back(&mut store, identity, &hub.to_string(), &mut *machine.entropy())?,
            Role::Hub => Replica::init(&mut store, identity, &mut *machine.entropy())?,
        }
        Ok(())
    }

    /// Who it is, while it runs.
    #[must_use]
    pub fn identity(&self) -> Option<Identity> {
        let held = self.handle()?.identity();
        Identity::new(SigningKey::from_seed(*held.key().seed()), held.chain().to_vec(), held.pin()).ok()
    }

    /// Puts other files under a machine that is off: an older copy, or another machine's.
    pub fn set_disk(&mut self, disk: Disk) {
        self.disk = disk;
        self.mend_disk();
    }

    /// How much fits on its disk, in bytes; `None`: whatever comes.
    #[must_use]
    pub fn capacity(&self) -> Option<u64> {
        self.capacity
    }

    /// Ends every fault of its disk.
    pub fn mend_disk(&self) {
        self.disk.set_faults(Faults { capacity: self.capacity, ..Faults::default() });
    }

    fn boot(&mut self) -> (Machine, Arc<Port>) {
        self.boots += 1;
        let mut random = Random::new(self.seed ^ self.boots.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let port = Arc::new(Port::new(self.internet.clone(), self.member, random.next_u64()));
        let source = Arc::new(std::sync::Mutex::new(random));
        let entropy = move || -> Box<dyn Entropy> {
            let mut random = source.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            Box::new(Drawn(Random::new(random.next_u64())))
        };
        let clock = Clock::start_with(self.wall.source());
        (Machine::simulated(port.clone(), clock, Arc::new(entropy)), port)
    }
}

/// What a look at a process shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Look {
    /// It does not run.
    Off,
    /// It runs.
    Runs,
    /// It has ended by itself.
    Ended(String),
}

/// Random bytes that follow from a seed.
struct Drawn(Random);

impl Entropy for Drawn {
    fn fill(&mut self, target: &mut [u8]) {
        for chunk in target.chunks_mut(8) {
            let drawn = self.0.next_u64().to_le_bytes();
            chunk.iter_mut().zip(drawn).for_each(|(to, from)| *to = from);
        }
    }
}
