//! Two hubs and their nodes as real processes: a second hub joins, nodes fail over and come home, a split heals, a revoked node
//! is cut off everywhere.

use std::error::Error;
use std::ffi::OsString;
use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use simulator::commands::{Commands, HUB_READY, NodeRow};
use simulator::live::target;
use simulator::process::{Process, Spec, run_to_end, until};
use simulator::proxy::{LinkState, Proxy};

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

/// How long something may take that takes a second or two on an idle machine.
const SOON: Duration = Duration::from_secs(30);

fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_archipel-sim"))
}

/// A port that was free a moment ago: a hub has to know its own before it starts.
fn free_address() -> Outcome<SocketAddr> {
    Ok(UdpSocket::bind("127.0.0.1:0")?.local_addr()?)
}

/// A hub with a folder of its own.
struct Hub {
    commands: Commands,
    work: PathBuf,
    name: &'static str,
    address: SocketAddr,
    advertise: bool,
    process: Option<Process>,
}

impl Hub {
    fn new(work: &Path, name: &'static str, advertise: bool) -> Outcome<Self> {
        let work = work.join(name);
        let commands = Commands::new(program(), &work)?;
        Ok(Self { commands, work, name, address: free_address()?, advertise, process: None })
    }

    async fn serve(&mut self) -> Outcome {
        let mut spec = self.commands.hub_serve(&self.address.to_string());
        spec.arguments.extend(["--idle-timeout", "2s"].map(OsString::from));
        if self.advertise {
            spec.arguments.extend(["--advertise".to_owned(), self.address.to_string()].map(OsString::from));
        }
        let mut process = Process::start(spec)?;
        process.line(HUB_READY, SOON).await?;
        self.process = Some(process);
        Ok(())
    }

    async fn kill(&mut self) -> Outcome {
        if let Some(mut process) = self.process.take() {
            process.kill().await?;
        }
        Ok(())
    }

