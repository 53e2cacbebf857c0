//! A machine's view of a simulated network: where its sockets come from, and the tasks of the QUIC stack behind them.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use quinn::{AsyncTimer, AsyncUdpSocket, EndpointConfig, Runtime, TokioRuntime};
use sync_core::transport::{Network, ResolveError, Resolving};
use tokio::task::JoinSet;

use super::internet::{Internet, MemberId};
use super::socket::Socket;
use crate::random::Random;

/// The network of one start of one machine. When the machine dies, so does everything that came from here.
#[derive(Debug)]
pub struct Port {
    internet: Internet,
    member: MemberId,
    random: Mutex<Random>,
    tasks: Arc<Tasks>,
}

/// The tasks of QUIC endpoints and connections.
#[derive(Debug, Default)]
struct Tasks(Mutex<JoinSet<()>>);

impl Tasks {
    fn set(&self) -> MutexGuard<'_, JoinSet<()>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Port {
    /// The network as `member` has it. What QUIC draws follows from `seed`.
    #[must_use]
    pub fn new(internet: Internet, member: MemberId, seed: u64) -> Self {
        let random = Mutex::new(Random::new(seed));
        Self { internet, member, random, tasks: Arc::default() }
    }

    /// Ends every task of the QUIC stack, and with them their sockets.
    pub async fn kill(&self) {
        let mut tasks = std::mem::take(&mut *self.tasks.set());
        tasks.shutdown().await;
    }

    fn endpoint(&self, port: u16) -> io::Result<quinn::Endpoint> {
        let opened = self.internet.open(self.member, port);
        let (id, address) = opened.ok_or_else(|| io::Error::from(io::ErrorKind::AddrInUse))?;
        let socket = Arc::new(Socket::new(self.internet.clone(), id, address));
        let mut seed = [0; 32];
        let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
        for chunk in seed.chunks_exact_mut(8) {
            chunk.copy_from_slice(&random.next_u64().to_le_bytes());
        }
        let mut config = EndpointConfig::default();
        config.rng_seed(Some(seed));
        let runtime = Arc::new(VirtualTime(Arc::clone(&self.tasks)));
        quinn::Endpoint::new_with_abstract_socket(config, None, socket, runtime)
    }
}

impl Network for Port {
    fn listener(&self, address: SocketAddr) -> io::Result<quinn::Endpoint> {
        self.endpoint(address.port())
    }

    fn dialer(&self, _address: SocketAddr) -> io::Result<quinn::Endpoint> {
        self.endpoint(0)
    }

    fn resolve<'a>(&'a self, text: &'a str) -> Resolving<'a> {
        Box::pin(async move {
            text.parse().map(|address| vec![address]).map_err(|_| ResolveError::Form { text: text.to_owned() })
        })
    }
}

/// quinn on the paused clock of `tokio`, with tasks that can be ended.
#[derive(Debug)]
struct VirtualTime(Arc<Tasks>);

impl Runtime for VirtualTime {
    fn new_timer(&self, at: Instant) -> Pin<Box<dyn AsyncTimer>> {
        TokioRuntime.new_timer(at)
    }

    fn spawn(&self, future: Pin<Box<dyn Future<Output = ()> + Send>>) {
        let mut tasks = self.0.set();
        while tasks.try_join_next().is_some() {}
        tasks.spawn(future);
    }

    fn wrap_udp_socket(&self, _socket: std::net::UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn now(&self) -> Instant {
        TokioRuntime.now()
    }
}
