//! Memory, counted by the allocator: what Automerge alone takes of crafted input, that a hub takes little and keeps none, and
//! that a batch is unpacked within its bounds.
//!
//! Counted is what Rust code allocates. SQLite's memory is bounded by its cache (`PRAGMA cache_size`) and zstd's by the window
//! that `document::batch` lets it have.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "crafted/batches.rs"]
mod batches;
#[path = "crafted/changes.rs"]
mod changes;
#[path = "fleet/door.rs"]
mod door;
#[path = "crafted/heavy.rs"]
mod heavy;
#[path = "crafted/pushed.rs"]
mod pushed;
#[path = "crafted/waiting.rs"]
mod waiting;
#[path = "fleet/world.rs"]
mod world;

use std::sync::{Mutex, MutexGuard, PoisonError};

use automerge::transaction::Transactable;
use automerge::{AutoCommit, Bundle, Change, ROOT};
use peak_alloc::PeakAlloc;
use sync_core::document::codec::unpack;
use sync_core::document::{Codec, DocumentKey, History};
use sync_core::id::ChangeHash;
use sync_core::limits::{
    CHANGE_OPERATIONS_MAX, DELTA_BYTES_MAX, DELTA_OPERATIONS_MAX, UNPACKED_BYTES_MAX, UNPACKED_BYTES_MIN,
    UNPACKED_RATIO_MAX,
};
use sync_core::wire::Message;

use changes::{actor, changes_of, edited};
use door::{Door, hash_of, heads_of, pack};

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

const MIB: usize = 1 << 20;

/// The allocator counts for the whole process: one test at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The bytes that `work` took at its height above what was held before, and the bytes that are still held after it.
fn measured<T>(work: impl FnOnce() -> T) -> (usize, isize, T) {
    let before = ALLOCATOR.current_usage();
    ALLOCATOR.reset_peak_usage();
    let value = work();
    let kept = ALLOCATOR.current_usage().cast_signed() - before.cast_signed();
    (ALLOCATOR.peak_usage().saturating_sub(before), kept, value)
}

/// A document that holds this many zeros.
fn zeros(bytes: usize) -> AutoCommit {
    let mut document = AutoCommit::new().with_actor(actor(1));
    document.put(ROOT, "zeros", "0".repeat(bytes)).unwrap();
    document.commit();
    document
}

#[test]
fn automerge_swells_a_thousandfold_on_a_change_a_document_and_a_bundle() {
    let _alone = alone();
    let mut document = zeros(32 * MIB);
    let mut change = changes_of(&mut document).remove(0);
    let bundle = document.bundle([change.hash()]).unwrap().bytes().to_vec();
    let (change, saved) = (change.bytes().to_vec(), document.save());
    drop(document);
    for (what, bytes, read) in [
        ("a change", change, (|bytes| drop(Change::from_bytes(bytes))) as fn(Vec<u8>)),
        ("a document", saved, |bytes| drop(AutoCommit::load(&bytes))),
        ("a bundle", bundle, |bytes| drop(Bundle::try_from(&bytes[..]).map(|bundle| bundle.to_changes()))),
    ] {
        let size = bytes.len();
        let (peak, ..) = measured(|| read(bytes));
        println!("{what}: {size} bytes take {} MiB", peak / MIB);
        assert!(peak > 500 * size, "{what}: {size} bytes took only {peak}");
    }
}

#[test]
fn automerge_keeps_changes_whose_dependencies_never_come_without_bound() {
    let _alone = alone();
    let mut source = AutoCommit::new().with_actor(actor(1));
    source.put(ROOT, "text", "x".repeat(1000)).unwrap();
    source.commit();
    let orphan = |number: u32| {
        let bytes = edited(&changes_of(&mut source.clone())[0], |change| {
            change.seq = u64::from(number);
            change.deps = vec![automerge::ChangeHash([7; 32])];
        });
        Change::from_bytes(bytes).unwrap()
    };
    let orphans: Vec<Change> = (1..=1000).map(orphan).collect();
    let mut document = AutoCommit::new();
    let (_, kept, ()) =
        measured(|| orphans.iter().for_each(|orphan| document.apply_changes([orphan.clone()]).unwrap()));
    println!("1000 orphans keep {} KiB", kept / 1024);
    assert!(document.get_heads().is_empty());
    assert!(kept > 1_000_000, "only {kept} bytes were kept");
}

/// What a crafted push may take while it is looked at: four times the bytes of a delta, for the buffer that grows by doubling
/// and for the chunks that are cut from it.
const PEAK_MAX: usize = 4 * DELTA_BYTES_MAX;

/// The same for what unpacks to at most [`SMALL`]: scanned operations take a hundred times their bytes at worst.
const SMALL_PEAK_MAX: usize = 4 * MIB;

