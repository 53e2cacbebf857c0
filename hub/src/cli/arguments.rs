//! The command line as typed: flags, their types and their help.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use sync_core::id::Name;

use super::bundle;
use super::fleet;
use super::label::Label;
use crate::limits::TOKEN_TTL_SECONDS_MAX;

/// Names the data folder when no flag does.
const DATA_VARIABLE: &str = "ARCHIPEL_HUB_DATA";

/// The central service of a fleet of edge clusters.
#[derive(Debug, Parser)]
#[command(name = "archipel-hub", version, arg_required_else_help = true)]
pub(super) struct Arguments {
    #[command(subcommand)]
    pub(super) command: Command,

    /// How results are printed; yaml is for `layer show`
    #[arg(short, long, global = true, value_enum, default_value_t = Output::Table)]
    pub(super) output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Output {
    Table,
    Json,
    Yaml,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run the hub until it is told to stop
    Serve {
        #[command(flatten)]
        data: Data,
        /// The UDP address where nodes reach the hub
        #[arg(long, default_value = "0.0.0.0:7440")]
        listen: SocketAddr,
        /// HOST:PORT where other hubs and nodes reach it, for the roster; may be repeated
        #[arg(long, value_name = "HOST:PORT", value_parser = parse_address)]
        advertise: Vec<String>,
        /// How long a link may be silent before it counts as lost
        #[arg(long, default_value = "30s", value_parser = parse_idle_timeout)]
        idle_timeout: std::time::Duration,
    },
    /// Make a hub's data folder: a fleet of its own, or a further hub of a fleet
    Init(fleet::Init),
    /// Tokens, with which nodes enrol
    Token {
        #[command(subcommand)]
        command: TokenCommand,
    },
    /// Layers: the objects that nodes should run
    Layer {
        #[command(subcommand)]
        command: LayerCommand,
    },
    /// Release what was applied with --no-release
    Release {
        #[command(flatten)]
        data: Data,
        /// The layers, separated by commas; all when left out
        #[arg(long, value_delimiter = ',')]
        layers: Vec<Name>,
    },
    /// Say which layers a node, or all nodes with some labels, take
    Assign {
        #[command(flatten)]
        data: Data,
        /// The layers in the order in which they are composed, separated by commas
        #[arg(long, value_delimiter = ',', required = true)]
        layers: Vec<Name>,
        #[command(flatten)]
        target: Target,
    },
    /// Every node: link, last contact, desired and applied version, health, and the age of each fact
    Nodes {
        #[command(flatten)]
        data: Data,
    },
    /// One node
    Node {
        #[command(subcommand)]
        command: NodeCommand,
    },
    /// Other hubs of the fleet
    Peer {
        #[command(subcommand)]
        command: fleet::PeerCommand,
    },
    /// Home hubs: which hub may cut a document's history
    Home {
        #[command(subcommand)]
        command: fleet::HomeCommand,
    },
    /// Fields in which hubs disagree
    Conflict {
        #[command(subcommand)]
        command: fleet::ConflictCommand,
    },
    /// Feeds as files, for nodes and hubs that no link reaches
    Bundle {
        #[command(subcommand)]
        command: bundle::BundleCommand,
    },
    /// The hub as a whole
    Status {
        #[command(flatten)]
        data: Data,
    },
}

#[derive(Debug, Args)]
pub(super) struct Data {
    /// The hub's data folder [env: ARCHIPEL_HUB_DATA]
    #[arg(long = "data", value_name = "DIR")]
    flag: Option<PathBuf>,
}

impl Data {
    /// The data folder: the flag, else what the environment says.
    pub(super) fn folder(self) -> Result<PathBuf, clap::Error> {
        self.folder_or(std::env::var_os(DATA_VARIABLE))
    }

