//! Every bound of the engine, with its unit and its reason. A bound that is not here is a defect.

/// Bytes of one Automerge change as stored (uncompressed). Kubernetes refuses objects above 1.5 MiB, and a layer is
/// written in one change: this leaves room for a layer of a few hundred objects and still parses in milliseconds.
pub const CHANGE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Operations in one change. One object of a hundred fields is about a hundred operations.
pub const CHANGE_OPERATIONS_MAX: u64 = 262_144;

/// Dependencies of one change: at most one for each actor that can be concurrent.
pub const CHANGE_DEPENDENCIES_MAX: usize = 64;

/// Actors that one change may name besides its own.
pub const CHANGE_ACTORS_MAX: usize = 256;

/// Bytes of an actor id: 8 of its author's node id, 8 random.
pub const ACTOR_BYTES: usize = 16;

/// Highest operation counter of a document. Automerge stores counters in 32 bits and panics past them; a document is
/// re-rooted long before (decision D5), so this far below the edge nothing honest is refused.
pub const OPERATION_COUNTER_MAX: u64 = 1 << 31;

/// Bytes of one string or byte value inside a change.
pub const VALUE_BYTES_MAX: usize = 2 * 1024 * 1024;

/// Depth of nested maps and lists in one document. Kubernetes objects stay below 40.
pub const DOCUMENT_DEPTH_MAX: usize = 96;

/// Bytes of one frame on the wire, after its length prefix.
pub const FRAME_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Bytes of the changes of one delta after decompression. Larger catch-ups travel as several deltas.
pub const DELTA_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Changes in one delta.
pub const DELTA_CHANGES_MAX: usize = 16_384;

/// Bytes of a document's, node's, token's or layer's name. Names become file names and Kubernetes labels (RFC 1123: 63).
pub const NAME_BYTES_MAX: usize = 63;

/// Heads in one frontier: one for each actor that can be concurrent.
pub const FRONTIER_HEADS_MAX: usize = 64;

/// Entries kept in quarantine; the oldest make room. Enough to see what a faulty peer does, too few to fill a disk.
pub const QUARANTINE_ENTRIES_MAX: u64 = 256;

/// Bytes kept of each quarantined input.
pub const QUARANTINE_BYTES_MAX: usize = 64 * 1024;

const _: () = assert!(CHANGE_BYTES_MAX < DELTA_BYTES_MAX);
const _: () = assert!(OPERATION_COUNTER_MAX + CHANGE_OPERATIONS_MAX < u32::MAX as u64);
