//! What a cluster should be: objects and how layers compose. Pure functions over JSON values.

pub mod compose;
pub mod desired;
pub mod hash;
pub mod merge;
pub mod natural_key;
pub mod object;
pub mod observed;
pub mod roster;

pub use compose::{ComposeError, Effective, LayerState, compose};
pub use hash::ObjectHash;
pub use merge::{DirectiveError, check_directives, strategic_merge};
pub use object::{ObjectError, ObjectKey};
