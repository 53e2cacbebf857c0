//! Replicas in one process, and what passes between two of them: bytes, flights and time of each side.

use std::path::Path;

use sync_core::document::PackedFrontiers;
use sync_core::env::{Entropy, Instant, WallTime, no_witness};
use sync_core::id::{LinkId, Name, NodeId};
use sync_core::identity::{CertificateAuthority, Identity, Role, SigningKey, VerifiedPeer};
use sync_core::replica::{Now, Output, Replica};
use sync_core::store::{DATABASE_FILE, Store};
use sync_core::wire::{CloseCode, Message, PushEntry};
use tempfile::TempDir;

use super::measure::Spent;
use super::{BenchError, During};
use crate::random::Random;

/// Bytes that authenticate a frontier with one head: 64 of signature, 32 of the head.
pub(super) const PROOF_BYTES: u64 = 96;

/// A fleet's authority, and the randomness of all that is made in it.
#[derive(Debug)]
pub(super) struct Fleet {
    entropy: Seeded,
    authority: CertificateAuthority,
    seconds: u64,
}

/// A replica and its folder.
#[derive(Debug)]
pub(super) struct Member {
    folder: TempDir,
    pem: String,
    peer: VerifiedPeer,
    /// The replica.
    pub(super) replica: Replica,
}

/// A member whose process has ended; its folder is still there.
#[derive(Debug)]
pub(super) struct Ended {
    folder: TempDir,
    pem: String,
    peer: VerifiedPeer,
}

impl Ended {
    /// Its folder.
    #[must_use]
    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }
}

#[derive(Debug)]
struct Seeded(Random);

impl Entropy for Seeded {
    fn fill(&mut self, target: &mut [u8]) {
        target.fill_with(|| self.0.next_u64() as u8);
    }
}

/// Where a database lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// In memory where the system has such a folder: what is measured is not the disk.
    Memory,
    /// On the disk of the folder for temporary files.
    Disk,
}

impl Place {
    /// A new folder there.
    ///
    /// # Errors
    /// [`BenchError`] when the system gives none.
    pub(super) fn folder(self) -> Result<TempDir, BenchError> {
        let shared = Path::new("/dev/shm");
        let folder = if self == Self::Memory && shared.is_dir() { TempDir::new_in(shared) } else { TempDir::new() };
        folder.during("make a folder")
    }
}

impl Fleet {
    /// A new fleet; the same seed gives the same keys.
    ///
    /// # Errors
    /// [`BenchError`].
    pub(super) fn new(seed: u64) -> Result<Self, BenchError> {
        let mut entropy = Seeded(Random::new(seed));
        let name = Name::new("bench").during("name the fleet")?;
        let authority = CertificateAuthority::create(&mut entropy, name).during("make an authority")?;
        Ok(Self { entropy, authority, seconds: 1_790_000_000 })
    }

    /// An identity of this fleet.
    ///
    /// # Errors
    /// [`BenchError`].
    pub(super) fn identity(&mut self, role: Role) -> Result<Identity, BenchError> {
        let key = SigningKey::generate(&mut self.entropy);
        self.authority.identity(&mut self.entropy, key, role).during("make an identity")
    }

    /// A new replica.
    ///
    /// # Errors
    /// [`BenchError`].
    pub(super) fn join(&mut self, role: Role, place: Place) -> Result<Member, BenchError> {
        let identity = self.identity(role)?;
        let folder = place.folder()?;
        let replica = self.start(&identity, folder.path())?;
        Ok(Member { folder, pem: identity.to_pem(), peer: VerifiedPeer::in_process(&identity), replica })
    }

    fn start(&mut self, identity: &Identity, folder: &Path) -> Result<Replica, BenchError> {
        let mut store = Store::open(folder).during("open a database")?;
        let is_new = store.begin_read().during("read a database")?.identity().during("read a database")?.is_none();
        if is_new {
            Replica::init(&mut store, identity, &mut self.entropy).during("give a database its identity")?;
        }
        Replica::open(store, &mut self.entropy, no_witness()).during("open a replica")
    }

    /// The member's process ends and starts again, on `folder` when one is given, otherwise on its own.
    ///
    /// # Errors
    /// [`BenchError`].
    pub(super) fn restart(&mut self, member: Member, folder: Option<TempDir>) -> Result<Member, BenchError> {
        let (mut ended, _) = member.end();
        ended.folder = folder.unwrap_or(ended.folder);
        self.reopen(ended)
    }

