//! Bad input of every kind to real processes: each is refused in words that help, and changes nothing.
//!
//! What needs a full disk mounts small memory file systems, which takes root; without it those tests say that they were
//! skipped.

#[path = "bad_input/disks.rs"]
mod disks;
#[path = "bad_input/folders.rs"]
mod folders;
#[path = "bad_input/joining.rs"]
mod joining;
#[path = "bad_input/manifests.rs"]
mod manifests;
#[path = "bad_input/network.rs"]
mod network;
#[path = "bad_input/site.rs"]
mod site;
#[path = "bad_input/stopping.rs"]
mod stopping;
