//! The join exchange over QUIC: one request, one reply. The node knows whom it talks to before its secret leaves.

use std::net::SocketAddr;

use quinn::{RecvStream, SendStream};
use tokio::time::timeout;

use crate::id::{Name, NodeId};
use crate::identity::enrolment::JoinMessageError;
use crate::identity::{
    HandedAuthority, Identity, IdentityError, JoinRefusal, JoinReply, JoinRequest, SigningKey, Token, tls,
};
use crate::limits::JOIN_MESSAGE_BYTES_MAX;
use crate::transport::endpoint::{DialError, client_socket, connect};
use crate::transport::link::{CloseCode, FrameReceiver, FrameSender, LinkControl, LinkError};
use crate::transport::machine::Machine;
use crate::transport::settings::Settings;

/// Asks the hub at `address` to let the holder of `key` in as `name`, and checks what it issues.
///
/// The key should be stored before: asking again with the same key and token after a crash gives the chain again, with
/// another key the token is used up.
///
/// # Errors
/// [`JoinError`]; the fleet's hub, the token's hub and the reply are checked in that order.
pub async fn join(
    machine: &Machine,
    address: SocketAddr,
    token: &Token,
    name: &Name,
    key: &SigningKey,
    settings: &Settings,
) -> Result<Identity, JoinError> {
    join_on(&client_socket(machine, address)?, address, token, name, key, settings).await
}

/// [`join`] from a socket that the caller made.
///
/// # Errors
/// As [`join`].
pub async fn join_on(
    endpoint: &quinn::Endpoint,
    address: SocketAddr,
    token: &Token,
    name: &Name,
    key: &SigningKey,
    settings: &Settings,
) -> Result<Identity, JoinError> {
    let request = JoinRequest::new(token, name.clone(), key);
    ask(endpoint, address, token, &request, key, settings).await.map(|(identity, _)| identity)
}

/// Asks the hub at `address` to let the holder of `key` in as another hub called `name`, which others reach at `own_address`.
/// When the token says so, the fleet's authority comes with the identity.
///
/// # Errors
/// As [`join`].
pub async fn join_as_hub(
    machine: &Machine,
    address: SocketAddr,
    token: &Token,
    name: &Name,
    own_address: Option<String>,
    key: &SigningKey,
    settings: &Settings,
) -> Result<(Identity, Option<HandedAuthority>), JoinError> {
    let request = JoinRequest::new_hub(token, name.clone(), own_address, key);
    ask(&client_socket(machine, address)?, address, token, &request, key, settings).await
}

async fn ask(
    endpoint: &quinn::Endpoint,
    address: SocketAddr,
    token: &Token,
    request: &JoinRequest,
    key: &SigningKey,
    settings: &Settings,
) -> Result<(Identity, Option<HandedAuthority>), JoinError> {
    let (config, check) = tls::join_config(token.pin).map_err(DialError::from)?;
    let (connection, hub) = connect(endpoint, address, config, &check, &token.pin, settings).await?;
    let control = LinkControl::new(connection.clone(), endpoint.clone());
    if !token.names_hub(&hub.id()) {
        control.close(CloseCode::DONE, "the token is for another hub");
        return Err(JoinError::OtherHub { found: hub.id() });
    }

    let exchange = async {
        let (send, receive) = connection.open_bi().await?;
        let mut sender = FrameSender::new(send, control.clone());
        let mut receiver = FrameReceiver::new(receive, control.clone(), JOIN_MESSAGE_BYTES_MAX);
        sender.send(request.encode()).await?;
        sender.finish();
        receiver.recv().await?.ok_or(LinkError::CutShort)
    };
    let answer = timeout(settings.handshake_timeout, exchange).await.unwrap_or(Err(LinkError::TimedOut));
    let reply = answer.map_err(JoinError::NoReply)?;
    control.close(CloseCode::DONE, "");
    match JoinReply::decode(&reply).map_err(JoinError::Reply)? {
        JoinReply::Accepted { chain, authority } => {
            let identity = Identity::new(SigningKey::from_seed(*key.seed()), chain, token.pin);
            Ok((identity.map_err(JoinError::Chain)?, authority))
        }
        JoinReply::Refused { reason, message } => Err(JoinError::Refused { reason, message }),
    }
}

