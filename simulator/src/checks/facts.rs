//! What all checks have to know of a run: who is who, who runs, and which faults have taken away what could be compared.

use std::collections::{BTreeMap, BTreeSet};

use sync_core::document::DocumentKey;
use sync_core::id::NodeId;
use sync_core::state::ObjectHash;
use sync_core::state::observed::AppliedStamp;

use super::Held;
use crate::trace::{Ended, Entry, Happening, Member, Told, Work};

/// Objects by key.
type Objects = BTreeMap<String, ObjectHash>;

/// What happened so far, as far as it bears on verdicts.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    members: BTreeMap<Member, Known>,
    names: BTreeMap<NodeId, Member>,
    /// By the one who tells and the one it talks to: how often the latter had lost its past when they last said hello.
    met: BTreeMap<(Member, Member), u64>,
    /// By node, and heads of assignment and release: what the node is to hold then, by a hub.
    wanted: BTreeMap<NodeId, BTreeMap<(String, String), Objects>>,
    /// A release may have been made of which `wanted` does not know.
    has_missed: bool,
    unknown: Known,
}

/// One member.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known {
    /// Its identity.
    pub node: Option<NodeId>,
    /// It is a hub.
    pub is_hub: bool,
    /// It runs.
    pub is_up: bool,
    /// When something last happened to it that it needs time to settle from: a start, a fault or its end, an edit by hand.
    pub stirred_at: u64,
    /// How often its store was lost, set back, or lost what it said was durable.
    pub lost: u64,
    /// A copy of its store is or was in use.
    pub is_cloned: bool,
    /// Bits of its store have flipped.
    pub is_rotten: bool,
    /// Someone attacks with its key.
    pub is_hostile: bool,
    /// Its enrolment was taken back.
    pub is_revoked: bool,
    /// Faults that last and have not ended.
    pub faults: BTreeSet<String>,
    /// Its disk has said that it synced and did not.
    pub has_lied: bool,
    /// Its disk had a fault since its process started.
    pub had_disk_fault: bool,
}

impl Known {
    /// Whether its store and its words are what the engine made them.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        !(self.is_cloned || self.is_rotten || self.is_hostile || self.is_revoked)
    }
}

impl Facts {
    /// What is known of a member.
    #[must_use]
    pub fn of(&self, member: &str) -> &Known {
        self.members.get(member).unwrap_or(&self.unknown)
    }

    /// Who has this identity.
    #[must_use]
    pub fn name(&self, node: &NodeId) -> Option<&Member> {
        self.names.get(node)
    }

    /// Whether this is a hub's identity.
    #[must_use]
    pub fn is_hub(&self, node: &NodeId) -> bool {
        self.name(node).is_some_and(|name| self.of(name).is_hub)
    }

    /// Whether this is the id of a document that a member writes whose key somebody else has.
    #[must_use]
    pub fn is_of_a_thief(&self, document: &str) -> bool {
        let stolen = self.members.values().filter(|known| known.is_hostile).filter_map(|known| known.node);
        stolen.flat_map(DocumentKey::written_by).any(|key| key.id().to_string() == document)
    }

    /// Everyone that was heard of.
    pub fn names(&self) -> impl Iterator<Item = &Member> {
        self.members.keys()
    }

    /// All hubs.
    pub fn hubs(&self) -> impl Iterator<Item = &NodeId> {
        self.members.values().filter(|known| known.is_hub).filter_map(|known| known.node.as_ref())
    }

    /// Whether the first has said hello to the second since that last lost its past.
    #[must_use]
    pub fn has_met(&self, who: &Member, whom: &Member) -> bool {
        let lost = self.of(whom).lost;
        lost == 0 || self.met.get(&(who.clone(), whom.clone())) == Some(&lost)
    }

    /// The objects of what a node applied, as a hub has them; `None` when no hub was asked at that time.
    #[must_use]
    pub fn wanted(&self, node: &NodeId, applied: &AppliedStamp) -> Option<&Objects> {
        self.wanted.get(node)?.get(&(applied.assignment.heads.clone(), applied.release.heads.clone()))
    }

