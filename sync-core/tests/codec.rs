//! The codec of batches: whatever this project writes survives it byte for byte, whatever comes is read within bounds, and
//! what it saves stands in a table.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "crafted/histories.rs"]
mod histories;
#[path = "crafted/traffic.rs"]
mod traffic;

use automerge::transaction::{CommitOptions, Transactable};
use automerge::{AutoCommit, Automerge, Change, ObjType, ROOT};
use histories::random_document;
use proptest::prelude::*;
use sync_core::document::codec::{Base, UnpackError, pack, pack_as, unpack};
use sync_core::document::history::ChangeMeta;
use sync_core::document::{Clock, Codec, History};

const CODECS: [Codec; 3] = [Codec::RawZstd, Codec::Runs, Codec::Columns];

fn changes(document: &AutoCommit) -> Vec<Vec<u8>> {
    document.clone().get_changes(&[]).into_iter().map(|change| change.raw_bytes().to_vec()).collect()
}

fn meta(chunk: &[u8]) -> ChangeMeta {
    ChangeMeta::of(&Change::from_bytes(chunk.to_vec()).unwrap()).unwrap()
}

/// What a receiver of the first `count` changes holds.
fn held(chunks: &[Vec<u8>]) -> (History, Clock) {
    let (mut history, mut clock) = (History::default(), Clock::default());
    for chunk in chunks {
        let meta = meta(chunk);
        clock.raise(meta.actor, meta.seq);
        history.push(meta).unwrap();
    }
    (history, clock)
}

fn slices(chunks: &[Vec<u8>]) -> Vec<&[u8]> {
    chunks.iter().map(Vec::as_slice).collect()
}

/// Packs what follows the first `base` changes, and unpacks it at a receiver that holds those.
fn survives(chunks: &[Vec<u8>], base: usize, codec: Codec) -> Result<(), TestCaseError> {
    let (all, _) = held(chunks);
    let (history, clock) = held(&chunks[..base]);
    let sent = &chunks[base..];
    let find = |hash: &_| all.meta(hash).cloned();
    let packed = pack_as(codec, &Base::new(&clock, &find), &slices(sent)).unwrap();
    let packed = packed.ok_or_else(|| TestCaseError::fail(format!("{codec:?} does not bring it back")))?;
    prop_assert_eq!(unpack(codec, &packed.bytes, &history), Ok(sent.to_vec()));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_history_survives_every_codec_from_every_base(seed in any::<u64>(), steps in 1..60_usize, split in 0.0..1.0) {
        let chunks = changes(&random_document(seed, steps));
        let base = (chunks.len() as f64 * split) as usize;
        for codec in CODECS {
            survives(&chunks, base, codec)?;
        }
    }

    #[test]
    fn damaged_batches_are_read_within_bounds(
        seed in any::<u64>(),
        at in any::<prop::sample::Index>(),
        damage in prop::collection::vec(any::<u8>(), 1..4),
        base in 0..4_usize,
    ) {
        let chunks = changes(&random_document(seed, 20));
        let base = base.min(chunks.len());
        let (all, _) = held(&chunks);
        let (history, clock) = held(&chunks[..base]);
        let find = |hash: &_| all.meta(hash).cloned();
        for codec in CODECS {
            let packed = pack_as(codec, &Base::new(&clock, &find), &slices(&chunks[base..])).unwrap().unwrap();
            let mut bytes = packed.bytes;
            let at = at.index(bytes.len());
            bytes.iter_mut().skip(at).zip(&damage).for_each(|(byte, damage)| *byte ^= damage);
            if let Ok(unpacked) = unpack(codec, &bytes, &history) {
                prop_assert!(codec == Codec::RawZstd || unpacked == chunks[base..], "other changes passed the checksum");
            }
            bytes.truncate(at);
            let _ = unpack(codec, &bytes, &history);
        }
    }

    #[test]
    fn arbitrary_bytes_are_refused_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        for codec in CODECS {
            let _ = unpack(codec, &bytes, &History::default());
            // Past the compression: a stored batch.
            let stored = [&[0, 0, 0, 0, 0], &bytes[..]].concat();
            prop_assert!(codec == Codec::RawZstd || unpack(codec, &stored, &History::default()).is_err());
        }
    }
}

