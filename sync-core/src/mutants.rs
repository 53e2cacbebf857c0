//! Planted bugs, one at a time: what the simulator's checks must catch. Only in builds with the feature `mutants`.
//!
//! A seam is a `#[cfg(feature = "mutants")]` statement that asks [`planted`] and then does the wrong thing. Nothing turns the
//! feature on by default, and a build with it behaves as any other until [`plant`] is called.

use std::sync::OnceLock;

/// A bug that can be planted. The docs of each say what goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mutant {}

static PLANTED: OnceLock<Mutant> = OnceLock::new();

/// Plants a bug in this process, for good. `false`: another one is in it already.
pub fn plant(mutant: Mutant) -> bool {
    PLANTED.set(mutant).is_ok()
}

/// Whether this bug is planted.
#[must_use]
pub fn planted(mutant: Mutant) -> bool {
    PLANTED.get() == Some(&mutant)
}
