//! A document that is updated every five seconds for a long time: what it grows to.

use std::time::{Duration, Instant};

use sync_core::document::generation::CutPolicy;
use sync_core::document::{DocumentKey, materialise};
use sync_core::identity::Role;
use sync_core::store::StoreError;

use super::fleet::{Fleet, Member, Passed, Place};
use super::measure::heap;
use super::table::{Table, count, ratio, size, time};
use super::workload::{UPDATE_EVERY, Workloads};
use super::{BenchError, During, Options};

const WORKLOADS: usize = 60;
const UPDATES_A_DAY: f64 = 86_400.0 / UPDATE_EVERY as f64;
const DAYS: f64 = 365.0;

/// How long the row of a contact every two hours may take when nobody said how many days: enough for its year.
const PATIENCE: Duration = Duration::from_secs(150);

/// How long the others may take: six million writes take hours, and without generations a row only shows where it leads.
const PATIENCE_OTHERS: Duration = Duration::from_secs(15);

/// Generations off: what the history would be without them.
const NO_CUTS: CutPolicy = CutPolicy {
    changes: u64::MAX,
    actors: u64::MAX,
    log_ratio: u64::MAX,
    log_bytes_min: u64::MAX,
    log_bytes_max: u64::MAX,
    log_operations: u64::MAX,
};

/// How often the hub is in reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Contact {
    AtTheEnd,
    EveryTwoHours,
    Always,
}

impl Contact {
    /// Updates between two contacts.
    fn updates(self) -> u64 {
        match self {
            Self::AtTheEnd | Self::EveryTwoHours => 7_200 / UPDATE_EVERY,
            Self::Always => 1,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::AtTheEnd => "at the end only",
            Self::EveryTwoHours => "every two hours",
            Self::Always => "always",
        }
    }
}

const ROWS: [(Contact, bool); 5] = [
    (Contact::AtTheEnd, true),
    (Contact::EveryTwoHours, true),
    (Contact::EveryTwoHours, false),
    (Contact::Always, true),
    (Contact::Always, false),
];

/// Measures.
pub(super) fn measure(options: &Options) -> Result<Table, BenchError> {
    let mut table = Table::new(
        "A document updated every five seconds for a year",
        &[
            "hub in reach",
            "days",
            "updates",
            "changes made",
            "cuts",
            "changes kept",
            "state as JSON",
            "node's database, largest in the first half",
            "node's database, largest in the second half",
            "node's database at the end",
            "/ state",
            "less the empty one, / state",
            "hub's database",
            "heap when loaded",
            "time to load",
            "time to open",
            "time of a contact, last tenth",
        ],
    );
    table.say(format!(
        "Virtual time, one observed document with {WORKLOADS} workloads. A report replaces the one before until a hub is in \
         reach, so of the updates between two contacts only the last is reported. A database is its main file while it runs \
         and all files after a clean end; an empty one is shown in the first row. \"Loaded\" is the document in Automerge, which a \
         write needs and a reconnect does not.",
    ));
    let mut fleet = Fleet::new(5)?;
    let empty = fleet.join(Role::Node, Place::Memory)?;
    let (_, empty_bytes) = empty.end();
    table.row(["(empty)", "", "0", "0", "0", "0", "", "", "", &size(empty_bytes)]);
    let mut is_cut_short = false;
    for (contact, cuts) in ROWS {
        let days = options.days.unwrap_or(if options.quick { 1.0 } else { DAYS });
        let wanted = (days * UPDATES_A_DAY).ceil() as u64;
        let patience = match contact {
            _ if options.quick => Duration::from_secs(1),
            Contact::AtTheEnd | Contact::EveryTwoHours if cuts => PATIENCE,
            Contact::AtTheEnd | Contact::EveryTwoHours | Contact::Always => PATIENCE_OTHERS,
        };
        let patience = (options.days.is_none() || !cuts).then_some(patience);
        let run = run(&mut fleet, contact, cuts, wanted, patience)?;
        is_cut_short |= run.updates < wanted;
        table.row([
            format!("{}{}", contact.name(), if cuts { "" } else { ", without generations" }),
            format!("{:.1}", run.updates as f64 / UPDATES_A_DAY),
            count(run.updates),
            count(run.writes),
            count(u64::from(run.cuts)),
            count(run.changes),
            size(run.state_bytes),
            size(run.node_bytes_first_half),
            size(run.node_bytes_second_half),
            size(run.node_bytes),
            ratio(run.node_bytes as f64, run.state_bytes as f64),
            ratio(run.node_bytes.saturating_sub(empty_bytes) as f64, run.state_bytes as f64),
            size(run.hub_bytes),
            size(run.heap),
            time(run.load),
            time(run.open),
            time(run.contact),
        ]);
    }
    if is_cut_short {
        table.say(format!(
            "A row with fewer days was ended after {} s ({} s in the one with a contact every two hours); `--days` runs the rows \
             with generations as long as it takes. History is bounded where the second half is no larger than the first and the \
             cuts are many: what follows a cut is the same again.",
            PATIENCE_OTHERS.as_secs(),
            PATIENCE.as_secs(),
        ));
    }
    Ok(table)
}

