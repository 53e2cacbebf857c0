//! The script of a live run: start, deploy, cut, change both sides, restart on the island, heal, verify.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::report::{Steps, table};
use super::source::Source;
use super::target::{self, Files};
use super::{LiveError, Options};
use crate::commands::{Commands, HUB_READY, NodeRow};
use crate::process::{Process, until};
use crate::proxy::{LinkState, Proxy};

/// How long the hub may take to start.
const START_WITHIN: Duration = Duration::from_secs(15);

/// How long the fleet may take to reach a state. It takes a second or two; a busy machine gets the rest.
const REACH_WITHIN: Duration = Duration::from_secs(30);

/// How long processes get to end by themselves before they are killed.
const STOP_WITHIN: Duration = Duration::from_secs(5);

/// The layer that this script adds to every node and changes during the outage.
const REHEARSAL: &str = "archipel-rehearsal";

/// Plays the whole script.
pub(super) async fn play(options: &Options, program: &Path, work: &Path) -> Result<(), LiveError> {
    let steps = Steps::new();
    let source = match &options.source {
        Some(folder) => Source::open(folder)?,
        None => Source::write_example(&work.join("source"))?,
    };
    let mut stage = Stage::start(program, work, source, steps).await?;
    for index in 0..usize::from(options.nodes) {
        stage.start_node(index).await?;
    }
    stage.deploy().await?;
    stage.outage().await?;
    stage.heal().await?;
    let wrong = stage.verify().await?;
    stage.stop().await?;
    if wrong.is_empty() { Ok(()) } else { Err(LiveError::Differs(wrong)) }
}

/// Everything that runs.
struct Stage {
    steps: Steps,
    commands: Commands,
    source: Source,
    rehearsal: PathBuf,
    hub_address: SocketAddr,
    nodes: Vec<Node>,
    hub: Process,
}

/// One agent behind its proxy.
struct Node {
    name: String,
    group: usize,
    link: Arc<LinkState>,
    _proxy: Proxy,
    process: Process,
}

impl Stage {
    async fn start(program: &Path, work: &Path, source: Source, steps: Steps) -> Result<Self, LiveError> {
        steps.doing("starting the hub");
        let commands = Commands::new(program, work).map_err(LiveError::system("make the work folder"))?;
        let mut hub = Process::start(commands.hub_serve("127.0.0.1:0"))?;
        let address = hub.line(HUB_READY, START_WITHIN).await?;
        let hub_address = address.parse().map_err(|_| {
            LiveError::Differs(vec![format!("the hub says it listens on `{address}`, which is no address")])
        })?;
        steps.done(&format!("hub listens on {hub_address}"));
        Ok(Self { steps, commands, source, rehearsal: work.join("rehearsal"), hub_address, nodes: Vec::new(), hub })
    }

    /// Starts the `index`th node: groups take turns.
    async fn start_node(&mut self, index: usize) -> Result<(), LiveError> {
        let groups = self.source.groups.len();
        let group_index = index.checked_rem(groups).unwrap_or(0);
        let Some(group) = self.source.groups.get(group_index) else { return Ok(()) };
        let name = format!("{}-{}", group.label_value(), index.checked_div(groups).unwrap_or(0) + 1);
        self.steps.doing(&format!("starting {name}"));
        let link = Arc::new(LinkState::new(index as u64));
        let proxy = Proxy::start(self.hub_address, Arc::clone(&link))
            .await
            .map_err(LiveError::system("open a proxy's socket"))?;
        let token = self.commands.token(&group.selector).await?;
        self.commands.join(&name, proxy.address(), &token).await?;
        let process = Process::start(self.commands.edge_run(&name))?;
        self.steps.done(&format!("{name} joined ({}) through {}", group.selector, proxy.address()));
        self.nodes.push(Node { name, group: group_index, link, _proxy: proxy, process });
        Ok(())
    }

    async fn deploy(&mut self) -> Result<(), LiveError> {
        self.steps.doing("applying layers");
        for layer in self.source.layers() {
            self.commands.apply_layer(layer.as_str(), &self.source.layer_folder(layer), &[]).await?;
        }
        self.release_revision(1).await?;
        for group in &self.source.groups {
            let mut layers: Vec<String> = group.layers.iter().map(ToString::to_string).collect();
            layers.push(REHEARSAL.to_owned());
            self.commands.assign(&layers, &group.selector).await?;
        }
        self.steps.done(&format!("{} layers applied and assigned", self.source.layers().len() + 1));
        let all: Vec<usize> = (0..self.nodes.len()).collect();
        self.converge(&all, 1).await?;
        self.steps.done("every node applied its assignment");
        Ok(())
    }

