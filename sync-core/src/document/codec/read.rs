//! Reads a batch of symbols back into chunks. Everything here comes from the network: each symbol takes a byte at least (which
//! compressed is next to nothing), what is held is bounded before it is made, and what the symbols claim is not believed
//! until the scanner has seen the chunk.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::change::{Actors, Header, OperationName, Row, RowKey, put_together};
use super::lane::{Lane, Source};
use super::predict::{Key, Predictor, Step, unzigzag};
use super::value::{Kind, Value, unpack_hex};
use super::{Known, UnpackError, flags};
use crate::document::history::ActorBytes;
use crate::id::ChangeHash;
use crate::limits::{
    CHANGE_BYTES_MAX, CHANGE_DEPENDENCIES_MAX, CHANGE_MESSAGE_BYTES_MAX, CHANGE_OPERATIONS_MAX,
    CHANGE_PREDECESSORS_MAX, DELTA_ACTORS_MAX, DELTA_BYTES_MAX, DELTA_CHANGES_MAX, DELTA_DEPENDENCIES_MAX,
    DELTA_OPERATIONS_MAX, DELTA_PREDECESSORS_MAX, KEY_BYTES_MAX, NAMED_KEY_BYTES_MAX,
};

/// A change that was rebuilt.
#[derive(Debug, Clone, Copy)]
struct Rebuilt {
    hash: ChangeHash,
    max_op: u64,
}

/// Bytes of a text beside its own: two counters, and its places in a list that grows by doubling.
const TEXT_PLACE_BYTES: usize = 64;

/// The chunks of a batch, and their hashes. At most `bytes_max` bytes are held for it.
pub(super) fn read(
    source: Source<'_>,
    known: &impl Known,
    bytes_max: usize,
) -> Result<(Vec<Vec<u8>>, Vec<ChangeHash>), UnpackError> {
    let mut reader = BatchReader::new(source, bytes_max);
    let changes = reader.source.index(Lane::Batch)?;
    if changes > DELTA_CHANGES_MAX {
        return Err(UnpackError::TooMany);
    }
    reader.actors = reader.actors(known)?;
    let mut chunks = Vec::new();
    for _ in 0..changes {
        let chunk = reader.change(known)?;
        let place = size_of::<Rebuilt>().saturating_add(TEXT_PLACE_BYTES);
        reader.chunk_bytes = reader.chunk_bytes.saturating_add(chunk.len()).saturating_add(place);
        chunks.push(chunk);
    }
    reader.source.finish()?;
    Ok((chunks, reader.rebuilt.into_iter().map(|rebuilt| rebuilt.hash).collect()))
}

#[derive(Debug)]
struct BatchReader<'a> {
    source: Source<'a>,
    predictor: Predictor,
    actors: Actors,
    texts: Vec<Arc<[u8]>>,
    object_counter: u32,
    predecessor_counter: u32,
    rebuilt: Vec<Rebuilt>,
    /// Of each actor: its last number and the place of that change.
    last: BTreeMap<u32, (u64, usize)>,
    author: u32,
    count: u64,
    timestamp: i64,
    message: Vec<u8>,
    operations_left: u64,
    bytes_left: usize,
    /// Bytes that may be held at once; and those of chunks, of texts, and of the change that is being read.
    held_max: usize,
    chunk_bytes: usize,
    text_bytes: usize,
    row_bytes: usize,
    /// Of the change that is being read: bytes of keys and values, and predecessors.
    change_bytes_left: usize,
    predecessors_left: u64,
    /// Of the batch: dependencies, predecessors, and bytes of keys, each counted as often as it is named.
    dependencies_left: u64,
    all_predecessors_left: u64,
    named_key_bytes_left: u64,
}

const fn malformed(what: &'static str) -> UnpackError {
    UnpackError::Malformed { what }
}

impl<'a> BatchReader<'a> {
    fn new(source: Source<'a>, held_max: usize) -> Self {
        Self {
            source,
            predictor: Predictor::new(),
            actors: Actors::default(),
            texts: Vec::new(),
            object_counter: 0,
            predecessor_counter: 0,
            rebuilt: Vec::new(),
            last: BTreeMap::new(),
            author: 0,
            count: 0,
            timestamp: 0,
            message: Vec::new(),
            operations_left: DELTA_OPERATIONS_MAX,
            bytes_left: DELTA_BYTES_MAX,
            held_max,
            chunk_bytes: 0,
            text_bytes: 0,
            row_bytes: 0,
            change_bytes_left: 0,
            predecessors_left: 0,
            dependencies_left: DELTA_DEPENDENCIES_MAX,
            all_predecessors_left: DELTA_PREDECESSORS_MAX,
            named_key_bytes_left: NAMED_KEY_BYTES_MAX,
        }
    }

