//! SQLite on the simulated disk: it behaves as on the machine's own file system, keeps what it promises whatever a power
//! loss leaves, and these checks find losses where it promises nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::sync::{PoisonError, RwLock};

use proptest::prelude::*;
use rusqlite::{Connection, OpenFlags};
use simulator::disk::{CrashPolicy, Disk, Faults, Geometry, Operation};
use simulator::random::Random;

const FILE: &str = "test.db";

/// SQLite draws its random numbers from one generator: held alone by the test that compares bytes.
static GENERATOR: RwLock<()> = RwLock::new(());

fn together() -> impl Drop {
    GENERATOR.read().unwrap_or_else(PoisonError::into_inner)
}

const GEOMETRIES: [Geometry; 4] = [
    Geometry { sector_bytes: 4096, powersafe: true, promised: true },
    Geometry { sector_bytes: 512, powersafe: true, promised: true },
    Geometry { sector_bytes: 4096, powersafe: false, promised: false },
    Geometry { sector_bytes: 512, powersafe: false, promised: false },
];

// SQLite here and there.

#[derive(Debug, Clone)]
enum Step {
    Sql(String),
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let sql = |text: String| Step::Sql(text);
    prop_oneof![
        6 => (0..40_u32, 0..6_000_u32).prop_map(move |(k, n)| sql(format!("INSERT OR REPLACE INTO t VALUES ({k}, {n}, hex(zeroblob({n})))"))),
        3 => (0..40_u32, 0..9_u32).prop_map(move |(k, n)| sql(format!("UPDATE t SET n = n + {n}, text = text || '{n}' WHERE k >= {k}"))),
        2 => (0..40_u32).prop_map(move |k| sql(format!("DELETE FROM t WHERE k % 7 = {k} % 7"))),
        1 => (0..40_u32).prop_map(move |k| sql(format!("INSERT INTO t VALUES ({k}, 0, 'twice')"))),
        2 => Just(sql("BEGIN".to_owned())),
        1 => Just(sql("BEGIN IMMEDIATE".to_owned())),
        3 => Just(sql("COMMIT".to_owned())),
        1 => Just(sql("ROLLBACK".to_owned())),
        1 => Just(sql("SAVEPOINT a".to_owned())),
        1 => Just(sql("ROLLBACK TO a".to_owned())),
        1 => Just(sql("RELEASE a".to_owned())),
        1 => Just(sql("CREATE INDEX IF NOT EXISTS i ON t (n, k)".to_owned())),
        1 => Just(sql("DROP INDEX IF EXISTS i".to_owned())),
        1 => Just(sql("VACUUM".to_owned())),
        1 => prop_oneof![Just("PASSIVE"), Just("RESTART"), Just("TRUNCATE")].prop_map(move |mode| sql(format!("PRAGMA wal_checkpoint({mode})"))),
        1 => Just(sql("PRAGMA incremental_vacuum".to_owned())),
        1 => Just(Step::Reopen),
    ]
}

struct Side {
    connect: Box<dyn Fn() -> Connection>,
    connection: Option<Connection>,
    settings: String,
}

impl Side {
    fn new(settings: &str, connect: impl Fn() -> Connection + 'static) -> Self {
        let mut side = Self { connect: Box::new(connect), connection: None, settings: settings.to_owned() };
        side.reopen();
        side
    }

    fn reopen(&mut self) {
        self.connection = None;
        let connection = (self.connect)();
        connection.execute_batch(&self.settings).unwrap();
        self.connection = Some(connection);
    }

    fn at(&self) -> &Connection {
        self.connection.as_ref().unwrap()
    }

    /// What the program sees of a step.
    fn take(&mut self, step: &Step) -> String {
        match step {
            Step::Reopen => {
                self.reopen();
                "reopened".to_owned()
            }
            Step::Sql(sql) => match self.at().execute_batch(sql) {
                Ok(()) => format!("{} {}", self.at().changes(), self.at().is_autocommit()),
                Err(error) => error.to_string(),
            },
        }
    }

    fn shown(&self) -> Vec<String> {
        let mut shown: Vec<String> =
            ["t", "sqlite_schema"].into_iter().flat_map(|table| rows(self.at(), table)).collect();
        for pragma in ["integrity_check", "page_count", "freelist_count", "journal_mode"] {
            let value = |row: &rusqlite::Row<'_>| row.get::<_, rusqlite::types::Value>(0);
            shown.push(format!("{pragma} {:?}", self.at().query_row(&format!("PRAGMA {pragma}"), [], value).unwrap()));
        }
        shown
    }
}

