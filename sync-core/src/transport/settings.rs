//! QUIC's own limits, all of them set: quinn's defaults let one authenticated peer fill hundreds of megabytes.

use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::{NoInitialCipherSuite, QuicClientConfig, QuicServerConfig};
use quinn::{ClientConfig, IdleTimeout, ServerConfig, TransportConfig, ValidationTokenConfig, VarInt};

use crate::limits::{
    CONNECTION_WINDOW_BYTES, STREAM_WINDOW_BYTES, STREAMS_MAX, WAITING_BYTES_MAX, WAITING_HANDSHAKE_BYTES_MAX,
    WAITING_HANDSHAKES_MAX,
};

/// What depends on the network between two peers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// A link over which nothing was heard for this long is lost. The shorter one of both sides counts.
    pub idle_timeout: Duration,
    /// A dialer that has nothing to say says so this often, which keeps the link and the NATs on its way open; `None` lets a
    /// quiet link end. A listener never does: one side is enough.
    pub keep_alive: Option<Duration>,
    /// Time for a handshake and the first bytes after it; for each message of the join exchange as well.
    pub handshake_timeout: Duration,
}

impl Default for Settings {
    /// Half a minute outlasts a stall of ten seconds: QUIC probes again after a wait that doubles each time, so the silence
    /// lasts at most as long as the stall once more, twenty seconds in all, and the idle timer starts over with every packet
    /// that arrives (RFC 9000, 10.1; RFC 9002, 6.2).
    fn default() -> Self {
        Self {
            idle_timeout: Duration::from_secs(30),
            keep_alive: Some(Duration::from_secs(10)),
            handshake_timeout: Duration::from_secs(10),
        }
    }
}

impl Settings {
    pub(super) fn server(&self, tls: rustls::ServerConfig) -> Result<ServerConfig, NoInitialCipherSuite> {
        let mut config = ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls)?));
        let mut validation = ValidationTokenConfig::default();
        validation.sent(0);
        config
            .transport_config(Arc::new(self.transport(None)))
            .validation_token_config(validation)
            .migration(true)
            .max_incoming(WAITING_HANDSHAKES_MAX)
            .incoming_buffer_size(WAITING_HANDSHAKE_BYTES_MAX)
            .incoming_buffer_size_total(WAITING_BYTES_MAX);
        Ok(config)
    }

    pub(super) fn client(&self, tls: rustls::ClientConfig) -> Result<ClientConfig, NoInitialCipherSuite> {
        let mut config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls)?));
        config.transport_config(Arc::new(self.transport(self.keep_alive)));
        Ok(config)
    }

    fn transport(&self, keep_alive: Option<Duration>) -> TransportConfig {
        let mut config = TransportConfig::default();
        // Past the largest idle timeout that QUIC can say, there is none.
        config
            .max_idle_timeout(IdleTimeout::try_from(self.idle_timeout).ok())
            .keep_alive_interval(keep_alive)
            .max_concurrent_bidi_streams(VarInt::from_u32(STREAMS_MAX))
            .max_concurrent_uni_streams(VarInt::from_u32(0))
            .stream_receive_window(VarInt::from_u32(STREAM_WINDOW_BYTES))
            .receive_window(VarInt::from_u32(CONNECTION_WINDOW_BYTES))
            .send_window(u64::from(CONNECTION_WINDOW_BYTES))
            // Larger packets save one byte in a hundred of what is sent; to look for their size costs each side some 5 kB a
            // link and again every ten minutes (RFC 8899), which is more than most links carry.
            .mtu_discovery_config(None)
            .datagram_receive_buffer_size(None);
        config
    }
}
