//! The real engine after a power loss at any moment of any kind of transaction: it opens, is whole, has lost nothing that
//! anybody counts on, has sent nothing that was not durable, and goes on (invariants 1 and 2).
//!
//! A hub and a node on simulated disks go through stories drawn from a seed. After each operation of a disk, images of what a
//! crash could leave are started by the real code beside the other machine as it was. `IMAGES` says how many, `SEED` with which
//! story to begin; a failure names its story, which the same `IMAGES` with its `SEED` repeats.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "crash_images/judge.rs"]
mod judge;
#[path = "crash_images/look.rs"]
mod look;
#[path = "crash_images/machine.rs"]
mod machine;
#[path = "crash_images/story.rs"]
mod story;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use simulator::disk::Faults;
use simulator::disk::images::Kind;

use look::{Look, Tally};
use story::Story;

/// Images in a run that nobody asked for more.
const IMAGES: u64 = 400;

/// Stories that may be told for the images that are asked for, each.
const IMAGES_OF_A_STORY: u64 = 20;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.images += other.images;
        self.moments += other.moments;
        self.transactions += other.transactions;
        self.failures.extend(other.failures);
        other.kinds.into_iter().for_each(|(kind, images)| *self.kinds.entry(kind).or_default() += images);
    }

    fn of(&self, kind: Kind) -> u64 {
        self.kinds.get(&kind).copied().unwrap_or(0)
    }

    fn print(&self) {
        println!("{:<16} images", "transaction");
        Kind::ALL.into_iter().for_each(|kind| println!("{:<16} {:>6}", kind.name(), self.of(kind)));
        let Self { images, moments, transactions, .. } = self;
        println!("{images} distinct images of {transactions} transactions with {moments} moments");
    }
}

#[test]
fn whatever_a_power_loss_leaves_the_engine_has_lost_nothing_and_goes_on() {
    let (images, first) = (number("IMAGES", IMAGES), number("SEED", 1));
    let least = (images / 250).clamp(1, 2_000);
    println!("SEED={first} IMAGES={images}, at least {least} of each kind");
    let look = if images <= 1_000 {
        Look { of_each: 1, of_rare: 4, rare: least * 4, faults: Faults::default() }
    } else {
        Look { of_each: 6, of_rare: 20, rare: least * 2, faults: Faults::default() }
    };
    let (next, all) = (AtomicU64::new(first), Mutex::new(Tally::default()));
    let stories = 8 + images / IMAGES_OF_A_STORY;
    let started = std::time::Instant::now();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    let is_enough = {
                        let all = all.lock().unwrap();
                        let has_each = Kind::ALL.into_iter().all(|kind| all.of(kind) >= least);
                        (all.images >= images && has_each) || !all.failures.is_empty()
                    };
                    if is_enough || seed >= first + stories {
                        return;
                    }
                    let mut tally = Tally::default();
                    Story::new(seed, look, &mut tally).play();
                    all.lock().unwrap().add(tally);
                }
            });
        }
    });
    let tally = all.into_inner().unwrap();
    tally.print();
    let seconds = started.elapsed().as_secs_f64();
    println!("{:.0} s, {:.0} images a second on {threads} threads", seconds, tally.images as f64 / seconds);
    assert!(tally.failures.is_empty(), "{} images failed:\n{}", tally.failures.len(), tally.failures.join("\n"));
    assert!(tally.images >= images, "only {} images", tally.images);
    let few: Vec<_> = Kind::ALL.into_iter().filter(|kind| tally.of(*kind) < least).map(Kind::name).collect();
    assert!(few.is_empty(), "fewer than {least} images of {few:?}");
}

/// The same stories on disks whose syncs do nothing: this check can fail.
#[test]
fn on_disks_whose_syncs_lie_the_same_check_finds_losses() {
    let faults = Faults { lying_syncs: true, ..Faults::default() };
    let look = Look { of_each: 1, of_rare: 2, rare: 1, faults };
    let mut tally = Tally::default();
    Story::new(1, look, &mut tally).play();
    let found = |text: &str| tally.failures.iter().filter(|failure| failure.contains(text)).count();
    println!("{} of {} images, {} sendings", tally.failures.len(), tally.images, found("left before"));
    assert!(found("from what is allowed") > 0, "{:?}", tally.failures);
    assert!(found("left before it was durable") > 0, "{:?}", tally.failures);
}
