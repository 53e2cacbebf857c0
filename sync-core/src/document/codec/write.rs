//! Writes a batch as symbols: what the receiver can predict is a bit that says so, everything else follows it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Base;
use super::change::{Actors, Header, OperationName, Parts, Row, RowKey, take_apart};
use super::flags;
use super::lane::{Lane, Sink};
use super::predict::{Key, Predictor, Step, zigzag};
use super::value::{Kind, Value, pack_hex};
use crate::document::history::ChangeMeta;
use crate::id::ChangeHash;

/// How a dependency is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dependency {
    /// So many changes back in the batch, from 1.
    Back(usize),
    /// A change that the receiver holds: its actor and number, and the counter of its last operation.
    Held {
        actor: u32,
        seq: u64,
        max_op: u64,
    },
    Hash(ChangeHash),
}

/// A batch taken apart, ready to be written in several ways.
#[derive(Debug)]
pub(super) struct Batch {
    actors: Actors,
    /// How each actor is named.
    names: Vec<Vec<u8>>,
    changes: Vec<(Parts, Vec<Dependency>)>,
    /// The changes before the batch that it builds on.
    referred: BTreeMap<ChangeHash, Option<ChangeMeta>>,
    pub(super) hashes: Vec<ChangeHash>,
}

impl Batch {
    /// `None` when a change cannot be taken apart; the batch then travels as it is.
    pub(super) fn read(base: &Base<'_>, chunks: &[&[u8]]) -> Option<Self> {
        let mut actors = Actors::default();
        let mut places: BTreeMap<ChangeHash, usize> = BTreeMap::new();
        let mut changes = Vec::new();
        let mut referred: BTreeMap<ChangeHash, Option<ChangeMeta>> = BTreeMap::new();
        for (place, chunk) in chunks.iter().enumerate() {
            let parts = take_apart(chunk, &mut actors).ok()?;
            if parts.rows.iter().any(|row| row.value.kind().is_none()) {
                return None;
            }
            let name = |dep: &ChangeHash| {
                if let Some(at) = places.get(dep) {
                    return Dependency::Back(place.saturating_sub(*at));
                }
                match referred.entry(*dep).or_insert_with(|| base.held(dep)) {
                    Some(meta) => {
                        Dependency::Held { actor: actors.index(meta.actor), seq: meta.seq, max_op: meta.max_op }
                    }
                    None => Dependency::Hash(*dep),
                }
            };
            let dependencies = parts.header.deps.iter().map(name).collect();
            places.insert(parts.hash, place);
            changes.push((parts, dependencies));
        }
        let names = base.name_actors(&actors.0);
        let hashes = changes.iter().map(|(parts, _)| parts.hash).collect();
        Some(Self { actors, names, changes, referred, hashes })
    }

    /// The changes before the batch that it names by actor and number.
    pub(super) fn referred(&self) -> impl Iterator<Item = &ChangeMeta> {
        self.referred.values().flatten()
    }

    pub(super) fn write(&self, sink: Sink) -> Vec<u8> {
        let mut writer = Writer::new(sink);
        writer.sink.unsigned(Lane::Batch, self.changes.len() as u64);
        writer.sink.unsigned(Lane::Batch, self.actors.0.len() as u64);
        for name in &self.names {
            writer.sink.bytes(Lane::Batch).extend_from_slice(name);
        }
        for (place, (parts, dependencies)) in self.changes.iter().enumerate() {
            let max_op = |dependency: &Dependency| match dependency {
                Dependency::Back(back) => {
                    let (parts, _) = self.changes.get(place.checked_sub(*back)?)?;
                    Some(parts.max_op)
                }
                Dependency::Held { max_op, .. } => Some(*max_op),
                Dependency::Hash(_) => None,
            };
            let below = dependencies.iter().map(max_op).try_fold(0, |highest, next| Some(next?.max(highest)));
            let start_op = below.and_then(|below: u64| below.checked_add(1));
            writer.header(&parts.header, dependencies, start_op, parts.rows.len() as u64);
            for (row, counter) in parts.rows.iter().zip(parts.header.start_op..) {
                let counter = u32::try_from(counter).unwrap_or(u32::MAX);
                writer.row(row, OperationName { actor: parts.header.actor, counter });
            }
        }
        writer.sink.finish()
    }
}

