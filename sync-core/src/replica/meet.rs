//! The moment after the hellos: which copy of its store the peer speaks for, which side lost its past, and from where each
//! feed goes on (decision D4).

use std::collections::BTreeMap;

use super::{Event, Now, Output, Replica, believed, scope};
use crate::id::{Incarnation, LinkId, StoreId};
use crate::identity::Role;
use crate::limits::CLONED_WAIT_SECONDS;
#[cfg(feature = "mutants")]
use crate::mutants::{Mutant, planted};
use crate::position::Position;
use crate::store::{PeerRow, StoreError};
use crate::wire::{Close, CloseCode, Message};

/// What a peer's hello says.
#[derive(Debug, Clone, Copy)]
pub(super) struct Greeting {
    pub(super) store: StoreId,
    pub(super) incarnation: Incarnation,
    /// The end of its feed for this side.
    pub(super) head: Position,
    /// How much of the feed for it is durable there.
    pub(super) cursor: Option<Position>,
}

/// Which copy of its store a peer speaks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Copy {
    /// Nothing was known of it.
    First,
    /// The one that was known.
    Known,
    /// Another store, or a newer incarnation of the one that was known.
    Other,
    /// A copy from before the incarnation that is known: it was set back once more, and has to take a newer one.
    Older { known: u32 },
    /// A copy that has gone on beside the one that is known.
    Clone,
    /// Either of the two: of its feed this was durable here once, and it goes further.
    Unclear { place: Position, known: u32 },
}

/// Only hubs tell copies apart; a node gives to any hub what that hub may have lost, and refuses none.
fn judge(own: Role, peer: &PeerRow, it: &Greeting) -> Copy {
    let Some((store, known)) = peer.their_store else { return Copy::First };
    if (store, known) == (it.store, it.incarnation) {
        return Copy::Known;
    }
    if own == Role::Node || store != it.store || it.incarnation.number > known.number {
        return Copy::Other;
    }
    let older = Copy::Older { known: known.number };
    if let Some((past, place)) = peer.past
        && past == it.incarnation
    {
        return match place {
            Some(place) if it.head == place => Copy::Clone,
            Some(place) if it.head.number > place.number => Copy::Unclear { place, known: known.number },
            _ => older,
        };
    }
    older
}

/// Whether a peer that speaks for the known copy is behind what it has given: it was set back, and will learn so.
fn is_behind(peer: &PeerRow, head: Position) -> bool {
    peer.cursor.is_some_and(|given| head.number < given.number || head.number == given.number && head != given)
}

impl Replica {
    /// Both sides can say hello now. What was written since the link came up joins the feed before it is compared.
    pub(super) fn meet(&mut self, now: Now, id: LinkId, it: Greeting) -> Result<(), StoreError> {
        let Some(peer) = self.links.get(&id).map(|link| link.peer) else { return Ok(()) };
        let mut row = self.bring_up_to_date(now, peer)?;
        let copy = judge(self.identity.role(), &row, &it);
        match copy {
            Copy::Clone => return self.refuse_clone(id),
            Copy::Unclear { place, known } => {
                let asked = self.links.get_mut(&id).is_some_and(|link| link.session.handle_suspect(now.instant, place));
                if !asked {
                    self.set_back_again(id, known);
                }
                return Ok(());
            }
            Copy::Older { known } => {
                self.set_back_again(id, known);
                return Ok(());
            }
            Copy::First | Copy::Known | Copy::Other => {}
        }
        let is_behind = copy == Copy::Known && is_behind(&row, it.head);
        let origin = self.origin(peer);
        let found = match it.cursor {
            // It held some of it once: the entries it had acknowledged are not all there any more.
            None => row.acked == 0,
            Some(place) => self.store.begin_read()?.feed_passed(&row, place, origin)?,
        };
        // All entries from there on are kept, so this store has handed one out that it lost.
        let is_lost = !found && it.cursor.is_some_and(|place| place.number >= row.acked);
        if is_lost && row.aware && !is_behind && self.believes(&row) {
            return self.lose_past(now, row);
        }
        let is_own_node = self.identity.role() == Role::Node;
        let are_both_hubs = !is_own_node && row.role == Role::Hub;
        let at = found.then_some(it.cursor.map_or(0, |place| place.number));
        #[cfg(feature = "mutants")]
        let at = at.map(|at| if planted(Mutant::GoesOnFromAcknowledged) { at.max(row.acked) } else { at });
        let forgot = at.is_some_and(|at| at < row.acked);
        // Of a layer a hub gets every frontier, and a later entry may stand below one that was dropped for it.
        let at = at.filter(|_| !(forgot && are_both_hubs));
        // A feed that starts over forgets what was in it to be given back, so that goes in again.
        let gives_back = is_own_node && row.role == Role::Hub && (copy == Copy::Other || is_behind || at.is_none());
        let is_news_of_node = copy != Copy::Known && !is_own_node && row.role == Role::Node;
        let is_first_of_hubs = copy == Copy::First && are_both_hubs && row.head.number > 0 && it.head.number > 0;

        let is_unsure = forgot || gives_back || is_first_of_hubs;
        let is_where_it_was = copy == Copy::Known && at == Some(row.acked) && row.aware;
        let has_untold = self.store.begin_read()?.has_untold(&row)?;
        let mut untold = Vec::new();
        if !is_where_it_was || is_unsure || row.unsure > row.head.number || has_untold {
            let tx = self.store.begin()?;
            tx.set_their_store(&mut row, it.store, it.incarnation)?;
            match at {
                // Above: an acknowledgement was lost with its link. Below: what was acknowledged is no longer there.
                Some(at) if at != row.acked || !row.aware => tx.feed_acknowledged(&mut row, at)?,
                Some(_) => {}
                None => tx.restart_feed(&mut row, origin)?,
            }
            let owes_own = is_news_of_node && tx.owe_own(&mut row)?;
            if owes_own || at.is_none() {
                let scope = scope::scope(&tx, &self.identity, &row)?;
                tx.extend_feed(&mut row, &scope)?;
            }
            if gives_back {
                tx.give_back(&mut row)?;
            }
            // An older copy may hold more than entries that are left of what it acknowledged say.
            if is_unsure || row.unsure > row.head.number {
                let head = row.head.number;
                tx.set_unsure(&mut row, head)?;
            }
            untold = tx.tell_untold(&row)?;
            tx.commit()?;
        }
        let untold = untold.iter().filter_map(|refusal| Message::decode(refusal, self.identity.id()).ok()).collect();

        self.outputs.push_back(Output::Event(Event::LinkLive(peer)));
        if copy == Copy::Other || forgot || at.is_none() {
            self.diverged(id)?;
        }
        let is_sound = copy != Copy::Other && !forgot;
        let believed = match at {
            Some(at) if is_sound && row.head.number > at => believed::believed(&self.store.begin_read()?, &row)?,
            _ => BTreeMap::new(),
        };
        if let Some(link) = self.links.get_mut(&id) {
            link.known.believed = believed;
            if copy == Copy::Other {
                link.session.handle_other_store();
            }
            link.session.handle_unsure(row.unsure);
            link.session.handle_met(at, row.head);
            link.session.handle_untold(untold);
        }
        if is_news_of_node {
            self.grant(now, peer)?;
        }
        Ok(())
    }

