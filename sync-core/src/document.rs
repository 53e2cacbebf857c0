//! Automerge behind our own types.
