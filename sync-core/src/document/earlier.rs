//! Frontiers that travel before another one of the same document and generation, packed: heads by their place among the
//! changes that come with them, authors by an index, versions only where they do not follow.
//!
//! What a frontier is expected to be, given those before it, costs nothing: by the same author, one version higher, with one
//! head, which is the change after the furthest one named so far. The layout is in `docs/protocol.md`.

#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        reason = "its input comes from a network or a disk"
    )
)]

use std::collections::BTreeMap;

use super::codec::write_unsigned;
use super::frontier::{Frontier, Heads, SignedFrontier, UnverifiedFrontier};
use super::scan::{ReadError, leb128::Reader};
use crate::id::{ChangeHash, DocumentId, NodeId};
use crate::identity::Signature;
use crate::limits::{FRONTIER_HEADS_MAX, FRONTIERS_MAX};

/// Packed frontiers as they came: claims, and not even read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PackedFrontiers {
    /// Who signed some of them, beside the author of the frontier that they come before: 32 bytes each.
    pub authors: Vec<u8>,
    /// 64 bytes for each frontier.
    pub signatures: Vec<u8>,
    /// Author, version and heads of each.
    pub rows: Vec<u8>,
    /// Heads that did not come along: 32 bytes each.
    pub hashes: Vec<u8>,
}

/// Why packed frontiers cannot be read. Their sender is to blame; nothing was stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EarlierError {
    /// Over [`FRONTIERS_MAX`], with the one that they come before.
    #[error("a batch of {frontiers} frontiers; at most {FRONTIERS_MAX} are taken")]
    TooMany {
        /// How many there are.
        frontiers: usize,
    },
    /// A length, an index or a place that does not fit.
    #[error("a batch of frontiers whose {what} is malformed")]
    Malformed {
        /// What.
        what: &'static str,
    },
}

const fn malformed(what: &'static str) -> EarlierError {
    EarlierError::Malformed { what }
}

impl From<ReadError> for EarlierError {
    fn from(_: ReadError) -> Self {
        malformed("row")
    }
}

/// What the next row is expected to be.
#[derive(Debug, Clone, Copy, Default)]
struct Expected {
    author: usize,
    version: u64,
    place: u64,
}

impl Expected {
    /// After a row of this author and version.
    fn follow(&mut self, author: usize, version: u64) {
        self.author = author;
        self.version = version.saturating_add(1);
    }

    /// After a head at this place.
    fn pass(&mut self, place: u64) {
        self.place = self.place.max(place.saturating_add(1));
    }

    fn first() -> Self {
        Self { author: 0, version: 1, place: 0 }
    }
}

impl PackedFrontiers {
    /// Packs frontiers for a receiver that gets them before one by `last`, with the changes of a batch, in its order.
    #[must_use]
    pub fn pack(frontiers: &[SignedFrontier], last: NodeId, batch: &[ChangeHash]) -> Self {
        let places: BTreeMap<ChangeHash, u64> = batch.iter().copied().zip(0..).collect();
        let (mut authors, mut hashes) = (vec![last], Vec::new());
        let mut packed = Self::default();
        let (mut expected, mut run) = (Expected::first(), 0);
        for signed in frontiers {
            packed.signatures.extend_from_slice(&signed.signature().0);
            let author = index_of(&mut authors, signed.author());
            let (version, heads) = (signed.frontier().version, signed.frontier().heads.hashes());
            let place = |head: &ChangeHash| places.get(head).copied();
            let is_next = matches!(heads, [head] if place(head) == Some(expected.place));
            if is_next && (author, version) == (expected.author, expected.version) {
                run = u64::saturating_add(run, 1);
            } else {
                for number in [run, author as u64, version, heads.len() as u64] {
                    write_unsigned(&mut packed.rows, number);
                }
                run = 0;
                for head in heads {
                    let named = match place(head) {
                        Some(place) => place.saturating_mul(2),
                        None => (index_of(&mut hashes, *head) as u64).saturating_mul(2).saturating_add(1),
                    };
                    write_unsigned(&mut packed.rows, named);
                }
            }
            expected.follow(author, version);
            heads.iter().filter_map(place).for_each(|place| expected.pass(place));
        }
        if run > 0 {
            write_unsigned(&mut packed.rows, run);
        }
        packed.authors = authors.iter().skip(1).flat_map(|author| author.0).collect();
        packed.hashes = hashes.iter().flat_map(|hash| hash.0).collect();
        packed
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.signatures.len() / 64
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.signatures.is_empty()
    }

    /// Bytes of it all.
    #[must_use]
    pub fn bytes(&self) -> usize {
        [&self.authors, &self.signatures, &self.rows, &self.hashes]
            .map(Vec::len)
            .into_iter()
            .fold(0, usize::saturating_add)
    }

