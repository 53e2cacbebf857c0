//! A run at depth 1, and what it says.

use super::{bar, show};
use crate::machines;
use crate::plan::Plan;

/// Runs a plan and prints the verdict; whether nothing broke and all agreed.
pub(super) fn run(plan: &Plan, scenario: &str) -> Result<bool, String> {
    let bar = bar(plan);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut options = machines::Options { threads, eyes: &mut machines::nobody };
    let outcome = machines::run(plan, &mut options, |at| show(&bar, at)).map_err(|error| error.to_string())?;
    bar.finish_and_clear();
    let counted = |(kind, tally): (&&str, &machines::Tally)| counted(kind, tally.planned, tally.reached);
    let mut figures: Vec<String> = outcome.events.iter().map(counted).collect();
    let at_hubs = outcome.members.iter().filter(|it| plan.hubs.iter().any(|hub| hub.name == it.name));
    let payload = at_hubs.fold((0, 0), |sum, it| (sum.0 + it.payload_in, sum.1 + it.payload_out));
    let wire: u64 = outcome.members.iter().map(|it| it.wire_out).sum();
    figures
        .push(format!("  payload          {} B to hubs, {} B from hubs; on the wire {wire} B", payload.0, payload.1));
    figures.push(late(&outcome.lateness));
    let counts = outcome.counts;
    figures.push(format!(
        "  inputs           {}, of them {} passes and {} dials",
        counts.inputs, counts.passes, counts.dials
    ));
    let left_out = outcome.left_out.iter().map(|(kind, count)| format!("{count} {kind}")).collect::<Vec<_>>();
    if !left_out.is_empty() {
        figures.push(format!("  left out         {}: no place at depth 1", left_out.join(", ")));
    }
    figures.push(format!("  trace            {}", blake3::Hash::from_bytes(outcome.trace).to_hex()));
    print!("{}", told(plan, scenario, &figures, &outcome));
    Ok(outcome.broken.is_empty() && outcome.agreed_after.is_some())
}

/// How late nodes were with releases, in a line.
pub(crate) fn late(late: &machines::Quantiles) -> String {
    format!(
        "  releases         {} times late by {:.1?} (mean), {:.1?} (half), {:.1?} (nine tenths), {:.1?} (all)",
        late.count, late.mean, late.half, late.most, late.all
    )
}

fn counted(kind: &str, planned: u64, reached: u64) -> String {
    format!("  {kind:<16} {planned} planned, {reached} took effect")
}

fn told(plan: &Plan, scenario: &str, figures: &[String], outcome: &machines::Outcome) -> String {
    let depth = plan.depth.number();
    let (nodes, hubs) = (plan.nodes.len(), plan.hubs.len());
    let mut lines = vec![format!("{}, seed {}, depth {depth}: {nodes} nodes, {hubs} hubs", plan.name, plan.seed)];
    lines.extend(figures.iter().cloned());
    lines.extend(outcome.broken.iter().map(|broken| format!("broken: {broken}")));
    lines.push(match (outcome.agreed_after, &outcome.disagreement) {
        (Some(after), _) => format!("all agreed {} s after the healing", after.as_secs()),
        (None, why) => format!("no agreement: {}", why.as_deref().unwrap_or("nobody was asked")),
    });
    if !outcome.broken.is_empty() || outcome.agreed_after.is_none() {
        lines.push(format!("again: archipel-sim run {scenario} --depth {depth} --seed {}", plan.seed));
    }
    lines.join("\n") + "\n"
}
