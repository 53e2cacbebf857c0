//! The command line of `archipel-edge`. Exit codes: 0 done, 1 failed, 2 wrong use.

use std::ffi::OsString;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};
use sync_core::env::{Witness, no_witness};
use sync_core::id::Name;
use sync_core::transport::{Clock, Settings};

use crate::actuator::TargetSpec;
use crate::bundle::BundleError;
use crate::join::{JoinConfig, JoinError, join};
use crate::run::{RunConfig, RunError, run};
use crate::status::{Status, StatusError, status};

mod bundle;

/// The agent that governs one edge cluster by itself.
#[derive(Debug, Parser)]
#[command(name = "archipel-edge", version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// How to print what is listed
    #[arg(short, long, global = true, value_enum, default_value_t = Output::Table)]
    output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people
    Table,
    /// For programs
    Json,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Enrol this node with a token of the hub's; done once
    Join {
        /// The data folder; made when it is missing
        #[arg(long, value_name = "DIR")]
        data: PathBuf,
        /// Where the hub listens
        #[arg(long, value_name = "HOST:PORT")]
        hub: String,
        /// What `archipel-hub token create` printed
        #[arg(long)]
        token: String,
        /// What the node is called: lower-case letters, digits and `-`
        #[arg(long)]
        name: Name,
    },
    /// Keep the target as the hub's newest release says, with or without a link
    Run {
        /// The data folder
        #[arg(long, value_name = "DIR")]
        data: PathBuf,
        /// What to keep: directory:PATH, directory+k3s:PATH or directory+k0s:PATH
        #[arg(long)]
        target: TargetSpec,
        /// How often to look whether the target was changed by hand
        #[arg(long, default_value = "2s", value_parser = parse_period)]
        interval: Duration,
        /// How long a link may be silent before it counts as lost
        #[arg(long, default_value = "30s", value_parser = parse_period)]
        idle_timeout: Duration,
        /// How often a quiet link is kept open; at most a third of the idle timeout
        #[arg(long, value_parser = parse_period)]
        keep_alive: Option<Duration>,
    },
    /// What the agent of this data folder holds and does, running or not
    Status {
        /// The data folder
        #[arg(long, value_name = "DIR")]
        data: PathBuf,
    },
    /// Feeds as files, for a node that no link reaches
    Bundle {
        #[command(subcommand)]
        command: bundle::BundleCommand,
    },
}

/// The shortest period that may be asked for. Nothing here is done without pause.
const PERIOD_MIN: Duration = Duration::from_millis(100);

/// The longest. Past some centuries, adding it to a point in time overflows.
const PERIOD_MAX: Duration = Duration::from_secs(7 * 24 * 60 * 60);

fn parse_period(text: &str) -> Result<Duration, String> {
    let period = humantime::parse_duration(text).map_err(|error| format!("{error}; write it as 500ms, 2s or 1h"))?;
    if (PERIOD_MIN..=PERIOD_MAX).contains(&period) {
        return Ok(period);
    }
    let [min, max] = [PERIOD_MIN, PERIOD_MAX].map(humantime::format_duration);
    Err(format!("it is {min} to {max}"))
}

