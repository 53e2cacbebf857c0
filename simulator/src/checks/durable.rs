//! Invariant 2: nothing leaves a replica before it is durable there, and every start writes under a fresh actor.
//!
//! Verifies: one sequence number of one actor names one change wherever it is held, so none was used again for another; an
//! author holds what others hold of it; and none has to begin anew because it lacks what it sent, as long as nothing took
//! anybody's past. Not verified: that an actor is never continued by a later start without a clash,
//! changes of generations that are over, and authors whose store was set back, wiped, cloned or rotten (only the clash is judged of those),
//! and nodes whose key somebody else has.

use std::collections::BTreeMap;

use sync_core::document::{ActorBytes, Clock};
use sync_core::id::{ChangeHash, DocumentId, NodeId};

use super::{Facts, Found, Held, Watch};
use crate::holding::{HeldDocument, Look};
use crate::trace::{Entry, Happening, Member, Told};

/// A document's generation: two hubs may begin one of the same number, on different lines.
type Line = (DocumentId, u32, Option<ActorBytes>);

#[derive(Debug, Default)]
pub(super) struct Durable {
    /// The first that was seen under each number, and where.
    hashes: BTreeMap<(Line, ActorBytes, u64), (ChangeHash, Member)>,
    /// What others hold of each actor, who, and how often its author had lost its past when the actor was first seen.
    told: BTreeMap<(Line, ActorBytes), (u64, Member, u64)>,
    /// How often the second had lost its past when the first was last read: what is first seen of an actor after a loss may have
    /// been told before it.
    read: BTreeMap<(Member, Member), u64>,
}

impl Watch for Durable {
    fn happened(&mut self, facts: &Facts, entry: &Entry, found: &mut Found) {
        if let Happening::Replica { member, event: Told::NewIncarnation(_) } = &entry.what {
            if facts.all_have_their_past() {
                found.judge(false, || format!("{member} had to begin anew, and nothing has taken its past"));
            } else {
                found.unjudged += 1;
            }
        }
    }

    fn held(&mut self, facts: &Facts, held: &Held<'_>, found: &mut Found) {
        if facts.of(held.member).is_rotten {
            found.unjudged += 1;
            return;
        }
        if held.holding.look >= Look::Acknowledged {
            for (id, document) in &held.holding.documents {
                self.compare_author(facts, held, (*id, document.generation, document.line), document, found);
            }
            for name in facts.names() {
                self.read.insert((held.member.clone(), name.clone()), facts.of(name).lost);
            }
        }
        for change in held.holding.changes.iter().filter(|change| !change.is_genesis) {
            let Some(document) = held.holding.documents.get(&change.document) else { continue };
            if change.generation != document.generation {
                continue;
            }
            let of_author = |node: &NodeId| change.actor.belongs_to(node);
            let author = document.key.owner.filter(of_author).and_then(|owner| facts.name(&owner));
            if author.is_some_and(|name| facts.of(name).is_hostile) {
                // Whoever holds its key uses numbers as he likes.
                found.unjudged += 1;
                continue;
            }
            let line = (change.document, change.generation, document.line);
            let first = self.hashes.entry((line, change.actor, change.seq));
            let (hash, who) = first.or_insert_with(|| (change.hash, held.member.clone()));
            found.judge(*hash == change.hash, || {
                format!(
                    "{who} and {} hold two changes of {} under number {} of one actor",
                    held.member, document.key, change.seq
                )
            });
        }
    }
}

impl Durable {
    fn compare_author(
        &mut self,
        facts: &Facts,
        held: &Held<'_>,
        line: Line,
        document: &HeldDocument,
        found: &mut Found,
    ) {
        let own = facts.of(held.member);
        // What is held of generations that are over is no word about the present one: its author may have dropped them.
        let present = document.latest.as_ref().filter(|latest| latest.generation == document.generation);
        for (actor, seq) in present.map(|latest| others(&latest.clock, held)).unwrap_or_default() {
            let author = facts.hubs().find(|hub| actor.belongs_to(hub)).or(document.key.owner.as_ref());
            let name = author.and_then(|author| facts.name(author));
            let before = |name: &Member| self.read.get(&(held.member.clone(), name.clone())).copied().unwrap_or(0);
            let lost = name.map_or(0, |name| facts.of(name).lost.min(before(name)));
            let told = self.told.entry((line, actor)).or_insert((0, held.member.clone(), lost));
            if seq > told.0 {
                (told.0, told.1) = (seq, held.member.clone());
            }
        }
        let of_this = self.told.range((line, ActorBytes([0; 16]))..=(line, ActorBytes([0xff; 16])));
        for ((_, actor), (seq, who, lost)) in of_this.filter(|((_, actor), _)| actor.belongs_to(&held.holding.node)) {
            if *lost != own.lost || !own.is_sound() {
                found.unjudged += 1;
                continue;
            }
            found.judge(document.held.seq(actor) >= *seq, || {
                format!(
                    "{who} holds {seq} changes of an actor of {} in {}, which itself holds {}",
                    held.member,
                    document.key,
                    document.held.seq(actor)
                )
            });
        }
    }
}

/// What a document holds of actors of others.
fn others(clock: &Clock, held: &Held<'_>) -> Vec<(ActorBytes, u64)> {
    let foreign = |(actor, _): &(&ActorBytes, u64)| !actor.belongs_to(&held.holding.node);
    clock.iter().filter(foreign).map(|(actor, seq)| (*actor, seq)).collect()
}
