//! The byte relay between the agent's loopback and a proxy's socket. It knows no protocol.
//!
//! What it promises: bytes pass unchanged in both directions, a half-close on one side is a half-close on the
//! other, a broken connection is seen as broken and never as a clean end, the number of connections is bounded
//! (further clients wait in the kernel's queue), and when the far side is absent the client is closed at once.
//! Nothing here times out: a model may think for ten minutes before its first byte.

use std::{
    fmt, io,
    os::unix::fs::{FileTypeExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
    sync::Semaphore,
};

/// How many connections one relay carries at a time; further ones wait to be accepted.
pub const MAX_CONNECTIONS: usize = 1024;

/// One direction's buffer: large enough that a bulk download is not bound by system calls.
const BUFFER: usize = 32 * 1024;

/// How long accepting pauses after it failed (out of file descriptors: waiting is all that helps).
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// One side of a relay: `unix:PATH` or `HOST:PORT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// The path of a unix socket.
    Unix(PathBuf),
    /// `HOST:PORT`; a name is looked up at each connect.
    Tcp(String),
}

/// Why an address or a relay was not understood.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum AddressError {
    /// No `=` between the two sides.
    #[error("`{0}` is not LISTEN=CONNECT; for example 127.0.0.1:9099=unix:/run/bottle/egress.sock")]
    NotARelay(String),
    /// Neither `unix:PATH` nor `HOST:PORT`.
    #[error("`{0}` is neither unix:/absolute/path nor HOST:PORT")]
    NotAnAddress(String),
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let wrong = || AddressError::NotAnAddress(text.to_owned());
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.starts_with('/') { Ok(Self::Unix(path.into())) } else { Err(wrong()) };
        }
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let port_is_good = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
        if host.is_empty() || !port_is_good || port.parse::<u16>().is_err() {
            return Err(wrong());
        }
        Ok(Self::Tcp(text.to_owned()))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp(address) => f.write_str(address),
        }
    }
}

/// Where a relay listens, and where it connects for each client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relay {
    /// The side that clients connect to.
    pub listen: Address,
    /// The side that is dialled for each of them.
    pub connect: Address,
}

impl FromStr for Relay {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let (listen, connect) =
            text.split_once('=').ok_or_else(|| AddressError::NotARelay(text.to_owned()))?;
        Ok(Self { listen: listen.parse()?, connect: connect.parse()? })
    }
}

/// A relay whose listener is bound.
#[derive(Debug)]
pub struct Bound {
    listener: Listener,
    connect: Address,
    max_connections: usize,
}

#[derive(Debug)]
enum Listener {
    Unix(UnixListener, PathBuf),
    Tcp(TcpListener),
}

impl Relay {
    /// Binds the listening side. A socket file that nobody serves any more is replaced; one that is served, and
    /// a file that is no socket, is an error.
    pub async fn bind(self) -> io::Result<Bound> {
        let explain =
            |e: io::Error| io::Error::new(e.kind(), format!("can't listen on {}: {e}", self.listen));
        let listener = match &self.listen {
            Address::Unix(path) => Listener::Unix(bind_unix(path).await.map_err(explain)?, path.clone()),
            Address::Tcp(address) => Listener::Tcp(TcpListener::bind(address).await.map_err(explain)?),
        };
        Ok(Bound { listener, connect: self.connect, max_connections: MAX_CONNECTIONS })
    }
}