const SMALL: usize = 64 * 1024;

/// What a hub may hold more after ten more refusals of an input than after its first: nothing but the slack of its caches.
const KEPT_MAX: isize = 64 * 1024;

#[test]
fn what_a_refused_push_takes_is_bounded_and_given_back() {
    let _alone = alone();
    waiting::in_time(|progress| {
        let mut door = Door::open();
        let (key, mut document) = pushed::small(&door);
        let frontier = door.signed(&key, heads_of(&mut document));
        let answers = door.push(&key, 0, pack(&door::changes_of(&mut document)), frontier);
        assert!(matches!(answers[..], [Message::Acknowledge(_)]), "{answers:?}");
        let crafted = pushed::crafted(&door, &document).into_iter();
        let mut inputs: Vec<_> = crafted
            .map(|(what, bytes, _)| {
                let (hash, bound) = (hash_of(&bytes), if bytes.len() < SMALL { SMALL_PEAK_MAX } else { PEAK_MAX });
                (what, pack(&[bytes]), hash, bound)
            })
            .collect();
        let bomb = zstd::bulk::compress(&vec![0; DELTA_BYTES_MAX + 1], 3).unwrap();
        inputs.push(("a bomb", bomb, ChangeHash([7; 32]), PEAK_MAX));
        for (what, batch, hash, bound) in inputs {
            progress.at(what);
            let push = |door: &mut Door| {
                let frontier = door.signed(&key, vec![hash]);
                let answers = door.push(&key, 0, batch.clone(), frontier);
                assert!(matches!(answers[..], [Message::Refuse(_), Message::Acknowledge(_)]), "{what}: {answers:?}");
                door.events = Vec::new();
            };
            push(&mut door);
            let (peak, kept, ()) = measured(|| (0..10).for_each(|_| push(&mut door)));
            println!("{what}: {} bytes take {} KiB, keep {kept}", batch.len(), peak / 1024);
            assert!(peak < bound, "{what}: {} bytes took {peak}", batch.len());
            assert!(kept < KEPT_MAX, "{what}: {kept} bytes were kept");
        }
    });
}

/// What a delta of as many operations as it may have takes of memory at most: each of them is scanned, kept by name while the
/// next are checked, and then is in Automerge's document. Not small, and in proportion to [`DELTA_OPERATIONS_MAX`].
const OPERATION_BYTES_MAX: usize = 384;

#[test]
fn a_batch_of_a_million_operations_takes_memory_in_proportion() {
    let _alone = alone();
    waiting::in_time(|progress| {
        let mut door = Door::open();
        let key = DocumentKey::observed(door.node.id());
        let mut line = heavy::Line::of(&door, &key, 1);
        (0..3).for_each(|_| line.beside(CHANGE_OPERATIONS_MAX));
        line.beside(CHANGE_OPERATIONS_MAX - 1);
        let batch = pack(&line.chunks);
        let frontier = door.signed(&key, vec![line.head()]);
        progress.at("a million operations");
        let (peak, kept, answers) = measured(|| door.push(&key, 0, batch.clone(), frontier));
        println!("{} bytes take {} MiB, keep {} KiB", batch.len(), peak / MIB, kept / 1024);
        assert!(matches!(answers[..], [Message::Acknowledge(_)]), "{answers:?}");
        assert!(peak < OPERATION_BYTES_MAX * DELTA_OPERATIONS_MAX as usize, "{} bytes took {peak}", batch.len());
    });
}

/// What a batch of symbols may take while it is unpacked, by its bytes. What grows is for a moment there twice.
fn unpacking_max(bytes: usize) -> usize {
    (2 * UNPACKED_BYTES_MIN + 2 * UNPACKED_RATIO_MAX * bytes).min(UNPACKED_BYTES_MAX + DELTA_BYTES_MAX)
}

#[test]
fn a_batch_of_symbols_takes_memory_by_its_bytes_and_not_by_what_it_claims() {
    let _alone = alone();
    let all = DELTA_BYTES_MAX as u64;
    for (symbols, noise) in [(all, 0), (all / 8, 0), (all / 64, 0), (all, 200_000), (all / 4, 200_000), (all, all / 2)]
    {
        for (what, batch) in batches::greedy(batches::Size { symbols, noise }) {
            let (peak, _, unpacked) = measured(|| unpack(Codec::Runs, &batch, &History::default()));
            let end = unpacked.map(|chunks| chunks.len());
            println!("{what}: {} bytes of {symbols} take {} KiB, {end:?}", batch.len(), peak / 1024);
            assert!(peak < unpacking_max(batch.len()), "{what}: {} bytes took {peak}", batch.len());
            assert!(noise > 0 || peak < DELTA_BYTES_MAX / 2, "{what}: {} bytes took {peak}", batch.len());
        }
    }
}
