//! A store that lost its past begins a new incarnation, and hubs tell each other which incarnation of a node counts.

use serde_json::Value;

use super::{Event, Now, Output, Replica, read};
use crate::document::json::{self, PathSegment};
use crate::document::{ActorBytes, DocumentKey, materialise};
use crate::id::{Incarnation, LinkId, NodeId, Nonce};
use crate::identity::Role;
use crate::position::Position;
use crate::state::desired::{STORE_FIELD, StoreStamp};
use crate::store::{PeerRow, StoreError, chain_origin};
use crate::wire::{Close, CloseCode};

use super::write::WriteError;

impl Replica {
    /// Begins a new incarnation, numbered above the present one and `above`: durable before anything else leaves, with a
    /// fresh actor. All feeds start over, open join tokens are void, and every link ends so that peers come again at once.
    /// `believed` is the node on whose word alone: that it was believed is durable with what it was believed for.
    pub(super) fn begin_incarnation(
        &mut self,
        now: Now,
        above: u32,
        believed: Option<PeerRow>,
    ) -> Result<(), StoreError> {
        let Some(number) = self.incarnation.number.max(above).checked_add(1) else {
            tracing::error!("there is no higher incarnation; move this data folder away and join again");
            return Ok(());
        };
        let (nonce, random) = self.draw(now, number);
        let incarnation = Incarnation { number, nonce };
        let store = self.store_id;
        let tx = self.store.begin()?;
        if let Some(mut peer) = believed {
            tx.set_believed(&mut peer, true)?;
        }
        tx.set_incarnation(incarnation)?;
        tx.restart_all_feeds(|peer| chain_origin(store, number, peer))?;
        let voided = tx.void_open_tokens()?;
        tx.commit()?;
        self.incarnation = incarnation;
        self.actor = ActorBytes::mint(&self.identity.id(), random);
        tracing::warn!(number, voided, "this store was set back to an older copy; it goes on under a new incarnation");
        self.outputs.push_back(Output::Event(Event::NewIncarnation(number)));
        for id in self.links.keys().copied().collect::<Vec<_>>() {
            self.close_restarted(id, 0, "this side lost its past and goes on anew; dial again");
            self.carry_out(now, id)?;
            self.handle_link_down(now, id)?;
        }
        Ok(())
    }

    /// Random bytes for an incarnation and its actor, out of what was drawn when the replica was opened and of the moment, so
    /// that two copies of a running machine draw different ones.
    fn draw(&self, now: Now, number: u32) -> (Nonce, [u8; 8]) {
        let mut hasher = blake3::Hasher::new_derive_key("archipel 2026 incarnation");
        hasher.update(&self.seed).update(&number.to_be_bytes()).update(&now.instant.0.to_be_bytes());
        hasher.update(&now.wall.0.unwrap_or(u64::MAX).to_be_bytes());
        let mut bytes = hasher.finalize_xof();
        let (mut nonce, mut random) = ([0; 8], [0; 8]);
        bytes.fill(&mut nonce);
        bytes.fill(&mut random);
        (Nonce(nonce), random)
    }

    /// The peer ended the session for a reason that is this side's to act upon.
    pub(super) fn told(&mut self, now: Now, id: LinkId, close: &Close) -> Result<(), StoreError> {
        let Some(peer) = self.links.get(&id).map(|link| link.peer) else { return Ok(()) };
        let is_hub = self.store.begin_read()?.peer(peer)?.is_some_and(|row| row.role == Role::Hub);
        if !is_hub {
            return Ok(());
        }
        if close.code == CloseCode::Cloned {
            tracing::error!(hub = %peer.short(), reason = %close.message, "refused by a hub");
            self.outputs.push_back(Output::Event(Event::RefusedAsClone(peer)));
        }
        // Hubs alone keep account of incarnations. One below the own is an older word.
        if close.code == CloseCode::Restarted && close.incarnation >= self.incarnation.number {
            return self.begin_incarnation(now, close.incarnation, None);
        }
        Ok(())
    }

