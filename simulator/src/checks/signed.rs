//! Invariant 6: admission asks who signed, not who sent.
//!
//! Verifies, over every store: a document that a node authors has only that node's changes and signatures, every other only
//! those of hubs; a node holds no document of another node and none that stays among hubs; and nobody says hello to a member
//! of which it knows that it is revoked. Not verified: the signatures
//! themselves (the store gives only verified ones), which layers are in a node's scope, and stores with flipped bits.

use std::collections::{BTreeMap, BTreeSet};

use sync_core::document::DocumentKind;
use sync_core::id::NodeId;
use sync_core::identity::Role;

use super::{Facts, Found, Held, Watch};
use crate::holding::HeldDocument;
use crate::trace::{Entry, Happening, Member};

#[derive(Debug, Default)]
pub(super) struct Signed {
    /// Of whom a member knew at its last reading that they are revoked, and how often it had lost its past then.
    revoked: BTreeMap<Member, (u64, BTreeSet<NodeId>)>,
}

impl Watch for Signed {
    fn happened(&mut self, facts: &Facts, entry: &Entry, found: &mut Found) {
        if let Happening::LinkLive { member, peer } = &entry.what
            && let Some((lost, revoked)) = self.revoked.get(member)
            && facts.of(member).lost == *lost
            && facts.of(member).is_sound()
        {
            found.judge(!revoked.contains(peer), || {
                let peer = facts.name(peer).map_or_else(|| peer.short(), ToString::to_string);
                format!("{member} talks to {peer}, of which it knows that it is revoked")
            });
        }
    }

    fn held(&mut self, facts: &Facts, held: &Held<'_>, found: &mut Found) {
        let holding = held.holding;
        let revoked = holding.peers.iter().filter(|(_, peer)| peer.is_revoked).map(|(node, _)| *node).collect();
        self.revoked.insert(held.member.clone(), (facts.of(held.member).lost, revoked));
        if facts.of(held.member).is_rotten {
            found.unjudged += 1;
            return;
        }
        for document in holding.documents.values() {
            if holding.role == Role::Node {
                let is_own = document.key.owner.is_none_or(|owner| owner == holding.node);
                found.judge(is_own && document.key.kind != DocumentKind::Placement, || {
                    format!("{} holds {}, which is not in its scope", held.member, document.key)
                });
            }
            for signer in document.signed.iter().chain(&document.latest).map(|frontier| &frontier.author) {
                found.judge(may_write(facts, document, signer), || {
                    let signer = facts.name(signer).map_or_else(|| signer.short(), ToString::to_string);
                    format!("{} holds a frontier of {} that {signer} has signed", held.member, document.key)
                });
            }
        }
        for change in holding.changes.iter().filter(|change| !change.is_genesis) {
            let Some(document) = holding.documents.get(&change.document) else { continue };
            let is_authors = match owner(document) {
                Some(owner) => change.actor.belongs_to(&owner),
                None => facts.hubs().any(|hub| change.actor.belongs_to(hub)),
            };
            found.judge(is_authors, || {
                format!("{} holds a change of {} by an actor of somebody else", held.member, document.key)
            });
        }
    }
}

/// The node that alone writes the document; `None` when the hubs do.
fn owner(document: &HeldDocument) -> Option<NodeId> {
    let is_nodes = matches!(document.key.kind, DocumentKind::Observed | DocumentKind::Override | DocumentKind::Journal);
    document.key.owner.filter(|_| is_nodes)
}

fn may_write(facts: &Facts, document: &HeldDocument, who: &NodeId) -> bool {
    owner(document).map_or_else(|| facts.is_hub(who), |owner| owner == *who)
}
