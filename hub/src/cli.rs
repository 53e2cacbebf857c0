//! The command line: what was typed becomes one call to the hub, and its answer is printed.
//!
//! Exit codes: 0 done, 1 failed, 2 wrong use.

use std::ffi::OsString;
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use serde::Serialize;
use sync_core::env::{Witness, no_witness};
use sync_core::id::Name;
use sync_core::transport::Settings;

use crate::api::{AssignRequest, LayerRequest, ReleaseRequest, TokenRequest};
use crate::client::{AdminClient, ClientError};
use crate::founding::FoundingError;
use crate::limits::ASSIGNED_LAYERS_MAX;
use crate::manifest::{ManifestError, read_path, read_stream};
use crate::print;
use crate::run::{ServeConfig, ServeError};
use crate::service::AssignTarget;
use crate::service::fleet::{ConfirmRequest, HubTokenRequest, NodeRequest, RenameRequest};

mod arguments;
mod bundle;
mod fleet;
pub mod label;

#[cfg(test)]
mod tests;

use arguments::{Arguments, Command, LayerCommand, NodeCommand, Output, TokenCommand};

/// Why a command failed. Says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CliError {
    /// The arguments do not go together. Nothing was changed.
    #[error(transparent)]
    Usage(#[from] clap::Error),
    /// The manifests were refused. Nothing was changed.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The hub could not be asked, or refused.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// No hub was made.
    #[error(transparent)]
    Founding(#[from] FoundingError),
    /// The hub stopped.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// The runtime could not be started. Nothing was changed.
    #[error("cannot start: {0}")]
    Runtime(std::io::Error),
    /// The result could not be printed. The command itself was done.
    #[error("the command was done, but its result cannot be printed: {0}")]
    Print(std::io::Error),
}

/// Runs `archipel-hub` with these arguments, the program's name first, on the process's standard streams.
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
    let result = Arguments::try_parse_from(arguments).map_err(CliError::from).and_then(|arguments| {
        let mut runtime = if matches!(arguments.command, Command::Serve { .. }) {
            start_log();
            tokio::runtime::Builder::new_multi_thread()
        } else {
            tokio::runtime::Builder::new_current_thread()
        };
        let runtime = runtime.enable_all().build().map_err(CliError::Runtime)?;
        runtime.block_on(execute(arguments, witness, &mut std::io::stdout()))
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever reads the output has seen enough.
        Err(CliError::Print(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(CliError::Usage(error)) => {
            // Also help and the version, which are no failure. When nobody can be told, the exit code says it.
            let _unprinted = error.print();
            u8::try_from(error.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from)
        }
        Err(error) => {
            let _unprinted = writeln!(std::io::stderr(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn start_log() {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    // A log on a full disk loses lines; it must not end the program, as reporting the loss to the same log would.
    // Fails only when the embedding program has a log already, which then stays.
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let _already = log.with_ansi(std::io::stderr().is_terminal()).log_internal_errors(false).try_init();
}

async fn execute(arguments: Arguments, witness: Witness, out: &mut dyn Write) -> Result<(), CliError> {
    let Arguments { command, output } = arguments;
    let is_show = matches!(command, Command::Layer { command: LayerCommand::Show { .. } });
    if output == Output::Yaml && !is_show {
        return Err(wrong_use("`--output yaml` is for `layer show`; use table or json").into());
    }
    let mut printer = Printer { out, output };
    match command {
        Command::Serve { data, listen, advertise, idle_timeout } => {
            let settings = Settings { idle_timeout, ..Settings::default() };
            let config = ServeConfig { data_folder: data.folder()?, listen, advertise, settings };
            return Ok(crate::run::serve(config, witness).await?);
        }
        Command::Init(init) => return fleet::make(init, printer).await,
        Command::Peer { command } => return fleet::peer(command, printer).await,
        Command::Home { command } => return fleet::home(command, printer).await,
        Command::Conflict { command } => return fleet::conflict(command, printer).await,
        Command::Bundle { command } => return bundle::bundle(command, printer).await,
        Command::Token { command: TokenCommand::Create { data, ttl, hub: true, with_authority, labels: _ } } => {
            let request = HubTokenRequest { ttl_seconds: ttl, with_authority };
            printer.print(&AdminClient::new(&data.folder()?).create_hub_token(&request).await?, print::token)
        }
        Command::Token { command: TokenCommand::Create { data, ttl, labels, .. } } => {
            let labels = label::collect_labels(&labels).map_err(wrong_use)?;
            let token =
                AdminClient::new(&data.folder()?).create_token(&TokenRequest { ttl_seconds: ttl, labels }).await?;
            printer.print(&token, print::token)
        }
        Command::Layer { command } => return layer(command, printer).await,
        Command::Release { data, layers } => {
            check_layers(&layers)?;
            printer
                .print(&AdminClient::new(&data.folder()?).release(&ReleaseRequest { layers }).await?, print::released)
        }
        Command::Assign { data, layers, target } => {
            check_layers(&layers)?;
            let target = match target.node {
                Some(node) => AssignTarget::Node(node),
                None => AssignTarget::Selector(label::collect_labels(&target.selector).map_err(wrong_use)?),
            };
            let assigned = AdminClient::new(&data.folder()?).assign(&AssignRequest { layers, target }).await?;
            printer.print(&assigned, print::assigned)
        }
        Command::Nodes { data } => printer.print(&AdminClient::new(&data.folder()?).list_nodes().await?, print::nodes),
        Command::Node { command } => return node(command, printer).await,
        Command::Status { data } => printer.print(&AdminClient::new(&data.folder()?).status().await?, print::status),
    }
    .map_err(CliError::Print)
}

async fn node(command: NodeCommand, mut printer: Printer<'_>) -> Result<(), CliError> {
    let changed = match command {
        NodeCommand::Show { name, data } => {
            let detail = AdminClient::new(&data.folder()?).show_node(&name).await?;
            return printer.print(&detail, print::node).map_err(CliError::Print);
        }
        NodeCommand::Revoke { name, data } => {
            AdminClient::new(&data.folder()?).revoke_node(&NodeRequest { name }).await?
        }
        NodeCommand::Confirm { name, all: _, data } => {
            AdminClient::new(&data.folder()?).confirm_nodes(&ConfirmRequest { name }).await?
        }
        NodeCommand::Rename { name, to, data } => {
            AdminClient::new(&data.folder()?).rename_node(&RenameRequest { name, to }).await?
        }
    };
    printer.print(&changed, print::fleet::changed_nodes).map_err(CliError::Print)
}

async fn layer(command: LayerCommand, mut printer: Printer<'_>) -> Result<(), CliError> {
    match command {
        LayerCommand::Apply { name, data, file, no_release } => {
            let parsed = if file == Path::new("-") {
                read_stream("<stdin>", std::io::stdin().lock())?
            } else {
                read_path(&file)?
            };
            let objects = parsed.objects.into_iter().map(|parsed| parsed.object).collect();
            let request = LayerRequest { objects, release: !no_release };
            let applied = AdminClient::new(&data.folder()?).apply_layer(&name, &request).await?;
            printer.print(&applied, print::layer_applied)
        }
        LayerCommand::List { data } => {
            printer.print(&AdminClient::new(&data.folder()?).list_layers().await?, print::layers)
        }
        LayerCommand::Show { name, data } => {
            let detail = AdminClient::new(&data.folder()?).show_layer(&name).await?;
            if printer.output == Output::Yaml {
                printer.out.write_all(print::layer_yaml(&detail).as_bytes())
            } else {
                printer.print(&detail, print::layer)
            }
        }
        LayerCommand::Delete { name, data } => {
            printer.print(&AdminClient::new(&data.folder()?).delete_layer(&name).await?, print::layer_deleted)
        }
    }
    .map_err(CliError::Print)
}

struct Printer<'a> {
    out: &'a mut dyn Write,
    output: Output,
}

impl Printer<'_> {
    fn print<T: Serialize>(&mut self, result: &T, as_table: fn(&T) -> String) -> std::io::Result<()> {
        let text = match self.output {
            Output::Json | Output::Yaml => serde_json::to_string_pretty(result)? + "\n",
            Output::Table => as_table(result),
        };
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }
}

fn check_layers(layers: &[Name]) -> Result<(), clap::Error> {
    if layers.len() > ASSIGNED_LAYERS_MAX {
        return Err(wrong_use(format!("at most {ASSIGNED_LAYERS_MAX} layers can be named at once")));
    }
    let twice =
        layers.iter().enumerate().find(|(index, layer)| layers.iter().take(*index).any(|other| other == *layer));
    match twice {
        Some((_, layer)) => Err(wrong_use(format!("the layer `{layer}` is named twice; name each once, in order"))),
        None => Ok(()),
    }
}

fn wrong_use(message: impl std::fmt::Display) -> clap::Error {
    Arguments::command().error(clap::error::ErrorKind::ValueValidation, message)
}
