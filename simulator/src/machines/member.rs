//! A member: its machine, which outlives crashes, and the process that runs on it.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use edge_node::agent::Pass;
use edge_node::hubs::Rounds;
use hub::admin::Context;
use sync_core::env::{Entropy, Instant, no_witness};
use sync_core::identity::{Identity, VerifiedPeer};
use sync_core::replica::{Event, Now, Replica, ReplicaError};
use sync_core::session::dialer::Dialer;
use sync_core::state::ObjectHash;
use sync_core::store::{OpenError, Store};
use sync_core::transport::{Clock, Machine, Network, Resolving};

use super::end::End;
use super::eyes::Note;
use super::figures::MemberFigures;
use super::part::Due;
use super::wall::Wall;
use super::{Micros, PORT};
use crate::disk::{CrashPolicy, Disk, Geometry};
use crate::plan::stream::Stream;
use crate::plan::{Name, PlannedClock};
use crate::random::Random;
use crate::target::{Change, Target};

/// The database on a simulated disk.
const DATABASE: &str = "archipel.db";

/// What a member is, with its number in the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Hub,
    Node(usize),
    /// A second machine on a copy of a node's files.
    Twin(usize),
}

/// A member.
pub(super) struct Member {
    pub(super) name: Name,
    pub(super) role: Role,
    pub(super) seed: u64,
    pub(super) wall: Wall,
    pub(super) clock: PlannedClock,
    pub(super) target: Target,
    pub(super) ends: Vec<End>,
    pub(super) dialers: Vec<Keeper>,
    pub(super) process: Process,
    pub(super) identity: Option<Arc<Identity>>,
    pub(super) peer: Option<Arc<VerifiedPeer>>,
    /// The address of the hub that let it in.
    pub(super) joined_at: String,
    pub(super) boots: u32,
    /// When what is off starts again.
    pub(super) start_at: Option<Micros>,
    /// Since when it stands still.
    pub(super) still_since: Option<Micros>,
    /// What its process was to do meanwhile.
    pub(super) held: Vec<Due>,
    pub(super) needs_disk: bool,
    pub(super) applied: Option<u64>,
    pub(super) joined: Option<Micros>,
    pub(super) is_revoked: bool,
    pub(super) trace: [u8; 32],
    pub(super) figures: MemberFigures,
}

/// The process of a member.
#[allow(clippy::large_enum_variant, reason = "a member that never runs is rare")]
pub(super) enum Process {
    /// It has no files yet.
    Absent,
    /// It does not run.
    Off(Medium),
    /// It runs.
    Runs(Running),
}

/// Where a database is.
pub(super) enum Medium {
    Memory(Store),
    Disk(Disk),
}

/// A process.
pub(super) struct Running {
    pub(super) replica: Replica,
    pub(super) disk: Option<Disk>,
    /// Of a hub.
    pub(super) context: Option<Context>,
    pub(super) entropy: Drawn,
    pub(super) timeout_at: Option<Micros>,
    pub(super) pass_at: Option<Micros>,
    /// The last pass, of use as long as it would read the same again.
    pub(super) pass: Option<Pass>,
    /// Addresses of hubs, as they were when so much content was written.
    pub(super) candidates: Option<(u64, Vec<String>)>,
    pub(super) is_advertised: bool,
}

/// Keeps a link up.
#[derive(Debug)]
pub(super) struct Keeper {
    /// The end that it dials; `None`: whichever hub is next.
    pub(super) end: Option<usize>,
    pub(super) dialer: Dialer,
    pub(super) rounds: Rounds,
    /// The longest wait that a hub of this round asked for.
    pub(super) asked: Option<std::time::Duration>,
    pub(super) addresses: usize,
    /// Names the present try; timers of others are void.
    pub(super) turn: u32,
    pub(super) is_dialling: bool,
    pub(super) has_ended: bool,
}

impl Keeper {
    pub(super) fn new(end: Option<usize>) -> Self {
        Self {
            end,
            dialer: Dialer::default(),
            rounds: Rounds::default(),
            asked: None,
            addresses: 1,
            turn: 0,
            is_dialling: false,
            has_ended: false,
        }
    }

    /// As it is when a process starts.
    pub(super) fn start_over(&mut self) {
        *self = Self { turn: self.turn + 1, ..Self::new(self.end) };
    }
}

/// Random bytes that follow from a seed.
#[derive(Debug, Clone)]
pub(super) struct Drawn(Random);

