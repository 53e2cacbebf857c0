//! A hub with many documents that nobody asks for.

use sync_core::identity::Role;

use super::fleet::{Fleet, Place};
use super::measure::heap;
use super::stage::{Stage, runtime};
use super::table::{Table, count, size};
use super::workload::{layer, small_layer};
use super::{BenchError, During, Options, idle};

/// Documents that Automerge loads to find what one takes.
const LOADED: usize = 2_000;

/// Measures and compares.
pub(super) fn measure(options: &Options) -> Result<Table, BenchError> {
    let all = if options.quick { [20, 200] } else { [1_000, 100_000] };
    let mut table = Table::new(
        "A hub with documents at rest",
        &["documents", "database", "heap of the open replica", "hub process resident", "all in Automerge: heap"],
    );
    table.say(format!(
        "Small layers of one change each. The heap is Rust's, counted by the allocator; SQLite's page cache has a bound of 2 MiB \
         and is in the resident size. The last column is what {} loaded documents took, times their number.",
        count(LOADED as u64)
    ));
    let loaded = loaded_heap()?;
    for documents in all {
        let mut fleet = Fleet::new(8)?;
        let mut hub = fleet.join(Role::Hub, Place::Memory)?;
        idle::write_layers(&mut fleet, &mut hub, documents)?;
        let (ended, bytes) = hub.end();
        let before = heap();
        let mut hub = fleet.reopen(ended)?;
        let read = hub.replica.read(&layer("layer-7")?).during("read a layer")?;
        if read.is_none() {
            return Err(BenchError::Wrong("a layer is not there".to_owned()));
        }
        drop(read);
        let opened = heap().saturating_sub(before);
        let (ended, _) = hub.end();
        let stage = Stage::new(Place::Memory)?;
        let resident = runtime()?.block_on(async {
            let server = stage.hub(ended.folder()).await?;
            let used = server.used()?;
            server.stop().await?;
            Ok::<_, BenchError>(used.resident)
        })?;
        table.row([
            count(documents as u64),
            size(bytes),
            size(opened),
            size(resident),
            size(loaded * documents as u64 / LOADED as u64),
        ]);
    }
    Ok(table)
}

/// The heap of documents like those of the table, loaded.
fn loaded_heap() -> Result<u64, BenchError> {
    let mut document = automerge::Automerge::new();
    let mut tx = document.transaction();
    sync_core::document::json::write_json(&mut tx, &small_layer(1)).during("write a document")?;
    tx.commit();
    let saved = document.save();
    let before = heap();
    let loaded: Result<Vec<_>, _> = (0..LOADED).map(|_| automerge::Automerge::load(&saved)).collect();
    let loaded = loaded.during("load a document")?;
    let taken = heap().saturating_sub(before);
    drop(loaded);
    Ok(taken)
}
