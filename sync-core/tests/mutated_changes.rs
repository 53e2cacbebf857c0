//! Mutated changes: none panics the scanner, and none that passes the scanner and the document's rules harms Automerge.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "crafted/automerge_alone.rs"]
mod automerge_alone;
#[path = "crafted/changes.rs"]
mod changes;
#[path = "crafted/histories.rs"]
mod histories;
#[path = "crafted/model.rs"]
mod model;

use std::collections::BTreeMap;

use automerge::legacy::{ElementId, Key, ObjectId, Op, OpId, OpType};
use automerge::transaction::Transactable;
use automerge::{ActorId, AutoCommit, Change, ChangeHash, ExpandedChange, ObjType, ROOT, ReadDoc};
use proptest::prelude::*;
use sync_core::document::scan::{ActorBytes, scan_change};

use crate::automerge_alone::catching;
use crate::changes::{ChangeParts, actor, with_checksum};
use crate::histories::{Numbers, random_document, random_value};
use crate::model::{DocumentModel, Id};

/// What became of the mutants of one search.
#[derive(Debug, Default)]
struct Tally {
    refused_by_scanner: u64,
    refused_by_document: BTreeMap<&'static str, u64>,
    taken: u64,
    harm: Vec<String>,
}

fn legacy_id(numbers: &mut Numbers, ids: &[Id]) -> OpId {
    match numbers.pick(ids) {
        Some((counter, actor)) if !numbers.one_in(12) => OpId(*counter, ActorId::from(actor.0)),
        Some((_, actor)) => OpId(1 + numbers.below(40) as u64, ActorId::from(actor.0)),
        None => OpId(1, actor(1)),
    }
}

fn mutate_operation(numbers: &mut Numbers, ids: &[Id], operation: &mut Op) {
    match numbers.below(9) {
        0 => operation.obj = if numbers.one_in(3) { ObjectId::Root } else { ObjectId::Id(legacy_id(numbers, ids)) },
        1 => operation.key = Key::Map((*numbers.pick(&["a", "b", "image", "", "new"]).unwrap()).into()),
        2 => operation.key = Key::Seq(ElementId::Id(legacy_id(numbers, ids))),
        3 => operation.key = Key::head(),
        4 => operation.insert = !operation.insert,
        5 => operation.action = OpType::Put(random_value(numbers)),
        6 => {
            let made = [OpType::Make(ObjType::Map), OpType::Make(ObjType::List), OpType::Delete];
            operation.action = numbers.pick(&made).unwrap().clone();
        }
        7 => operation.pred = (0..numbers.below(3)).map(|_| legacy_id(numbers, ids)).collect::<Vec<_>>().into(),
        _ => {
            let mut pred: Vec<OpId> = operation.pred.iter().cloned().collect();
            pred.push(legacy_id(numbers, ids));
            operation.pred = pred.into();
        }
    }
}

/// An operation on some field that has operations already: what a confused author would write.
fn operation_on_known_field(numbers: &mut Numbers, known: &[(OpId, Op)]) -> Option<Op> {
    let (id, like) = numbers.pick(known)?.clone();
    let key = if like.insert { Key::Seq(ElementId::Id(id.clone())) } else { like.key.clone() };
    let same_field = |(other_id, other): &&(OpId, Op)| {
        let other_key = if other.insert { Key::Seq(ElementId::Id(other_id.clone())) } else { other.key.clone() };
        other.obj == like.obj && other_key == key && other.action != OpType::Delete
    };
    let field: Vec<OpId> = known.iter().filter(same_field).map(|(id, _)| id.clone()).collect();
    let pred: Vec<OpId> = field.into_iter().filter(|_| !numbers.one_in(3)).collect();
    let insert = matches!(key, Key::Seq(_)) && numbers.one_in(3);
    let action = match numbers.below(5) {
        0 => OpType::Delete,
        1 => OpType::Make(ObjType::Map),
        2 => OpType::Make(ObjType::List),
        _ => OpType::Put(random_value(numbers)),
    };
    Some(Op { action, obj: like.obj, key, pred: if insert { Vec::new() } else { pred }.into(), insert })
}