    /// What a command of this hub's prints.
    async fn ask(&self, arguments: &[&str]) -> Outcome<Value> {
        let data = self.work.join("hub").display().to_string();
        let all = [&["hub"], arguments, &["--data", &data, "-o", "json"]].concat();
        let spec = Spec {
            name: arguments.join(" "),
            program: program().to_owned(),
            arguments: all.into_iter().map(OsString::from).collect(),
            environment: Vec::new(),
            log: PathBuf::new(),
        };
        let output = run_to_end(&spec, SOON).await?;
        if !output.status.success() {
            return Err(format!("{}: {}", spec.name, String::from_utf8_lossy(&output.stderr)).into());
        }
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    /// Joins the fleet of the hub at `at` with this token.
    async fn join(&self, token: &Value, at: SocketAddr) -> Outcome {
        let (at, own) = (at.to_string(), self.address.to_string());
        let token = token["token"].as_str().unwrap_or_default();
        let mut arguments = vec!["init", "--name", self.name, "--join", token, "--hub-address", &at];
        if self.advertise {
            arguments.extend(["--advertise", &own]);
        }
        self.ask(&arguments).await.map(drop)
    }

    async fn layer(&self, value: &str) -> Outcome {
        let file = self.work.join("layer.yaml");
        let data = format!("data:\n  value: \"{value}\"\n  {}: here\n", self.name);
        let meta = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: one\n";
        std::fs::write(&file, format!("{meta}{data}"))?;
        self.commands.apply_layer("base", &file, &[]).await?;
        Ok(())
    }

    async fn edge(&self, node: &str) -> Outcome<Process> {
        self.commands.join(node, self.address, &self.commands.token("fleet=one").await?).await?;
        Ok(Process::start(self.commands.edge_run(node))?)
    }

    async fn node_is(&self, what: &str, node: &str, is: impl Fn(&NodeRow) -> bool) -> Outcome {
        until(what, SOON, async || {
            let rows = self.commands.nodes().await.map_err(|error| error.to_string())?;
            if rows.iter().any(|row| row.name == node && is(row)) { Ok(()) } else { Err(format!("{rows:?}")) }
        })
        .await?;
        Ok(())
    }

    async fn is_linked_with(&self, other: &str) -> Outcome {
        until("the hubs to be linked", SOON, async || {
            let peers = self.ask(&["peer", "list"]).await.map_err(|error| error.to_string())?;
            let hubs = peers["hubs"].as_array().cloned().unwrap_or_default();
            let up = hubs.iter().any(|hub| hub["name"] == other && hub["link"] == "up");
            if up { Ok(()) } else { Err(peers.to_string()) }
        })
        .await?;
        Ok(())
    }

    async fn target_has(&self, node: &str, text: &str) -> Outcome {
        until(&format!("{node} to hold {text}"), SOON, async || {
            let files = target::read(&self.commands.target(node)).map_err(|error| error.to_string())?;
            if target::file_with(&files, text).is_some() { Ok(()) } else { Err(format!("{files:?}")) }
        })
        .await?;
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_go_on_with_the_second_hub_when_the_first_is_killed_and_come_back() -> Outcome {
    let work = tempfile::tempdir()?;
    let (mut a, mut b) = (Hub::new(work.path(), "a", true)?, Hub::new(work.path(), "b", true)?);
    a.ask(&["init", "--name", "a"]).await?;
    a.serve().await?;
    let token = a.ask(&["token", "create", "--hub"]).await?;
    b.join(&token, a.address).await?;
    b.serve().await?;
    a.is_linked_with("b").await?;
    b.is_linked_with("a").await?;
    let refused = b.ask(&["token", "create"]).await.unwrap_err().to_string();
    assert!(refused.contains("make the token at a"), "{refused}");

    a.layer("first").await?;
    a.commands.assign(&["base".to_owned()], "fleet=one").await?;
    let _edge = a.edge("n").await?;
    a.node_is("the node to have it", "n", NodeRow::converged).await?;
    // The other hub knows the node by its assignment, without ever having met it.
    b.node_is("the other hub to know the node", "n", |row| row.link == "never" && row.applied == row.desired).await?;

    a.kill().await?;
    b.node_is("the node to go on with the other hub", "n", |row| row.link == "up").await?;
    b.layer("second").await?;
    b.node_is("the node to follow the other hub", "n", NodeRow::converged).await?;
    a.target_has("n", "second").await?;
    let status = a.commands.status("n").await?;
    assert_eq!(status["hub"], b.address.to_string(), "{status}");

    a.serve().await?;
    a.is_linked_with("b").await?;
    a.node_is("the first hub to catch up", "n", |row| row.desired.is_some() && row.applied == row.desired).await?;
    b.kill().await?;
    a.node_is("the node to come home", "n", NodeRow::converged).await?;
    a.layer("third").await?;
    a.target_has("n", "third").await
}

#[tokio::test(flavor = "multi_thread")]
async fn hubs_that_were_split_merge_and_show_both_values_until_one_is_taken() -> Outcome {
    let work = tempfile::tempdir()?;
    let (mut a, mut b) = (Hub::new(work.path(), "a", false)?, Hub::new(work.path(), "b", false)?);
    a.ask(&["init", "--name", "a"]).await?;
    a.serve().await?;
    let link = Arc::new(LinkState::new(1));
    let proxy = Proxy::start(a.address, Arc::clone(&link)).await?;
    let token = a.ask(&["token", "create", "--hub", "--with-authority"]).await?;
    b.join(&token, proxy.address()).await?;
    b.serve().await?;
    b.is_linked_with("a").await?;
    a.layer("first").await?;
    a.commands.assign(&["base".to_owned()], "fleet=one").await?;
    until("the rule to reach the other hub", SOON, async || {
        let layers = b.ask(&["layer", "list"]).await.map_err(|error| error.to_string())?;
        if layers["layers"].as_array().is_some_and(|it| it.len() == 1) { Ok(()) } else { Err(layers.to_string()) }
    })
    .await?;
    let (_north, _south) = (a.edge("north").await?, b.edge("south").await?);
    a.node_is("north to have it", "north", NodeRow::converged).await?;
    b.node_is("south to have it", "south", NodeRow::converged).await?;

    link.cut();
    a.layer("of-a").await?;
    b.layer("of-b").await?;
    a.target_has("north", "of-a").await?;
    b.target_has("south", "of-b").await?;

    link.heal();
    b.is_linked_with("a").await?;
    for hub in [&a, &b] {
        until("the conflict to be seen", SOON, async || {
            let list = hub.ask(&["conflict", "list"]).await.map_err(|error| error.to_string())?;
            let conflicts = list["conflicts"].as_array().cloned().unwrap_or_default();
            let field = conflicts.iter().find(|it| it["document"] == "layer/base");
            let field = field.filter(|it| it["path"] == "/objects/core~1ConfigMap~1~1one/data/value");
            let pin = conflicts.iter().any(|it| it["document"] == "release/main" && it["path"] == "/layers/base");
            let values = field.and_then(|it| it["values"].as_array().cloned()).unwrap_or_default();
            let said = |value: &str, by: &str| values.iter().any(|it| it["value"] == value && it["hub"] == by);
            let whole = values.len() == 2 && said("of-a", "a") && said("of-b", "b") && pin && conflicts.len() == 2;
            if whole { Ok(()) } else { Err(list.to_string()) }
        })
        .await?;
    }
    let shown = b.ask(&["layer", "show", "base"]).await?;
    assert_eq!(shown["conflicts"].as_array().map(Vec::len), Some(1), "{shown}");
    let left =
        b.ask(&["conflict", "resolve", "base", "/objects/core~1ConfigMap~1~1one/data/value", "--take", "2"]).await?;
    assert_eq!(left["conflicts"], serde_json::json!([]));
    let taken = &shown["conflicts"][0]["values"][1]["value"];
    b.ask(&["release"]).await?;
    a.target_has("north", taken.as_str().unwrap_or_default()).await?;
    b.target_has("south", taken.as_str().unwrap_or_default()).await?;
    // What only one of them wrote is there as well.
    a.target_has("north", "\"b\": \"here\"").await?;
    until("no conflict to be left", SOON, async || {
        let list = a.ask(&["conflict", "list"]).await.map_err(|error| error.to_string())?;
        if list["conflicts"] == serde_json::json!([]) { Ok(()) } else { Err(list.to_string()) }
    })
    .await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_node_is_cut_off_at_every_hub() -> Outcome {
    let work = tempfile::tempdir()?;
    let (mut a, mut b) = (Hub::new(work.path(), "a", true)?, Hub::new(work.path(), "b", true)?);
    a.ask(&["init", "--name", "a"]).await?;
    a.serve().await?;
    b.join(&a.ask(&["token", "create", "--hub"]).await?, a.address).await?;
    b.serve().await?;
    a.is_linked_with("b").await?;
    let mut edge = a.edge("n").await?;
    a.node_is("the node to be up", "n", |row| row.link == "up").await?;
    b.node_is("the other hub to know it", "n", |_| true).await?;
    b.ask(&["node", "revoke", "n"]).await?;
    a.node_is("the link to be closed", "n", |row| row.link == "down").await?;
    until("the agent to say so", SOON, async || {
        let log = edge.output();
        if log.contains("revoked") { Ok(()) } else { Err(log) }
    })
    .await?;
    edge.stop(SOON).await?;
    edge.restart(a.commands.edge_run("n")).await?;
    until("the agent to be refused again", SOON, async || {
        let log = edge.output();
        if log.contains("revoked") { Ok(()) } else { Err(log) }
    })
    .await?;
    let listed = a.ask(&["nodes"]).await?;
    assert_eq!(listed["nodes"][0]["enrolment"], "revoked", "{listed}");
    Ok(())
}