    /// Makes sure that so many bytes more may be held.
    fn hold(&self, further: usize) -> Result<(), UnpackError> {
        let held = [self.predictor.bytes(), self.chunk_bytes, self.text_bytes, self.row_bytes];
        let held = held.into_iter().fold(further, usize::saturating_add);
        if held > self.held_max { Err(UnpackError::TooLarge) } else { Ok(()) }
    }

    fn actors(&mut self, known: &impl Known) -> Result<Actors, UnpackError> {
        let count = self.source.unsigned(Lane::Batch)?;
        if count > DELTA_ACTORS_MAX {
            return Err(UnpackError::TooMany);
        }
        let mut by_name: BTreeMap<[u8; 4], Vec<ActorBytes>> = BTreeMap::new();
        let mut actors = Vec::new();
        for _ in 0..count {
            let actor = match self.source.unsigned(Lane::Batch)? {
                0 => {
                    if by_name.is_empty() {
                        for actor in known.actors() {
                            by_name.entry(short_name(&actor)).or_default().push(actor);
                        }
                    }
                    let name = self.source.reader(Lane::Batch).array::<4>()?;
                    match by_name.get(&name).map(Vec::as_slice) {
                        Some([one]) => *one,
                        _ => return Err(UnpackError::NotHeld),
                    }
                }
                1 => ActorBytes(self.source.reader(Lane::Batch).array()?),
                of => {
                    let like = usize::try_from(of.saturating_sub(2)).ok().and_then(|index| actors.get(index));
                    let ActorBytes(like) = like.ok_or(malformed("actor"))?;
                    let random = self.source.reader(Lane::Batch).array::<8>()?;
                    let mut bytes = *like;
                    bytes.iter_mut().skip(8).zip(random).for_each(|(byte, random)| *byte = random);
                    ActorBytes(bytes)
                }
            };
            actors.push(actor);
        }
        Ok(Actors(actors))
    }

    fn change(&mut self, known: &impl Known) -> Result<Vec<u8>, UnpackError> {
        let flags = self.source.unsigned(Lane::ChangeFlags)?;
        if flags & !flags::OF_CHANGE != 0 {
            return Err(malformed("flags of a change"));
        }
        let place = self.rebuilt.len();
        if flags & flags::AUTHOR != 0 {
            self.author = u32::try_from(self.source.unsigned(Lane::Author)?).map_err(|_| malformed("author"))?;
        }
        let actor = self.author;
        let author = *self.actors.get(actor).ok_or(malformed("author"))?;
        let before = self.last.get(&actor).copied();
        let seq = match before {
            Some((seq, _)) => seq.checked_add(1).ok_or(malformed("sequence number"))?,
            None => self.source.unsigned(Lane::Author)?,
        };
        let dependencies = if flags & flags::DEPENDENCIES != 0 {
            self.dependencies(known)?
        } else {
            let expected = match before {
                Some((_, at)) => self.rebuilt.get(at).copied(),
                None if seq > 1 => Some(held(known, &author, seq.saturating_sub(1))?),
                None => self.rebuilt.last().copied(),
            };
            vec![expected.map(|rebuilt| (rebuilt.hash, Some(rebuilt.max_op))).ok_or(malformed("dependency"))?]
        };
        let start_op = if flags & flags::START != 0 {
            self.source.unsigned(Lane::Deps)?
        } else {
            let below = dependencies.iter().try_fold(0, |highest, (_, max_op)| Some((*max_op)?.max(highest)));
            below.and_then(|below: u64| below.checked_add(1)).ok_or(malformed("first counter"))?
        };
        if flags & flags::COUNT != 0 {
            self.count = self.source.unsigned(Lane::OperationCount)?;
        }
        if flags & flags::TIME != 0 {
            let later = unzigzag(self.source.unsigned(Lane::Time)?).cast_signed();
            self.timestamp = self.timestamp.wrapping_add(later);
        }
        if flags & flags::MESSAGE != 0 {
            let message = self.source.prefixed(Lane::Time)?;
            if message.len() > CHANGE_MESSAGE_BYTES_MAX {
                return Err(UnpackError::TooLarge);
            }
            self.message = message.to_vec();
        }
        let rows = self.rows(actor, start_op)?;
        let deps = dependencies.into_iter().map(|(hash, _)| hash).collect();
        let header = Header { actor, seq, start_op, timestamp: self.timestamp, message: self.message.clone(), deps };
        let (chunk, hash) = put_together(&header, &rows, &self.actors).ok_or(malformed("actor of an operation"))?;
        if chunk.len() > CHANGE_BYTES_MAX {
            return Err(UnpackError::TooMany);
        }
        self.bytes_left = self.bytes_left.checked_sub(chunk.len()).ok_or(UnpackError::TooLarge)?;
        let max_op = start_op.saturating_add(self.count).saturating_sub(1);
        self.rebuilt.push(Rebuilt { hash, max_op });
        self.last.insert(actor, (seq, place));
        Ok(chunk)
    }

