//! Whether what hubs answer about a fleet is the same, and says that all is as it should be.

use hub::service::{Health, LayerList, NodeList};

/// What one hub answers.
#[derive(Debug, Clone)]
pub(crate) struct Answers {
    /// Its name.
    pub(crate) hub: String,
    /// What it knows of its nodes.
    pub(crate) nodes: NodeList,
    /// Its layers.
    pub(crate) layers: LayerList,
}

/// Why these nodes do not run what they should as far as these hubs know, or what the hubs differ in.
pub(crate) fn disagreement<'a>(answers: &[Answers], nodes: impl Iterator<Item = &'a str> + Clone) -> Option<String> {
    for Answers { hub, nodes: list, .. } in answers {
        for name in nodes.clone() {
            let Some(node) = list.nodes.iter().find(|node| node.name.as_str() == name) else {
                return Some(format!("{hub} does not know {name}"));
            };
            if node.desired.is_none() || node.desired != node.applied {
                return Some(format!("{hub}: {name} runs {:?}, not {:?}", node.applied, node.desired));
            }
            if node.health != Health::Healthy {
                return Some(format!("{hub}: {name} is {:?}", node.health));
            }
        }
    }
    let summary = |answer: &Answers| {
        answer.layers.layers.iter().map(|it| (it.name.clone(), it.layer_version)).collect::<Vec<_>>()
    };
    let (first, rest) = answers.split_first()?;
    let layers = summary(first);
    let other = rest.iter().find(|answer| summary(answer) != layers);
    other.map(|other| format!("{} has layers {:?}, {} has {layers:?}", other.hub, summary(other), first.hub))
}