impl Entropy for Drawn {
    fn fill(&mut self, target: &mut [u8]) {
        for chunk in target.chunks_mut(8) {
            let drawn = self.0.next_u64().to_le_bytes();
            chunk.iter_mut().zip(drawn).for_each(|(to, from)| *to = from);
        }
    }
}

/// A machine of this depth has no sockets.
struct NoSockets;

impl Network for NoSockets {
    fn listener(&self, _address: std::net::SocketAddr) -> std::io::Result<quinn::Endpoint> {
        Err(std::io::ErrorKind::Unsupported.into())
    }

    fn dialer(&self, _address: std::net::SocketAddr) -> std::io::Result<quinn::Endpoint> {
        Err(std::io::ErrorKind::Unsupported.into())
    }

    fn resolve<'a>(&'a self, text: &'a str) -> Resolving<'a> {
        let text = text.to_owned();
        Box::pin(async move { Err(sync_core::transport::ResolveError::Form { text }) })
    }
}

/// Where a hub of this name is reached.
pub(super) fn address(name: &str) -> String {
    format!("{name}:{PORT}")
}

impl Member {
    pub(super) fn new(name: &Name, seeded: &str, role: Role, clock: PlannedClock, seed: u64, start: u64) -> Self {
        let true_ms = i64::try_from(start).unwrap_or(0) * 1000;
        let shown = if clock.keeps_time { true_ms + clock.offset.0 } else { 0 };
        Self {
            name: name.clone(),
            role,
            seed: Stream::new(seed, &["machine", seeded]).next_u64(),
            wall: Wall::new(shown, clock.drift.0),
            clock,
            target: Target::default(),
            ends: Vec::new(),
            dialers: if role == Role::Hub { Vec::new() } else { vec![Keeper::new(None)] },
            process: Process::Absent,
            identity: None,
            peer: None,
            joined_at: String::new(),
            boots: 0,
            start_at: None,
            still_since: None,
            held: Vec::new(),
            needs_disk: false,
            applied: None,
            joined: None,
            is_revoked: false,
            trace: [0; 32],
            figures: MemberFigures::new(name.clone()),
        }
    }

    pub(super) fn is_hub(&self) -> bool {
        self.role == Role::Hub
    }

    pub(super) fn is_twin(&self) -> bool {
        matches!(self.role, Role::Twin(_))
    }

    pub(super) fn now(&self, now: Micros) -> Now {
        Now { instant: Instant(now), wall: self.wall.time(now) }
    }

    pub(super) fn running(&mut self) -> Option<&mut Running> {
        match &mut self.process {
            Process::Runs(running) => Some(running),
            Process::Absent | Process::Off(_) => None,
        }
    }

    /// Runs and does not stand still.
    pub(super) fn is_up(&self) -> bool {
        matches!(self.process, Process::Runs(_)) && self.still_since.is_none()
    }

    /// Random bytes for what `concern` names, the same for each boot.
    pub(super) fn drawn(&self, concern: &str) -> Drawn {
        let names = [concern, &self.boots.to_string()];
        Drawn(Random::new(Stream::new(self.seed, &names).next_u64()))
    }

    /// An empty database.
    pub(super) fn new_medium(&self) -> Result<Medium, OpenError> {
        if self.needs_disk {
            let seed = Stream::new(self.seed, &["disk", &self.boots.to_string()]).next_u64();
            return Ok(Medium::Disk(Disk::new(seed, Geometry::default())));
        }
        Ok(Medium::Memory(Store::open_in_memory()?))
    }

    /// Who it is, in the forms in which that is asked for.
    pub(super) fn set_identity(&mut self, identity: Arc<Identity>) {
        self.peer = Some(Arc::new(VerifiedPeer::in_process(&identity)));
        self.identity = Some(identity);
    }

    /// Starts its process on its files; `false` when it runs already or has none.
    pub(super) fn start(&mut self, now: Micros) -> Result<bool, ReplicaError> {
        let medium = match std::mem::replace(&mut self.process, Process::Absent) {
            Process::Off(medium) => medium,
            other @ (Process::Absent | Process::Runs(_)) => {
                self.process = other;
                return Ok(false);
            }
        };
        self.boots += 1;
        self.start_at = None;
        let (store, disk) = medium.open()?;
        let mut entropy = self.drawn("boot");
        let replica = Replica::open(store, &mut entropy, no_witness())?;
        let context = self.is_hub().then(|| self.context(now));
        let (timeout_at, pass_at) = (None, None);
        self.process = Process::Runs(Running {
            replica,
            disk,
            context,
            entropy,
            timeout_at,
            pass_at,
            pass: None,
            candidates: None,
            is_advertised: false,
        });
        self.dialers.iter_mut().for_each(Keeper::start_over);
        Ok(true)
    }

