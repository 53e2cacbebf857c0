//! The disk by itself, and each fault under SQLite.

use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::*;

fn connect(disk: &Disk) -> Connection {
    Connection::open_with_flags_and_vfs("a.db", OpenFlags::default(), disk.name()).unwrap()
}

/// A database in write-ahead mode with one row.
fn filled(disk: &Disk) -> Connection {
    let connection = connect(disk);
    connection
        .execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA busy_timeout = 5000;
             CREATE TABLE t (a); INSERT INTO t VALUES (1);",
        )
        .unwrap();
    connection
}

fn count(connection: &Connection) -> rusqlite::Result<u64> {
    connection.query_row("SELECT count(*) FROM t", [], |row| row.get(0))
}

fn insert(connection: &Connection) -> Result<usize, ErrorCode> {
    connection.execute("INSERT INTO t VALUES (zeroblob(3000))", []).map_err(|error| error.sqlite_error_code().unwrap())
}

fn disk() -> Disk {
    Disk::new(1, Geometry::default())
}

#[test]
fn what_was_committed_is_there_after_a_crash_and_the_old_handles_are_dead() {
    let disk = disk();
    let connection = filled(&disk);
    let image = disk.crash(CrashPolicy::Lost, &mut Random::new(1));
    assert_eq!(insert(&connection), Err(ErrorCode::SystemIoFailure));
    assert!(Connection::open_with_flags_and_vfs("b.db", OpenFlags::default(), disk.name()).is_err());
    let again = Disk::from_image(2, &image);
    let recovered = connect(&again);
    assert_eq!(count(&recovered).unwrap(), 1);
    let before = again.hash();
    drop(connection);
    assert_eq!(again.hash(), before);
    assert!(disk.effects().after_the_end > 0);
    insert(&recovered).unwrap();
}

#[test]
fn names_of_file_systems_are_used_again() {
    let names: std::collections::BTreeSet<String> = (0..2_000)
        .map(|seed| {
            let disk = Disk::new(seed, Geometry::default());
            drop(filled(&disk));
            disk.name().to_owned()
        })
        .collect();
    // Other tests of this process hold some.
    assert!(names.len() < 100, "{}", names.len());
}

#[test]
fn a_connection_keeps_the_name_of_its_file_system_from_others() {
    let first = disk();
    let connection = filled(&first);
    let name = first.name().to_owned();
    drop(first);
    let others: Vec<Disk> = (0..50).map(|seed| Disk::new(seed, Geometry::default())).collect();
    assert!(others.iter().all(|disk| disk.name() != name));
    insert(&connection).unwrap();
    assert_eq!(count(&connection).unwrap(), 2);
}

#[test]
fn a_copy_goes_its_own_way() {
    let disk = disk();
    let connection = filled(&disk);
    let copy = disk.copy(7);
    assert_eq!(copy.hash(), disk.hash());
    insert(&connection).unwrap();
    assert_ne!(copy.hash(), disk.hash());
    assert_eq!(count(&connect(&copy)).unwrap(), 1);
}

#[test]
fn an_image_of_everything_is_the_disk_as_its_processes_see_it() {
    let disk = disk();
    let connection = connect(&disk);
    connection.execute_batch("PRAGMA synchronous = OFF; CREATE TABLE t (a)").unwrap();
    for round in 0..50 {
        insert(&connection).unwrap();
        if round % 7 == 0 {
            connection.execute_batch("DELETE FROM t; VACUUM").unwrap();
        }
        let image = disk.crash_image(CrashPolicy::Kept, &mut Random::new(round));
        assert_eq!(image, disk.image());
    }
}

#[test]
fn a_full_disk_leaves_the_database_readable_and_works_again_with_room() {
    let disk = disk();
    let connection = filled(&disk);
    let used: u64 = disk.image().files().values().sum();
    disk.set_faults(Faults { capacity: Some(used + 10_000), ..Faults::default() });
    let refused = (0..20).find_map(|_| insert(&connection).err());
    assert_eq!(refused, Some(ErrorCode::DiskFull));
    assert!(disk.effects().full > 0);
    let rows = count(&connection).unwrap();
    disk.set_faults(Faults::default());
    insert(&connection).unwrap();
    assert_eq!(count(&connection).unwrap(), rows + 1);
}

#[test]
fn calls_fail_from_where_and_as_long_as_is_said() {
    let disk = disk();
    let connection = filled(&disk);
    let failing = Some(Failing::once(1, 1));
    for (faults, effect) in [
        (Faults { writes: failing, ..Faults::default() }, (|it| it.writes_failed) as fn(Effects) -> u64),
        (Faults { syncs: Some(Failing::once(0, 1)), ..Faults::default() }, |it| it.syncs_failed),
    ] {
        disk.set_faults(faults);
        assert_eq!(insert(&connection), Err(ErrorCode::SystemIoFailure));
        assert_eq!(effect(disk.effects()), 1);
        insert(&connection).unwrap();
    }
    drop(connection);
    disk.set_faults(Faults { reads: Some(Failing::once(0, u64::MAX)), ..Faults::default() });
    let refused = Connection::open_with_flags_and_vfs("a.db", OpenFlags::default(), disk.name());
    assert!(refused.and_then(|connection| count(&connection)).is_err());
    assert!(disk.effects().reads_failed > 0);
    disk.set_faults(Faults::default());
    assert_eq!(count(&connect(&disk)).unwrap(), 3);
}

#[test]
fn a_sync_that_lies_loses_what_was_committed() {
    let disk = disk();
    let connection = filled(&disk);
    disk.set_faults(Faults { lying_syncs: true, ..Faults::default() });
    insert(&connection).unwrap();
    let image = disk.crash(CrashPolicy::Lost, &mut Random::new(1));
    assert!(disk.effects().syncs_lied > 0);
    assert_eq!(count(&connect(&Disk::from_image(2, &image))).unwrap(), 1);
}

