//! The shape of the roster: the fleet's hubs, the home hub of each document, and whose enrolment was taken back.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::document::{AuthorGroup, DocumentKey, DocumentKind, Heads};
use crate::id::{DocumentId, Name, NodeId};

/// Who is in the fleet, as every member holds it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RosterState {
    /// Hubs by id.
    #[serde(default)]
    pub hubs: BTreeMap<NodeId, HubEntry>,
    /// The home of every document of the hubs that is not in `homes`.
    #[serde(default)]
    pub home: HomeField,
    /// Homes of single documents, by [`home_name`].
    #[serde(default)]
    pub homes: BTreeMap<String, Home>,
    /// Members whose enrolment was taken back, with what people called them.
    #[serde(default)]
    pub revoked: BTreeMap<NodeId, String>,
    /// What was taken of revoked members before, by [`taken_name`]: what is at or below one of these still counts, whoever
    /// carries it. One flat map, so that what hubs took while they were apart is joined.
    #[serde(default)]
    pub taken: BTreeMap<String, Taken>,
}

/// A hub.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HubEntry {
    /// What people call it.
    pub name: Name,
    /// Where it is reached, `HOST:PORT` each, in the order to try them. Empty: others do not dial it.
    #[serde(default)]
    pub addresses: Vec<String>,
    /// It holds the fleet's certificate authority, so it can enrol.
    #[serde(default)]
    pub authority: bool,
}

/// The hub that may cut a document's history (decision D5), and how often that was moved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Home {
    /// The hub.
    pub hub: NodeId,
    /// Rises with each move.
    pub epoch: u64,
}

/// The default home. Its map is in the roster's genesis, so it is there, empty, before the first home is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct HomeField {
    /// The hub; the one that made the fleet, until it was moved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hub: Option<NodeId>,
    /// Rises with each move.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u64>,
}

/// A frontier that was taken of a member before it was revoked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// The document's generation.
    pub generation: u32,
    /// Its heads, hexadecimal.
    #[serde(with = "heads_hex")]
    pub heads: Heads,
}

