//! How often the store was written to, so that whoever read it knows whether reading again would show something else.

use super::Replica;
use crate::store::StoreError;

impl Replica {
    /// Rows of the store that were written since the start. While the number stands still, whatever was read is as it was.
    #[must_use]
    pub fn rows_written(&self) -> u64 {
        self.store.rows_written()
    }

    /// [`Replica::rows_written`] without those of feeds, contacts, and reports that became changes as a link came up. While the
    /// number stands still, local values and what others wrote are as they were.
    #[must_use]
    pub fn content_written(&self) -> u64 {
        self.rows_written().saturating_sub(self.aside)
    }

    /// Runs `work`, which writes neither local values nor what others wrote.
    pub(super) fn aside<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let before = self.content_written();
        let result = work(self);
        self.aside += self.content_written().saturating_sub(before);
        result
    }
}
