//! Join tokens of a hub: one use, bounded life. The secret is kept only as a hash.

use std::collections::BTreeMap;

use rusqlite::OptionalExtension;

use super::Tx;
use super::error::StoreError;
use super::setup::{role_number, role_of};
use crate::id::NodeId;
use crate::identity::Role;

/// A join token as the hub keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRow {
    /// Its public half.
    pub id: [u8; 8],
    /// Hash of its secret half.
    pub secret_hash: [u8; 32],
    /// What the node that redeems it is labelled with.
    pub labels: BTreeMap<String, String>,
    /// When it ends, in seconds since 1970.
    pub expires: u64,
    /// Who redeemed it.
    pub redeemed_by: Option<NodeId>,
    /// What its bearer becomes.
    pub role: Role,
    /// A hub that redeems it gets the fleet's certificate authority.
    pub authority: bool,
}

/// Whether a token can be redeemed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Redemption {
    /// No such token, or another secret.
    Unknown,
    /// Its time is over.
    Expired,
    /// Another node used it.
    Used,
    /// It can be redeemed, or was by this very node, whose first answer may have been lost.
    Valid(TokenRow),
}

impl Tx<'_> {
    /// Keeps a new token and forgets those that ended.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn add_token(&self, token: &TokenRow, now: u64) -> Result<(), StoreError> {
        // A redeemed token is kept a day longer, so that its node can ask again after a lost answer.
        self.inner.execute("DELETE FROM token WHERE expires < ?", [now.saturating_sub(86_400)])?;
        let labels = serde_json::to_string(&token.labels).map_err(|_| StoreError::Corrupt { place: "token.labels" })?;
        self.inner.execute(
            "INSERT INTO token (id, secret_hash, labels, expires, role, authority) VALUES (?, ?, ?, ?, ?, ?)",
            (token.id, token.secret_hash, labels, token.expires, role_number(token.role), token.authority),
        )?;
        Ok(())
    }

    /// Looks whether `node` may redeem the token with this secret at `now`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn check_token(
        &self,
        id: [u8; 8],
        secret_hash: [u8; 32],
        node: NodeId,
        now: u64,
    ) -> Result<Redemption, StoreError> {
        let row = self.inner.query_row(
            "SELECT secret_hash, labels, expires, redeemed_by, role, authority FROM token WHERE id = ?",
            [id],
            |row| {
                let redeemed_by: Option<[u8; 32]> = row.get(3)?;
                let (role, authority) = (role_of(row.get(4)?), row.get(5)?);
                Ok((row.get::<_, [u8; 32]>(0)?, row.get::<_, String>(1)?, row.get(2)?, redeemed_by, role, authority))
            },
        );
        let row = row.optional()?;
        let Some((stored, labels, expires, redeemed_by, role, authority)) = row else {
            return Ok(Redemption::Unknown);
        };
        // Hashes are compared, so the time this takes says nothing about the secret.
        if stored != secret_hash {
            return Ok(Redemption::Unknown);
        }
        let labels = serde_json::from_str(&labels).map_err(|_| StoreError::Corrupt { place: "token.labels" })?;
        let redeemed_by: Option<NodeId> = redeemed_by.map(NodeId);
        if redeemed_by.is_some_and(|by| by != node) {
            return Ok(Redemption::Used);
        }
        if redeemed_by.is_none() && now > expires {
            return Ok(Redemption::Expired);
        }
        Ok(Redemption::Valid(TokenRow { id, secret_hash, labels, expires, redeemed_by, role, authority }))
    }

    /// Voids every token that was not redeemed: in the past that this store lost, they may have been.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn void_open_tokens(&self) -> Result<u64, StoreError> {
        Ok(self.inner.execute("DELETE FROM token WHERE redeemed_by IS NULL", [])? as u64)
    }

    /// How many tokens can still be redeemed at `now`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn open_tokens(&self, now: u64) -> Result<u64, StoreError> {
        let sql = "SELECT count(*) FROM token WHERE redeemed_by IS NULL AND expires >= ?";
        Ok(self.inner.query_row(sql, [now], |row| row.get(0))?)
    }

    /// Records who redeemed the token.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn redeem_token(&self, id: [u8; 8], node: NodeId) -> Result<(), StoreError> {
        self.inner.execute("UPDATE token SET redeemed_by = ? WHERE id = ?", (node.0, id))?;
        Ok(())
    }
}
