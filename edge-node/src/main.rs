//! The binary `archipel-edge`.

use std::process::ExitCode;

fn main() -> ExitCode {
    edge_node::cli::run_cli(std::env::args_os())
}
