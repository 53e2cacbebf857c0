//! One crash image: does the machine come back from it with everything it owed, and does it go on?

use std::collections::BTreeSet;

use rusqlite::{Connection, OpenFlags, OptionalExtension};
use serde_json::json;
use simulator::disk::images::{Chronicle, Holdings};
use simulator::disk::{CrashPolicy, Disk, DiskImage, Moment};
use sync_core::document::DocumentKey;
use sync_core::id::NodeId;
use sync_core::replica::{Desired, DesiredError, Event, Replica, in_process};
use sync_core::store::{DATABASE_FILE, StoreError};
use sync_core::wire::{Message, PushEntry};

use crate::machine::{Machine, Member, Model, NOW, Seeded};
use crate::story::{HUB, NODE, enrol};

/// A crash, and what is known of the world at that moment.
pub(crate) struct Crash<'a> {
    pub(crate) who: usize,
    pub(crate) members: [&'a Member; 2],
    pub(crate) image: &'a DiskImage,
    pub(crate) moment: &'a Moment,
    pub(crate) chronicle: &'a Chronicle,
    /// What the other machine's disk held; `None` before it was first started.
    pub(crate) other: Option<&'a DiskImage>,
    /// What the machine owed before the call that was under way, and what it owes after it.
    pub(crate) before: &'a Model,
    pub(crate) after: &'a Model,
    /// A machine was set back to a backup before: the two may find out about it only now.
    pub(crate) forked: bool,
}

fn text(error: &dyn std::error::Error) -> String {
    error.to_string()
}

/// # Errors
/// What is wrong with the image.
pub(crate) fn judge(crash: &Crash<'_>, entropy: &mut Seeded) -> Result<(), String> {
    let disk = Disk::from_image(entropy.0.next_u64(), crash.image);
    // By plain SQL, before the engine has touched it.
    let found = Holdings::of(&disk.copy(1)).map_err(|error| text(&error))?;
    if !crash.chronicle.allows(crash.moment, &found) {
        return Err(crash.chronicle.explain(crash.moment, &found));
    }
    let mut replica = crash.members[crash.who].start(&disk, entropy)?;
    if found.has_identity() {
        let started = Holdings::of(&disk).map_err(|error| text(&error))?;
        // The authority of a hub is kept after its identity, so the start may have had to add it.
        if started != found && found.difference(&started) != ["authority"] {
            return Err("opening it changed it".to_owned());
        }
        keeps_its_word(crash, &mut replica).map_err(|error| text(&error))??;
    }
    let Some(other) = crash.other else { return Ok(()) };
    let other_disk = Disk::from_image(entropy.0.next_u64(), other);
    let mut other = crash.members[1 - crash.who].start(&other_disk, entropy)?;
    let (hub, node) = if crash.who == HUB { (&mut replica, &mut other) } else { (&mut other, &mut replica) };
    goes_on(crash, hub, node)?;
    for disk in [&disk, &other_disk] {
        Holdings::of(disk).map_err(|error| format!("after the next conversation: {error}"))?;
    }
    Ok(())
}

/// Everything of the model is there; what was under way may be too.
fn keeps_its_word(crash: &Crash<'_>, replica: &mut Replica) -> Result<Result<(), String>, StoreError> {
    let (before, after) = (crash.before, crash.after);
    let own = DocumentKey::observed(crash.members[crash.who].id());
    let report = reported(replica, &own)?;
    // A node that was set back gets its later reports back from the hub.
    let is_later = crash.forked && report > before.report;
    if crash.who == NODE && !is_later && ![before.report, after.report].contains(&report) {
        return Ok(Err(format!("it reported {report:?}, and should {:?} or {:?}", before.report, after.report)));
    }
    let other = crash.members[1 - crash.who].id();
    replica.inspect(|tx| {
        let local = tx.local::<u64>("turn")?;
        if ![before.local, after.local].contains(&local) {
            return Ok(Err(format!("its value is {local:?}, and should be {:?} or {:?}", before.local, after.local)));
        }
        let cursor = tx.peer(other)?.and_then(|row| row.cursor).map_or(0, |place| place.number);
        // A feed that starts over is numbered anew.
        if !crash.forked && cursor < before.acknowledged {
            return Ok(Err(format!("it acknowledged {} and holds {cursor}", before.acknowledged)));
        }
        for (document, (generation, heads)) in &before.frontiers {
            let Some(stored) = tx.document(*document)? else { return Ok(Err(format!("{document} is gone"))) };
            let held = tx.find_frontier(stored.row, *generation, heads)?.is_some_and(|row| row.held);
            if !held && stored.generation <= *generation {
                return Ok(Err(format!("it does not hold {document} at {}", heads.short())));
            }
        }
        Ok(Ok(()))
    })
}

/// The last report of a node: the one that waits, or the one that was cut.
pub(crate) fn reported(replica: &mut Replica, own: &DocumentKey) -> Result<Option<u64>, StoreError> {
    replica.inspect(|tx| {
        let Some(document) = tx.document(own.id())? else { return Ok(None) };
        let state = match tx.pending(document.row)? {
            Some(state) => Some(state),
            None => tx.view(document.row)?,
        };
        Ok(state.and_then(|state| state.get("objects")?.get("web")?.get("ready")?.as_u64()))
    })
}

