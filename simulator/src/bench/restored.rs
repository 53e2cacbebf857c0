//! Two hubs that know the same documents, of which one is set back to a backup.

use sync_core::identity::Role;
use sync_core::replica::WriteError;

use super::fleet::{Fleet, Passed, Place};
use super::table::{Table, count, time};
use super::workload::{layer, small_layer};
use super::{BenchError, During, Options, idle, peers};

/// Bytes of a document id and the hash of its frontier in a plain list.
const PAIR_BYTES: u64 = 16 + 32;

/// Measures and compares.
pub(super) fn measure(options: &Options) -> Result<Table, BenchError> {
    let (documents, differing) = if options.quick { (60, 6) } else { (10_000, 100) };
    let mut table = Table::new(
        "Two hubs after one was restored",
        &["what", "bytes", "of them documents", "round trips", "links", "CPU of the restored hub"],
    );
    table.say(format!(
        "Two hubs hold {} documents. A backup is made of one, {differing} documents change and reach it, then it is set back \
         to the backup. The peers only find out which documents differ; ours has moved them too when it ends.",
        count(documents as u64)
    ));
    let (passed, needed) = ours(documents, differing)?;
    let of_documents = |bytes: u64| count(bytes);
    table.row([
        "Archipel, first meeting after the restore".to_owned(),
        count(passed.bytes),
        of_documents(passed.push_bytes),
        passed.round_trips().to_string(),
        passed.dials.to_string(),
        time(passed.acceptor.cpu),
    ]);
    table.row(["the differing documents alone, as the changes are pushed".to_owned(), count(needed), count(needed)]);
    let list = documents as u64 * PAIR_BYTES;
    table.row([
        "listing all (document, frontier) pairs".to_owned(),
        count(list),
        "0".to_owned(),
        "1".to_owned(),
        "1".to_owned(),
    ]);
    for figure in peers::measure(options, "restored", &[documents as u64, differing as u64]) {
        table.row([
            figure.text("engine"),
            count(figure.number("bytes")),
            "0".to_owned(),
            figure.number("round_trips").to_string(),
            "1".to_owned(),
            time(std::time::Duration::from_nanos(figure.number("cpu_ns"))),
        ]);
    }
    peers::say_if_missing(options, &mut table);
    Ok(table)
}

/// The meeting after the restore, and what the differing documents took when they were pushed the first time.
fn ours(documents: usize, differing: usize) -> Result<(Passed, u64), BenchError> {
    let mut fleet = Fleet::new(4)?;
    let (mut one, mut other) = (fleet.join(Role::Hub, Place::Memory)?, fleet.join(Role::Hub, Place::Memory)?);
    idle::write_layers(&mut fleet, &mut one, documents)?;
    fleet.converse(&mut one, &mut other)?;
    let other = fleet.restart(other, None)?;
    let backup = other.copy(Place::Memory)?;
    let mut other = other;
    let now = fleet.now();
    let keys: Vec<_> = (0..differing).map(|index| layer(&format!("layer-{}", index * 97 % documents))).collect();
    let written = one.replica.edit(now, |edit| {
        for (index, key) in keys.iter().flatten().enumerate() {
            edit.write(key, &small_layer(documents + index))?;
        }
        Ok::<_, WriteError>(())
    });
    written.during("write layers")?;
    let needed = fleet.converse(&mut one, &mut other)?.push_bytes;
    let mut other = fleet.restart(other, Some(backup))?;
    let passed = fleet.converse(&mut one, &mut other)?;
    for key in keys.into_iter() {
        let key = key?;
        let views = [&mut one, &mut other].map(|hub| hub.replica.read(&key));
        match views {
            [Ok(Some(here)), Ok(Some(there))] if here.state == there.state => {}
            _ => return Err(BenchError::Wrong(format!("the restored hub lacks the newest {key}"))),
        }
    }
    Ok((passed, needed))
}
