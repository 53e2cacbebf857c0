//! Feeds as files, for members that no link connects: what is owed to a peer goes into a file, and a peer's file goes through
//! the same admission as its link. Where a file comes from makes none of it true.

mod export;
mod import;
mod track;

pub use export::{ExportError, ExportFrom, Exported};
pub use import::{CheckedBundle, Import, ImportError, Imported};
pub use track::Fit;
