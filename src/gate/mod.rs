//! The byte relay between the agent's loopback and a proxy's socket. It knows no protocol.
//!
//! What it promises: bytes pass unchanged in both directions, a half-close on one side is a half-close on the
//! other, a broken connection is seen as broken and never as a clean end, the number of connections is bounded
//! (further clients wait in the kernel's queue), so is what each of them may hold, and when the far side is absent the client is closed at once.
//! Nothing here times out: a model may think for ten minutes before its first byte.

mod address;
mod lend;
mod stream;

pub use address::{Address, AddressError, Lend, Relay};
pub use lend::Held;

use std::{
    io,
    os::unix::fs::{FileTypeExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use stream::{Stream, tune_listener};
use tokio::{
    net::{TcpListener, UnixListener, UnixStream},
    sync::Semaphore,
};

/// How many connections one relay carries at a time; further ones wait to be accepted.
///
/// It fits the memory that the rendered stack gives to the gate, 256 MiB, whatever clients and proxy leave unread.
/// For one connection: two buffers of `BUFFER`, 64 KiB; its TCP socket, twice what [`LOCAL`](crate::socket::LOCAL)
/// says, 256 KiB; its unix socket, where only what is sent counts for the sender, 64 KiB. A send
/// buffer may be overrun by its last write, 64 KiB and 32 KiB. That is 480 KiB, times 512 is 240 MiB; the process
/// itself takes less than 10 MiB.
pub const MAX_CONNECTIONS: usize = 512;

/// One direction's buffer: large enough that a bulk download is not bound by system calls.
const BUFFER: usize = 32 * 1024;

/// How long accepting pauses after it failed (out of file descriptors: waiting is all that helps).
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

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
    /// Binds the listening side, or borrows it. A socket file that nobody serves any more is replaced; one that is
    /// served, and a file that is not a socket, is an error. Whoever lends a listener is waited for, up to 30 s.
    pub async fn bind(self) -> io::Result<Bound> {
        let explain =
            |e: io::Error| io::Error::new(e.kind(), format!("can't listen on {}: {e}", self.listen));
        let listener = match &self.listen {
            Address::Unix(path) => Listener::Unix(bind_unix(path).await.map_err(explain)?, path.clone()),
            Address::Tcp(address) => Listener::Tcp(TcpListener::bind(address).await.map_err(explain)?),
            Address::Lent(path) => Listener::Tcp(lend::borrow(path, lend::LENT_WAIT).await?),
        };
        match &listener {
            Listener::Unix(listener, _) => tune_listener(listener)?,
            Listener::Tcp(listener) => tune_listener(listener)?,
        }
        Ok(Bound { listener, connect: self.connect, max_connections: MAX_CONNECTIONS })
    }
}

/// Only the owner may connect: both ends of such a socket run as the same user.
async fn bind_unix(path: &Path) -> io::Result<UnixListener> {
    let listener = match UnixListener::bind(path) {
        Err(e) if e.kind() == io::ErrorKind::AddrInUse => {
            if !std::fs::symlink_metadata(path)?.file_type().is_socket() {
                return Err(io::Error::new(e.kind(), "a file that is not a socket is in the way"));
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
    if let Err(error) = client.tune().and_then(|()| far.tune()) {
        tracing::warn!(%error, "a connection's buffers can't be bounded; it is closed");
        return;
    }
    if let Err(error) = tokio::io::copy_bidirectional_with_sizes(&mut client, &mut far, BUFFER, BUFFER).await
    {
        tracing::debug!(%error, "a connection broke");
        client.reset_on_close();
        far.reset_on_close();
    }
}