/// Why a node did not come in.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JoinError {
    /// No hub of the token's fleet was reached. The secret was not sent; the token is as it was.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// A hub of the fleet answered, another than the token names. The secret was not sent; the token is as it was.
    #[error("the hub {} answered, but the token is for another one; dial the hub that made the token", .found.short())]
    OtherHub {
        /// The one that answered.
        found: NodeId,
    },
    /// The hub's answer did not come. It may have let the node in: ask again with the same key and token.
    #[error("the hub did not answer the request: {0}; ask again with the same token")]
    NoReply(#[source] LinkError),
    /// The hub's answer cannot be read. The hub is to blame; ask again after it was looked at.
    #[error("the hub's answer cannot be read: {0}")]
    Reply(#[source] JoinMessageError),
    /// The hub says no. The token is as it was.
    #[error("{}", refusal(*.reason, .message))]
    Refused {
        /// Why, for programs.
        reason: JoinRefusal,
        /// Why, for people. The hub's words.
        message: String,
    },
    /// The hub issued a chain that is not for this key or this fleet. The hub is to blame; nothing was stored.
    #[error("the hub issued an unusable certificate: {0}")]
    Chain(#[source] IdentityError),
}

/// What a hub that says no means. A request that it could not serve has its reason in the hub's words alone.
fn refusal(reason: JoinRefusal, message: &str) -> String {
    match (reason, message) {
        (_, "") => reason.to_string(),
        (JoinRefusal::BadRequest, message) => message.to_owned(),
        (_, message) => format!("{reason} - {message}"),
    }
}

/// A stranger that wants to join, on the hub's side.
#[derive(Debug)]
pub struct JoinConnection {
    /// Where it is.
    pub remote: SocketAddr,
    control: LinkControl,
    sender: FrameSender,
    receiver: FrameReceiver,
    settings: Settings,
}

impl JoinConnection {
    pub(super) fn new(control: LinkControl, send: SendStream, receive: RecvStream, settings: Settings) -> Self {
        let sender = FrameSender::new(send, control.clone());
        let receiver = FrameReceiver::new(receive, control.clone(), JOIN_MESSAGE_BYTES_MAX);
        Self { remote: control.remote(), control, sender, receiver, settings }
    }

    /// The request, its signature checked, within the handshake timeout. Bounded work: to be awaited in a task of its own.
    ///
    /// # Errors
    /// [`RequestError`]. A message that cannot be read may be answered with [`JoinRefusal::BadRequest`].
    pub async fn request(&mut self) -> Result<JoinRequest, RequestError> {
        let received = timeout(self.settings.handshake_timeout, self.receiver.recv()).await;
        let Ok(received) = received else {
            self.control.close(CloseCode::TOO_SLOW, "the join request did not come in time");
            return Err(RequestError::Link(LinkError::TimedOut));
        };
        let bytes = received?.ok_or(LinkError::CutShort)?;
        Ok(JoinRequest::decode(&bytes)?)
    }

    /// Answers, and ends the connection when the answer has arrived or the time is over.
    ///
    /// # Errors
    /// [`LinkError`] when it cannot be known to have arrived. The node may ask again.
    pub async fn reply(mut self, reply: &JoinReply) -> Result<(), LinkError> {
        let sent = timeout(self.settings.handshake_timeout, async {
            self.sender.send(reply.encode()).await?;
            self.sender.finish();
            self.sender.delivered().await
        });
        let outcome = sent.await.unwrap_or(Err(LinkError::TimedOut));
        self.control.close(CloseCode::DONE, "");
        outcome
    }
}

/// Why no request came. The stranger or the network is to blame; nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The connection ended first, or the time.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// It was no request.
    #[error(transparent)]
    Message(#[from] JoinMessageError),
}
