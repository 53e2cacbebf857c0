//! The binary `archipel-edge`.

fn main() {}
