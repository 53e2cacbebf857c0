//! Rehearse disconnects on the real code.
