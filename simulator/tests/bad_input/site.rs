//! A hub and its agents as processes, what commands say to a person, and the fleet's state to compare.

use std::error::Error;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use simulator::commands::{Commands, HUB_READY, NodeRow};
use simulator::process::{Process, ProcessError, Spec, run_to_end, until};

pub(crate) type Outcome<T = ()> = Result<T, Box<dyn Error>>;

/// How long something may take that takes milliseconds on an idle machine.
pub(crate) const SOON: Duration = Duration::from_secs(15);

/// How long a process may take to end after it was told to.
pub(crate) const STOP_WITHIN: Duration = Duration::from_secs(5);

/// The line with which an agent says that it runs.
pub(crate) const EDGE_READY: &str = "running";

/// What a command said.
#[derive(Debug)]
pub(crate) struct Said {
    command: String,
    code: Option<i32>,
    pub(crate) out: String,
    err: String,
}

impl Said {
    /// Fails unless the command ended with `code` and its error holds each of `words`.
    #[track_caller]
    pub(crate) fn refused(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:?}");
        let text = self.err.split_whitespace().collect::<Vec<_>>().join(" ");
        for word in words {
            assert!(text.contains(word), "no `{word}` in the error of `{}`: {text}", self.command);
        }
        assert!(!text.contains("panicked"), "{text}");
    }

    #[track_caller]
    pub(crate) fn done(&self) -> &Self {
        assert_eq!(self.code, Some(0), "{self:?}");
        self
    }
}

/// One hub and a work folder for its fleet.
pub(crate) struct Site {
    pub(crate) work: tempfile::TempDir,
    pub(crate) commands: Commands,
    pub(crate) hub: Process,
    pub(crate) address: SocketAddr,
}

impl Site {
    pub(crate) async fn start() -> Outcome<Self> {
        let work = tempfile::tempdir()?;
        let commands = Commands::new(Path::new(program()), work.path())?;
        let mut hub = Process::start(commands.hub_serve("127.0.0.1:0"))?;
        let address = hub.line(HUB_READY, SOON).await?.parse()?;
        Ok(Self { work, commands, hub, address })
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.work.path().join(name)
    }

    pub(crate) fn hub_data(&self) -> String {
        self.path("hub").display().to_string()
    }

    pub(crate) fn node_data(&self, node: &str) -> String {
        self.path("nodes").join(node).display().to_string()
    }

    /// A file of the work folder.
    pub(crate) fn file(&self, name: &str, text: &str) -> Outcome<String> {
        let path = self.path(name);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(&path, text)?;
        Ok(path.display().to_string())
    }

    /// A command to this hub.
    pub(crate) async fn hub(&self, arguments: &[&str]) -> Outcome<Said> {
        let data = self.hub_data();
        Ok(run("hub", &[arguments, &["--data", &data]].concat()).await?)
    }

    /// Tries to enrol `node` with a token.
    pub(crate) async fn join(&self, node: &str, name: &str, token: &str) -> Outcome<Said> {
        let (data, hub) = (self.node_data(node), self.address.to_string());
        Ok(run("edge", &["join", "--data", &data, "--hub", &hub, "--token", token, "--name", name]).await?)
    }

    /// A joined and running agent.
    pub(crate) async fn edge(&self, node: &str) -> Outcome<Process> {
        self.commands.join(node, self.address, &self.commands.token("fleet=one").await?).await?;
        Ok(Process::start(self.commands.edge_run(node))?)
    }

    /// One layer of one object that every node of this site takes.
    pub(crate) async fn layer(&self, name: &str, value: &str) -> Outcome<Said> {
        let file = self.file(&format!("{name}.yaml"), &object("one", value))?;
        self.hub(&["layer", "apply", name, "-f", &file]).await
    }

    /// What the hub holds, without ages and counters of traffic.
    pub(crate) async fn picture(&self) -> Outcome<Value> {
        let mut picture = serde_json::Map::new();
        for command in [&["layer", "list"][..], &["nodes"], &["status"]] {
            let said = self.hub(&[command, &["-o", "json"]].concat()).await?;
            let mut answer = serde_json::from_str(&said.done().out)?;
            without_ages(&mut answer);
            picture.insert(command.join(" "), answer);
        }
        Ok(picture.into())
    }

    /// Waits until the node's row is as `is` wants it.
    pub(crate) async fn node_is(&self, what: &str, is: impl Fn(&NodeRow) -> bool) -> Result<NodeRow, ProcessError> {
        until(what, SOON, async || {
            let rows = self.commands.nodes().await.map_err(|error| error.to_string())?;
            rows.iter().find(|row| is(row)).cloned().ok_or_else(|| format!("{rows:?}"))
        })
        .await
    }

    /// The hub's word about a node's health, with the reason.
    pub(crate) async fn health(&self, node: &str) -> Outcome<(String, String)> {
        let said = self.hub(&["nodes", "-o", "json"]).await?;
        let answer: Value = serde_json::from_str(&said.done().out)?;
        let nodes = answer["nodes"].as_array().ok_or("no nodes")?;
        let node = nodes.iter().find(|row| row["name"] == node).ok_or("no such node")?;
        let text = |field: &str| node[field].as_str().unwrap_or_default().to_owned();
        Ok((text("health"), text("health_message")))
    }

    /// Waits until the hub says so of a node's health.
    pub(crate) async fn health_is(&self, node: &str, health: &str, words: &str) -> Outcome {
        until(&format!("{node} to be {health}"), SOON, async || {
            let (found, message) = self.health(node).await.map_err(|error| error.to_string())?;
            if found == health && message.contains(words) { Ok(()) } else { Err(format!("{found}: {message}")) }
        })
        .await?;
        Ok(())
    }
}

/// One object as a manifest.
pub(crate) fn object(name: &str, value: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\ndata:\n  value: \"{value}\"\n")
}

pub(crate) fn program() -> &'static str {
    env!("CARGO_BIN_EXE_archipel-sim")
}

pub(crate) fn spec(name: &str, arguments: &[&str], log: &Path) -> Spec {
    Spec {
        name: name.to_owned(),
        program: program().into(),
        arguments: arguments.iter().map(OsString::from).collect(),
        environment: Vec::new(),
        log: log.to_owned(),
    }
}

/// Runs one command of the hub's or the agent's to its end.
pub(crate) async fn run(role: &str, arguments: &[&str]) -> Result<Said, ProcessError> {
    let command = [&[role], arguments].concat();
    let output = run_to_end(&spec(role, &command, Path::new("")), SOON).await?;
    Ok(Said {
        command: command.join(" "),
        code: output.status.code(),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

/// A process that is to refuse by itself: how it ended and what it wrote.
pub(crate) async fn refuses(arguments: &[&str], words: &[&str]) -> Outcome {
    run(arguments.first().copied().unwrap_or_default(), arguments.get(1..).unwrap_or_default())
        .await?
        .refused(1, words);
    Ok(())
}

fn without_ages(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|key, _| !["seconds", "bytes", "round_trips"].iter().any(|part| key.contains(part)));
            map.values_mut().for_each(without_ages);
        }
        Value::Array(items) => items.iter_mut().for_each(without_ages),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
