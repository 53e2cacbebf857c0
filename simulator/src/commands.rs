//! The command lines of the hub and the agent, and the answers they print.

use std::ffi::OsString;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::process::{ProcessError, Spec, run_to_end};

/// The line with which a hub says that it can be reached; the address follows.
pub const HUB_READY: &str = "listening on ";

/// How long a command may take. They end in well under a second; a busy machine gets the rest.
const COMMAND_WITHIN: Duration = Duration::from_secs(15);

/// How long an agent waits for a silent hub before it calls the link down. Short, so that a run notices cuts quickly.
const IDLE_TIMEOUT: &str = "2s";

/// Why a command had no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// It could not be run, or not to its end. What it was to do may have happened.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// It said no. Nothing was acknowledged.
    #[error("`{command}` failed ({status}): {stderr}")]
    Refused {
        /// The command line, without the program's path.
        command: String,
        /// How it ended.
        status: ExitStatus,
        /// What it said.
        stderr: String,
    },
    /// It succeeded and printed something else than was agreed: a defect of that command.
    #[error("`{command}` printed an answer that cannot be read ({problem}): {answer}")]
    Answer {
        /// The command line, without the program's path.
        command: String,
        /// What is wrong with the answer.
        problem: serde_json::Error,
        /// The answer's beginning.
        answer: String,
    },
}

/// The assignment and the release of one node.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub struct Versions {
    /// Version of its assignment; `None` when it has none.
    #[serde(default)]
    pub assignment_version: Option<u64>,
    /// Version of its release; `None` when it has none.
    #[serde(default)]
    pub release_version: Option<u64>,
}

/// What the hub knows of one node.
#[derive(Debug, Clone, Deserialize)]
pub struct NodeRow {
    /// The node's name.
    pub name: String,
    /// `up`, `down` or `never`.
    pub link: String,
    /// What it should apply.
    #[serde(default)]
    pub desired: Option<Versions>,
    /// What it said it applied.
    #[serde(default)]
    pub applied: Option<Versions>,
    /// What it said of its workloads.
    #[serde(default)]
    pub health: Option<serde_json::Value>,
    /// Bytes of messages that came from it, without transport overhead.
    #[serde(default)]
    pub payload_bytes_in: u64,
    /// Bytes of messages that went to it, without transport overhead.
    #[serde(default)]
    pub payload_bytes_out: u64,
    /// Conversations' round trips.
    #[serde(default)]
    pub round_trips: u64,
}

impl NodeRow {
    /// Whether the node is in reach and has applied what it should.
    #[must_use]
    pub fn converged(&self) -> bool {
        self.link == "up"
            && self.desired.as_ref().is_some_and(|desired| desired.release_version.is_some())
            && self.applied == self.desired
    }
}

#[derive(Debug, Deserialize)]
struct Nodes {
    nodes: Vec<NodeRow>,
}

#[derive(Debug, Deserialize)]
struct Token {
    token: String,
}

/// One hub and its agents in one work folder.
#[derive(Debug, Clone)]
pub struct Commands {
    program: PathBuf,
    work: PathBuf,
}

impl Commands {
    /// Commands of `program`, an `archipel-sim`, with all data below `work`. Makes the folders.
    ///
    /// # Errors
    /// The operating system's, when a folder cannot be made.
    pub fn new(program: &Path, work: &Path) -> io::Result<Self> {
        for folder in ["logs", "nodes", "targets"] {
            std::fs::create_dir_all(work.join(folder))?;
        }
        Ok(Self { program: program.to_owned(), work: work.to_owned() })
    }

    /// Where the processes write their logs.
    #[must_use]
    pub fn logs(&self) -> PathBuf {
        self.work.join("logs")
    }

    /// Where `node` writes its objects.
    #[must_use]
    pub fn target(&self, node: &str) -> PathBuf {
        self.work.join("targets").join(node)
    }

    /// The hub as a process. It says [`HUB_READY`] when it is.
    #[must_use]
    pub fn hub_serve(&self, listen: &str) -> Spec {
        self.spec("hub", "hub", &["serve", "--data", &self.hub_data(), "--listen", listen])
    }

    /// An agent as a process.
    #[must_use]
    pub fn edge_run(&self, node: &str) -> Spec {
        let target = format!("directory:{}", self.target(node).display());
        let arguments = ["run", "--data", &self.node_data(node), "--target", &target, "--idle-timeout", IDLE_TIMEOUT];
        self.spec(node, "edge", &arguments)
    }