    /// Cuts the first node off and changes both sides.
    async fn outage(&mut self) -> Result<(), LiveError> {
        let Some(cut) = self.nodes.first() else { return Ok(()) };
        let name = cut.name.clone();
        let before = self.files(&name)?;
        cut.link.cut();
        self.steps.done(&format!("{name} cut off"));

        self.release_revision(2).await?;
        self.steps.done("a layer changed at the hub");
        let others: Vec<usize> = (1..self.nodes.len()).collect();
        self.converge(&others, 2).await?;
        self.steps.done(&format!("the other {} nodes applied the change", others.len()));
        let what = format!("the hub to see that {name} is out of reach");
        until(&what, REACH_WITHIN, async || {
            let rows = self.commands.nodes().await.map_err(|error| error.to_string())?;
            let link = rows.iter().find(|row| row.name == name).map(|row| row.link.clone());
            if link.as_deref() == Some("down") { Ok(()) } else { Err(format!("link {link:?}")) }
        })
        .await?;
        self.steps.done(&format!("the hub sees {name} as down"));

        self.repair_on_the_island(&name, &before).await?;
        self.restart_on_the_island(&name, &before).await?;
        let lines = target::differences(("the outage's begin", &before), (&name, &self.files(&name)?));
        if lines.is_empty() { Ok(()) } else { Err(LiveError::Differs(lines)) }
    }

    /// Edits a file of the cut node by hand: its agent puts it back and says so.
    async fn repair_on_the_island(&self, name: &str, before: &Files) -> Result<(), LiveError> {
        let (path, good) = self.rehearsal_file(name, before)?;
        let status_before = self.commands.status(name).await?;
        let drift_before = drift(&status_before);
        self.steps.doing(&format!("editing {} by hand", path.display()));
        let edited = String::from_utf8_lossy(good).replace(&marker(1), "edited-by-hand");
        std::fs::write(&path, edited).map_err(LiveError::system(format!("write {}", path.display())))?;
        self.restored(&path, good, "an edited object").await?;
        until(&format!("{name} to report the drift in its status"), REACH_WITHIN, async || {
            let status = self.commands.status(name).await.map_err(|error| error.to_string())?;
            let now = drift(&status);
            if now == drift_before { Err(format!("{now:?}")) } else { Ok(()) }
        })
        .await?;
        self.steps.done(&format!("{name} repaired a hand-edited object without the hub, and reports the drift"));
        Ok(())
    }

    /// Kills the cut agent, takes one of its files away, and starts it again without a hub.
    async fn restart_on_the_island(&mut self, name: &str, before: &Files) -> Result<(), LiveError> {
        let (path, good) = self.rehearsal_file(name, before)?;
        let spec = self.commands.edge_run(name);
        let Some(node) = self.nodes.iter_mut().find(|node| node.name == name) else { return Ok(()) };
        node.process.kill().await?;
        std::fs::remove_file(&path).map_err(LiveError::system(format!("remove {}", path.display())))?;
        node.process = Process::start(spec)?;
        self.restored(&path, good, "an object that went away while no agent ran").await?;
        self.steps.done(&format!("{name} was killed and came back without the hub"));
        Ok(())
    }

    async fn heal(&mut self) -> Result<(), LiveError> {
        let Some(cut) = self.nodes.first() else { return Ok(()) };
        cut.link.heal();
        self.steps.done(&format!("{} healed", cut.name));
        let all: Vec<usize> = (0..self.nodes.len()).collect();
        self.converge(&all, 2).await?;
        self.steps.done("every node applied the change");
        Ok(())
    }

    /// Prints the table and returns what is wrong.
    async fn verify(&mut self) -> Result<Vec<String>, LiveError> {
        let rows = self.commands.nodes().await?;
        let mut wrong = Vec::new();
        for node in &mut self.nodes {
            if let Some(status) = node.process.ended() {
                wrong.push(format!("{}: the agent ended by itself ({status})", node.name));
            }
        }
        for (index, group) in self.source.groups.iter().enumerate() {
            let members: Vec<&Node> = self.nodes.iter().filter(|node| node.group == index).collect();
            let Some((first, rest)) = members.split_first() else { continue };
            let expected = self.files(&first.name)?;
            for layer in &group.layers {
                for (kind, name) in target::missing(&expected, &self.source.objects(layer)?) {
                    wrong.push(format!("{}: no file holds {kind} {name} of layer {layer}", first.name));
                }
            }
            for other in rest {
                wrong.extend(target::differences((&first.name, &expected), (&other.name, &self.files(&other.name)?)));
            }
        }
        let shown = self.nodes.iter().filter_map(|node| {
            let row = rows.iter().find(|row| row.name == node.name)?;
            Some((row, &*node.link))
        });
        let text = table(shown);
        self.steps.done("verified");
        self.steps.print(&text);
        wrong.extend(rows.iter().filter(|row| !row.converged()).map(|row| {
            format!("{}: link {}, desired {:?}, applied {:?}", row.name, row.link, row.desired, row.applied)
        }));
        Ok(wrong)
    }