#[derive(Debug)]
struct Writer {
    sink: Sink,
    predictor: Predictor,
    texts: BTreeMap<Arc<[u8]>, usize>,
    objects: BTreeMap<Option<OperationName>, usize>,
    value_texts: BTreeMap<(usize, Arc<[u8]>), usize>,
    object_counter: u32,
    predecessor_counter: u32,
    place: usize,
    /// Of each actor: its last number and the place of that change.
    last: BTreeMap<u32, (u64, usize)>,
    author: u32,
    count: u64,
    timestamp: i64,
    message: Vec<u8>,
}

impl Writer {
    fn new(sink: Sink) -> Self {
        Self {
            sink,
            predictor: Predictor::new(),
            texts: BTreeMap::new(),
            objects: BTreeMap::from([(None, 0)]),
            value_texts: BTreeMap::new(),
            object_counter: 0,
            predecessor_counter: 0,
            place: 0,
            last: BTreeMap::new(),
            author: 0,
            count: 0,
            timestamp: 0,
            message: Vec::new(),
        }
    }

    fn header(&mut self, header: &Header, dependencies: &[Dependency], start_op: Option<u64>, count: u64) {
        let expected = self.expected_dependency(header);
        let is = |bit: u64, differs: bool| if differs { bit } else { 0 };
        let flags = is(flags::AUTHOR, header.actor != self.author)
            | is(flags::DEPENDENCIES, !matches!(dependencies, [one] if one.is(expected)))
            | is(flags::START, start_op != Some(header.start_op))
            | is(flags::COUNT, count != self.count)
            | is(flags::TIME, header.timestamp != self.timestamp)
            | is(flags::MESSAGE, header.message != self.message);
        self.sink.unsigned(Lane::ChangeFlags, flags);
        if flags & flags::AUTHOR != 0 {
            self.sink.unsigned(Lane::Author, u64::from(header.actor));
        }
        if !self.last.contains_key(&header.actor) {
            self.sink.unsigned(Lane::Author, header.seq);
        }
        if flags & flags::DEPENDENCIES != 0 {
            self.dependencies(dependencies);
        }
        if flags & flags::START != 0 {
            self.sink.unsigned(Lane::Deps, header.start_op);
        }
        if flags & flags::COUNT != 0 {
            self.sink.unsigned(Lane::OperationCount, count);
        }
        if flags & flags::TIME != 0 {
            let later = header.timestamp.wrapping_sub(self.timestamp);
            self.sink.unsigned(Lane::Time, zigzag(later.cast_unsigned()));
        }
        if flags & flags::MESSAGE != 0 {
            self.sink.unsigned(Lane::Time, header.message.len() as u64);
            self.sink.bytes(Lane::Time).extend_from_slice(&header.message);
        }
        self.last.insert(header.actor, (header.seq, self.place));
        self.place = self.place.saturating_add(1);
        self.author = header.actor;
        self.count = count;
        self.timestamp = header.timestamp;
        self.message.clone_from(&header.message);
    }

    /// The author's change before this one; for its first change, the change before in the batch.
    fn expected_dependency(&self, header: &Header) -> Expected {
        match self.last.get(&header.actor) {
            Some((_, at)) => Expected::Back(self.place.saturating_sub(*at)),
            None if header.seq > 1 => Expected::Held { actor: header.actor, seq: header.seq.saturating_sub(1) },
            None if self.place > 0 => Expected::Back(1),
            None => Expected::Nothing,
        }
    }

    fn dependencies(&mut self, dependencies: &[Dependency]) {
        self.sink.unsigned(Lane::Deps, dependencies.len() as u64);
        for dependency in dependencies {
            match dependency {
                Dependency::Hash(hash) => {
                    self.sink.unsigned(Lane::Deps, 0);
                    self.sink.bytes(Lane::Deps).extend_from_slice(&hash.0);
                }
                Dependency::Held { actor, seq, .. } => {
                    self.sink.unsigned(Lane::Deps, 1);
                    self.sink.unsigned(Lane::Deps, u64::from(*actor));
                    self.sink.unsigned(Lane::Deps, *seq);
                }
                Dependency::Back(back) => self.sink.unsigned(Lane::Deps, (*back as u64).saturating_add(1)),
            }
        }
    }

