//! A link as an attacker has it: QUIC with a member's certificate, and any bytes at all on it.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Connection, IdleTimeout, RecvStream, SendStream, TransportConfig};
use sync_core::id::NodeId;
use sync_core::identity::tls::{HUB_NAME, client_config};
use sync_core::limits::{FRAME_BYTES_MAX, READ_BYTES_MAX};
use sync_core::transport::Settings;
use sync_core::transport::frame::{FrameDecoder, prefixed};
use sync_core::wire::{Message, Push, PushEntry};
use tokio::time::timeout;

use super::insider::Insider;

/// Messages that are taken in at most before the attacker goes on.
const HEARD_MAX: usize = 4096;

/// What an attack came to. Clones are the same notes.
#[derive(Debug, Clone, Default)]
pub(super) struct Notes(Arc<Mutex<Noted>>);

/// What is noted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Noted {
    /// Connections on which a hub has said hello, or on which it had to take something that is no hello.
    pub(super) sessions: u64,
    /// Frames and other bytes that were sent in one go.
    pub(super) frames: u64,
    /// Documents that a hub has sent and the node may not read.
    pub(super) leaked: Vec<String>,
}

impl Notes {
    /// Plain numbers: a panic elsewhere leaves nothing half-written.
    fn noted(&self) -> MutexGuard<'_, Noted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was noted so far.
    pub(super) fn read(&self) -> Noted {
        self.noted().clone()
    }

    /// A hub had to deal with it.
    pub(super) fn met(&self) {
        self.noted().sessions += 1;
    }
}

/// A connection with one stream.
pub(super) struct Conversation {
    connection: Connection,
    send: SendStream,
    receive: RecvStream,
    decoder: FrameDecoder,
    insider: Arc<Insider>,
    hub: NodeId,
    notes: Notes,
    /// Whether it tells that it holds what the hub has sent.
    pub(super) acknowledges: bool,
    /// Until the hub ends it.
    pub(super) is_open: bool,
}

impl Conversation {
    /// Shakes hands; `None` when the hub does not answer or does not want the certificate.
    pub(super) async fn dial(
        endpoint: &quinn::Endpoint,
        address: SocketAddr,
        hub: NodeId,
        insider: Arc<Insider>,
        notes: Notes,
    ) -> Option<Self> {
        let connection = connect(endpoint, address, &insider).await?;
        let (send, receive) = connection.open_bi().await.ok()?;
        let decoder = FrameDecoder::new(FRAME_BYTES_MAX);
        Some(Self { connection, send, receive, decoder, insider, hub, notes, acknowledges: true, is_open: true })
    }

    /// Sends bytes as they are.
    pub(super) async fn write(&mut self, bytes: &[u8]) {
        self.notes.noted().frames += 1;
        let written = timeout(Settings::default().handshake_timeout, self.send.write_all(bytes)).await;
        self.is_open &= matches!(written, Ok(Ok(())));
    }

    /// Sends a frame.
    pub(super) async fn say_bytes(&mut self, frame: Vec<u8>) {
        self.write(&prefixed(frame)).await;
    }

    /// Sends a message.
    pub(super) async fn say(&mut self, message: &Message) {
        self.say_bytes(message.encode(self.insider.node())).await;
    }

    /// Takes in what comes within `wait`, up to the first that is `enough`.
    pub(super) async fn hear(&mut self, wait: Duration, enough: impl Fn(&Message) -> bool) -> Vec<Message> {
        let mut heard = Vec::new();
        // Some may have come before it was closed.
        let hearing = async {
            while heard.len() < HEARD_MAX {
                let Some(message) = self.next().await else { break };
                if let (Message::Push(push), true) = (&message, self.acknowledges)
                    && let Some(through) = push.through
                {
                    self.say(&Message::Acknowledge(through.number())).await;
                }
                let is_enough = enough(&message);
                heard.push(message);
                if is_enough {
                    break;
                }
            }
        };
        let _ = timeout(wait, hearing).await;
        self.is_open &= self.connection.close_reason().is_none();
        heard
    }

    async fn next(&mut self) -> Option<Message> {
        loop {
            match self.decoder.next_frame() {
                Ok(Some(frame)) => {
                    let message = Message::decode(&frame, self.hub).ok()?;
                    self.look(&message);
                    return Some(message);
                }
                Ok(None) => {}
                Err(_) => return None,
            }
            let Ok(Some(chunk)) = self.receive.read_chunk(READ_BYTES_MAX, true).await else {
                self.is_open = false;
                return None;
            };
            self.decoder.push(&chunk.bytes);
        }
    }

    /// Whether a hub gives away what the node may not read.
    fn look(&self, message: &Message) {
        let Message::Push(Push { entry: Some(entry), .. }) = message else { return };
        let (PushEntry::Leave(key) | PushEntry::Delta(sync_core::wire::DeltaFrame { key, .. })) = entry;
        if !self.insider.may_read(key) {
            self.notes.noted().leaked.push(key.to_string());
        }
    }
}

/// A connection without a stream.
pub(super) async fn connect(endpoint: &quinn::Endpoint, address: SocketAddr, insider: &Insider) -> Option<Connection> {
    let settings = Settings::default();
    let (tls, _) = client_config(&insider.identity).ok()?;
    let mut config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).ok()?));
    let mut transport = TransportConfig::default();
    transport
        .max_idle_timeout(IdleTimeout::try_from(settings.idle_timeout).ok())
        .keep_alive_interval(settings.keep_alive)
        .mtu_discovery_config(None);
    config.transport_config(Arc::new(transport));
    let connecting = endpoint.connect_with(config, address, HUB_NAME).ok()?;
    timeout(settings.handshake_timeout, connecting).await.ok()?.ok()
}
