//! From the format of the file to the format of this program: numbered steps, forward only, each in one transaction.

use std::path::Path;

use rusqlite::Connection;

use super::error::{OpenError, StoreError};

/// In every file's header (`PRAGMA application_id`): "Arch" in ASCII.
const APPLICATION_ID: u32 = 0x4172_6368;

/// Step `n` of this list leads from format `n` to format `n + 1`. A step that was ever released is never changed.
const STEPS: [&str; 1] = [include_str!("schema.sql")];

fn header(connection: &Connection) -> Result<(u32, u32), StoreError> {
    let read = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, u32>(0));
    Ok((read("application_id")?, read("user_version")?))
}

/// Refuses files of other programs and of later formats, and files that still wait for a step.
pub(super) fn check(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    let (application, found) = header(connection)?;
    if application != APPLICATION_ID {
        return Err(OpenError::Foreign { path: path.to_owned() });
    }
    let known = STEPS.len() as u32;
    if found > known {
        return Err(OpenError::Newer { path: path.to_owned(), found, known });
    }
    Ok(())
}

/// Refuses what [`check`] refuses, but takes a file that nobody has written to yet.
pub(super) fn check_before_writing(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    let tables: u32 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(StoreError::from)?;
    let is_new = header(connection)? == (0, 0) && tables == 0;
    if is_new { Ok(()) } else { check(connection, path) }
}

/// Brings the file to the newest format.
pub(super) fn migrate(connection: &mut Connection, path: &Path) -> Result<(), OpenError> {
    check_before_writing(connection, path)?;
    let (_, found) = header(connection)?;
    for (number, step) in (1u32..).zip(STEPS).skip(found as usize) {
        let transaction = connection.transaction().map_err(StoreError::from)?;
        transaction.execute_batch(step).map_err(StoreError::from)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID).map_err(StoreError::from)?;
        transaction.pragma_update(None, "user_version", number).map_err(StoreError::from)?;
        transaction.commit().map_err(StoreError::from)?;
    }
    Ok(())
}
