//! Who this store is: its identity, written once, and on a hub the fleet's certificate authority.

use rusqlite::OptionalExtension;

use super::Tx;
use super::error::StoreError;
use crate::id::{Incarnation, Nonce, StoreId};
use crate::identity::Role;

/// The one row of table `store`, in the form it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreIdentity {
    /// Made with the file.
    pub store: StoreId,
    /// Rises when the store learns that it lost its past.
    pub incarnation: u32,
    /// Made with the incarnation.
    pub nonce: Nonce,
    /// Hub or node.
    pub role: Role,
    /// The private key.
    pub seed: [u8; 32],
    /// Certificates in DER, leaf first.
    pub chain: Vec<Vec<u8>>,
    /// Hash of the fleet CA's public key.
    pub pin: [u8; 32],
}

/// The one row of table `authority`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authority {
    /// The private key.
    pub seed: [u8; 32],
    /// The fleet's name.
    pub fleet: String,
}

impl Tx<'_> {
    /// Who this store is; `None` before [`Tx::set_identity`].
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn identity(&self) -> Result<Option<StoreIdentity>, StoreError> {
        let row =
            self.inner.query_row("SELECT store_id, incarnation, nonce, role, seed, chain, pin FROM store", [], |row| {
                Ok((
                    row.get::<_, [u8; 16]>(0)?,
                    row.get(1)?,
                    row.get::<_, [u8; 8]>(2)?,
                    role_of(row.get(3)?),
                    row.get(4)?,
                    row.get::<_, Vec<u8>>(5)?,
                    row.get(6)?,
                ))
            });
        let Some((store, incarnation, nonce, role, seed, chain, pin)) = row.optional()? else { return Ok(None) };
        let chain = split_chain(&chain).ok_or(StoreError::Corrupt { place: "store.chain" })?;
        let (store, nonce) = (StoreId(store), Nonce(nonce));
        Ok(Some(StoreIdentity { store, incarnation, nonce, role, seed, chain, pin }))
    }

    /// Says who this store is, or replaces its certificates.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn set_identity(&self, identity: &StoreIdentity) -> Result<(), StoreError> {
        let chain: Vec<u8> = identity
            .chain
            .iter()
            .flat_map(|der| (der.len() as u32).to_le_bytes().into_iter().chain(der.iter().copied()))
            .collect();
        self.inner.execute(
            "INSERT OR REPLACE INTO store (only, store_id, incarnation, nonce, role, seed, chain, pin)
             VALUES (1, ?, ?, ?, ?, ?, ?, ?)",
            (
                identity.store.0,
                identity.incarnation,
                identity.nonce.0,
                role_number(identity.role),
                identity.seed,
                chain,
                identity.pin,
            ),
        )?;
        Ok(())
    }

    /// Begins a new incarnation.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn set_incarnation(&self, incarnation: Incarnation) -> Result<(), StoreError> {
        self.inner.execute("UPDATE store SET incarnation = ?, nonce = ?", (incarnation.number, incarnation.nonce.0))?;
        Ok(())
    }

    /// The fleet's certificate authority, on a hub that has it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn authority(&self) -> Result<Option<Authority>, StoreError> {
        let row = self.inner.query_row("SELECT seed, fleet FROM authority", [], |row| {
            Ok(Authority { seed: row.get(0)?, fleet: row.get(1)? })
        });
        Ok(row.optional()?)
    }

    /// Keeps the fleet's certificate authority.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn set_authority(&self, authority: &Authority) -> Result<(), StoreError> {
        self.inner.execute(
            "INSERT OR REPLACE INTO authority (only, seed, fleet) VALUES (1, ?, ?)",
            (authority.seed, &authority.fleet),
        )?;
        Ok(())
    }
}

/// A role as the database keeps it.
pub(super) fn role_number(role: Role) -> u8 {
    match role {
        Role::Hub => 1,
        Role::Node => 2,
    }
}

/// Reads a role. Whatever is no hub has the lesser rights.
pub(super) fn role_of(number: u8) -> Role {
    if number == role_number(Role::Hub) { Role::Hub } else { Role::Node }
}

fn split_chain(mut rest: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut chain = Vec::new();
    while !rest.is_empty() {
        let (length, tail) = rest.split_first_chunk::<4>()?;
        let (der, tail) = tail.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        chain.push(der.to_vec());
        rest = tail;
    }
    Some(chain)
}
