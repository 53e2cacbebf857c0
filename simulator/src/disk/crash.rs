//! What a power loss leaves: of the changes that were not synced, any may have reached the disk, in any order, torn or not.
//!
//! The model is the pessimistic reading of <https://sqlite.org/atomiccommit.html> (section 2.0) and <https://sqlite.org/psow.html>:
//! sectors are written one by one, a sector that is written when the power goes may hold anything, and only a device that is
//! powersafe leaves the bytes beside those that were written alone.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::content::Content;
use crate::random::Random;

/// Names a file whatever its name; a name may be given to another file.
pub(super) type FileId = u64;

/// A change that may not have become durable yet.
#[derive(Debug, Clone)]
pub(super) enum Change {
    /// Bytes of a file.
    Write { file: FileId, offset: u64, bytes: Arc<[u8]> },
    /// The length of a file.
    Resize { file: FileId, length: u64 },
    /// A name in the folder.
    Link { name: String, file: FileId },
    /// A name less.
    Unlink { name: String },
}

impl Change {
    pub(super) fn bytes(&self) -> u64 {
        match self {
            Self::Write { bytes, .. } => bytes.len() as u64,
            Self::Resize { .. } | Self::Link { .. } | Self::Unlink { .. } => 0,
        }
    }
}

/// Which changes of those that were not synced a crash leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CrashPolicy {
    /// None of them.
    Lost,
    /// All of them: the process died and the machine did not.
    Kept,
    /// Those up to a random one, which is torn.
    Prefix,
    /// Each sector of each change for itself: so many of a hundred are kept, so many garbled (torn or noise), the others lost.
    Scattered {
        /// Of a hundred.
        kept: u8,
        /// Of a hundred.
        garbled: u8,
    },
}

/// How the device writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Geometry {
    /// Bytes that it writes as one: 512 or 4096.
    pub sector_bytes: u32,
    /// Whether a torn write leaves the bytes beside it alone.
    pub powersafe: bool,
    /// Whether SQLite is told so; if not, it takes other precautions.
    pub promised: bool,
}

impl Default for Geometry {
    /// As SQLite takes every disk of a Unix machine to be.
    fn default() -> Self {
        Self { sector_bytes: 4096, powersafe: true, promised: true }
    }
}

/// What a disk holds while its machine is off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskImage {
    pub(super) geometry: Geometry,
    pub(super) files: BTreeMap<String, Content>,
}

impl DiskImage {
    /// Names the content: images with the same files have the same hash.
    #[must_use]
    pub fn hash(&self) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new();
        for (name, content) in &self.files {
            hasher.update(&(name.len() as u64).to_le_bytes());
            hasher.update(name.as_bytes());
            content.hash_into(&mut hasher);
        }
        hasher.finalize()
    }

    /// The names and lengths of the files.
    #[must_use]
    pub fn files(&self) -> BTreeMap<String, u64> {
        self.files.iter().map(|(name, content)| (name.clone(), content.length())).collect()
    }
}

/// A disk at one moment: what is durable, and what waits to become so.
#[derive(Debug, Clone)]
pub(super) struct Frozen {
    pub(super) geometry: Geometry,
    pub(super) names: BTreeMap<String, FileId>,
    pub(super) contents: BTreeMap<FileId, Content>,
    pub(super) pending: Vec<Change>,
}

/// What becomes of a sector that was being written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sector {
    Kept,
    Lost,
    Noise,
    /// So many bytes are new.
    Torn(usize),
}

impl Frozen {
    /// What is found when the machine comes back from a crash here.
    pub(super) fn image(&self, policy: CrashPolicy, random: &mut Random) -> DiskImage {
        let (mut names, mut contents) = (self.names.clone(), self.contents.clone());
        let whole = match policy {
            CrashPolicy::Lost => 0,
            CrashPolicy::Kept => self.pending.len(),
            CrashPolicy::Prefix => usize::try_from(random.below(self.pending.len() as u64 + 1)).unwrap_or(0),
            CrashPolicy::Scattered { .. } => usize::MAX,
        };
        for (number, change) in self.pending.iter().enumerate() {
            let mut fate = |random: &mut Random| match policy {
                CrashPolicy::Scattered { kept, garbled } => scattered(random, kept, garbled),
                CrashPolicy::Prefix if number == whole => scattered(random, 40, 20),
                CrashPolicy::Lost | CrashPolicy::Kept | CrashPolicy::Prefix if number < whole => Sector::Kept,
                CrashPolicy::Lost | CrashPolicy::Kept | CrashPolicy::Prefix => Sector::Lost,
            };
            match change {
                Change::Write { file, offset, bytes } => {
                    let content = contents.entry(*file).or_default();
                    self.write(content, *offset, bytes, random, &mut fate);
                }
                other if fate(random) == Sector::Kept => apply(other, &mut names, &mut contents),
                Change::Resize { .. } | Change::Link { .. } | Change::Unlink { .. } => {}
            }
        }
        let files = names.into_iter().map(|(name, file)| (name, contents.get(&file).cloned().unwrap_or_default()));
        DiskImage { geometry: self.geometry, files: files.collect() }
    }

    fn write(
        &self,
        content: &mut Content,
        offset: u64,
        bytes: &[u8],
        random: &mut Random,
        fate: &mut impl FnMut(&mut Random) -> Sector,
    ) {
        let sector = u64::from(self.geometry.sector_bytes);
        let end = offset + bytes.len() as u64;
        let part = |from: u64, to: u64| {
            let place = |at: u64| usize::try_from(at - offset).unwrap_or(usize::MAX);
            bytes.get(place(from)..place(to)).unwrap_or_default()
        };
        let mut at = offset;
        while at < end {
            let next = ((at / sector + 1) * sector).min(end);
            match fate(random) {
                Sector::Kept => content.write(at, part(at, next)),
                Sector::Lost => {}
                Sector::Torn(new) => {
                    let new = part(at, next).get(..new).unwrap_or(part(at, next));
                    content.write(at, new);
                }
                Sector::Noise => {
                    let (mut from, mut to) = (at, next);
                    if !self.geometry.powersafe {
                        from = at / sector * sector;
                        to = (from + sector).min(content.length()).max(next);
                    }
                    let noise: Vec<u8> = (from..to).map(|_| random.next_u64() as u8).collect();
                    content.write(from, &noise);
                }
            }
            at = next;
        }
    }
}

fn scattered(random: &mut Random, kept: u8, garbled: u8) -> Sector {
    let (kept, garbled) = (u64::from(kept), u64::from(garbled));
    match random.below(100) {
        below if below < kept => Sector::Kept,
        below if below < kept + garbled && random.below(2) == 0 => Sector::Noise,
        below if below < kept + garbled => Sector::Torn(usize::try_from(random.below(4096)).unwrap_or(0)),
        _ => Sector::Lost,
    }
}

/// Does a change that came through.
pub(super) fn apply(change: &Change, names: &mut BTreeMap<String, FileId>, contents: &mut BTreeMap<FileId, Content>) {
    match change {
        Change::Write { file, offset, bytes } => contents.entry(*file).or_default().write(*offset, bytes),
        Change::Resize { file, length } => contents.entry(*file).or_default().resize(*length),
        Change::Link { name, file } => {
            names.insert(name.clone(), *file);
        }
        Change::Unlink { name } => {
            names.remove(name);
        }
    }
}