    /// Hashes with the counter of their last operation, where that is known.
    fn dependencies(&mut self, known: &impl Known) -> Result<Vec<(ChangeHash, Option<u64>)>, UnpackError> {
        let count = self.source.index(Lane::Deps)?;
        if count > CHANGE_DEPENDENCIES_MAX {
            return Err(UnpackError::TooMany);
        }
        self.dependencies_left = self.dependencies_left.checked_sub(count as u64).ok_or(UnpackError::TooMany)?;
        let mut found = Vec::new();
        for _ in 0..count {
            found.push(match self.source.index(Lane::Deps)? {
                0 => (ChangeHash(self.source.reader(Lane::Deps).array()?), None),
                1 => {
                    let actor = u32::try_from(self.source.unsigned(Lane::Deps)?).map_err(|_| malformed("actor"))?;
                    let seq = self.source.unsigned(Lane::Deps)?;
                    let actor = self.actors.get(actor).ok_or(malformed("actor"))?;
                    let held = held(known, actor, seq)?;
                    (held.hash, Some(held.max_op))
                }
                back => {
                    let place = self.rebuilt.len().checked_sub(back.saturating_sub(1));
                    let rebuilt = place.and_then(|place| self.rebuilt.get(place)).ok_or(malformed("dependency"))?;
                    (rebuilt.hash, Some(rebuilt.max_op))
                }
            });
        }
        Ok(found)
    }

    fn rows(&mut self, actor: u32, start_op: u64) -> Result<Vec<Row>, UnpackError> {
        if self.count > CHANGE_OPERATIONS_MAX {
            return Err(UnpackError::TooMany);
        }
        self.operations_left = self.operations_left.checked_sub(self.count).ok_or(UnpackError::TooMany)?;
        self.change_bytes_left = CHANGE_BYTES_MAX.min(self.bytes_left);
        self.predecessors_left = CHANGE_PREDECESSORS_MAX;
        self.row_bytes = 0;
        let count = usize::try_from(self.count).map_err(|_| UnpackError::TooMany)?;
        // Each has its flags.
        if count > self.source.reader(Lane::OperationFlags).rest().len() {
            return Err(UnpackError::Truncated);
        }
        let row_bytes = count.saturating_mul(size_of::<Row>());
        self.hold(row_bytes)?;
        self.row_bytes = row_bytes;
        let mut rows: Vec<Row> = Vec::with_capacity(count);
        for further in 0..self.count {
            let counter = start_op.checked_add(further).and_then(|counter| u32::try_from(counter).ok());
            let name = OperationName { actor, counter: counter.ok_or(malformed("counter"))? };
            let row = self.row(name)?;
            let beside = row.value.raw().len().saturating_add(row.predecessors.capacity().saturating_mul(8));
            self.row_bytes = self.row_bytes.saturating_add(beside);
            self.hold(0)?;
            if let RowKey::Text(text) = &row.key {
                // A key costs a byte each time it is named, and a comparison of all of it when the column is written.
                let left = self.named_key_bytes_left.checked_sub(text.len() as u64);
                self.named_key_bytes_left = left.ok_or(UnpackError::TooLarge)?;
                if rows.last().is_none_or(|last| last.key != row.key) {
                    self.spend(text.len())?;
                }
            }
            rows.push(row);
        }
        Ok(rows)
    }

    /// Makes sure that a value of so many bytes can be made.
    fn can_spend(&self, bytes: usize) -> Result<(), UnpackError> {
        if bytes > self.change_bytes_left {
            return Err(UnpackError::TooLarge);
        }
        self.hold(bytes)
    }