fn mutate(numbers: &mut Numbers, ids: &[Id], known: &[(OpId, Op)], change: &mut ExpandedChange) {
    match numbers.below(12) {
        0 if !change.operations.is_empty() => {
            let at = numbers.below(change.operations.len());
            change.operations.remove(at);
        }
        1 if !change.operations.is_empty() => {
            let (from, to) = (numbers.below(change.operations.len()), numbers.below(change.operations.len()));
            change.operations.swap(from, to);
        }
        2 if !change.operations.is_empty() => {
            let again = change.operations[numbers.below(change.operations.len())].clone();
            change.operations.push(again);
        }
        3..=6 => change.operations.extend(operation_on_known_field(numbers, known)),
        7 if numbers.one_in(4) => change.seq = 1 + numbers.below(4) as u64,
        7 if numbers.one_in(3) => change.start_op = (1 + numbers.below(60) as u64).try_into().unwrap(),
        7 if numbers.one_in(2) => drop(change.deps.pop()),
        7 => change.time = (numbers.next() as i64) >> numbers.below(64),
        _ if !change.operations.is_empty() => {
            let at = numbers.below(change.operations.len());
            mutate_operation(numbers, ids, &mut change.operations[at]);
        }
        _ => {}
    }
}

fn mutate_bytes(numbers: &mut Numbers, bytes: &[u8]) -> Vec<u8> {
    let mut mutant = bytes.to_vec();
    match numbers.below(4) {
        0 => {
            let mut parts = ChangeParts::of(bytes);
            let count = parts.columns.len();
            if count == 0 {
                return mutant;
            }
            let column = &mut parts.columns[numbers.below(count)].1;
            match numbers.below(3) {
                0 => drop(column.pop()),
                1 => column.push(numbers.next() as u8),
                _ => {
                    let at = numbers.below(column.len());
                    column[at] = numbers.below(8) as u8;
                }
            }
            return parts.bytes();
        }
        1 => mutant.truncate(9 + numbers.below(bytes.len() - 9)),
        _ => {
            for _ in 0..=numbers.below(3) {
                let at = 8 + numbers.below(bytes.len() - 8);
                mutant[at] = if numbers.one_in(2) { numbers.next() as u8 } else { mutant[at] ^ 1 << numbers.below(8) };
            }
        }
    }
    with_checksum(mutant)
}

/// Everything that the engine does with a document, after `bytes` were applied to it. `Err` says what went wrong.
fn apply_and_use(document: &AutoCommit, bytes: &[u8]) -> Result<AutoCommit, String> {
    let mut document = document.clone();
    let change = Change::from_bytes(bytes.to_vec()).map_err(|error| format!("Automerge refuses it: {error}"))?;
    let hash = change.hash();
    change.decode();
    document.apply_changes([change]).map_err(|error| format!("Automerge does not apply it: {error}"))?;
    let Some(kept) = document.get_change_by_hash(&hash) else { return Err("the change is gone".into()) };
    if kept.raw_bytes() != bytes {
        return Err("the change came back with other bytes".into());
    }
    document.hydrate(&ROOT, None).map_err(|error| format!("it cannot be read: {error}"))?;
    let heads = document.get_heads();
    let mut loaded = AutoCommit::load(&document.save()).map_err(|error| format!("it cannot be loaded: {error}"))?;
    let changes = document.get_changes(&[]);
    let mut replayed = AutoCommit::new();
    replayed.apply_changes(changes).map_err(|error| format!("it cannot be replayed: {error}"))?;
    let value = document.hydrate(&ROOT, None).ok();
    if loaded.get_heads() != heads || replayed.get_heads() != heads {
        return Err("a copy has other heads".into());
    }
    if loaded.hydrate(&ROOT, None).ok() != value || replayed.hydrate(&ROOT, None).ok() != value {
        return Err("a copy has another state".into());
    }
    let mut patched = document.clone();
    patched.diff(&[], &heads);
    let hashes: Vec<_> = patched.get_changes(&[]).iter().map(Change::hash).collect();
    let bundle = patched.bundle(hashes).map_err(|error| format!("it cannot be bundled: {error}"))?;
    let unbundled = bundle.to_changes().map_err(|error| format!("it cannot be unbundled: {error}"))?;
    if !unbundled.iter().any(|change| change.raw_bytes() == bytes) {
        return Err("it is not in its bundle".into());
    }
    let mut written = document.clone().with_actor(actor(200));
    written.put(ROOT, "after", 1).map_err(|error| format!("it cannot be written: {error}"))?;
    for key in written.keys(ROOT).collect::<Vec<_>>() {
        written.put(ROOT, key, 2).map_err(|error| format!("it cannot be written: {error}"))?;
    }
    written.commit();
    written.save();
    Ok(document)
}

