//! What an enrolled peer may push that no honest one would: each crafted change with the reason it is refused for.
//!
//! Include it from an integration test with `#[path = "crafted/pushed.rs"] mod pushed;`, beside `changes` and `door`.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use automerge::legacy::{Key, ObjectId, Op, OpId, OpType};
use automerge::transaction::{CommitOptions, Transactable};
use automerge::{ActorId, AutoCommit, ExpandedChange, ObjType, ROOT, ScalarValue};
use sync_core::document::{ActorBytes, DocumentKey};
use sync_core::wire::Reason;

use crate::changes::{self, ChangeParts, chunk, column, edited, put};
use crate::door::Door;

/// The small document of the crafted changes, as the node's observed document: the genesis (operation 1), an image (2), a
/// map (3) with a list (4) of two elements (5, 6), another image (7).
pub(crate) fn small(door: &Door) -> (DocumentKey, AutoCommit) {
    let key = DocumentKey::observed(door.node.id());
    let mut document = door.document(&key);
    document.put(ROOT, "image", "web:1").unwrap();
    document.commit();
    let spec = document.put_object(ROOT, "spec", ObjType::Map).unwrap();
    let ports = document.put_object(&spec, "ports", ObjType::List).unwrap();
    document.insert(&ports, 0, 80_u64).unwrap();
    document.insert(&ports, 1, 443_u64).unwrap();
    document.commit();
    document.put(ROOT, "image", "web:2").unwrap();
    document.commit_with(CommitOptions::default().with_message("roll out"));
    (key, document)
}

pub(crate) fn own_actor(door: &Door, number: u8) -> ActorId {
    ActorId::from(&ActorBytes::mint(&door.node.id(), [number; 8]).0[..])
}

/// A valid next change of the small document's actor, edited.
pub(crate) fn next(document: &AutoCommit, edit: impl FnOnce(&mut ExpandedChange)) -> Vec<u8> {
    let mut document = document.clone();
    document.put(ROOT, "replicas", 3).unwrap();
    document.commit();
    edited(document.get_changes(&[]).last().unwrap(), edit)
}

pub(crate) fn in_parts(document: &AutoCommit, edit: impl FnOnce(&mut ChangeParts)) -> Vec<u8> {
    let mut parts = ChangeParts::of(&next(document, |_| {}));
    edit(&mut parts);
    parts.bytes()
}

/// A first change of another actor of the node's, on nothing.
pub(crate) fn first_of_another(door: &Door, edit: impl FnOnce(&mut ExpandedChange)) -> Vec<u8> {
    let mut document = AutoCommit::new().with_actor(own_actor(door, 9));
    document.put(ROOT, "replicas", 3).unwrap();
    document.commit();
    edited(&document.get_changes(&[])[0], edit)
}

