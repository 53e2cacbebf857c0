//! Many agents in one process against one hub: what each costs, idle and while a release rolls out.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use edge_node::actuator::TargetSpec;
use edge_node::join::{JoinConfig, join};
use edge_node::run::{RunConfig, run};
use hub::api::{AssignRequest, LayerRequest};
use hub::client::AdminClient;
use hub::service::AssignTarget;
use serde_json::json;
use sync_core::env::no_witness;
use sync_core::id::Name;
use sync_core::transport::Settings;
use tokio::task::JoinSet;

use super::fleet::Place;
use super::measure::ProcessUse;
use super::stage::{Server, Stage, runtime, used};
use super::table::{Table, count, size, time};
use super::{BenchError, During, write_page};
use crate::process::Process;

/// Joins under way at one time: what the hub serves at once.
const JOINS_AT_ONCE: usize = 32;

/// Objects of the layer that every agent runs.
const OBJECTS: usize = 20;

/// How often the hub is asked how far a release is, at most.
const ASK_EVERY: Duration = Duration::from_millis(200);

/// The hub looks at every node to answer, so it is left alone for so many times as long as an answer took.
const ASK_SHARE: u32 = 20;

/// How long a fleet may take to run a release.
const ROLLOUT_WITHIN: Duration = Duration::from_secs(300);

/// What to measure.
#[derive(Debug, Clone)]
pub struct AgentsOptions {
    /// How many agents, one run for each.
    pub nodes: Vec<usize>,
    /// How long the fleet is left alone while its idle cost is read.
    pub idle: Duration,
    /// How often an agent looks at its target.
    pub interval: Duration,
    /// Databases and targets on the disk for temporary files instead of in memory.
    pub disk: bool,
    /// The page to write.
    pub out: Option<PathBuf>,
}

/// Measures as `options` say, prints the table and writes the page. Returns 0, or 1 when a run failed.
#[must_use]
pub fn run_agents(options: &AgentsOptions) -> ExitCode {
    let mut table = Table::new(
        "Many agents in one process",
        &[
            "agents",
            "join",
            "first release to all",
            "memory of an agent",
            "idle CPU of an agent",
            "idle CPU, all agents",
            "idle CPU, hub",
            "hub resident",
            "release to all",
            "CPU of an agent for it",
            "hub CPU for it, a node",
        ],
    );
    table.say(format!(
        "Each agent has its own database ({}) and a target folder with {OBJECTS} objects, which it looks at every {}; all are \
         connected to one hub process by QUIC over loopback on the same machine. Idle: {} without a change, as a share of one \
         core. Release: one object changes; from the command to the hub knowing that the last agent applied it. Memory is \
         resident size of the agents' process by their number.",
        if options.disk { "on disk" } else { "in memory" },
        time(options.interval),
        time(options.idle),
    ));
    let mut failed = false;
    for nodes in &options.nodes {
        let row = runtime().and_then(|runtime| runtime.block_on(measure(*nodes, options)));
        match row {
            Ok(row) => table.row(row),
            Err(error) => {
                eprintln!("{nodes} agents: {error}");
                table.row([count(*nodes as u64), format!("failed: {error}")]);
                failed = true;
            }
        }
    }
    println!("{}", table.to_text());
    if let Some(out) = &options.out
        && let Err(error) = write_page(out, "Many agents", &[table])
    {
        eprintln!("cannot write {}: {error}", out.display());
        failed = true;
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

async fn measure(nodes: usize, options: &AgentsOptions) -> Result<Vec<String>, BenchError> {
    let stage = Stage::new(if options.disk { Place::Disk } else { Place::Memory })?;
    let server = stage.hub(&stage.hub_folder()).await?;
    let client = stage.client();
    let layer = Name::new("base").during("name a layer")?;
    client.apply_layer(&layer, &objects(1)).await.during("apply a layer")?;
    let target = AssignTarget::Selector([("fleet".to_owned(), "bench".to_owned())].into());
    client.assign(&AssignRequest { layers: vec![layer.clone()], target }).await.during("assign a layer")?;
    let tokens = stage.folder().join("tokens");
    std::fs::write(&tokens, stage.tokens(nodes).await?.join("\n")).during("write the tokens")?;

    let began = Instant::now();
    let interval = options.interval.as_millis().to_string();
    let arguments: Vec<OsString> = vec![
        "bench-agents".into(),
        stage.folder().join("agents").into(),
        tokens.into(),
        server.address.to_string().into(),
        interval.into(),
    ];
    let mut agents = stage.child("agents", arguments)?;
    agents.line(JOINED, ROLLOUT_WITHIN).await.during("let the agents join")?;
    let joined = began.elapsed();
    applied(&client, nodes, &mut agents).await?;
    let first = began.elapsed().saturating_sub(joined);
    // Reports of the first pass are still on their way.
    tokio::time::sleep(options.interval * 2).await;

    let before = both(&agents, &server)?;
    tokio::time::sleep(options.idle).await;
    let after = both(&agents, &server)?;
    let idle = [0, 1].map(|index| share(before[index], after[index], options.idle));
    let resident = after.map(|used| used.resident);

    let released = Instant::now();
    client.apply_layer(&layer, &objects(2)).await.during("apply a layer")?;
    applied(&client, nodes, &mut agents).await?;
    let rollout = released.elapsed();
    let done = both(&agents, &server)?;
    let spent = [0, 1].map(|index| done[index].cpu.saturating_sub(after[index].cpu) / count_of(nodes));
    agents.kill().await.during("end the agents")?;
    server.stop().await?;
    Ok(vec![
        count(nodes as u64),
        time(joined),
        time(first),
        size(resident[0] / nodes.max(1) as u64),
        format!("{:.3} %", idle[0] * 100.0 / nodes as f64),
        format!("{:.1} %", idle[0] * 100.0),
        format!("{:.1} %", idle[1] * 100.0),
        size(resident[1]),
        time(rollout),
        time(spent[0]),
        time(spent[1]),
    ])
}

fn count_of(nodes: usize) -> u32 {
    u32::try_from(nodes).unwrap_or(u32::MAX).max(1)
}

fn both(agents: &Process, server: &Server) -> Result<[ProcessUse; 2], BenchError> {
    Ok([used(agents)?, server.used()?])
}

fn share(before: ProcessUse, after: ProcessUse, time: Duration) -> f64 {
    after.cpu.saturating_sub(before.cpu).as_secs_f64() / time.as_secs_f64()
}

/// Waits until the hub knows that every agent runs what it should.
async fn applied(client: &AdminClient, nodes: usize, agents: &mut Process) -> Result<(), BenchError> {
    let deadline = Instant::now() + ROLLOUT_WITHIN;
    loop {
        let asked = Instant::now();
        let status = client.status().await.during("ask the hub")?;
        let took = asked.elapsed();
        if status.connected_count == nodes as u64 && status.behind_count == 0 {
            return Ok(());
        }
        if Instant::now() > deadline || agents.ended().is_some() {
            let (connected, behind) = (status.connected_count, status.behind_count);
            let log = agents.output().lines().rev().take(3).collect::<Vec<_>>().join("; ");
            let what =
                format!("of {nodes} agents {connected} are connected and {behind} behind; the agents said: {log}");
            return Err(BenchError::Wrong(what));
        }
        tokio::time::sleep(ASK_EVERY.max(took * ASK_SHARE)).await;
    }
}

fn objects(revision: u64) -> LayerRequest {
    let object = |number: usize| {
        let name = format!("service-{number:02}");
        let revision = if number == 0 { revision } else { 1 };
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": { "name": name, "namespace": "shop", "labels": { "app": name } },
            "spec": {
                "replicas": 2,
                "selector": { "matchLabels": { "app": name } },
                "template": {
                    "metadata": { "labels": { "app": name } },
                    "spec": { "containers": [{
                        "name": "main",
                        "image": format!("registry.example/shop/{name}:1.0.{revision}"),
                        "ports": [{ "containerPort": 8080 }],
                        "resources": { "requests": { "cpu": "50m", "memory": "64Mi" } },
                    }] },
                },
            },
        })
    };
    LayerRequest { objects: (0..OBJECTS).map(object).collect(), release: true }
}

