//! Reads a change's columns row by row into operations, and checks what can be checked of each without a document.

use std::sync::Arc;

use super::error::{Column, OperationError, ScanError};
use super::leb128::Reader;
use super::runs::{Booleans, Deltas, RunError, Runs};
use super::value::{NULL, check_value};
use super::{Action, ActorBytes, OperationId, ScannedKey, ScannedOperation};
use crate::limits::{
    CHANGE_KEY_BYTES_MAX, CHANGE_OPERATIONS_MAX, CHANGE_PREDECESSORS_MAX, KEY_BYTES_MAX, OPERATION_COUNTER_MAX,
};

/// The columns of a change, each a slice of its bytes; empty where the change has none.
#[derive(Debug, Default)]
pub(super) struct Columns<'a> {
    slices: [&'a [u8]; Column::ALL.len()],
}

impl<'a> Columns<'a> {
    /// Reads the list of columns and the columns, which end with the change.
    pub(super) fn read(reader: &mut Reader<'a>) -> Result<Self, ScanError> {
        let field = |reason| ScanError::Field { field: "list of columns", reason };
        let count = reader.unsigned().map_err(field)?;
        let max = Column::ALL.len() as u64;
        if count > max {
            return Err(ScanError::TooMany { what: "columns", count, max });
        }
        let mut listed = Vec::new();
        let mut claimed = 0_u64;
        let mut before = None;
        for _ in 0..count {
            let specification = reader.unsigned().map_err(field)?;
            let length = reader.unsigned().map_err(field)?;
            if specification & 0x08 != 0 {
                return Err(ScanError::ColumnDeflated { specification });
            }
            let Some(column) = Column::ALL.into_iter().find(|column| column.specification() == specification) else {
                return Err(ScanError::ColumnUnknown { specification });
            };
            if before.is_some_and(|before| before >= column) {
                return Err(ScanError::ColumnOrder);
            }
            if length == 0 {
                return Err(ScanError::ColumnEmpty { column });
            }
            before = Some(column);
            claimed = claimed.saturating_add(length);
            listed.push((column, length));
        }
        let actual = reader.rest().len();
        if claimed != actual as u64 {
            return Err(ScanError::ColumnsLength { claimed, actual });
        }
        let mut columns = Self::default();
        for (slice, column) in columns.slices.iter_mut().zip(Column::ALL) {
            if let Some((_, length)) = listed.iter().find(|(listed, _)| *listed == column) {
                *slice = reader.take(*length).map_err(field)?;
            }
        }
        Ok(columns)
    }

    pub(super) fn slice(&self, column: Column) -> &'a [u8] {
        let slices = self.slices.iter().zip(Column::ALL);
        slices.filter(|(_, candidate)| *candidate == column).map(|(slice, _)| *slice).next().unwrap_or_default()
    }

    /// The number of operations, which is the number of actions. Nothing is expanded for it.
    pub(super) fn count_operations(&self) -> Result<u64, ScanError> {
        let actions = Runs::<'_, u64>::new(self.slice(Column::Action));
        let count = actions.count_rows().map_err(of(Column::Action))?;
        if count > CHANGE_OPERATIONS_MAX {
            return Err(ScanError::TooMany { what: "operations", count, max: CHANGE_OPERATIONS_MAX });
        }
        Ok(count)
    }
}

fn of(column: Column) -> impl Fn(RunError) -> ScanError {
    move |reason| ScanError::Column { column, reason }
}

/// What is known of the change that the operations belong to.
#[derive(Debug, Clone, Copy)]
pub(super) struct ChangeFrame<'a> {
    pub(super) actor: ActorBytes,
    pub(super) other_actors: &'a [ActorBytes],
    pub(super) start_op: u64,
    pub(super) operation_count: u64,
}

