//! Commands about the fleet as a whole: as typed, and carried out.

use clap::{Args, Subcommand};
use sync_core::id::Name;
use sync_core::transport::Settings;

use super::arguments::Data;
use super::{CliError, Printer};
use crate::client::AdminClient;
use crate::founding::{InitConfig, JoinFleet, init};
use crate::print::fleet as print;
use crate::service::fleet::{MoveHomeRequest, PeerRequest, ResolveRequest};

#[derive(Debug, Args)]
pub(super) struct Init {
    #[command(flatten)]
    pub(super) data: Data,
    /// What the hub is called; hub- and the start of its id when left out
    #[arg(long)]
    name: Option<Name>,
    /// Join the fleet of the hub that printed this token (`token create --hub`), instead of making one
    #[arg(long, value_name = "TOKEN", requires = "hub_address")]
    join: Option<String>,
    /// Where that hub listens
    #[arg(long, value_name = "HOST:PORT", requires = "join")]
    hub_address: Option<String>,
    /// Where others will reach this hub; `serve --advertise` can say it later
    #[arg(long, value_name = "HOST:PORT", requires = "join")]
    advertise: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(super) enum PeerCommand {
    /// Say where another hub of the fleet is reached: every hub and node learns it
    Add {
        /// The hub
        name: Name,
        /// HOST:PORT
        address: String,
        #[command(flatten)]
        data: Data,
    },
    /// Every hub of the fleet
    List {
        #[command(flatten)]
        data: Data,
    },
    /// Take a hub out of the fleet, for good: nothing that it signs from now on is taken
    Remove {
        /// The hub
        name: Name,
        #[command(flatten)]
        data: Data,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum HomeCommand {
    /// Which hub is the home of which document
    Show {
        #[command(flatten)]
        data: Data,
    },
    /// Move the home of a layer, or of everything
    Move {
        /// The layer
        #[arg(required_unless_present = "all", conflicts_with = "all")]
        layer: Option<Name>,
        /// Everything
        #[arg(long)]
        all: bool,
        /// The hub
        #[arg(long, value_name = "HUB")]
        to: Name,
        #[command(flatten)]
        data: Data,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum ConflictCommand {
    /// Every field in which hubs disagree, with all values
    List {
        #[command(flatten)]
        data: Data,
    },
    /// Decide for one of the values; any new write of the field does the same
    Resolve {
        /// The document as `conflict list` names it; a bare name is a layer's
        document: String,
        /// The field: a JSON pointer
        path: String,
        /// The number of the value
        #[arg(long, value_name = "N")]
        take: usize,
        #[command(flatten)]
        data: Data,
    },
}

pub(super) async fn make(arguments: Init, mut printer: Printer<'_>) -> Result<(), CliError> {
    let Init { data, name, join, hub_address, advertise } = arguments;
    let join = join.zip(hub_address);
    let join = join.map(|(token, hub_address)| JoinFleet { token, hub_address, own_address: advertise });
    let config = InitConfig { data_folder: data.folder()?, name, join, settings: Settings::default() };
    let founded = init(config).await?;
    printer.print(&founded, print::founded).map_err(CliError::Print)
}

pub(super) async fn peer(command: PeerCommand, mut printer: Printer<'_>) -> Result<(), CliError> {
    let hubs = match command {
        PeerCommand::Add { name, address, data } => {
            AdminClient::new(&data.folder()?).add_peer(&PeerRequest { name, address }).await?
        }
        PeerCommand::List { data } => AdminClient::new(&data.folder()?).list_peers().await?,
        PeerCommand::Remove { name, data } => AdminClient::new(&data.folder()?).remove_peer(&name).await?,
    };
    printer.print(&hubs, print::hubs).map_err(CliError::Print)
}

pub(super) async fn home(command: HomeCommand, mut printer: Printer<'_>) -> Result<(), CliError> {
    let homes = match command {
        HomeCommand::Show { data } => AdminClient::new(&data.folder()?).show_homes().await?,
        HomeCommand::Move { layer, all: _, to, data } => {
            AdminClient::new(&data.folder()?).move_home(&MoveHomeRequest { layer, to }).await?
        }
    };
    printer.print(&homes, print::homes).map_err(CliError::Print)
}

pub(super) async fn conflict(command: ConflictCommand, mut printer: Printer<'_>) -> Result<(), CliError> {
    let conflicts = match command {
        ConflictCommand::List { data } => AdminClient::new(&data.folder()?).list_conflicts().await?,
        ConflictCommand::Resolve { document, path, take, data } => {
            let request = ResolveRequest { document, path, take };
            AdminClient::new(&data.folder()?).resolve_conflict(&request).await?
        }
    };
    printer.print(&conflicts, print::conflicts).map_err(CliError::Print)
}
