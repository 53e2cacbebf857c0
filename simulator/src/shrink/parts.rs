//! What a plan can do without: each kind of part, how many there are, and the plan without some of them.

use std::collections::BTreeSet;
use std::ops::Range;

use crate::plan::{Action, Event, Name, Plan};

/// A kind of part that a plan can do without. The number of one is its place in the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// Nodes, with everything that happens to them.
    Nodes,
    /// Hubs but the first, with everything that happens to them; and nodes that reach no other.
    Hubs,
    /// All events of one kind that is trouble.
    FaultKinds,
    /// All events of one kind that is work.
    WorkKinds,
    /// Single events.
    Events,
    /// All changes of one link.
    Links,
    /// Single changes of links.
    LinkChanges,
    /// Layers, with their edits and assignments.
    Layers,
}

impl Part {
    /// All kinds, what takes the most away first.
    pub(super) const ALL: [Self; 8] = [
        Self::Nodes,
        Self::Hubs,
        Self::FaultKinds,
        Self::Links,
        Self::WorkKinds,
        Self::Events,
        Self::LinkChanges,
        Self::Layers,
    ];

    /// How many there are.
    pub(super) fn count(self, plan: &Plan) -> usize {
        match self {
            Self::Nodes => plan.nodes.len(),
            Self::Hubs => plan.hubs.len().saturating_sub(1),
            Self::FaultKinds => kinds(plan, false).len(),
            Self::WorkKinds => kinds(plan, true).len(),
            Self::Events => plan.events.iter().filter(|event| event.action != Action::Join).count(),
            Self::Links => plan.links.iter().filter(|link| !link.told().is_empty()).count(),
            Self::LinkChanges => plan.links.iter().map(|link| link.told().len()).sum(),
            Self::Layers => plan.layers.len(),
        }
    }

    /// Takes those with these numbers away, and what makes no sense without them. Says what went.
    pub(super) fn remove(self, plan: &mut Plan, gone: Range<usize>) -> String {
        match self {
            Self::Nodes => {
                let names = take(&mut plan.nodes, &gone).into_iter().map(|node| node.name).collect();
                forget(plan, &names);
                said("node", &names)
            }
            Self::Hubs => {
                let names = take(&mut plan.hubs, &(gone.start + 1..gone.end + 1)).into_iter().map(|hub| hub.name);
                let names = names.collect();
                forget(plan, &names);
                said("hub", &names)
            }
            Self::FaultKinds | Self::WorkKinds => {
                let work = self == Self::WorkKinds;
                let kinds: BTreeSet<&'static str> =
                    kinds(plan, work).into_iter().skip(gone.start).take(gone.len()).collect();
                plan.events.retain(|event| !kinds.contains(event.action.name()));
                said("every", &kinds)
            }
            Self::Events => {
                let mut number = 0;
                plan.events.retain(|event| {
                    let here = number;
                    number += usize::from(event.action != Action::Join);
                    event.action == Action::Join || !gone.contains(&here)
                });
                format!("{} events", gone.len())
            }
            Self::Links => {
                let changing = plan.links.iter_mut().filter(|link| !link.told().is_empty());
                let mut names = BTreeSet::new();
                for link in changing.skip(gone.start).take(gone.len()) {
                    names.insert(link.name());
                    link.changes.drain(link.told());
                }
                settle(plan);
                said("changes of", &names)
            }
            Self::LinkChanges => {
                let mut number = 0;
                for link in &mut plan.links {
                    let told = link.told();
                    let mut place = 0;
                    link.changes.retain(|_| {
                        let says = told.contains(&place);
                        let kept = !says || !gone.contains(&number);
                        number += usize::from(says);
                        place += 1;
                        kept
                    });
                }
                settle(plan);
                format!("{} changes of links", gone.len())
            }
            Self::Layers => {
                let names: BTreeSet<Name> =
                    take(&mut plan.layers, &gone).into_iter().map(|layer| Name::from(layer.name.as_str())).collect();
                plan.nodes.iter_mut().for_each(|node| node.layers.retain(|layer| !names.contains(layer)));
                plan.events
                    .retain(|event| !matches!(&event.action, Action::Edit { layer, .. } if names.contains(layer)));
                said("layer", &names)
            }
        }
    }
}

/// Moves the items with these numbers out of a list.
fn take<T>(list: &mut Vec<T>, gone: &Range<usize>) -> Vec<T> {
    let until = gone.end.min(list.len());
    list.drain(gone.start.min(until)..until).collect()
}

/// Takes away what happens to members that are gone, and nodes that reach no hub any more.
fn forget(plan: &mut Plan, gone: &BTreeSet<Name>) {
    let mut gone = gone.clone();
    for node in &mut plan.nodes {
        node.hubs.retain(|hub| !gone.contains(hub));
        if node.hubs.is_empty() {
            gone.insert(node.name.clone());
        }
    }
    plan.nodes.retain(|node| !gone.contains(&node.name));
    plan.links.retain(|link| !gone.contains(&link.from) && !gone.contains(&link.to));
    let revokes = |event: &Event| matches!(&event.action, Action::Revoke { node } if gone.contains(node));
    plan.events.retain(|event| !gone.contains(&event.on) && !revokes(event));
}

fn settle(plan: &mut Plan) {
    let heal_at = plan.heal_at;
    for link in &mut plan.links {
        let preferred = link.preferred();
        link.settle(heal_at, &preferred);
    }
}

fn kinds(plan: &Plan, work: bool) -> BTreeSet<&'static str> {
    let events = plan.events.iter().filter(|event| event.action != Action::Join && event.action.is_work() == work);
    events.map(|event| event.action.name()).collect()
}

fn said<T: ToString>(what: &str, names: &BTreeSet<T>) -> String {
    const NAMED: usize = 4;
    let more = if names.len() > NAMED { format!(" and {} more", names.len() - NAMED) } else { String::new() };
    let some: Vec<String> = names.iter().take(NAMED).map(ToString::to_string).collect();
    format!("{what} {}{more}", some.join(", "))
}