#[test]
fn reports_layers_and_releases_survive_from_every_base() {
    for chunks in [
        traffic::reports(1, 3, 20).changes(),
        traffic::layer(2, 2, 20).changes(),
        traffic::layer(3, 3, 21).changes(),
        traffic::releases(4, 12).changes(),
    ] {
        for base in 0..chunks.len() {
            for codec in CODECS {
                survives(&chunks, base, codec).unwrap();
            }
        }
    }
}

#[test]
fn a_batch_that_builds_on_what_is_not_held_says_so() {
    let chunks = traffic::reports(1, 3, 20).changes();
    let (all, _) = held(&chunks);
    let (_, clock) = held(&chunks[..10]);
    let (less, _) = held(&chunks[..9]);
    let find = |hash: &_| all.meta(hash).cloned();
    let packed = pack(&Base::new(&clock, &find), &slices(&chunks[10..])).unwrap();
    assert_ne!(packed.codec, Codec::RawZstd);
    assert_eq!(unpack(packed.codec, &packed.bytes, &less), Err(UnpackError::NotHeld));
}

/// A stored row of one change: an operation that sets a key of so many bytes, and further ones on the same key, a byte each.
fn names_one_key(length: u32, operations: u32) -> Vec<u8> {
    let number = |mut value: u32| {
        let mut bytes = Vec::new();
        while value >= 0x80 {
            bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        bytes.push(value as u8);
        bytes
    };
    let head = [&[0; 5][..], &[1, 1, 1], &[7; 16], &[2 | 4, 1, 0], &number(operations)].concat();
    // The key and its kind (null); then the key by its index; from there it is foretold.
    let first = [&[2 | 4, 0][..], &number(length), &vec![b'k'; length as usize], &[3]].concat();
    [head, first, vec![2, 3], vec![0; operations as usize - 2]].concat()
}

#[test]
fn a_long_key_that_is_named_again_and_again_is_refused_before_it_is_written() {
    let unpack = |batch: &[u8]| unpack(Codec::Runs, batch, &History::default());
    // The row itself is well formed: only its checksum is not.
    assert_eq!(unpack(&names_one_key(1_000, 1_000)), Err(UnpackError::Differs));
    assert_eq!(unpack(&names_one_key(1_500_000, 260_000)), Err(UnpackError::TooLarge));
    assert_eq!(unpack(&names_one_key(4_096, 260_000)), Err(UnpackError::TooLarge));
}

/// One line of the table: bytes of the changes after `base`.
fn measure(name: &str, document: &Automerge, base: usize) -> (usize, usize, usize) {
    let chunks: Vec<Vec<u8>> = document.get_changes(&[]).into_iter().map(|it| it.raw_bytes().to_vec()).collect();
    let (all, _) = held(&chunks);
    let (history, clock) = held(&chunks[..base]);
    let sent = &chunks[base..];
    let find = |hash: &_| all.meta(hash).cloned();
    let packed = pack(&Base::new(&clock, &find), &slices(sent)).unwrap();
    assert_eq!(unpack(packed.codec, &packed.bytes, &history).as_deref(), Ok(sent));
    let raw: usize = sent.iter().map(Vec::len).sum();
    let hashes = document.get_changes(&[]).into_iter().skip(base).map(|change| change.hash());
    let bundle = document.bundle(hashes).unwrap().bytes().len();
    let of = |codec| pack_as(codec, &Base::new(&clock, &find), &slices(sent)).unwrap().map_or(0, |it| it.bytes.len());
    println!(
        "{name:<40} {:>7} changes {raw:>9} raw {bundle:>8} bundle {:>8} packed ({:?}; zstd {}, runs {}, columns {})",
        sent.len(),
        packed.bytes.len(),
        packed.codec,
        of(Codec::RawZstd),
        of(Codec::Runs),
        of(Codec::Columns),
    );
    (packed.bytes.len(), raw, bundle)
}

/// The table, with `-- --nocapture`. Bytes are exact: the aims of the project are asserted.
#[test]
fn what_travels_is_at_most_what_the_aims_allow() {
    for seed in 0..5 {
        let document = traffic::reports(100 + seed, 60, 40);
        let changes = document.changes().len();
        let (packed, raw, _) = measure("one report", document.document(), changes - 1);
        assert!(packed * 10 <= raw * 7, "{packed} of {raw}");
        let document = traffic::layer(100 + seed, 1, 20);
        let changes = document.changes().len();
        let (packed, raw, _) = measure("one edit of a layer", document.document(), changes - 1);
        assert!(packed * 10 <= raw * 7, "{packed} of {raw}");
        let document = traffic::releases(100 + seed, 10);
        let changes = document.changes().len();
        measure("one release", document.document(), changes - 1);
    }
    for count in [10, 100, 1_000] {
        let document = traffic::reports(7, 60, count);
        let (packed, _, bundle) = measure("reports", document.document(), 2);
        assert!(packed <= bundle, "{packed} against {bundle}");
        for hubs in [1, 2] {
            let document = traffic::layer(8, hubs, count);
            let (packed, _, bundle) = measure(&format!("a layer by {hubs}"), document.document(), 2);
            assert!(packed <= bundle, "{packed} against {bundle}");
        }
    }
    let document = traffic::reports(9, 60, 0);
    measure("the first report", document.document(), 1);
    let document = traffic::layer(9, 1, 0);
    measure("a new layer", document.document(), 1);
}

/// Two who write a list at once: insertions at both ends and between, texts of hexadecimal digits, an element and a key that
/// both have written and one writes over, a deletion. The last change has a message.
fn lists() -> Vec<Vec<u8>> {
    let mut one = AutoCommit::new().with_actor([1; 16][..].into());
    let list = one.put_object(ROOT, "digests", ObjType::List).unwrap();
    for number in 0..4_u8 {
        one.insert(&list, usize::from(number), blake3::hash(&[number]).to_hex().as_str()).unwrap();
    }
    one.commit_with(CommitOptions::default().with_time(0));
    let mut other = one.fork().with_actor([2; 16][..].into());
    for (writer, word) in [(&mut one, "here"), (&mut other, "there")] {
        writer.put(ROOT, "where", word).unwrap();
        writer.put(&list, 1, word).unwrap();
        writer.insert(&list, 0, word).unwrap();
        writer.insert(&list, 3, blake3::hash(word.as_bytes()).to_hex().as_str()).unwrap();
        writer.commit_with(CommitOptions::default().with_time(0));
    }
    one.merge(&mut other).unwrap();
    one.put(ROOT, "where", "both").unwrap();
    one.put(&list, 2, "both").unwrap();
    one.delete(&list, 0).unwrap();
    one.insert(&list, 5, "last").unwrap();
    one.put(&list, 5, "the last").unwrap();
    one.commit_with(CommitOptions::default().with_time(0).with_message("written over"));
    changes(&one)
}

fn golden(path: &str) -> Vec<u8> {
    let digits: String = std::fs::read_to_string(path).unwrap().split_whitespace().collect();
    let pairs = digits.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
    pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
}

/// What was packed once is read for ever. `UPDATE_GOLDEN=1` writes the files of codecs that have none yet.
#[test]
fn batches_that_were_packed_before_are_still_read() {
    for (name, chunks, base) in [("batch", traffic::layer(11, 2, 12).changes(), 3), ("lists", lists(), 0)] {
        let (all, _) = held(&chunks);
        let (history, clock) = held(&chunks[..base]);
        let find = |hash: &_| all.meta(hash).cloned();
        for codec in CODECS {
            let path = format!("{}/tests/golden/{name}-{}.hex", env!("CARGO_MANIFEST_DIR"), codec.number());
            if std::env::var_os("UPDATE_GOLDEN").is_some() && !std::path::Path::new(&path).exists() {
                let packed = pack_as(codec, &Base::new(&clock, &find), &slices(&chunks[base..])).unwrap().unwrap();
                let digits: String = packed.bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                let lines: Vec<&str> =
                    digits.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
                std::fs::write(&path, lines.join("\n") + "\n").unwrap();
            }
            assert_eq!(unpack(codec, &golden(&path), &history), Ok(chunks[base..].to_vec()), "{name} {codec:?}");
        }
    }
}
