//! Values of the embedding program, which never leave this store.

use rusqlite::OptionalExtension;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Tx;
use super::compressed::{Compressed, compress, decompress};
use super::error::StoreError;

impl Tx<'_> {
    /// The value kept under `key`.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when it is no `T`.
    pub fn local<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, StoreError> {
        let mut statement = self.inner.prepare_cached("SELECT value, size FROM local WHERE key = ?")?;
        let stored = statement.query_row([key], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        let Some((stored, size)) = stored else { return Ok(None) };
        let text = decompress(stored, size, "local.value")?;
        serde_json::from_slice(&text).map(Some).map_err(|_| StoreError::Corrupt { place: "local.value" })
    }

    /// Keeps `value` under `key`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn set_local<T: Serialize>(&self, key: &str, value: &T) -> Result<(), StoreError> {
        let text = serde_json::to_vec(value).map_err(|_| StoreError::Corrupt { place: "local.value" })?;
        let Compressed { stored, size } = compress(&text);
        self.inner
            .prepare_cached("INSERT OR REPLACE INTO local (key, value, size) VALUES (?, ?, ?)")?
            .execute((key, stored, size))?;
        Ok(())
    }

    /// Forgets the value kept under `key`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn remove_local(&self, key: &str) -> Result<(), StoreError> {
        self.inner.execute("DELETE FROM local WHERE key = ?", [key])?;
        Ok(())
    }
}
