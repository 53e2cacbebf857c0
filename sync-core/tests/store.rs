//! The data folder: who may open it, what is refused untouched, and the bounds of its tables.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "fleet/world.rs"]
mod world;

use std::fs;
use std::path::Path;

use serde_json::json;
use sync_core::env::WallTime;
use sync_core::id::NodeId;
use sync_core::identity::Role;
use sync_core::limits::{QUARANTINE_BYTES_MAX, QUARANTINE_ENTRIES_MAX};
use sync_core::replica::WriteError;
use sync_core::store::{DATABASE_FILE, OpenError, Redemption, Store, TokenRow};

use world::{Fleet, layer_key, memory_folder};

fn sqlite(folder: &Path, sql: &str) {
    let connection = rusqlite::Connection::open(folder.join(DATABASE_FILE)).unwrap();
    connection.execute_batch(sql).unwrap();
}

fn bytes(folder: &Path) -> Vec<u8> {
    fs::read(folder.join(DATABASE_FILE)).unwrap()
}

#[test]
fn a_folder_has_one_holder() {
    let folder = memory_folder();
    let held = Store::open(folder.path()).unwrap();
    assert!(matches!(Store::open(folder.path()), Err(OpenError::Held { .. })));
    Store::open_to_read(folder.path()).unwrap();
    drop(held);
    Store::open(folder.path()).unwrap();
}

#[test]
fn a_file_of_a_later_format_is_refused_and_untouched() {
    let folder = memory_folder();
    drop(Store::open(folder.path()).unwrap());
    // A later format may keep another journal mode; opening must not change that either.
    sqlite(folder.path(), "PRAGMA journal_mode = DELETE; PRAGMA user_version = 99;");
    let before = bytes(folder.path());
    for _ in 0..2 {
        assert!(matches!(Store::open(folder.path()), Err(OpenError::Newer { found: 99, known: 1, .. })));
        assert_eq!(bytes(folder.path()), before);
    }
    assert!(matches!(Store::open_to_read(folder.path()), Err(OpenError::Newer { .. })));
    assert_eq!(bytes(folder.path()), before);
}

#[test]
fn another_program_s_database_is_refused_and_untouched() {
    for sql in ["CREATE TABLE notes (text);", "PRAGMA application_id = 7;", "PRAGMA user_version = 1;"] {
        let folder = memory_folder();
        sqlite(folder.path(), sql);
        let before = bytes(folder.path());
        assert!(matches!(Store::open(folder.path()), Err(OpenError::Foreign { .. })), "{sql}");
        assert_eq!(bytes(folder.path()), before, "{sql}");
    }
    let folder = memory_folder();
    fs::write(folder.path().join(DATABASE_FILE), vec![b'x'; 8192]).unwrap();
    assert!(matches!(Store::open(folder.path()), Err(OpenError::Store(_))));
    assert_eq!(bytes(folder.path()), vec![b'x'; 8192]);
}

#[test]
fn a_folder_without_a_database_is_not_read() {
    let folder = memory_folder();
    assert!(matches!(Store::open_to_read(folder.path()), Err(OpenError::Missing { .. })));
    fs::write(folder.path().join(DATABASE_FILE), b"").unwrap();
    Store::open(folder.path()).expect("a file that the crash of a first start left empty");
}

#[test]
fn quarantine_keeps_the_newest_and_no_more_than_its_bound() {
    let mut store = Store::open_in_memory().unwrap();
    let tx = store.begin().unwrap();
    for number in 0..QUARANTINE_ENTRIES_MAX + 10 {
        let input = vec![1; QUARANTINE_BYTES_MAX + 1];
        tx.quarantine(NodeId([1; 32]), None, &format!("input {number}"), &input, WallTime(None)).unwrap();
    }
    let kept = tx.quarantined().unwrap();
    assert_eq!(kept.len() as u64, QUARANTINE_ENTRIES_MAX);
    assert_eq!(kept[0].reason, format!("input {}", QUARANTINE_ENTRIES_MAX + 9));
    assert!(kept.iter().all(|entry| entry.input.len() == QUARANTINE_BYTES_MAX));
    assert_eq!(tx.quarantined_from(NodeId([1; 32])).unwrap(), QUARANTINE_ENTRIES_MAX);
    assert_eq!(tx.quarantined_from(NodeId([2; 32])).unwrap(), 0);
}

