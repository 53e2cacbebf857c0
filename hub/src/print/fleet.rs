//! Results about the fleet as a whole, for people.

use super::{age, one_line, push_line, table, value};
use crate::founding::Founded;
use crate::service::fleet::{ChangedNodes, ConflictEntry, ConflictList, HomeList, HubList};

/// Nodes that a command changed.
#[must_use]
pub fn changed_nodes(changed: &ChangedNodes) -> String {
    let names: Vec<&str> = changed.nodes.iter().map(sync_core::id::Name::as_str).collect();
    let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    format!("{}: {names}\n", one_line(&changed.done))
}

/// All hubs.
#[must_use]
pub fn hubs(list: &HubList) -> String {
    if list.hubs.is_empty() {
        return "the roster is empty: this hub has not met the hub that it joined yet\n".to_owned();
    }
    let rows = list.hubs.iter().map(|hub| {
        let marks = [(hub.is_this, "this hub"), (hub.is_home, "home"), (hub.has_authority, "authority")];
        let marks: Vec<&str> = marks.into_iter().filter_map(|(is, mark)| is.then_some(mark)).collect();
        let link = if hub.is_this { "-" } else { super::link(hub.link) };
        let last = if hub.is_this { "-".to_owned() } else { age(hub.last_contact_seconds_ago) };
        let addresses = if hub.addresses.is_empty() { "-".to_owned() } else { one_line(&hub.addresses.join(", ")) };
        vec![one_line(&hub.name), addresses, link.to_owned(), last, marks.join(", ")]
    });
    table(&["HUB", "ADDRESS", "LINK", "LAST CONTACT", "IS"], rows)
}

/// The homes of documents.
#[must_use]
pub fn homes(list: &HomeList) -> String {
    let all = list.default.iter().chain(&list.moved);
    let rows = all.map(|home| {
        let document = if home.document == "*" { "everything else" } else { &home.document };
        vec![one_line(document), one_line(&home.hub), home.epoch.to_string()]
    });
    let rows: Vec<_> = rows.collect();
    if rows.is_empty() {
        return "the fleet has no roster here yet\n".to_owned();
    }
    table(&["DOCUMENT", "HOME", "EPOCH"], rows.into_iter())
}

/// Fields in which hubs disagree.
#[must_use]
pub fn conflicts(list: &ConflictList) -> String {
    if list.conflicts.is_empty() {
        return "no conflicts\n".to_owned();
    }
    let mut text = String::new();
    for conflict in &list.conflicts {
        push_line(&mut text, &format!("{} {}", one_line(&conflict.document), one_line(&conflict.path)));
        text.push_str(&values(conflict));
    }
    text.push_str(
        "the first of each is in force; settle with `archipel-hub conflict resolve DOCUMENT PATH --take N`\n",
    );
    text
}

/// The values of one conflict, one line each.
pub(super) fn values(conflict: &ConflictEntry) -> String {
    let mut text = String::new();
    for it in &conflict.values {
        let when = it.seconds_ago.map_or_else(|| "at an unknown time".to_owned(), |seconds| age(Some(seconds)));
        push_line(&mut text, &format!("  {}  {}  by {}, {when}", it.number, value(Some(&it.value)), one_line(&it.hub)));
    }
    text
}

/// A hub that was made.
#[must_use]
pub fn founded(founded: &Founded) -> String {
    let authority = match founded.has_authority {
        true => "it holds the fleet's certificate authority: back its data folder up",
        false => "nodes are enrolled by a hub that holds the certificate authority",
    };
    format!("hub {} ({}); {authority}\n", founded.name, founded.id.short())
}
