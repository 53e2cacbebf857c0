//! Every bound of the hub's outer parts, with its unit and its reason.

use std::time::Duration;

/// Bytes of one object as compact JSON. etcd's default request limit is 1.5 MiB, so no Kubernetes takes a larger one.
pub const OBJECT_BYTES_MAX: usize = 1_572_864;

/// Bytes of one manifest file, or of standard input. The largest manifests in use (CRD bundles) stay below 2 MiB.
pub const MANIFEST_FILE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Bytes of all manifest files of a folder: far above real folders, small enough to hold in memory several times.
pub const MANIFEST_FOLDER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Manifest files in one folder, and entries looked at to find them times sixteen. Ends the walk of a mistaken `-f /`.
pub const MANIFEST_FILES_MAX: usize = 16_384;

/// Folders below the given one. Ends the walk when mounts loop.
pub const MANIFEST_FOLDER_DEPTH_MAX: usize = 32;

/// Depth of maps and lists in one document: what a stored document may have (`sync_core::limits`).
pub const MANIFEST_DEPTH_MAX: usize = sync_core::limits::DOCUMENT_DEPTH_MAX;

/// Values in one file once aliases are written out: an object of 1.5 MiB has fewer, so only an alias bomb has more.
pub const MANIFEST_VALUES_MAX: usize = 2_000_000;

/// Bytes of text in one file that anchors and aliases copy. Sixteen times the largest file, so only an alias bomb
/// reaches it.
pub const MANIFEST_COPIED_BYTES_MAX: usize = 16 * MANIFEST_FILE_BYTES_MAX;

/// Bytes of one request to the admin API: a whole folder of manifests as JSON, with room for escapes.
pub const ADMIN_BODY_BYTES_MAX: usize = MANIFEST_FOLDER_BYTES_MAX + 16 * 1024 * 1024;

/// Bytes of one reply that the command line reads: a layer that was accepted can be shown, as can ten thousand nodes.
pub const ADMIN_REPLY_BYTES_MAX: usize = ADMIN_BODY_BYTES_MAX;

/// Bytes of a Unix socket's path: `sun_path` has 108 on Linux, one of them the closing zero.
pub const SOCKET_PATH_BYTES_MAX: usize = 107;

/// How long the command line waits for the hub to accept it. The socket is local: more means that the hub hangs.
pub const ADMIN_CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the command line waits for a reply. A layer of 64 MiB on a slow disk takes tens of seconds.
pub const ADMIN_REPLY_TIMEOUT: Duration = Duration::from_secs(120);

/// How long the command line waits until a bundle is written or taken: the largest one on a slow disk takes minutes.
pub const BUNDLE_REPLY_TIMEOUT: Duration = Duration::from_secs(600);

/// Seconds that a token may live: a year, for a machine that is prepared on land and first started at sea.
pub const TOKEN_TTL_SECONDS_MAX: u64 = 366 * 24 * 60 * 60;

/// Labels of one token or selector. Kubernetes has no bound; sixty-four fit on a screen.
pub const LABELS_MAX: usize = 64;

/// Characters of a label's value and of the name part of its key (Kubernetes: 63).
pub const LABEL_NAME_BYTES_MAX: usize = 63;

/// Characters of the prefix part of a label's key: a DNS name (Kubernetes: 253).
pub const LABEL_PREFIX_BYTES_MAX: usize = 253;

/// Layers of one assignment. People stack three to five.
pub const ASSIGNED_LAYERS_MAX: usize = 32;

/// Join requests that are served at one time; the next ones try again.
pub const JOINS_AT_ONCE_MAX: usize = 64;

/// How often a hub looks for other hubs that were named by hand since.
pub const PEERS_LOOK_EVERY: Duration = Duration::from_secs(2);

/// How long the second of two hubs that know each other's address waits before it dials: the first needs a round trip.
pub const SECOND_DIALER_WAIT: Duration = Duration::from_secs(3);
