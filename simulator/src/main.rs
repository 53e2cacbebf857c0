//! The binary `archipel-sim`.

fn main() {}