    /// Counts bytes that the chunk will have, before it is made.
    fn spend(&mut self, bytes: usize) -> Result<(), UnpackError> {
        self.change_bytes_left = self.change_bytes_left.checked_sub(bytes).ok_or(UnpackError::TooLarge)?;
        Ok(())
    }

    fn row(&mut self, name: OperationName) -> Result<Row, UnpackError> {
        let flags = self.source.unsigned(Lane::OperationFlags)?;
        if flags & !flags::OF_OPERATION != 0 {
            return Err(malformed("flags of an operation"));
        }
        let insert = flags & flags::INSERT != 0;
        let object = if flags & flags::OBJECT != 0 { self.object(name)? } else { self.predictor.object() };
        let object_name = self.predictor.object_name(object).ok_or(malformed("object"))?;
        let key = if flags & flags::KEY != 0 {
            self.key(name)?
        } else {
            self.predictor.key(object).ok_or(malformed("key"))?
        };
        let kind = if flags & flags::KIND != 0 {
            Kind::from_number(self.source.unsigned(Lane::Kind)?).ok_or(malformed("kind"))?
        } else {
            self.predictor.kind(object, key)
        };
        let value = self.value(object, key, kind)?;
        self.spend(value.raw().len())?;
        let predecessors = if flags & flags::PREDECESSORS != 0 {
            self.predecessors(object, key, name)?
        } else {
            self.predictor.predecessor(object, key, insert).into_iter().collect()
        };
        self.predictor.learn(Step { object, key, insert, kind, name });
        let key = match key {
            Key::Head => RowKey::Head,
            Key::Element(element) => RowKey::Element(element),
            Key::Text(text) => RowKey::Text(Arc::clone(self.texts.get(text).ok_or(malformed("key"))?)),
        };
        Ok(Row { object: object_name, key, insert, value, predecessors })
    }

    fn object(&mut self, name: OperationName) -> Result<usize, UnpackError> {
        let age = self.source.index(Lane::Object)?;
        if age > 0 {
            return self.predictor.object_count().checked_sub(age).ok_or(malformed("object"));
        }
        let actor = self.actor(Lane::Object, name)?;
        let counter = self.further(Lane::ObjectCounter, self.object_counter)?;
        self.object_counter = counter;
        Ok(self.predictor.add_object(OperationName { actor, counter }))
    }

    /// The actor of an id: 0 is the change's own, then the batch's list.
    fn actor(&mut self, lane: Lane, own: OperationName) -> Result<u32, UnpackError> {
        match self.source.unsigned(lane)?.checked_sub(1) {
            None => Ok(own.actor),
            Some(index) => {
                let actor = u32::try_from(index).map_err(|_| malformed("actor"))?;
                self.actors.get(actor).map(|_| actor).ok_or(malformed("actor"))
            }
        }
    }

    fn further(&mut self, lane: Lane, before: u32) -> Result<u32, UnpackError> {
        let further = unzigzag(self.source.unsigned(lane)?);
        u32::try_from(u64::from(before).wrapping_add(further)).map_err(|_| malformed("counter"))
    }

    fn key(&mut self, name: OperationName) -> Result<Key, UnpackError> {
        match self.source.index(Lane::Key)? {
            0 => {
                let text = self.source.prefixed(Lane::KeyText)?;
                if text.len() > KEY_BYTES_MAX {
                    return Err(UnpackError::TooLarge);
                }
                self.text_bytes = self.text_bytes.saturating_add(text.len()).saturating_add(TEXT_PLACE_BYTES);
                self.texts.push(Arc::from(text));
                Ok(Key::Text(self.texts.len().saturating_sub(1)))
            }
            1 => Ok(Key::Head),
            2 => {
                let actor = self.actor(Lane::Element, name)?;
                let back = u32::try_from(self.source.unsigned(Lane::Element)?).map_err(|_| malformed("element"))?;
                Ok(Key::Element(OperationName { actor, counter: name.counter.wrapping_sub(back) }))
            }
            text => Ok(Key::Text(text.saturating_sub(3))),
        }
    }

