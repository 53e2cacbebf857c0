//! Where links come from: a hub's socket that accepts them, and the dialer's side.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use quinn::crypto::rustls::{HandshakeData, NoInitialCipherSuite};
use quinn::{ConnectError, VarInt};
use rustls::pki_types::CertificateDer;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};

use crate::identity::certificate::verify_peer;
use crate::identity::tls::{self, HUB_NAME, HubCheck, JOIN_PROTOCOL, TlsError};
use crate::identity::{CaPin, Identity, PeerRefusal, VerifiedPeer};
use crate::limits::{CONNECTIONS_MAX, HANDSHAKES_BEFORE_RETRY, HANDSHAKES_MAX};
use crate::transport::enrol::JoinConnection;
use crate::transport::link::{CloseCode, Link, LinkControl, LinkError};
use crate::transport::machine::Machine;
use crate::transport::settings::Settings;

/// A hub's socket. Whoever owns it calls [`accept`](Self::accept) again and again.
#[derive(Debug)]
pub struct Endpoint {
    quinn: quinn::Endpoint,
    /// One task for each handshake under way, so that a slow one delays no other. Ends with the endpoint.
    handshakes: JoinSet<Option<Incoming>>,
    pin: CaPin,
    settings: Settings,
}

/// Who came in.
#[derive(Debug)]
pub enum Incoming {
    /// A member of the fleet that has sent, or begun to send, its first frame. Whether it is revoked is for the caller to
    /// check before it answers.
    Sync(Link),
    /// A stranger that wants to join.
    Join(JoinConnection),
}

/// Why a hub cannot listen. Nothing was started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListenError {
    /// The address is taken or not this machine's.
    #[error("cannot listen on {address}: {source}; is another process using the port?")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The identity cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The TLS library lacks the cipher that QUIC begins with. A defect of this program.
    #[error(transparent)]
    Cipher(#[from] NoInitialCipherSuite),
}

impl Endpoint {
    /// Listens on `address`; port 0 takes any free one. To be called within a `tokio` runtime.
    ///
    /// # Errors
    /// [`ListenError`] when the address or the identity cannot be used.
    pub fn listen(
        machine: &Machine,
        address: SocketAddr,
        identity: &Identity,
        settings: Settings,
    ) -> Result<Self, ListenError> {
        let config = settings.server(tls::server_config(identity)?)?;
        let quinn = machine.network().listener(address).map_err(|source| ListenError::Bind { address, source })?;
        quinn.set_server_config(Some(config));
        Ok(Self { quinn, handshakes: JoinSet::new(), pin: identity.pin(), settings })
    }

    /// The address that it listens on.
    ///
    /// # Errors
    /// What the system says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.quinn.local_addr()
    }

    /// Connections that are open, handshakes included.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.quinn.open_connections()
    }

    /// The next one that came in; `None` after [`close`](Self::close). May be dropped and called again at any point.
    /// Handshakes run only while somebody waits here.
    pub async fn accept(&mut self) -> Option<Incoming> {
        loop {
            tokio::select! {
                biased;
                Some(done) = self.handshakes.join_next() => {
                    if let Ok(Some(incoming)) = done {
                        return Some(incoming);
                    }
                }
                // Past the bound, first packets wait in quinn and are dropped when too many do.
                waiting = self.quinn.accept(), if self.handshakes.len() < HANDSHAKES_MAX => self.begin(waiting?),
            }
        }
    }

    fn begin(&mut self, waiting: quinn::Incoming) {
        if self.quinn.open_connections() >= CONNECTIONS_MAX {
            tracing::warn!(remote = %waiting.remote_address(), "too many connections; one was refused");
            waiting.refuse();
        } else if self.handshakes.len() >= HANDSHAKES_BEFORE_RETRY && waiting.may_retry() {
            // Costs the honest a round trip, and those who forge their address everything. It fails only for the validated.
            let _ = waiting.retry();
        } else {
            self.handshakes.spawn(shake_hands(waiting, self.quinn.clone(), self.pin, self.settings));
        }
    }

    /// Ends all connections and accepts no more.
    pub fn close(&self, code: CloseCode, reason: &str) {
        self.quinn.close(VarInt::from_u32(code.0), reason.as_bytes());
    }

    /// Waits until all peers were told that their connections ended.
    pub async fn drained(&self) {
        self.quinn.wait_idle().await;
    }
}

/// The whole way from a first packet to a link, within one timeout.
async fn shake_hands(
    waiting: quinn::Incoming,
    endpoint: quinn::Endpoint,
    pin: CaPin,
    settings: Settings,
) -> Option<Incoming> {
    let remote = waiting.remote_address();
    match try_to_shake_hands(waiting, endpoint, pin, settings).await {
        Ok(incoming) => Some(incoming),
        Err(failure) => {
            tracing::debug!(%remote, %failure, "a handshake failed");
            None
        }
    }
}

