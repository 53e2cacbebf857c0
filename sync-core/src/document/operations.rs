//! What a document's operations made and where, so that a change that would harm Automerge is refused before it sees it.
//!
//! Automerge 0.12 panics, or later gives the change back under another hash, when an operation names an object that is no
//! object, a key of the wrong kind, an element of another list, or a predecessor that is no value of its field. Each rule
//! here was found by leaving it out and watching (`tests/mutated_changes.rs`).

#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        reason = "its input comes from a network or a disk"
    )
)]

use std::collections::BTreeMap;
use std::sync::Arc;

use super::history::{ActorBytes, Clock};
use super::scan::{Action, OperationId, ScannedChange, ScannedKey, ScannedOperation, scan_change};

/// An operation's name in its document: counter and actor.
type Id = (u64, ActorBytes);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    Key(Arc<str>),
    Element(Id),
    Head,
}

/// What later operations may need to know of one.
#[derive(Debug, Clone)]
struct Known {
    seq: u64,
    object: Option<Id>,
    place: Place,
    insert: bool,
    action: Action,
}

/// Why an operation does not fit its document. The change's author is to blame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Misfit {
    /// It names an operation that its change does not build on.
    #[error("it names an operation that its change does not build on")]
    UnknownOperation,
    /// Its object is no container.
    #[error("it writes into something that is neither map nor list")]
    NoContainer,
    /// A map's key on a list, or a list's on a map.
    #[error("its key is not of its object's kind")]
    WrongKey,
    /// Its element is not one of that list.
    #[error("its element is not one of its list")]
    WrongElement,
    /// It replaces something that is no value of its field.
    #[error("it replaces something that is no value of its field")]
    WrongPredecessor,
}

/// The operations of one document. About a hundred bytes an operation, for as long as one delta is admitted, and of a small
/// document for as long as it is kept.
#[derive(Debug, Clone, Default)]
pub struct Operations {
    known: BTreeMap<Id, Known>,
}

impl Operations {
    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.known.len()
    }

    /// Reads a stored change, which was checked when it was admitted. One that does not scan (the genesis always does) is
    /// passed over: whatever names it is then refused.
    pub fn add_stored(&mut self, chunk: &[u8]) {
        if let Ok(change) = scan_change(chunk) {
            let read = change.operations.iter().map(|operation| read(&change, operation));
            let read: Vec<Option<Known>> = read.collect();
            for (counter, known) in (change.start_op..).zip(read) {
                self.known.extend(known.map(|known| ((counter, change.actor), known)));
            }
        }
    }

    /// Checks each operation of `change` and adds it. `past` is the clock of what the change builds on.
    ///
    /// # Errors
    /// [`Misfit`]; then the value must not be used further.
    pub fn add_checked(&mut self, change: &ScannedChange, past: &Clock) -> Result<(), Misfit> {
        for (counter, operation) in (change.start_op..).zip(&change.operations) {
            let known = read(change, operation).ok_or(Misfit::UnknownOperation)?;
            self.check(change, operation, &known, past)?;
            self.known.insert((counter, change.actor), known);
        }
        Ok(())
    }

    fn check(
        &self,
        change: &ScannedChange,
        operation: &ScannedOperation,
        new: &Known,
        past: &Clock,
    ) -> Result<(), Misfit> {
        // An operation of this change is seen once it was read, one of another when its change is in the past.
        let find = |id: Id| {
            let seen =
                |known: &&Known| past.seq(&id.1) >= known.seq || (id.1 == change.actor && known.seq == change.seq);
            self.known.get(&id).filter(seen).ok_or(Misfit::UnknownOperation)
        };
        let container = match new.object {
            None => Action::MakeMap,
            Some(id) => find(id)?.action,
        };
        match (container, &new.place) {
            (Action::MakeMap, Place::Key(_)) | (Action::MakeList, Place::Element(_) | Place::Head) => {}
            (Action::MakeMap | Action::MakeList, _) => return Err(Misfit::WrongKey),
            (Action::Put | Action::Delete, _) => return Err(Misfit::NoContainer),
        }
        if let Place::Element(id) = new.place {
            let inserted = find(id)?;
            if !inserted.insert || inserted.object != new.object {
                return Err(Misfit::WrongElement);
            }
        }
        for id in &operation.predecessors {
            let id = resolve(change, *id).ok_or(Misfit::UnknownOperation)?;
            let replaced = find(id)?;
            let own_element = Place::Element(id);
            let field = if replaced.insert { &own_element } else { &replaced.place };
            if replaced.object != new.object || *field != new.place || replaced.action == Action::Delete {
                return Err(Misfit::WrongPredecessor);
            }
        }
        Ok(())
    }
}

fn resolve(change: &ScannedChange, id: OperationId) -> Option<Id> {
    Some((id.counter, change.actor_of(id)?))
}

fn read(change: &ScannedChange, operation: &ScannedOperation) -> Option<Known> {
    let object = match operation.object {
        Some(id) => Some(resolve(change, id)?),
        None => None,
    };
    let place = match &operation.key {
        ScannedKey::Map(key) => Place::Key(Arc::clone(key)),
        ScannedKey::Element(id) => Place::Element(resolve(change, *id)?),
        ScannedKey::Head => Place::Head,
    };
    Some(Known { seq: change.seq, object, place, insert: operation.insert, action: operation.action })
}
