//! Keeps a folder equal to the desired objects, one file each; K3s' auto-deploy folder or a k0s stack among others.
//!
//! A file is replaced whole (written aside, synced, renamed), so a reader sees the old or the new one and a crash leaves
//! one of the two. Files that do not carry our name are never touched, nor is `<file>.skip`, with which an operator
//! tells K3s to leave a file alone. The folder may be a link; a link where one of our files belongs is replaced.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sync_core::env::Instant;
use sync_core::limits::{TARGET_FILE_BYTES_MAX, TARGET_FILES_MAX};

use super::{Action, Actuator, Applied, ApplyError, DesiredObject, Digest, Flavour, Intent, Inventory, ObserveError};
use super::{Seen, Sight};

mod content;
mod error;
mod name;
#[cfg(test)]
mod tests;

pub use error::DirectoryError;

/// How long an emptied file stays in K3s' folder. K3s scans it every 15 s and deletes the objects of an emptied file at
/// the next scan; four scans leave room for one that failed.
pub const EMPTIED_WAIT: Duration = Duration::from_secs(60);

/// A file's stamp proves that its content is the same only when the content was read this long after the stamp was
/// first seen: within one tick of the file system's clock (4 ms on Linux, 2 s on FAT) it can change unnoticed.
const STAMP_SETTLES: Duration = Duration::from_secs(2);

/// The actuator of a directory target.
#[derive(Debug)]
pub struct Directory {
    folder: PathBuf,
    flavour: Flavour,
    /// What was read of each file, so that an unchanged one is not read again.
    known: BTreeMap<String, Known>,
    /// Since when this process sees a file emptied. After a restart the wait starts over, which is only longer.
    emptied: BTreeMap<String, Instant>,
    /// A rename or a removal is not durable yet.
    unsynced: bool,
    files_read: u64,
}

#[derive(Debug, Clone, Copy)]
struct Known {
    stamp: Stamp,
    first_seen: Instant,
    read: Instant,
    digest: Digest,
}

/// What changes when a file does. The change time is in it because, unlike the others, nobody can set it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            inode: metadata.ino(),
            bytes: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

impl Directory {
    /// An actuator for `folder`. Looks at nothing yet: a folder that is missing is made by the first write.
    #[must_use]
    pub fn new(folder: PathBuf, flavour: Flavour) -> Self {
        let (known, emptied) = (BTreeMap::new(), BTreeMap::new());
        Self { folder, flavour, known, emptied, unsynced: false, files_read: 0 }
    }

    /// How many files were read so far, for metrics. It stands still while nothing changes.
    #[must_use]
    pub fn files_read(&self) -> u64 {
        self.files_read
    }

    /// Names in the folder that concern us: our files, and those of them that are switched off with `.skip`. Left-overs
    /// of a write that a crash cut short are cleared away.
    fn list(&self) -> Result<(Vec<String>, BTreeSet<String>), DirectoryError> {
        let (mut ours, mut skipped) = (Vec::new(), BTreeSet::new());
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(source) => {
                let error = DirectoryError::of_folder(&self.folder, source);
                let missing = matches!(error, DirectoryError::Missing { .. });
                return if missing { Ok((ours, skipped)) } else { Err(error) };
            }
        };
        for entry in entries {
            let entry = entry.map_err(|source| DirectoryError::of_folder(&self.folder, source))?;
            let Ok(file) = entry.file_name().into_string() else { continue };
            if name::is_ours(&file) {
                ours.push(file);
            } else if name::is_partial(&file) {
                if let Err(error) = fs::remove_file(entry.path()) {
                    tracing::warn!(%file, %error, "cannot clear away a file that a crash left half written");
                }
            } else if let Some(file) = file.strip_suffix(".skip") {
                skipped.insert(file.to_owned());
            }
            if ours.len().max(skipped.len()) > TARGET_FILES_MAX {
                return Err(DirectoryError::TooManyFiles { path: self.folder.clone() });
            }
        }
        Ok((ours, skipped))
    }

    /// The digest of a regular file of ours; `Ok(None)` for anything else; `NotFound` when it went meanwhile.
    fn digest(&mut self, file: &str, now: Instant) -> io::Result<Option<Digest>> {
        let path = self.folder.join(file);
        let metadata = fs::symlink_metadata(&path)?;
        let limit = u64::try_from(TARGET_FILE_BYTES_MAX).unwrap_or(u64::MAX);
        if !metadata.is_file() || metadata.len() > limit {
            return Ok(None);
        }
        let stamp = Stamp::of(&metadata);
        let same = self.known.get(file).copied().filter(|known| known.stamp == stamp);
        if let Some(known) = same.filter(|known| known.read.since(known.first_seen) >= STAMP_SETTLES) {
            return Ok(Some(known.digest));
        }
        let mut bytes = Vec::new();
        File::open(&path)?.take(limit).read_to_end(&mut bytes)?;
        self.files_read += 1;
        let digest = Digest::of(&bytes);
        let first_seen = same.map_or(now, |known| known.first_seen);
        self.known.insert(file.to_owned(), Known { stamp, first_seen, read: now, digest });
        Ok(Some(digest))
    }

    fn sight(&mut self, file: &str, skipped: bool, now: Instant) -> Option<Sight> {
        let digest = match self.digest(file, now) {
            Ok(digest) => digest,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!(file, %error, "cannot read a file of the target; it counts as altered");
                None
            }
        };
        let emptied = self.flavour == Flavour::K3s && digest == Some(Digest::of(content::EMPTIED.as_bytes()));
        if !emptied {
            self.emptied.remove(file);
            return Some(digest.map_or(Sight::Altered, Sight::Present));
        }
        if skipped {
            // K3s does not look at it, so its objects are still there.
            self.emptied.remove(file);
            return Some(Sight::Leaving);
        }
        let since = *self.emptied.entry(file.to_owned()).or_insert(now);
        Some(if now.since(since) >= EMPTIED_WAIT { Sight::Left } else { Sight::Leaving })
    }

    /// The path of a place, which may come from a damaged database.
    fn path(&self, place: &str) -> Result<PathBuf, DirectoryError> {
        if name::is_ours(place) {
            Ok(self.folder.join(place))
        } else {
            Err(DirectoryError::NotOurs { path: self.folder.clone(), file: place.to_owned() })
        }
    }

    fn replace(&mut self, place: &str, content: &[u8]) -> Result<(), DirectoryError> {
        let path = self.path(place)?;
        if content.len() > TARGET_FILE_BYTES_MAX {
            return Err(DirectoryError::TooLarge { path, bytes: content.len() });
        }
        let part = self.folder.join(name::partial(place));
        let mut written = write_aside(&part, content);
        if written.as_ref().is_err_and(|source| source.kind() == io::ErrorKind::NotFound) {
            make_folder(&self.folder)?;
            written = write_aside(&part, content);
        }
        if let Err(source) = written.and_then(|()| fs::rename(&part, &path)) {
            // The old file is whole; a part that cannot be removed now is cleared away by the next observation.
            let _ = fs::remove_file(&part);
            return Err(DirectoryError::of_file(&self.folder, path, source));
        }
        self.unsynced = true;
        Ok(())
    }

    fn delete(&mut self, place: &str) -> Result<(), DirectoryError> {
        let path = self.path(place)?;
        match fs::remove_file(&path) {
            Ok(()) => self.unsynced = true,
            Err(source) if source.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(DirectoryError::of_file(&self.folder, path, source)),
        }
        self.known.remove(place);
        self.emptied.remove(place);
        Ok(())
    }
}