    /// Who signed them, beside the author of the frontier that they come before. Checks how many frontiers there are.
    ///
    /// # Errors
    /// [`EarlierError`].
    pub fn authors(&self) -> Result<Vec<NodeId>, EarlierError> {
        let frontiers = self.len().saturating_add(1);
        if frontiers > FRONTIERS_MAX || self.authors.len() / 32 >= FRONTIERS_MAX {
            return Err(EarlierError::TooMany { frontiers });
        }
        let (authors, rest) = self.authors.as_chunks::<32>();
        if rest.is_empty() {
            Ok(authors.iter().copied().map(NodeId).collect())
        } else {
            Err(malformed("list of authors"))
        }
    }

    /// Reads them, given the author of the frontier that they come before and the hashes of the changes that came along.
    ///
    /// # Errors
    /// [`EarlierError`].
    pub fn unpack(
        &self,
        document: DocumentId,
        generation: u32,
        last: NodeId,
        batch: &[ChangeHash],
    ) -> Result<Vec<UnverifiedFrontier>, EarlierError> {
        let authors: Vec<NodeId> = std::iter::once(last).chain(self.authors()?).collect();
        let (hashes, rest) = self.hashes.as_chunks::<32>();
        if !rest.is_empty() {
            return Err(malformed("list of heads"));
        }
        let (signatures, rest) = self.signatures.as_chunks::<64>();
        if !rest.is_empty() {
            return Err(malformed("list of signatures"));
        }
        let at = |place: u64| usize::try_from(place).ok().and_then(|place| batch.get(place).copied());
        let known = |index: u64| usize::try_from(index).ok().and_then(|index| hashes.get(index).copied());
        let mut rows = Reader::new(&self.rows);
        let mut expected = Expected::first();
        let mut run = None;
        let mut frontiers = Vec::with_capacity(signatures.len());
        for signature in signatures {
            let left = match run {
                Some(left) => left,
                None => rows.unsigned()?,
            };
            let mut heads = Vec::new();
            let (author, version) = if let Some(left) = u64::checked_sub(left, 1) {
                run = Some(left);
                heads.push(at(expected.place).ok_or(malformed("place"))?);
                expected.pass(expected.place);
                (expected.author, expected.version)
            } else {
                run = None;
                let author = usize::try_from(rows.unsigned()?).map_err(|_| malformed("author"))?;
                let (version, count) = (rows.unsigned()?, rows.unsigned()?);
                if count > FRONTIER_HEADS_MAX as u64 {
                    return Err(malformed("number of heads"));
                }
                for _ in 0..count {
                    let named = rows.unsigned()?;
                    let index = named / 2;
                    if named % 2 == 0 {
                        heads.push(at(index).ok_or(malformed("place"))?);
                        expected.pass(index);
                    } else {
                        heads.push(ChangeHash(known(index).ok_or(malformed("head"))?));
                    }
                }
                (author, version)
            };
            if version > i64::MAX as u64 {
                return Err(malformed("version"));
            }
            expected.follow(author, version);
            let named = heads.len();
            let heads = Heads::new(heads).filter(|heads| heads.hashes().len() == named).ok_or(malformed("heads"))?;
            frontiers.push(UnverifiedFrontier {
                frontier: Frontier { document, generation, version, heads },
                author: authors.get(author).copied().ok_or(malformed("author"))?,
                signature: Signature(*signature),
                certificates: Vec::new(),
            });
        }
        if run.unwrap_or(0) > 0 || !rows.is_empty() {
            return Err(malformed("end"));
        }
        Ok(frontiers)
    }
}

