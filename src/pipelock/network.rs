//! The network, injected: names to addresses, and connections to addresses. A test can lie as a hostile name server
//! does, and see which address is dialled.

use std::{
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
    time::Duration,
};
use tokio::net::TcpStream;

/// How long a lookup may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Something under way.
pub type Pending<T> = Pin<Box<dyn Future<Output = io::Result<T>> + Send>>;

/// Looks names up, and dials; cheap to clone.
#[derive(Clone)]
pub struct Network {
    lookup: Arc<dyn Fn(String) -> Pending<Vec<IpAddr>> + Send + Sync>,
    dial: Arc<dyn Fn(SocketAddr) -> Pending<TcpStream> + Send + Sync>,
}

impl Network {
    /// The system's: `/etc/hosts`, then the name servers of `/etc/resolv.conf`; TCP.
    #[must_use]
    pub fn system() -> Self {
        let lookup = |host| -> Pending<Vec<IpAddr>> {
            Box::pin(async move {
                let found = tokio::net::lookup_host((host, 0)).await?;
                Ok(found.map(|address| address.ip()).collect())
            })
        };
        Self::new(lookup, |address| Box::pin(TcpStream::connect(address)))
    }

    /// Functions that are asked each time.
    pub fn new(
        lookup: impl Fn(String) -> Pending<Vec<IpAddr>> + Send + Sync + 'static,
        dial: impl Fn(SocketAddr) -> Pending<TcpStream> + Send + Sync + 'static,
    ) -> Self {
        Self { lookup: Arc::new(lookup), dial: Arc::new(dial) }
    }

    /// The addresses of a host, in the order in which they should be tried; never an empty list.
    pub(super) async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        let Ok(found) = tokio::time::timeout(TIMEOUT, (self.lookup)(host.to_owned())).await else {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "the name servers did not answer in time"));
        };
        let mut addresses = Vec::new();
        for address in found? {
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        if addresses.is_empty() {
            return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
        }
        Ok(addresses)
    }

    pub(super) async fn dial(&self, address: SocketAddr) -> io::Result<TcpStream> {
        (self.dial)(address).await
    }
}

impl std::fmt::Debug for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Network")
    }
}
