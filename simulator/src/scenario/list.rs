//! What `archipel-sim list` prints: the scenarios that come with the simulator.

use comfy_table::{ContentArrangement, Table, presets};

use super::{Depth, Scenario, ScenarioError, Span, shipped};

/// A table with name, what is rehearsed, nodes and duration of each depth.
///
/// # Errors
/// [`ScenarioError`] if a scenario inside the binary cannot be read, which is a defect.
pub fn table() -> Result<String, ScenarioError> {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(["NAME", "REHEARSES", "HUBS", "NODES", "DURATION", "DEPTHS"]);
    for (name, text) in shipped::ALL {
        let scenario = Scenario::parse(name, text)?;
        let hubs = scenario.hub.iter().map(|hub| hub.count).sum::<u32>().max(1);
        let depths = scenario.depths();
        let each = |cell: &dyn Fn(Depth) -> String| joined(depths.iter().map(|depth| cell(*depth)).collect());
        table.add_row([
            scenario.name.clone(),
            scenario.rehearses.clone(),
            hubs.to_string(),
            each(&|depth| scenario.node_count(depth).to_string()),
            each(&|depth| scenario.length(depth).to_string()),
            depths.iter().map(|depth| depth.number().to_string()).collect::<Vec<_>>().join(" "),
        ]);
    }
    Ok(table.to_string())
}

/// The cells of all depths, or the one that they share.
fn joined(cells: Vec<String>) -> String {
    match cells.split_first() {
        Some((first, rest)) if rest.iter().all(|cell| cell == first) => first.clone(),
        _ => cells.join(" "),
    }
}

impl Scenario {
    /// How long it takes at a depth, in virtual time where there is one. What is sped up counts up to the healing.
    fn length(&self, depth: Depth) -> Span {
        let limit = self.limit(depth);
        let duration = limit.duration.unwrap_or(self.duration);
        match limit.speed {
            Some(speed) => Span::seconds((self.heal_at(duration).0 / speed.max(1)).as_secs()),
            None => duration,
        }
    }

    /// How many nodes it has at a depth.
    #[must_use]
    pub fn node_count(&self, depth: Depth) -> u32 {
        self.limit(depth).nodes.unwrap_or_else(|| self.group.iter().map(|group| group.count).sum())
    }
}