fn rows(connection: &Connection, table: &str) -> Vec<String> {
    let mut statement = connection.prepare(&format!("SELECT * FROM {table} ORDER BY 1, 2")).unwrap();
    let columns = statement.column_count();
    let row = |row: &rusqlite::Row<'_>| {
        let values = (0..columns).map(|column| row.get::<_, rusqlite::types::Value>(column));
        Ok(format!("{:?}", values.collect::<Result<Vec<_>, _>>()?))
    };
    statement.query_map([], row).unwrap().collect::<Result<_, _>>().unwrap()
}

fn open_on(disk: &Disk) -> Connection {
    Connection::open_with_flags_and_vfs(FILE, OpenFlags::default(), disk.name()).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn sqlite_does_the_same_on_a_simulated_disk_and_on_the_machines_own(
        steps in proptest::collection::vec(step(), 1..60),
        mode in prop_oneof![3 => Just("WAL"), 1 => Just("DELETE"), 1 => Just("TRUNCATE"), 1 => Just("PERSIST")],
        geometry in 0..GEOMETRIES.len(),
    ) {
        let _together = together();
        let settings = format!(
            "PRAGMA journal_mode = {mode}; PRAGMA wal_autocheckpoint = 8; PRAGMA cache_size = 10; PRAGMA auto_vacuum = 2;
             CREATE TABLE IF NOT EXISTS t (k INTEGER PRIMARY KEY, n, text)"
        );
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        let disk = Disk::new(1, GEOMETRIES[geometry]);
        let mut real = Side::new(&settings, move || Connection::open(&path).unwrap());
        let mut simulated = Side::new(&settings, { let disk = disk.clone(); move || open_on(&disk) });
        for step in &steps {
            prop_assert_eq!(real.take(step), simulated.take(step), "{:?}", step);
        }
        let end = Step::Sql("ROLLBACK".to_owned());
        prop_assert_eq!(real.take(&end), simulated.take(&end));
        prop_assert_eq!(real.shown(), simulated.shown());
        real.reopen();
        simulated.reopen();
        prop_assert_eq!(real.shown(), simulated.shown());
        prop_assert!(simulated.shown().iter().any(|line| line.contains("ok")));
        drop((real, simulated));
        let files: Vec<String> = disk.image().files().into_keys().collect();
        let on_disk: Vec<String> =
            std::fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
        prop_assert_eq!(files.len(), on_disk.len());
    }
}

#[test]
fn a_reader_keeps_its_view_while_another_connection_writes() {
    let _together = together();
    let disk = Disk::new(1, Geometry::default());
    let (writer, reader) = (open_on(&disk), open_on(&disk));
    writer.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t (k, n)").unwrap();
    reader.execute_batch("BEGIN").unwrap();
    assert_eq!(rows(&reader, "t").len(), 0);
    writer.execute_batch("INSERT INTO t VALUES (1, 1)").unwrap();
    assert_eq!(rows(&reader, "t").len(), 0);
    reader.execute_batch("COMMIT").unwrap();
    assert_eq!(rows(&reader, "t").len(), 1);
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let _alone = GENERATOR.write().unwrap_or_else(PoisonError::into_inner);
    let run = |seed| {
        let disk = Disk::new(seed, Geometry::default());
        disk.record();
        let connection = open_on(&disk);
        connection
            .execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 5; CREATE TABLE t (k, n)")
            .unwrap();
        for number in 0..40 {
            connection.execute("INSERT INTO t VALUES (?, zeroblob(3000))", [number]).unwrap();
        }
        let mut random = Random::new(seed);
        let policy = CrashPolicy::Scattered { kept: 50, garbled: 20 };
        disk.take_moments().iter().map(|moment| moment.image(policy, &mut random).hash()).collect::<Vec<_>>()
    };
    let (one, again, other) = (run(1), run(1), run(2));
    assert!(one.len() > 100);
    assert_eq!(one, again);
    assert_ne!(one, other);
}

// Power losses.

/// What was found among the images of one story.
#[derive(Debug, Default)]
struct Found {
    images: u64,
    /// Images that lack a transaction that was committed, or show one that was not.
    lost: u64,
    /// Images that do not open, or that SQLite calls damaged.
    broken: u64,
}

const POLICIES: [CrashPolicy; 5] = [
    CrashPolicy::Lost,
    CrashPolicy::Kept,
    CrashPolicy::Prefix,
    CrashPolicy::Scattered { kept: 50, garbled: 20 },
    CrashPolicy::Scattered { kept: 85, garbled: 10 },
];

