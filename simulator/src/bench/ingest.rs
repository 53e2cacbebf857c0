//! Changes made durable at the hub, against SQLite alone.

use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use sync_core::document::DocumentKey;
use sync_core::id::Name;
use sync_core::identity::Role;
use sync_core::replica::WriteError;
use sync_core::store::StoreError;

use super::fleet::{Fleet, Member, Passed, Place};
use super::table::{Table, count, ratio};
use super::workload::{Workloads, layer};
use super::{BenchError, During, Options};

/// Workloads of a node that reports here: a small edge cluster.
const WORKLOADS: usize = 10;

/// What one transaction of the hub stores: changes, and the frontier above them.
#[derive(Debug, Default)]
struct Stored {
    chunks: Vec<Vec<u8>>,
    heads: Vec<u8>,
    signature: Vec<u8>,
}

/// Measures and compares.
pub(super) fn measure(options: &Options) -> Result<Table, BenchError> {
    let mut table = Table::new(
        "Changes made durable at the hub",
        &["what", "changes", "transactions", "Archipel, changes a second", "bare rusqlite", "time / rusqlite"],
    );
    table.say(
        "Time on the clock of the hub's side: from a frame that carries changes to the acknowledgement of it, one after the \
         other on one thread. Bare rusqlite inserts the same changes and the heads and signatures above them into two tables, \
         in the same transactions, with the same settings (WAL, `synchronous=FULL`); it checks nothing and keeps no views. A \
         layer travels between hubs with every signed frontier, because releases name them; other documents only with the last.",
    );
    let (nodes, reports, batch) = if options.quick { (4, 3, 20) } else { (100, 10, 1_000) };
    for (place, name) in [(Place::Memory, "in memory"), (Place::Disk, "on disk")] {
        let (took, stored) = reports_of(nodes, reports, place)?;
        line(&mut table, &format!("one change a transaction, {name}"), took, &stored, place)?;
    }
    let layer = layer("base")?;
    let (took, stored) = edits_of(&layer, batch)?;
    line(&mut table, "edits of one layer that come from another hub at once, in memory", took, &stored, Place::Memory)?;
    let release = DocumentKey::release(&Name::new("base").during("name a release")?);
    let (took, stored) = edits_of(&release, batch)?;
    line(&mut table, "edits of one release, likewise", took, &stored, Place::Memory)?;
    Ok(table)
}

fn line(table: &mut Table, what: &str, took: Duration, stored: &[Stored], place: Place) -> Result<(), BenchError> {
    let changes: usize = stored.iter().map(|stored| stored.chunks.len()).sum();
    let bare = bare(stored, place)?;
    let a_second = |took: Duration| count((changes as f64 / took.as_secs_f64()).round() as u64);
    table.row([
        what.to_owned(),
        count(changes as u64),
        count(stored.len() as u64),
        a_second(took),
        a_second(bare),
        ratio(took.as_secs_f64(), bare.as_secs_f64()),
    ]);
    Ok(())
}

/// Nodes that are connected report in turn.
fn reports_of(nodes: usize, reports: usize, place: Place) -> Result<(Duration, Vec<Stored>), BenchError> {
    let mut fleet = Fleet::new(6)?;
    let mut hub = fleet.join(Role::Hub, place)?;
    let mut took = Duration::ZERO;
    let mut stored = Vec::new();
    for number in 0..nodes {
        let mut node = fleet.join(Role::Node, Place::Memory)?;
        let key = DocumentKey::observed(node.id());
        let mut workloads = Workloads::new(WORKLOADS, number as u64);
        let mut passed = fleet.connect(&mut node, &mut hub)?;
        for _ in 0..reports {
            let _ = workloads.update();
            let now = fleet.now();
            node.replica.edit(now, |edit| edit.report(&key, &workloads.state())).during("report")?;
            let mut push = Passed::default();
            fleet.exchange(&mut node, &mut hub, &mut push)?;
            took += push.acceptor.wall;
        }
        fleet.disconnect(&mut node, &mut hub, &mut passed)?;
        let changes = what_is_stored(&mut hub, &key)?;
        if changes.chunks.len() != reports + 1 {
            let found = changes.chunks.len();
            return Err(BenchError::Wrong(format!("{reports} reports became {found} changes, with the genesis")));
        }
        // The genesis is computed, not received.
        stored.extend(changes.chunks.into_iter().skip(1).map(|chunk| Stored {
            chunks: vec![chunk],
            heads: changes.heads.clone(),
            signature: changes.signature.clone(),
        }));
    }
    Ok((took, stored))
}

