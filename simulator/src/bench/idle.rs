//! Reconnect with nothing changed: two replicas that hold the same documents meet again.

use std::time::Duration;

use automerge::sync::{State, SyncDoc};
use automerge::transaction::{CommitOptions, Transactable};
use automerge::{ActorId, Automerge, ROOT};
use sync_core::document::genesis::genesis;
use sync_core::document::history::ChangeMeta;
use sync_core::document::{ActorBytes, Clock, Frontier, Heads, json, materialise};
use sync_core::id::ChangeHash;
use sync_core::identity::Role;
use sync_core::replica::WriteError;
use sync_core::store::StoreError;

use super::fleet::{Fleet, Member, Passed, Place};
use super::measure::Spent;
use super::table::{Table, count, ratio, time};
use super::workload::{layer, small_layer};
use super::{BenchError, During, Options, peers};

/// Documents that one edit writes.
const DOCUMENTS_AN_EDIT: usize = 500;

/// One line of the table.
struct Cost {
    bytes: u64,
    round_trips: u64,
    hub: Duration,
}

/// Measures and compares.
pub(super) fn measure(options: &Options) -> Result<Table, BenchError> {
    let mut table = Table::new(
        "Reconnect with nothing changed",
        &["documents x changes each", "engine", "payload bytes", "round trips", "hub CPU", "hub CPU / ours"],
    );
    table.say(
        "Both sides hold the same and know it. Payload is everything above the transport, both ways; of the peers only their \
         messages are counted, without framing or document names. Hub CPU is the accepting side's, with all documents of a \
         peer in memory already; ours reads its database and loads no document.",
    );
    let (few, many, deep) = if options.quick { (10, 50, 20) } else { (100, 10_000, 1_000) };
    for (documents, changes) in [(few, 1), (few, deep), (many, 1), (many, deep)] {
        let deep_documents = if changes == 1 { 0 } else { few };
        let name = format!("{} x {}", count(documents as u64), count(changes as u64));
        let ours = ours(documents - deep_documents, deep_documents, changes)?;
        let rows = [
            ("Automerge sync, states persisted".to_owned(), automerge(documents, changes, true)?),
            ("Automerge sync, fresh states".to_owned(), automerge(documents, changes, false)?),
        ];
        line(&mut table, &name, "Archipel", &ours, None);
        rows.iter().for_each(|(engine, cost)| line(&mut table, &name, engine, cost, Some(&ours)));
        for figure in peers::measure(options, "idle", &[documents as u64, changes as u64]) {
            let hub = Duration::from_nanos(figure.number("cpu_ns"));
            let cost = Cost { bytes: figure.number("bytes"), round_trips: figure.number("round_trips"), hub };
            line(&mut table, &name, &figure.text("engine"), &cost, Some(&ours));
        }
    }
    table.say(format!(
        "{0} x {1}: ours holds {few} documents of {1} changes and the rest of one, since writing ten million changes takes \
         hours and no part of the conversation depends on it; of Automerge one pair of documents plays all {0}. \
         Of samod-core at most a thousand documents are measured and multiplied (fair for bytes, kind to its CPU time, which \
         grows faster than that). negentropy only finds out which documents are there at which heads, it moves nothing.",
        count(many as u64),
        count(deep as u64),
    ));
    peers::say_if_missing(options, &mut table);
    Ok(table)
}

fn line(table: &mut Table, name: &str, engine: &str, cost: &Cost, ours: Option<&Cost>) {
    let to_ours = ours.map_or_else(String::new, |ours| ratio(cost.hub.as_secs_f64(), ours.hub.as_secs_f64()));
    table.row([
        name.to_owned(),
        engine.to_owned(),
        count(cost.bytes),
        cost.round_trips.to_string(),
        time(cost.hub),
        to_ours,
    ]);
}

fn ours(shallow: usize, deep: usize, changes: usize) -> Result<Cost, BenchError> {
    const TIMES: u32 = 20;
    let mut fleet = Fleet::new(1)?;
    let (mut one, mut other) = (fleet.join(Role::Hub, Place::Memory)?, fleet.join(Role::Hub, Place::Memory)?);
    write_layers(&mut fleet, &mut one, shallow)?;
    write_deep_layers(&mut fleet, &mut one, deep, changes)?;
    fleet.converse(&mut other, &mut one)?;
    let (mut one, mut other) = (fleet.restart(one, None)?, fleet.restart(other, None)?);
    let mut hub = Duration::ZERO;
    let mut passed = Passed::default();
    for _ in 0..TIMES {
        passed = fleet.converse(&mut other, &mut one)?;
        hub += passed.acceptor.cpu;
    }
    if passed.push_bytes > 0 || one.replica.documents_loaded() > 0 {
        return Err(BenchError::Wrong("two replicas that hold the same moved documents".to_owned()));
    }
    Ok(Cost { bytes: passed.bytes, round_trips: passed.round_trips(), hub: hub / TIMES })
}

/// Writes so many layers of one change each.
pub(super) fn write_layers(fleet: &mut Fleet, hub: &mut Member, number: usize) -> Result<(), BenchError> {
    let keys: Vec<_> = (0..number).map(|number| layer(&format!("layer-{number}"))).collect::<Result<_, _>>()?;
    for (index, keys) in keys.chunks(DOCUMENTS_AN_EDIT).enumerate() {
        let now = fleet.now();
        let written = hub.replica.edit(now, |edit| {
            for (offset, key) in keys.iter().enumerate() {
                edit.write(key, &small_layer(index * DOCUMENTS_AN_EDIT + offset))?;
            }
            Ok::<_, WriteError>(())
        });
        written.during("write layers")?;
        while hub.replica.poll_output().is_some() {}
    }
    Ok(())
}

