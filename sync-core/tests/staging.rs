//! Parts that wait, and refusals: what they take of the disk is bounded for each peer and over all, and the greedy pay first.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "fleet/seeded.rs"]
mod seeded;

use sync_core::id::{Chain, DocumentId, TransferId};
use sync_core::identity::{Role, SigningKey};
use sync_core::limits::{
    STAGED_TRANSFERS_MAX, STAGING_BYTES_MAX, STAGING_TOTAL_BYTES_MAX, TRANSFER_BYTES_MAX, UNTOLD_REFUSALS_MAX,
};
use sync_core::part::Part;
use sync_core::store::{PeerRow, Staged, Store, Tx};

fn peers(tx: &Tx<'_>, count: usize) -> Vec<PeerRow> {
    let mut entropy = seeded::Seeded(1);
    let mut peer = || {
        let key = SigningKey::generate(&mut entropy);
        tx.add_peer(&key.public(), Role::Node, None, Chain([0; 16])).unwrap()
    };
    (0..count).map(|_| peer()).collect()
}

fn begin(tx: &Tx<'_>, peer: &PeerRow, document: u8, total: u64) {
    let part = Part { transfer: TransferId([document; 16]), offset: 0, total };
    assert_eq!(tx.stage(peer, DocumentId([document; 16]), &part, &[7; 4096]).unwrap(), Staged::Kept);
}

fn documents(tx: &Tx<'_>, peer: &PeerRow) -> Vec<u8> {
    tx.staged(peer).unwrap().iter().map(|held| held.document.0[0]).collect()
}

#[test]
fn a_peer_loses_its_oldest_transfer_at_a_bound_and_no_other_does() {
    let mut store = Store::open_in_memory().unwrap();
    let tx = store.begin().unwrap();
    let peers = peers(&tx, 2);
    begin(&tx, &peers[1], 1, 10_000);
    let many = STAGED_TRANSFERS_MAX as u8;
    (0..many + 3).for_each(|document| begin(&tx, &peers[0], document, 10_000));
    assert_eq!(documents(&tx, &peers[0]), (3..many + 3).collect::<Vec<_>>());
    for document in 100..110 {
        begin(&tx, &peers[0], document, TRANSFER_BYTES_MAX);
    }
    assert_eq!(documents(&tx, &peers[0]).len() as u64, STAGING_BYTES_MAX / TRANSFER_BYTES_MAX);
    assert_eq!(documents(&tx, &peers[1]), [1]);
}

#[test]
fn over_all_peers_the_one_that_announced_most_makes_room() {
    let mut store = Store::open_in_memory().unwrap();
    let tx = store.begin().unwrap();
    let greedy = (STAGING_TOTAL_BYTES_MAX / STAGING_BYTES_MAX) as usize;
    let peers = peers(&tx, greedy + 100);
    let (honest, greedy) = peers.split_at(100);
    honest.iter().for_each(|peer| begin(&tx, peer, 1, 5_000_000));
    for document in 1..=2 {
        greedy.iter().for_each(|peer| begin(&tx, peer, document, TRANSFER_BYTES_MAX));
    }
    assert!(honest.iter().all(|peer| documents(&tx, peer) == [1]));
    let announced: u64 = greedy.iter().map(|peer| documents(&tx, peer).len() as u64 * TRANSFER_BYTES_MAX).sum();
    assert!(announced + 500_000_000 <= STAGING_TOTAL_BYTES_MAX, "{announced}");
}

#[test]
fn a_part_is_kept_once_however_it_overlaps() {
    let mut store = Store::open_in_memory().unwrap();
    let tx = store.begin().unwrap();
    let peer = &peers(&tx, 1)[0];
    let document = DocumentId([1; 16]);
    let bytes: Vec<u8> = (0..=255).cycle().take(20_000).collect();
    let part = |offset| Part { transfer: TransferId([1; 16]), offset, total: 20_000 };
    for (from, to) in [(0, 5_000), (0, 5_000), (2_000, 9_000), (8_999, 9_000), (9_000, 15_000), (1_000, 3_000)] {
        let staged = tx.stage(peer, document, &part(from as u64), &bytes[from..to]).unwrap();
        assert_eq!(staged, Staged::Kept);
    }
    assert_eq!(tx.stage(peer, document, &part(15_001), &bytes[15_001..16_000]).unwrap(), Staged::Gap);
    assert_eq!(tx.staged(peer).unwrap()[0].bytes, 15_000);
    assert_eq!(tx.take_staged(peer, document, &part(15_001)).unwrap(), None);
    assert_eq!(tx.take_staged(peer, document, &part(14_000)).unwrap().unwrap(), bytes[..14_000]);
    assert_eq!(tx.staged_bytes().unwrap(), 0);
}

#[test]
fn refusals_that_are_to_be_told_again_are_bounded_for_each_peer() {
    let mut store = Store::open_in_memory().unwrap();
    let tx = store.begin().unwrap();
    let peers = peers(&tx, 2);
    let document = |number: u64| DocumentId(u128::from(number).to_be_bytes());
    tx.note_untold(&peers[1], document(0), b"other").unwrap();
    let max = UNTOLD_REFUSALS_MAX as u64;
    for number in 0..max + 3 {
        tx.note_untold(&peers[0], document(number), &number.to_be_bytes()).unwrap();
    }
    tx.note_untold(&peers[0], document(5), b"newer").unwrap();
    let told = tx.tell_untold(&peers[0]).unwrap();
    assert_eq!((told.len() as u64, &told[0][..], &told[2][..]), (max, &3_u64.to_be_bytes()[..], &b"newer"[..]));
    assert_eq!(tx.tell_untold(&peers[1]).unwrap(), [b"other"]);
}
