//! Looks at what crashes during a call could leave: which images, how many of each kind of transaction, and what came of them.

use std::collections::{BTreeMap, BTreeSet};

use simulator::disk::images::Kind;
use simulator::disk::{CrashPolicy, DiskImage, Faults, Moment, Operation};

use crate::judge::{Crash, judge};
use crate::machine::{Model, Seeded};
use crate::story::{HUB, NODE, Story};

/// How the images of a run were spread.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// By kind of transaction; an image of a transaction that did several things counts for each.
    pub(crate) kinds: BTreeMap<Kind, u64>,
    /// Distinct images.
    pub(crate) images: u64,
    pub(crate) moments: u64,
    pub(crate) transactions: u64,
    /// Why images failed. A story that must not fail ends with the first.
    pub(crate) failures: Vec<String>,
}

/// How hard to look.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Look {
    /// Images of each transaction at most.
    pub(crate) of_each: u64,
    /// Images of a transaction of a kind of which few were seen.
    pub(crate) of_rare: u64,
    /// Images below which a kind is rare.
    pub(crate) rare: u64,
    /// What the disks do wrong after the beginning.
    pub(crate) faults: Faults,
}

impl Story<'_> {
    /// Looks at crashes at these moments of a call that a machine made; afterwards it owes what `after` says.
    pub(crate) fn look_at(&mut self, who: usize, moments: &[Moment], other: Option<&DiskImage>, after: &Model) {
        self.tally.moments += moments.len() as u64;
        let mut groups: BTreeMap<(u64, BTreeSet<Kind>), Vec<&Moment>> = BTreeMap::new();
        for moment in moments {
            let kinds = self.machines[who].chronicle.kinds(moment);
            if kinds.is_empty() || (moment.operation == Operation::Mark && moments.len() == 1) {
                continue;
            }
            let number = moment.transaction - u64::from(moment.operation == Operation::Mark);
            groups.entry((number, kinds)).or_default().push(moment);
        }
        for ((_, kinds), moments) in groups {
            self.tally.transactions += 1;
            let is_rare = kinds.iter().any(|kind| self.tally.kinds.get(kind).copied().unwrap_or(0) < self.look.rare);
            let wanted = if is_rare { self.look.of_rare } else { self.look.of_each };
            let mut looked = 0;
            for _ in 0..wanted * 2 {
                if looked == wanted {
                    break;
                }
                let moment = moments[usize::try_from(self.looks.below(moments.len() as u64)).unwrap()];
                let image = moment.image(policy(&mut self.looks), &mut self.looks.0);
                if !self.seen.insert(*image.hash().as_bytes()) {
                    continue;
                }
                looked += 1;
                self.look_at_one(who, moment, &image, other, after);
            }
            self.tally.images += looked;
            kinds.into_iter().for_each(|kind| *self.tally.kinds.entry(kind).or_default() += looked);
        }
    }

    fn look_at_one(
        &mut self,
        who: usize,
        moment: &Moment,
        image: &DiskImage,
        other: Option<&DiskImage>,
        after: &Model,
    ) {
        let machine = &self.machines[who];
        let crash = Crash {
            who,
            members: [&self.machines[NODE].member, &self.machines[HUB].member],
            image,
            moment,
            chronicle: &machine.chronicle,
            other,
            before: &machine.model,
            after,
            forked: self.forked,
        };
        let mut entropy = Seeded::new(self.looks.0.next_u64());
        let judged = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| judge(&crash, &mut entropy)));
        match judged {
            Ok(Ok(())) => {}
            Ok(Err(error)) => self.fail(who, Some(moment), &error),
            Err(_) => self.fail(who, Some(moment), "it panicked"),
        }
    }

    /// Notes what is wrong, and where.
    pub(crate) fn fail(&mut self, who: usize, moment: Option<&Moment>, error: &str) {
        let place = moment.map_or_else(String::new, |moment| {
            let kinds = self.machines[who].chronicle.kinds(moment);
            format!("{:?} of {} in transaction {} {kinds:?}: ", moment.operation, moment.file, moment.transaction)
        });
        let name = if who == HUB { "hub" } else { "node" };
        let seed = self.seed;
        self.tally.failures.push(format!("SEED={seed}, {name}, forked {}, {place}{error}", self.forked));
    }
}

fn policy(random: &mut Seeded) -> CrashPolicy {
    match random.below(8) {
        0 => CrashPolicy::Lost,
        1 => CrashPolicy::Kept,
        2 | 3 => CrashPolicy::Prefix,
        4 => CrashPolicy::Scattered { kept: 20, garbled: 20 },
        5 => CrashPolicy::Scattered { kept: 50, garbled: 50 },
        6 => CrashPolicy::Scattered { kept: 95, garbled: 3 },
        _ => CrashPolicy::Scattered { kept: 50, garbled: 10 },
    }
}
