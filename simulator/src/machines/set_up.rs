//! What is done before a run, and joining: hubs are founded, layers released, nodes let in by the hubs' own functions.

use std::collections::BTreeMap;
use std::sync::Arc;

use hub::enrol::enrol;
use hub::founding::{advertise, found_fleet, settle};
use hub::service::fleet::{FleetCommand, FleetReply, HubTokenRequest};
use hub::service::{AdminCommand, AdminReply, AssignTarget};
use sync_core::identity::{HandedAuthority, Identity, JoinReply, JoinRequest, SigningKey, Token};
use sync_core::replica::{Replica, in_process};
use sync_core::store::Store;

use super::end::End;
use super::member::{Drawn, Keeper, Medium, Member, Process, Role, address};
use super::part::{Due, Part};
use super::{Micros, micros};
use crate::plan::{Action, Name, Plan};

/// How long a token lives.
const TOKEN_SECONDS: u64 = 3600;

/// How long a node that could not join waits before it tries again.
const JOIN_AGAIN: Micros = 60_000_000;

/// A name of a plan as the engine has it.
#[expect(clippy::expect_used, reason = "a scenario is checked for this before it becomes a plan")]
pub(super) fn id(name: &str) -> sync_core::id::Name {
    sync_core::id::Name::new(name).expect("names of a plan are names of the engine")
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// Hubs, layers, and the nodes that are there from the start, as if all links were up.
pub(super) fn set_up(parts: &mut [Part<'_>], plan: &Plan) -> Result<(), String> {
    let places: Vec<(usize, usize)> =
        plan.hubs.iter().map(|hub| place(parts, &hub.name)).collect::<Option<_>>().ok_or("no hub")?;
    let first = *places.first().ok_or("no hub")?;
    for hub in &places {
        if *hub == first { found(member(parts, first)?)? } else { join_as_hub(parts, first, *hub)? }
    }
    let layers: Vec<_> = member_part(parts, first)?.files.layers().cloned().collect();
    for layer in layers {
        let command = AdminCommand::ApplyLayer { name: id(layer.name()), objects: layer.keyed(), release: false };
        ask(parts, first, command)?;
    }
    ask(parts, first, AdminCommand::Release { layers: Vec::new() })?;
    // Twice: the second time each learns what the others wrote into the roster after the first.
    for _ in 0..2 {
        for hub in places.iter().filter(|hub| **hub != first) {
            sync(parts, *hub, first)?;
        }
    }
    let mut ids = BTreeMap::new();
    for hub in &places {
        let it = member(parts, *hub)?;
        ids.insert(it.name.clone(), it.peer.as_ref().map(|peer| peer.id()));
    }
    for hub in &places {
        let it = member(parts, *hub)?;
        for end in &mut it.ends {
            end.peer_id = ids.get(&end.peer_name).copied().flatten();
        }
        it.dialers = it.dials().into_iter().map(|end| Keeper::new(Some(end))).collect();
        for dialer in 0..it.dialers.len() {
            member_part(parts, *hub)?.queue.put(0, Due::Dial { member: hub.1, dialer, turn: 0 });
        }
    }
    for event in plan.events.iter().filter(|event| event.at.is_zero() && event.action == Action::Join) {
        if let Some((part, member)) = place(parts, &event.on) {
            parts.get_mut(part).ok_or("no part")?.join(member, true);
        }
    }
    Ok(())
}

fn place(parts: &[Part<'_>], name: &Name) -> Option<(usize, usize)> {
    parts.iter().enumerate().find_map(|(part, it)| Some((part, *it.by_name.get(name)?)))
}

fn member_part<'a, 'p>(parts: &'a mut [Part<'p>], place: (usize, usize)) -> Result<&'a mut Part<'p>, String> {
    parts.get_mut(place.0).ok_or_else(|| "no part".to_owned())
}

fn member<'a>(parts: &'a mut [Part<'_>], place: (usize, usize)) -> Result<&'a mut Member, String> {
    member_part(parts, place)?.members.get_mut(place.1).ok_or_else(|| "no member".to_owned())
}

fn ask(parts: &mut [Part<'_>], hub: (usize, usize), command: AdminCommand) -> Result<AdminReply, String> {
    let name = format!("{command:?}");
    let reply = member_part(parts, hub)?.ask(hub.1, command);
    reply.ok_or_else(|| format!("the first hub refused {}", name.chars().take(40).collect::<String>()))
}

/// The first hub and its fleet.
fn found(it: &mut Member) -> Result<(), String> {
    let mut entropy = it.drawn("found");
    let (mut store, disk) = it.new_medium().and_then(Medium::open).map_err(text)?;
    found_fleet(&mut store, &mut entropy, Some(id(&it.name))).map_err(text)?;
    come_up(it, store, disk)
}

/// Starts a hub for the first time.
fn come_up(it: &mut Member, store: Store, disk: Option<crate::disk::Disk>) -> Result<(), String> {
    it.process = Process::Off(Medium::of(store, disk));
    it.start(0).map_err(text)?;
    it.joined = Some(0);
    let (now, own) = (it.now(0), vec![address(&it.name)]);
    let running = it.running().ok_or("it does not run")?;
    running.is_advertised = advertise(&mut running.replica, now, &own).map_err(text)?;
    while running.replica.poll_output().is_some() {}
    let identity = running.replica.shared_identity();
    it.set_identity(identity);
    Ok(())
}

fn join_as_hub(parts: &mut [Part<'_>], first: (usize, usize), hub: (usize, usize)) -> Result<(), String> {
    let request = HubTokenRequest { ttl_seconds: TOKEN_SECONDS, with_authority: true };
    let reply = ask(parts, first, AdminCommand::Fleet(FleetCommand::CreateHubToken(request)))?;
    let AdminReply::Fleet(FleetReply::Token(token)) = reply else { return Err("no token".to_owned()) };
    let token = Token::parse(&token.token).map_err(text)?;
    let it = member(parts, hub)?;
    let mut entropy = it.drawn("join");
    let key = SigningKey::generate(&mut entropy);
    let name = id(&it.name);
    let request = JoinRequest::new_hub(&token, name.clone(), Some(address(&it.name)), &key);
    let (identity, authority) = redeem(member(parts, first)?, &request, key, &token)?;
    let first_address = address(&member(parts, first)?.name);
    let it = member(parts, hub)?;
    let (mut store, disk) = it.new_medium().and_then(Medium::open).map_err(text)?;
    settle(&mut store, &mut entropy, name, &first_address, &identity, authority).map_err(text)?;
    come_up(it, store, disk)?;
    sync(parts, hub, first)
}

/// What the hub makes of a request, and the member of its answer.
fn redeem(
    hub: &mut Member,
    request: &JoinRequest,
    key: SigningKey,
    token: &Token,
) -> Result<(Identity, Option<HandedAuthority>), String> {
    let now = hub.now(hub.joined.unwrap_or_default());
    let running = hub.running().ok_or("the hub does not run")?;
    match enrol(&mut running.replica, now, &mut running.entropy, request) {
        JoinReply::Accepted { chain, authority } => {
            Ok((Identity::new(key, chain, token.pin).map_err(text)?, authority))
        }
        JoinReply::Refused { reason, message } => Err(format!("{reason} {message}")),
    }
}

/// Lets two hubs talk until neither has more to say.
fn sync(parts: &mut [Part<'_>], one: (usize, usize), other: (usize, usize)) -> Result<(), String> {
    let now = member(parts, one)?.now(0);
    let own = std::mem::replace(&mut member(parts, one)?.process, Process::Absent);
    let Process::Runs(mut running) = own else { return Err("a hub does not run".to_owned()) };
    let peer = member(parts, other)?.running().ok_or("a hub does not run")?;
    let result = in_process::sync(now, &mut running.replica, &mut peer.replica).map_err(text);
    let it = member(parts, one)?;
    it.process = Process::Runs(running);
    member_part(parts, one)?.advertise(one.1);
    result.map(drop)
}

impl Member {
    /// The ends that a hub dials: of two hubs the one with the lower id dials. (In production the other does so too, if that
    /// fails; here a link that one cannot dial, the other cannot either.)
    fn dials(&self) -> Vec<usize> {
        let own = self.peer.as_ref().map(|peer| peer.id());
        let lower = |end: &End| matches!((own, end.peer_id), (Some(own), Some(peer)) if own < peer);
        self.ends.iter().enumerate().filter(|(_, end)| lower(end)).map(|(end, _)| end).collect()
    }
}

impl Part<'_> {
    /// Lets a node in at the first of its hubs that answers, and starts it; otherwise it tries again later. `is_before`: it
    /// is done before the run, when every link is up.
    pub(super) fn join(&mut self, member: usize, is_before: bool) {
        let Some(Role::Node(node)) = self.members.get(member).map(|it| it.role) else { return };
        let plan = self.plan;
        let Some(planned) = plan.nodes.get(node) else { return };
        for hub in &planned.hubs {
            let Some(place) = self.by_name.get(hub).copied() else { continue };
            let is_open = self
                .members
                .get(member)
                .is_some_and(|it| it.ends.iter().any(|end| end.peer_name == *hub && end.can_send && end.can_hear));
            if !is_before && !is_open {
                continue;
            }
            match self.join_at(member, place, planned) {
                Ok(()) => return self.start(member),
                Err(error) => tracing::info!(node = %planned.name, %error, "could not join"),
            }
        }
        self.queue.put(self.now + JOIN_AGAIN, Due::Join { member });
    }

    fn join_at(&mut self, member: usize, hub: usize, planned: &crate::plan::PlannedNode) -> Result<(), String> {
        let labels = planned.labels.clone();
        let reply = self.ask(hub, AdminCommand::CreateToken { ttl_seconds: TOKEN_SECONDS, labels });
        let Some(AdminReply::Token(token)) = reply else { return Err("the hub makes no token".to_owned()) };
        let token = Token::parse(&token.token).map_err(text)?;
        let now = self.now;
        let it = self.members.get_mut(member).ok_or("no member")?;
        let mut entropy: Drawn = it.drawn("join");
        let key = SigningKey::generate(&mut entropy);
        let name = id(&planned.name);
        let request = JoinRequest::new(&token, name.clone(), &key);
        let host = self.members.get_mut(hub).ok_or("no hub")?;
        let time = host.now(now);
        let joined_at = address(&host.name);
        let running = host.running().ok_or("the hub does not run")?;
        let reply = enrol(&mut running.replica, time, &mut running.entropy, &request);
        self.finish(hub, None);
        let JoinReply::Accepted { chain, .. } = reply else { return Err(format!("{reply:?}")) };
        let identity = Identity::new(key, chain, token.pin).map_err(text)?;
        let it = self.members.get_mut(member).ok_or("no member")?;
        let (mut store, disk) = it.new_medium().and_then(Medium::open).map_err(text)?;
        Replica::init(&mut store, &identity, &mut entropy).map_err(text)?;
        it.process = Process::Off(Medium::of(store, disk));
        it.joined_at = joined_at;
        it.joined = Some(now);
        it.set_identity(Arc::new(identity));
        let layers = planned.layers.iter().map(|layer| id(layer)).collect();
        self.ask(hub, AdminCommand::Assign { layers, target: AssignTarget::Node(name) });
        Ok(())
    }
}

/// When copies of files are to be made, for events that set them back.
pub(super) fn back_ups(part: &mut Part<'_>) {
    let plan = part.plan;
    for number in part.events.clone() {
        let Some(event) = plan.events.get(number) else { continue };
        if let (Action::RestoreBackup { age }, Some(member)) = (&event.action, part.by_name.get(&event.on).copied()) {
            part.queue.put(micros(event.at.saturating_sub(*age)), Due::Backup { member, event: number });
        }
    }
}