/// The two meet again, hold the same, refuse nothing, and come to rest.
fn goes_on(crash: &Crash<'_>, hub: &mut Replica, node: &mut Replica) -> Result<(), String> {
    let id = crash.members[NODE].id();
    enrol(hub, crash.members[NODE]).map_err(|error| text(&error))?;
    let quarantined =
        |replica: &mut Replica| replica.inspect(|tx| tx.quarantine_length()).map_err(|error| text(&error));
    let before = (quarantined(hub)?, quarantined(node)?);
    let own = DocumentKey::observed(id);
    let said = reported(node, &own).map_err(|error| text(&error))?;
    let met = in_process::sync(NOW, node, hub).map_err(|error| text(&error))?;
    let troubled: Vec<&Event> = met.events.iter().map(|(_, event)| event).filter(|event| is_trouble(event)).collect();
    if !crash.forked && !troubled.is_empty() {
        return Err(format!("the next conversation brought {troubled:?}"));
    }
    if crash.forked {
        for _ in 0..3 {
            in_process::sync(NOW, node, hub).map_err(|error| text(&error))?;
        }
    }
    if (quarantined(hub)?, quarantined(node)?) != before {
        return Err("something was put into quarantine".to_owned());
    }
    let shown = [&mut *hub, &mut *node].map(|replica| replica.read(&own).map(|view| view.map(|view| view.state)));
    let [at_hub, at_node] = shown;
    let (at_hub, at_node) = (at_hub.map_err(|error| text(&error))?, at_node.map_err(|error| text(&error))?);
    if at_hub != at_node {
        return Err(format!("the hub shows {at_hub:?} of the node, and the node {at_node:?}"));
    }
    let shown = at_hub.and_then(|state| state.get("objects").cloned());
    // After a fork, a report that was newer than the backup may be what both have.
    if !crash.forked && shown != said.map(|ready| json!({ "web": { "ready": ready } })) {
        return Err(format!("the node said {said:?}, and the hub shows {shown:?}"));
    }
    match (hub.desired_of(id), node.desired()) {
        (Ok(wanted), Ok(found)) if wanted == found => {}
        // Nothing is released or assigned yet.
        (Err(_), Err(_)) => {}
        (wanted, found) => {
            let versions = |desired: Result<Desired, DesiredError>| {
                let layers = |it: &Desired| it.layers.iter().map(|layer| layer.version).collect::<Vec<_>>();
                desired.map(|it| (it.assignment.version, it.release.version, layers(&it), it.waiting))
            };
            return Err(format!("the hub wants {:?}, and the node has {:?}", versions(wanted), versions(found)));
        }
    }
    let rest = in_process::sync(NOW, node, hub).map_err(|error| text(&error))?;
    if rest.frames != 2 {
        return Err(format!("they do not come to rest: {} frames", rest.frames));
    }
    Ok(())
}

fn is_trouble(event: &Event) -> bool {
    !matches!(event, Event::Changed(_) | Event::LinkLive(_) | Event::LinkDown(_) | Event::Synced(_))
}

/// Invariant 2, and the other half of invariant 1: whatever a frame says is durable when the frame leaves.
///
/// # Errors
/// What left too early.
pub(crate) fn left_when_durable(machine: &Machine, to: NodeId, frames: &[Vec<u8>]) -> Result<(), String> {
    if frames.is_empty() {
        return Ok(());
    }
    let image = machine.disk.crash_image(CrashPolicy::Lost, &mut Seeded::new(0).0);
    let disk = Disk::from_image(0, &image);
    let connection = Connection::open_with_flags_and_vfs(DATABASE_FILE, OpenFlags::default(), disk.name());
    let connection = connection.map_err(|error| text(&error))?;
    let place = |column: &str| {
        let sql = format!("SELECT {column} FROM peer WHERE node = ?");
        let found = connection.query_row(&sql, [to.0], |row| row.get::<_, u64>(0)).optional();
        found.map(Option::unwrap_or_default).map_err(|error| text(&error))
    };
    let mut wrong = BTreeSet::new();
    for frame in frames {
        match Message::decode(frame, machine.member.id()).map_err(|error| text(&error))? {
            Message::Push(push) => {
                if push.through.is_some_and(|through| Ok(through.number()) > place("head")) {
                    wrong.insert("a step of a feed that is not durable".to_owned());
                }
                let Some(PushEntry::Delta(delta)) = push.entry else { continue };
                let Some(signed) = delta.frontier else { continue };
                let frontier = signed.frontier;
                let sql = "SELECT count(*) FROM log JOIN document ON document.id = log.document
                           WHERE document.document = ? AND log.generation = ? AND heads = ?";
                let parameters = (frontier.document.0, frontier.generation, frontier.heads.to_bytes());
                let held = connection.query_row(sql, parameters, |row| row.get::<_, u64>(0));
                if held.map_err(|error| text(&error))? == 0 {
                    wrong.insert(format!("a frontier of {} that is not durable", frontier.document));
                }
            }
            Message::Acknowledge(position) if position > place("cursor")? => {
                wrong.insert(format!("an acknowledgement of {position}"));
            }
            Message::Hello(hello) => {
                let incarnation = connection.query_row("SELECT incarnation FROM store", [], |row| row.get::<_, u32>(0));
                if incarnation.map_err(|error| text(&error))? < hello.incarnation.number {
                    wrong.insert("an incarnation".to_owned());
                }
                if hello.head.number > place("head")? {
                    wrong.insert("the head of a feed".to_owned());
                }
            }
            Message::Resume(resume) => {
                let sql = "SELECT coalesce(max(held), 0) FROM transfer WHERE transfer = ?";
                let held = connection.query_row(sql, [resume.transfer.0], |row| row.get::<_, u64>(0));
                if held.map_err(|error| text(&error))? < resume.offset {
                    wrong.insert("a part of a transfer".to_owned());
                }
            }
            Message::Acknowledge(_)
            | Message::Refuse(_)
            | Message::Close(_)
            | Message::Summary(_)
            | Message::Want(_)
            | Message::Reconcile(_)
            | Message::Credit(_) => {}
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(format!("left before it was durable: {wrong:?}")) }
}