/// Everything in the database, or why it cannot be read.
fn read_all(disk: &Disk) -> Result<String, rusqlite::Error> {
    let connection = Connection::open_with_flags_and_vfs(FILE, OpenFlags::default(), disk.name())?;
    let check: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0))?;
    if check != "ok" {
        return Err(rusqlite::Error::InvalidParameterName(check));
    }
    let mut statement = connection.prepare("SELECT k, turn, text FROM t ORDER BY k")?;
    let row = |row: &rusqlite::Row<'_>| {
        Ok(format!("{} {} {}", row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, String>(2)?))
    };
    Ok(statement.query_map([], row)?.collect::<Result<Vec<_>, _>>()?.join("\n"))
}

/// Random transactions, and a crash after each operation of the disk under each policy.
fn crash_everywhere(seed: u64, geometry: Geometry, synchronous: &str, faults: Faults) -> Found {
    let disk = Disk::new(seed, geometry);
    let mut random = Random::new(seed);
    let connection = open_on(&disk);
    connection
        .execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE t (k INTEGER PRIMARY KEY, turn, text);
             CREATE INDEX i ON t (text, turn)",
        )
        .unwrap();
    connection
        .execute_batch(&format!(
            "PRAGMA synchronous = {synchronous}; PRAGMA wal_autocheckpoint = 12; PRAGMA cache_size = 6"
        ))
        .unwrap();
    let mut found = Found::default();
    let mut states = vec![read_all(&disk.copy(seed)).unwrap()];
    disk.set_faults(faults);
    disk.record();
    for turn in 0..12 {
        connection.execute_batch("BEGIN IMMEDIATE").unwrap();
        for _ in 0..=random.below(6) {
            let (key, length) = (random.below(30), random.below(2_500));
            let text = format!("{turn:0>length$}", length = usize::try_from(length).unwrap());
            let sql = if random.below(5) == 0 {
                "DELETE FROM t WHERE k = ? OR turn = ? - 5 OR text = ?"
            } else {
                "INSERT OR REPLACE INTO t VALUES (?, ?, ?)"
            };
            connection.execute(sql, (key, turn, text)).unwrap();
        }
        connection.execute("INSERT OR REPLACE INTO t VALUES (100, ?, 'last')", [turn]).unwrap();
        connection.execute_batch("COMMIT").unwrap();
        disk.mark();
        states.push(read_all(&disk.copy(seed)).unwrap());
        for moment in disk.take_moments() {
            let done = usize::try_from(moment.transaction).unwrap();
            let allowed = if moment.operation == Operation::Mark { done..=done } else { done..=done + 1 };
            for policy in POLICIES {
                found.images += 1;
                let image = moment.image(policy, &mut random);
                match read_all(&Disk::from_image(random.next_u64(), &image)) {
                    Ok(state) if states.get(allowed.clone()).unwrap_or(&states[done..]).contains(&state) => {}
                    Ok(_) => found.lost += 1,
                    Err(_) => found.broken += 1,
                }
            }
        }
    }
    found
}

#[test]
fn a_committed_transaction_survives_every_crash_and_an_uncommitted_one_none() {
    let _together = together();
    let mut images = 0;
    for geometry in GEOMETRIES {
        for seed in 0..2 {
            let found = crash_everywhere(seed, geometry, "FULL", Faults::default());
            images += found.images;
            assert_eq!((found.lost, found.broken), (0, 0), "{geometry:?} seed {seed}: {found:?}");
        }
    }
    println!("{images} images");
    assert!(images > 5_000, "{images}");
}

/// The same checks where SQLite promises less: they can fail.
#[test]
fn without_syncs_the_same_check_finds_losses() {
    let _together = together();
    let lying = Faults { lying_syncs: true, ..Faults::default() };
    for (synchronous, faults) in [("OFF", Faults::default()), ("NORMAL", Faults::default()), ("FULL", lying)] {
        let found = crash_everywhere(1, Geometry::default(), synchronous, faults);
        println!("synchronous = {synchronous}, lying {}: {found:?}", faults.lying_syncs);
        assert!(found.lost > 0, "{synchronous}: {found:?}");
        // A log that is not synced with each commit loses transactions, never consistency.
        assert!(synchronous != "NORMAL" || found.broken == 0, "{found:?}");
    }
}

/// SQLite is told that a torn write leaves what is beside it alone, and on this device it does not.
#[test]
fn a_device_that_is_not_what_it_says_is_found_out() {
    let _together = together();
    let geometry = Geometry { sector_bytes: 4096, powersafe: false, promised: true };
    let lost: u64 = (0..4)
        .map(|seed| crash_everywhere(seed, geometry, "FULL", Faults::default()))
        .map(|it| it.lost + it.broken)
        .sum();
    assert!(lost > 0);
}