/// What the agents' process says when all of them have joined.
const JOINED: &str = "joined ";

/// Runs the agents until the process is ended. Arguments: folder, file of tokens, the hub's address, the interval in ms.
#[must_use]
pub fn serve(arguments: Vec<OsString>) -> ExitCode {
    crate::embedded::end_when_tied();
    let arguments: Vec<String> = arguments.into_iter().filter_map(|text| text.into_string().ok()).collect();
    let [folder, tokens, hub, interval] = arguments.as_slice() else { return ExitCode::from(2) };
    let interval = Duration::from_millis(interval.parse().unwrap_or(2_000));
    let work =
        runtime().and_then(|runtime| runtime.block_on(keep(Path::new(folder), Path::new(tokens), hub, interval)));
    match work {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn keep(folder: &Path, tokens: &Path, hub: &str, interval: Duration) -> Result<(), BenchError> {
    let text = std::fs::read_to_string(tokens).during("read the tokens")?;
    let mut configs = Vec::new();
    let mut joins: JoinSet<Result<sync_core::id::NodeId, edge_node::join::JoinError>> = JoinSet::new();
    for (number, token) in text.lines().enumerate() {
        if joins.len() >= JOINS_AT_ONCE
            && let Some(done) = joins.join_next().await
        {
            done.during("join")?.during("join")?;
        }
        let name = Name::new(&format!("node-{number}")).during("name a node")?;
        let data_folder = folder.join(name.as_str());
        let path = folder.join(format!("target-{number}"));
        configs.push(RunConfig {
            data_folder: data_folder.clone(),
            target: TargetSpec::parse(&format!("directory:{}", path.display())).during("name a target")?,
            interval,
            settings: Settings::default(),
        });
        let (hub, token) = (hub.to_owned(), token.to_owned());
        let config = JoinConfig { data_folder, hub, token, name, settings: Settings::default() };
        // A join holds its database across its waits, which keeps it on one thread.
        let runtime = tokio::runtime::Handle::current();
        joins.spawn_blocking(move || runtime.block_on(join(config)));
    }
    while let Some(done) = joins.join_next().await {
        done.during("join")?.during("join")?;
    }
    println!("{JOINED}{}", configs.len());
    let mut agents = JoinSet::new();
    for config in configs {
        agents.spawn(run(config, no_witness()));
    }
    while let Some(ended) = agents.join_next().await {
        ended.during("run an agent")?.during("run an agent")?;
    }
    Ok(())
}
