//! The binary `archipel-hub`.

fn main() {}