pub(crate) fn crafted(door: &Door, document: &AutoCommit) -> Vec<(&'static str, Vec<u8>, Reason)> {
    use Reason::{Disconnected, Forked, Malformed, NotTheAuthor};
    let (own, unseen, stranger) = (own_actor(door, 1), own_actor(door, 9), changes::actor(7));
    let ports = ObjectId::Id(OpId(4, own.clone()));
    let compressed = {
        let mut zeros = document.clone();
        zeros.put(ROOT, "zeros", "0".repeat(1024 * 1024)).unwrap();
        zeros.commit();
        zeros.get_changes(&[]).last().unwrap().clone().bytes().to_vec()
    };
    let mut damaged = next(document, |change| change.message = Some("intact".into()));
    let message = damaged.windows(6).position(|window| window == b"intact").unwrap();
    damaged[message] = b'I';
    let mut trailing = next(document, |_| {});
    trailing.push(0);
    let next = |edit: &dyn Fn(&mut ExpandedChange)| next(document, edit);
    let operation = |edit: &dyn Fn(&mut Op)| next(&|change| edit(&mut change.operations[0]));
    let parts = |edit: &dyn Fn(&mut ChangeParts)| in_parts(document, edit);
    let changes = vec![
        ("a first change with number 2", first_of_another(door, |change| change.seq = 2), Disconnected),
        (
            "a first change on nothing that does not start at 1",
            first_of_another(door, |change| {
                change.start_op = 5.try_into().unwrap();
            }),
            Disconnected,
        ),
        ("a gap in the numbers", next(&|change| change.seq += 1), Disconnected),
        ("a number that was used", next(&|change| change.seq -= 1), Forked),
        ("a footer", next(&|change| change.extra_bytes = vec![1, 1, b'x']), Malformed),
        ("an object that is none", operation(&|op| op.obj = ObjectId::Id(OpId(2, own.clone()))), Malformed),
        ("a stranger's operation", operation(&|op| op.pred = vec![OpId(1, stranger.clone())].into()), NotTheAuthor),
        ("an unknown operation", operation(&|op| op.pred = vec![OpId(1, own.clone())].into()), Malformed),
        ("an own actor that never wrote", operation(&|op| op.pred = vec![OpId(1, unseen.clone())].into()), Malformed),
        ("an object that was never made", operation(&|op| op.obj = ObjectId::Id(OpId(1, own.clone()))), Malformed),
        ("a counter near 2^32", next(&|change| change.start_op = u64::from(u32::MAX).try_into().unwrap()), Malformed),
        ("a gap in the counters", next(&|change| change.start_op = (1 << 30).try_into().unwrap()), Disconnected),
        ("an actor index out of range", parts(&|parts| *parts.column(column::OBJECT_ACTOR) = vec![0x7f, 9]), Malformed),
        ("a compressed change", compressed, Malformed),
        ("a document chunk", chunk(0, b""), Malformed),
        ("a chunk of no known type", chunk(255, b""), Malformed),
        ("2^36 operations", changes::change_of_equal_operations(1 << 36), Malformed),
        (
            "keys of 80 MB in 4 KB",
            next(&|change| {
                change.operations = vec![put(ObjectId::Root, &"k".repeat(4000), ""); 20_000];
            }),
            Malformed,
        ),
        ("a damaged change", damaged, Malformed),
        ("an encoding that is not written back", parts(&|parts| *parts.column(column::ACTION) = vec![1, 1]), Malformed),
        ("columns that disagree", parts(&|parts| *parts.column(column::INSERT) = vec![2]), Malformed),
        ("an unknown column", parts(&|parts| *parts.column(0x94) = vec![0, 1]), Malformed),
        ("a text object", operation(&|op| op.action = OpType::Make(ObjType::Text)), Malformed),
        ("a counter", operation(&|op| op.action = OpType::Put(ScalarValue::counter(1))), Malformed),
        ("an increment", operation(&|op| op.action = OpType::Increment(1)), Malformed),
        ("a deletion of nothing", operation(&|op| op.action = OpType::Delete), Malformed),
        ("an object of the future", operation(&|op| op.obj = ObjectId::Id(OpId(99, own.clone()))), Malformed),
        ("an insertion into a map", operation(&|op| op.insert = true), Malformed),
        ("a text as key of a list", operation(&|op| op.obj = ports.clone()), Malformed),
        (
            "an element of another list",
            operation(&|op| {
                (op.obj, op.key) = (ports.clone(), Key::Seq(OpId(2, own.clone()).into()));
                op.pred = vec![OpId(5, own.clone())].into();
            }),
            Malformed,
        ),
        ("a repeated dependency", parts(&|parts| parts.deps.push(parts.deps[0])), Malformed),
        ("too many dependencies", parts(&|parts| parts.deps = vec![[0; 32]; 65]), Malformed),
        ("a short actor", parts(&|parts| parts.actor = vec![1; 15]), Malformed),
        ("a stranger as author", parts(&|parts| (parts.actor, parts.seq) = (vec![1; 16], 1)), NotTheAuthor),
        ("number 0", parts(&|parts| parts.seq = 0), Malformed),
        ("operation 0", parts(&|parts| parts.start_op = 0), Malformed),
        ("a time out of range", parts(&|parts| parts.timestamp = i64::MIN), Malformed),
        ("a long message", parts(&|parts| parts.message = vec![b'm'; 1025]), Malformed),
        ("an unused actor", parts(&|parts| parts.other_actors = vec![vec![2; 16]]), Malformed),
        ("bytes after the change", trailing, Malformed),
        ("a change over the bound", vec![0; 4 * 1024 * 1024], Malformed),
        ("nothing at all", Vec::new(), Malformed),
        ("an unknown dependency", next(&|change| change.deps = vec![automerge::ChangeHash([7; 32])]), Disconnected),
        ("a change that forgets its actor's last", next(&|change| change.deps.clear()), Disconnected),
    ];
    changes.into_iter().chain(containers(document)).collect()
}

/// What Automerge's own load takes beside changes: chunks of other types, whole and damaged, and swollen.
fn containers(document: &AutoCommit) -> Vec<(&'static str, Vec<u8>, Reason)> {
    let mut document = document.clone();
    let bundle_of = |document: &mut AutoCommit| {
        let hashes: Vec<_> = document.get_changes(&[]).iter().map(automerge::Change::hash).collect();
        document.bundle(hashes).unwrap().bytes().to_vec()
    };
    let (saved, bundle) = (document.save(), bundle_of(&mut document));
    let mut damaged = bundle.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    document.put(ROOT, "zeros", "0".repeat(16 << 20)).unwrap();
    document.commit();
    vec![
        ("a saved document", saved, Reason::Malformed),
        ("a bundle", bundle, Reason::Malformed),
        ("a damaged bundle", damaged, Reason::Malformed),
        ("a saved document of 16 MB", document.save(), Reason::Malformed),
        ("a bundle of 16 MB", bundle_of(&mut document), Reason::Malformed),
    ]
}
