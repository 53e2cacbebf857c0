//! The agent that governs one edge cluster by itself.
