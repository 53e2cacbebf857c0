//! The binary `archipel-sim`.

use std::process::ExitCode;

fn main() -> ExitCode {
    simulator::cli::run(std::env::args_os())
}