/// Mutates the last change of random documents and follows what happens, for `cases` mutants from `seed`.
fn search(seed: u64, cases: u64) -> Tally {
    let mut numbers = Numbers(seed);
    let mut tally = Tally::default();
    let mut tried = 0;
    while tried < cases {
        let document_seed = numbers.next();
        let mut full = random_document(document_seed, 4 + numbers.below(50));
        let mut history = full.get_changes(&[]);
        let Some(last) = history.pop() else { continue };
        let mut document = AutoCommit::new();
        document.apply_changes(history.clone()).unwrap();
        let mut model = DocumentModel::default();
        let mut known: Vec<(OpId, Op)> = Vec::new();
        for change in &history {
            model.admit(&scan_change(change.raw_bytes()).unwrap()).unwrap();
            let expanded = change.decode();
            let start = expanded.start_op.get();
            let id = |index| OpId(start + index as u64, expanded.actor_id.clone());
            known.extend(expanded.operations.iter().enumerate().map(|(index, op)| (id(index), op.clone())));
        }
        let ids = model.ids();
        for _ in 0..40 {
            tried += 1;
            let mutant = if numbers.one_in(4) {
                mutate_bytes(&mut numbers, last.raw_bytes())
            } else {
                let mut expanded = last.decode();
                for _ in 0..=numbers.below(3) {
                    mutate(&mut numbers, &ids, &known, &mut expanded);
                }
                Change::from(expanded).raw_bytes().to_vec()
            };
            let scanned = match catching(|| scan_change(&mutant)) {
                Err(panic) => {
                    tally.harm.push(format!("the scanner panics: {panic}"));
                    continue;
                }
                Ok(Err(_)) => {
                    tally.refused_by_scanner += 1;
                    continue;
                }
                Ok(Ok(scanned)) => scanned,
            };
            if let Err(rule) = model.clone().admit(&scanned) {
                *tally.refused_by_document.entry(rule).or_default() += 1;
                continue;
            }
            tally.taken += 1;
            let outcome = catching(|| apply_and_use(&document, &mutant)).unwrap_or_else(Err);
            if let Err(harm) = outcome {
                tally.harm.push(format!("{harm}\n    {:?}", scanned.operations));
            }
        }
    }
    tally
}

/// One change that an author could have written who knows the ids of a document and obeys nothing else.
fn invented(numbers: &mut Numbers, tips: &[Tip], known: &[(OpId, Op)]) -> ExpandedChange {
    let author = actor(1 + numbers.below(4) as u8);
    let own = tips.iter().rev().find(|tip| tip.actor == author);
    let mut deps: Vec<Tip> = own.into_iter().cloned().collect();
    for _ in 0..numbers.below(3) {
        deps.extend(numbers.pick(tips).filter(|tip| deps.iter().all(|dep| dep.hash != tip.hash)).cloned());
    }
    let mut change = ExpandedChange {
        operations: Vec::new(),
        actor_id: author.clone(),
        hash: None,
        seq: own.map_or(1, |tip| tip.seq + 1),
        start_op: (deps.iter().map(|dep| dep.max_op).max().unwrap_or(0) + 1).try_into().unwrap(),
        time: 0,
        message: None,
        deps: deps.into_iter().map(|dep| dep.hash).collect(),
        extra_bytes: Vec::new(),
        author: None,
    };
    let mut seen: Vec<(OpId, Op)> = known.iter().filter(|(id, _)| id.0 < change.start_op.get()).cloned().collect();
    for index in 0..numbers.below(7) as u64 {
        let mut operation = match numbers.below(4) {
            0 => Op { action: OpType::Make(ObjType::List), ..changes::put(ObjectId::Root, "l", "") },
            1 => {
                let made = |(_, op): &&(OpId, Op)| op.action == OpType::Make(ObjType::List);
                let lists: Vec<_> = seen.iter().filter(made).map(|(id, _)| id.clone()).collect();
                let Some(list) = numbers.pick(&lists) else { continue };
                let element = |(_, op): &&(OpId, Op)| op.insert && op.obj == ObjectId::Id(list.clone());
                let elements: Vec<_> = seen.iter().filter(element).map(|(id, _)| id.clone()).collect();
                let key = numbers.pick(&elements).map_or(Key::head(), |id| Key::Seq(ElementId::Id(id.clone())));
                Op { obj: ObjectId::Id(list.clone()), key, insert: true, ..changes::put(ObjectId::Root, "", "") }
            }
            _ => operation_on_known_field(numbers, &seen).unwrap_or(changes::put(ObjectId::Root, "a", "")),
        };
        if numbers.one_in(10) {
            let ids: Vec<Id> = seen.iter().map(|(id, _)| (id.0, sync_actor(&id.1))).collect();
            mutate_operation(numbers, &ids, &mut operation);
        }
        seen.push((OpId(change.start_op.get() + index, author.clone()), operation.clone()));
        change.operations.push(operation);
    }
    change
}

fn sync_actor(actor: &ActorId) -> ActorBytes {
    ActorBytes(actor.to_bytes().try_into().unwrap())
}