    fn row(&mut self, row: &Row, name: OperationName) {
        let (object, new_object) = match self.objects.get(&row.object) {
            Some(object) => (*object, None),
            None => (self.predictor.object_count(), row.object),
        };
        let object_differs = object != self.predictor.object();
        if let Some(made) = new_object {
            self.predictor.add_object(made);
            self.objects.insert(Some(made), object);
        }
        let (key, new_text) = self.key(&row.key);
        let kind = row.value.kind().unwrap_or(Kind::Null);
        let expected_key = self.predictor.key(object);
        let expected_kind = self.predictor.kind(object, key);
        let expected_predecessor = self.predictor.predecessor(object, key, row.insert);
        let is = |bit: u64, differs: bool| if differs { bit } else { 0 };
        let flags = is(flags::OBJECT, object_differs)
            | is(flags::KEY, expected_key != Some(key))
            | is(flags::INSERT, row.insert)
            | is(flags::KIND, expected_kind != kind)
            | is(flags::PREDECESSORS, !row.predecessors.iter().eq(expected_predecessor.iter()));
        self.sink.unsigned(Lane::OperationFlags, flags);
        if flags & flags::OBJECT != 0 {
            self.object(object, new_object, name);
        }
        if flags & flags::KEY != 0 {
            self.write_key(key, new_text, name);
        }
        if flags & flags::KIND != 0 {
            self.sink.unsigned(Lane::Kind, kind as u64);
        }
        self.value(object, key, kind, &row.value);
        if flags & flags::PREDECESSORS != 0 {
            self.predecessors(object, key, &row.predecessors, name);
        }
        if let Some(made) = self.predictor.learn(Step { object, key, insert: row.insert, kind, name }) {
            self.objects.insert(Some(name), made);
        }
    }

    fn object(&mut self, object: usize, new: Option<OperationName>, name: OperationName) {
        if let Some(made) = new {
            self.sink.unsigned(Lane::Object, 0);
            self.actor(Lane::Object, made, name);
            let further = u64::from(made.counter).wrapping_sub(u64::from(self.object_counter));
            self.sink.unsigned(Lane::ObjectCounter, zigzag(further));
            self.object_counter = made.counter;
        } else {
            let age = self.predictor.object_count().saturating_sub(object);
            self.sink.unsigned(Lane::Object, age as u64);
        }
    }

    /// The actor of an id: 0 is the change's own, then the batch's list.
    fn actor(&mut self, lane: Lane, of: OperationName, own: OperationName) {
        let number = if of.actor == own.actor { 0 } else { u64::from(of.actor).saturating_add(1) };
        self.sink.unsigned(lane, number);
    }

    fn key(&mut self, key: &RowKey) -> (Key, Option<Arc<[u8]>>) {
        match key {
            RowKey::Head => (Key::Head, None),
            RowKey::Element(name) => (Key::Element(*name), None),
            RowKey::Text(text) => match self.texts.get(text) {
                Some(index) => (Key::Text(*index), None),
                None => {
                    let index = self.texts.len();
                    self.texts.insert(Arc::clone(text), index);
                    (Key::Text(index), Some(Arc::clone(text)))
                }
            },
        }
    }

    fn write_key(&mut self, key: Key, new_text: Option<Arc<[u8]>>, name: OperationName) {
        match (key, new_text) {
            (Key::Text(_), Some(text)) => {
                self.sink.unsigned(Lane::Key, 0);
                self.sink.unsigned(Lane::KeyText, text.len() as u64);
                self.sink.bytes(Lane::KeyText).extend_from_slice(&text);
            }
            (Key::Head, _) => self.sink.unsigned(Lane::Key, 1),
            (Key::Element(element), _) => {
                self.sink.unsigned(Lane::Key, 2);
                self.actor(Lane::Element, element, name);
                self.sink.unsigned(Lane::Element, u64::from(name.counter.wrapping_sub(element.counter)));
            }
            (Key::Text(index), None) => self.sink.unsigned(Lane::Key, (index as u64).saturating_add(3)),
        }
    }

