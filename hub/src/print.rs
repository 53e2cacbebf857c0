//! Results for people: tables, ages and one-line summaries.

use std::fmt::Write;

use comfy_table::{ContentArrangement, Table, presets};
use serde_json::Value;

use crate::service::{
    AppliedLayer, Assigned, CreatedToken, DeletedLayer, Enrolment, Health, HubStatus, Labels, LayerDetail, LayerList,
    LayerVersion, Link, NodeDetail, NodeList, NodeSummary, NodeVersion, Past, Released,
};

pub mod bundle;
pub mod fleet;
mod yaml;

#[cfg(test)]
mod tests;

/// Characters of a value in a table of differences. More does not fit on a screen; `-o json` has it all.
const VALUE_CHARACTERS_MAX: usize = 60;

/// A token, alone on its line, so that it can be piped.
#[must_use]
pub fn token(token: &CreatedToken) -> String {
    format!("{}\n", one_line(&token.token))
}

/// What applying a layer changed: `+ key`, `~ key`, `- key` and a summary.
#[must_use]
pub fn layer_applied(applied: &AppliedLayer) -> String {
    let AppliedLayer { name, layer_version, added, changed, removed, unchanged_count, release_version } = applied;
    let mut text = String::new();
    for (sign, keys) in [('+', added), ('~', changed), ('-', removed)] {
        for key in keys {
            push_line(&mut text, &format!("{sign} {}", one_line(key)));
        }
    }
    let counts = format!(
        "{} added, {} changed, {} removed, {unchanged_count} unchanged",
        added.len(),
        changed.len(),
        removed.len()
    );
    let released = match release_version {
        Some(release) => format!("in release {release}"),
        None => "not released; send it out with `archipel-hub release`".to_owned(),
    };
    push_line(&mut text, &format!("layer {name} version {layer_version}: {counts}; {released}"));
    text
}

/// All layers.
#[must_use]
pub fn layers(list: &LayerList) -> String {
    if list.layers.is_empty() {
        return "no layers yet; make one with `archipel-hub layer apply NAME -f FILE`\n".to_owned();
    }
    let rows = list.layers.iter().map(|layer| {
        vec![
            layer.name.to_string(),
            layer.layer_version.to_string(),
            layer.released_layer_version.map_or_else(|| "-".to_owned(), |version| version.to_string()),
            layer.object_count.to_string(),
            size(layer.object_bytes),
            layer.assigned_node_count.to_string(),
            layer.changed_seconds_ago.map_or_else(|| "unknown".to_owned(), |seconds| age(Some(seconds))),
        ]
    });
    table(&["LAYER", "VERSION", "RELEASED", "OBJECTS", "SIZE", "NODES", "CHANGED"], rows)
}

/// The keys of a layer's objects.
#[must_use]
pub fn layer(detail: &LayerDetail) -> String {
    let layer = &detail.layer;
    let released = layer
        .released_layer_version
        .map_or_else(|| "never released".to_owned(), |version| format!("version {version} is released"));
    let mut text = format!("layer {} version {}, {released}\n", layer.name, layer.layer_version);
    for object in &detail.objects {
        push_line(&mut text, &format!("  {}", one_line(&object.key)));
    }
    for conflict in &detail.conflicts {
        push_line(&mut text, &format!("in conflict: {}", one_line(&conflict.path)));
        text.push_str(&fleet::values(conflict));
    }
    text
}

/// A layer's objects as YAML documents, which `layer apply` reads back as the same objects.
#[must_use]
pub fn layer_yaml(detail: &LayerDetail) -> String {
    objects_yaml(detail.objects.iter().map(|object| &object.object))
}

/// Objects as YAML documents.
pub(crate) fn objects_yaml<'a>(objects: impl Iterator<Item = &'a Value>) -> String {
    yaml::documents(objects)
}

/// A layer that is gone.
#[must_use]
pub fn layer_deleted(deleted: &DeletedLayer) -> String {
    let mut text = String::new();
    for key in &deleted.removed {
        push_line(&mut text, &format!("- {}", one_line(key)));
    }
    push_line(&mut text, &format!("layer {} deleted with {} objects", deleted.name, deleted.removed.len()));
    text
}

/// A new release.
#[must_use]
pub fn released(released: &Released) -> String {
    if released.layers.is_empty() {
        return format!("nothing to release; release {} is the newest\n", released.release_version);
    }
    format!("release {}: {}\n", released.release_version, layer_versions(&released.layers))
}

