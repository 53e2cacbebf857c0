//! Which items of an old list become which items of a new one.

use std::collections::BTreeMap;

use serde_json::Value;

use super::tree::Entry;
use crate::{
    limits::LIST_DIFFERENCE_PAIRS_MAX,
    state::natural_key::{ListField, NaturalKey, natural_key},
};

/// Pairs of (old position, new position), both rising: items that stay, to be updated in place. Old items without a pair
/// go, new ones without a pair come.
pub(super) fn matches(old: &[Entry], new: &[Value], field: ListField<'_>) -> Vec<(usize, usize)> {
    match natural_key(field, new) {
        Some(key) => by_key(old, new, key).unwrap_or_else(|| by_content(old, new)),
        None => by_content(old, new),
    }
}

/// Pairs of items with the same key, as many as keep their order; `None` when the old list is not keyed.
fn by_key(old: &[Entry], new: &[Value], key: NaturalKey) -> Option<Vec<(usize, usize)>> {
    let mut positions = BTreeMap::new();
    for (position, entry) in old.iter().enumerate() {
        let repeated = positions.insert(key.of_fields(|name| entry.node.scalar_field(name))?, position);
        if repeated.is_some() {
            return None;
        }
    }
    let position = |item| positions.get(&key.of_item(item)?).copied();
    Some(longest_rising(new.iter().enumerate().filter_map(|(n, item)| Some((position(item)?, n))).collect()))
}

/// The longest subsequence of `pairs` whose first parts rise (patience sorting, O(n log n)).
fn longest_rising(pairs: Vec<(usize, usize)>) -> Vec<(usize, usize)> {
    // For each length: the pair that ends the best chain of that length, and for each pair the one before it.
    let mut ends: Vec<usize> = Vec::new();
    let mut before: Vec<Option<usize>> = Vec::with_capacity(pairs.len());
    let old = |index: usize| pairs.get(index).map(|pair| pair.0);
    for index in 0..pairs.len() {
        let length = ends.partition_point(|end| old(*end) < old(index));
        before.push(length.checked_sub(1).and_then(|shorter| ends.get(shorter)).copied());
        match ends.get_mut(length) {
            Some(end) => *end = index,
            None => ends.push(index),
        }
    }
    let mut chain: Vec<_> = std::iter::successors(ends.last().copied(), |index| before.get(*index).copied().flatten())
        .filter_map(|index| pairs.get(index).copied())
        .collect();
    chain.reverse();
    chain
}

/// Pairs of equal items by longest common subsequence; between two of them, item over item.
fn by_content(old: &[Entry], new: &[Value]) -> Vec<(usize, usize)> {
    let equal = |(old, new): (&Entry, &Value)| old.node.is(new);
    let prefix = old.iter().zip(new).take_while(|pair| equal(*pair)).count();
    let (old_rest, new_rest) = (old.get(prefix..).unwrap_or_default(), new.get(prefix..).unwrap_or_default());
    let suffix = old_rest.iter().rev().zip(new_rest.iter().rev()).take_while(|pair| equal(*pair)).count();
    let old_middle = old_rest.get(..old_rest.len() - suffix).unwrap_or_default();
    let new_middle = new_rest.get(..new_rest.len() - suffix).unwrap_or_default();

    let mut pairs: Vec<_> = (0..prefix).map(|n| (n, n)).collect();
    let mut next = (prefix, prefix);
    let ends = (old.len() - suffix, new.len() - suffix);
    let common = longest_common(old_middle, new_middle).into_iter().map(|(o, n)| (o + prefix, n + prefix));
    for (o, n) in common.chain([ends]) {
        pairs.extend((next.0..o).zip(next.1..n));
        if (o, n) != ends {
            pairs.push((o, n));
        }
        next = (o + 1, n + 1);
    }
    pairs.extend((0..suffix).map(|n| (ends.0 + n, ends.1 + n)));
    pairs
}

/// The longest common subsequence; none when the table would be too large.
fn longest_common(old: &[Entry], new: &[Value]) -> Vec<(usize, usize)> {
    if old.is_empty() || new.is_empty() || old.len().saturating_mul(new.len()) > LIST_DIFFERENCE_PAIRS_MAX {
        return Vec::new();
    }
    // lengths[o][n]: of the longest common subsequence of old[o..] and new[n..]; `same` keeps what was compared.
    let width = new.len() + 1;
    let mut lengths = vec![0_u32; (old.len() + 1) * width];
    let mut same = vec![false; old.len() * new.len()];
    let at = |lengths: &[u32], o: usize, n: usize| lengths.get(o * width + n).copied().unwrap_or(0);
    for (o, old) in old.iter().enumerate().rev() {
        for (n, item) in new.iter().enumerate().rev() {
            let equal = old.node.is(item);
            let length =
                if equal { at(&lengths, o + 1, n + 1) + 1 } else { at(&lengths, o + 1, n).max(at(&lengths, o, n + 1)) };
            if let Some(slot) = lengths.get_mut(o * width + n) {
                *slot = length;
            }
            if let Some(slot) = same.get_mut(o * new.len() + n) {
                *slot = equal;
            }
        }
    }
    let (mut o, mut n, mut pairs) = (0, 0, Vec::new());
    while o < old.len() && n < new.len() {
        if same.get(o * new.len() + n) == Some(&true) {
            pairs.push((o, n));
            (o, n) = (o + 1, n + 1);
        } else if at(&lengths, o + 1, n) >= at(&lengths, o, n + 1) {
            o += 1;
        } else {
            n += 1;
        }
    }
    pairs
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{super::tree::Node, *};

    fn entries(values: &[u8]) -> Vec<Entry> {
        values.iter().map(|value| Entry { node: Node::Scalar((*value).into()), conflict: false }).collect()
    }

    fn values(values: &[u8]) -> Vec<Value> {
        values.iter().map(|value| (*value).into()).collect()
    }

    #[test]
    fn as_few_items_as_possible_move() {
        assert_eq!(longest_rising(vec![(2, 0), (0, 1), (1, 2), (3, 3)]), [(0, 1), (1, 2), (3, 3)]);
        assert_eq!(longest_rising(vec![]), []);
    }

    #[test]
    fn between_equal_items_item_stands_over_item() {
        let pairs = by_content(&entries(&[1, 2, 3, 4]), &values(&[1, 9, 4, 5]));
        assert_eq!(pairs, [(0, 0), (1, 1), (3, 2)]);
    }

    #[test]
    fn lists_too_long_to_compare_keep_their_equal_ends() {
        let old: Vec<u8> = (0..2000_u16).map(|n| (n % 7) as u8).collect();
        let new: Vec<u8> = std::iter::once(100).chain(old.iter().copied()).collect();
        let pairs = by_content(&entries(&old), &values(&new));
        assert_eq!(pairs.len(), 2000);
        assert_eq!(pairs.first(), Some(&(0, 1)));
        let reversed: Vec<u8> = new.iter().rev().copied().collect();
        assert_eq!(by_content(&entries(&old), &values(&reversed)).len(), 2000);
    }

    proptest! {
        #[test]
        fn pairs_rise_on_both_sides(old in prop::collection::vec(0..4_u8, 0..12), new in prop::collection::vec(0..4_u8, 0..12)) {
            let pairs = by_content(&entries(&old), &values(&new));
            prop_assert!(pairs.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 < pair[1].1));
            prop_assert!(pairs.iter().all(|(o, n)| *o < old.len() && *n < new.len()));
        }
    }
}