    fn value(&mut self, object: usize, key: Key, kind: Kind, value: &Value) {
        let stream = key.stream();
        match kind {
            Kind::MakeMap | Kind::MakeList | Kind::Delete | Kind::Null | Kind::False | Kind::True => {}
            Kind::Unsigned | Kind::Signed | Kind::Timestamp => {
                let number = value.number(kind).unwrap_or(0);
                let further = number.wrapping_sub(self.predictor.number(object, key));
                self.sink.unsigned(Lane::Numbers(stream), zigzag(further));
                self.predictor.learn_number(object, key, number);
            }
            Kind::Float => self.sink.bytes(Lane::TextBytes(stream)).extend_from_slice(value.raw()),
            Kind::Bytes => {
                self.sink.unsigned(Lane::Texts(stream), value.raw().len() as u64);
                self.sink.bytes(Lane::TextBytes(stream)).extend_from_slice(value.raw());
            }
            Kind::Text | Kind::HexText => self.text(key, kind, value.raw()),
        }
    }

    fn text(&mut self, key: Key, kind: Kind, text: &[u8]) {
        let stream = key.stream();
        let text: Arc<[u8]> = Arc::from(text);
        let texts = &mut self.predictor.stream(key).texts;
        let entry = (stream, Arc::clone(&text));
        if let Some(index) = self.value_texts.get(&entry) {
            let age = texts.len().saturating_sub(*index);
            self.sink.unsigned(Lane::Texts(stream), age as u64);
            return;
        }
        self.value_texts.insert(entry, texts.len());
        let before = texts.last().cloned();
        texts.push(Arc::clone(&text));
        self.sink.unsigned(Lane::Texts(stream), 0);
        let packed;
        let rest = if kind == Kind::HexText {
            packed = pack_hex(&text);
            &packed[..]
        } else if let Some(before) = before {
            let shared = before.iter().zip(&*text).take_while(|(a, b)| a == b).count();
            self.sink.unsigned(Lane::Texts(stream), shared as u64);
            text.get(shared..).unwrap_or_default()
        } else {
            &text
        };
        self.sink.unsigned(Lane::Texts(stream), rest.len() as u64);
        self.sink.bytes(Lane::TextBytes(stream)).extend_from_slice(rest);
    }

    fn predecessors(&mut self, object: usize, key: Key, predecessors: &[OperationName], name: OperationName) {
        let recent = self.predictor.recent(object, key);
        let place = |predecessor| recent.iter().position(|recent| *recent == Some(predecessor));
        if let [one] = predecessors
            && place(*one).is_none()
        {
            self.sink.unsigned(Lane::Predecessor, 0);
            self.earlier(*one, name);
            return;
        }
        self.sink.unsigned(Lane::Predecessor, (predecessors.len() as u64).saturating_add(1));
        for predecessor in predecessors {
            if let Some(place) = place(*predecessor) {
                self.sink.unsigned(Lane::Predecessor, (place as u64).saturating_add(1));
            } else {
                self.sink.unsigned(Lane::Predecessor, 0);
                self.earlier(*predecessor, name);
            }
        }
    }

    /// An operation before the batch, or too long ago in it.
    fn earlier(&mut self, predecessor: OperationName, name: OperationName) {
        self.actor(Lane::Predecessor, predecessor, name);
        let further = u64::from(predecessor.counter).wrapping_sub(u64::from(self.predecessor_counter));
        self.sink.unsigned(Lane::PredecessorCounter, zigzag(further));
        self.predecessor_counter = predecessor.counter;
    }
}

/// The one dependency that a change probably has.
#[derive(Debug, Clone, Copy)]
enum Expected {
    Back(usize),
    Held { actor: u32, seq: u64 },
    Nothing,
}

impl Dependency {
    fn is(self, expected: Expected) -> bool {
        match (self, expected) {
            (Self::Back(back), Expected::Back(expected)) => back == expected,
            (Self::Held { actor, seq, .. }, Expected::Held { actor: expected, seq: number }) => {
                actor == expected && seq == number
            }
            _ => false,
        }
    }
}
