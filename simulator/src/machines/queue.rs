//! What is to happen, by time; at one time in the order in which it was put there.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use super::Micros;

/// A queue of events.
#[derive(Debug)]
pub(super) struct Queue<T> {
    heap: BinaryHeap<Slot<T>>,
    put: u64,
}

#[derive(Debug)]
struct Slot<T> {
    at: Micros,
    number: u64,
    what: T,
}

impl<T> Queue<T> {
    pub(super) fn new() -> Self {
        Self { heap: BinaryHeap::new(), put: 0 }
    }

    pub(super) fn put(&mut self, at: Micros, what: T) {
        self.put += 1;
        self.heap.push(Slot { at, number: self.put, what });
    }

    /// When the next one is.
    pub(super) fn next_at(&self) -> Option<Micros> {
        self.heap.peek().map(|slot| slot.at)
    }

    pub(super) fn pop(&mut self) -> Option<(Micros, T)> {
        self.heap.pop().map(|slot| (slot.at, slot.what))
    }
}

impl<T> PartialEq for Slot<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<T> Eq for Slot<T> {}

impl<T> PartialOrd for Slot<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The earliest is the greatest, as the heap gives that first.
impl<T> Ord for Slot<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.number).cmp(&(self.at, self.number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_at_one_time_comes_in_the_order_in_which_it_was_put() {
        let mut queue = Queue::new();
        for (at, what) in [(5, 'c'), (3, 'a'), (5, 'd'), (3, 'b')] {
            queue.put(at, what);
        }
        let came: String = std::iter::from_fn(|| queue.pop()).map(|(_, what)| what).collect();
        assert_eq!(came, "abcd");
    }
}