    /// What a hub's answers need to know.
    fn context(&self, now: Micros) -> Context {
        let source = Arc::new(Mutex::new(self.drawn("commands")));
        let entropy = move || -> Box<dyn Entropy> {
            let mut drawn = source.lock().unwrap_or_else(PoisonError::into_inner);
            Box::new(Drawn(Random::new(drawn.0.next_u64())))
        };
        let clock = Clock::start_with(Arc::new(|| 0));
        Context {
            listen: address(&self.name),
            data_folder: PathBuf::new(),
            started: Instant(now),
            machine: Machine::simulated(Arc::new(NoSockets), clock, Arc::new(entropy)),
        }
    }

    /// Ends its process and leaves its files. One that is killed leaves what was durable.
    pub(super) fn end(&mut self, in_order: bool) {
        let running = match std::mem::replace(&mut self.process, Process::Absent) {
            Process::Runs(running) => running,
            other @ (Process::Absent | Process::Off(_)) => {
                self.process = other;
                return;
            }
        };
        let medium = match running.disk {
            None => Medium::Memory(running.replica.into_store()),
            Some(disk) if in_order => {
                drop(running.replica);
                Medium::Disk(disk)
            }
            Some(disk) => {
                // The disk first: closing a database would write to it.
                let mut random = Random::new(Stream::new(self.seed, &["crash", &self.boots.to_string()]).next_u64());
                let image = disk.crash(CrashPolicy::Kept, &mut random);
                drop(running.replica);
                Medium::Disk(Disk::from_image(random.next_u64(), &image))
            }
        };
        self.process = Process::Off(medium);
    }

    /// A copy of its files as they are.
    pub(super) fn copy(&self, concern: &str) -> Option<Disk> {
        let disk = match &self.process {
            Process::Runs(running) => running.disk.as_ref(),
            Process::Off(Medium::Disk(disk)) => Some(disk),
            Process::Off(Medium::Memory(_)) | Process::Absent => None,
        };
        disk.map(|disk| disk.copy(Stream::new(self.seed, &["copy", concern]).next_u64()))
    }
}

impl Medium {
    /// The database, and the disk that it is on.
    pub(super) fn open(self) -> Result<(Store, Option<Disk>), OpenError> {
        match self {
            Self::Memory(store) => Ok((store, None)),
            Self::Disk(disk) => Ok((Store::open_on(disk.name(), DATABASE)?, Some(disk))),
        }
    }

    /// After [`Medium::open`], which it undoes.
    pub(super) fn of(store: Store, disk: Option<Disk>) -> Self {
        match disk {
            None => Self::Memory(store),
            Some(disk) => {
                drop(store);
                Self::Disk(disk)
            }
        }
    }
}

impl Member {
    /// Takes what happened into the chain of hashes over all that did.
    pub(super) fn mark(&mut self, now: Micros, note: &Note<'_>) {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.trace).update(&now.to_le_bytes());
        match note {
            Note::Started { boot } => hasher.update(b"started").update(&boot.to_le_bytes()),
            Note::Stopped { in_order } => hasher.update(b"stopped").update(&[u8::from(*in_order)]),
            Note::Link { to, change } => hasher.update(format!("link {to} {change:?}").as_bytes()),
            Note::Acted(action) => hasher.update(format!("acted {action:?}").as_bytes()),
            Note::Sent { to, frame } => hasher.update(b"sent").update(to.as_bytes()).update(frame),
            Note::Came { from, frame } => hasher.update(b"came").update(from.as_bytes()).update(frame),
            Note::Replica(Event::Changed(key)) => hasher.update(b"changed").update(&key.id().0),
            Note::Replica(Event::Synced(peer)) => hasher.update(b"synced").update(&peer.0),
            Note::Replica(event) => hasher.update(format!("{event:?}").as_bytes()),
            Note::Target(Change::Put { key, manifest }) => {
                hasher.update(b"put").update(key.as_bytes()).update(&ObjectHash::of(manifest).0)
            }
            Note::Target(Change::Removed { key }) => hasher.update(b"removed").update(key.as_bytes()),
            Note::Applied(stamp) => hasher.update(b"applied").update(stamp.release.heads.as_bytes()),
            Note::Healed => hasher.update(b"healed"),
        };
        self.trace = *hasher.finalize().as_bytes();
    }
}
