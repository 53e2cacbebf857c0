//! What a disk holds: as its processes see it, as it is durable, and the changes between the two in their order.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use simulated_vfs::{Failure, FileKind, OpenOptions, WalIndex};

use super::content::Content;
use super::crash::{Change, DiskImage, FileId, Frozen, Geometry, apply};
use super::faults::{Call, Counters, Fate, Traffic};
use super::locks::{Handle, Locks};
use super::moments::{Moment, Operation, Recording};
use crate::random::Random;

/// Bytes of changes that wait to become durable. Past it the oldest do by themselves: caches of real disks end too, and one
/// that is never synced must not grow for ever.
const PENDING_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Changes that wait, likewise.
const PENDING_CHANGES_MAX: usize = 65_536;

#[derive(Debug)]
pub(super) struct State {
    pub(super) geometry: Geometry,
    /// The folder as processes see it, and as it is durable.
    names: BTreeMap<String, FileId>,
    durable_names: BTreeMap<String, FileId>,
    files: BTreeMap<FileId, File>,
    next: u64,
    pending: VecDeque<Change>,
    pending_bytes: u64,
    /// The machine is off: nothing can be done through this disk any more.
    pub(super) is_dead: bool,
    pub(super) fate: Fate,
    pub(super) counters: Counters,
    /// Flipped bits that nobody has written over: file and byte.
    rotten: Vec<(FileId, u64)>,
    pub(super) random: Random,
    /// The machine's clock, in milliseconds since 1970.
    pub(super) unix_ms: i64,
    pub(super) recording: Recording,
}

#[derive(Debug, Default)]
struct File {
    /// For counting; what it was made as.
    name: String,
    kind: Option<FileKind>,
    content: Content,
    durable: Content,
    handles: u64,
    locks: Locks,
    index: Option<Arc<WalIndex>>,
    index_users: u64,
}

impl State {
    pub(super) fn new(seed: u64, image: &DiskImage) -> Self {
        let mut state = Self {
            geometry: image.geometry,
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            files: BTreeMap::new(),
            next: 1,
            pending: VecDeque::new(),
            pending_bytes: 0,
            is_dead: false,
            fate: Fate::default(),
            counters: Counters::default(),
            rotten: Vec::new(),
            random: Random::new(seed),
            unix_ms: 0,
            recording: Recording::default(),
        };
        for (name, content) in &image.files {
            let id = state.number();
            let (content, durable) = (content.clone(), content.clone());
            state.files.insert(id, File { name: name.clone(), content, durable, ..File::default() });
            state.names.insert(name.clone(), id);
        }
        state.durable_names = state.names.clone();
        state
    }

    pub(super) fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn alive(&mut self) -> Result<(), Failure> {
        self.fate.effects.after_the_end += u64::from(self.is_dead);
        if self.is_dead { Err(Failure::Gone) } else { Ok(()) }
    }

    fn file(&mut self, id: FileId) -> Result<&mut File, Failure> {
        self.alive()?;
        self.files.get_mut(&id).ok_or(Failure::Gone)
    }

    fn traffic(&mut self, id: FileId) -> &mut Traffic {
        let name = self.files.get(&id).map(|file| file.name.clone()).unwrap_or_default();
        self.counters.files.entry(name).or_default()
    }

    // The folder.

    pub(super) fn open(&mut self, path: Option<&str>, options: OpenOptions) -> Result<(FileId, Handle), Failure> {
        self.alive()?;
        let known = path.and_then(|path| self.names.get(path).copied());
        let id = match known {
            Some(_) if options.exclusive => return Err(Failure::CannotOpen),
            Some(id) => id,
            None if path.is_some() && !options.create => return Err(Failure::CannotOpen),
            None => self.create(path, options.kind),
        };
        let handle = self.number();
        let file = self.file(id)?;
        file.kind = Some(options.kind);
        file.handles += 1;
        Ok((id, handle))
    }

    fn create(&mut self, path: Option<&str>, kind: FileKind) -> FileId {
        let id = self.number();
        let name = path.unwrap_or_default().to_owned();
        self.files.insert(id, File { name: name.clone(), kind: Some(kind), ..File::default() });
        if let Some(path) = path {
            self.names.insert(path.to_owned(), id);
            self.wait(Change::Link { name: path.to_owned(), file: id });
            self.note(Operation::Create, id);
        }
        id
    }

    pub(super) fn delete(&mut self, path: &str, sync_folder: bool) -> Result<(), Failure> {
        self.alive()?;
        if self.fate.strikes(Call::Write) {
            return Err(Failure::Write);
        }
        let id = self.names.remove(path).ok_or(Failure::Missing)?;
        self.wait(Change::Unlink { name: path.to_owned() });
        self.note(Operation::Delete, id);
        if sync_folder {
            self.sync_folder()?;
            self.note(Operation::Sync, id);
        }
        self.forget_unused();
        Ok(())
    }

