//! What the next operation probably is, from those before it. Both sides keep the same record, so what is as predicted
//! needs no bytes.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::change::OperationName;
use super::value::Kind;

/// Names of operations that a field remembers, to name predecessors by.
pub(super) const RECENT_MAX: usize = 3;

/// A place in an object; texts by their index in the batch's list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    Text(usize),
    Head,
    Element(OperationName),
}

impl Key {
    /// The stream that values at this key belong to: 0 for all lists, then one for each text.
    pub(super) fn stream(self) -> usize {
        match self {
            Self::Text(text) => text.saturating_add(1),
            Self::Head | Self::Element(_) => 0,
        }
    }
}

/// An object of the batch's list. Its first is the root.
#[derive(Debug, Clone, Copy, Default)]
struct Object {
    name: Option<OperationName>,
    /// Objects of one shape probably have the same keys: 0 the root, 1 those made before the batch, from 2 those that stand
    /// at one text.
    shape: usize,
    /// A list, of which nothing was inserted yet.
    is_new_list: bool,
    last_inserted: Option<OperationName>,
    last_key: Option<Key>,
    last_element_kind: Option<Kind>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Follower {
    Object(u32),
    /// The object that the operation before it made.
    Made,
}

/// A key of an object. There may be one for each operation of a delta, so it is small.
#[derive(Debug, Clone, Copy, Default)]
struct Field {
    /// The object that the operation after the last one on this field was on.
    follower: Option<Follower>,
    number: Option<u64>,
    /// The last operations that set it, the latest first.
    recent: [Option<OperationName>; RECENT_MAX],
    deleted: bool,
}

/// All values under one text.
#[derive(Debug, Clone)]
pub(super) struct Stream {
    kind: Kind,
    number: u64,
    /// Above 0 when the last number of the field was lately nearer than the last number of the stream.
    score: i64,
    /// Different texts, in the order in which they came.
    pub(super) texts: Vec<Arc<[u8]>>,
}

impl Default for Stream {
    fn default() -> Self {
        Self { kind: Kind::Text, number: 0, score: 0, texts: Vec::new() }
    }
}

/// An operation with everything named by index.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step {
    pub(super) object: usize,
    pub(super) key: Key,
    pub(super) insert: bool,
    pub(super) kind: Kind,
    pub(super) name: OperationName,
}

/// What was seen so far.
#[derive(Debug)]
pub(super) struct Predictor {
    objects: Vec<Object>,
    fields: BTreeMap<(u32, Key), Field>,
    siblings: BTreeMap<(usize, Option<Key>), Key>,
    streams: BTreeMap<usize, Stream>,
    before: Option<(usize, Key)>,
    /// The object that the operation before made.
    made: Option<usize>,
}

impl Predictor {
    pub(super) fn new() -> Self {
        Self {
            objects: vec![Object::default()],
            fields: BTreeMap::new(),
            siblings: BTreeMap::new(),
            streams: BTreeMap::new(),
            before: None,
            made: None,
        }
    }

    /// Bytes that the record takes, but for the different texts. The nodes of an ordered map are half empty at worst.
    pub(super) fn bytes(&self) -> usize {
        let objects = self.objects.capacity().saturating_mul(size_of::<Object>());
        let maps = [
            self.fields.len().saturating_mul(size_of::<((u32, Key), Field)>()),
            self.siblings.len().saturating_mul(size_of::<((usize, Option<Key>), Key)>()),
            self.streams.len().saturating_mul(size_of::<(usize, Stream)>()),
        ];
        maps.into_iter().fold(objects, |bytes, of_map| bytes.saturating_add(of_map.saturating_mul(2)))
    }

    pub(super) fn object_count(&self) -> usize {
        self.objects.len()
    }

    /// The name of an object in the list; `None` inside is the root's.
    pub(super) fn object_name(&self, object: usize) -> Option<Option<OperationName>> {
        self.objects.get(object).map(|object| object.name)
    }

    /// Adds an object that was made before the batch.
    pub(super) fn add_object(&mut self, name: OperationName) -> usize {
        self.push(Object { name: Some(name), shape: 1, ..Object::default() })
    }

    fn push(&mut self, object: Object) -> usize {
        self.objects.push(object);
        self.objects.len().saturating_sub(1)
    }

    fn field(&self, object: usize, key: Key) -> Option<&Field> {
        self.fields.get(&(short(object), key))
    }

    fn field_mut(&mut self, object: usize, key: Key) -> &mut Field {
        self.fields.entry((short(object), key)).or_default()
    }

    /// The object that the next operation is probably on.
    pub(super) fn object(&self) -> usize {
        let Some((object, key)) = self.before else { return 0 };
        match (self.field(object, key).and_then(|field| field.follower), self.made) {
            (Some(Follower::Object(object)), _) => object as usize,
            (_, Some(made)) => made,
            _ => object,
        }
    }

