//! Bits that say what is not as predicted.

/// Of a change: another author than the change before.
pub(super) const AUTHOR: u64 = 1;
/// Its dependencies are listed.
pub(super) const DEPENDENCIES: u64 = 2;
/// Another number of operations than the change before.
pub(super) const COUNT: u64 = 4;
/// The first counter is given.
pub(super) const START: u64 = 8;
/// Another timestamp than the change before.
pub(super) const TIME: u64 = 16;
/// Another message than the change before.
pub(super) const MESSAGE: u64 = 32;
/// All bits of a change.
pub(super) const OF_CHANGE: u64 = 63;

/// Of an operation: another object.
pub(super) const OBJECT: u64 = 1;
/// Another key.
pub(super) const KEY: u64 = 2;
/// Another kind of value.
pub(super) const KIND: u64 = 4;
/// Other predecessors.
pub(super) const PREDECESSORS: u64 = 8;
/// It inserts. This one is not predicted.
pub(super) const INSERT: u64 = 16;
/// All bits of an operation.
pub(super) const OF_OPERATION: u64 = 31;
