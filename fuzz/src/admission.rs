//! A signed delta of invented changes against a small held document: it is taken or refused with a reason, and nothing that
//! passed every check is found to be poison when Automerge gets it.

use automerge::AutoCommit;
use sync_core::id::ChangeHash;
use sync_core::wire::{Message, Reason};

use crate::Seed;
use crate::changes::chunk;
use crate::door::{Door, changes_of, hash_of, heads_of, pack};
use crate::heavy;
use crate::pushed;
use crate::scanner::body_of;

/// Changes of one input.
const CHANGES_MAX: usize = 8;

/// A dependency of 32 such bytes stands for the held document's head; of 32 bytes `EARLIER + n` for change `n` of the input.
/// A hash would be wrong as soon as anything below it is mutated.
const HELD: u8 = 0xe0;
const EARLIER: u8 = 0xf0;

fn door_with_small() -> (Door, sync_core::document::DocumentKey, AutoCommit) {
    let mut door = Door::open();
    let (key, mut document) = pushed::small(&door);
    let frontier = door.signed(&key, heads_of(&mut document));
    let answers = door.push(&key, 0, pack(&changes_of(&mut document)), frontier);
    assert!(matches!(answers[..], [Message::Acknowledge(_)]), "{answers:?}");
    (door, key, document)
}

fn named(body: &mut [u8], held: &ChangeHash, earlier: &[ChangeHash]) {
    let Some((count, rest)) = body.split_first_mut() else { return };
    for dependency in rest.chunks_exact_mut(32).take(usize::from(*count)) {
        let first = dependency[0];
        if dependency.iter().any(|byte| *byte != first) {
            continue;
        }
        let hash = if first == HELD { Some(held) } else { earlier.get(usize::from(first.wrapping_sub(EARLIER))) };
        hash.into_iter().for_each(|hash| dependency.copy_from_slice(&hash.0));
    }
}

/// Bodies of changes, each after its length (two bytes, big endian). The frontier is the last of them.
pub fn run(bytes: &[u8]) {
    let (mut door, key, mut document) = door_with_small();
    let held = heads_of(&mut document)[0];
    let (mut chunks, mut hashes): (Vec<Vec<u8>>, Vec<ChangeHash>) = Default::default();
    let mut rest = bytes;
    while let Some((length, tail)) = rest.split_first_chunk::<2>()
        && chunks.len() < CHANGES_MAX
    {
        let (body, tail) = tail.split_at(usize::from(u16::from_be_bytes(*length)).min(tail.len()));
        let mut body = body.to_vec();
        named(&mut body, &held, &hashes);
        chunks.push(chunk(1, &body));
        hashes.push(hash_of(&chunks[chunks.len() - 1]));
        rest = tail;
    }
    let Some(head) = hashes.last() else { return };
    let frontier = door.signed(&key, vec![*head]);
    match &door.push(&key, 0, pack(&chunks), frontier)[..] {
        // One that is beside what is held is answered with what is held.
        [Message::Acknowledge(_)] | [Message::Acknowledge(_), Message::Push(_)] => {
            assert!(door.hub.read(&key).unwrap().is_some());
        }
        [Message::Refuse(refuse), Message::Acknowledge(_)] => assert!(refuse.reason != Reason::Poison, "{refuse:?}"),
        answers => panic!("{answers:?}"),
    }
}

fn input(chunks: &[Vec<u8>], held: &[u8; 32]) -> Vec<u8> {
    let hashes: Vec<ChangeHash> = chunks.iter().map(|chunk| hash_of(chunk)).collect();
    let body = |chunk: &Vec<u8>| {
        let mut body = body_of(chunk);
        let count = usize::from(body[0]);
        for dependency in body[1..].chunks_exact_mut(32).take(count) {
            let earlier = hashes.iter().position(|hash| hash.0 == *dependency);
            if dependency == held {
                dependency.fill(HELD);
            } else if let Some(earlier) = earlier {
                dependency.fill(EARLIER + earlier as u8);
            }
        }
        let length = u16::try_from(body.len()).unwrap().to_be_bytes();
        [&length[..], &body].concat()
    };
    chunks.iter().flat_map(body).collect()
}

/// An honest next change, several of two actors, and each crafted one.
pub fn seeds() -> Vec<Seed> {
    use automerge::transaction::Transactable;
    use automerge::{ObjType, ROOT};
    let door = Door::silent();
    let mut document = pushed::small(&door).1;
    let (held, known) = (heads_of(&mut document)[0], changes_of(&mut document).len());
    let crafted =
        pushed::crafted(&door, &document).into_iter().filter(|(_, bytes, _)| (60..1000).contains(&bytes.len()));
    let mut seeds: Vec<Seed> = crafted.map(|(what, bytes, _)| (what.to_owned(), input(&[bytes], &held.0))).collect();
    let mut other = document.clone().with_actor(pushed::own_actor(&door, 9));
    document.put(ROOT, "image", "web:3").unwrap();
    document.commit();
    seeds.push(("honest-one".to_owned(), input(&changes_of(&mut document)[known..], &held.0)));
    let map = other.put_object(ROOT, "other", ObjType::Map).unwrap();
    other.put(&map, "a", 1).unwrap();
    other.commit();
    document.merge(&mut other).unwrap();
    document.put(&map, "a", 2).unwrap();
    document.delete(ROOT, "image").unwrap();
    document.commit();
    seeds.push(("honest-several".to_owned(), input(&changes_of(&mut document)[known..], &held.0)));
    let mut line = heavy::Line::of(&door, &pushed::small(&door).0, 5);
    let first = line.next_counter();
    line.beside(1_000);
    (0..3).for_each(|_| line.instead_of(first, 1_000));
    seeds.push(("heavy".to_owned(), input(&line.chunks, &held.0)));
    seeds
}
