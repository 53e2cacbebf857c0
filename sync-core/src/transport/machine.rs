//! What the asynchronous shell asks of the machine it runs on: sockets, names, clocks, random bytes and threads. A
//! simulator hands in its own.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;

use super::clock::Clock;
use super::entropy::SystemEntropy;
use super::resolve::{ResolveError, resolve};
use crate::env::Entropy;

/// The answer of [`Network::resolve`].
pub type Resolving<'a> = Pin<Box<dyn Future<Output = Result<Vec<SocketAddr>, ResolveError>> + Send + 'a>>;

/// Where sockets come from, and what names mean.
pub trait Network: Send + Sync {
    /// A socket to take connections on. Port 0 takes any free one.
    ///
    /// # Errors
    /// What the system says.
    fn listener(&self, address: SocketAddr) -> io::Result<quinn::Endpoint>;

    /// A socket of its own to dial `address` from.
    ///
    /// # Errors
    /// What the system says.
    fn dialer(&self, address: SocketAddr) -> io::Result<quinn::Endpoint>;

    /// The addresses behind `host:port`, in the order to try them; at least one.
    fn resolve<'a>(&'a self, text: &'a str) -> Resolving<'a>;
}

/// Where work goes that blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Threads {
    /// A replica has a thread of its own, and slow work goes to the runtime's blocking threads.
    System,
    /// There are none: everything runs in turn on the thread of the runtime. In a simulated world nothing blocks for long,
    /// and the same seed has to give the same order.
    Single,
}

/// The machine. Cheap to clone.
#[derive(Clone)]
pub struct Machine {
    network: Arc<dyn Network>,
    clock: Clock,
    entropy: Arc<dyn Fn() -> Box<dyn Entropy> + Send + Sync>,
    threads: Threads,
}

impl fmt::Debug for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Machine").field("clock", &self.clock).field("threads", &self.threads).finish_non_exhaustive()
    }
}

impl Machine {
    /// The machine that this process runs on. Its clock starts now.
    #[must_use]
    pub fn system() -> Self {
        let entropy = SystemEntropy::new();
        Self {
            network: Arc::new(SystemNetwork),
            clock: Clock::start(),
            entropy: Arc::new(move || Box::new(entropy.clone())),
            threads: Threads::System,
        }
    }

    /// A machine of the caller's making. `entropy` is asked for a source of random bytes by whoever needs one.
    #[must_use]
    pub fn simulated(
        network: Arc<dyn Network>,
        clock: Clock,
        entropy: Arc<dyn Fn() -> Box<dyn Entropy> + Send + Sync>,
    ) -> Self {
        Self { network, clock, entropy, threads: Threads::Single }
    }

    /// Its sockets and names.
    #[must_use]
    pub fn network(&self) -> &dyn Network {
        self.network.as_ref()
    }

    /// Its clocks.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// A source of random bytes.
    #[must_use]
    pub fn entropy(&self) -> Box<dyn Entropy> {
        (self.entropy)()
    }

    /// Where work goes that blocks.
    #[must_use]
    pub fn threads(&self) -> Threads {
        self.threads
    }

    /// Does work that may block.
    ///
    /// # Errors
    /// When the work panicked.
    pub async fn blocking<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
        match self.threads {
            Threads::System => tokio::task::spawn_blocking(work).await.map_err(io::Error::other),
            Threads::Single => Ok(work()),
        }
    }
}

/// UDP sockets and the name service of the operating system.
struct SystemNetwork;

impl Network for SystemNetwork {
    fn listener(&self, address: SocketAddr) -> io::Result<quinn::Endpoint> {
        let runtime = quinn::default_runtime().ok_or_else(|| io::Error::other("no tokio runtime"))?;
        let socket = std::net::UdpSocket::bind(address)?;
        quinn::Endpoint::new(quinn::EndpointConfig::default(), None, socket, runtime)
    }

    fn dialer(&self, address: SocketAddr) -> io::Result<quinn::Endpoint> {
        quinn::Endpoint::client(match address {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        })
    }

    fn resolve<'a>(&'a self, text: &'a str) -> Resolving<'a> {
        Box::pin(resolve(text))
    }
}