    pub(super) fn exists(&mut self, path: &str) -> Result<bool, Failure> {
        self.alive()?;
        let id = self.names.get(path);
        // As the Unix file system has it: an empty file is none.
        Ok(id.and_then(|id| self.files.get(id)).is_some_and(|file| file.content.length() > 0))
    }

    pub(super) fn close(&mut self, id: FileId, handle: Handle, maps_index: bool, delete: bool) {
        if maps_index {
            self.leave_index(id);
        }
        let Some(file) = self.files.get_mut(&id) else { return };
        file.locks.forget(handle);
        file.handles -= 1;
        let name = file.name.clone();
        if delete && !self.is_dead && self.names.get(&name) == Some(&id) {
            self.names.remove(&name);
            self.wait(Change::Unlink { name });
        }
        self.forget_unused();
    }

    /// Forgets files that nobody has open and no name or change, durable or not, leads to.
    fn forget_unused(&mut self) {
        let Self { names, durable_names, files, pending, rotten, .. } = self;
        let linked = |id: &FileId| {
            pending.iter().any(|change| matches!(change, Change::Link { file, .. } if file == id))
                || names.values().any(|named| named == id)
                || durable_names.values().any(|named| named == id)
        };
        let before = files.len();
        files.retain(|id, file| file.handles > 0 || linked(id));
        if files.len() == before {
            return;
        }
        rotten.retain(|(id, _)| files.contains_key(id));
        pending.retain(|change| match change {
            Change::Write { file, .. } | Change::Resize { file, .. } => files.contains_key(file),
            Change::Link { .. } | Change::Unlink { .. } => true,
        });
        self.pending_bytes = self.pending.iter().map(Change::bytes).sum();
    }

    // Files.

    pub(super) fn length(&mut self, id: FileId) -> Result<u64, Failure> {
        Ok(self.file(id)?.content.length())
    }

    pub(super) fn read(&mut self, id: FileId, offset: u64, target: &mut [u8]) -> Result<usize, Failure> {
        self.alive()?;
        if self.fate.strikes(Call::Read) {
            return Err(Failure::Read);
        }
        let mut read = self.file(id)?.content.read(offset, target);
        if read > 1 && self.fate.is_short() {
            read /= 2;
        }
        let end = offset + read as u64;
        let rotten = self.rotten.iter().any(|(file, byte)| *file == id && (offset..end).contains(byte));
        self.fate.effects.reads_rotten += u64::from(rotten);
        let traffic = self.traffic(id);
        traffic.reads += 1;
        traffic.bytes_read += read as u64;
        Ok(read)
    }

    /// Changes that have not become durable.
    pub(super) fn unsynced(&self) -> usize {
        self.pending.len()
    }

    /// Bytes of all files together.
    pub(super) fn held_bytes(&self) -> u64 {
        self.files.values().map(|file| file.content.length()).sum()
    }

    fn room_for(&mut self, id: FileId, length: u64) -> Result<(), Failure> {
        let Some(capacity) = self.fate.faults.capacity else { return Ok(()) };
        let lengths = self.files.iter().map(|(other, file)| (*other, file.content.length()));
        let others: u64 = lengths.clone().filter(|(other, _)| *other != id).map(|(_, length)| length).sum();
        let now = lengths.filter(|(other, _)| *other == id).map(|(_, length)| length).sum();
        if length <= now || others + length <= capacity {
            return Ok(());
        }
        self.fate.effects.full += 1;
        Err(Failure::Full)
    }

    pub(super) fn write(&mut self, id: FileId, offset: u64, bytes: &[u8]) -> Result<(), Failure> {
        self.alive()?;
        if self.fate.strikes(Call::Write) {
            return Err(Failure::Write);
        }
        let end = offset.checked_add(bytes.len() as u64).ok_or(Failure::Write)?;
        self.room_for(id, end)?;
        let file = self.file(id)?;
        file.content.write(offset, bytes);
        let is_temporary = file.kind == Some(FileKind::Temporary);
        self.rotten.retain(|(file, byte)| *file != id || !(offset..end).contains(byte));
        if !is_temporary {
            self.wait(Change::Write { file: id, offset, bytes: bytes.into() });
        }
        let traffic = self.traffic(id);
        traffic.writes += 1;
        traffic.bytes_written += bytes.len() as u64;
        self.note(Operation::Write, id);
        Ok(())
    }

    pub(super) fn resize(&mut self, id: FileId, length: u64) -> Result<(), Failure> {
        self.alive()?;
        if self.fate.strikes(Call::Write) {
            return Err(Failure::Truncate);
        }
        self.room_for(id, length)?;
        let file = self.file(id)?;
        file.content.resize(length);
        if file.kind != Some(FileKind::Temporary) {
            self.wait(Change::Resize { file: id, length });
        }
        self.note(Operation::Resize, id);
        Ok(())
    }