/// The place of a [`Taken`] in the roster: `MEMBER/DOCUMENT/` and a hash of the heads. All of one member and document stand
/// together.
#[must_use]
pub fn taken_name(member: NodeId, document: DocumentId, taken: &Taken) -> String {
    let hash = blake3::derive_key("archipel 2026 taken frontier", &taken.heads.to_bytes());
    let [a, b, c, d, ..] = hash;
    format!("{member}/{document}/{}", hex(&[a, b, c, d]))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl RosterState {
    /// The home of a document of the hubs; `None` for other documents, and before the fleet has a roster.
    #[must_use]
    pub fn home_of(&self, key: &DocumentKey) -> Option<Home> {
        let name = home_name(key)?;
        let default = || Some(Home { hub: self.home.hub?, epoch: self.home.epoch? });
        self.homes.get(&name).cloned().or_else(default)
    }

    /// The highest epoch that any home ever had here.
    #[must_use]
    pub fn highest_epoch(&self) -> u64 {
        self.homes.values().map(|home| home.epoch).chain(self.home.epoch).max().unwrap_or(0)
    }

    /// What was taken of this member's word on a document before it was revoked.
    pub fn taken_of(&self, member: NodeId, document: DocumentId) -> impl Iterator<Item = &Taken> {
        let prefix = format!("{member}/{document}/");
        let from = self.taken.range(prefix.clone()..);
        from.take_while(move |(name, _)| name.starts_with(&prefix)).map(|(_, taken)| taken)
    }

    /// The hub of this name.
    #[must_use]
    pub fn hub_named(&self, name: &Name) -> Option<(NodeId, &HubEntry)> {
        self.hubs.iter().find(|(_, hub)| hub.name == *name).map(|(id, hub)| (*id, hub))
    }

    /// Hubs in the order in which a node should try them: the default home first, then by id; without those that cannot be
    /// dialled or are revoked.
    #[must_use]
    pub fn dialled(&self) -> Vec<(NodeId, &HubEntry)> {
        let is_open = |(id, hub): &(&NodeId, &HubEntry)| !hub.addresses.is_empty() && !self.revoked.contains_key(*id);
        let mut hubs: Vec<_> = self.hubs.iter().filter(is_open).map(|(id, hub)| (*id, hub)).collect();
        hubs.sort_by_key(|(id, _)| (Some(*id) != self.home.hub, *id));
        hubs
    }
}

/// A document of the hubs as the roster names it: `layer/base`, `release/main`, `assignment/ID`, `placement`, `roster`. `None`
/// for what a node writes.
#[must_use]
pub fn home_name(key: &DocumentKey) -> Option<String> {
    if key.author_group() != AuthorGroup::Hubs {
        return None;
    }
    Some(match (key.kind, key.owner) {
        (DocumentKind::Layer, _) => format!("layer/{}", key.name),
        (DocumentKind::Release, _) => format!("release/{}", key.name),
        (_, Some(owner)) => format!("assignment/{owner}"),
        (DocumentKind::Placement, None) => "placement".to_owned(),
        (_, None) => "roster".to_owned(),
    })
}

mod heads_hex {
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::document::Heads;
    use crate::id::hex_decode;

    pub(super) fn serialize<S: Serializer>(heads: &Heads, serializer: S) -> Result<S::Ok, S::Error> {
        let text: String = heads.to_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        serializer.serialize_str(&text)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Heads, D::Error> {
        let text = String::deserialize(deserializer)?;
        hex_decode(&text)
            .and_then(|bytes| Heads::from_bytes(&bytes))
            .ok_or_else(|| serde::de::Error::custom("expected hexadecimal heads"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::desired::{from_state, to_state};

    fn hub(name: &str, addresses: &[&str]) -> HubEntry {
        let addresses = addresses.iter().map(|address| (*address).to_owned()).collect();
        HubEntry { name: Name::new(name).unwrap(), addresses, authority: false }
    }

    #[test]
    fn a_document_is_at_home_where_it_was_moved_or_at_the_default() {
        let (a, b) = (NodeId([1; 32]), NodeId([2; 32]));
        let mut roster = RosterState::default();
        let (base, north) =
            (DocumentKey::layer(&Name::new("base").unwrap()), DocumentKey::layer(&Name::new("north").unwrap()));
        assert_eq!(roster.home_of(&base), None);
        roster.home = HomeField { hub: Some(a), epoch: Some(1) };
        roster.homes.insert("layer/north".to_owned(), Home { hub: b, epoch: 2 });
        assert_eq!(roster.home_of(&base), Some(Home { hub: a, epoch: 1 }));
        assert_eq!(roster.home_of(&north), Some(Home { hub: b, epoch: 2 }));
        assert_eq!(roster.home_of(&DocumentKey::observed(a)), None);
        assert_eq!(roster.highest_epoch(), 2);
    }

    #[test]
    fn the_home_is_dialled_first_and_the_revoked_never() {
        let [a, b, c] = [1, 2, 3].map(|id| NodeId([id; 32]));
        let mut roster = RosterState { home: HomeField { hub: Some(b), epoch: Some(1) }, ..RosterState::default() };
        roster.hubs.insert(a, hub("a", &["a:1"]));
        roster.hubs.insert(b, hub("b", &["b:1"]));
        roster.hubs.insert(c, hub("c", &["c:1"]));
        roster.hubs.insert(NodeId([4; 32]), hub("d", &[]));
        roster.revoked.insert(c, "c".to_owned());
        assert_eq!(roster.dialled().into_iter().map(|(id, _)| id).collect::<Vec<_>>(), [b, a]);
        assert_eq!(from_state(&to_state(&roster)), Some(roster));
    }

    #[test]
    fn what_was_taken_is_found_by_member_and_document() {
        let [a, b] = [1, 2].map(|id| NodeId([id; 32]));
        let (one, other) = (DocumentId([3; 16]), DocumentId([4; 16]));
        let mut roster = RosterState::default();
        for (member, document, head) in [(a, one, 5), (a, one, 6), (a, other, 7), (b, one, 8)] {
            let taken = Taken { generation: 0, heads: Heads::new(vec![crate::id::ChangeHash([head; 32])]).unwrap() };
            roster.taken.insert(taken_name(member, document, &taken), taken);
        }
        assert_eq!(roster.taken_of(a, one).count(), 2);
        assert_eq!((roster.taken_of(b, one).count(), roster.taken_of(b, other).count()), (1, 0));
        assert_eq!(from_state(&to_state(&roster)), Some(roster));
    }

    #[test]
    fn the_genesis_of_a_roster_is_an_empty_roster() {
        let state = serde_json::json!({ "home": {}, "homes": {}, "hubs": {}, "revoked": {}, "taken": {} });
        assert_eq!(from_state(state.as_object().unwrap()), Some(RosterState::default()));
        assert_eq!(to_state(&RosterState::default()), *state.as_object().unwrap());
    }
}
