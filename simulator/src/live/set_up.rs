//! Sets a rehearsal's fleet up: fronts and links, hubs with their layers, and nodes that join.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hub::api::{AssignRequest, LayerRequest, ReleaseRequest, TokenRequest};
use hub::service::AssignTarget;
use hub::service::fleet::HubTokenRequest;
use sync_core::id::NodeId;
use tokio::time::sleep;

use super::LiveError;
use super::member::Member;
use super::world::{Cable, World};
use crate::plan::stream::Stream;
use crate::plan::{Action, Name};
use crate::process::{Process, Spec};
use crate::proxy::{Lane, LinkState, Proxy, Way};
use crate::stack::world::id;
use crate::trace::{Happening, Work};

/// How long whoever joins may take. More than a handshake's own timeout.
const JOIN_WITHIN: Duration = Duration::from_secs(12);

/// How often the first hub is asked for a token before this gives up.
const TOKEN_TRIES: u32 = 5;

/// Tokens are redeemed at once.
const TOKEN_TTL_SECONDS: u64 = 3600;

/// Links by who dials and who is dialled. Clones are the same.
#[derive(Debug, Clone, Default)]
pub(super) struct Lanes(Arc<Mutex<ByEnds>>);

type ByEnds = BTreeMap<(Name, Name), Arc<LinkState>>;

impl Lanes {
    pub(super) fn add(&self, from: &Name, to: &Name, link: &Arc<LinkState>) {
        self.lanes().insert((from.clone(), to.clone()), Arc::clone(link));
    }

    /// The link between a client and the hub before which it stands: the client's own, or the one on which the hub dials it.
    fn find(&self, client: &Name, hub: &Name) -> Option<Lane> {
        let lanes = self.lanes();
        let (client, hub) = (client.clone(), hub.clone());
        let out = lanes.get(&(client.clone(), hub.clone())).map(|link| (link, Way::ToHub));
        let (link, way) = out.or_else(|| lanes.get(&(hub, client)).map(|link| (link, Way::ToNode)))?;
        Some(Lane { link: Arc::clone(link), way })
    }

