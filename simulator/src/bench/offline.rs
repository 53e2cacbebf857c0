//! Updates made offline: what a node that was away for N updates of its report sends when it is back.

use automerge::sync::State;
use sync_core::document::DocumentKey;
use sync_core::identity::Role;
use sync_core::replica::WriteError;

use super::fleet::{Fleet, Place};
use super::measure::Spent;
use super::table::{Table, count, ratio};
use super::workload::{Workloads, merge_patch, zstd_19};
use super::{BenchError, During, Options, idle};

const WORKLOADS: usize = 60;

/// Reports that one edit takes: the engine keeps the last one, so this only saves commits.
const REPORTS_AN_EDIT: u64 = 1_000;

/// Updates that both sides had before. Automerge sends a whole document when more than a third of its changes are missing,
/// which is not what a node with a past shows.
const UPDATES_BEFORE: u64 = 1_000;

/// Measures and compares.
pub(super) fn measure(options: &Options) -> Result<Table, BenchError> {
    let mut table = Table::new(
        "A node that was offline",
        &[
            "updates",
            "Archipel, whole conversation",
            "of it hellos and acknowledgements",
            "of it signature and head",
            "of it the rest: what changed",
            "optimum: zstd 19 of the JSON merge patch",
            "what changed / optimum",
            "raw changes",
            "Automerge sync",
            "Automerge bundle + zstd 19",
            "round trips: ours",
            "Automerge sync's",
        ],
    );
    table.say(format!(
        "One observed document with {WORKLOADS} workloads of eight fields; an update changes three fields of one. Both sides \
         held the same {} updates before. Bytes both ways. Automerge sync: persisted states, messages only; \"raw changes\" and the \
         bundle are one Automerge change an update, without any protocol.",
        count(UPDATES_BEFORE)
    ));
    let all = [1, 10, 100, 1_000, 10_000, 120_960];
    for updates in all.into_iter().take(if options.quick { 3 } else { all.len() }) {
        let ours = ours(updates)?;
        let peer = automerge(updates)?;
        let rest = ours.push_bytes.saturating_sub(ours.proof_bytes);
        table.row([
            count(updates),
            count(ours.bytes),
            count(ours.bytes - ours.push_bytes),
            count(ours.proof_bytes),
            count(rest),
            count(ours.optimum),
            ratio(rest as f64, ours.optimum as f64),
            count(peer.raw),
            count(peer.sync),
            count(peer.bundle),
            ours.round_trips.to_string(),
            peer.round_trips.to_string(),
        ]);
    }
    Ok(table)
}

struct Ours {
    bytes: u64,
    push_bytes: u64,
    proof_bytes: u64,
    round_trips: u64,
    optimum: u64,
}

fn ours(updates: u64) -> Result<Ours, BenchError> {
    let mut fleet = Fleet::new(2)?;
    let (mut hub, mut node) = (fleet.join(Role::Hub, Place::Memory)?, fleet.join(Role::Node, Place::Memory)?);
    let key = DocumentKey::observed(node.id());
    let mut workloads = Workloads::new(WORKLOADS, updates);
    (0..UPDATES_BEFORE).for_each(|_| drop(workloads.update()));
    let before = workloads.state();
    let now = fleet.now();
    node.replica.edit(now, |edit| edit.report(&key, &before)).during("report")?;
    fleet.converse(&mut node, &mut hub)?;
    let mut node = fleet.restart(node, None)?;
    let mut left = updates;
    while left > 0 {
        let some = left.min(REPORTS_AN_EDIT);
        left -= some;
        let now = fleet.now();
        let reported = node.replica.edit(now, |edit| {
            (0..some).try_for_each(|_| {
                let _ = workloads.update();
                edit.report(&key, &workloads.state())
            })?;
            Ok::<_, WriteError>(())
        });
        reported.during("report")?;
    }
    let passed = fleet.converse(&mut node, &mut hub)?;
    let arrived = hub.replica.read(&key).during("read a report")?;
    if arrived.map(|view| view.state) != Some(workloads.state()) {
        return Err(BenchError::Wrong("the hub does not hold the last report".to_owned()));
    }
    let patch = serde_json::to_vec(&merge_patch(&before, &workloads.state())).during("write JSON")?;
    Ok(Ours {
        bytes: passed.bytes,
        push_bytes: passed.push_bytes,
        proof_bytes: passed.proof_bytes,
        round_trips: passed.round_trips(),
        optimum: zstd_19(&patch)?,
    })
}

struct Peer {
    raw: u64,
    sync: u64,
    bundle: u64,
    round_trips: u64,
}

fn automerge(updates: u64) -> Result<Peer, BenchError> {
    let mut workloads = Workloads::new(WORKLOADS, updates);
    let mut node = workloads.to_automerge([1; 16])?;
    (0..UPDATES_BEFORE).try_for_each(|_| workloads.update().write_to(&mut node))?;
    let mut hub = node.fork();
    let (mut node_state, mut hub_state) = (State::new(), State::new());
    let mut spent = Spent::default();
    idle::sync(&mut node, &mut node_state, &mut hub, &mut hub_state, &mut spent)?;
    let (mut node_state, mut hub_state) = (persisted(&node_state)?, persisted(&hub_state)?);
    let before = node.get_heads();
    for _ in 0..updates {
        workloads.update().write_to(&mut node)?;
    }
    let changes = node.get_changes(&before);
    let raw = changes.iter().map(|change| change.raw_bytes().len() as u64).sum();
    let bundle = node.bundle(changes.iter().map(automerge::Change::hash)).during("make a bundle")?;
    let bundle = zstd_19(bundle.bytes())?.min(bundle.bytes().len() as u64);
    let (sync, flights) = idle::sync(&mut node, &mut node_state, &mut hub, &mut hub_state, &mut spent)?;
    Ok(Peer { raw, sync, bundle, round_trips: flights.div_ceil(2) })
}

fn persisted(state: &State) -> Result<State, BenchError> {
    State::decode(&state.encode()).during("read a sync state")
}
