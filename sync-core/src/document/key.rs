//! Which documents there are: kind, owner and name, and who may write each.

use crate::id::{DocumentId, Name, NodeId};

/// What a document is for. The number is part of the document's id and of the wire format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
#[non_exhaustive]
pub enum DocumentKind {
    /// Kubernetes objects and patches, by the hubs. Bases and overlays are layers.
    Layer = 1,
    /// Names the layer frontiers that a node applies as a whole, by the hubs.
    Release = 2,
    /// Which layers and which release one node follows, by the hubs.
    Assignment = 3,
    /// What one node applied and how it fares, by that node.
    Observed = 4,
    /// Local changes made on site, by that node. Reserved: nothing writes it yet.
    Override = 5,
    /// What happened on one node while nobody was in reach, by that node. Reserved: nothing writes it yet.
    Journal = 6,
    /// Which selector gets which layers, by the hubs. It stays among hubs.
    Placement = 7,
    /// Who is in the fleet: its hubs and their addresses, the home hub of each document, who is revoked. By the hubs, and held
    /// by everyone.
    Roster = 8,
}

impl DocumentKind {
    /// The kind of this number.
    #[must_use]
    pub fn from_number(number: u32) -> Option<Self> {
        const ALL: [DocumentKind; 8] = [
            DocumentKind::Layer,
            DocumentKind::Release,
            DocumentKind::Assignment,
            DocumentKind::Observed,
            DocumentKind::Override,
            DocumentKind::Journal,
            DocumentKind::Placement,
            DocumentKind::Roster,
        ];
        ALL.into_iter().find(|kind| u32::from(kind.number()) == number)
    }

    /// The kind's number in ids and on the wire.
    #[must_use]
    pub fn number(self) -> u8 {
        self as u8
    }

    /// Maps that every document of this kind has from the start, so that two hubs which create one document apart from
    /// each other fill the same maps instead of making two that conflict.
    #[must_use]
    pub(crate) fn root_maps(self) -> &'static [&'static str] {
        match self {
            Self::Layer | Self::Observed | Self::Override => &["objects"],
            Self::Release => &["layers"],
            Self::Assignment => &["labels"],
            Self::Journal => &["entries"],
            Self::Placement => &["rules"],
            Self::Roster => &["home", "homes", "hubs", "revoked", "taken"],
        }
    }
}

/// Who may sign a document's frontiers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum AuthorGroup {
    /// Every hub of the fleet.
    Hubs,
    /// One node, and nobody else.
    Node(NodeId),
}

/// A document's full name. Its id is the hash of this, so nobody can pass one document off as another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct DocumentKey {
    /// What it is for.
    pub kind: DocumentKind,
    /// The node that it is about; `None` for documents of the whole fleet.
    pub owner: Option<NodeId>,
    /// Its name among documents of its kind; empty for documents that a node has one of.
    pub name: String,
}

impl DocumentKey {
    /// The layer of this name.
    #[must_use]
    pub fn layer(name: &Name) -> Self {
        Self { kind: DocumentKind::Layer, owner: None, name: name.to_string() }
    }

    /// The release of this name.
    #[must_use]
    pub fn release(name: &Name) -> Self {
        Self { kind: DocumentKind::Release, owner: None, name: name.to_string() }
    }

    /// The placement rules of the fleet.
    #[must_use]
    pub fn placement() -> Self {
        Self { kind: DocumentKind::Placement, owner: None, name: String::new() }
    }

    /// The fleet's roster.
    #[must_use]
    pub fn roster() -> Self {
        Self { kind: DocumentKind::Roster, owner: None, name: String::new() }
    }

    /// The assignment of `node`.
    #[must_use]
    pub fn assignment(node: NodeId) -> Self {
        Self { kind: DocumentKind::Assignment, owner: Some(node), name: String::new() }
    }

    /// What `node` observes.
    #[must_use]
    pub fn observed(node: NodeId) -> Self {
        Self { kind: DocumentKind::Observed, owner: Some(node), name: String::new() }
    }

    /// The documents that a node writes, in the order in which they should travel.
    #[must_use]
    pub fn written_by(node: NodeId) -> [Self; 3] {
        [DocumentKind::Override, DocumentKind::Observed, DocumentKind::Journal].map(|kind| Self {
            kind,
            owner: Some(node),
            name: String::new(),
        })
    }

    /// The document's id on the wire.
    #[must_use]
    pub fn id(&self) -> DocumentId {
        let mut hasher = blake3::Hasher::new_derive_key("archipel 2026 document id");
        hasher.update(&[self.kind.number()]);
        match self.owner {
            Some(owner) => hasher.update(&[1]).update(&owner.0),
            None => hasher.update(&[0]),
        };
        hasher.update(self.name.as_bytes());
        let mut id = [0; 16];
        hasher.finalize_xof().fill(&mut id);
        DocumentId(id)
    }

    /// Who may sign this document's frontiers.
    #[must_use]
    pub fn author_group(&self) -> AuthorGroup {
        match (self.kind, self.owner) {
            (DocumentKind::Observed | DocumentKind::Override | DocumentKind::Journal, Some(node)) => {
                AuthorGroup::Node(node)
            }
            _ => AuthorGroup::Hubs,
        }
    }

    /// Whether kind, owner and name fit together. A key that came from a peer is used only after this.
    #[must_use]
    pub fn is_well_formed(&self) -> bool {
        match self.kind {
            DocumentKind::Layer | DocumentKind::Release => self.owner.is_none() && Name::new(&self.name).is_ok(),
            DocumentKind::Placement | DocumentKind::Roster => self.owner.is_none() && self.name.is_empty(),
            DocumentKind::Assignment | DocumentKind::Observed | DocumentKind::Override | DocumentKind::Journal => {
                self.owner.is_some() && self.name.is_empty()
            }
        }
    }
}

impl std::fmt::Display for DocumentKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = match self.kind {
            DocumentKind::Layer => "layer",
            DocumentKind::Release => "release",
            DocumentKind::Assignment => "assignment",
            DocumentKind::Observed => "observed",
            DocumentKind::Override => "override",
            DocumentKind::Journal => "journal",
            DocumentKind::Placement => "placement",
            DocumentKind::Roster => "roster",
        };
        match self.owner {
            Some(owner) => write!(f, "{kind} of {}", owner.short()),
            None if self.name.is_empty() => f.write_str(kind),
            None => write!(f, "{kind} {}", self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_owner_and_name_has_its_own_id() {
        let name = Name::new("base").unwrap();
        let (a, b) = (NodeId([1; 32]), NodeId([2; 32]));
        let keys = [
            DocumentKey::layer(&name),
            DocumentKey::release(&name),
            DocumentKey::placement(),
            DocumentKey::roster(),
            DocumentKey::assignment(a),
            DocumentKey::assignment(b),
            DocumentKey::observed(a),
        ];
        let ids: std::collections::BTreeSet<_> = keys.iter().map(DocumentKey::id).collect();
        assert_eq!(ids.len(), keys.len());
        assert!(keys.iter().all(DocumentKey::is_well_formed));
    }

    #[test]
    fn a_node_authors_only_its_own_documents() {
        let node = NodeId([1; 32]);
        assert_eq!(DocumentKey::observed(node).author_group(), AuthorGroup::Node(node));
        assert_eq!(DocumentKey::assignment(node).author_group(), AuthorGroup::Hubs);
    }
}