/// Only the owner may connect: both ends of such a socket run as the same user.
async fn bind_unix(path: &Path) -> io::Result<UnixListener> {
    let listener = match UnixListener::bind(path) {
        Err(e) if e.kind() == io::ErrorKind::AddrInUse => {
            if !std::fs::symlink_metadata(path)?.file_type().is_socket() {
                return Err(io::Error::new(e.kind(), "a file that is no socket is in the way"));
            }
            if UnixStream::connect(path).await.is_ok() {
                return Err(io::Error::new(e.kind(), "another process already serves it"));
            }
            std::fs::remove_file(path)?;
            UnixListener::bind(path)?
        }
        other => other?,
    };
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

impl Bound {
    /// The address that is really listened on (port 0 resolved).
    pub fn local_address(&self) -> io::Result<Address> {
        Ok(match &self.listener {
            Listener::Unix(_, path) => Address::Unix(path.clone()),
            Listener::Tcp(listener) => Address::Tcp(listener.local_addr()?.to_string()),
        })
    }

    /// The same relay with another bound on its connections.
    #[must_use]
    pub fn with_max_connections(mut self, max: usize) -> Self {
        self.max_connections = max;
        self
    }

    /// Relays until it is dropped.
    pub async fn serve(self) {
        let slots = Arc::new(Semaphore::new(self.max_connections));
        let far = Arc::new(FarSide { address: self.connect, absent: AtomicBool::new(false) });
        loop {
            let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
            let client = match &self.listener {
                Listener::Unix(listener, _) => listener.accept().await.map(|(s, _)| Stream::Unix(s)),
                Listener::Tcp(listener) => listener.accept().await.map(|(s, _)| Stream::Tcp(s)),
            };
            match client {
                Ok(client) => {
                    let far = Arc::clone(&far);
                    tokio::spawn(async move {
                        far.carry(client).await;
                        drop(slot);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "could not accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

/// The side that is dialled, and whether the last attempt failed: said once, not for each client.
struct FarSide {
    address: Address,
    absent: AtomicBool,
}

impl FarSide {
    async fn carry(&self, client: Stream) {
        match Stream::connect(&self.address).await {
            Ok(far) => {
                if self.absent.swap(false, Ordering::Relaxed) {
                    tracing::info!(connect = %self.address, "the far side is back");
                }
                relay(client, far).await;
            }
            Err(error) => {
                if !self.absent.swap(true, Ordering::Relaxed) {
                    tracing::warn!(connect = %self.address, %error,
                        "the far side is absent; clients are closed at once until it is back");
                }
            }
        }
    }
}

async fn relay(mut client: Stream, mut far: Stream) {
    client.tune();
    far.tune();
    if let Err(error) = tokio::io::copy_bidirectional_with_sizes(&mut client, &mut far, BUFFER, BUFFER).await
    {
        tracing::debug!(%error, "a connection broke");
        client.reset_on_close();
        far.reset_on_close();
    }
}

enum Stream {
    Unix(UnixStream),
    Tcp(TcpStream),
}

impl Stream {
    async fn connect(address: &Address) -> io::Result<Self> {
        Ok(match address {
            Address::Unix(path) => Self::Unix(UnixStream::connect(path).await?),
            Address::Tcp(address) => Self::Tcp(TcpStream::connect(address).await?),
        })
    }

    fn tune(&self) {
        if let Self::Tcp(stream) = self {
            // Only latency is at stake: a failure here is none of the connection.
            let _ = stream.set_nodelay(true);
        }
    }

    /// A stream that broke must not look like one that ended.
    fn reset_on_close(&self) {
        if let Self::Tcp(stream) = self {
            let _ = stream.set_zero_linger();
        }
    }
}

macro_rules! delegate {
    ($self:ident, $stream:ident => $call:expr) => {
        match $self.get_mut() {
            Self::Unix($stream) => $call,
            Self::Tcp($stream) => $call,
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(
        self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        buf: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<io::Result<()>> {
        delegate!(self, s => std::pin::Pin::new(s).poll_read(cx, buf))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        buf: &[u8],
    ) -> std::task::Poll<io::Result<usize>> {
        delegate!(self, s => std::pin::Pin::new(s).poll_write(cx, buf))
    }

    fn poll_flush(
        self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<io::Result<()>> {
        delegate!(self, s => std::pin::Pin::new(s).poll_flush(cx))
    }

    fn poll_shutdown(
        self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<io::Result<()>> {
        delegate!(self, s => std::pin::Pin::new(s).poll_shutdown(cx))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relay_is_two_addresses() {
        let relay: Relay = "127.0.0.1:9099=unix:/run/bottle/egress.sock".parse().unwrap();
        assert_eq!(relay.listen, Address::Tcp("127.0.0.1:9099".to_owned()));
        assert_eq!(relay.connect, Address::Unix("/run/bottle/egress.sock".into()));
        assert_eq!(relay.connect.to_string(), "unix:/run/bottle/egress.sock");
    }

    #[test]
    fn what_is_no_address_is_said() {
        let error = |text: &str| text.parse::<Relay>().unwrap_err().to_string();
        assert_eq!(
            error("9099"),
            "`9099` is not LISTEN=CONNECT; for example 127.0.0.1:9099=unix:/run/bottle/egress.sock"
        );
        for bad in ["9099", ":9099", "h:", "h:x", "h:70000", "h:+1", "unix:relative", "unix:"] {
            assert_eq!(
                error(&format!("{bad}=h:1")),
                format!("`{bad}` is neither unix:/absolute/path nor HOST:PORT")
            );
        }
    }
}
