//! Members and what they are made of: hubs, groups of nodes, disks, clocks, layers.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::DEFAULT;
use super::event::Unsynced;
use super::quantity::{Drift, Offset, Range, Size, Span};

/// One hub, or several that are alike.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Hub {
    /// Its name. With `{n}` in it, which counts from 1, the entry may stand for several.
    pub name: String,
    /// How many.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 16))]
    pub count: u32,
    /// Names of hubs that it dials. Unset: all that come before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peers: Option<Vec<String>>,
    /// The links by which it dials them, the preferred one first: the first that is up is used.
    #[serde(default = "default_names")]
    pub links: Vec<String>,
    /// Its disk.
    #[serde(default = "default_name")]
    pub disk: String,
    /// Its clock.
    #[serde(default = "default_name")]
    pub clock: String,
}

/// Nodes that are alike.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// Its nodes' name. With `{n}` in it, which counts from 1, the entry may stand for several.
    pub name: String,
    /// How many.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 100_000))]
    pub count: u32,
    /// Labels, which the join token gives.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// The layers that are assigned, the lowest first.
    #[serde(default)]
    pub layers: Vec<String>,
    /// Workloads that report a status.
    #[serde(default = "five")]
    #[schemars(range(min = 1, max = 1000))]
    pub workloads: u32,
    /// Names of the hubs in reach, the home first. None: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hubs: Vec<String>,
    /// The links by which it dials them, the preferred one first: the first that is up is used.
    #[serde(default = "default_names")]
    pub links: Vec<String>,
    /// Their disk.
    #[serde(default = "default_name")]
    pub disk: String,
    /// Their clock.
    #[serde(default = "default_name")]
    pub clock: String,
    /// When each joins, drawn for each.
    #[serde(default)]
    pub joins: Range<Span>,
}

/// A kind of disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Disk {
    /// What is written as a whole or not at all, if the power fails meanwhile.
    pub sector: Size,
    /// Time that a write takes. No depth makes use of it yet.
    pub write: Span,
    /// Time that a sync takes. No depth makes use of it yet.
    pub sync: Span,
    /// What fits. Unset: everything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capacity: Option<Size>,
    /// Whether a write that is cut off leaves the bytes beside it in the same sector alone.
    pub powersafe: bool,
    /// What becomes of writes that were not synced when the power fails, unless the event says it.
    pub unsynced: Unsynced,
}

impl Default for Disk {
    /// An SSD.
    fn default() -> Self {
        Self {
            sector: Size(4096),
            write: Span(std::time::Duration::from_micros(50)),
            sync: Span(std::time::Duration::from_millis(1)),
            capacity: None,
            powersafe: false,
            unsynced: Unsynced::Mixed,
        }
    }
}

/// A kind of clock: what a machine believes the time is. Timers run by its drift too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Clock {
    /// How far it is ahead at the start, drawn for each member.
    pub offset: Range<Offset>,
    /// How much faster it runs, drawn for each member.
    pub drift: Range<Drift>,
    /// Whether it runs on without power. One that does not is at 1970 at the start and after each loss of power.
    pub keeps_time: bool,
}

impl Default for Clock {
    /// The true time.
    fn default() -> Self {
        Self { offset: Range::default(), drift: Range::default(), keeps_time: true }
    }
}

/// A layer as it is at the start: Kubernetes objects with random content of about the given size.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Layer {
    /// Its name.
    pub name: String,
    /// Objects in it.
    #[serde(default = "ten")]
    #[schemars(range(min = 1, max = 10_000))]
    pub objects: u32,
    /// Its size as JSON, over all objects.
    #[serde(default = "ten_kilobytes")]
    pub size: Size,
}

const fn one() -> u32 {
    1
}

const fn five() -> u32 {
    5
}

const fn ten() -> u32 {
    10
}

const fn ten_kilobytes() -> Size {
    Size(10_000)
}

fn default_name() -> String {
    DEFAULT.to_owned()
}

fn default_names() -> Vec<String> {
    vec![default_name()]
}

/// Whether a name stands for several members.
pub(crate) fn is_pattern(name: &str) -> bool {
    name.contains("{n}")
}

/// The names of `count` members, or the one name without a number.
pub(crate) fn names_of(name: &str, count: u32) -> impl Iterator<Item = String> {
    let count = if is_pattern(name) { count } else { 1 };
    (1..=count).map(move |number| name.replace("{n}", &number.to_string()))
}
