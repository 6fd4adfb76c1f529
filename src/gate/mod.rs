//! The byte relay between the agent's loopback and a proxy's socket. It knows no protocol.
//!
//! What it promises: bytes pass unchanged in both directions, a half-close on one side is a half-close on the
//! other, a broken connection is seen as broken and never as a clean end, the number of connections is bounded
//! (further clients wait in the kernel's queue), so is what each of them may hold, and when the far side is absent the client is closed at once.
//! Nothing here times out: a model may think for ten minutes before its first byte. Only when all connections are in use,
//! the one on which no byte has moved for longest makes way for a client that waits.

mod address;
mod gateway;
mod lend;
mod orphans;
mod stream;

pub use address::{Address, AddressError, Lend, Relay};
pub use gateway::gateway;
pub use lend::LentListener;

use crate::socket::{PeerWatch, Socket};
use orphans::Ends;
use std::{
    collections::{HashMap, HashSet},
    io,
    net::IpAddr,
    os::unix::fs::{FileTypeExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use stream::{connect, tune_listener};
use tokio::{
    io::copy_bidirectional_with_sizes,
    net::{TcpListener, UnixListener, UnixStream},
    sync::Notify,
    task::{Id, JoinError, JoinHandle, JoinSet},
    time::{Instant, MissedTickBehavior, interval, sleep},
};

/// How many connections one relay carries at a time; further ones wait to be accepted.
///
/// It fits the memory that the rendered stack gives to the gate, 320 MiB, whatever clients and proxy leave unread.
/// For one connection: two buffers of `BUFFER`, 64 KiB; its TCP socket, twice what [`LOCAL`](crate::socket::LOCAL)
/// says, 320 KiB; its unix socket, where only what is sent counts for the sender, 128 KiB. A send
/// buffer may be overrun by its last write, 64 KiB and 32 KiB. That is 608 KiB, times 512 is 304 MiB; the process
/// itself takes less than 10 MiB.
pub const MAX_CONNECTIONS: usize = 512;

/// One direction's buffer: large enough that a bulk download is not bound by system calls.
const BUFFER: usize = 32 * 1024;

/// Who did not move a byte for so long makes way for others.
const SILENCE: Duration = Duration::from_secs(10);

/// How often is looked for connections without a client.
const LOOKING: Duration = Duration::from_secs(5);

/// Looking takes no more than one part in so many of the time of one processor.
const LOOK_SHARE: u32 = 20;

/// How long accepting pauses after it failed (out of file descriptors: waiting is all that helps).
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A relay whose listener is bound.
#[derive(Debug)]
pub struct Bound {
    listener: Listener,
    connect: Address,
    max_connections: usize,
    only_from: Option<IpAddr>,
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
        Ok(Bound { listener, connect: self.connect, max_connections: MAX_CONNECTIONS, only_from: None })
    }
}

/// Only the owner may connect: both ends of such a socket run as the same user.
async fn bind_unix(path: &Path) -> io::Result<UnixListener> {
    let listener = match UnixListener::bind(path) {
        Err(e) if e.kind() == io::ErrorKind::AddrInUse => {
            if !fs_err::symlink_metadata(path)?.file_type().is_socket() {
                return Err(io::Error::new(e.kind(), "a file that is not a socket is in the way"));
            }
            if UnixStream::connect(path).await.is_ok() {
                return Err(io::Error::new(e.kind(), "another process already serves it"));
            }
            fs_err::remove_file(path)?;
            UnixListener::bind(path)?
        }
        other => other?,
    };
    fs_err::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
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

    /// The same relay for clients at one address: every other one is closed at once, before anything is dialled.
    #[must_use]
    pub fn only_from(mut self, address: IpAddr) -> Self {
        self.only_from = Some(address);
        self
    }

    /// Whether a client is served. One that has no address, or is gone already, has none to be told by.
    fn serves(&self, client: &Socket) -> bool {
        let Some(only) = self.only_from else { return true };
        let from = client.addresses().map(|(_, peer)| peer.ip());
        if from != Some(only) {
            tracing::debug!(?from, %only, "a client at another address is closed");
        }
        from == Some(only)
    }

    /// Relays until it is dropped.
    pub async fn serve(self) {
        let far = Arc::new(FarSide { address: self.connect.clone(), absent: AtomicBool::new(false) });
        let mut tasks = JoinSet::new();
        let mut carried: HashMap<Id, Arc<Carried>> = HashMap::new();
        let mut full = false;
        let mut waiting: Option<(PeerWatch, Socket)> = None;
        let mut looking = interval(LOOKING);
        // Two looks are that far apart, whatever came between them.
        looking.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut look: Option<JoinHandle<()>> = None;
        loop {
            if waiting.is_some() && carried.len() >= self.max_connections {
                let still = carried.values().map(|one| (one.watch.still_for(), one));
                let Some((still, stillest)) = still.max_by_key(|(still, _)| *still) else { continue };
                if still >= SILENCE {
                    if !std::mem::replace(&mut full, true) {
                        tracing::warn!(
                            connections = carried.len(),
                            seconds = still.as_secs(),
                            "all connections are in use; those that were silent for longest are closed for new ones"
                        );
                    }
                    stillest.give_way.notify_one();
                }
                tokio::select! {
                    Some(ended) = tasks.join_next_with_id() => forget(&mut carried, &ended),
                    _ = looking.tick() => begin_look(&mut look, &carried),
                    () = sleep(SILENCE.saturating_sub(still).max(ACCEPT_PAUSE)) => {}
                }
                continue;
            }
            if let Some((watch, client)) = waiting.take() {
                let (suspect, give_way) = (AtomicBool::new(false), Notify::new());
                let entry = Arc::new(Carried { watch, ends: client.addresses(), suspect, give_way });
                let (far, one) = (Arc::clone(&far), Arc::clone(&entry));
                let task = tasks.spawn(async move { far.carry(client, &one.give_way).await });
                carried.insert(task.id(), entry);
            }
            full = full && carried.len() * 2 > self.max_connections;
            tokio::select! {
                Some(ended) = tasks.join_next_with_id() => forget(&mut carried, &ended),
                _ = looking.tick() => begin_look(&mut look, &carried),
                client = self.listener.accept() => match client.and_then(|client| Ok((client.watch()?, client))) {
                    Ok((watch, client)) if self.serves(&client) => waiting = Some((watch, client)),
                    Ok((_, client)) => client.reset_on_close(),
                    Err(error) => {
                        tracing::warn!(%error, "could not accept a connection");
                        sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
    }
}

/// A connection that is carried.
struct Carried {
    watch: PeerWatch,
    ends: Option<Ends>,
    /// Its client was gone when it was last looked for.
    suspect: AtomicBool,
    /// Asks for its end.
    give_way: Notify,
}

/// Looks for clients that are gone, unless a look is under way.
fn begin_look(look: &mut Option<JoinHandle<()>>, carried: &HashMap<Id, Arc<Carried>>) {
    if look.as_ref().is_none_or(JoinHandle::is_finished) {
        *look = Some(tokio::spawn(end_orphans(silent(carried))));
    }
}

/// The connections on which nothing has moved for a while.
fn silent(carried: &HashMap<Id, Arc<Carried>>) -> Vec<Arc<Carried>> {
    carried.values().filter(|one| one.watch.still_for() >= LOOKING).cloned().collect()
}

/// Ends those whose client is gone although the kernel does not say so. A table that changes while it is read may lack a
/// line, so that a client is looked for twice.
async fn end_orphans(silent: Vec<Arc<Carried>>) {
    let connections: HashSet<Ends> = silent.iter().filter_map(|one| one.ends).collect();
    if connections.is_empty() {
        return;
    }
    let begun = Instant::now();
    let orphans = tokio::task::spawn_blocking(move || orphans::among(&connections)).await;
    match orphans.map_err(io::Error::other).flatten() {
        Ok(orphans) => {
            for one in silent {
                let gone = one.ends.is_some_and(|ends| orphans.contains(&ends));
                if one.suspect.swap(gone, Ordering::Relaxed) && gone {
                    one.give_way.notify_one();
                }
            }
        }
        Err(error) => tracing::debug!(%error, "connections without a client can't be told"),
    }
    // An agent can make the tables long. The next look is not begun before this is over.
    sleep(begun.elapsed() * LOOK_SHARE).await;
}

fn forget(carried: &mut HashMap<Id, Arc<Carried>>, ended: &Result<(Id, ()), JoinError>) {
    let id = match ended {
        Ok((id, ())) => *id,
        Err(error) => error.id(),
    };
    carried.remove(&id);
}

impl Listener {
    async fn accept(&self) -> io::Result<Socket> {
        Ok(match self {
            Self::Unix(listener, _) => listener.accept().await?.0.into(),
            Self::Tcp(listener) => listener.accept().await?.0.into(),
        })
    }
}

/// The side that is dialled, and whether the last attempt failed: said once, not for each client.
struct FarSide {
    address: Address,
    absent: AtomicBool,
}

impl FarSide {
    async fn carry(&self, client: Socket, give_way: &Notify) {
        match connect(&self.address).await {
            Ok(far) => {
                if self.absent.swap(false, Ordering::Relaxed) {
                    tracing::info!(connect = %self.address, "the far side is back");
                }
                relay(client, far, give_way).await;
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

async fn relay(mut client: Socket, mut far: Socket, give_way: &Notify) {
    let tuned = client.tune().and_then(|()| far.tune()).and_then(|()| client.watch());
    let watch = match tuned {
        Ok(watch) => watch,
        Err(error) => {
            tracing::warn!(%error, "a connection's buffers can't be bounded; it is closed");
            return;
        }
    };
    let broke = tokio::select! {
        copied = copy_bidirectional_with_sizes(&mut client, &mut far, BUFFER, BUFFER) => match copied {
            Ok(_) => return,
            Err(error) => error.to_string(),
        },
        _ = watch.over(Duration::MAX) => "the client is gone".to_owned(),
        () = give_way.notified() => "it has no client any more, or was silent while others waited".to_owned(),
    };
    tracing::debug!(error = broke, "a connection broke");
    client.reset_on_close();
    far.reset_on_close();
}
