//! Crash images of the engine's database: what each transaction did, told from the tables, and which of the states that the
//! database went through an image of a crash may show.
//!
//! The rule that every image is held to: a crash while a transaction is under way leaves the state before it or the state
//! after it, whole; a crash after the program was told that it is done leaves the state after it.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Connection, ErrorCode, OpenFlags};
use simulated_vfs::FileKind;
use sync_core::store::DATABASE_FILE;

use super::{CrashPolicy, Disk, Moment, Operation};
use crate::random::Random;

/// What a transaction of the engine did. One may do several of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The file was made and brought to the current format.
    NewFile,
    /// The store was given its identity, or its authority.
    Identity,
    /// A join token was made or redeemed.
    Enrolment,
    /// A value of the embedding program was kept.
    LocalValue,
    /// A document was written here.
    LocalWrite,
    /// A report was kept until somebody asks for it.
    Report,
    /// A report became a change at the send fence.
    ReportCut,
    /// A peer's feed was extended.
    FeedExtension,
    /// Changes of a peer were taken, with the place in its feed.
    Receive,
    /// That a peer made a part of its feed durable was noted.
    Acknowledge,
    /// A generation of a document began.
    GenerationCut,
    /// The changes of a generation were dropped.
    GenerationDrop,
    /// A part of a transfer was kept.
    Staging,
    /// The parts of a transfer became changes, or made room.
    StagingEnd,
    /// A new incarnation began.
    Incarnation,
    /// Bad input was put into quarantine.
    Quarantine,
    /// Only what is known of peers changed: a link came up or went down.
    Link,
    /// The write-ahead log was carried over into the database, or deleted after that.
    Checkpoint,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 18] = [
        Self::NewFile,
        Self::Identity,
        Self::Enrolment,
        Self::LocalValue,
        Self::LocalWrite,
        Self::Report,
        Self::ReportCut,
        Self::FeedExtension,
        Self::Receive,
        Self::Acknowledge,
        Self::GenerationCut,
        Self::GenerationDrop,
        Self::Staging,
        Self::StagingEnd,
        Self::Incarnation,
        Self::Quarantine,
        Self::Link,
        Self::Checkpoint,
    ];

    /// For tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NewFile => "new file",
            Self::Identity => "identity",
            Self::Enrolment => "enrolment",
            Self::LocalValue => "local value",
            Self::LocalWrite => "local write",
            Self::Report => "report",
            Self::ReportCut => "report cut",
            Self::FeedExtension => "feed extension",
            Self::Receive => "receive",
            Self::Acknowledge => "acknowledge",
            Self::GenerationCut => "generation cut",
            Self::GenerationDrop => "generation drop",
            Self::Staging => "staging",
            Self::StagingEnd => "staging end",
            Self::Incarnation => "incarnation",
            Self::Quarantine => "quarantine",
            Self::Link => "link",
            Self::Checkpoint => "checkpoint",
        }
    }
}

/// Why a database cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// SQLite says why.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    /// Its pages do not fit together, or its rows do not.
    #[error("damaged: {0}")]
    Damaged(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Table {
    rows: u64,
    hash: blake3::Hash,
}

/// Everything that a database of the engine holds, by hash. Without a file, or without tables in it, nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Holdings {
    format: u64,
    tables: BTreeMap<String, Table>,
    incarnation: u64,
    cursors: u64,
    acknowledged: u64,
    generations: BTreeSet<(i64, u32)>,
}

