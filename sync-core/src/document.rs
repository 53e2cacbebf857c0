//! Documents: what they are, who may write them, and Automerge behind our own types.

pub mod admission;
pub mod codec;
pub mod digest;
pub mod earlier;
pub mod frontier;
pub mod generation;
pub mod genesis;
pub mod history;
pub mod json;
pub mod key;
pub mod materialise;
pub mod operations;
pub mod rebase;
pub mod scan;

pub use codec::Codec;
pub use digest::FrontierDigest;
pub use earlier::PackedFrontiers;
pub use frontier::{Frontier, Heads, SignedFrontier, UnverifiedFrontier};
pub use history::{ActorBytes, Clock, History};
pub use key::{AuthorGroup, DocumentKey, DocumentKind};
