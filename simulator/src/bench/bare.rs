//! QUIC with nothing above it: the same certificates on both sides, one request a connection.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{ClientConfig, Connection, Endpoint, IdleTimeout, ServerConfig, TransportConfig};
use sync_core::identity::Identity;
use sync_core::identity::tls::{HUB_NAME, client_config, server_config};
use sync_core::transport::Settings;

use super::{BenchError, During};
use crate::commands::HUB_READY;

/// Bytes of a request and of its answer: a hello of ours.
const HELLO: [u8; 100] = [7; 100];

/// Runs the server until it is told to end. The argument is the file with its identity.
#[must_use]
pub fn serve(arguments: Vec<OsString>) -> ExitCode {
    crate::embedded::end_when_tied();
    let Some(path) = arguments.into_iter().next() else { return ExitCode::from(2) };
    match super::stage::runtime().and_then(|runtime| runtime.block_on(listen(path.into()))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn listen(path: PathBuf) -> Result<(), BenchError> {
    let pem = std::fs::read_to_string(path).during("read an identity")?;
    let identity = Identity::from_pem(&pem).during("read an identity")?;
    let tls = server_config(&identity).during("set TLS up")?;
    let mut config = ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls).during("set QUIC up")?));
    config.transport_config(transport(None));
    let endpoint = Endpoint::server(config, SocketAddr::from(([127, 0, 0, 1], 0))).during("listen")?;
    println!("{HUB_READY}{}", endpoint.local_addr().during("listen")?);
    while let Some(incoming) = endpoint.accept().await {
        tokio::spawn(async move {
            let Ok(connection) = incoming.await else { return };
            while let Ok((mut send, mut receive)) = connection.accept_bi().await {
                if receive.read_to_end(HELLO.len()).await.is_err() || send.write_all(&HELLO).await.is_err() {
                    return;
                }
                let _ = send.finish();
            }
        });
    }
    Ok(())
}

/// A connection with one request that was answered.
pub(super) async fn request(
    endpoint: &Endpoint,
    address: SocketAddr,
    identity: &Identity,
) -> Result<Connection, BenchError> {
    let (tls, _) = client_config(identity).during("set TLS up")?;
    let mut config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).during("set QUIC up")?));
    config.transport_config(transport(Settings::default().keep_alive));
    let connecting = endpoint.connect_with(config, address, HUB_NAME).during("dial")?;
    let connection = connecting.await.during("connect")?;
    let (mut send, mut receive) = connection.open_bi().await.during("open a stream")?;
    send.write_all(&HELLO).await.during("ask")?;
    send.finish().during("ask")?;
    receive.read_to_end(HELLO.len()).await.during("be answered")?;
    Ok(connection)
}

/// quinn's defaults, with the time-outs of a link of ours.
fn transport(keep_alive: Option<Duration>) -> Arc<TransportConfig> {
    let mut config = TransportConfig::default();
    config.keep_alive_interval(keep_alive);
    config.max_idle_timeout(IdleTimeout::try_from(Settings::default().idle_timeout).ok());
    Arc::new(config)
}
