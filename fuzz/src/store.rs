//! A data folder with a damaged or invented database: opened, read from end to end, written and served, or refused.

use std::fs;
use std::sync::OnceLock;

use serde_json::json;
use sync_core::env::no_witness;
use sync_core::id::LinkId;
use sync_core::identity::VerifiedPeer;
use sync_core::replica::{Now, Replica};
use sync_core::store::{DATABASE_FILE, Store, StoreError};

use crate::Seed;
use crate::world::{Fleet, Seeded, layer_key, map, memory_folder};

/// Bytes of one edit: four say where, the fifth is written there.
const EDIT_BYTES: usize = 5;

struct Template {
    database: Vec<u8>,
    hub: VerifiedPeer,
}

/// The database of a node that has an assignment, a release, a layer and reports.
fn template() -> &'static Template {
    static TEMPLATE: OnceLock<Template> = OnceLock::new();
    TEMPLATE.get_or_init(|| {
        let mut fleet = Fleet::new(1);
        let (hub, node) = (fleet.hub(), fleet.node());
        fleet.write_layer(hub, "base", json!({ "image": "web:1", "ports": [80, 443] }));
        fleet.release(hub, &["base"]);
        fleet.assign(hub, node, &["base"]);
        fleet.report(node, json!({ "web": { "status": "ready" } }));
        fleet.sync(node, hub);
        fleet.report(node, json!({ "web": { "status": "waiting" } }));
        // The database is whole in its one file once the replica is gone.
        fleet.restart(node);
        Template { database: fs::read(fleet.folder(node).join(DATABASE_FILE)).unwrap(), hub: fleet.peer(hub) }
    })
}

/// An even first byte: the rest is the file. An odd one: the rest is edits of a real file.
pub fn run(bytes: &[u8]) {
    // Automerge may panic on intact chunks that do not belong together; the engine catches that. What it does not catch is a
    // finding. libFuzzer's hook would end the process on both.
    static HOOK: std::sync::Once = std::sync::Once::new();
    HOOK.call_once(|| {
        template();
        std::panic::set_hook(Box::new(|_| {}));
    });
    if let Err(panic) = std::panic::catch_unwind(|| try_run(bytes)) {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        eprintln!("panicked: {}", text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("no text"));
        std::process::abort();
    }
}

fn try_run(bytes: &[u8]) {
    let Some((kind, rest)) = bytes.split_first() else { return };
    let template = template();
    let database = if kind % 2 == 0 {
        rest.to_vec()
    } else {
        let mut database = template.database.clone();
        for edit in rest.as_chunks::<EDIT_BYTES>().0 {
            let [a, b, c, d, value] = *edit;
            let at = u32::from_be_bytes([a, b, c, d]) as usize % database.len();
            database[at] = value;
        }
        database
    };
    let folder = memory_folder();
    fs::write(folder.path().join(DATABASE_FILE), database).unwrap();
    if let Ok(mut store) = Store::open_to_read(folder.path()) {
        drop(store.begin_read().and_then(|tx| tx.identity()));
    }
    if let Ok(store) = Store::open(folder.path())
        && let Ok(replica) = Replica::open(store, &mut Seeded(2), no_witness())
    {
        use_replica(replica, &template.hub);
    }
}

/// What an agent does with its replica. Each step may fail; none may panic.
fn use_replica(mut replica: Replica, hub: &VerifiedPeer) {
    drop(replica.inspect(|tx| {
        for document in tx.documents()? {
            let generation = document.generation;
            drop((tx.history(document.row, generation), tx.chunks(document.row, generation), tx.view(document.row)));
            drop((tx.log_of(document.row), tx.roots_between(document.row, 0, generation)));
            drop((tx.pending(document.row), document.latest.map(|latest| tx.log_row(latest))));
        }
        drop((tx.peers(), tx.quarantined(), tx.open_tokens(0), tx.authority()));
        Ok::<_, StoreError>(())
    }));
    drop(replica.desired());
    drop(replica.read(&layer_key("base")));
    let observed = sync_core::document::DocumentKey::observed(replica.identity().id());
    drop(replica.write(Now::default(), &observed, &map(json!({ "objects": {} }))));
    let link = LinkId(1);
    drop(replica.handle_link_up(Now::default(), link, hub, true));
    while replica.poll_output().is_some() {}
    drop(replica.handle_link_down(Now::default(), link));
}

/// Edits here and there, an empty file and the start of a real one.
pub fn seeds() -> Vec<Seed> {
    let database = &template().database;
    let edit = |at: u32, value: u8| [&at.to_be_bytes()[..], &[value]].concat();
    let mut seeds = vec![
        ("empty".to_owned(), vec![0]),
        ("header".to_owned(), [&[0][..], &database[..100]].concat()),
        ("intact".to_owned(), vec![1]),
    ];
    for page in (0..database.len() as u32).step_by(4096) {
        seeds
            .push((format!("page-{}", page / 4096), [&[1][..], &edit(page + 5, 0xff), &edit(page + 4000, 1)].concat()));
    }
    seeds
}
