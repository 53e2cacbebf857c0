//! Edits of a layer by two hubs, each with its frontier, to be sent as one batch: honest batches and bad ones.
//!
//! Include it from an integration test with `#[path = "crafted/lines.rs"] mod lines;`, beside `door`.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use automerge::transaction::Transactable;
use automerge::{AutoCommit, ROOT};
use sync_core::document::{Codec, DocumentKey, Frontier, Heads, PackedFrontiers, SignedFrontier};
use sync_core::id::{ChangeHash, NodeId};
use sync_core::identity::Identity;
use sync_core::limits::FRONTIERS_MAX;
use sync_core::wire::{DeltaFrame, Reason};

use crate::door::{claim, document_of, frontier, hash_of, heads_of, pack};
use crate::world::layer_key;

/// One change and the frontier that was signed above it.
#[derive(Debug, Clone)]
pub(crate) struct Edit {
    pub(crate) change: Vec<u8>,
    pub(crate) frontier: SignedFrontier,
}

/// A layer that two hubs write.
pub(crate) struct Lines<'a> {
    hubs: [&'a Identity; 2],
    documents: [AutoCommit; 2],
    pub(crate) edits: Vec<Edit>,
}

pub(crate) fn layer() -> DocumentKey {
    layer_key("base")
}

impl<'a> Lines<'a> {
    pub(crate) fn new(hubs: [&'a Identity; 2]) -> Self {
        let documents = hubs.map(|hub| document_of(&layer(), hub.id(), 1));
        Self { hubs, documents, edits: Vec::new() }
    }

    /// An edit by one of the two, above what the other has written, or beside it.
    pub(crate) fn edit(&mut self, by: usize, is_above_other: bool) {
        let mut other = self.documents[1 - by].clone();
        let document = &mut self.documents[by];
        if is_above_other {
            document.merge(&mut other).unwrap();
        }
        let number = self.edits.len();
        document.put(ROOT, format!("field-{}", number % 3), number as u64).unwrap();
        document.commit();
        let change = document.get_changes(&[]).last().unwrap().raw_bytes().to_vec();
        let version = 1 + self.edits.iter().filter(|edit| edit.frontier.author() == self.hubs[by].id()).count() as u64;
        let frontier = Frontier { version, ..frontier(&layer(), heads_of(document)) };
        self.edits.push(Edit { change, frontier: frontier.sign(self.hubs[by].key()) });
    }
}

/// All of them as one batch.
pub(crate) fn together(edits: &[Edit]) -> DeltaFrame {
    let changes: Vec<Vec<u8>> = edits.iter().map(|edit| edit.change.clone()).collect();
    let frontiers: Vec<SignedFrontier> = edits.iter().map(|edit| edit.frontier.clone()).collect();
    batch(&changes, &frontiers)
}

/// These frontiers over one batch of these changes.
pub(crate) fn batch(changes: &[Vec<u8>], frontiers: &[SignedFrontier]) -> DeltaFrame {
    let hashes: Vec<ChangeHash> = changes.iter().map(|change| hash_of(change)).collect();
    let (last, earlier) = frontiers.split_last().unwrap();
    DeltaFrame {
        key: layer(),
        generation: 0,
        codec: Codec::RawZstd,
        changes: pack(changes),
        frontier: Some(claim(last)),
        earlier: PackedFrontiers::pack(earlier, last.author(), &hashes),
        roots: Vec::new(),
        part: None,
    }
}

/// Batches of two hubs' frontiers that are to be refused, with the reason and words of the message.
pub(crate) fn bad(hubs: [&Identity; 2], node: &Identity) -> Vec<(&'static str, DeltaFrame, Reason, &'static str)> {
    use Reason::{Disconnected, Malformed, NotBelow, NotTheAuthor, Signature, TooLarge, UnknownAuthor};
    let mut lines = Lines::new(hubs);
    for (by, is_above_other) in [(0, false), (1, true), (0, true), (0, false), (0, false)] {
        lines.edit(by, is_above_other);
    }
    let (edits, above) = lines.edits.split_at(4);
    let honest = together(edits);
    let edit = |edit: &dyn Fn(&mut DeltaFrame)| {
        let mut frame = honest.clone();
        edit(&mut frame);
        frame
    };
    let changes: Vec<Vec<u8>> = edits.iter().map(|edit| edit.change.clone()).collect();
    let with_second = |second: SignedFrontier| {
        let mut frontiers: Vec<_> = edits.iter().map(|edit| edit.frontier.clone()).collect();
        frontiers[1] = second;
        batch(&changes, &frontiers)
    };
    let elsewhere = frontier(&layer(), vec![ChangeHash([7; 32])]);
    let second = edits[1].frontier.frontier().clone();
    let [first, id] = [hubs[0].id(), node.id()];
    let all_changes: Vec<Vec<u8>> = edits.iter().chain(above).map(|edit| edit.change.clone()).collect();
    vec![
        ("a place out of range", edit(&|it| it.earlier.rows = vec![0, 0, 1, 1, 100]), Malformed, "place"),
        ("a place twice", edit(&|it| it.earlier.rows = vec![0, 0, 1, 2, 0, 0]), Malformed, "heads"),
        ("a hash out of range", edit(&|it| it.earlier.rows = vec![0, 0, 1, 1, 1]), Malformed, "head"),
        ("no heads", edit(&|it| it.earlier.rows = vec![0, 0, 1, 0]), Malformed, "heads"),
        ("an author out of range", edit(&|it| it.earlier.rows = vec![0, 9, 1, 1, 0]), Malformed, "author"),
        ("a row too many", edit(&|it| it.earlier.rows.push(0)), Malformed, "end"),
        ("half a row", edit(&|it| it.earlier.rows.truncate(it.earlier.rows.len() - 1)), Malformed, "row"),
        ("half a signature", edit(&|it| it.earlier.signatures.truncate(3 * 64 - 1)), Malformed, "list of signatures"),
        ("half an author", edit(&|it| it.earlier.authors.truncate(31)), Malformed, "list of authors"),
        (
            "too many frontiers",
            edit(&|it| it.earlier.signatures.resize(64 * FRONTIERS_MAX, 0)),
            TooLarge,
            "at most 256 are taken",
        ),
        ("the third is forged", edit(&|it| it.earlier.signatures[2 * 64] ^= 1), Signature, "frontier 2 of 4"),
        (
            "the last is forged",
            edit(&|it| it.frontier.as_mut().unwrap().signature.0[0] ^= 1),
            Signature,
            "the signature",
        ),
        (
            "one in another's name",
            edit(&|it| it.earlier.authors = first.0.to_vec()),
            Signature,
            "frontier 1 of 4: the signature",
        ),
        (
            "one in nobody's name",
            edit(&|it| it.earlier.authors = NodeId([9; 32]).0.to_vec()),
            UnknownAuthor,
            "is not known here",
        ),
        ("one by the sender", with_second(second.clone().sign(node.key())), NotTheAuthor, "may not write"),
        ("one in the sender's name", edit(&|it| it.earlier.authors = id.0.to_vec()), NotTheAuthor, "may not write"),
        ("a head that is not in the batch", with_second(elsewhere.sign(hubs[1].key())), NotBelow, "frontier 1 of 4"),
        (
            "heads of another document",
            with_second(elsewhere_document(&second).sign(hubs[1].key())),
            Signature,
            "1 of 4",
        ),
        ("a change above them all", edit(&|it| it.changes = pack(&all_changes)), NotBelow, "exactly"),
        ("the first change is missing", edit(&|it| it.changes = pack(&changes[1..])), Disconnected, "change 0"),
    ]
}

/// The same heads, of a document that is not the batch's: what is signed names the document, what travels does not.
fn elsewhere_document(frontier: &Frontier) -> Frontier {
    let heads = Heads::new(frontier.heads.hashes().to_vec()).unwrap();
    Frontier { document: layer_key("other").id(), heads, ..frontier.clone() }
}