/// A new assignment.
#[must_use]
pub fn assigned(assigned: &Assigned) -> String {
    let layers: Vec<&str> = assigned.layers.iter().map(sync_core::id::Name::as_str).collect();
    let nodes: Vec<&str> = assigned.nodes.iter().map(sync_core::id::Name::as_str).collect();
    let nodes = if nodes.is_empty() { "no node that is known yet".to_owned() } else { nodes.join(", ") };
    format!("{} -> {nodes}\n", layers.join(" + "))
}

/// All nodes, one line each.
#[must_use]
pub fn nodes(list: &NodeList) -> String {
    if list.nodes.is_empty() {
        return "no nodes yet; enrol one with a token from `archipel-hub token create`\n".to_owned();
    }
    let rows = list.nodes.iter().map(|node| {
        vec![
            node.name.to_string(),
            link_of(node),
            age(node.last_contact_seconds_ago),
            version(node.desired.as_ref()),
            version(node.applied.as_ref()),
            age(node.applied_age_seconds),
            health(node),
            age(node.observed_age_seconds),
        ]
    });
    table(&["NODE", "LINK", "LAST CONTACT", "DESIRED", "APPLIED", "SINCE", "HEALTH", "REPORTED"], rows)
}

/// One node in full.
#[must_use]
pub fn node(detail: &NodeDetail) -> String {
    let node = &detail.node;
    let mut rows = vec![
        ["node".to_owned(), node.name.to_string()],
        ["id".to_owned(), one_line(&node.id)],
        ["labels".to_owned(), labels(&node.labels)],
        ["link".to_owned(), format!("{}, last contact {}", link_of(node), age(node.last_contact_seconds_ago))],
        ["desired".to_owned(), version_in_full(node.desired.as_ref(), "no assignment")],
        ["applied".to_owned(), version_in_full(node.applied.as_ref(), "nothing reported")],
        ["applied at".to_owned(), age(node.applied_age_seconds)],
        ["health".to_owned(), health(node)],
        ["reported".to_owned(), age(node.observed_age_seconds)],
        ["payload".to_owned(), format!("{} in, {} out", size(node.payload_bytes_in), size(node.payload_bytes_out))],
        ["round trips".to_owned(), node.round_trips.to_string()],
    ];
    if node.quarantined_count > 0 {
        rows.push(["quarantined".to_owned(), node.quarantined_count.to_string()]);
    }
    rows.extend(past(&node.past));
    let mut text = fields(&rows);
    if !detail.objects.is_empty() {
        let rows = detail.objects.iter().map(|object| {
            let mark = |is: bool| if is { "yes" } else { "no" }.to_owned();
            let observed = object.observed.map_or("not reported", health_word).to_owned();
            vec![one_line(&object.key), mark(object.desired), mark(object.applied), observed, one_line(&object.message)]
        });
        text.push('\n');
        text.push_str(&table(&["OBJECT", "DESIRED", "APPLIED", "OBSERVED", "MESSAGE"], rows));
    }
    text.push('\n');
    if detail.differences.is_empty() {
        text.push_str("no difference between desired and observed\n");
        return text;
    }
    let rows = detail.differences.iter().map(|difference| {
        let path = if difference.path.is_empty() { "(whole object)".to_owned() } else { one_line(&difference.path) };
        vec![one_line(&difference.key), path, value(difference.desired.as_ref()), value(difference.observed.as_ref())]
    });
    text.push_str(&table(&["DIFFERENCE", "FIELD", "DESIRED", "OBSERVED"], rows));
    text
}

/// The hub as a whole.
#[must_use]
pub fn status(status: &HubStatus) -> String {
    let unreleased: Vec<&str> = status.unreleased_layers.iter().map(sync_core::id::Name::as_str).collect();
    let unreleased = if unreleased.is_empty() { "none".to_owned() } else { unreleased.join(", ") };
    let mut rows = vec![
        ["hub".to_owned(), one_line(&status.id)],
        ["version".to_owned(), one_line(&status.version)],
        ["listens on".to_owned(), one_line(&status.listen)],
        ["up for".to_owned(), span(status.uptime_seconds)],
        [
            "nodes".to_owned(),
            format!(
                "{}: {} connected, {} behind, {} degraded",
                status.node_count, status.connected_count, status.behind_count, status.degraded_count
            ),
        ],
        ["layers".to_owned(), status.layer_count.to_string()],
        ["release".to_owned(), status.release_version.to_string()],
        ["unreleased".to_owned(), unreleased],
        ["open tokens".to_owned(), status.open_token_count.to_string()],
        ["quarantined".to_owned(), status.quarantined_count.to_string()],
        ["database".to_owned(), size(status.database_bytes)],
    ];
    rows.extend(past(&status.past));
    fields(&rows)
}

