//! Invariant 6: admission asks who signed, not who sent.
//!
//! Verifies, over every store: a document that a node authors has only that node's changes and signatures, every other only
//! those of hubs; and a node holds no document of another node and none that stays among hubs. Not verified: the signatures
//! themselves (the store gives only verified ones), which layers are in a node's scope, and stores with flipped bits.

use sync_core::document::DocumentKind;
use sync_core::id::NodeId;
use sync_core::identity::Role;

use super::{Facts, Found, Held, Watch};
use crate::holding::HeldDocument;

#[derive(Debug, Default)]
pub(super) struct Signed;

impl Watch for Signed {
    fn held(&mut self, facts: &Facts, held: &Held<'_>, found: &mut Found) {
        let holding = held.holding;
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