async fn try_to_shake_hands(
    waiting: quinn::Incoming,
    endpoint: quinn::Endpoint,
    pin: CaPin,
    settings: Settings,
) -> Result<Incoming, HandshakeFailure> {
    let deadline = Instant::now() + settings.handshake_timeout;
    let connecting = waiting.accept()?;
    let connection = timeout_at(deadline, connecting).await.map_err(|_| HandshakeFailure::TooSlow)??;
    let control = LinkControl::new(connection.clone(), endpoint);

    let member = if protocol(&connection).as_deref() == Some(JOIN_PROTOCOL) {
        None
    } else {
        Some(peer_of(&connection, &pin).map_err(|refusal| {
            control.close(CloseCode::NO_CERTIFICATE, &refusal.to_string());
            HandshakeFailure::Refused(refusal)
        })?)
    };
    let (send, receive) = timeout_at(deadline, connection.accept_bi()).await.map_err(|_| {
        control.close(CloseCode::TOO_SLOW, "no stream was opened in time");
        HandshakeFailure::TooSlow
    })??;
    Ok(match member {
        Some(peer) => Incoming::Sync(Link::new(peer, control, send, receive)),
        None => Incoming::Join(JoinConnection::new(control, send, receive, settings)),
    })
}

/// For the log: strangers cause these at will, so they are no errors of the endpoint.
#[derive(Debug, thiserror::Error)]
enum HandshakeFailure {
    #[error(transparent)]
    Refused(PeerRefusal),
    #[error(transparent)]
    Connection(#[from] quinn::ConnectionError),
    #[error("it took too long")]
    TooSlow,
}

/// Dials the hub at `address` from a socket of its own. The hub sees the link when the first frame is sent; if it does not
/// take this side's certificate, the link's first `recv` says so.
///
/// # Errors
/// [`DialError`] when no hub of this fleet answers.
pub async fn dial(
    machine: &Machine,
    address: SocketAddr,
    identity: &Identity,
    settings: &Settings,
) -> Result<Link, DialError> {
    dial_on(&client_socket(machine, address)?, address, identity, settings).await
}

/// Dials from a socket that the caller made: one for many links.
///
/// # Errors
/// As [`dial`].
pub async fn dial_on(
    endpoint: &quinn::Endpoint,
    address: SocketAddr,
    identity: &Identity,
    settings: &Settings,
) -> Result<Link, DialError> {
    let (config, check) = tls::client_config(identity)?;
    let (connection, peer) = connect(endpoint, address, config, &check, &identity.pin(), settings).await?;
    let (send, receive) = connection.open_bi().await.map_err(LinkError::from)?;
    Ok(Link::new(peer, LinkControl::new(connection, endpoint.clone()), send, receive))
}

/// Why a dial led to no link. Nothing was sent but the handshake.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DialError {
    /// No socket could be opened. This machine is to blame.
    #[error("cannot open a UDP socket: {0}")]
    Socket(#[source] io::Error),
    /// The identity cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The TLS library lacks the cipher that QUIC begins with. A defect of this program.
    #[error(transparent)]
    Cipher(#[from] NoInitialCipherSuite),
    /// The address cannot be dialled, for example port 0.
    #[error("cannot dial {address}: {source}")]
    Address {
        /// The address.
        address: SocketAddr,
        /// What the QUIC library says.
        source: ConnectError,
    },
    /// Somebody answered, and it is no hub of this fleet.
    #[error("{address} is not a hub of this fleet: {refusal}")]
    NotOurHub {
        /// The address.
        address: SocketAddr,
        /// What its certificates say.
        refusal: PeerRefusal,
    },
    /// Nobody answered in time. Nobody is to blame; try again.
    #[error("{address} did not answer; is the hub up, and does the network let UDP through?")]
    NoAnswer {
        /// The address.
        address: SocketAddr,
    },
    /// The connection ended during the handshake.
    #[error(transparent)]
    Link(#[from] LinkError),
}

/// A socket to dial `address` from.
pub(super) fn client_socket(machine: &Machine, address: SocketAddr) -> Result<quinn::Endpoint, DialError> {
    machine.network().dialer(address).map_err(DialError::Socket)
}

/// A connection to `address` and who was found there: a hub of the pinned fleet.
pub(super) async fn connect(
    endpoint: &quinn::Endpoint,
    address: SocketAddr,
    tls: rustls::ClientConfig,
    check: &Arc<HubCheck>,
    pin: &CaPin,
    settings: &Settings,
) -> Result<(quinn::Connection, VerifiedPeer), DialError> {
    let config = settings.client(tls)?;
    let connecting =
        endpoint.connect_with(config, address, HUB_NAME).map_err(|source| DialError::Address { address, source })?;
    let connected = timeout(settings.handshake_timeout, connecting).await;
    let connection = match connected {
        Ok(Ok(connection)) => connection,
        Err(_) | Ok(Err(quinn::ConnectionError::TimedOut)) => return Err(DialError::NoAnswer { address }),
        Ok(Err(lost)) => {
            return Err(match check.refusal() {
                Some(refusal) => DialError::NotOurHub { address, refusal: refusal.clone() },
                None => DialError::Link(lost.into()),
            });
        }
    };
    let peer = peer_of(&connection, pin).map_err(|refusal| DialError::NotOurHub { address, refusal })?;
    Ok((connection, peer))
}

/// Who the other end is, from the certificates of the handshake that has ended.
fn peer_of(connection: &quinn::Connection, pin: &CaPin) -> Result<VerifiedPeer, PeerRefusal> {
    let shown = connection.peer_identity().and_then(|shown| shown.downcast::<Vec<CertificateDer<'static>>>().ok());
    verify_peer(shown.as_deref().map(Vec::as_slice).unwrap_or_default(), pin)
}

/// The protocol that both sides agreed on.
fn protocol(connection: &quinn::Connection) -> Option<Vec<u8>> {
    let data = connection.handshake_data()?.downcast::<HandshakeData>().ok()?;
    data.protocol
}
