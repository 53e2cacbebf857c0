//! Peers: who they are, how far each side holds the other's feed, and what passed between them.

use rusqlite::OptionalExtension;

use super::Tx;
use super::error::StoreError;
use super::setup::{role_number, role_of};
use crate::env::WallTime;
use crate::id::{Chain, Incarnation, NodeId, Nonce, StoreId};
use crate::identity::{PublicKey, Role};
use crate::position::Position;

/// A peer as the database knows it. The fields about feeds are written by the functions that move them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerRow {
    pub(super) id: i64,
    /// Who it is.
    pub node: NodeId,
    /// Hub or node.
    pub role: Role,
    /// Its name: a node's, from its assignment. Hubs have theirs in the roster.
    pub name: Option<String>,
    /// Its key.
    pub key: PublicKey,
    /// Whether its enrolment was taken back.
    pub revoked: bool,
    /// Whether its feed may lack entries of the log.
    pub dirty: bool,
    /// The end of its feed.
    pub head: Position,
    /// What it made durable of its feed.
    pub acked: u64,
    /// What is durable here of the peer's feed; `None` before the first contact.
    pub cursor: Option<Position>,
    /// The peer's store and incarnation at the last contact.
    pub their_store: Option<(StoreId, Incarnation)>,
    /// The incarnation of that store which was known before, and what was durable here of its feed then.
    pub past: Option<(Incarnation, Option<Position>)>,
    /// Up to here of its feed the peer may hold what it has not acknowledged.
    pub unsure: u64,
    /// Whether it has seen the present feed; if not, its cursor is of an older one.
    pub aware: bool,
    /// Whether a new incarnation was taken on its word, which it has not proved since.
    pub believed: bool,
    /// How often a second copy of its store was refused.
    pub clones: u64,
    /// How often one side was seen to have lost or changed its past.
    pub forks: u64,
    /// When it was last heard of, in seconds since 1970.
    pub last_contact: Option<u64>,
    /// What passed between us.
    pub traffic: PeerTraffic,
    /// At a hub: only the node itself brought its assignment, so nothing but the roster goes to it.
    pub staged: bool,
}

/// Payload that passed between this replica and a peer: frames with their length prefix, since the enrolment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PeerTraffic {
    /// Bytes received.
    pub bytes_in: u64,
    /// Bytes sent.
    pub bytes_out: u64,
    /// Times that one side had to wait for the other.
    pub round_trips: u64,
    /// Links that came up.
    pub sessions: u64,
    /// Entries of ours that the peer refused.
    pub refused: u64,
}

impl PeerTraffic {
    /// Adds what passed besides.
    pub(crate) fn add(&mut self, more: Self) {
        self.bytes_in += more.bytes_in;
        self.bytes_out += more.bytes_out;
        self.round_trips += more.round_trips;
        self.sessions += more.sessions;
        self.refused += more.refused;
    }
}

const COLUMNS: &str = "id, node, role, name, public_key, revoked, dirty, head, head_chain, acked, cursor, cursor_chain,
    their_store, their_incarnation, forks, last_contact, bytes_in, bytes_out, round_trips, sessions, refused,
    their_nonce, past_incarnation, past_nonce, past_place, past_chain, unsure, aware, believed, clones, staged";

fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<PeerRow> {
    let cursor: u64 = row.get(10)?;
    let cursor_chain: Option<[u8; 16]> = row.get(11)?;
    let their_store: Option<[u8; 16]> = row.get(12)?;
    let their_nonce: Option<[u8; 8]> = row.get(21)?;
    let theirs = Incarnation { number: row.get(13)?, nonce: Nonce(their_nonce.unwrap_or_default()) };
    let past: (Option<u32>, Option<[u8; 8]>) = (row.get(22)?, row.get(23)?);
    let past_place: (Option<u64>, Option<[u8; 16]>) = (row.get(24)?, row.get(25)?);
    let past_place = past_place.0.zip(past_place.1).map(|(number, chain)| Position { number, chain: Chain(chain) });
    Ok(PeerRow {
        id: row.get(0)?,
        node: NodeId(row.get(1)?),
        role: role_of(row.get(2)?),
        name: row.get(3)?,
        key: PublicKey(row.get(4)?),
        revoked: row.get(5)?,
        dirty: row.get(6)?,
        head: Position { number: row.get(7)?, chain: Chain(row.get(8)?) },
        acked: row.get(9)?,
        cursor: cursor_chain.map(|chain| Position { number: cursor, chain: Chain(chain) }),
        their_store: their_store.map(|store| (StoreId(store), theirs)),
        past: past.0.zip(past.1).map(|(number, nonce)| (Incarnation { number, nonce: Nonce(nonce) }, past_place)),
        unsure: row.get(26)?,
        aware: row.get(27)?,
        believed: row.get(28)?,
        clones: row.get(29)?,
        forks: row.get(14)?,
        last_contact: row.get(15)?,
        traffic: PeerTraffic {
            bytes_in: row.get(16)?,
            bytes_out: row.get(17)?,
            round_trips: row.get(18)?,
            sessions: row.get(19)?,
            refused: row.get(20)?,
        },
        staged: row.get(30)?,
    })
}

