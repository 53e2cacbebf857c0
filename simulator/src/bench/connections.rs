//! What a node costs the hub when it reconnects and while it is connected, against QUIC with nothing above it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use quinn::Endpoint;
use sync_core::env::no_witness;
use sync_core::id::{LinkId, Name};
use sync_core::identity::{Identity, Role, SigningKey, Token};
use sync_core::replica::{Event, Now, Output, Replica};
use sync_core::store::Store;
use sync_core::transport::{Clock, CloseCode, Link, Settings, SystemEntropy, dial_on, join_on};
use tokio::task::JoinSet;

use super::fleet::{Fleet, Place};
use super::measure::ProcessUse;
use super::stage::{Server, Stage, runtime};
use super::table::{Table, count, ratio, size, time};
use super::{BenchError, During, Options, bare};

/// Connections that the parent opens at the same time.
const AT_ONCE: usize = 16;

/// How long memory gets to settle before it is read.
const SETTLE: Duration = Duration::from_secs(1);

/// What a server spent.
#[derive(Debug, Clone, Copy)]
struct Cost {
    /// CPU of one connection with its request, from first packet to close.
    connection: Duration,
    /// Resident bytes of one that is open and idle.
    memory: f64,
}

/// Measures and compares.
pub(super) fn measure(options: &Options) -> Result<Table, BenchError> {
    let (nodes, rounds) = if options.quick { (4, 1) } else { (500, 6) };
    let mut table = Table::new(
        "What a node costs the hub",
        &[
            "server process",
            "CPU of a reconnect",
            "/ bare quinn",
            "resident memory of an idle connection",
            "/ bare quinn",
        ],
    );
    table.say(format!(
        "{} nodes with nothing new, mutual TLS with the same certificates on both servers. Archipel: the hub's process with its \
         database in memory; a reconnect is handshake, both hellos, close, and the rows in which the hub notes contacts, all at once. \
         quinn: handshake, one request of 100 bytes and its answer, close. CPU is the server process's over {} connections; \
         memory the growth of its resident size when all are open.",
        count(nodes as u64),
        count((nodes * rounds) as u64),
    ));
    let (ours, quinn) = runtime()?.block_on(async {
        let quinn = bare_cost(nodes, rounds).await?;
        Ok::<_, BenchError>((our_cost(nodes, rounds).await?, quinn))
    })?;
    for (name, cost) in [("Archipel", ours), ("bare quinn", quinn)] {
        table.row([
            name.to_owned(),
            time(cost.connection),
            ratio(cost.connection.as_secs_f64(), quinn.connection.as_secs_f64()),
            size(cost.memory.max(0.0) as u64),
            ratio(cost.memory, quinn.memory),
        ]);
    }
    Ok(table)
}

fn client() -> Result<Endpoint, BenchError> {
    Endpoint::client(SocketAddr::from(([127, 0, 0, 1], 0))).during("open a socket")
}

fn cost(nodes: usize, rounds: usize, cpu: [ProcessUse; 2], idle: [ProcessUse; 2]) -> Cost {
    let [before, after] = cpu;
    let connections = u32::try_from(nodes * rounds).unwrap_or(1).max(1);
    let [fresh, full] = idle;
    Cost {
        connection: after.cpu.saturating_sub(before.cpu) / connections,
        memory: (full.resident as f64 - fresh.resident as f64) / nodes as f64,
    }
}

async fn bare_cost(nodes: usize, rounds: usize) -> Result<Cost, BenchError> {
    let mut fleet = Fleet::new(9)?;
    let stage = Stage::new(Place::Memory)?;
    let file = stage.folder().join("identity.pem");
    std::fs::write(&file, fleet.identity(Role::Hub)?.to_pem()).during("write an identity")?;
    let identities = (0..nodes).map(|_| fleet.identity(Role::Node).map(Arc::new)).collect::<Result<Vec<_>, _>>()?;
    let start = || stage.server("bare", vec!["bench-quinn".into(), file.clone().into()]);
    let endpoint = client()?;
    let connect_all = async |server: &Server, identities: &[Arc<Identity>], keep: bool| {
        let mut open = Vec::new();
        for some in identities.chunks(AT_ONCE) {
            let mut tasks = JoinSet::new();
            for identity in some {
                let (endpoint, address, identity) = (endpoint.clone(), server.address, Arc::clone(identity));
                tasks.spawn(async move { bare::request(&endpoint, address, &identity).await });
            }
            while let Some(done) = tasks.join_next().await {
                let connection = done.during("connect")??;
                if keep {
                    open.push(connection);
                } else {
                    connection.close(0_u32.into(), b"");
                }
            }
        }
        Ok::<_, BenchError>(open)
    };
    let first = identities.get(..1).unwrap_or_default();

    let server = start().await?;
    connect_all(&server, first, false).await?;
    let before = server.used()?;
    for _ in 0..rounds {
        connect_all(&server, &identities, false).await?;
    }
    endpoint.wait_idle().await;
    let after = server.used()?;
    server.stop().await?;

    let server = start().await?;
    connect_all(&server, first, false).await?;
    endpoint.wait_idle().await;
    let fresh = server.used()?;
    let open = connect_all(&server, &identities, true).await?;
    tokio::time::sleep(SETTLE).await;
    let full = server.used()?;
    drop(open);
    server.stop().await?;
    Ok(cost(nodes, rounds, [before, after], [fresh, full]))
}

