//! The binary `archipel-hub`.

use std::process::ExitCode;

fn main() -> ExitCode {
    hub::cli::run_cli(std::env::args_os())
}