impl ChangeFrame<'_> {
    fn actor_bytes(&self, index: u32) -> ActorBytes {
        let other = (index as usize).checked_sub(1).and_then(|index| self.other_actors.get(index));
        other.copied().unwrap_or(self.actor)
    }

    /// The row of this change that `id` names.
    fn own_row(&self, id: OperationId) -> Option<u64> {
        if id.actor == 0 { id.counter.checked_sub(self.start_op) } else { None }
    }
}

/// Reads all columns of one change, one row at a time.
#[derive(Debug)]
pub(super) struct OperationReader<'a> {
    frame: ChangeFrame<'a>,
    object_actor: Runs<'a, u64>,
    object_counter: Runs<'a, u64>,
    key_actor: Runs<'a, u64>,
    key_counter: Deltas<'a>,
    key_text: Runs<'a, &'a str>,
    insert: Booleans<'a>,
    action: Runs<'a, u64>,
    value_metadata: Runs<'a, u64>,
    value: Reader<'a>,
    predecessor_count: Runs<'a, u64>,
    predecessor_actor: Runs<'a, u64>,
    predecessor_counter: Deltas<'a>,
    used_actors: Vec<bool>,
    predecessors_read: u64,
    key_bytes_read: u64,
    last_key: Option<(&'a str, Arc<str>)>,
    done: Vec<ScannedOperation>,
}

impl<'a> OperationReader<'a> {
    pub(super) fn new(frame: ChangeFrame<'a>, columns: &Columns<'a>) -> Self {
        let slice = |column| columns.slice(column);
        Self {
            frame,
            object_actor: Runs::optional(slice(Column::ObjectActor)),
            object_counter: Runs::optional(slice(Column::ObjectCounter)),
            key_actor: Runs::optional(slice(Column::KeyActor)),
            key_counter: Deltas::optional(slice(Column::KeyCounter)),
            key_text: Runs::optional(slice(Column::KeyText)),
            insert: Booleans::new(slice(Column::Insert)),
            action: Runs::new(slice(Column::Action)),
            value_metadata: Runs::new(slice(Column::ValueMetadata)),
            value: Reader::new(slice(Column::Value)),
            predecessor_count: Runs::new(slice(Column::PredecessorCount)),
            predecessor_actor: Runs::new(slice(Column::PredecessorActor)),
            predecessor_counter: Deltas::new(slice(Column::PredecessorCounter)),
            used_actors: vec![false; frame.other_actors.len()],
            predecessors_read: 0,
            key_bytes_read: 0,
            last_key: None,
            done: Vec::new(),
        }
    }

    /// Reads every operation, and checks that every column ends with the last one.
    pub(super) fn read_all(mut self) -> Result<Vec<ScannedOperation>, ScanError> {
        for row in 0..self.frame.operation_count {
            let operation = self.read_row(row)?;
            self.done.push(operation);
        }
        self.finish()
    }

    fn read_row(&mut self, row: u64) -> Result<ScannedOperation, ScanError> {
        let refuse = |reason| ScanError::Operation { row, reason };
        let object = self.read_object(row)?;
        let key = self.read_key(row)?;
        let insert = self.insert.next().map_err(of(Column::Insert))?;
        let action = self.action.next_present().map_err(of(Column::Action))?;
        let metadata = self.value_metadata.next_present().map_err(of(Column::ValueMetadata))?;
        let predecessors = self.read_predecessors(row)?;
        let action = action_of(action).map_err(refuse)?;
        check_value(metadata, &mut self.value).map_err(refuse)?;
        if action != Action::Put && metadata != NULL {
            return Err(refuse(OperationError::ValueNotTaken));
        }
        let operation = ScannedOperation { object, key, insert, action, predecessors };
        self.check(&operation).map_err(refuse)?;
        Ok(operation)
    }

