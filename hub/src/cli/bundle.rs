//! Commands about bundles: as typed, and carried out.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use sync_core::id::Name;

use super::arguments::Data;
use super::{CliError, Printer};
use crate::client::AdminClient;
use crate::print::bundle as print;
use crate::service::bundle::{BundlePeer, ExportRequest};

#[derive(Debug, Subcommand)]
pub(super) enum BundleCommand {
    /// Write what a node or another hub is owed into a file, from what it is known to hold on
    Export {
        #[command(flatten)]
        data: Data,
        #[command(flatten)]
        to: Recipient,
        /// The file to write
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// Everything, also what the other is known to hold: it may have lost it
        #[arg(long)]
        all: bool,
    },
    /// Take what a node or another hub has written into a file for this hub
    Import {
        /// The file
        file: PathBuf,
        #[command(flatten)]
        data: Data,
    },
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct Recipient {
    /// The node that it is for
    #[arg(long)]
    node: Option<Name>,
    /// The other hub that it is for
    #[arg(long)]
    hub: Option<Name>,
}

pub(super) async fn bundle(command: BundleCommand, mut printer: Printer<'_>) -> Result<(), CliError> {
    match command {
        BundleCommand::Export { data, to, out, all } => {
            let to = match (to.node, to.hub) {
                (Some(node), _) => BundlePeer::Node(node),
                (None, Some(hub)) => BundlePeer::Hub(hub),
                (None, None) => return Err(super::wrong_use("name --node or --hub").into()),
            };
            let request = ExportRequest { to, all };
            let exported = AdminClient::new(&data.folder()?).export_bundle(&request, &out).await?;
            printer.print(&exported, print::exported)
        }
        BundleCommand::Import { file, data } => {
            let imported = AdminClient::new(&data.folder()?).import_bundle(&file).await?;
            printer.print(&imported, print::imported)
        }
    }
    .map_err(CliError::Print)
}
