//! The bytes of a file, in pages that copies share: a copy of a disk costs what differs later.

use std::fmt;
use std::sync::{Arc, LazyLock};

const PAGE_BYTES: usize = 4096;

type Page = [u8; PAGE_BYTES];

static ZEROS: LazyLock<Arc<Page>> = LazyLock::new(|| Arc::new([0; PAGE_BYTES]));

#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Content {
    pages: Vec<Arc<Page>>,
    /// What lies behind it in the last page is zero.
    length: u64,
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.length)
    }
}

/// The parts of pages that `bytes` bytes from `offset` on lie in: page, place in it, length.
fn parts(offset: u64, bytes: usize) -> impl Iterator<Item = (usize, usize, usize)> {
    let start = usize::try_from(offset).unwrap_or(usize::MAX);
    let end = start.saturating_add(bytes);
    let first = start / PAGE_BYTES;
    let pages = if bytes == 0 { first..first } else { first..end.div_ceil(PAGE_BYTES) };
    pages.map(move |page| {
        let from = start.max(page * PAGE_BYTES);
        let to = end.min((page + 1) * PAGE_BYTES);
        (page, from - page * PAGE_BYTES, to - from)
    })
}

impl Content {
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// How much there was before the end.
    pub(super) fn read(&self, offset: u64, target: &mut [u8]) -> usize {
        let there = usize::try_from(self.length.saturating_sub(offset)).unwrap_or(usize::MAX);
        let length = there.min(target.len());
        let mut rest = &mut target[..length];
        for (page, from, bytes) in parts(offset, length) {
            let (part, tail) = rest.split_at_mut(bytes);
            part.copy_from_slice(&self.pages[page][from..from + bytes]);
            rest = tail;
        }
        length
    }

    pub(super) fn write(&mut self, offset: u64, mut bytes: &[u8]) {
        let end = offset + bytes.len() as u64;
        if end > self.length {
            self.resize(end);
        }
        for (page, from, length) in parts(offset, bytes.len()) {
            let (part, tail) = bytes.split_at(length);
            Arc::make_mut(&mut self.pages[page])[from..from + length].copy_from_slice(part);
            bytes = tail;
        }
    }

    pub(super) fn resize(&mut self, length: u64) {
        let pages = usize::try_from(length.div_ceil(PAGE_BYTES as u64)).unwrap_or(usize::MAX);
        let end = usize::try_from(length % PAGE_BYTES as u64).unwrap_or(0);
        if length < self.length
            && end > 0
            && let Some(last) = self.pages.get_mut(pages - 1)
        {
            Arc::make_mut(last)[end..].fill(0);
        }
        self.pages.resize_with(pages, || Arc::clone(&ZEROS));
        self.length = length;
    }

    pub(super) fn flip(&mut self, byte: u64, bit: u8) {
        let mut value = [0];
        if self.read(byte, &mut value) == 1 {
            self.write(byte, &[value[0] ^ (1 << (bit % 8))]);
        }
    }

    pub(super) fn hash_into(&self, hasher: &mut blake3::Hasher) {
        hasher.update(&self.length.to_le_bytes());
        self.pages.iter().for_each(|page| {
            hasher.update(page.as_slice());
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Debug, Clone)]
    enum Step {
        Write(u64, Vec<u8>),
        Resize(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0..20_000_u64, proptest::collection::vec(any::<u8>(), 0..9_000))
                .prop_map(|(at, bytes)| Step::Write(at, bytes)),
            (0..20_000_u64).prop_map(Step::Resize),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        #[test]
        fn a_file_in_pages_is_a_vector_of_bytes(steps in proptest::collection::vec(step(), 1..12)) {
            let (mut paged, mut plain) = (Content::default(), Vec::new());
            let mut copies = Vec::new();
            for step in steps {
                match step {
                    Step::Write(at, bytes) => {
                        let at_least = at as usize + bytes.len();
                        plain.resize(plain.len().max(at_least), 0);
                        plain[at as usize..at_least].copy_from_slice(&bytes);
                        paged.write(at, &bytes);
                    }
                    Step::Resize(length) => {
                        plain.resize(length as usize, 0);
                        paged.resize(length);
                    }
                }
                copies.push((paged.clone(), plain.clone()));
            }
            for (paged, plain) in copies {
                prop_assert_eq!(paged.length(), plain.len() as u64);
                let mut read = vec![1; plain.len() + 10];
                prop_assert_eq!(paged.read(0, &mut read), plain.len());
                prop_assert_eq!(&read[..plain.len()], &plain[..]);
                let mut part = vec![1; 5_000];
                let length = paged.read(3_000, &mut part);
                prop_assert_eq!(&part[..length], &plain[3_000.min(plain.len())..8_000.min(plain.len())]);
            }
        }
    }
}
