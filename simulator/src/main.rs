//! The binary `archipel-sim`.

use std::process::ExitCode;

/// Counts the heap for `bench`: two additions an allocation.
#[global_allocator]
static HEAP: peak_alloc::PeakAlloc = peak_alloc::PeakAlloc;

fn main() -> ExitCode {
    simulator::cli::run(std::env::args_os())
}
