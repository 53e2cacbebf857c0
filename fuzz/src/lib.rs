//! What each fuzz target does with its bytes, and the seeds that it starts from. `README.md` says how to run them.
//!
//! A finding is a panic, in a target's own assertions too: libFuzzer ends the process on each, also on one that would be
//! caught. The hub that targets talk to is that of the engine's own tests, so a change of the wire or of the packing is made
//! in one place.

pub mod admission;
pub mod bundle;
pub mod delta;
pub mod frame;
pub mod identity;
pub mod manifest;
pub mod scanner;
pub mod session;
pub mod store;

#[path = "../../sync-core/tests/crafted/batches.rs"]
mod batches;
#[path = "../../sync-core/tests/fleet/bundled.rs"]
mod bundled;
#[path = "../../sync-core/tests/crafted/changes.rs"]
mod changes;
#[path = "../../sync-core/tests/fleet/door.rs"]
mod door;
#[path = "../../sync-core/tests/crafted/heavy.rs"]
mod heavy;
#[path = "../../sync-core/tests/crafted/lines.rs"]
mod lines;
#[path = "../../sync-core/tests/crafted/pushed.rs"]
mod pushed;
#[path = "../../sync-core/tests/fleet/world.rs"]
mod world;

/// A name and the bytes of an input to start from.
pub type Seed = (String, Vec<u8>);

/// A target's name and its seeds.
pub type Target = (&'static str, fn() -> Vec<Seed>);

/// Every target.
pub const TARGETS: [Target; 9] = [
    ("frame", frame::seeds),
    ("session", session::seeds),
    ("delta", delta::seeds),
    ("scanner", scanner::seeds),
    ("admission", admission::seeds),
    ("identity", identity::seeds),
    ("store", store::seeds),
    ("manifest", manifest::seeds),
    ("bundle", bundle::seeds),
];