#[test]
fn a_flipped_bit_is_counted_when_it_is_read_and_gone_when_it_is_written_over() {
    let disk = disk();
    drop(filled(&disk));
    let (before, mut random) = (disk.hash(), Random::new(3));
    assert_eq!(disk.rot("none.db", &mut random), None);
    (0..20).for_each(|_| assert!(disk.rot("a.db", &mut random).is_some()));
    assert_ne!(disk.hash(), before);
    assert_eq!(disk.effects().reads_rotten, 0);
    let refused = Connection::open_with_flags_and_vfs("a.db", OpenFlags::default(), disk.name());
    let _ = refused.and_then(|connection| count(&connection));
    let read = disk.effects().reads_rotten;
    assert!(read > 0);
    let mut state = disk.state();
    let (id, handle) = state.open(Some("a.db"), OPTIONS).unwrap();
    let length = state.length(id).unwrap();
    state.write(id, 0, &vec![0; usize::try_from(length).unwrap()]).unwrap();
    state.read(id, 0, &mut [0; 4096]).unwrap();
    state.close(id, handle, false, false);
    assert_eq!(state.fate.effects.reads_rotten, read);
}

const OPTIONS: simulated_vfs::OpenOptions = simulated_vfs::OpenOptions {
    kind: simulated_vfs::FileKind::Database,
    writable: true,
    create: false,
    exclusive: false,
    delete_on_close: false,
};

#[test]
fn a_short_read_is_counted() {
    let disk = disk();
    drop(filled(&disk));
    disk.set_faults(Faults { short_reads: Some(Failing::once(0, u64::MAX)), ..Faults::default() });
    assert!(count(&connect(&disk)).is_err());
    assert!(disk.effects().reads_short > 0);
}

#[test]
fn waiting_for_a_lock_passes_on_the_disks_clock_alone() {
    let disk = disk();
    disk.set_clock(1_700_000_000_000);
    let (one, other) = (filled(&disk), connect(&disk));
    other.execute_batch("PRAGMA busy_timeout = 5000").unwrap();
    one.execute_batch("BEGIN IMMEDIATE").unwrap();
    let started = disk.state().unix_ms;
    let refused = other.execute_batch("BEGIN IMMEDIATE").unwrap_err();
    assert_eq!(refused.sqlite_error_code(), Some(ErrorCode::DatabaseBusy));
    assert!(disk.state().unix_ms - started >= 4_000);
    assert!(disk.take_latency() >= Duration::from_secs(4));
    let year: String = other.query_row("SELECT strftime('%Y', 'now')", [], |row| row.get(0)).unwrap();
    assert_eq!(year, "2023");
}

#[test]
fn a_slow_disk_says_how_long_it_took() {
    let disk = disk();
    let connection = filled(&disk);
    let latency = Latency { sync: Duration::from_millis(20), ..Latency::default() };
    disk.set_faults(Faults { latency, ..Faults::default() });
    let syncs = disk.counters().total().syncs;
    insert(&connection).unwrap();
    let made = disk.counters().total().syncs - syncs;
    assert!(made > 0);
    assert_eq!(disk.take_latency(), Duration::from_millis(20) * u32::try_from(made).unwrap());
    assert_eq!((disk.take_latency(), disk.effects().slow), (Duration::ZERO, made));
}

#[test]
fn what_passed_is_counted_by_file() {
    let disk = disk();
    let connection = filled(&disk);
    let before = disk.counters();
    insert(&connection).unwrap();
    let after = disk.counters();
    let (wal, database) = (after.files["a.db-wal"], after.files["a.db"]);
    assert_eq!(
        wal.writes - before.files["a.db-wal"].writes,
        2 * ((wal.bytes_written - before.files["a.db-wal"].bytes_written) / 4120)
    );
    assert_eq!(wal.syncs - before.files["a.db-wal"].syncs, 1);
    assert_eq!(database.writes, before.files["a.db"].writes);
}

#[test]
fn temporary_files_leave_nothing() {
    let disk = disk();
    let connection = filled(&disk);
    connection
        .execute_batch(
            "PRAGMA temp_store = FILE; CREATE TEMP TABLE x (a); PRAGMA temp.cache_size = 5;
             WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500)
             INSERT INTO x SELECT randomblob(500) FROM n; CREATE INDEX temp.y ON x (a);",
        )
        .unwrap();
    assert_eq!(disk.image().files().len(), 2);
    assert!(disk.counters().files[""].bytes_written > 100_000);
    drop(connection);
    assert_eq!(disk.image().files().len(), 1);
}

#[test]
fn a_file_that_was_not_synced_with_its_folder_may_be_gone() {
    let disk = disk();
    let connection = connect(&disk);
    connection.execute_batch("PRAGMA synchronous = OFF; CREATE TABLE t (a)").unwrap();
    assert_eq!(disk.crash_image(CrashPolicy::Lost, &mut Random::new(1)).files().len(), 0);
    assert_eq!(disk.crash_image(CrashPolicy::Kept, &mut Random::new(1)).files().len(), 1);
}

#[test]
fn a_share_of_the_calls_fails_for_as_long_as_the_fault_lasts() {
    let mut fate = faults::Fate::default();
    fate.faults.writes = Some(Failing::one_in(5));
    let failed = (0..100).filter(|_| fate.strikes(faults::Call::Write)).count();
    assert_eq!(failed, 20);
    fate.faults.writes = Some(Failing::once(5, 2));
    let failed = (0..100).filter(|_| fate.strikes(faults::Call::Write)).count();
    assert_eq!(failed, 2);
}