    /// Writes into a node's assignment which incarnation of its store counts, so that other hubs know. Nothing is written for
    /// a first one, or when it says so already.
    pub(super) fn grant(&mut self, now: Now, node: NodeId) -> Result<(), StoreError> {
        let key = DocumentKey::assignment(node);
        let tx = self.store.begin_read()?;
        let Some((store, incarnation)) = tx.peer(node)?.and_then(|row| row.their_store) else { return Ok(()) };
        let Some(view) = read(&tx, &key)? else { return Ok(()) };
        drop(tx);
        let stamp = Value::String(StoreStamp { store, incarnation }.to_string());
        if incarnation.number <= 1 || view.state.get(STORE_FIELD) == Some(&stamp) {
            return Ok(());
        }
        let mut state = view.state;
        state.insert(STORE_FIELD.to_owned(), stamp);
        match self.edit(now, |edit| edit.write(&key, &state)) {
            Ok(_) => Ok(()),
            Err(WriteError::Store(error)) => Err(error),
            // Another hub that meets the node finds out by itself.
            Err(error) => {
                tracing::error!(%error, "the node's incarnation cannot be written into its assignment");
                Ok(())
            }
        }
    }

    /// An assignment came from another hub: of the incarnations that the two know of the node, the higher counts, then the
    /// lower nonce. Where both wrote at the same time it holds both.
    pub(super) fn heed_grant(&mut self, now: Now, node: NodeId) -> Result<(), StoreError> {
        let tx = self.store.begin_read()?;
        let Some(document) = tx.document(DocumentKey::assignment(node).id())? else { return Ok(()) };
        let Some(shown) = tx.view(document.row)?.and_then(|view| view.get(STORE_FIELD).cloned()) else { return Ok(()) };
        self.loads.count += 1;
        let loaded = materialise::load(&tx.chunks(document.row, document.generation)?, None);
        drop(tx);
        let conflicts = loaded.ok().and_then(|loaded| json::conflicts(&loaded, None).ok()).unwrap_or_default();
        let hidden = conflicts.into_iter().find(|it| it.path == [PathSegment::Key(STORE_FIELD.to_owned())]);
        let values = hidden.map_or_else(|| vec![shown], |it| it.values);
        let stamps: Vec<StoreStamp> = values.iter().filter_map(|value| value.as_str()?.parse().ok()).collect();
        for stamp in &stamps {
            self.heed_stamp(now, node, *stamp)?;
        }
        let known = self.store.begin_read()?.peer(node)?.and_then(|row| row.their_store);
        if stamps.iter().any(|stamp| known.is_some_and(|(store, _)| store != stamp.store)) {
            // Of two stores the node alone can show which one it has: the hub that it comes to next says so. Two hubs that each
            // said what it knows would overrule each other for ever.
            return Ok(());
        }
        // Says so when neither of them was the one that counts.
        self.grant(now, node)
    }

    fn heed_stamp(&mut self, now: Now, node: NodeId, stamp: StoreStamp) -> Result<(), StoreError> {
        let Some(mut row) = self.store.begin_read()?.peer(node)? else { return Ok(()) };
        let counts = match row.their_store {
            // The node has another store since.
            Some((store, _)) if store != stamp.store => return Ok(()),
            Some((_, known)) if known == stamp.incarnation || known.number > stamp.incarnation.number => return Ok(()),
            Some((_, known)) => stamp.incarnation.wins_over(&known),
            None => true,
        };
        let tx = self.store.begin()?;
        if counts {
            tx.set_their_store(&mut row, stamp.store, stamp.incarnation)?;
            tx.owe_own(&mut row)?;
        } else if row.past.is_none_or(|(past, _)| past != stamp.incarnation) {
            // Whatever it writes under this one is beside what counts.
            let chain = chain_origin(stamp.store, stamp.incarnation.number, self.identity.id());
            tx.set_past(&mut row, stamp.incarnation, Position { number: 0, chain })?;
        }
        tx.commit()?;
        // The copy that is linked now may be the one that does not count.
        if counts && let Some(id) = self.live_link(node) {
            self.close_restarted(id, 0, "another hub knows a newer incarnation of this store; dial again");
            self.carry_out(now, id)?;
            self.handle_link_down(now, id)?;
        }
        Ok(())
    }
}
