//! The way out: resolve, vet every address, dial one that was vetted, end TLS with the real origin.

use super::{address::may_dial, network::Network, rules::Rules};
use crate::intercept::{Connected, Connector, Protocol, Stream, only_http1, secure, unread::WINDOW};
use crate::socket::REMOTE;
use crate::verdict::pipelock::Block;
use arc_swap::ArcSwap;
use std::{
    io,
    net::{IpAddr, SocketAddr},
    os::fd::AsFd as _,
    sync::Arc,
    time::Duration,
};
use tokio::{net::TcpStream, time::timeout};

/// How long one address may take before the next one is tried.
const PER_ADDRESS: Duration = Duration::from_secs(5);

/// What a connection is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) secure: bool,
    pub(super) host: Arc<str>,
    pub(super) port: u16,
    /// For a connection that goes on in another protocol.
    pub(super) upgrade: bool,
    /// Connections of an older configuration are not used for a newer one.
    pub(super) generation: u64,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    #[error("the address of {host} could not be found: {error}")]
    Resolve { host: String, error: io::Error },
    #[error("{host} resolves to {address}, which is a private or reserved address")]
    Forbidden { host: String, address: IpAddr },
    #[error("no connection to {host} ({address}): {error}")]
    Unreachable { host: String, address: SocketAddr, error: io::Error },
    #[error("no connection to {host} within {seconds} s")]
    Timeout { host: String, seconds: u64 },
    #[error("the connection to {host} can't be used: {error}")]
    Socket { host: String, error: io::Error },
    #[error("TLS with {host} failed: {error}")]
    Tls { host: String, error: io::Error },
}

fn unusable(host: &str, error: io::Error) -> ConnectError {
    ConnectError::Socket { host: host.to_owned(), error }
}

impl From<&ConnectError> for Block {
    fn from(error: &ConnectError) -> Self {
        match error {
            ConnectError::Forbidden { host, address } => {
                Block::Address { host: host.clone(), address: address.to_string() }
            }
            other => Block::Upstream(other.to_string()),
        }
    }
}

/// Makes connections under the rules that are live.
pub(super) struct Dialer {
    pub(super) rules: Arc<ArcSwap<Rules>>,
    pub(super) network: Network,
}

impl Dialer {
    /// The addresses of a host, all of them vetted: one bad address condemns the answer.
    pub(super) async fn vetted(&self, rules: &Rules, host: &str) -> Result<Vec<IpAddr>, ConnectError> {
        let found = self.network.resolve(host).await;
        let addresses = found.map_err(|error| ConnectError::Resolve { host: host.to_owned(), error })?;
        let own = rules.ruleset.addresses(host);
        match addresses.iter().find(|address| !may_dial(**address, &rules.internal, own)) {
            Some(address) => Err(ConnectError::Forbidden { host: host.to_owned(), address: *address }),
            None => Ok(addresses),
        }
    }

    /// A TCP connection to an address that was vetted; the name is not looked up again.
    async fn dial(&self, rules: &Rules, host: &str, port: u16) -> Result<TcpStream, ConnectError> {
        let limit = rules.connect_timeout;
        let attempt = async {
            let mut last = None;
            for ip in self.vetted(rules, host).await? {
                let address = SocketAddr::new(ip, port);
                let error = match timeout(PER_ADDRESS, self.network.dial(address)).await {
                    Ok(Ok(stream)) => {
                        // Only the delay of small writes is at stake.
                        let _ = stream.set_nodelay(true);
                        return Ok(stream);
                    }
                    Ok(Err(error)) => error,
                    Err(_) => io::Error::new(io::ErrorKind::TimedOut, "no answer in time"),
                };
                last = Some(ConnectError::Unreachable { host: host.to_owned(), address, error });
            }
            Err(last
                .unwrap_or_else(|| ConnectError::Timeout { host: host.to_owned(), seconds: limit.as_secs() }))
        };
        timeout(limit, attempt).await.unwrap_or_else(|_| {
            Err(ConnectError::Timeout { host: host.to_owned(), seconds: limit.as_secs() })
        })
    }

    /// A connection whose bytes are passed through.
    pub(super) async fn tunnel(
        &self,
        rules: &Rules,
        host: &str,
        port: u16,
    ) -> Result<TcpStream, ConnectError> {
        let stream = self.dial(rules, host, port).await?;
        REMOTE.bound(&stream).map_err(|error| unusable(host, error))?;
        Ok(stream)
    }

    async fn secure(&self, rules: &Rules, key: &Key, stream: TcpStream) -> Result<Connected, ConnectError> {
        let tls = |error| ConnectError::Tls { host: key.host.to_string(), error };
        let client = if key.upgrade { only_http1(&rules.tls) } else { Arc::clone(&rules.tls) };
        timeout(rules.connect_timeout, secure(client, &key.host, stream, WINDOW))
            .await
            .map_err(|_| tls(io::Error::new(io::ErrorKind::TimedOut, "no handshake in time")))?
            .map_err(tls)
    }
}

impl Connector for Dialer {
    type Key = Key;
    type Error = ConnectError;

    async fn connect(&self, key: &Key) -> Result<Connected, ConnectError> {
        let rules = self.rules.load_full();
        let stream = self.dial(&rules, &key.host, key.port).await?;
        let socket = stream.as_fd().try_clone_to_owned().map_err(|error| unusable(&key.host, error))?;
        let connected = if key.secure {
            self.secure(&rules, key, stream).await?
        } else {
            let stream: Stream = Box::new(stream);
            Connected { stream, protocol: Protocol::Http1, absolute_form: false, stream_window: WINDOW }
        };
        // What one exchange does not read stays in its socket; an HTTP/2 connection is always read.
        if connected.protocol == Protocol::Http1 {
            REMOTE.bound(&socket).map_err(|error| unusable(&key.host, error))?;
        }
        Ok(connected)
    }
}