    /// Whether the peer's word is enough to begin a new incarnation: a hub's is. A hub believes each node once, until that
    /// has given back something of what it says was lost: no node can keep a hub busy beginning anew.
    fn believes(&self, peer: &PeerRow) -> bool {
        self.identity.role() == Role::Node || peer.role == Role::Hub || !peer.believed
    }

    /// By the peer's cursor this store has lost its past.
    fn lose_past(&mut self, now: Now, peer: PeerRow) -> Result<(), StoreError> {
        let on_the_word_of_a_node = self.identity.role() == Role::Hub && peer.role == Role::Node;
        self.begin_incarnation(now, 0, on_the_word_of_a_node.then_some(peer))
    }

    fn set_back_again(&mut self, id: LinkId, known: u32) {
        tracing::warn!(known, "a peer was set back to an older copy once more");
        self.close_restarted(id, known, "this is an older copy of the store; take a new incarnation");
    }

    pub(super) fn refuse_clone(&mut self, id: LinkId) -> Result<(), StoreError> {
        let Some(peer) = self.links.get(&id).map(|link| link.peer) else { return Ok(()) };
        let tx = self.store.begin()?;
        if let Some(mut row) = tx.peer(peer)? {
            tx.count_clone(&mut row)?;
        }
        tx.commit()?;
        tracing::error!(peer = %peer.short(), "refused: another copy of its data folder is in use");
        self.outputs.push_back(Output::Event(Event::Cloned(peer)));
        if let Some(link) = self.links.get_mut(&id) {
            link.session.close_with(Close {
                code: CloseCode::Cloned,
                message: CLONED.to_owned(),
                retry_after_ms: CLONED_WAIT_SECONDS * 1_000,
                incarnation: 0,
            });
        }
        Ok(())
    }

    pub(super) fn close_restarted(&mut self, id: LinkId, known: u32, message: &str) {
        if let Some(link) = self.links.get_mut(&id) {
            link.session.close_with(Close {
                code: CloseCode::Restarted,
                message: message.to_owned(),
                retry_after_ms: 0,
                incarnation: known,
            });
        }
    }

    /// Counts once a link that one side lost its past, and says so.
    pub(super) fn diverged(&mut self, id: LinkId) -> Result<(), StoreError> {
        let Some(link) = self.links.get_mut(&id) else { return Ok(()) };
        if std::mem::replace(&mut link.diverged, true) {
            return Ok(());
        }
        let peer = link.peer;
        self.count_fork(peer)?;
        tracing::warn!(peer = %peer.short(), "one side was lost, restored or replaced: what is missing is sent again");
        Ok(())
    }

    pub(super) fn count_fork(&mut self, peer: crate::id::NodeId) -> Result<(), StoreError> {
        let tx = self.store.begin()?;
        if let Some(mut row) = tx.peer(peer)? {
            tx.count_fork(&mut row)?;
        }
        tx.commit()?;
        self.outputs.push_back(Output::Event(Event::Diverged(peer)));
        Ok(())
    }

    /// The feed has started over in the transaction that found out: tell the peer.
    pub(super) fn restart(&mut self, id: LinkId) -> Result<(), StoreError> {
        let Some(link) = self.links.get(&id) else { return Ok(()) };
        let origin = self.origin(link.peer);
        let row = self.store.begin_read()?.peer(link.peer)?.ok_or(StoreError::Corrupt { place: "peer" })?;
        if let Some(link) = self.links.get_mut(&id) {
            link.known.forget_passed();
            link.transfer = None;
            link.session.handle_restarted(Position { number: 0, chain: origin }, row.head);
        }
        Ok(())
    }

    /// The live link of a peer, if it has one.
    pub(super) fn live_link(&self, peer: crate::id::NodeId) -> Option<LinkId> {
        let id = self.link_of.get(&peer).copied()?;
        self.links.get(&id).is_some_and(|link| link.session.is_live()).then_some(id)
    }
}

const CLONED: &str =
    "another copy of this data folder is in use; keep one of the two: move the other away and join again";

#[cfg(test)]
mod tests;
