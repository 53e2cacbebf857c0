//! Invariant 1: nothing acknowledged is ever lost.
//!
//! Verifies: what a member's feed says that a peer has acknowledged, document by document, that peer holds whenever it is read
//! later, through crashes and losses of power; and the two never find that they have parted, as long as nothing took anybody's
//! past. What looks lost is judged after the other side was read again: a document may
//! have left the peer's scope meanwhile. Not verified: acknowledgements of entries that were compacted away, and peers whose
//! store was set back, wiped, cloned or rotten, until they have said hello again (those are not judged).

use std::collections::BTreeMap;

use sync_core::id::{DocumentId, Incarnation, NodeId, StoreId};

use super::{Facts, Found, Held, Watch};
use crate::holding::{HeldFrontier, Holding, Look};
use crate::trace::{Entry, Happening, Member, Told};

#[derive(Debug, Default)]
pub(super) struct Acknowledged {
    /// By the one who was promised and the one who promised.
    promises: BTreeMap<(Member, NodeId), Promised>,
    suspects: BTreeMap<(Member, NodeId), Vec<Suspect>>,
}

type Life = (StoreId, Incarnation);

#[derive(Debug)]
struct Promised {
    life: Life,
    lost: u64,
    documents: BTreeMap<DocumentId, HeldFrontier>,
}

#[derive(Debug)]
struct Suspect {
    life: Life,
    lost: u64,
    document: DocumentId,
    called: String,
    frontier: HeldFrontier,
}

impl Watch for Acknowledged {
    fn happened(&mut self, facts: &Facts, entry: &Entry, found: &mut Found) {
        if let Happening::Replica { member, event: Told::Diverged(peer) } = &entry.what
            && let Some(peer) = facts.name(peer)
        {
            if facts.all_have_their_past() {
                found.judge(false, || {
                    format!("{member} and {peer} had parted, and nothing has taken the past of either")
                });
            } else {
                found.unjudged += 1;
            }
        }
    }

    fn held(&mut self, facts: &Facts, held: &Held<'_>, found: &mut Found) {
        if held.holding.look < Look::Acknowledged {
            return;
        }
        let own = facts.of(held.member);
        for (node, peer) in &held.holding.peers {
            let Some(name) = facts.name(node) else { continue };
            let (key, known) = ((held.member.clone(), *node), facts.of(name));
            let is_judged = known.is_sound() && own.is_sound() && facts.has_met(held.member, name);
            for suspect in self.suspects.remove(&key).unwrap_or_default() {
                let promise = peer.acknowledged.get(&suspect.document);
                let is_promised = is_judged
                    && peer.store == Some(suspect.life)
                    && known.lost == suspect.lost
                    && promise.is_some_and(|promise| promise.is_above(&suspect.frontier));
                if !is_promised {
                    found.unjudged += 1;
                    continue;
                }
                found.broken.push(format!(
                    "{name} acknowledged {} up to version {} to {} and does not hold it",
                    suspect.called, suspect.frontier.version, held.member
                ));
            }
            match peer.store {
                Some(life) if is_judged => {
                    let promised = Promised { life, lost: known.lost, documents: peer.acknowledged.clone() };
                    self.promises.insert(key, promised);
                }
                _ => drop(self.promises.remove(&key)),
            }
        }
        let own_life = (held.holding.store, held.holding.incarnation);
        for ((to, node), promised) in &self.promises {
            if *node != held.holding.node {
                continue;
            }
            if promised.life != own_life || promised.lost != own.lost || !own.is_sound() {
                found.unjudged += promised.documents.len() as u64;
                continue;
            }
            for (document, frontier) in &promised.documents {
                found.judged += 1;
                if !holds(held.holding, *document, frontier) {
                    let called = held.holding.documents.get(document).map(|document| document.key.to_string());
                    self.suspects.entry((to.clone(), *node)).or_default().push(Suspect {
                        life: promised.life,
                        lost: promised.lost,
                        document: *document,
                        called: called.unwrap_or_else(|| "a document".to_owned()),
                        frontier: frontier.clone(),
                    });
                }
            }
        }
    }
}

fn holds(holding: &Holding, document: DocumentId, frontier: &HeldFrontier) -> bool {
    let Some(held) = holding.documents.get(&document) else { return false };
    let latest = held.latest.as_ref().is_some_and(|latest| latest.is_above(frontier));
    latest || held.generation > frontier.generation || held.held.includes(&frontier.clock)
}
