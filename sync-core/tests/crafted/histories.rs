//! Documents as honest authors write them: random edits of maps and lists by several actors who merge now and then.
//!
//! Include it from an integration test with `#[path = "crafted/histories.rs"] mod histories;`.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use automerge::transaction::{CommitOptions, Transactable};
use automerge::{ActorId, AutoCommit, ObjId, ObjType, ROOT, ReadDoc, ScalarValue, Value};

/// A small generator of numbers (SplitMix64), so that a case is a seed.
#[derive(Debug, Clone)]
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which is not 0.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    pub(crate) fn one_in(&mut self, chance: usize) -> bool {
        self.below(chance) == 0
    }

    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        if from.is_empty() { None } else { from.get(self.below(from.len())) }
    }
}

/// A document with the merged work of up to four actors: `steps` edits, commits and merges from this seed.
pub(crate) fn random_document(seed: u64, steps: usize) -> AutoCommit {
    let mut numbers = Numbers(seed);
    let count = 1 + numbers.below(4);
    let mut replicas: Vec<AutoCommit> =
        (0..count).map(|i| AutoCommit::new().with_actor(random_actor(&mut numbers, i))).collect();
    for _ in 0..steps {
        let index = numbers.below(count);
        match numbers.below(8) {
            0 => {
                let from = numbers.below(count);
                replicas[from].commit();
                let mut other = replicas[from].clone();
                replicas[index].merge(&mut other).unwrap();
            }
            1 => commit(&mut replicas[index], &mut numbers),
            _ => edit(&mut replicas[index], &mut numbers),
        }
    }
    let mut all = replicas.remove(0);
    for mut replica in replicas {
        replica.commit();
        all.merge(&mut replica).unwrap();
    }
    if numbers.one_in(2) {
        edit(&mut all, &mut numbers);
    }
    all.commit();
    all
}

fn random_actor(numbers: &mut Numbers, index: usize) -> ActorId {
    let mut bytes = [index as u8; 16];
    bytes[0] = numbers.next() as u8;
    ActorId::from(bytes)
}

fn commit(document: &mut AutoCommit, numbers: &mut Numbers) {
    let mut options = CommitOptions::default();
    if numbers.one_in(3) {
        options = options.with_message("why").with_time(numbers.below(1 << 40) as i64);
    }
    if numbers.one_in(8) {
        document.empty_change(options);
    } else {
        document.commit_with(options);
    }
}

/// Every object that can be reached, with its type.
fn objects(document: &AutoCommit) -> Vec<(ObjId, ObjType)> {
    let mut found = vec![(ROOT, ObjType::Map)];
    let mut next = 0;
    while let Some((object, kind)) = found.get(next).cloned() {
        next += 1;
        let values: Vec<(Value<'_>, ObjId)> = match kind {
            ObjType::Map | ObjType::Table => {
                document.keys(&object).flat_map(|key| document.get_all(&object, key).unwrap()).collect()
            }
            ObjType::List | ObjType::Text => {
                (0..document.length(&object)).flat_map(|i| document.get_all(&object, i).unwrap()).collect()
            }
        };
        found.extend(values.into_iter().filter_map(|(value, id)| match value {
            Value::Object(kind) => Some((id, kind)),
            Value::Scalar(_) => None,
        }));
    }
    found
}

/// A value of a type that this project writes.
pub(crate) fn random_value(numbers: &mut Numbers) -> ScalarValue {
    match numbers.below(9) {
        0 => ScalarValue::Null,
        1 => ScalarValue::Boolean(numbers.one_in(2)),
        2 => ScalarValue::Int((numbers.next() as i64) >> numbers.below(64)),
        3 => ScalarValue::Uint(numbers.next() >> numbers.below(64)),
        4 => ScalarValue::F64(numbers.below(1000) as f64 / 8.0),
        5 => ScalarValue::Timestamp((numbers.next() as i64) >> numbers.below(64)),
        6 => ScalarValue::Bytes(vec![7; numbers.below(4)]),
        _ => ScalarValue::Str("x".repeat(numbers.below(5)).into()),
    }
}

fn edit(document: &mut AutoCommit, numbers: &mut Numbers) {
    let objects = objects(document);
    let (object, kind) = numbers.pick(&objects).unwrap().clone();
    let made = if numbers.one_in(2) { ObjType::Map } else { ObjType::List };
    if kind == ObjType::Map {
        let key = *numbers.pick(&["", "a", "b", "image", "ü"]).unwrap();
        match numbers.below(6) {
            0 => document.put_object(&object, key, made).map(drop),
            1 => document.delete(&object, key),
            _ => document.put(&object, key, random_value(numbers)),
        }
        .unwrap();
        return;
    }
    let length = document.length(&object);
    let at = numbers.below(length + 1);
    match numbers.below(7) {
        0 => document.insert_object(&object, at, made).map(drop),
        1 if at < length => document.delete(&object, at),
        2 if at < length => document.put_object(&object, at, made).map(drop),
        3 if at < length => document.put(&object, at, random_value(numbers)),
        _ => document.insert(&object, at, random_value(numbers)),
    }
    .unwrap();
}