    fn value(&mut self, object: usize, key: Key, kind: Kind) -> Result<Value, UnpackError> {
        let stream = key.stream();
        let raw = match kind {
            Kind::MakeMap => return Ok(Value::MakeMap),
            Kind::MakeList => return Ok(Value::MakeList),
            Kind::Delete => return Ok(Value::Delete),
            Kind::Null | Kind::False | Kind::True => Vec::new(),
            Kind::Unsigned | Kind::Signed | Kind::Timestamp => {
                let further = unzigzag(self.source.unsigned(Lane::Numbers(stream))?);
                let number = self.predictor.number(object, key).wrapping_add(further);
                self.predictor.learn_number(object, key, number);
                return Ok(Value::of_number(kind, number));
            }
            Kind::Float => self.source.reader(Lane::TextBytes(stream)).array::<8>()?.to_vec(),
            Kind::Bytes => {
                let length = self.source.unsigned(Lane::Texts(stream))?;
                let bytes = self.source.reader(Lane::TextBytes(stream)).take(length)?;
                self.can_spend(bytes.len())?;
                bytes.to_vec()
            }
            Kind::Text | Kind::HexText => self.text(key, kind)?.to_vec(),
        };
        Ok(Value::put(kind, raw))
    }

    fn text(&mut self, key: Key, kind: Kind) -> Result<Arc<[u8]>, UnpackError> {
        let stream = key.stream();
        let age = self.source.index(Lane::Texts(stream))?;
        let texts = &mut self.predictor.stream(key).texts;
        if age > 0 {
            let index = texts.len().checked_sub(age);
            let text = index.and_then(|index| texts.get(index)).cloned().ok_or(malformed("text"))?;
            self.can_spend(text.len())?;
            return Ok(text);
        }
        let before = texts.last().cloned();
        let shared: &[u8] = match (kind, &before) {
            (Kind::Text, Some(before)) => {
                let shared = self.source.index(Lane::Texts(stream))?;
                before.get(..shared).ok_or(malformed("text"))?
            }
            _ => &[],
        };
        let length = self.source.unsigned(Lane::Texts(stream))?;
        let rest = self.source.reader(Lane::TextBytes(stream)).take(length)?;
        let digits = if kind == Kind::HexText { rest.len() } else { 0 };
        // Before it is made: a long text may be shared by many.
        let bytes = shared.len().saturating_add(rest.len()).saturating_add(digits);
        self.can_spend(bytes)?;
        let text: Arc<[u8]> =
            if kind == Kind::HexText { Arc::from(unpack_hex(rest)) } else { Arc::from([shared, rest].concat()) };
        self.text_bytes = self.text_bytes.saturating_add(bytes).saturating_add(TEXT_PLACE_BYTES);
        self.predictor.stream(key).texts.push(Arc::clone(&text));
        Ok(text)
    }

    fn predecessors(
        &mut self,
        object: usize,
        key: Key,
        name: OperationName,
    ) -> Result<Vec<OperationName>, UnpackError> {
        // 0 is short for one, none of those that are remembered.
        let (count, is_named) = match self.source.unsigned(Lane::Predecessor)?.checked_sub(1) {
            Some(count) => (count, true),
            None => (1, false),
        };
        self.predecessors_left = self.predecessors_left.checked_sub(count).ok_or(UnpackError::TooMany)?;
        self.all_predecessors_left = self.all_predecessors_left.checked_sub(count).ok_or(UnpackError::TooMany)?;
        let recent = self.predictor.recent(object, key);
        let mut found = Vec::new();
        for _ in 0..count {
            let place = if is_named { self.source.index(Lane::Predecessor)? } else { 0 };
            found.push(match place.checked_sub(1) {
                None => self.earlier(name)?,
                Some(place) => recent.get(place).copied().flatten().ok_or(malformed("predecessor"))?,
            });
        }
        Ok(found)
    }

    fn earlier(&mut self, name: OperationName) -> Result<OperationName, UnpackError> {
        let actor = self.actor(Lane::Predecessor, name)?;
        let counter = self.further(Lane::PredecessorCounter, self.predecessor_counter)?;
        self.predecessor_counter = counter;
        Ok(OperationName { actor, counter })
    }
}

fn held(known: &impl Known, actor: &ActorBytes, seq: u64) -> Result<Rebuilt, UnpackError> {
    let (hash, max_op) = known.change(actor, seq).ok_or(UnpackError::NotHeld)?;
    Ok(Rebuilt { hash, max_op })
}

/// Four of an actor's random bytes.
pub(super) fn short_name(actor: &ActorBytes) -> [u8; 4] {
    let ActorBytes([_, _, _, _, _, _, _, _, a, b, c, d, ..]) = *actor;
    [a, b, c, d]
}