impl Holdings {
    /// Reads the database of a disk, and checks it as SQLite can (`integrity_check`, `foreign_key_check`).
    ///
    /// # Errors
    /// [`Unreadable`].
    pub fn of(disk: &Disk) -> Result<Self, Unreadable> {
        let opened = Connection::open_with_flags_and_vfs(DATABASE_FILE, OpenFlags::SQLITE_OPEN_READ_WRITE, disk.name());
        let connection = match opened {
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::CannotOpen) => return Ok(Self::default()),
            opened => opened?,
        };
        let sound: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0))?;
        if sound != "ok" {
            return Err(Unreadable::Damaged(sound));
        }
        if connection.prepare("PRAGMA foreign_key_check")?.exists([])? {
            return Err(Unreadable::Damaged("a row refers to one that is not there".to_owned()));
        }
        let number = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, u64>(0));
        let mut holdings = Self { format: number("PRAGMA user_version")?, ..Self::default() };
        let mut names = connection.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")?;
        let names = names.query_map([], |row| row.get::<_, String>(0))?.collect::<Result<Vec<_>, _>>()?;
        for name in names {
            let table = read(&connection, &name)?;
            holdings.tables.insert(name, table);
        }
        if holdings.tables.contains_key("store") {
            holdings.incarnation = number("SELECT coalesce(sum(incarnation), 0) FROM store")?;
            holdings.cursors = number("SELECT coalesce(sum(cursor), 0) FROM peer")?;
            holdings.acknowledged = number("SELECT coalesce(sum(acked), 0) FROM peer")?;
            let mut pairs = connection.prepare("SELECT DISTINCT document, generation FROM change")?;
            let pairs = pairs.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            holdings.generations = pairs.collect::<Result<_, _>>()?;
        }
        Ok(holdings)
    }

    /// Whether the store knows who it is.
    #[must_use]
    pub fn has_identity(&self) -> bool {
        self.rows("store") > 0
    }

    fn rows(&self, table: &str) -> u64 {
        self.tables.get(table).map_or(0, |table| table.rows)
    }

    /// The tables in which the two differ.
    #[must_use]
    pub fn difference<'a>(&'a self, other: &'a Self) -> Vec<&'a str> {
        let names = self.tables.keys().chain(other.tables.keys()).collect::<BTreeSet<_>>();
        names.into_iter().filter(|name| self.tables.get(*name) != other.tables.get(*name)).map(String::as_str).collect()
    }

    /// What the transaction between this state and the next one did.
    #[must_use]
    pub fn kinds(&self, next: &Self) -> BTreeSet<Kind> {
        let differs = |table: &str| self.tables.get(table) != next.tables.get(table);
        let grew = |table: &str| next.rows(table) > self.rows(table);
        let shrank = |table: &str| next.rows(table) < self.rows(table);
        if next.format > self.format {
            return [Kind::NewFile].into();
        }
        let receives = next.cursors != self.cursors;
        let cuts_report = shrank("pending") && grew("log");
        let is_new = !self.has_identity() || differs("authority");
        let drops = self.generations.difference(&next.generations).next().is_some();
        let all = [
            (Kind::Identity, is_new),
            (Kind::Enrolment, differs("token")),
            (Kind::LocalValue, differs("local")),
            (Kind::Incarnation, next.incarnation > self.incarnation && !is_new),
            (Kind::Quarantine, differs("quarantine")),
            (Kind::Staging, grew("staging")),
            (Kind::StagingEnd, shrank("staging")),
            (Kind::Receive, receives),
            (Kind::ReportCut, cuts_report),
            (Kind::Report, differs("pending") && !cuts_report),
            (Kind::LocalWrite, grew("log") && !receives && !cuts_report),
            (Kind::GenerationCut, grew("root")),
            (Kind::GenerationDrop, drops),
            (Kind::Acknowledge, next.acknowledged > self.acknowledged),
            (Kind::FeedExtension, differs("feed") && !grew("log") && next.acknowledged == self.acknowledged),
        ];
        let mut kinds: BTreeSet<Kind> = all.into_iter().filter(|(_, is)| *is).map(|(kind, _)| kind).collect();
        if kinds.is_empty() && differs("peer") {
            kinds.insert(Kind::Link);
        }
        kinds
    }
}

