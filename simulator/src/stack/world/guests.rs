//! Guests of a world: their workloads ask while time passes, and at the end they are told what members hold.

use std::time::Duration;

use hub::service::{AdminCommand, AdminReply};
use sync_core::replica::Replica;
use tokio::time::sleep_until;

use super::{World, id};
use crate::guests::{FleetError, HubEnd, Request};
use crate::holding;
use crate::plan::Name;

impl World<'_> {
    /// Begins the workloads of guests; the run has begun.
    pub(super) fn begin_workloads(&mut self) {
        let names = |members: &mut dyn Iterator<Item = &Name>| members.map(ToString::to_string).collect::<Vec<_>>();
        let hubs = names(&mut self.plan.hubs.iter().map(|hub| &hub.name));
        let nodes = names(&mut self.plan.nodes.iter().map(|node| &node.name));
        self.guests.workloads.begin(self.plan.seed, &self.book, &hubs, &nodes);
    }

    /// Lets time pass until `at`, and answers guests meanwhile.
    pub(super) async fn wait_until(&mut self, at: Duration) {
        let at = self.start + at;
        while self.broken.is_empty() {
            let request = tokio::select! {
                biased;
                () = sleep_until(at) => return,
                request = self.guests.workloads.next() => request,
            };
            self.answer(request).await;
        }
    }

    async fn answer(&mut self, request: Request) {
        match request {
            // One who asked and is gone needs no answer.
            Request::Ask { hub, command, reply } => drop(reply.send(self.ask_for_guest(&hub, command).await)),
            Request::Handle { member, reply } => {
                let site = self.sites.get(&*member).ok_or_else(|| FleetError::Unknown(member.clone()));
                let handle = site.and_then(|site| site.handle().cloned().ok_or(FleetError::Off(member)));
                drop(reply.send(handle));
            }
            Request::Panicked => self.broken.push("a workload panicked".to_owned()),
        }
    }

    async fn ask_for_guest(&mut self, hub: &str, command: AdminCommand) -> Result<AdminReply, FleetError> {
        let Some(hub) = self.plan.hubs.iter().map(|it| it.name.clone()).find(|it| **it == *hub) else {
            return Err(FleetError::Unknown(hub.to_owned()));
        };
        match self.try_ask(&hub, command).await {
            None => Err(FleetError::Off(hub.to_string())),
            Some(answer) => Ok(answer?),
        }
    }

    /// Tells guests what members hold at the end.
    pub(super) async fn tell_guests_the_end(&mut self) {
        for hub in self.plan.hubs.iter().map(|hub| hub.name.clone()).collect::<Vec<_>>() {
            let mut end = HubEnd::default();
            if let Some(AdminReply::Nodes(list)) = self.ask(&hub, AdminCommand::ListNodes).await {
                for name in list.nodes.into_iter().map(|node| node.name) {
                    if let Some(AdminReply::Node(node)) = self.ask(&hub, AdminCommand::ShowNode { name }).await {
                        end.nodes.insert(node.node.name.to_string(), node);
                    }
                }
            }
            for name in self.plan.layers.iter().map(|layer| id(&layer.name)) {
                if let Some(AdminReply::Layer(layer)) = self.ask(&hub, AdminCommand::ShowLayer { name }).await {
                    end.layers.insert(layer.layer.name.to_string(), layer);
                }
            }
            self.guests.hubs.insert(hub.to_string(), end);
        }
        for name in self.joined.clone() {
            let Some(handle) = self.sites.get(&name).and_then(|site| site.handle()) else { continue };
            let read = |replica: &mut Replica, _| replica.inspect(holding::node_end);
            // A store that cannot be read has nothing to tell; the checks count that.
            if let Ok(Ok(end)) = handle.call(read).await {
                self.guests.nodes.insert(name.to_string(), end);
            }
        }
    }
}
