//! Commands about bundles: as typed, carried out, and printed.

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::json;
use sync_core::id::Name;
use sync_core::replica::bundle::{ExportFrom, Exported, Fit, Imported};

use crate::bundle::{BundleError, export, import};

#[derive(Debug, Subcommand)]
pub(super) enum BundleCommand {
    /// Write what this node owes to its hub into a file, from what that is known to hold on
    Export {
        /// The data folder; no agent may run on it
        #[arg(long, value_name = "DIR")]
        data: PathBuf,
        /// The file to write
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// The hub that it is for; the home hub when left out
        #[arg(long, value_name = "NAME")]
        hub: Option<Name>,
        /// Everything, also what the hub is known to hold: it may have lost it
        #[arg(long)]
        all: bool,
    },
    /// Take what a hub has written into a file for this node
    Import {
        /// The file
        file: PathBuf,
        /// The data folder; no agent may run on it
        #[arg(long, value_name = "DIR")]
        data: PathBuf,
    },
}

/// Carries it out, and gives what to print.
pub(super) fn bundle(command: BundleCommand, as_json: bool) -> Result<String, BundleError> {
    match command {
        BundleCommand::Export { data, out, hub, all } => {
            let from = if all { ExportFrom::Start } else { ExportFrom::Known };
            let exported = export(&data, hub.as_ref(), from, &out)?;
            Ok(if as_json { exported_json(&exported) } else { exported_text(&exported) })
        }
        BundleCommand::Import { file, data } => {
            let imported = import(&data, &file)?;
            Ok(if as_json { imported_json(&imported) } else { imported_text(&imported) })
        }
    }
}

fn exported_json(it: &Exported) -> String {
    json!({
        "recipient": it.recipient, "from": it.from, "through": it.through, "head": it.head,
        "entry_count": it.entries, "bytes": it.bytes,
    })
    .to_string()
}

fn exported_text(it: &Exported) -> String {
    let content = match it.through - it.from.min(it.through) {
        0 => "nothing new".to_owned(),
        _ => format!("entries {} to {}", it.from + 1, it.through),
    };
    let mut text = format!("{content} for {}, {} bytes", it.recipient, it.bytes);
    if it.through < it.head {
        let rest = it.head - it.through;
        text.push_str(&format!("\n{rest} more entries do not fit: export again when a bundle came back"));
    }
    text
}

fn imported_json(it: &Imported) -> String {
    let fit = match it.fit {
        Fit::Continues => "continues",
        Fit::Held => "held",
        Fit::Gap => "gap",
        Fit::Refused => "refused",
        Fit::OtherStore => "other_store",
    };
    json!({
        "exporter": it.exporter, "from": it.from, "through": it.through, "head": it.head,
        "entry_count": it.entries, "changed": it.changed.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "refused_count": it.refused, "refused": reasons(it), "fit": fit, "needs_earlier": it.needs_earlier(),
        "held": it.held, "acknowledged": it.acknowledged,
    })
    .to_string()
}

fn reasons(it: &Imported) -> Vec<String> {
    it.refusals.iter().map(|it| format!("document {}: {}", it.document, it.message)).collect()
}

fn imported_text(it: &Imported) -> String {
    let mut lines = vec![format!("from {}: {} documents changed", it.exporter, it.changed.len())];
    lines.extend(it.changed.iter().map(|document| format!("  {document}")));
    let fit = match it.fit {
        Fit::Continues => "its feed is held up to",
        Fit::Held => "all of it was held already; its feed is held up to",
        Fit::Gap => "an earlier bundle is missing; its feed is held up to",
        Fit::Refused => "not all was taken; its feed is held up to",
        Fit::OtherStore => "written by an older copy or another store of the exporter; its feed is held up to",
    };
    lines.push(format!("{fit} entry {}", it.held));
    if it.refused > 0 {
        lines.push(format!("{} entries refused; what is bad of them is in quarantine:", it.refused));
        lines.extend(reasons(it).into_iter().map(|reason| format!("  {}", reason.replace(char::is_control, " "))));
    }
    if it.needs_earlier() {
        lines.push("import the earlier bundles, or one that was exported with --all".to_owned());
    }
    lines.join("\n")
}