/// A hub sends what it edited while it was alone.
fn edits_of(key: &DocumentKey, edits: usize) -> Result<(Duration, Vec<Stored>), BenchError> {
    let mut fleet = Fleet::new(7)?;
    let (mut hub, mut other) = (fleet.join(Role::Hub, Place::Memory)?, fleet.join(Role::Hub, Place::Memory)?);
    let mut workloads = Workloads::new(WORKLOADS, 1);
    let now = fleet.now();
    let written = other.replica.edit(now, |edit| {
        (0..edits).try_for_each(|_| {
            let _ = workloads.update();
            edit.write(key, &workloads.state()).map(drop)
        })?;
        Ok::<_, WriteError>(())
    });
    written.during("write a document")?;
    let passed = fleet.converse(&mut other, &mut hub)?;
    let changes = what_is_stored(&mut hub, key)?;
    // The genesis is computed, not received. Each frontier that came was a transaction.
    let received = changes.chunks.get(1..).unwrap_or_default();
    let in_each = received.len().div_ceil(usize::try_from(passed.frontiers).unwrap_or(1).max(1)).max(1);
    let stored = received.chunks(in_each).map(|chunks| Stored {
        chunks: chunks.to_vec(),
        heads: changes.heads.clone(),
        signature: changes.signature.clone(),
    });
    Ok((passed.acceptor.wall, stored.collect()))
}

fn what_is_stored(hub: &mut Member, key: &DocumentKey) -> Result<Stored, BenchError> {
    let stored = hub.replica.inspect(|tx| {
        let Some(document) = tx.document(key.id())? else { return Ok::<_, StoreError>(Stored::default()) };
        let mut stored = Stored { chunks: tx.chunks(document.row, document.generation)?, ..Stored::default() };
        if let Some(latest) = document.latest {
            let frontier = tx.log_row(latest)?.frontier;
            stored.heads = frontier.frontier().heads.to_bytes();
            stored.signature = frontier.signature().0.to_vec();
        }
        Ok(stored)
    });
    stored.during("read what was stored")
}

fn bare(stored: &[Stored], place: Place) -> Result<Duration, BenchError> {
    let folder = place.folder()?;
    let mut connection = open(&folder.path().join("bare.db")).during("open a bare database")?;
    let began = Instant::now();
    insert(&mut connection, stored).during("insert into a bare database")?;
    Ok(began.elapsed())
}

fn open(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -2048;
         CREATE TABLE change (id INTEGER PRIMARY KEY, document INTEGER NOT NULL, chunk BLOB NOT NULL) STRICT;
         CREATE TABLE log (seq INTEGER PRIMARY KEY, document INTEGER NOT NULL, heads BLOB NOT NULL, signature BLOB NOT NULL) STRICT;",
    )?;
    Ok(connection)
}

fn insert(connection: &mut Connection, stored: &[Stored]) -> rusqlite::Result<()> {
    for stored in stored {
        let tx = connection.transaction()?;
        {
            let mut change = tx.prepare_cached("INSERT INTO change (document, chunk) VALUES (1, ?)")?;
            stored.chunks.iter().try_for_each(|chunk| change.execute([chunk]).map(drop))?;
            let mut log = tx.prepare_cached("INSERT INTO log (document, heads, signature) VALUES (1, ?, ?)")?;
            log.execute((&stored.heads, &stored.signature))?;
        }
        tx.commit()?;
    }
    Ok(())
}
