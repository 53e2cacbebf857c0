//! Values of the embedding program, which never leave this store.

use rusqlite::OptionalExtension;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Tx;
use super::error::StoreError;

impl Tx<'_> {
    /// The value kept under `key`.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when it is no `T`.
    pub fn local<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, StoreError> {
        let mut statement = self.inner.prepare_cached("SELECT value FROM local WHERE key = ?")?;
        let text: Option<String> = statement.query_row([key], |row| row.get(0)).optional()?;
        let parse =
            |text: String| serde_json::from_str(&text).map_err(|_| StoreError::Corrupt { place: "local.value" });
        text.map(parse).transpose()
    }

    /// Keeps `value` under `key`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn set_local<T: Serialize>(&self, key: &str, value: &T) -> Result<(), StoreError> {
        let text = serde_json::to_string(value).map_err(|_| StoreError::Corrupt { place: "local.value" })?;
        self.inner.prepare_cached("INSERT OR REPLACE INTO local (key, value) VALUES (?, ?)")?.execute((key, text))?;
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