impl Tx<'_> {
    fn find_peer(&self, condition: &str, value: impl rusqlite::ToSql) -> Result<Option<PeerRow>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM peer WHERE {condition}");
        Ok(self.inner.prepare_cached(&sql)?.query_row([value], read).optional()?)
    }

    /// The peer of this id.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn peer(&self, node: NodeId) -> Result<Option<PeerRow>, StoreError> {
        self.find_peer("node = ?", node.0)
    }

    /// The peer of this name.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn peer_by_name(&self, name: &str) -> Result<Option<PeerRow>, StoreError> {
        self.find_peer("name = ?", name)
    }

    /// Every peer: nodes by name, then hubs.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn peers(&self) -> Result<Vec<PeerRow>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM peer ORDER BY name IS NULL, name, id");
        let mut statement = self.inner.prepare_cached(&sql)?;
        let rows = statement.query_map([], read)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Those of `peers` whose feed may be behind the log.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn dirty_peers<'p>(&self, peers: impl Iterator<Item = &'p NodeId>) -> Result<Vec<PeerRow>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM peer WHERE node = ? AND dirty = 1");
        let mut statement = self.inner.prepare_cached(&sql)?;
        let mut dirty = Vec::new();
        for node in peers {
            dirty.extend(statement.query_row([node.0], read).optional()?);
        }
        Ok(dirty)
    }

    /// The ids of every hub that was not revoked.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn hubs(&self) -> Result<Vec<NodeId>, StoreError> {
        let mut statement = self.inner.prepare_cached("SELECT node FROM peer WHERE role = ? AND revoked = 0")?;
        let rows = statement.query_map([role_number(Role::Hub)], |row| row.get(0).map(NodeId))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Adds a peer whose feed starts empty at `origin`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn add_peer(
        &self,
        key: &PublicKey,
        role: Role,
        name: Option<&str>,
        origin: Chain,
    ) -> Result<PeerRow, StoreError> {
        let node = key.node_id();
        self.inner.execute(
            // A store that lost its past may have talked to this peer then.
            "INSERT INTO peer (node, role, name, public_key, head_chain, aware)
             VALUES (?, ?, ?, ?, ?, coalesce((SELECT incarnation = 1 FROM store), 1))",
            (node.0, role_number(role), name, key.0, origin.0),
        )?;
        Ok(self.peer(node)?.ok_or(rusqlite::Error::QueryReturnedNoRows)?)
    }

    /// Gives a peer a name that nobody else has.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn name_peer(&self, node: NodeId, name: &str) -> Result<(), StoreError> {
        self.inner.prepare_cached("UPDATE peer SET name = ? WHERE node = ?")?.execute((name, node.0))?;
        Ok(())
    }

    /// Marks every peer's feed as possibly behind the log. One statement; the work is done when a peer is served.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn mark_all_dirty(&self) -> Result<(), StoreError> {
        self.inner.prepare_cached("UPDATE peer SET dirty = 1 WHERE dirty = 0")?.execute([])?;
        Ok(())
    }

    /// Marks one peer's feed as possibly behind the log.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn mark_dirty(&self, node: NodeId) -> Result<(), StoreError> {
        self.inner.prepare_cached("UPDATE peer SET dirty = 1 WHERE node = ?")?.execute([node.0])?;
        Ok(())
    }

    /// Marks the feeds of all hubs as possibly behind the log.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn mark_hubs_dirty(&self) -> Result<(), StoreError> {
        self.inner
            .prepare_cached("UPDATE peer SET dirty = 1 WHERE role = ? AND dirty = 0")?
            .execute([role_number(Role::Hub)])?;
        Ok(())
    }

    /// Records how much of the peer's feed is durable here; `None` forgets it, so that the peer sends everything again.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn set_cursor(&self, peer: &mut PeerRow, place: Option<Position>) -> Result<(), StoreError> {
        peer.cursor = place;
        self.inner.prepare_cached("UPDATE peer SET cursor = ?, cursor_chain = ? WHERE id = ?")?.execute((
            place.map_or(0, |place| place.number),
            place.map(|place| place.chain.0),
            peer.id,
        ))?;
        Ok(())
    }

    /// Records which store the peer speaks for. The place in the feed of its incarnation before is kept as its past, and
    /// what was durable here of that feed counts no more.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn set_their_store(
        &self,
        peer: &mut PeerRow,
        store: StoreId,
        incarnation: Incarnation,
    ) -> Result<(), StoreError> {
        let known = peer.their_store.replace((store, incarnation));
        match known {
            Some(known) if known == (store, incarnation) => return Ok(()),
            Some((known, past)) => {
                peer.past = (known == store).then_some((past, peer.cursor));
                self.set_cursor(peer, None)?;
            }
            None => {}
        }
        let (past, place) = (peer.past.map(|(past, _)| past), peer.past.and_then(|(_, place)| place));
        self.inner
            .prepare_cached(
                "UPDATE peer SET their_store = ?, their_incarnation = ?, their_nonce = ?, past_incarnation = ?,
                 past_nonce = ?, past_place = ?, past_chain = ? WHERE id = ?",
            )?
            .execute((
                store.0,
                incarnation.number,
                incarnation.nonce.0,
                past.map(|past| past.number),
                past.map(|past| past.nonce.0),
                place.map(|place| place.number),
                place.map(|place| place.chain.0),
                peer.id,
            ))?;
        Ok(())
    }

    /// Records an incarnation of the peer's store that does not count, and from where on its feed shows that it is in use.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn set_past(&self, peer: &mut PeerRow, past: Incarnation, place: Position) -> Result<(), StoreError> {
        peer.past = Some((past, Some(place)));
        self.inner
            .prepare_cached(
                "UPDATE peer SET past_incarnation = ?, past_nonce = ?, past_place = ?, past_chain = ? WHERE id = ?",
            )?
            .execute((past.number, past.nonce.0, place.number, place.chain.0, peer.id))?;
        Ok(())
    }

    /// Records whether a new incarnation was taken on the peer's word alone.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn set_believed(&self, peer: &mut PeerRow, believed: bool) -> Result<(), StoreError> {
        peer.believed = believed;
        self.inner.prepare_cached("UPDATE peer SET believed = ? WHERE id = ?")?.execute((believed, peer.id))?;
        Ok(())
    }

    /// Counts that a second copy of the peer's store was refused.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn count_clone(&self, peer: &mut PeerRow) -> Result<(), StoreError> {
        peer.clones += 1;
        self.inner.prepare_cached("UPDATE peer SET clones = ? WHERE id = ?")?.execute((peer.clones, peer.id))?;
        Ok(())
    }

    /// Adds to what passed between this replica and the peer.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn add_traffic(&self, node: NodeId, more: &PeerTraffic, at: WallTime) -> Result<(), StoreError> {
        self.inner
            .prepare_cached(
                "UPDATE peer SET bytes_in = bytes_in + ?, bytes_out = bytes_out + ?, round_trips = round_trips + ?,
                 sessions = sessions + ?, refused = refused + ?, last_contact = coalesce(?, last_contact) WHERE node = ?",
            )?
            .execute((more.bytes_in, more.bytes_out, more.round_trips, more.sessions, more.refused, at.0, node.0))?;
        Ok(())
    }
}