#[test]
fn a_token_is_redeemed_by_one_node_in_its_time() {
    let mut store = Store::open_in_memory().unwrap();
    let tx = store.begin().unwrap();
    let labels = [("site".to_owned(), "7".to_owned())].into();
    let token = TokenRow {
        id: [1; 8],
        secret_hash: [2; 32],
        labels,
        expires: 100,
        redeemed_by: None,
        role: Role::Node,
        authority: false,
    };
    tx.add_token(&token, 50).unwrap();
    let (first, second) = (NodeId([1; 32]), NodeId([2; 32]));
    let check = |id, secret, node, now| tx.check_token(id, secret, node, now).unwrap();
    assert_eq!(check([9; 8], [2; 32], first, 60), Redemption::Unknown);
    assert_eq!(check([1; 8], [9; 32], first, 60), Redemption::Unknown);
    assert_eq!(check([1; 8], [2; 32], first, 101), Redemption::Expired);
    assert_eq!(check([1; 8], [2; 32], first, 100), Redemption::Valid(token.clone()));
    assert_eq!(tx.open_tokens(100).unwrap(), 1);
    tx.redeem_token([1; 8], first).unwrap();
    assert_eq!(tx.open_tokens(100).unwrap(), 0);
    assert_eq!(check([1; 8], [2; 32], second, 60), Redemption::Used);
    assert_eq!(check([1; 8], [9; 32], second, 60), Redemption::Unknown, "who lacks the secret learns nothing");
    let again = TokenRow { redeemed_by: Some(first), ..token };
    assert_eq!(check([1; 8], [2; 32], first, 101), Redemption::Valid(again), "its first answer may have been lost");
    let other = TokenRow {
        id: [3; 8],
        secret_hash: [2; 32],
        labels: [].into(),
        expires: 200_000,
        redeemed_by: None,
        role: Role::Node,
        authority: false,
    };
    tx.add_token(&other, 100 + 86_401).unwrap();
    assert_eq!(check([1; 8], [2; 32], first, 100 + 86_401), Redemption::Unknown, "forgotten a day after its end");
}

#[test]
fn a_write_that_fails_within_an_edit_undoes_itself_and_nothing_else() {
    let mut fleet = Fleet::new(1);
    let hub = fleet.hub();
    let now = fleet.now();
    let mut deep = json!(1);
    (0..200).for_each(|_| deep = json!({ "a": deep }));
    let deep = world::map(json!({ "objects": deep }));
    let good = world::map(json!({ "objects": { "one": { "image": "web:1" } } }));
    fleet
        .at(hub)
        .edit(now, |edit| {
            assert!(matches!(edit.write(&layer_key("bad"), &deep), Err(WriteError::State { .. })));
            edit.write(&layer_key("good"), &good)
        })
        .unwrap();
    assert_eq!(fleet.views(hub).len(), 1);
    assert_eq!(fleet.dump(hub).len(), 1 + 2 + 1, "a document, its genesis, its change, the length of the log");
    let before = fleet.dump(hub);
    let failed = fleet.at(hub).edit(now, |edit| {
        edit.write(&layer_key("more"), &good)?;
        edit.write(&layer_key("bad"), &deep)
    });
    assert!(failed.is_err());
    assert_eq!(fleet.dump(hub), before);
}

/// The first start makes the file with a rollback journal, before it has a write-ahead log.
#[test]
fn a_file_whose_first_start_a_power_loss_ended_is_opened() {
    let (running, left) = (memory_folder(), memory_folder());
    let path = running.path().join(DATABASE_FILE);
    let connection = rusqlite::Connection::open(&path).unwrap();
    // More than the cache holds, so that pages go to the file before the commit.
    connection
        .execute_batch("PRAGMA cache_size = 1; CREATE TABLE t (a); BEGIN; DROP TABLE t; CREATE TABLE u (a); INSERT INTO u VALUES (zeroblob(100000))")
        .unwrap();
    for entry in fs::read_dir(running.path()).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), left.path().join(entry.file_name())).unwrap();
    }
    drop(connection);
    assert!(left.path().join(format!("{DATABASE_FILE}-journal")).exists());
    // Undone, it is what it was before: here another program's.
    assert!(matches!(Store::open(left.path()), Err(OpenError::Foreign { .. })));
    let connection = rusqlite::Connection::open(left.path().join(DATABASE_FILE)).unwrap();
    connection.execute_batch("DROP TABLE t").unwrap();
    drop(connection);
    drop(Store::open(left.path()).unwrap());
}