/// How long the system may take to end what it was asked for, such as a lookup of the hub's name or a write to a target
/// that hangs, after the agent has stopped. Both may be cut anywhere.
const SYSTEM_WAIT: Duration = Duration::from_secs(1);

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
enum CliError {
    #[error(transparent)]
    Join(#[from] JoinError),
    #[error(transparent)]
    Run(#[from] RunError),
    #[error(transparent)]
    Status(#[from] StatusError),
    #[error(transparent)]
    Bundle(#[from] BundleError),
    #[error("cannot start: {0}")]
    Runtime(std::io::Error),
    #[error("the result cannot be printed: {0}")]
    Print(std::io::Error),
}

/// Runs `archipel-edge` with these arguments, the program's name first, on the process's standard streams.
#[must_use]
pub fn run_cli<I, T>(arguments: I) -> ExitCode
where
    I: IntoIterator<Item = T>,
    T: Into<OsString> + Clone,
{
    run_cli_with(arguments, no_witness())
}

/// [`run_cli`], with a witness that is told of crash points.
#[must_use]
pub fn run_cli_with<I, T>(arguments: I, witness: Witness) -> ExitCode
where
    I: IntoIterator<Item = T>,
    T: Into<OsString> + Clone,
{
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            let _ = error.print();
            return u8::try_from(error.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from);
        }
    };
    match execute(arguments, witness) {
        Ok(()) => ExitCode::SUCCESS,
        Err(CliError::Print(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn execute(arguments: Arguments, witness: Witness) -> Result<(), CliError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(CliError::Runtime)?;
    let result = execute_on(&runtime, arguments, witness);
    runtime.shutdown_timeout(SYSTEM_WAIT);
    result
}

fn execute_on(runtime: &tokio::runtime::Runtime, arguments: Arguments, witness: Witness) -> Result<(), CliError> {
    let as_json = arguments.output == Output::Json;
    match arguments.command {
        Command::Join { data, hub, token, name } => {
            let shown = name.clone();
            let config = JoinConfig { data_folder: data, hub, token, name, settings: Settings::default() };
            let node = runtime.block_on(join(config))?;
            let text = match as_json {
                true => serde_json::json!({ "name": shown, "node": node }).to_string(),
                false => format!("joined as {shown}, node {}", node.short()),
            };
            print(&text)
        }
        Command::Run { data, target, interval, idle_timeout, keep_alive } => {
            start_log();
            let third = idle_timeout / 3;
            let keep_alive = Some(keep_alive.unwrap_or(third).min(third));
            let settings = Settings { idle_timeout, keep_alive, ..Settings::default() };
            Ok(runtime.block_on(run(RunConfig { data_folder: data, target, interval, settings }, witness))?)
        }
        Command::Status { data } => {
            let status = runtime.block_on(async { status(&data, Clock::start().wall().0) })?;
            let text = match as_json {
                true => serde_json::to_string_pretty(&status).map_err(|error| CliError::Print(error.into()))?,
                false => table(&status),
            };
            print(&text)
        }
        Command::Bundle { command } => print(&runtime.block_on(async { bundle::bundle(command, as_json) })?),
    }
}

fn print(text: &str) -> Result<(), CliError> {
    writeln!(std::io::stdout(), "{text}").map_err(CliError::Print)
}

fn start_log() {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    // A log on a full disk loses lines; it must not end the program, as reporting the loss to the same log would.
    // Fails only when the embedding program has a log already, which then stays.
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let _ = log.with_ansi(std::io::stderr().is_terminal()).log_internal_errors(false).try_init();
}

fn table(status: &Status) -> String {
    let name = status.name.as_ref().map_or("-", Name::as_str);
    let link = match (status.link_up, status.running) {
        (true, _) => "up".to_owned(),
        (false, true) if status.link_message.is_empty() => "down".to_owned(),
        (false, true) => format!("down ({})", status.link_message),
        (false, false) => "down (no agent runs on this data folder)".to_owned(),
    };
    let applied = status.applied.as_ref().map_or("nothing yet".to_owned(), |applied| {
        format!("release {} with assignment {}", applied.release.version, applied.assignment.version)
    });
    let health = format!("{:?}", status.health).to_lowercase();
    let mut rows = vec![
        ("node", format!("{name} ({})", status.node.short())),
        ("agent", if status.running { "running" } else { "not running" }.to_owned()),
        ("hub", status.hub.clone().unwrap_or_default()),
        ("link", link),
        ("applied", applied),
        ("objects", status.objects.to_string()),
        ("health", if status.message.is_empty() { health } else { format!("{health}: {}", status.message) }),
        ("drift repairs", status.drift_repairs.to_string()),
        ("report waiting", if status.report_waiting { "yes" } else { "no" }.to_owned()),
        ("quarantined", status.quarantined.to_string()),
    ];
    if status.incarnation > 1 {
        let times = status.incarnation - 1;
        rows.push(("incarnation", format!("{} (set back to an older copy {times} times)", status.incarnation)));
    }
    let line = |(label, value): &(&str, String)| format!("{label:<15} {value}");
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        super::Arguments::command().debug_assert();
    }
}