/// What was seen of copies of a data folder; nothing when nothing was.
fn past(past: &Past) -> Option<[String; 2]> {
    let Past { incarnation, fork_count, clone_count } = past;
    let is_quiet = *incarnation <= 1 && *fork_count == 0 && *clone_count == 0;
    let text = format!("incarnation {incarnation}, {fork_count} times lost or set back, {clone_count} copies refused");
    (!is_quiet).then(|| ["past".to_owned(), text])
}

/// An age: `3s ago`, `5m ago`, `2h ago`, `4d ago`; `never`.
#[must_use]
pub fn age(seconds: Option<u64>) -> String {
    match seconds {
        None => "never".to_owned(),
        Some(0) => "now".to_owned(),
        Some(seconds) => format!("{} ago", span(seconds)),
    }
}

/// A length of time, rounded down to its largest unit.
fn span(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m", seconds / 60),
        3_600..86_400 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// Bytes, rounded down to tenths.
fn size(bytes: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match UNITS.iter().find(|(unit, _)| bytes >= *unit) {
        Some((unit, name)) => format!("{}.{} {name}", bytes / unit, bytes % unit * 10 / unit),
        None => format!("{bytes} B"),
    }
}

/// The link, and what keeps a node from being a member like others.
fn link_of(node: &NodeSummary) -> String {
    let mut text = link(node.link).to_owned();
    text.push_str(match node.enrolment {
        Enrolment::Enrolled => "",
        Enrolment::Staged => ", staged",
        Enrolment::Revoked => ", revoked",
    });
    if node.past.clone_count > 0 {
        text.push_str(&format!(", copy refused {} times", node.past.clone_count));
    }
    text
}

fn link(link: Link) -> &'static str {
    match link {
        Link::Up => "up",
        Link::Down => "down",
        Link::Never => "never",
    }
}

fn health_word(health: Health) -> &'static str {
    match health {
        Health::Unknown => "unknown",
        Health::Healthy => "healthy",
        Health::Progressing => "progressing",
        Health::Degraded => "degraded",
    }
}

fn health(node: &NodeSummary) -> String {
    let word = health_word(node.health);
    if node.health_message.is_empty() { word.to_owned() } else { format!("{word}: {}", one_line(&node.health_message)) }
}

fn version(version: Option<&NodeVersion>) -> String {
    version.map_or_else(
        || "-".to_owned(),
        |version| format!("a{} r{}", version.assignment_version, version.release_version),
    )
}

fn version_in_full(version: Option<&NodeVersion>, none: &str) -> String {
    version.map_or_else(
        || none.to_owned(),
        |version| {
            let NodeVersion { assignment_version, release_version, layers } = version;
            format!("assignment {assignment_version}, release {release_version}: {}", layer_versions(layers))
        },
    )
}

fn layer_versions(layers: &[LayerVersion]) -> String {
    let texts: Vec<String> = layers.iter().map(|layer| format!("{} {}", layer.name, layer.layer_version)).collect();
    texts.join(", ")
}

fn labels(labels: &Labels) -> String {
    let texts: Vec<String> =
        labels.iter().map(|(key, value)| format!("{}={}", one_line(key), one_line(value))).collect();
    if texts.is_empty() { "none".to_owned() } else { texts.join(", ") }
}

fn value(value: Option<&Value>) -> String {
    let Some(value) = value else { return "(absent)".to_owned() };
    let text = one_line(&value.to_string());
    match text.char_indices().nth(VALUE_CHARACTERS_MAX) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

/// Nodes write some of these texts: nothing of theirs may steer the terminal or forge a line.
fn one_line(text: &str) -> String {
    let steers = |c: char| {
        c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|c| if steers(c) { '\u{fffd}' } else { c }).collect()
}

fn push_line(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}

fn table(header: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(header.to_vec());
    for row in rows {
        table.add_row(row);
    }
    lines_of(&mut table)
}

fn fields(rows: &[[String; 2]]) -> String {
    let mut text = String::new();
    for [name, value] in rows {
        // Writing to a string cannot fail.
        let _ok = writeln!(text, "{name:<13}{value}");
    }
    text
}

fn lines_of(table: &mut Table) -> String {
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let mut text = String::new();
    for line in table.lines() {
        push_line(&mut text, line.trim_end());
    }
    text
}
