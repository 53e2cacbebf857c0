//! Simpler values: a shorter run, better links, plain disks and clocks, less of everything.

use std::time::Duration;

use super::Search;
use crate::plan::{Action, Event, Name, Plan, PlannedClock};
use crate::scenario::{Disk, Link, Share, Span};

/// No run is made shorter than this: what a plan does must have time to show.
const HEAL_AT_MIN: Duration = Duration::from_secs(60);

/// Single events are made simpler once there are no more than this: with more, each costs a try for little.
const SINGLE_EVENTS_MAX: usize = 32;

/// A way to make a plan simpler.
type Simpler = fn(&mut Plan);

/// What is tried on the plan as a whole.
const WHOLE: [(&str, Simpler); 6] = [
    ("every node joins at the start", |plan| {
        plan.events.iter_mut().filter(|event| event.action == Action::Join).for_each(|event| event.at = Duration::ZERO);
        plan.events.sort_unstable();
    }),
    ("plain disks", |plan| {
        plan.hubs.iter_mut().for_each(|hub| hub.disk = Disk::default());
        plan.nodes.iter_mut().for_each(|node| node.disk = Disk::default());
    }),
    ("true clocks", |plan| {
        let clock = PlannedClock { offset: Default::default(), drift: Default::default(), keeps_time: true };
        plan.hubs.iter_mut().for_each(|hub| hub.clock = clock);
        plan.nodes.iter_mut().for_each(|node| node.clock = clock);
    }),
    ("no labels, one workload", |plan| {
        for node in &mut plan.nodes {
            node.labels.clear();
            node.workloads = 1;
        }
    }),
    ("layers of one small object", |plan| {
        for layer in &mut plan.layers {
            layer.objects = 1;
            layer.size.0 = layer.size.0.min(1000);
        }
    }),
    ("no bound on freshness", |plan| plan.fresh_within = None),
];

/// What something is called, and how it is made simpler.
type SimplerLink = (&'static str, fn(&mut Link));

/// What is tried on each kind of link.
const LINKS: [SimplerLink; 6] = [
    ("a good line", |link| *link = Link::default()),
    ("no loss", |link| {
        link.loss = Share::default();
        link.loss_burst = 1;
    }),
    ("no duplication, reordering and corruption", |link| {
        link.duplication = Share::default();
        link.reordering = Share::default();
        link.corruption = Share::default();
    }),
    ("no jitter", |link| link.jitter = Span::default()),
    ("no limits", |link| {
        let Link { to_hub, to_node, queue, mtu, nat_idle, daily_quota, .. } = Link::default();
        (link.to_hub, link.to_node, link.queue, link.mtu) = (to_hub, to_node, queue, mtu);
        (link.nat_idle, link.daily_quota) = (nat_idle, daily_quota);
    }),
    ("short latency", |link| link.latency = Link::default().latency),
];

/// Makes values of the smallest plan simpler where it still fails.
pub(super) fn simplify(search: &mut Search<'_>) {
    shorten(search);
    for (what, simpler) in WHOLE {
        let mut plan = search.smallest.clone();
        simpler(&mut plan);
        search.try_plan(|| what.to_owned(), plan);
    }
    let profiles: Vec<Name> = search.smallest.profiles.keys().cloned().collect();
    for name in profiles {
        for (what, simpler) in LINKS {
            let mut plan = search.smallest.clone();
            if let Some(link) = plan.profiles.get_mut(&name) {
                simpler(link);
            }
            search.try_plan(|| format!("{what} for {name}"), plan);
        }
    }
    simplify_events(search);
}

/// Heals earlier: right after the last thing that happens, then at half the time again and again.
pub(super) fn shorten(search: &mut Search<'_>) {
    let last = last_moment(&search.smallest);
    if let Some(after) = last.checked_add(Duration::from_secs(60)).filter(|after| *after < search.smallest.heal_at) {
        let plan = healed_at(&search.smallest, after.max(HEAL_AT_MIN));
        search.try_plan(|| format!("healed at {}", Span(after)), plan);
    }
    let mut gap = search.smallest.heal_at / 2;
    while gap >= Duration::from_secs(1) && search.left > 0 {
        let at = Duration::from_secs(search.smallest.heal_at.saturating_sub(gap).as_secs()).max(HEAL_AT_MIN);
        let shorter = at < search.smallest.heal_at;
        let plan = healed_at(&search.smallest, at);
        if !shorter || !search.try_plan(|| format!("healed at {}", Span(at)), plan) {
            gap /= 2;
        }
        if gap < search.smallest.heal_at / 16 {
            return;
        }
    }
}

/// When the last event or change of a link that says something is over, healing aside.
fn last_moment(plan: &Plan) -> Duration {
    let ends = plan.events.iter().map(|event| event.at.saturating_add(event.action.lasts().unwrap_or_default()));
    let changes = plan.links.iter().flat_map(|link| link.changes.get(link.told()).unwrap_or_default());
    ends.chain(changes.map(|change| change.at)).max().unwrap_or_default()
}

/// The plan with an earlier healing. What would come later is gone, nodes that would join later too.
fn healed_at(plan: &Plan, at: Duration) -> Plan {
    let mut plan = plan.clone();
    (plan.heal_at, plan.duration) = (at, at + plan.heal_within);
    let late: std::collections::BTreeSet<Name> =
        plan.events.iter().filter(|it| it.action == Action::Join && it.at >= at).map(|it| it.on.clone()).collect();
    plan.nodes.retain(|node| !late.contains(&node.name));
    plan.links.retain(|link| !late.contains(&link.from));
    let about = |event: &Event| matches!(&event.action, Action::Revoke { node } if late.contains(node));
    plan.events.retain(|event| event.at < at && !late.contains(&event.on) && !about(event));
    for link in &mut plan.links {
        let preferred = link.preferred();
        link.settle(at, &preferred);
    }
    plan
}

fn simplify_events(search: &mut Search<'_>) {
    if search.smallest.size().events > SINGLE_EVENTS_MAX {
        return;
    }
    let mut place = 0;
    while place < search.smallest.events.len() && search.left > 0 {
        let fewer = |event: &mut Event| {
            event.action.amount_mut().map(|amount| std::mem::replace(amount, 1));
        };
        let shorter = |event: &mut Event| {
            if let Some(lasts) = event.action.lasts_mut().filter(|lasts| lasts.as_secs() > 1) {
                *lasts = Duration::from_secs(lasts.as_secs() / 2);
            }
        };
        let plain = |event: &mut Event| {
            if let Action::Edit { add, remove, .. } = &mut event.action {
                (*add, *remove) = (0, 0);
            }
        };
        change(search, place, "fewer things", fewer);
        change(search, place, "nothing added or removed", plain);
        // Six times by half is 64 times shorter; what needs less than that is told apart by nobody.
        let mut halvings = 0;
        while halvings < 6 && change(search, place, "half as long", shorter) {
            halvings += 1;
        }
        place += 1;
    }
}

fn change(search: &mut Search<'_>, place: usize, what: &str, simpler: impl Fn(&mut Event)) -> bool {
    let mut plan = search.smallest.clone();
    let Some(event) = plan.events.get_mut(place) else { return false };
    simpler(event);
    let name = format!("{what}: {} on {}", event.action.name(), event.on);
    plan.events.sort_unstable();
    plan.events.dedup();
    search.try_plan(|| name, plan)
}