    /// The key that the next operation on `object` probably has.
    pub(super) fn key(&self, object: usize) -> Option<Key> {
        let object = self.objects.get(object)?;
        if let Some(element) = object.last_inserted {
            return Some(Key::Element(element));
        }
        if object.is_new_list {
            return Some(Key::Head);
        }
        self.siblings.get(&(object.shape, object.last_key)).copied()
    }

    /// What the next operation on this field probably does.
    pub(super) fn kind(&self, object: usize, key: Key) -> Kind {
        let of_list = match key {
            Key::Text(_) => None,
            Key::Head | Key::Element(_) => self.objects.get(object).and_then(|object| object.last_element_kind),
        };
        of_list.or_else(|| self.streams.get(&key.stream()).map(|stream| stream.kind)).unwrap_or(Kind::Text)
    }

    /// The one predecessor that an operation probably has, if any.
    pub(super) fn predecessor(&self, object: usize, key: Key, insert: bool) -> Option<OperationName> {
        if insert {
            return None;
        }
        match (self.field(object, key), key) {
            (Some(field), _) if field.deleted => None,
            (Some(Field { recent: [Some(last), ..], .. }), _) => Some(*last),
            (_, Key::Element(element)) => Some(element),
            (_, Key::Text(_) | Key::Head) => None,
        }
    }

    /// The operations that last set this field, the latest first.
    pub(super) fn recent(&self, object: usize, key: Key) -> [Option<OperationName>; RECENT_MAX] {
        self.field(object, key).map(|field| field.recent).unwrap_or_default()
    }

    pub(super) fn stream(&mut self, key: Key) -> &mut Stream {
        self.streams.entry(key.stream()).or_default()
    }

    /// A number near the one that this field is probably set to.
    pub(super) fn number(&self, object: usize, key: Key) -> u64 {
        let of_field = self.field(object, key).and_then(|field| field.number);
        let stream = self.streams.get(&key.stream());
        match (of_field, stream) {
            (Some(number), Some(stream)) if stream.score > 0 => number,
            (_, Some(stream)) => stream.number,
            (_, None) => 0,
        }
    }

    pub(super) fn learn_number(&mut self, object: usize, key: Key, number: u64) {
        let of_field = self.field_mut(object, key).number.replace(number);
        let stream = self.stream(key);
        if let Some(of_field) = of_field {
            let gain = distance_bits(number, stream.number).saturating_sub(distance_bits(number, of_field));
            stream.score = stream.score.saturating_sub(stream.score / 8).saturating_add(gain);
        }
        stream.number = number;
    }

    /// Takes the operation in, and says which object of the list it made.
    pub(super) fn learn(&mut self, step: Step) -> Option<usize> {
        let Step { object, key, insert, kind, name } = step;
        if let Some(before) = self.before.replace((object, key)) {
            let follower = if self.made == Some(object) { Follower::Made } else { Follower::Object(short(object)) };
            self.field_mut(before.0, before.1).follower = Some(follower);
        }
        let mut shape = 1;
        if let Some(state) = self.objects.get_mut(object) {
            shape = state.shape;
            if state.last_inserted.is_none() && !state.is_new_list {
                self.siblings.insert((state.shape, state.last_key), key);
            }
            state.last_key = Some(key);
            state.is_new_list = false;
            match key {
                Key::Text(text) => shape = text.saturating_add(2),
                Key::Head | Key::Element(_) => state.last_element_kind = Some(kind),
            }
            if insert {
                state.last_inserted = Some(name);
            }
        }
        self.stream(key).kind = kind;
        // What an insertion sets is a field of its own, whose first predecessor is known without a record.
        if !insert {
            let field = self.field_mut(object, key);
            field.deleted = kind == Kind::Delete;
            if !field.deleted {
                field.recent.rotate_right(1);
                if let Some(first) = field.recent.first_mut() {
                    *first = Some(name);
                }
            }
        }
        let is_new_list = kind == Kind::MakeList;
        let makes = is_new_list || kind == Kind::MakeMap;
        self.made = makes.then(|| self.push(Object { name: Some(name), shape, is_new_list, ..Object::default() }));
        self.made
    }
}

fn short(object: usize) -> u32 {
    u32::try_from(object).unwrap_or(u32::MAX)
}

fn distance_bits(a: u64, b: u64) -> i64 {
    i64::from(u64::BITS.saturating_sub(zigzag(a.wrapping_sub(b)).leading_zeros()))
}

/// A difference of either sign as a small number.
pub(super) fn zigzag(difference: u64) -> u64 {
    let difference = difference.cast_signed();
    ((difference << 1) ^ (difference >> 63)).cast_unsigned()
}

/// The difference that [`zigzag`] was made of.
pub(super) fn unzigzag(number: u64) -> u64 {
    (number >> 1) ^ (number & 1).wrapping_neg()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_of_either_sign_survive_zigzag() {
        for difference in [0, 1, -1, 5, i64::MAX, i64::MIN] {
            assert_eq!(unzigzag(zigzag(difference.cast_unsigned())), difference.cast_unsigned());
        }
        assert_eq!((zigzag(u64::MAX), zigzag(1)), (1, 2));
    }
}