/// A change that is in a document.
#[derive(Debug, Clone)]
struct Tip {
    hash: ChangeHash,
    actor: ActorId,
    seq: u64,
    max_op: u64,
}

/// Grows documents from invented changes only, and applies each again in two other orders.
fn search_invented(seed: u64, documents: u64) -> Tally {
    let mut numbers = Numbers(seed);
    let mut tally = Tally::default();
    for _ in 0..documents {
        let (mut document, mut model) = (AutoCommit::new(), DocumentModel::default());
        let (mut tips, mut known): (Vec<Tip>, Vec<(OpId, Op)>) = (Vec::new(), Vec::new());
        let mut applied: Vec<Change> = Vec::new();
        for _ in 0..numbers.below(25) {
            let expanded = invented(&mut numbers, &tips, &known);
            let change = Change::from(expanded.clone());
            let Ok(scanned) = scan_change(change.raw_bytes()) else {
                tally.refused_by_scanner += 1;
                continue;
            };
            if let Err(rule) = model.admit(&scanned) {
                *tally.refused_by_document.entry(rule).or_default() += 1;
                continue;
            }
            tally.taken += 1;
            match catching(|| apply_and_use(&document, change.raw_bytes())).unwrap_or_else(Err) {
                Ok(next) => document = next,
                Err(harm) => {
                    tally.harm.push(format!("{harm}\n    {:?}", scanned.operations));
                    break;
                }
            }
            let (hash, seq, max_op) = (change.hash(), change.seq(), change.max_op());
            tips.push(Tip { hash, actor: expanded.actor_id.clone(), seq, max_op });
            let start = expanded.start_op.get();
            let id = |index| OpId(start + index as u64, expanded.actor_id.clone());
            known.extend(expanded.operations.iter().enumerate().map(|(index, op)| (id(index), op.clone())));
            applied.push(change);
        }
        let value = document.hydrate(&ROOT, None).ok();
        let in_orders = catching(|| {
            applied.reverse();
            let mut at_once = AutoCommit::new();
            at_once.apply_changes(applied.clone()).map_err(|error| error.to_string())?;
            let mut one_by_one = AutoCommit::new();
            for change in applied {
                one_by_one.apply_changes([change]).map_err(|error| error.to_string())?;
            }
            let same = at_once.hydrate(&ROOT, None).ok() == value && one_by_one.hydrate(&ROOT, None).ok() == value;
            if same { Ok(()) } else { Err("the state depends on the order".to_owned()) }
        });
        if let Err(harm) = in_orders.unwrap_or_else(Err) {
            tally.harm.push(harm);
        }
    }
    tally
}

#[test]
fn mutants_that_pass_every_rule_harm_nothing() {
    let tally = search(1, 3000);
    assert!(tally.taken > 100, "{tally:?}");
    assert_eq!(tally.harm, Vec::<String>::new());
}

#[test]
fn invented_histories_that_pass_every_rule_harm_nothing() {
    let tally = search_invented(1, 100);
    assert!(tally.taken > 300, "{tally:?}");
    assert_eq!(tally.harm, Vec::<String>::new());
}

/// Run it after every upgrade of Automerge: `SEED=7 CASES=500000 cargo test --test mutated_changes -- --ignored --nocapture`.
#[test]
#[ignore = "takes minutes"]
fn long_search() {
    let number = |name, default| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default);
    let (seed, cases) = (number("SEED", 7), number("CASES", 200_000));
    let tallies = [search(seed, cases), search_invented(seed, cases / 20)];
    for tally in &tallies {
        let (refused, rules, taken) = (tally.refused_by_scanner, &tally.refused_by_document, tally.taken);
        println!("scanner refused {refused}, document refused {rules:#?}, taken {taken}");
        let mut kinds: BTreeMap<&str, (u64, &str)> = BTreeMap::new();
        for harm in &tally.harm {
            kinds.entry(harm.split("\n    ").next().unwrap()).or_insert((0, harm)).0 += 1;
        }
        for (count, example) in kinds.values() {
            println!("{count} x {example}");
        }
    }
    assert!(tallies.iter().all(|tally| tally.harm.is_empty()));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_do_not_panic_the_scanner(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = scan_change(&bytes);
        let _ = scan_change(&changes::chunk(1, &bytes));
    }
}

#[test]
fn no_part_of_a_change_is_a_change() {
    for change in random_document(5, 60).get_changes(&[]) {
        let bytes = change.raw_bytes();
        for end in 0..bytes.len() {
            assert!(scan_change(&bytes[..end]).is_err());
            if end > 8 {
                assert!(scan_change(&with_checksum(bytes[..end].to_vec())).is_err());
            }
        }
    }
}