/// Writes so many layers with so many changes each straight into the store, as many edits would have left them. An edit
/// loads its document, which for a thousand edits of a hundred documents takes minutes.
fn write_deep_layers(fleet: &mut Fleet, hub: &mut Member, number: usize, changes: usize) -> Result<(), BenchError> {
    for index in 0..number {
        let key = layer(&format!("deep-{index}"))?;
        let root = genesis(&key);
        let actor = ActorBytes::mint(&hub.id(), (index as u64).to_be_bytes());
        let mut document =
            materialise::load(std::slice::from_ref(&root.bytes), Some(actor)).during("load a document")?;
        for number in 0..changes {
            let mut tx = document.transaction();
            json::write_json(&mut tx, &small_layer(number)).during("write a change")?;
            tx.commit_with(CommitOptions::default().with_time(0));
        }
        let heads = document.get_heads().iter().map(|head| ChangeHash(head.0)).collect();
        let heads = Heads::new(heads).ok_or_else(|| BenchError::Wrong("a document has no heads".to_owned()))?;
        let state = materialise::state_at(&document, &heads).during("read a document")?;
        let mut clock = Clock::default();
        clock.raise(root.meta.actor, root.meta.seq);
        clock.raise(actor, changes as u64);
        let frontier = Frontier { document: key.id(), generation: 0, version: changes as u64, heads };
        let signed = frontier.sign(hub.replica.shared_identity().key());
        let now = fleet.now();
        let written = hub.replica.edit(now, |edit| {
            let tx = edit.tx();
            let row = tx.add_document(&key, 0)?.row;
            tx.add_change(row, 0, &root.meta, &root.bytes)?;
            for change in document.get_changes(&[]).iter().filter(|change| change.actor_id().to_bytes() == actor.0) {
                tx.add_change(row, 0, &meta(change, actor), change.raw_bytes())?;
            }
            let seq = tx.append_frontier(row, &signed, &clock, now.wall)?;
            tx.set_latest(row, seq)?;
            tx.set_view(row, seq, &state)?;
            tx.mark_hubs_dirty()
        });
        written.map_err(|error: StoreError| error).during("write a long history")?;
    }
    Ok(())
}

fn meta(change: &automerge::Change, actor: ActorBytes) -> ChangeMeta {
    ChangeMeta {
        hash: ChangeHash(change.hash().0),
        actor,
        seq: change.seq(),
        start_op: change.start_op().get(),
        max_op: change.max_op(),
        deps: change.deps().iter().map(|dep| ChangeHash(dep.0)).collect(),
    }
}

/// One pair of equal documents, so many times: nothing is shared between documents in Automerge's sync.
fn automerge(documents: usize, changes: usize, persisted: bool) -> Result<Cost, BenchError> {
    let mut one = Automerge::new().with_actor(ActorId::from(&[1; 16][..]));
    for number in 0..changes {
        let mut tx = one.transaction();
        tx.put(ROOT, "number", number.to_string()).during("write an Automerge change")?;
        tx.commit_with(CommitOptions::default().with_time(0));
    }
    let mut other = one.fork().with_actor(ActorId::from(&[2; 16][..]));
    let (mut one_state, mut other_state) = (State::new(), State::new());
    let mut spent = Spent::default();
    sync(&mut one, &mut one_state, &mut other, &mut other_state, &mut spent)?;
    let (one_kept, other_kept) = (one_state.encode(), other_state.encode());
    let mut cost = Cost { bytes: 0, round_trips: 0, hub: Duration::ZERO };
    let mut hub = Spent::default();
    for _ in 0..documents {
        let restore = |kept: &[u8]| if persisted { State::decode(kept) } else { Ok(State::new()) };
        let mut dialer_state = restore(&other_kept).during("read a sync state")?;
        let mut hub_state = hub.on(|| restore(&one_kept)).during("read a sync state")?;
        let (bytes, flights) = sync(&mut other, &mut dialer_state, &mut one, &mut hub_state, &mut hub)?;
        cost.bytes += bytes;
        cost.round_trips = cost.round_trips.max(flights.div_ceil(2));
    }
    cost.hub = hub.cpu;
    Ok(cost)
}

/// Lets two documents talk until both are silent: bytes of messages, and flights. `spent` gets the acceptor's time.
pub(super) fn sync(
    dialer: &mut Automerge,
    dialer_state: &mut State,
    acceptor: &mut Automerge,
    acceptor_state: &mut State,
    spent: &mut Spent,
) -> Result<(u64, u64), BenchError> {
    let (mut bytes, mut flights) = (0, 0);
    loop {
        let forth = dialer.generate_sync_message(dialer_state).map(automerge::sync::Message::encode);
        let is_silent = forth.is_none();
        if let Some(message) = forth {
            (bytes, flights) = (bytes + message.len() as u64, flights + 1);
            spent.on(|| receive(acceptor, acceptor_state, &message))?;
        }
        let back = spent.on(|| acceptor.generate_sync_message(acceptor_state).map(automerge::sync::Message::encode));
        match back {
            Some(message) => {
                (bytes, flights) = (bytes + message.len() as u64, flights + 1);
                receive(dialer, dialer_state, &message)?;
            }
            None if is_silent => return Ok((bytes, flights)),
            None => {}
        }
    }
}

fn receive(document: &mut Automerge, state: &mut State, message: &[u8]) -> Result<(), BenchError> {
    let message = automerge::sync::Message::decode(message).during("read a sync message")?;
    document.receive_sync_message(state, message).during("take a sync message")
}