impl Actuator for Directory {
    fn intent(&self, object: &DesiredObject) -> Intent {
        let content = content::render(object);
        Intent { place: name::of(&object.key, object.stage()), content: Digest::of(content.as_bytes()) }
    }

    fn observe(&mut self, _inventory: &Inventory, now: Instant) -> Result<Seen, ObserveError> {
        let (ours, skipped) = self.list()?;
        let mut seen = BTreeMap::new();
        for file in ours {
            if let Some(sight) = self.sight(&file, skipped.contains(&file), now) {
                seen.insert(file, sight);
            }
        }
        self.known.retain(|file, _| seen.contains_key(file));
        self.emptied.retain(|file, _| seen.contains_key(file));
        Ok(Seen(seen))
    }

    fn apply(&mut self, action: &Action<'_>) -> Result<Applied, ApplyError> {
        match action {
            Action::Put { object, intent, .. } => {
                self.replace(&intent.place, content::render(object).as_bytes())?;
                Ok(Applied::Held)
            }
            Action::Remove { place, .. } if self.flavour == Flavour::K3s => {
                self.replace(place, content::EMPTIED.as_bytes())?;
                self.emptied.remove(place);
                Ok(Applied::Leaving)
            }
            Action::Remove { place, .. } | Action::Forget { place, .. } => {
                self.delete(place)?;
                Ok(Applied::Gone)
            }
        }
    }

    fn flush(&mut self) -> Result<(), ApplyError> {
        if self.unsynced {
            sync_folder(&self.folder).map_err(|source| DirectoryError::of_folder(&self.folder, source))?;
            self.unsynced = false;
        }
        Ok(())
    }
}

/// Writes a new file and makes its content durable. Manifests can hold secrets: only the owner may read it.
fn write_aside(part: &Path, content: &[u8]) -> io::Result<()> {
    let create = || OpenOptions::new().write(true).create_new(true).mode(0o600).open(part);
    let mut file = match create() {
        // Left by a crash since the last observation.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            fs::remove_file(part)?;
            create()?
        }
        other => other?,
    };
    file.write_all(content)?;
    file.sync_all()
}

/// Makes the folder below a parent that exists.
fn make_folder(folder: &Path) -> Result<(), DirectoryError> {
    let made = fs::create_dir(folder).and_then(|()| sync_folder(error::parent(folder)));
    made.map_err(|source| DirectoryError::of_folder(folder, source))
}

/// Makes the names in a folder durable. Some network file systems refuse this for folders and need it not.
fn sync_folder(folder: &Path) -> io::Result<()> {
    match File::open(folder)?.sync_all() {
        Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => Ok(()),
        other => other,
    }
}