    /// Starts a member that had ended.
    ///
    /// # Errors
    /// [`BenchError`].
    pub(super) fn reopen(&mut self, ended: Ended) -> Result<Member, BenchError> {
        let Ended { folder, pem, peer } = ended;
        let identity = Identity::from_pem(&pem).during("read an identity")?;
        let replica = self.start(&identity, folder.path())?;
        Ok(Member { folder, pem, peer, replica })
    }

    /// The time, which moves on with every call.
    pub(super) fn now(&mut self) -> Now {
        self.seconds += 1;
        Now { instant: Instant(self.seconds * 1_000_000), wall: WallTime(Some(self.seconds)) }
    }

    /// Lets so many seconds pass.
    pub(super) fn pass(&mut self, seconds: u64) {
        self.seconds += seconds;
    }

    /// One whole conversation, until neither side has more to say; with those that follow at once when a side takes a new
    /// incarnation, as agents do.
    ///
    /// # Errors
    /// [`BenchError`].
    pub(super) fn converse(&mut self, dialer: &mut Member, acceptor: &mut Member) -> Result<Passed, BenchError> {
        let mut passed = Passed::default();
        for _ in 0..DIALS_MAX {
            passed.closed = None;
            self.meet(dialer, acceptor, &mut passed)?;
            self.disconnect(dialer, acceptor, &mut passed)?;
            match passed.closed {
                None => return Ok(passed),
                Some(CloseCode::Restarted) => {}
                Some(code) => return Err(BenchError::Wrong(format!("a side closed the link: {code:?}"))),
            }
        }
        Err(BenchError::Wrong("two replicas tell each other to dial again for ever".to_owned()))
    }

    /// Brings a link up and lets both sides say what they have; the link stays.
    ///
    /// # Errors
    /// [`BenchError`].
    pub(super) fn connect(&mut self, dialer: &mut Member, acceptor: &mut Member) -> Result<Passed, BenchError> {
        let mut passed = Passed::default();
        self.meet(dialer, acceptor, &mut passed)?;
        Ok(passed)
    }

    fn meet(&mut self, dialer: &mut Member, acceptor: &mut Member, passed: &mut Passed) -> Result<(), BenchError> {
        let now = self.now();
        passed.dials += 1;
        let (theirs, ours) = (acceptor.peer.clone(), dialer.peer.clone());
        passed.dialer.on(|| dialer.replica.handle_link_up(now, LINK, &theirs, true)).during("bring a link up")?;
        passed.acceptor.on(|| acceptor.replica.handle_link_up(now, LINK, &ours, false)).during("bring a link up")?;
        self.exchange(dialer, acceptor, passed)
    }

    /// Carries frames over the link until neither side has more to say. Each flight takes what a side had to say when it
    /// began, as over a network.
    ///
    /// # Errors
    /// [`BenchError`].
    pub(super) fn exchange(
        &mut self,
        dialer: &mut Member,
        acceptor: &mut Member,
        passed: &mut Passed,
    ) -> Result<(), BenchError> {
        let now = self.now();
        loop {
            let frames = passed.take(dialer);
            let said = !frames.is_empty();
            for frame in frames {
                passed.acceptor.on(|| acceptor.replica.handle_frame(now, LINK, &frame)).during("take a frame")?;
            }
            let frames = passed.take(acceptor);
            if passed.closed.is_some() || (!said && frames.is_empty()) {
                return Ok(());
            }
            for frame in frames {
                passed.dialer.on(|| dialer.replica.handle_frame(now, LINK, &frame)).during("take a frame")?;
            }
        }
    }

    /// Takes the link down.
    ///
    /// # Errors
    /// [`BenchError`].
    pub(super) fn disconnect(
        &mut self,
        dialer: &mut Member,
        acceptor: &mut Member,
        passed: &mut Passed,
    ) -> Result<(), BenchError> {
        let now = self.now();
        passed.dialer.on(|| dialer.replica.handle_link_down(now, LINK)).during("take a link down")?;
        passed.acceptor.on(|| acceptor.replica.handle_link_down(now, LINK)).during("take a link down")?;
        for member in [dialer, acceptor] {
            while member.replica.poll_output().is_some() {}
        }
        Ok(())
    }
}