    /// Plain data: a panic elsewhere leaves nothing half-written.
    fn lanes(&self) -> MutexGuard<'_, ByEnds> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl World<'_> {
    /// Everything that is there before the first event, over links that are all up.
    pub(super) async fn set_up(&mut self) -> Result<(), LiveError> {
        for folder in ["logs", "targets", "backups"] {
            let path = self.work.join(folder);
            std::fs::create_dir_all(&path).map_err(LiveError::system(format!("make {}", path.display())))?;
        }
        for link in &self.plan.links {
            let seed = Stream::new(self.plan.seed, &["line", &link.name()]).next_u64();
            let state = Arc::new(LinkState::new(seed));
            state.set_day(self.day);
            self.lanes.add(&link.from, &link.to, &state);
            self.cables.push(Cable { from: link.from.clone(), to: link.to.clone(), state, is_up: true });
        }
        let mut addresses = Vec::new();
        for hub in &self.plan.hubs {
            let address = free_address().map_err(LiveError::system("find a free port"))?;
            let (lanes, owners, name) = (self.lanes.clone(), self.owners.clone(), hub.name.clone());
            let whose = move |from: SocketAddr| lanes.find(&owners.of_port(from.port())?, &name);
            let front = Proxy::start_shared(address, Arc::new(whose)).await;
            self.fronts.insert(hub.name.clone(), front.map_err(LiveError::system("open a proxy's socket"))?);
            addresses.push((hub.name.clone(), address));
        }
        for (name, address) in addresses {
            self.add_hub(&name, address).await?;
        }
        let Some(first) = self.plan.hubs.first().map(|hub| hub.name.clone()) else { return Ok(()) };
        for layer in self.plan.layers.iter().map(|layer| layer.name.clone()).collect::<Vec<_>>() {
            self.apply_layer(&first, &layer, false).await;
        }
        self.release(&first).await;
        for event in self.plan.events.iter().filter(|event| event.at.is_zero() && event.action == Action::Join) {
            if !self.join(&event.on).await? {
                return Err(LiveError::SetUp(format!("{} could not join", event.on)));
            }
        }
        Ok(())
    }

    /// Makes a hub, of a new fleet or of the first hub's, and starts it.
    async fn add_hub(&mut self, name: &Name, address: SocketAddr) -> Result<(), LiveError> {
        let data = self.work.join(&**name);
        let front = self.front(name);
        let mut arguments = vec!["hub", "init", "--name", name].into_iter().map(OsString::from).collect::<Vec<_>>();
        arguments.extend(["--data".into(), data.clone().into()]);
        let first = self.plan.hubs.first().map(|hub| hub.name.clone()).filter(|first| first != name);
        if let Some(first) = first {
            let token = self.hub_token(&first).await?;
            let at = self.front(&first);
            arguments.extend(["--join", &token, "--hub-address", &at, "--advertise", &front].map(OsString::from));
        }
        if !self.run_as(name, arguments).await? {
            let log = self.work.join("logs").join(format!("{name}-once.log"));
            return Err(LiveError::SetUp(format!("{name} could not be made; its log is {}", log.display())));
        }
        let mut serve: Vec<OsString> = vec!["hub".into(), "serve".into(), "--data".into(), data.clone().into()];
        let listen = address.to_string();
        serve.extend(["--listen", &listen, "--advertise", &front].map(OsString::from));
        let spec = self.spec(name, serve);
        self.members
            .insert(name.clone(), Member::new(name.clone(), true, data, self.work.clone(), spec, self.owners.clone()));
        self.start(name).await;
        let status = self.ask(name, async |hub| hub.status().await).await;
        let id = status.and_then(|status| NodeId::from_hex(&status.id));
        self.knows_itself(name, id);
        Ok(())
    }

    async fn hub_token(&self, first: &Name) -> Result<String, LiveError> {
        let request = HubTokenRequest { ttl_seconds: TOKEN_TTL_SECONDS, with_authority: true };
        for _ in 0..TOKEN_TRIES {
            if let Some(token) = self.ask(first, async |hub| hub.create_hub_token(&request).await).await {
                return Ok(token.token);
            }
            sleep(Duration::from_millis(200)).await;
        }
        Err(LiveError::SetUp(format!("{first} gives no token for another hub")))
    }

    /// The id of a member is known once it is made, and its first start is told with it.
    fn knows_itself(&mut self, name: &Name, id: Option<NodeId>) {
        let Some((member, node)) = self.members.get_mut(name).zip(id) else { return };
        member.id = Some(node);
        let (boot, is_hub) = (member.boots, member.is_hub);
        self.tell(Happening::Started { member: (&**name).into(), boot, node, is_hub, clock_is_wrong: false });
    }

    /// Lets a node in at the first of its hubs that can be reached. `false`: to be tried again.
    pub(super) async fn join(&mut self, name: &Name) -> Result<bool, LiveError> {
        let plan = self.plan;
        let Some(planned) = plan.nodes.iter().find(|node| node.name == *name) else { return Ok(true) };
        for hub in &planned.hubs {
            let is_up = self.cables.iter().any(|cable| cable.from == *name && cable.to == *hub && cable.is_up);
            if !is_up {
                continue;
            }
            let request = TokenRequest { ttl_seconds: TOKEN_TTL_SECONDS, labels: planned.labels.clone() };
            let Some(token) = self.ask(hub, async |hub| hub.create_token(&request).await).await else { continue };
            let (data, target) = (self.work.join(&**name), self.work.join("targets").join(&**name));
            let front = self.front(hub);
            let mut join: Vec<OsString> = vec!["edge".into(), "join".into(), "--data".into(), data.clone().into()];
            join.extend(["--hub", &front, "--token", &token.token, "--name", name].map(OsString::from));
            if !self.run_as(name, join).await? {
                continue;
            }
            let layers = planned.layers.iter().map(|layer| id(layer)).collect();
            let request = AssignRequest { layers, target: AssignTarget::Node(id(name)) };
            self.ask(hub, async |hub| hub.assign(&request).await).await;
            let spec = self.edge_spec(name, &data, &target);
            let node = Member::new(name.clone(), false, data.clone(), target, spec, self.owners.clone());
            self.members.insert(name.clone(), node);
            self.joined.push(name.clone());
            self.tell(Happening::Work { member: (&**name).into(), work: Work::Join });
            self.start(name).await;
            let status = edge_node::status::status(&data, None).ok();
            self.knows_itself(name, status.map(|status| status.node));
            return Ok(true);
        }
        Ok(false)
    }

    /// How an agent is started.
    pub(super) fn edge_spec(&self, name: &Name, data: &std::path::Path, target: &std::path::Path) -> Spec {
        let mut run: Vec<OsString> = vec!["edge".into(), "run".into(), "--data".into(), data.into()];
        run.extend(["--target".into(), format!("directory:{}", target.display()).into()]);
        self.spec(name, run)
    }

    /// A process of a member's that runs for as long as it does.
    fn spec(&self, name: &Name, mut arguments: Vec<OsString>) -> Spec {
        let idle = format!("{}ms", self.idle_timeout.as_millis());
        arguments.extend(["--idle-timeout", &idle].map(OsString::from));
        self.any_spec(name, name, arguments)
    }

    fn any_spec(&self, name: &Name, log: &str, arguments: Vec<OsString>) -> Spec {
        Spec {
            name: name.to_string(),
            program: self.program.clone(),
            arguments,
            environment: Vec::new(),
            log: self.work.join("logs").join(format!("{log}.log")),
        }
    }

    /// Runs a command of a member's to its end, over its own links; whether it succeeded.
    async fn run_as(&mut self, name: &Name, arguments: Vec<OsString>) -> Result<bool, LiveError> {
        let mut process = Process::start(self.any_spec(name, &format!("{name}-once"), arguments))?;
        let number = process.id();
        self.owners.add(number, name);
        let status = process.end(JOIN_WITHIN).await;
        if status.is_none() {
            process.kill().await?;
        }
        self.owners.remove(number);
        Ok(status.is_some_and(|status| status.success()))
    }

    /// Where others reach a hub.
    pub(super) fn front(&self, hub: &Name) -> String {
        self.fronts.get(hub).map(|front| front.address().to_string()).unwrap_or_default()
    }

    /// Gives a hub a layer as somebody keeps it in files now; whether it took it.
    pub(super) async fn apply_layer(&mut self, hub: &Name, layer: &str, release: bool) -> bool {
        let Some(content) = self.files.layer(layer) else { return false };
        let objects = content.keyed().into_iter().map(|keyed| keyed.object).collect();
        let (name, request) = (id(layer), LayerRequest { objects, release });
        let Some(applied) = self.ask(hub, async |hub| hub.apply_layer(&name, &request).await).await else {
            return false;
        };
        if let Some(version) = applied.release_version {
            self.released(hub, version);
        }
        true
    }

    /// Has a hub release what was edited; whether it did.
    pub(super) async fn release(&mut self, hub: &Name) -> bool {
        let request = ReleaseRequest { layers: Vec::new() };
        let Some(released) = self.ask(hub, async |hub| hub.release(&request).await).await else { return false };
        self.released(hub, released.release_version);
        true
    }
}

/// A port that was free a moment ago: a hub comes back on the port that it had.
fn free_address() -> io::Result<SocketAddr> {
    UdpSocket::bind("127.0.0.1:0")?.local_addr()
}