/// Where `wanted` is in the list, to which it is added if it is not there.
fn index_of<T: PartialEq>(list: &mut Vec<T>, wanted: T) -> usize {
    list.iter().position(|it| *it == wanted).unwrap_or_else(|| {
        list.push(wanted);
        list.len().saturating_sub(1)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::identity::SigningKey;

    const DOCUMENT: DocumentId = DocumentId([1; 16]);

    fn hash(number: u8) -> ChangeHash {
        ChangeHash([number; 32])
    }

    fn keys() -> [SigningKey; 3] {
        [1, 2, 3].map(|seed| SigningKey::from_seed([seed; 32]))
    }

    fn signed(author: usize, version: u64, heads: &[u8]) -> SignedFrontier {
        let heads = Heads::new(heads.iter().map(|head| hash(*head)).collect()).unwrap();
        Frontier { document: DOCUMENT, generation: 3, version, heads }.sign(&keys()[author])
    }

    /// The changes that come along: hashes 0 to 49.
    fn batch() -> Vec<ChangeHash> {
        (0..50).map(hash).collect()
    }

    fn comes_back(frontiers: &[SignedFrontier], last: NodeId) -> PackedFrontiers {
        let packed = PackedFrontiers::pack(frontiers, last, &batch());
        assert_eq!(packed.len(), frontiers.len());
        let unpacked = packed.unpack(DOCUMENT, 3, last, &batch()).unwrap();
        let verified = unpacked.into_iter().map(|claim| {
            let key = keys().into_iter().find(|key| key.node_id() == claim.author).unwrap();
            claim.verify(&key.public()).unwrap()
        });
        assert_eq!(verified.collect::<Vec<_>>(), frontiers);
        packed
    }

    #[test]
    fn a_line_of_edits_by_one_author_costs_its_signatures() {
        let frontiers: Vec<_> = (0..50).map(|number| signed(0, 7 + u64::from(number), &[number])).collect();
        let packed = comes_back(&frontiers, keys()[0].node_id());
        assert_eq!(packed.rows, [0, 0, 7, 1, 0, 49], "one row in full, then 49 as expected");
        assert_eq!(packed.bytes(), 50 * 64 + 6);
    }

    #[test]
    fn merges_name_what_came_by_its_place_and_what_is_held_by_its_hash() {
        let frontiers = [signed(0, 1, &[0]), signed(1, 1, &[9]), signed(0, 2, &[0, 9, 200]), signed(0, 3, &[10])];
        let packed = comes_back(&frontiers, keys()[0].node_id());
        assert_eq!(packed.rows, [1, 1, 1, 1, 18, 0, 0, 2, 3, 0, 18, 1, 1]);
        assert_eq!((packed.authors.len(), packed.hashes), (32, vec![200; 32]));
    }

    #[test]
    fn malformed_rows_are_told_apart() {
        let last = keys()[0].node_id();
        let of = |rows: &[u8]| PackedFrontiers { signatures: vec![5; 128], rows: rows.to_vec(), ..Default::default() };
        let read = |packed: PackedFrontiers| packed.unpack(DOCUMENT, 3, last, &batch()).map(|found| found.len());
        assert_eq!(read(of(&[2])), Ok(2));
        for (what, rows) in [
            ("end", &[3][..]),
            ("end", &[2, 0]),
            ("row", &[1]),
            ("row", &[1, 0, 1, 1]),
            ("heads", &[1, 0, 1, 0]),
            ("heads", &[1, 0, 1, 2, 8, 8]),
            ("number of heads", &[1, 0, 1, 65]),
            ("author", &[1, 1, 1, 1, 0]),
            ("place", &[1, 0, 1, 1, 100]),
            ("head", &[1, 0, 1, 1, 1]),
        ] {
            assert_eq!(read(of(rows)), Err(malformed(what)), "{rows:?}");
        }
        let version = [&[1, 0][..], &[0xff; 9], &[1, 1, 0]].concat();
        assert_eq!(read(of(&version)), Err(malformed("version")));
        let with = |edit: fn(&mut PackedFrontiers)| {
            let mut packed = of(&[2]);
            edit(&mut packed);
            read(packed)
        };
        assert_eq!(with(|it| it.signatures.push(1)), Err(malformed("list of signatures")));
        assert_eq!(with(|it| it.authors.push(1)), Err(malformed("list of authors")));
        assert_eq!(with(|it| it.hashes.push(1)), Err(malformed("list of heads")));
        let many = with(|it| it.signatures.resize(64 * FRONTIERS_MAX, 0));
        assert_eq!(many, Err(EarlierError::TooMany { frontiers: FRONTIERS_MAX + 1 }));
    }

    fn frontiers() -> impl Strategy<Value = Vec<SignedFrontier>> {
        let one = (0..3usize, 1..20u64, prop::collection::btree_set(0..60u8, 1..4));
        let one =
            one.prop_map(|(author, version, heads)| signed(author, version, &heads.into_iter().collect::<Vec<_>>()));
        prop::collection::vec(one, 0..20)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_frontiers_come_back(frontiers in frontiers(), last in 0..3usize) {
            comes_back(&frontiers, keys()[last].node_id());
        }

        #[test]
        fn arbitrary_rows_do_not_panic(rows in prop::collection::vec(any::<u8>(), 0..60), frontiers in 0..40usize) {
            let packed = PackedFrontiers { signatures: vec![0; 64 * frontiers], rows, ..Default::default() };
            if let Ok(found) = packed.unpack(DOCUMENT, 0, NodeId([0; 32]), &batch()) {
                prop_assert_eq!(found.len(), frontiers);
            }
        }
    }
}
