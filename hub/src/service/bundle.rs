//! Words about bundles: feeds as files, for members that no link connects.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};
use sync_core::id::Name;
use sync_core::replica::bundle::{Fit, Imported};

/// What can be asked about bundles.
#[derive(Debug, Clone, PartialEq)]
pub enum BundleCommand {
    /// Writes what a member is owed. Answered by [`BundleReply::Exported`].
    Export(ExportRequest),
    /// Takes what is in a member's bundle. Answered by [`BundleReply::Imported`].
    Import(BundleFile),
}

/// Whom a bundle is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BundlePeer {
    /// A node.
    Node(Name),
    /// Another hub.
    Hub(Name),
}

/// Asks for a bundle: the body of `POST /v1/bundles/export`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportRequest {
    /// Whom it is for.
    pub to: BundlePeer,
    /// Everything, also what that is known to hold.
    #[serde(default)]
    pub all: bool,
}

/// What is answered about bundles. Serialised as the value inside.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum BundleReply {
    /// A bundle.
    Exported(ExportedBundle),
    /// What became of one.
    Imported(ImportedBundle),
}

/// A bundle that was written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExportedBundle {
    /// The id of the one it is for, in hexadecimal.
    pub recipient: String,
    /// Number of the feed's entry before the first in it.
    pub from: u64,
    /// Number of the last entry in it.
    pub through: u64,
    /// Number of the feed's last entry; what is past `through` goes into the next bundle.
    pub head: u64,
    /// How many frames with content it has.
    pub entry_count: u64,
    /// Its length.
    pub bytes: u64,
    /// Its content; sent beside this.
    #[serde(skip)]
    pub file: Option<BundleFile>,
}

/// What became of a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportedBundle {
    /// The id of the one who wrote it, in hexadecimal.
    pub exporter: String,
    /// Number of the exporter's feed's entry before the first in it.
    pub from: u64,
    /// Number of the last entry in it.
    pub through: u64,
    /// Number of the last entry of the exporter's feed when it was written.
    pub head: u64,
    /// How many frames with content it has.
    pub entry_count: u64,
    /// Documents that have a newer state now.
    pub changed: Vec<String>,
    /// How many entries were refused. What is bad of them is in quarantine.
    pub refused_count: u64,
    /// Why, for the first of them.
    pub refused: Vec<String>,
    /// How it fits to what was held.
    pub fit: BundleFit,
    /// Whether an earlier bundle, or one with everything, is needed.
    pub needs_earlier: bool,
    /// Number up to which the exporter's feed is held now without gaps.
    pub held: u64,
    /// Number up to which the exporter is known to hold the feed for it.
    pub acknowledged: u64,
}

/// How a bundle fits to what was held of its feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BundleFit {
    /// It goes on from there.
    Continues,
    /// Everything in it was held.
    Held,
    /// An earlier one is missing.
    Gap,
    /// Something in it was refused.
    Refused,
    /// It is of an older life of the exporter's store, or of another store.
    OtherStore,
}

impl From<Imported> for ImportedBundle {
    fn from(it: Imported) -> Self {
        let fit = match it.fit {
            Fit::Continues => BundleFit::Continues,
            Fit::Held => BundleFit::Held,
            Fit::Gap => BundleFit::Gap,
            Fit::Refused => BundleFit::Refused,
            Fit::OtherStore => BundleFit::OtherStore,
        };
        Self {
            exporter: it.exporter.to_string(),
            from: it.from,
            through: it.through,
            head: it.head,
            entry_count: it.entries,
            changed: it.changed.iter().map(ToString::to_string).collect(),
            refused_count: it.refused,
            refused: it.refusals.iter().map(|it| format!("document {}: {}", it.document, it.message)).collect(),
            fit,
            needs_earlier: it.needs_earlier(),
            held: it.held,
            acknowledged: it.acknowledged,
        }
    }
}

/// The content of a bundle on its way between the API and the replica: a file without a name, gone with its last handle.
#[derive(Debug, Clone)]
pub struct BundleFile(Arc<File>);

impl BundleFile {
    /// An empty one on the disk of this folder.
    ///
    /// # Errors
    /// What the system says.
    pub fn temporary(folder: &Path) -> std::io::Result<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let path = folder.join(format!("bundle-{}.tmp", NEXT.fetch_add(1, Ordering::Relaxed)));
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).mode(0o600).open(&path)?;
        std::fs::remove_file(path)?;
        Ok(Self(Arc::new(file)))
    }

    /// The file.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.0
    }

    /// The file, from its beginning, for a reader that outlives this.
    #[must_use]
    pub fn into_source(self) -> Arc<File> {
        self.0
    }
}

impl From<File> for BundleFile {
    fn from(file: File) -> Self {
        Self(Arc::new(file))
    }
}

impl PartialEq for BundleFile {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}