    pub(super) fn sync(&mut self, id: FileId) -> Result<(), Failure> {
        self.alive()?;
        if self.fate.strikes(Call::Sync) {
            return Err(Failure::Sync);
        }
        self.traffic(id).syncs += 1;
        let is_new = self.pending.iter().any(|change| matches!(change, Change::Link { file, .. } if *file == id));
        let concerns = |change: &Change| match change {
            Change::Write { file, .. } | Change::Resize { file, .. } => *file == id,
            Change::Link { .. } | Change::Unlink { .. } => false,
        };
        if self.fate.faults.lying_syncs {
            self.fate.effects.syncs_lied += u64::from(self.pending.iter().any(concerns));
        } else {
            self.pending.retain(|change| !concerns(change));
            self.pending_bytes = self.pending.iter().map(Change::bytes).sum();
            let file = self.file(id)?;
            file.durable = file.content.clone();
            // The Unix file system syncs the folder with the first sync of a log or a journal that it made.
            if is_new && matches!(file.kind, Some(FileKind::Wal | FileKind::Journal)) {
                self.sync_folder()?;
            }
        }
        self.note(Operation::Sync, id);
        Ok(())
    }

    fn sync_folder(&mut self) -> Result<(), Failure> {
        if self.fate.faults.lying_syncs {
            self.fate.effects.syncs_lied += 1;
            return Ok(());
        }
        self.pending.retain(|change| matches!(change, Change::Write { .. } | Change::Resize { .. }));
        self.durable_names = self.names.clone();
        Ok(())
    }

    /// A change that is not durable yet.
    fn wait(&mut self, change: Change) {
        self.pending_bytes += change.bytes();
        self.pending.push_back(change);
        while self.pending_bytes > PENDING_BYTES_MAX || self.pending.len() > PENDING_CHANGES_MAX {
            let Some(oldest) = self.pending.pop_front() else { return };
            self.pending_bytes -= oldest.bytes();
            self.come_through(&oldest);
        }
    }

    fn come_through(&mut self, change: &Change) {
        match change {
            Change::Write { file, offset, bytes } => {
                if let Some(file) = self.files.get_mut(file) {
                    file.durable.write(*offset, bytes);
                }
            }
            Change::Resize { file, length } => {
                if let Some(file) = self.files.get_mut(file) {
                    file.durable.resize(*length);
                }
            }
            Change::Link { .. } | Change::Unlink { .. } => {
                apply(change, &mut self.durable_names, &mut BTreeMap::new());
            }
        }
    }

    // Locks.

    pub(super) fn locks(&mut self, id: FileId) -> Result<&mut Locks, Failure> {
        Ok(&mut self.file(id)?.locks)
    }

    pub(super) fn index(&mut self, id: FileId) -> Result<Arc<WalIndex>, Failure> {
        let file = self.file(id)?;
        file.index_users += 1;
        Ok(Arc::clone(file.index.get_or_insert_default()))
    }

    pub(super) fn leave_index(&mut self, id: FileId) {
        let Some(file) = self.files.get_mut(&id) else { return };
        file.index_users = file.index_users.saturating_sub(1);
        if file.index_users == 0 {
            file.index = None;
        }
    }

    // Looking from outside.

    pub(super) fn freeze(&self) -> Frozen {
        Frozen {
            geometry: self.geometry,
            names: self.durable_names.clone(),
            contents: self.files.iter().map(|(id, file)| (*id, file.durable.clone())).collect(),
            pending: self.pending.iter().cloned().collect(),
        }
    }

    /// The disk as processes see it.
    pub(super) fn image(&self) -> DiskImage {
        let content = |id: &FileId| self.files.get(id).map(|file| file.content.clone()).unwrap_or_default();
        let files = self.names.iter().map(|(name, id)| (name.clone(), content(id))).collect();
        DiskImage { geometry: self.geometry, files }
    }

    /// Flips a bit of what is durable. `None` when the file is not there or empty.
    pub(super) fn rot(&mut self, name: &str, random: &mut Random) -> Option<(u64, u8)> {
        let id = *self.durable_names.get(name)?;
        let file = self.files.get_mut(&id)?;
        let length = file.durable.length();
        if length == 0 {
            return None;
        }
        let (byte, bit) = (random.below(length), random.below(8) as u8);
        file.durable.flip(byte, bit);
        file.content.flip(byte, bit);
        self.rotten.push((id, byte));
        Some((byte, bit))
    }

    /// Writes down the disk after an operation, when somebody records.
    pub(super) fn note(&mut self, operation: Operation, id: FileId) {
        let Some((transaction, _)) = self.recording.now() else { return };
        let (file, kind) = match self.files.get(&id) {
            Some(file) => (file.name.clone(), file.kind),
            None => (String::new(), None),
        };
        if kind == Some(FileKind::Temporary) {
            return;
        }
        let moment = Moment { operation, file, kind, transaction, frozen: self.freeze() };
        self.recording.push(moment);
    }
}
