//! Results about bundles, for people.

use super::{one_line, push_line};
use crate::service::bundle::{BundleFit, ExportedBundle, ImportedBundle};

/// A bundle that was written.
#[must_use]
pub fn exported(it: &ExportedBundle) -> String {
    let mut text = String::new();
    let content = match it.through - it.from.min(it.through) {
        0 => "nothing new".to_owned(),
        _ => format!("entries {} to {}", it.from + 1, it.through),
    };
    push_line(&mut text, &format!("{content} for {}, {} bytes", one_line(&it.recipient), it.bytes));
    if it.through < it.head {
        let rest = it.head - it.through;
        push_line(&mut text, &format!("{rest} more entries do not fit: export again when a bundle came back"));
    }
    text
}

/// What became of a bundle.
#[must_use]
pub fn imported(it: &ImportedBundle) -> String {
    let mut text = String::new();
    push_line(&mut text, &format!("from {}: {} documents changed", one_line(&it.exporter), it.changed.len()));
    it.changed.iter().for_each(|document| push_line(&mut text, &format!("  {}", one_line(document))));
    let fit = match it.fit {
        BundleFit::Continues => "its feed is held up to",
        BundleFit::Held => "all of it was held already; its feed is held up to",
        BundleFit::Gap => "an earlier bundle is missing; its feed is held up to",
        BundleFit::Refused => "not all was taken; its feed is held up to",
        BundleFit::OtherStore => "written by an older copy or another store of the exporter; its feed is held up to",
    };
    push_line(&mut text, &format!("{fit} entry {}", it.held));
    if it.refused_count > 0 {
        push_line(&mut text, &format!("{} entries refused; what is bad of them is in quarantine:", it.refused_count));
        it.refused.iter().for_each(|reason| push_line(&mut text, &format!("  {}", one_line(reason))));
    }
    if it.needs_earlier {
        push_line(&mut text, "import the earlier bundles, or one that was exported with --all");
    }
    text
}
