//! Who watches a run: traces and checks look in here.

use sync_core::env::Instant;
use sync_core::replica::{Event, Replica};
use sync_core::state::observed::AppliedStamp;

use crate::plan::{Action, LinkChange, Name};
use crate::target::Change;

/// Something that happened to a member.
#[derive(Debug)]
#[non_exhaustive]
pub enum Note<'a> {
    /// Its process has started.
    Started {
        /// The how-manieth start, from 1.
        boot: u32,
    },
    /// Its process has ended.
    Stopped {
        /// With a goodbye.
        in_order: bool,
    },
    /// A link of it, to the member that it names, is something else from now on.
    Link {
        /// The other end.
        to: &'a Name,
        /// What it is.
        change: &'a LinkChange,
    },
    /// Something of the plan took effect.
    Acted(&'a Action),
    /// A frame was handed to the link to this member.
    Sent {
        /// The other end.
        to: &'a Name,
        /// Its bytes.
        frame: &'a [u8],
    },
    /// A frame of this member arrived.
    Came {
        /// The other end.
        from: &'a Name,
        /// Its bytes.
        frame: &'a [u8],
    },
    /// Its replica said something.
    Replica(&'a Event),
    /// Its agent changed the target.
    Target(&'a Change),
    /// Its target holds this release from now on.
    Applied(&'a AppliedStamp),
    /// Everything that lasted has ended.
    Healed,
}

/// Watches the members of one part. Told of everything that happens there, in order.
pub trait Eyes: Send {
    /// Something happened to a member.
    fn note(&mut self, at: Instant, member: &Name, note: &Note<'_>);

    /// A member's replica has carried out an input, and everything it wanted to say was said.
    fn look(&mut self, at: Instant, member: &Name, replica: &mut Replica) {
        let _ = (at, member, replica);
    }
}

/// Nobody watches.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoEyes;

impl Eyes for NoEyes {
    fn note(&mut self, _at: Instant, _member: &Name, _note: &Note<'_>) {}
}

/// For runs that nobody watches.
#[must_use]
pub fn nobody(_part: usize) -> Box<dyn Eyes> {
    Box::new(NoEyes)
}