    /// Makes a token for one node that gets `label`.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn token(&self, label: &str) -> Result<String, CommandError> {
        let arguments = ["token", "create", "--data", &self.hub_data(), "--ttl", "1h", "--label", label, "-o", "json"];
        Ok(self.ask::<Token>("hub", &arguments).await?.token)
    }

    /// Enrols `node`.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn join(&self, node: &str, hub: SocketAddr, token: &str) -> Result<(), CommandError> {
        let (data, hub) = (self.node_data(node), hub.to_string());
        let arguments = ["join", "--data", &data, "--hub", &hub, "--token", token, "--name", node];
        self.run("edge", &arguments, &[]).await.map(drop)
    }

    /// Replaces a layer by the objects in `path`, and releases it.
    ///
    /// `environment` is for this command alone. When this returns `Ok`, the hub has acknowledged the layer.
    ///
    /// # Errors
    /// [`CommandError`]. The layer may have been replaced nevertheless.
    pub async fn apply_layer(
        &self,
        name: &str,
        path: &Path,
        environment: &[(String, String)],
    ) -> Result<(), CommandError> {
        let (path, data) = (path.display().to_string(), self.hub_data());
        let arguments = ["layer", "apply", name, "-f", &path, "--data", &data, "-o", "json"];
        self.run("hub", &arguments, environment).await.map(drop)
    }

    /// Gives `layers`, in this order, to every node with a label.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn assign(&self, layers: &[String], selector: &str) -> Result<(), CommandError> {
        let arguments = ["assign", "--layers", &layers.join(","), "--selector", selector, "--data", &self.hub_data()];
        self.run("hub", &arguments, &[]).await.map(drop)
    }

    /// What the hub knows of its nodes.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn nodes(&self) -> Result<Vec<NodeRow>, CommandError> {
        let arguments = ["nodes", "--data", &self.hub_data(), "-o", "json"];
        Ok(self.ask::<Nodes>("hub", &arguments).await?.nodes)
    }

    /// What an agent says of itself. It needs no hub.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn status(&self, node: &str) -> Result<serde_json::Value, CommandError> {
        self.ask("edge", &["status", "--data", &self.node_data(node), "-o", "json"]).await
    }

    fn hub_data(&self) -> String {
        self.work.join("hub").display().to_string()
    }

    fn node_data(&self, node: &str) -> String {
        self.work.join("nodes").join(node).display().to_string()
    }

    fn spec(&self, name: &str, role: &str, arguments: &[&str]) -> Spec {
        Spec {
            name: name.to_owned(),
            program: self.program.clone(),
            arguments: std::iter::once(role).chain(arguments.iter().copied()).map(OsString::from).collect(),
            environment: Vec::new(),
            log: self.logs().join(format!("{name}.log")),
        }
    }

    async fn run(
        &self,
        role: &str,
        arguments: &[&str],
        environment: &[(String, String)],
    ) -> Result<String, CommandError> {
        let command = format!("{role} {}", arguments.join(" "));
        let spec = Spec { environment: environment.to_vec(), ..self.spec(&command, role, arguments) };
        let output = run_to_end(&spec, COMMAND_WITHIN).await?;
        if !output.status.success() {
            let stderr = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(CommandError::Refused { command, status: output.status, stderr });
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    async fn ask<T: DeserializeOwned>(&self, role: &str, arguments: &[&str]) -> Result<T, CommandError> {
        let answer = self.run(role, arguments, &[]).await?;
        serde_json::from_str(&answer).map_err(|problem| CommandError::Answer {
            command: format!("{role} {}", arguments.join(" ")),
            problem,
            answer: answer.chars().take(500).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(text: &str) -> NodeRow {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_node_has_converged_when_it_is_up_and_applied_what_it_should() {
        let versions = r#"{"assignment_version":1,"release_version":4}"#;
        let node =
            |link, applied| row(&format!(r#"{{"name":"a","link":"{link}","desired":{versions},"applied":{applied}}}"#));
        assert!(node("up", versions).converged());
        assert!(!node("down", versions).converged());
        assert!(!node("up", r#"{"assignment_version":1,"release_version":3}"#).converged());
        assert!(!node("up", "null").converged());
    }

    #[test]
    fn a_node_without_an_assignment_has_not_converged() {
        assert!(!row(r#"{"name":"a","link":"up","desired":{},"applied":{}}"#).converged());
    }
}