#[derive(Debug, Default)]
struct Run {
    updates: u64,
    writes: u64,
    cuts: u32,
    changes: u64,
    state_bytes: u64,
    node_bytes_first_half: u64,
    node_bytes_second_half: u64,
    node_bytes: u64,
    hub_bytes: u64,
    heap: u64,
    load: Duration,
    open: Duration,
    contact: Duration,
}

fn run(
    fleet: &mut Fleet,
    contact: Contact,
    cuts: bool,
    wanted: u64,
    patience: Option<Duration>,
) -> Result<Run, BenchError> {
    let (mut hub, mut node) = (fleet.join(Role::Hub, Place::Memory)?, fleet.join(Role::Node, Place::Memory)?);
    if !cuts {
        node.replica.set_cut_policy(NO_CUTS);
    }
    let key = DocumentKey::observed(node.id());
    let mut workloads = Workloads::new(WORKLOADS, 1);
    let began = Instant::now();
    let mut run = Run::default();
    let mut passed = Passed::default();
    let mut sizes = Vec::new();
    let mut contacts = Vec::new();
    if contact == Contact::Always {
        passed = fleet.connect(&mut node, &mut hub)?;
    }
    while run.updates < wanted && patience.is_none_or(|patience| began.elapsed() < patience) {
        let some = contact.updates().min(wanted - run.updates);
        (0..some).for_each(|_| drop(workloads.update()));
        fleet.pass(some * UPDATE_EVERY);
        let now = fleet.now();
        let contacting = Instant::now();
        node.replica.edit(now, |edit| edit.report(&key, &workloads.state())).during("report")?;
        run.updates += some;
        match contact {
            Contact::Always => fleet.exchange(&mut node, &mut hub, &mut passed)?,
            Contact::EveryTwoHours => {
                let _ = fleet.converse(&mut node, &mut hub)?;
            }
            Contact::AtTheEnd => {}
        }
        run.writes += u64::from(contact != Contact::AtTheEnd);
        contacts.push(contacting.elapsed());
        sizes.push(node.database_bytes());
    }
    if contact == Contact::Always {
        fleet.disconnect(&mut node, &mut hub, &mut passed)?;
    }
    fleet.converse(&mut node, &mut hub)?;
    run.writes = run.writes.max(1);
    let arrived = hub.replica.read(&key).during("read a report")?.map(|view| view.state);
    if arrived != Some(workloads.state()) {
        return Err(BenchError::Wrong("the hub does not hold the last report".to_owned()));
    }
    let tenth = contacts.len().div_ceil(10);
    run.contact = contacts.iter().rev().take(tenth).sum::<Duration>() / u32::try_from(tenth).unwrap_or(1).max(1);
    let (first, second) = sizes.split_at(sizes.len() / 2);
    run.node_bytes_first_half = first.iter().copied().max().unwrap_or(0);
    run.node_bytes_second_half = second.iter().copied().max().unwrap_or(0);
    run.state_bytes = serde_json::to_vec(&workloads.state()).during("write JSON")?.len() as u64;
    weigh(fleet, node, hub, &key, run)
}

/// Ends both sides and looks at what they left.
fn weigh(fleet: &mut Fleet, node: Member, hub: Member, key: &DocumentKey, mut run: Run) -> Result<Run, BenchError> {
    let (folder, bytes) = node.end();
    run.node_bytes = bytes;
    run.hub_bytes = hub.end().1;
    let opening = Instant::now();
    let mut node = fleet.reopen(folder)?;
    run.open = opening.elapsed();
    let chunks = node.replica.inspect(|tx| match tx.document(key.id())? {
        Some(document) => Ok((document.generation, tx.chunks(document.row, document.generation)?)),
        None => Ok::<_, StoreError>((0, Vec::new())),
    });
    let (generation, chunks) = chunks.during("read a document")?;
    run.cuts = generation;
    run.changes = chunks.len() as u64;
    let before = heap();
    let loading = Instant::now();
    let document = materialise::load(&chunks, None).during("load a document")?;
    run.load = loading.elapsed();
    run.heap = heap().saturating_sub(before);
    drop(document);
    Ok(run)
}