    fn read_object(&mut self, row: u64) -> Result<Option<OperationId>, ScanError> {
        let actor = self.object_actor.next().map_err(of(Column::ObjectActor))?;
        let counter = self.object_counter.next().map_err(of(Column::ObjectCounter))?;
        let refuse = |reason| ScanError::Operation { row, reason };
        match (actor, counter) {
            (None, None) => Ok(None),
            (Some(actor), Some(counter)) => self.id(row, actor, counter).map(Some).map_err(refuse),
            (Some(_), None) | (None, Some(_)) => Err(refuse(OperationError::MalformedId)),
        }
    }

    fn read_key(&mut self, row: u64) -> Result<ScannedKey, ScanError> {
        let actor = self.key_actor.next().map_err(of(Column::KeyActor))?;
        let counter = self.key_counter.next().map_err(of(Column::KeyCounter))?;
        let text = self.key_text.next().map_err(of(Column::KeyText))?;
        let refuse = |reason| ScanError::Operation { row, reason };
        match (actor, counter, text) {
            (None, None, Some(text)) => self.text_key(text).map(ScannedKey::Map).map_err(refuse),
            (None, Some(0), None) => Ok(ScannedKey::Head),
            (Some(actor), Some(counter), None) => {
                let counter = u64::try_from(counter).map_err(|_| refuse(OperationError::MalformedId))?;
                self.id(row, actor, counter).map(ScannedKey::Element).map_err(refuse)
            }
            _ => Err(refuse(OperationError::MalformedKey)),
        }
    }

    /// The key as a shared text: a run of one key is stored once.
    fn text_key(&mut self, text: &'a str) -> Result<Arc<str>, OperationError> {
        if text.len() > KEY_BYTES_MAX {
            return Err(OperationError::KeyTooLong { bytes: text.len() });
        }
        self.key_bytes_read = self.key_bytes_read.saturating_add(text.len() as u64);
        if self.key_bytes_read > CHANGE_KEY_BYTES_MAX {
            return Err(OperationError::KeysTooLong);
        }
        if let Some((last, shared)) = &self.last_key
            && std::ptr::eq(*last, text)
        {
            return Ok(Arc::clone(shared));
        }
        let shared = Arc::<str>::from(text);
        self.last_key = Some((text, Arc::clone(&shared)));
        Ok(shared)
    }

    fn read_predecessors(&mut self, row: u64) -> Result<Vec<OperationId>, ScanError> {
        let refuse = |reason| ScanError::Operation { row, reason };
        let count = self.predecessor_count.next_present().map_err(of(Column::PredecessorCount))?;
        self.predecessors_read = self.predecessors_read.saturating_add(count);
        if self.predecessors_read > CHANGE_PREDECESSORS_MAX {
            return Err(refuse(OperationError::TooManyPredecessors));
        }
        let mut predecessors: Vec<OperationId> = Vec::new();
        for _ in 0..count {
            let actor = self.predecessor_actor.next_present().map_err(of(Column::PredecessorActor))?;
            let counter = self.predecessor_counter.next().map_err(of(Column::PredecessorCounter))?;
            let counter = counter.and_then(|counter| u64::try_from(counter).ok());
            let id = self.id(row, actor, counter.ok_or(refuse(OperationError::MalformedId))?).map_err(refuse)?;
            let order = |id: &OperationId| (id.counter, self.frame.actor_bytes(id.actor));
            if predecessors.last().is_some_and(|last| order(last) >= order(&id)) {
                return Err(refuse(OperationError::PredecessorOrder));
            }
            predecessors.push(id);
        }
        Ok(predecessors)
    }

    /// An id that an operation refers to. Of its own change it is earlier; of any other it was seen before this change.
    fn id(&mut self, row: u64, actor: u64, counter: u64) -> Result<OperationId, OperationError> {
        let unknown = OperationError::ActorIndex { index: actor };
        let index = u32::try_from(actor).map_err(|_| unknown)?;
        if let Some(other) = (index as usize).checked_sub(1) {
            *self.used_actors.get_mut(other).ok_or(unknown)? = true;
        }
        if counter == 0 || counter > OPERATION_COUNTER_MAX {
            return Err(OperationError::MalformedId);
        }
        let id = OperationId { counter, actor: index };
        let seen = counter < self.frame.start_op || self.frame.own_row(id).is_some_and(|referred| referred < row);
        if seen { Ok(id) } else { Err(OperationError::NotBefore { counter }) }
    }