const LINK: LinkId = LinkId(1);

/// Links that one conversation may take, with new incarnations of both sides.
const DIALS_MAX: usize = 5;

impl Member {
    /// Who it is.
    #[must_use]
    pub(super) fn id(&self) -> NodeId {
        self.peer.id()
    }

    /// Its folder.
    #[must_use]
    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Bytes of its database's main file. What was written last may not be in it yet.
    pub(super) fn database_bytes(&self) -> u64 {
        std::fs::metadata(self.folder().join(DATABASE_FILE)).map_or(0, |about| about.len())
    }

    /// Ends it in order. What it leaves, and the bytes of that.
    #[must_use]
    pub(super) fn end(self) -> (Ended, u64) {
        let Self { folder, pem, peer, replica } = self;
        drop(replica);
        let bytes = bytes_in(folder.path());
        (Ended { folder, pem, peer }, bytes)
    }

    /// A copy of its folder, as a snapshot of the machine would hold it.
    ///
    /// # Errors
    /// [`BenchError`] when the disk refuses.
    pub(super) fn copy(&self, place: Place) -> Result<TempDir, BenchError> {
        let copy = place.folder()?;
        for entry in std::fs::read_dir(self.folder()).during("copy a folder")?.flatten() {
            std::fs::copy(entry.path(), copy.path().join(entry.file_name())).during("copy a folder")?;
        }
        Ok(copy)
    }
}

fn bytes_in(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.metadata().ok()).map(|about| about.len()).sum()
}

/// What passed in a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Passed {
    /// All bytes both ways, with the length before each frame.
    pub(super) bytes: u64,
    /// Of them: the hellos.
    pub(super) hello_bytes: u64,
    /// Of them: frames that carry documents.
    pub(super) push_bytes: u64,
    /// Of them: signatures, and what they are over.
    pub(super) proof_bytes: u64,
    /// Frames that end in a signed frontier.
    pub(super) frontiers: u64,
    /// All frames.
    pub(super) frames: u64,
    /// Times that the direction changed, counting the first.
    pub(super) flights: u64,
    /// Links that came up: more than one when a side started over as a new incarnation.
    pub(super) dials: u64,
    /// Why a side closed the link.
    pub(super) closed: Option<CloseCode>,
    /// What the dialer spent.
    pub(super) dialer: Spent,
    /// What the acceptor spent.
    pub(super) acceptor: Spent,
}

impl Passed {
    /// Times that a side had to wait for the other.
    #[must_use]
    pub(super) fn round_trips(&self) -> u64 {
        self.flights.div_ceil(2)
    }

    /// What `from` has to say now, counted.
    fn take(&mut self, from: &mut Member) -> Vec<Vec<u8>> {
        let sender = from.id();
        let outputs = std::iter::from_fn(|| from.replica.poll_output());
        let frames: Vec<Vec<u8>> = outputs
            .filter_map(|output| match output {
                Output::Transmit { frame, .. } => Some(frame),
                Output::Close { close, .. } => {
                    self.closed = Some(close.code);
                    None
                }
                Output::Event(_) => None,
            })
            .collect();
        self.flights += u64::from(!frames.is_empty());
        frames.iter().for_each(|frame| self.count(frame, sender));
        frames
    }

    fn count(&mut self, frame: &[u8], sender: NodeId) {
        let bytes = framed(frame.len());
        self.bytes += bytes;
        self.frames += 1;
        let message = Message::decode(frame, sender);
        if matches!(message, Ok(Message::Hello(_))) {
            self.hello_bytes += bytes;
        }
        if let Ok(Message::Push(push)) = &message
            && let Some(entry) = &push.entry
        {
            self.push_bytes += bytes;
            if let PushEntry::Delta(delta) = entry {
                let count = u64::from(delta.frontier.is_some());
                self.frontiers += count;
                self.proof_bytes += count * PROOF_BYTES;
                let PackedFrontiers { authors, signatures, rows, hashes } = &delta.earlier;
                self.proof_bytes += [authors, signatures, rows, hashes].map(|it| it.len() as u64).iter().sum::<u64>();
            }
        }
    }
}

/// Bytes of a frame with the length before it (LEB128).
fn framed(frame: usize) -> u64 {
    let bits = usize::BITS - frame.leading_zeros();
    frame as u64 + u64::from(bits.div_ceil(7).max(1))
}