fn read(connection: &Connection, name: &str) -> Result<Table, rusqlite::Error> {
    let mut statement = connection.prepare(&format!("SELECT * FROM \"{name}\""))?;
    let columns = statement.column_count();
    let (mut rows, mut hasher, mut found) = (0, blake3::Hasher::new(), statement.query([])?);
    while let Some(row) = found.next()? {
        rows += 1;
        for column in 0..columns {
            use rusqlite::types::ValueRef;
            let (tag, bytes): (u8, &[u8]) = match row.get_ref(column)? {
                ValueRef::Null => (0, &[]),
                ValueRef::Integer(number) => (1, &number.to_le_bytes()),
                ValueRef::Real(number) => (2, &number.to_le_bytes()),
                ValueRef::Text(text) => (3, text),
                ValueRef::Blob(bytes) => (4, bytes),
            };
            hasher.update(&[tag]).update(&(bytes.len() as u64).to_le_bytes()).update(bytes);
        }
    }
    Ok(Table { rows, hash: hasher.finalize() })
}

/// The states that a database went through since its disk records, one after each transaction.
#[derive(Debug)]
pub struct Chronicle {
    states: Vec<Holdings>,
}

impl Chronicle {
    /// Begins at what the disk holds now. Right after [`Disk::record`].
    ///
    /// # Errors
    /// [`Unreadable`].
    pub fn begin(disk: &Disk) -> Result<Self, Unreadable> {
        Ok(Self { states: vec![Holdings::of(&disk.copy(0))?] })
    }

    /// Adds the transactions that ended among these moments, which are those that follow the ones before.
    ///
    /// # Errors
    /// [`Unreadable`]: the database is damaged although nothing crashed.
    pub fn add(&mut self, moments: &[Moment]) -> Result<(), Unreadable> {
        let Some(ended) = moments.last().map(|moment| moment.transaction) else { return Ok(()) };
        for number in self.states.len() as u64 - 1..ended {
            let last = moments.iter().rev().find(|moment| moment.transaction == number);
            let Some(last) = last else { continue };
            let image = last.image(CrashPolicy::Kept, &mut Random::new(0));
            self.states.push(Holdings::of(&Disk::from_image(0, &image))?);
        }
        Ok(())
    }

    /// What was under way at a moment; at one that the program noted, what had just been done. Empty when that was nothing.
    #[must_use]
    pub fn kinds(&self, moment: &Moment) -> BTreeSet<Kind> {
        let (before, after) = match moment.operation {
            Operation::Mark => (moment.transaction.checked_sub(1), moment.transaction),
            Operation::Create | Operation::Write | Operation::Resize | Operation::Sync | Operation::Delete => {
                (Some(moment.transaction), moment.transaction + 1)
            }
        };
        let state = |number: u64| usize::try_from(number).ok().and_then(|number| self.states.get(number));
        let kinds = before.and_then(state).zip(state(after)).map(|(before, after)| before.kinds(after));
        let carries_over = moment.kind == Some(FileKind::Database) || moment.operation == Operation::Delete;
        match kinds {
            Some(kinds) if kinds.contains(&Kind::NewFile) => kinds,
            _ if carries_over => [Kind::Checkpoint].into(),
            kinds => kinds.unwrap_or_default(),
        }
    }

    /// Whether a database that was found after a crash at this moment may hold this.
    #[must_use]
    pub fn allows(&self, moment: &Moment, found: &Holdings) -> bool {
        self.allowed(moment).any(|state| state == found)
    }

    fn allowed(&self, moment: &Moment) -> impl Iterator<Item = &Holdings> {
        let first = usize::try_from(moment.transaction).unwrap_or(usize::MAX);
        let count = if moment.operation == Operation::Mark { 1 } else { 2 };
        self.states.iter().skip(first).take(count)
    }

    /// In which tables what was found differs from each state that is allowed, for people.
    #[must_use]
    pub fn explain(&self, moment: &Moment, found: &Holdings) -> String {
        let differences: Vec<_> = self.allowed(moment).map(|state| state.difference(found)).collect();
        let earlier = self.states.iter().rposition(|state| state == found);
        format!("it differs in {differences:?} from what is allowed; it is state {earlier:?} of {}", self.states.len())
    }
}