/// A node of this process: a replica in memory, without an agent.
struct Node {
    replica: Replica,
    identity: Arc<Identity>,
    clock: Clock,
    links: u64,
}

async fn our_cost(nodes: usize, rounds: usize) -> Result<Cost, BenchError> {
    let stage = Stage::new(Place::Memory)?;
    let endpoint = client()?;
    let server = stage.hub(&stage.hub_folder()).await?;
    let tokens = stage.tokens(nodes).await?;
    let mut members = Vec::with_capacity(nodes);
    for (number, token) in tokens.iter().enumerate() {
        members.push(enrol(&endpoint, server.address, token, number).await?);
    }
    // The first meeting, which is not what is measured.
    let (mut members, _) = meet_all(members, &endpoint, server.address, false).await?;
    endpoint.wait_idle().await;
    server.stop().await?;

    let server = stage.hub(&stage.hub_folder()).await?;
    let warm = members.drain(..1).collect();
    let (warm, _) = meet_all(warm, &endpoint, server.address, false).await?;
    members.extend(warm);
    let before = server.used()?;
    for _ in 0..rounds {
        members = meet_all(members, &endpoint, server.address, false).await?.0;
    }
    endpoint.wait_idle().await;
    tokio::time::sleep(SETTLE).await;
    // Whoever asks has the contacts written down, so that they are paid for.
    stage.client().status().await.during("ask the hub")?;
    let after = server.used()?;
    server.stop().await?;

    let server = stage.hub(&stage.hub_folder()).await?;
    let warm = members.drain(..1).collect();
    let (warm, _) = meet_all(warm, &endpoint, server.address, false).await?;
    members.extend(warm);
    endpoint.wait_idle().await;
    let fresh = server.used()?;
    let (members, open) = meet_all(members, &endpoint, server.address, true).await?;
    tokio::time::sleep(SETTLE).await;
    let full = server.used()?;
    drop((members, open));
    server.stop().await?;
    Ok(cost(nodes, rounds, [before, after], [fresh, full]))
}

async fn enrol(endpoint: &Endpoint, address: SocketAddr, token: &str, number: usize) -> Result<Node, BenchError> {
    let mut entropy = SystemEntropy::new();
    let key = SigningKey::generate(&mut entropy);
    let name = Name::new(&format!("node-{number}")).during("name a node")?;
    let token = Token::parse(token).during("read a token")?;
    let identity = join_on(endpoint, address, &token, &name, &key, &Settings::default()).await.during("join")?;
    let mut store = Store::open_in_memory().during("open a database")?;
    Replica::init(&mut store, &identity, &mut entropy).during("give a database its identity")?;
    let replica = Replica::open(store, &mut entropy, no_witness()).during("open a replica")?;
    Ok(Node { replica, identity: Arc::new(identity), clock: Clock::start(), links: 0 })
}

/// Lets every node reconnect and say all it has; the links are closed, or kept.
async fn meet_all(
    nodes: Vec<Node>,
    endpoint: &Endpoint,
    address: SocketAddr,
    keep: bool,
) -> Result<(Vec<Node>, Vec<Link>), BenchError> {
    let (mut back, mut open) = (Vec::with_capacity(nodes.len()), Vec::new());
    let mut waiting = nodes.into_iter();
    let mut tasks = JoinSet::new();
    loop {
        while tasks.len() < AT_ONCE
            && let Some(mut node) = waiting.next()
        {
            let endpoint = endpoint.clone();
            tasks.spawn(async move {
                let link = meet(&mut node, &endpoint, address).await?;
                if keep {
                    return Ok::<_, BenchError>((node, Some(link)));
                }
                link.control.close(CloseCode::DONE, "");
                let now = node.now();
                node.replica.handle_link_down(now, LinkId(node.links)).during("take a link down")?;
                while node.replica.poll_output().is_some() {}
                Ok((node, None))
            });
        }
        let Some(done) = tasks.join_next().await else { return Ok((back, open)) };
        let (node, link) = done.during("reconnect")??;
        back.push(node);
        open.extend(link);
    }
}

impl Node {
    fn now(&self) -> Now {
        Now { instant: self.clock.now(), wall: self.clock.wall() }
    }
}

async fn meet(node: &mut Node, endpoint: &Endpoint, address: SocketAddr) -> Result<Link, BenchError> {
    let mut link = dial_on(endpoint, address, &node.identity, &Settings::default()).await.during("dial")?;
    node.links += 1;
    let id = LinkId(node.links);
    let now = node.now();
    node.replica.handle_link_up(now, id, &link.peer, true).during("bring a link up")?;
    loop {
        let mut is_synced = false;
        while let Some(output) = node.replica.poll_output() {
            match output {
                Output::Transmit { frame, .. } => link.sender.send(frame).await.during("send a frame")?,
                Output::Close { close, .. } => return Err(BenchError::Wrong(format!("the hub closed: {close:?}"))),
                Output::Event(event) => is_synced |= matches!(event, Event::Synced(_)),
            }
        }
        if is_synced {
            return Ok(link);
        }
        let frame = link.receiver.recv().await.during("receive a frame")?;
        let frame = frame.ok_or_else(|| BenchError::Wrong("the hub had finished".to_owned()))?;
        let now = node.now();
        node.replica.handle_frame(now, id, &frame).during("take a frame")?;
    }
}
