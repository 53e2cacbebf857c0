//! One samod-core repository with its documents in memory: carries out what its actors ask for, and counts its CPU time.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;
use samod_core::actors::document::io::{DocumentIoResult, DocumentIoTask};
use samod_core::actors::document::{DocActorResult, DocumentActor};
use samod_core::actors::hub::io::{HubIoAction, HubIoResult};
use samod_core::actors::hub::{CommandId, CommandResult, DispatchedCommand, Hub, HubEvent};
use samod_core::io::{IoResult, IoTask, StorageResult, StorageTask};
use samod_core::network::{BackoffConfig, DialerConfig, ListenerConfig};
use samod_core::{
    ConnectionId, DocumentActorId, LoaderState, PeerId, SamodLoader, ShareConfig, StorageKey, UnixTimestamp,
};
use url::Url;

use crate::thread_cpu;

/// A repository.
pub(crate) struct Repository {
    hub: Hub,
    documents: BTreeMap<DocumentActorId, DocumentActor>,
    stored: HashMap<StorageKey, Vec<u8>>,
    rng: StdRng,
    connection: Option<ConnectionId>,
    completed: HashMap<CommandId, CommandResult>,
    /// Messages that wait to be carried to the other side.
    said: VecDeque<Vec<u8>>,
    /// What it has spent since it was last asked.
    pub(crate) spent: Duration,
}

impl Repository {
    pub(crate) fn new(name: &str, seed: u64) -> Result<Self, String> {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut stored = HashMap::new();
        let mut loader = SamodLoader::new(PeerId::from_string(name.to_owned()));
        let hub = loop {
            match loader.step(&mut rng, UnixTimestamp::now()) {
                LoaderState::Loaded(hub) => break *hub,
                LoaderState::NeedIo(tasks) => {
                    for IoTask { task_id, action } in tasks {
                        let payload = carry_out(&mut stored, action);
                        loader.provide_io_result(IoResult { task_id, payload });
                    }
                }
            }
        };
        Ok(Self {
            hub,
            documents: BTreeMap::new(),
            stored,
            rng,
            connection: None,
            completed: HashMap::new(),
            said: VecDeque::new(),
            spent: Duration::ZERO,
        })
    }

    /// How many documents it holds.
    pub(crate) fn documents(&self) -> usize {
        self.documents.values().filter(|document| document.is_document_ready()).count()
    }

    pub(crate) fn create(&mut self, document: automerge::Automerge) -> Result<(), String> {
        let created = self.command(HubEvent::create_document(document))?;
        let is_there = matches!(created, CommandResult::CreateDocument { .. });
        if is_there { Ok(()) } else { Err(format!("a document was not created: {created:?}")) }
    }

    pub(crate) fn dial(&mut self) -> Result<(), String> {
        let config = DialerConfig { url: address()?, backoff: BackoffConfig::default() };
        let CommandResult::AddDialer { dialer_id } = self.command(HubEvent::add_dialer(config))? else {
            return Err("no dialer was made".to_owned());
        };
        self.connected(HubEvent::create_dialer_connection(dialer_id, None))
    }

    pub(crate) fn listen(&mut self) -> Result<(), String> {
        let config = ListenerConfig { url: address()? };
        let CommandResult::AddListener { listener_id } = self.command(HubEvent::add_listener(config))? else {
            return Err("no listener was made".to_owned());
        };
        self.connected(HubEvent::create_listener_connection(listener_id, None))
    }

    fn connected(&mut self, command: DispatchedCommand) -> Result<(), String> {
        let CommandResult::CreateConnection { connection_id } = self.command(command)? else {
            return Err("no connection was made".to_owned());
        };
        self.connection = Some(connection_id);
        Ok(())
    }

    pub(crate) fn disconnect(&mut self) {
        if let Some(connection) = self.connection.take() {
            self.handle(HubEvent::connection_lost(connection));
        }
        self.said.clear();
    }

    /// What it has to say now.
    pub(crate) fn take_said(&mut self) -> Vec<Vec<u8>> {
        self.said.drain(..).collect()
    }

    pub(crate) fn receive(&mut self, message: Vec<u8>) {
        if let Some(connection) = self.connection {
            self.handle(HubEvent::receive(connection, message).event);
        }
    }

    fn command(&mut self, command: DispatchedCommand) -> Result<CommandResult, String> {
        self.handle(command.event);
        self.completed.remove(&command.command_id).ok_or_else(|| "a command was not completed".to_owned())
    }

    /// Handles an event and everything that follows from it here.
    fn handle(&mut self, event: HubEvent) {
        let began = thread_cpu();
        let mut waiting = VecDeque::from([event]);
        while let Some(event) = waiting.pop_front() {
            let results = self.hub.handle_event(&mut self.rng, UnixTimestamp::now(), event);
            self.completed.extend(results.completed_commands);
            for IoTask { task_id, action } in results.new_tasks {
                let payload = match action {
                    HubIoAction::Send { msg, .. } => {
                        self.said.push_back(msg);
                        HubIoResult::Send
                    }
                    HubIoAction::Disconnect { .. } => HubIoResult::Disconnect,
                };
                waiting.push_back(HubEvent::io_complete(IoResult { task_id, payload }));
            }
            for arguments in results.spawn_actors {
                let id = arguments.actor_id();
                let (mut document, result) = DocumentActor::new(UnixTimestamp::now(), arguments);
                follow(id, &mut document, result, &mut self.stored, &mut waiting);
                self.documents.insert(id, document);
            }
            for (id, message) in results.actor_messages {
                if let Some(document) = self.documents.get_mut(&id)
                    && let Ok(result) = document.handle_message(UnixTimestamp::now(), message)
                {
                    follow(id, document, result, &mut self.stored, &mut waiting);
                }
            }
        }
        self.spent += thread_cpu().saturating_sub(began);
    }
}

/// Carries out what a document asked for, and what it asks for then.
fn follow(
    id: DocumentActorId,
    document: &mut DocumentActor,
    result: DocActorResult,
    stored: &mut HashMap<StorageKey, Vec<u8>>,
    waiting: &mut VecDeque<HubEvent>,
) {
    let mut results = VecDeque::from([result]);
    while let Some(result) = results.pop_front() {
        waiting.extend(result.outgoing_messages.into_iter().map(|message| HubEvent::actor_message(id, message)));
        for IoTask { task_id, action } in result.io_tasks {
            let payload = match action {
                DocumentIoTask::Storage(task) => DocumentIoResult::Storage(carry_out(stored, task)),
                DocumentIoTask::CheckSharePolicy { .. } => DocumentIoResult::CheckSharePolicy(ShareConfig::default()),
            };
            let done = document.handle_io_complete(UnixTimestamp::now(), IoResult { task_id, payload });
            results.extend(done.ok());
        }
    }
}

fn carry_out(stored: &mut HashMap<StorageKey, Vec<u8>>, task: StorageTask) -> StorageResult {
    match task {
        StorageTask::Load { key } => StorageResult::Load { value: stored.get(&key).cloned() },
        StorageTask::LoadRange { prefix } => {
            // Only documents that are new here ask for this, and nothing of them is stored.
            let _ = prefix;
            StorageResult::LoadRange { values: HashMap::new() }
        }
        StorageTask::Put { key, value } => {
            stored.insert(key, value);
            StorageResult::Put
        }
        StorageTask::Delete { key } => {
            stored.remove(&key);
            StorageResult::Delete
        }
    }
}

fn address() -> Result<Url, String> {
    Url::parse("memory://bench").map_err(|error| error.to_string())
}
