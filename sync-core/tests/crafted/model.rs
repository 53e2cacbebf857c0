//! The rules that need a document, spelled out: what admission must check of a scanned change before Automerge applies it.
//!
//! Include it from an integration test with `#[path = "crafted/model.rs"] mod model;`.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::collections::BTreeMap;
use std::sync::Arc;

use sync_core::document::scan::{Action, ActorBytes, OperationId, ScannedChange, ScannedKey};
use sync_core::id::ChangeHash;

/// An operation's name in its document.
pub(crate) type Id = (u64, ActorBytes);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    Key(Arc<str>),
    Element(Id),
    Head,
}

#[derive(Debug, Clone)]
struct KnownOperation {
    seq: u64,
    object: Option<Id>,
    place: Place,
    insert: bool,
    action: Action,
}

#[derive(Debug, Clone)]
struct KnownChange {
    /// Highest sequence number of each actor among the change and what it builds on.
    clock: BTreeMap<ActorBytes, u64>,
    /// Highest operation counter of the same.
    max_op: u64,
}

/// What is known of one document.
#[derive(Debug, Clone, Default)]
pub(crate) struct DocumentModel {
    changes: BTreeMap<ChangeHash, KnownChange>,
    last_seq: BTreeMap<ActorBytes, u64>,
    operations: BTreeMap<Id, KnownOperation>,
}

impl DocumentModel {
    /// Every operation's id, for choosing one.
    pub(crate) fn ids(&self) -> Vec<Id> {
        self.operations.keys().copied().collect()
    }

    /// Checks `change` against the document and adds it. The error names the rule.
    pub(crate) fn admit(&mut self, change: &ScannedChange) -> Result<(), &'static str> {
        if self.last_seq.get(&change.actor).copied().unwrap_or(0) + 1 != change.seq {
            return Err("its sequence number follows the last of its actor");
        }
        let mut past = KnownChange { clock: BTreeMap::new(), max_op: 0 };
        for dep in &change.deps {
            let known = self.changes.get(dep).ok_or("its dependencies are known")?;
            past.max_op = past.max_op.max(known.max_op);
            for (actor, seq) in &known.clock {
                let highest = past.clock.entry(*actor).or_default();
                *highest = (*highest).max(*seq);
            }
        }
        if past.clock.get(&change.actor).copied().unwrap_or(0) + 1 != change.seq {
            return Err("its dependencies include its actor's last change");
        }
        if change.start_op != past.max_op + 1 {
            return Err("its counters start one above those of its past");
        }
        let added = self.read_operations(change, &past)?;
        self.operations.extend(added);
        self.last_seq.insert(change.actor, change.seq);
        past.clock.insert(change.actor, change.seq);
        past.max_op = change.max_op();
        self.changes.insert(change.hash, past);
        Ok(())
    }

    fn read_operations(
        &self,
        change: &ScannedChange,
        past: &KnownChange,
    ) -> Result<BTreeMap<Id, KnownOperation>, &'static str> {
        let mut added: BTreeMap<Id, KnownOperation> = BTreeMap::new();
        let id_of = |id: OperationId| (id.counter, change.actor_of(id).expect("the scanner checked the index"));
        for (index, operation) in change.operations.iter().enumerate() {
            let find = |id: Id| {
                let seen = |known: &&KnownOperation| past.clock.get(&id.1).is_some_and(|seq| *seq >= known.seq);
                added.get(&id).or_else(|| self.operations.get(&id).filter(seen))
            };
            let object = operation.object.map(id_of);
            let place = match &operation.key {
                ScannedKey::Map(key) => Place::Key(Arc::clone(key)),
                ScannedKey::Element(id) => Place::Element(id_of(*id)),
                ScannedKey::Head => Place::Head,
            };
            let made = match object {
                None => Action::MakeMap,
                Some(id) => find(id).ok_or("its object is in its past")?.action,
            };
            match (made, &place) {
                (Action::MakeMap, Place::Key(_)) | (Action::MakeList, Place::Element(_) | Place::Head) => {}
                (Action::MakeMap | Action::MakeList, _) => return Err("its key is of its object's kind"),
                (Action::Put | Action::Delete, _) => return Err("its object was made by an operation that makes one"),
            }
            if let Place::Element(id) = place {
                let inserted = find(id).ok_or("its element is in its past")?;
                if !inserted.insert || inserted.object != object {
                    return Err("its element was inserted into its list");
                }
            }
            for id in operation.predecessors.iter().map(|id| id_of(*id)) {
                let replaced = find(id).ok_or("its predecessors are in its past")?;
                let field = if replaced.insert { &Place::Element(id) } else { &replaced.place };
                if replaced.object != object || *field != place || replaced.action == Action::Delete {
                    return Err("its predecessors are values of its field");
                }
            }
            let id = (change.start_op + index as u64, change.actor);
            let (insert, action) = (operation.insert, operation.action);
            added.insert(id, KnownOperation { seq: change.seq, object, place, insert, action });
        }
        Ok(added)
    }
}