    /// Whether an assignment and release of the node were ever made that do not name the object; `None` when that cannot be
    /// known.
    #[must_use]
    pub fn was_ever_left_out(&self, node: &NodeId, key: &str) -> Option<bool> {
        let wanted = self.wanted.get(node).filter(|_| !self.has_missed)?;
        Some(wanted.values().any(|objects| !objects.contains_key(key)))
    }

    /// Whether nothing has happened yet for which any member could have lost its past: whoever has, has broken its word.
    #[must_use]
    pub fn all_have_their_past(&self) -> bool {
        self.members.values().all(|known| known.is_sound() && known.lost == 0 && !known.has_lied)
    }

    pub(super) fn missed_a_release(&mut self) {
        self.has_missed = true;
    }

    pub(super) fn held(&mut self, held: &Held<'_>) {
        if !self.of(held.member).is_rotten {
            for (node, wanted) in &held.holding.wanted {
                let place = (wanted.assignment.clone(), wanted.release.clone());
                self.wanted.entry(*node).or_default().entry(place).or_insert_with(|| wanted.objects.clone());
            }
        }
        for (node, peer) in &held.holding.peers {
            if peer.is_revoked
                && let Some(name) = self.names.get(node).cloned()
            {
                self.members.entry(name).or_default().is_revoked = true;
            }
        }
    }

    pub(super) fn happened(&mut self, entry: &Entry) {
        if let Happening::Replica { event: Told::Changed(_) | Told::Synced(_), .. } = entry.what {
            return;
        }
        if let Happening::LinkLive { member, peer } = &entry.what
            && let Some(peer) = self.names.get(peer).cloned()
        {
            let lost = self.of(&peer).lost;
            self.met.insert((member.clone(), peer), lost);
            return;
        }
        if let Happening::Work { work: Work::Other { word }, .. } = &entry.what
            && let Some(name) = word.strip_prefix("revoke ")
        {
            self.members.entry(name.into()).or_default().is_revoked = true;
            return;
        }
        if entry.what == Happening::Healed {
            for known in self.members.values_mut() {
                known.faults.clear();
                known.stirred_at = entry.at;
            }
        }
        let Some(member) = entry.what.member() else { return };
        let known = self.members.entry(member.clone()).or_default();
        if let Happening::Started { node, is_hub, .. } = &entry.what {
            (known.node, known.is_hub, known.is_up) = (Some(*node), *is_hub, true);
            known.had_disk_fault = known.has_lied || !known.faults.is_empty();
            known.stirred_at = entry.at;
            self.names.insert(*node, member.clone());
        } else if let Happening::Stopped { how, .. } = &entry.what {
            known.is_up = false;
            known.lost += u64::from(*how == Ended::WithoutPower && known.has_lied);
        } else if let Happening::Fault { kind, .. } = &entry.what {
            known.meets(kind, entry.at);
        } else if let Happening::FaultEnded { kind, .. } = &entry.what {
            known.faults.remove(&**kind);
            known.stirred_at = entry.at;
        } else if let Happening::Work { work, .. } = &entry.what {
            let is_by_hand = matches!(work, Work::HandEdit { .. })
                || matches!(work, Work::Other { word } if &**word == "target-edit");
            if is_by_hand {
                known.stirred_at = entry.at;
            }
        }
    }
}

impl Known {
    fn meets(&mut self, kind: &str, at: u64) {
        self.stirred_at = at;
        match kind {
            "restore-backup" => self.lost += 1,
            "wipe-store" => (self.lost, self.is_rotten, self.has_lied) = (self.lost + 1, false, false),
            "bit-rot" => (self.is_rotten, self.had_disk_fault) = (true, true),
            "clone-disk" => self.is_cloned = true,
            "hostile" => self.is_hostile = true,
            "lying-fsync" => (self.has_lied, self.had_disk_fault) = (true, true),
            "disk-full" | "io-errors" => self.had_disk_fault = true,
            _ => {}
        }
        if matches!(kind, "pause" | "disk-full" | "io-errors" | "lying-fsync" | "clone-disk" | "clock-drift") {
            self.faults.insert(kind.to_owned());
        }
    }
}