    fn own_operation(&self, id: OperationId) -> Option<&ScannedOperation> {
        let row = usize::try_from(self.frame.own_row(id)?).ok()?;
        self.done.get(row)
    }

    fn check(&self, operation: &ScannedOperation) -> Result<(), OperationError> {
        let ScannedOperation { object, key, insert, action, predecessors } = operation;
        let in_map = match object {
            None => Some(true),
            Some(id) => match self.own_operation(*id).map(|made| made.action) {
                None => None,
                Some(Action::MakeMap) => Some(true),
                Some(Action::MakeList) => Some(false),
                Some(Action::Put | Action::Delete) => return Err(OperationError::NotAnObject),
            },
        };
        let keyed_by_text = matches!(key, ScannedKey::Map(_));
        if in_map.is_some_and(|in_map| in_map != keyed_by_text) {
            return Err(OperationError::KeyKind);
        }
        if let ScannedKey::Element(element) = key
            && let Some(inserted) = self.own_operation(*element)
            && !(inserted.insert && inserted.object == *object)
        {
            return Err(OperationError::NotAnElement);
        }
        if *insert && (keyed_by_text || !predecessors.is_empty() || *action == Action::Delete) {
            return Err(OperationError::MalformedInsertion);
        }
        if !insert && *key == ScannedKey::Head {
            return Err(OperationError::MalformedKey);
        }
        if !insert && predecessors.is_empty() && (*action == Action::Delete || !keyed_by_text) {
            return Err(OperationError::NoPredecessor);
        }
        for id in predecessors {
            let Some(replaced) = self.own_operation(*id) else { continue };
            let same_field = replaced.object == *object
                && if replaced.insert { *key == ScannedKey::Element(*id) } else { replaced.key == *key };
            if !same_field || replaced.action == Action::Delete {
                return Err(OperationError::PredecessorElsewhere);
            }
        }
        Ok(())
    }

    fn finish(self) -> Result<Vec<ScannedOperation>, ScanError> {
        self.object_actor.finish().map_err(of(Column::ObjectActor))?;
        self.object_counter.finish().map_err(of(Column::ObjectCounter))?;
        self.key_actor.finish().map_err(of(Column::KeyActor))?;
        self.key_counter.finish().map_err(of(Column::KeyCounter))?;
        self.key_text.finish().map_err(of(Column::KeyText))?;
        self.insert.finish().map_err(of(Column::Insert))?;
        self.action.finish().map_err(of(Column::Action))?;
        self.value_metadata.finish().map_err(of(Column::ValueMetadata))?;
        if !self.value.is_empty() {
            return Err(ScanError::Column { column: Column::Value, reason: RunError::TooManyRows });
        }
        self.predecessor_count.finish().map_err(of(Column::PredecessorCount))?;
        self.predecessor_actor.finish().map_err(of(Column::PredecessorActor))?;
        self.predecessor_counter.finish().map_err(of(Column::PredecessorCounter))?;
        if let Some((index, _)) = (1..).zip(&self.used_actors).find(|(_, used)| !**used) {
            return Err(ScanError::ActorUnused { index });
        }
        Ok(self.done)
    }
}

fn action_of(number: u64) -> Result<Action, OperationError> {
    match number {
        0 => Ok(Action::MakeMap),
        1 => Ok(Action::Put),
        2 => Ok(Action::MakeList),
        3 => Ok(Action::Delete),
        4..=7 => Err(OperationError::ActionNotTaken { action: number }),
        _ => Err(OperationError::ActionUnknown { action: number }),
    }
}