    pub(super) fn folder_or(self, from_environment: Option<OsString>) -> Result<PathBuf, clap::Error> {
        let from_environment = from_environment.filter(|folder| !folder.is_empty()).map(PathBuf::from);
        self.flag.or(from_environment).ok_or_else(|| {
            let message = format!("no data folder; give --data DIR or set {DATA_VARIABLE}");
            Arguments::command().error(ErrorKind::MissingRequiredArgument, message)
        })
    }
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct Target {
    /// One node
    #[arg(long)]
    pub(super) node: Option<Name>,
    /// Nodes whose token's labels contain all of these, separated by commas
    #[arg(long, value_name = "KEY=VALUE,...", value_delimiter = ',')]
    pub(super) selector: Vec<Label>,
}

#[derive(Debug, Subcommand)]
pub(super) enum TokenCommand {
    /// Make a token that enrols one node, and print it
    Create {
        #[command(flatten)]
        data: Data,
        /// How long it may be redeemed, such as 30m, 1h or 7days
        #[arg(long, default_value = "1h", value_parser = parse_ttl)]
        ttl: u64,
        /// A label of the node that redeems it; may be repeated. A node's own claims select nothing
        #[arg(long = "label", value_name = "KEY=VALUE", conflicts_with = "hub")]
        labels: Vec<Label>,
        /// For another hub instead of a node
        #[arg(long)]
        hub: bool,
        /// Hand that hub the fleet's certificate authority, so that it can enrol as well
        #[arg(long, requires = "hub")]
        with_authority: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum LayerCommand {
    /// Make a layer exactly the objects of these manifests, and release it
    Apply {
        /// The layer; made when there is none
        name: Name,
        #[command(flatten)]
        data: Data,
        /// A manifest, a folder of manifests, or - for standard input
        #[arg(short, long = "file", value_name = "FILE|DIR|-")]
        file: PathBuf,
        /// Only keep it on the hub; `archipel-hub release` sends it out
        #[arg(long)]
        no_release: bool,
    },
    /// Every layer
    List {
        #[command(flatten)]
        data: Data,
    },
    /// The objects of a layer
    Show {
        /// The layer
        name: Name,
        #[command(flatten)]
        data: Data,
    },
    /// Delete a layer that no node is assigned to
    Delete {
        /// The layer
        name: Name,
        #[command(flatten)]
        data: Data,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum NodeCommand {
    /// Take a node's enrolment back, for good: every hub cuts it off, and nothing that it signs from now on is taken
    Revoke {
        /// The node
        name: Name,
        #[command(flatten)]
        data: Data,
    },
    /// Take in a node that is staged, or all of them
    Confirm {
        /// The node
        #[arg(required_unless_present = "all", conflicts_with = "all")]
        name: Option<Name>,
        /// All that are staged
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        data: Data,
    },
    /// Give a node another name
    Rename {
        /// What it is called
        name: Name,
        /// What it is to be called
        to: Name,
        #[command(flatten)]
        data: Data,
    },
    /// Desired, applied, observed, and the difference between them
    Show {
        /// The node
        name: Name,
        #[command(flatten)]
        data: Data,
    },
}

/// A link that never counts as lost keeps its memory for ever; one that counts as lost at once never comes up.
fn parse_idle_timeout(text: &str) -> Result<std::time::Duration, String> {
    let timeout = humantime::parse_duration(text).map_err(|error| format!("{error}; write it as 30s or 5m"))?;
    let seconds = 1..=24 * 60 * 60;
    if seconds.contains(&timeout.as_secs()) { Ok(timeout) } else { Err("an idle timeout is 1s to 1day".to_owned()) }
}

fn parse_address(text: &str) -> Result<String, String> {
    crate::admin::check_address(text).map(|()| text.to_owned())
}

/// A token's life in whole seconds.
fn parse_ttl(text: &str) -> Result<u64, String> {
    let ttl = humantime::parse_duration(text).map_err(|error| format!("{error}; write it as 30m, 1h or 7days"))?;
    let seconds = ttl.as_secs();
    if !(1..=TOKEN_TTL_SECONDS_MAX).contains(&seconds) {
        let longest = humantime::format_duration(std::time::Duration::from_secs(TOKEN_TTL_SECONDS_MAX));
        return Err(format!("a token lives 1s to {longest}"));
    }
    Ok(seconds)
}