    async fn stop(&mut self) -> Result<(), LiveError> {
        for node in &mut self.nodes {
            node.process.stop(STOP_WITHIN).await?;
        }
        self.hub.stop(STOP_WITHIN).await?;
        Ok(())
    }

    /// Writes the script's own layer with `revision` and releases it.
    async fn release_revision(&self, revision: u64) -> Result<(), LiveError> {
        let text = format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {REHEARSAL}\n  namespace: default\ndata:\n  \
             revision: {}\n",
            marker(revision)
        );
        let file = self.rehearsal.join("revision.yaml");
        std::fs::create_dir_all(&self.rehearsal)
            .and_then(|()| std::fs::write(&file, text))
            .map_err(LiveError::system(format!("write {}", file.display())))?;
        Ok(self.commands.apply_layer(REHEARSAL, &self.rehearsal, &[]).await?)
    }

    /// Waits until the nodes at `indexes` hold `revision` and the hub knows that they applied what they should.
    async fn converge(&mut self, indexes: &[usize], revision: u64) -> Result<(), LiveError> {
        let what = format!("{} nodes to apply revision {revision}", indexes.len());
        self.steps.doing(&format!("waiting for {what}"));
        let names: Vec<String> =
            indexes.iter().filter_map(|index| self.nodes.get(*index)).map(|node| node.name.clone()).collect();
        for node in &mut self.nodes {
            if let Some(status) = node.process.ended() {
                return Err(node.process.ended_before(status, what).into());
            }
        }
        until(&what, REACH_WITHIN, async || {
            let rows = self.commands.nodes().await.map_err(|error| error.to_string())?;
            let late: Vec<String> = names.iter().filter_map(|name| self.lateness(name, &rows, revision)).collect();
            if late.is_empty() { Ok(()) } else { Err(late.join("; ")) }
        })
        .await?;
        Ok(())
    }

    /// Why a node has not converged; `None` when it has.
    fn lateness(&self, name: &str, rows: &[NodeRow], revision: u64) -> Option<String> {
        let Some(row) = rows.iter().find(|row| row.name == name) else {
            return Some(format!("the hub does not list {name}"));
        };
        if !row.converged() {
            return Some(format!("{name} is {}, desired {:?}, applied {:?}", row.link, row.desired, row.applied));
        }
        match target::read(&self.commands.target(name)) {
            Ok(files) if target::file_with(&files, &marker(revision)).is_some() => None,
            Ok(_) => Some(format!("{name} says it applied everything, but no file holds revision {revision}")),
            Err(error) => Some(format!("{name}'s target cannot be read: {error}")),
        }
    }

    fn files(&self, name: &str) -> Result<Files, LiveError> {
        let folder = self.commands.target(name);
        target::read(&folder).map_err(LiveError::system(format!("read {}", folder.display())))
    }

    /// The file of the script's own object on a node, and what it should hold during the outage.
    fn rehearsal_file<'a>(&self, name: &str, before: &'a Files) -> Result<(PathBuf, &'a [u8]), LiveError> {
        let (path, content) = target::file_with(before, &marker(1))
            .ok_or_else(|| LiveError::Differs(vec![format!("{name}: no file holds revision 1")]))?;
        Ok((self.commands.target(name).join(path), content))
    }

    async fn restored(&self, path: &Path, good: &[u8], what: &str) -> Result<(), LiveError> {
        self.steps.doing(&format!("waiting for {what} to be repaired"));
        until(&format!("{what} ({}) to be repaired", path.display()), REACH_WITHIN, async || {
            match std::fs::read(path) {
                Ok(content) if content == good => Ok(()),
                Ok(content) => Err(format!("{} bytes that differ", content.len())),
                Err(error) => Err(error.to_string()),
            }
        })
        .await?;
        Ok(())
    }
}

/// The text by which a revision of the script's own layer is found in any target's format.
fn marker(revision: u64) -> String {
    format!("rehearsal-revision-{revision}-end")
}

/// Everything in a status that speaks of drift: values of keys named so, and objects with a text that says so.
fn drift(status: &Value) -> Vec<&Value> {
    let says_drift = |text: &str| text.to_lowercase().contains("drift");
    match status {
        Value::Object(fields) => {
            if fields.values().any(|value| value.as_str().is_some_and(says_drift)) {
                return vec![status];
            }
            let found = fields.iter().map(|(key, value)| if says_drift(key) { vec![value] } else { drift(value) });
            found.flatten().collect()
        }
        Value::Array(items) => items.iter().flat_map(drift).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn drift_is_found_as_a_counter_and_as_a_condition() {
        assert_eq!(drift(&json!({"target": {"drift_repaired": 2}, "name": "a"})), [&json!(2)]);
        let condition = json!({"type": "DriftRepaired", "count": 1});
        assert_eq!(drift(&json!({"conditions": [condition, {"type": "Ready"}]})), [&condition]);
    }

    #[test]
    fn a_revision_is_not_the_beginning_of_another() {
        assert!(!marker(12).contains(&marker(1)));
    }
}
