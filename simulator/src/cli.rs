//! The command line of `archipel-sim`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::{embedded, live};

/// Rehearse disconnects on the real code.
#[derive(Debug, Parser)]
#[command(name = "archipel-sim", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a hub and agents on this machine, cut a link, heal it, and check that everything converged
    Live {
        /// How many nodes to run
        #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=32))]
        nodes: u16,
        /// A folder with `fleet.json` and `layers/NAME/*.yaml` [default: a built-in chain of shops]
        #[arg(long, value_name = "DIR")]
        source: Option<PathBuf>,
        /// Keep the work folder (databases, targets, logs) and print its path
        #[arg(long)]
        keep: bool,
    },
    /// The hub, as a child process of this program
    #[command(hide = true, disable_help_flag = true)]
    Hub(Rest),
    /// The agent, as a child process of this program
    #[command(hide = true, disable_help_flag = true)]
    Edge(Rest),
}

#[derive(Debug, clap::Args)]
struct Rest {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

/// Runs the command that `arguments` name (the program's own name first).
///
/// Exit codes: 0 everything converged, 1 it did not or could not be run, 2 the command line is wrong, 130 interrupted.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // Nothing better can be done when the terminal is gone.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    match cli.command {
        Command::Live { nodes, source, keep } => live::run(&live::Options { nodes, source, keep }),
        Command::Hub(rest) => embedded::hub(rest.arguments),
        Command::Edge(rest) => embedded::edge(rest.arguments),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hidden_commands_hand_every_argument_on() {
        let cli = Cli::try_parse_from(["archipel-sim", "hub", "serve", "--data", "x", "--help", "-o", "json"]).unwrap();
        let Command::Hub(rest) = cli.command else { panic!("not the hub") };
        assert_eq!(rest.arguments, ["serve", "--data", "x", "--help", "-o", "json"].map(OsString::from));
    }

    #[test]
    fn a_fleet_has_at_least_one_node() {
        assert!(Cli::try_parse_from(["archipel-sim", "live", "--nodes", "0"]).is_err());
    }
}
