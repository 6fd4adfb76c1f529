//! Connections to upstreams, shared where the protocol allows and kept where it pays.

use super::{
    Connected, Connector, PoolLimits, PoolStats, SendError,
    error::Failure,
    http1::Http1,
    http2::{Http2, StreamCount},
    message::Message,
    open::{Open, OpenCount},
    upgrade::{self, Switched},
};
use crate::intercept::{Body, Protocol};
use http::{Request, Response};
use std::{
    collections::HashMap,
    hash::Hash,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::{
    sync::Semaphore,
    time::{Instant, sleep},
};

/// Sends requests, over connections of `C` that are reused. Clones share them.
pub struct Pool<C: Connector>(Arc<Inner<C>>);

impl<C: Connector> Clone for Pool<C> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

pub(super) struct Inner<C: Connector> {
    connector: C,
    limits: PoolLimits,
    connections: Mutex<Connections<C::Key>>,
    open: OpenCount,
    opened: AtomicU64,
    reused: AtomicU64,
    retried: AtomicU64,
    evicted: AtomicU64,
}

struct Connections<K> {
    by_key: HashMap<K, KeyConnections>,
    /// What was taken before the pool was cleared does not come back.
    generation: u64,
    reaper: bool,
}

/// The connections for one key.
#[derive(Default)]
struct KeyConnections {
    idle: Vec<Idle>,
    shared: Vec<Shared>,
    protocol: Option<Protocol>,
    /// Closed when the connection that is being made is there or has failed.
    connecting: Option<Arc<Semaphore>>,
}

struct Idle {
    connection: Http1,
    since: Instant,
}

struct Shared {
    id: u64,
    connection: Http2,
    used: Instant,
}

/// Something to send a request on.
enum Ready {
    Http1 { connection: Http1, reused: bool },
    Http2 { id: u64, connection: Http2, count: StreamCount, reused: bool },
}

impl<C: Connector> Pool<C> {
    /// A pool without connections.
    pub fn new(connector: C, limits: PoolLimits) -> Self {
        let connections = Mutex::new(Connections { by_key: HashMap::new(), generation: 0, reaper: false });
        let [opened, reused, retried, evicted] = [const { AtomicU64::new(0) }; 4];
        let open = OpenCount::default();
        Self(Arc::new(Inner { connector, limits, connections, open, opened, reused, retried, evicted }))
    }

    /// What makes the pool's connections.
    #[must_use]
    pub fn connector(&self) -> &C {
        &self.0.connector
    }

    /// Sends a request and waits for the head of its response. The URI must be absolute; it becomes what the
    /// connection wants. Dropping the future, or the response's body, ends the request at the upstream.
    ///
    /// When the connection turns out to be dead before anything of the request was processed, the request is
    /// sent again, once.
    pub async fn send(
        &self,
        key: &C::Key,
        request: Request<Body>,
    ) -> Result<Response<Body>, SendError<C::Error>> {
        let message = Message::new(request)?;
        match self.attempt(key, &message, true).await {
            Err(Failure { error, unprocessed: true }) => {
                tracing::debug!(%error, ?key, "sending a request again, nothing of it was processed");
                self.0.retried.fetch_add(1, Ordering::Relaxed);
                self.attempt(key, &message, false).await.map_err(|failure| failure.error)
            }
            other => other.map_err(|failure| failure.error),
        }
    }

    /// Sends a request that asks for another protocol, on a connection of its own that is not used again. The key must be
    /// one whose connections speak HTTP/1.
    pub async fn upgrade(
        &self,
        key: &C::Key,
        protocol: &'static str,
        request: Request<Body>,
    ) -> Result<Switched, SendError<C::Error>> {
        let open = self.0.make_room();
        upgrade::upgrade(&self.0.connector, key, protocol, request, open).await
    }

    /// Lets go of every connection: those in use finish what they do and are not used again.
    pub fn clear(&self) {
        let mut connections = self.0.connections();
        connections.by_key.clear();
        connections.generation += 1;
    }

    /// What the pool did and holds.
    #[must_use]
    pub fn stats(&self) -> PoolStats {
        let connections = self.0.connections();
        PoolStats {
            opened: self.0.opened.load(Ordering::Relaxed),
            reused: self.0.reused.load(Ordering::Relaxed),
            retried: self.0.retried.load(Ordering::Relaxed),
            evicted: self.0.evicted.load(Ordering::Relaxed),
            open: self.0.open.get(),
            keys: connections.by_key.len(),
            idle: connections.by_key.values().map(|pooled| pooled.idle.len()).sum(),
            shared: connections.by_key.values().map(|pooled| pooled.shared.len()).sum(),
        }
    }

    /// `idle` says whether an idle HTTP/1 connection will do.
    async fn attempt(
        &self,
        key: &C::Key,
        message: &Message,
        idle: bool,
    ) -> Result<Response<Body>, Failure<C::Error>> {
        let generation = self.0.connections().generation;
        let ready = self.ready(key, idle).await.map_err(|error| Failure { error, unprocessed: false })?;
        match ready {
            Ready::Http1 { connection, reused } => {
                self.count(reused);
                let (pool, key) = (Arc::downgrade(&self.0), key.clone());
                let home = move |connection| {
                    if let Some(pool) = pool.upgrade() {
                        pool.keep(key, generation, connection);
                    }
                };
                connection.send(message, home).await
            }
            Ready::Http2 { id, connection, count, reused } => {
                self.count(reused);
                let sent = connection.clone().send(message, count).await;
                if let Err(failure) = &sent
                    && (failure.unprocessed || connection.is_closed())
                {
                    self.0.forget(key, id);
                }
                sent
            }
        }
    }

    fn count(&self, reused: bool) {
        if reused {
            self.0.reused.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Takes a connection or makes one. While one is being made that may be shared, others wait for it.
    async fn ready(&self, key: &C::Key, idle: bool) -> Result<Ready, SendError<C::Error>> {
        let made = match self.0.take(key, idle) {
            Taken::Ready(ready) => return Ok(ready),
            Taken::Wait(made) => Some(made),
            Taken::Connect(turn) => return self.connect(key, turn).await,
        };
        if let Some(made) = made {
            // There are no permits: this ends when the semaphore is closed.
            let _ = made.acquire().await;
        }
        match self.0.take(key, idle) {
            Taken::Ready(ready) => Ok(ready),
            // Whoever was waited for failed, or its connection is full: each one makes its own now.
            Taken::Wait(_) => self.connect(key, None).await,
            Taken::Connect(turn) => self.connect(key, turn).await,
        }
    }

    async fn connect(&self, key: &C::Key, turn: Option<Turn<C>>) -> Result<Ready, SendError<C::Error>> {
        let open = self.0.make_room();
        let connected = self.0.connector.connect(key).await.map_err(SendError::Connect)?;
        let id = self.0.opened.fetch_add(1, Ordering::Relaxed);
        let Connected { stream, protocol, absolute_form, stream_window } = connected;
        let ready = match protocol {
            Protocol::Http1 => {
                let opened = Http1::open(stream, absolute_form, open).await;
                let connection = opened.map_err(|error| SendError::Handshake(error.into()))?;
                self.0.speaks_http1(key);
                Ready::Http1 { connection, reused: false }
            }
            Protocol::Http2 => {
                let opened = Http2::open(stream, stream_window, &self.0.limits, open).await;
                let connection = opened.map_err(|error| SendError::Handshake(error.into()))?;
                let count = connection.count();
                self.0.share(key, Shared { id, connection: connection.clone(), used: Instant::now() });
                Ready::Http2 { id, connection, count, reused: false }
            }
        };
        drop(turn);
        Ok(ready)
    }
}

enum Taken<C: Connector> {
    Ready(Ready),
    Wait(Arc<Semaphore>),
    Connect(Option<Turn<C>>),
}

/// The one that makes a connection; when it is dropped the others go on.
struct Turn<C: Connector> {
    inner: Arc<Inner<C>>,
    key: C::Key,
    made: Arc<Semaphore>,
}

impl<C: Connector> Drop for Turn<C> {
    fn drop(&mut self) {
        let mut connections = self.inner.connections();
        if let Some(pooled) = connections.by_key.get_mut(&self.key)
            && pooled.connecting.as_ref().is_some_and(|made| Arc::ptr_eq(made, &self.made))
        {
            pooled.connecting = None;
            if pooled.is_empty() && pooled.protocol.is_none() {
                connections.by_key.remove(&self.key);
            }
        }
        self.made.close();
    }
}

impl<C: Connector> Inner<C> {
    fn connections(&self) -> MutexGuard<'_, Connections<C::Key>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(self: &Arc<Self>, key: &C::Key, idle: bool) -> Taken<C> {
        let now = Instant::now();
        let mut connections = self.connections();
        let pooled = connections.by_key.entry(key.clone()).or_default();
        pooled.discard(now, &self.limits);
        let most = self.limits.streams_per_connection;
        if let Some(shared) = pooled.shared.iter_mut().find(|one| one.connection.has_room(most)) {
            shared.used = now;
            let (id, connection) = (shared.id, shared.connection.clone());
            let count = connection.count();
            return Taken::Ready(Ready::Http2 { id, connection, count, reused: true });
        }
        if idle && let Some(found) = pooled.idle.pop() {
            return Taken::Ready(Ready::Http1 { connection: found.connection, reused: true });
        }
        if pooled.protocol == Some(Protocol::Http1) {
            return Taken::Connect(None);
        }
        if let Some(made) = &pooled.connecting {
            return Taken::Wait(Arc::clone(made));
        }
        let made = Arc::new(Semaphore::new(0));
        pooled.connecting = Some(Arc::clone(&made));
        Taken::Connect(Some(Turn { inner: Arc::clone(self), key: key.clone(), made }))
    }

    fn speaks_http1(self: &Arc<Self>, key: &C::Key) {
        let mut connections = self.connections();
        connections.by_key.entry(key.clone()).or_default().protocol = Some(Protocol::Http1);
        self.start_reaper(&mut connections);
    }

    /// Counts a connection that is about to be made, in whose place idle ones are closed.
    fn make_room(&self) -> Open {
        let mut connections = self.connections();
        self.shrink(&mut connections, self.limits.connections.saturating_sub(1));
        self.open.begin()
    }

    /// Closes what has been idle for longest, until no more than `most` are open or all that are open are in use.
    fn shrink(&self, connections: &mut Connections<C::Key>, most: usize) {
        while self.open.get() > most && connections.close_oldest() {
            self.evicted.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn share(self: &Arc<Self>, key: &C::Key, shared: Shared) {
        let mut connections = self.connections();
        let pooled = connections.by_key.entry(key.clone()).or_default();
        pooled.protocol = Some(Protocol::Http2);
        pooled.shared.push(shared);
        self.start_reaper(&mut connections);
    }

    fn forget(&self, key: &C::Key, id: u64) {
        if let Some(pooled) = self.connections().by_key.get_mut(key) {
            pooled.shared.retain(|shared| shared.id != id);
        }
    }

    fn keep(self: &Arc<Self>, key: C::Key, generation: u64, connection: Http1) {
        let mut connections = self.connections();
        if connections.generation != generation {
            return;
        }
        let pooled = connections.by_key.entry(key).or_default();
        pooled.protocol = Some(Protocol::Http1);
        if pooled.idle.len() < self.limits.idle_per_key {
            pooled.idle.push(Idle { connection, since: Instant::now() });
            self.shrink(&mut connections, self.limits.connections);
            self.start_reaper(&mut connections);
        }
    }

    /// Looks from time to time for what was idle too long, as long as there is anything.
    fn start_reaper(self: &Arc<Self>, connections: &mut Connections<C::Key>) {
        if std::mem::replace(&mut connections.reaper, true) {
            return;
        }
        let (pool, pause) = (Arc::downgrade(self), self.limits.idle / 2);
        tokio::spawn(async move {
            loop {
                sleep(pause).await;
                let Some(pool) = pool.upgrade() else { return };
                let mut connections = pool.connections();
                let now = Instant::now();
                connections.by_key.retain(|_, pooled| {
                    pooled.discard(now, &pool.limits);
                    !pooled.is_empty()
                });
                if connections.by_key.is_empty() {
                    connections.reaper = false;
                    return;
                }
            }
        });
    }
}

impl<K: Clone + Eq + Hash> Connections<K> {
    /// Closes the connection that has been idle for longest, of any key. Says whether there was one.
    fn close_oldest(&mut self) -> bool {
        let idle = self.by_key.iter().filter_map(|(key, pooled)| Some((pooled.oldest()?.since(), key)));
        let Some(key) = idle.min_by_key(|(since, _)| *since).map(|(_, key)| key.clone()) else {
            return false;
        };
        if let Some(pooled) = self.by_key.get_mut(&key) {
            match pooled.oldest() {
                Some(Oldest::Idle(at, _)) => drop(pooled.idle.remove(at)),
                Some(Oldest::Shared(at, _)) => drop(pooled.shared.remove(at)),
                None => return false,
            }
            if pooled.is_empty() {
                self.by_key.remove(&key);
            }
        }
        true
    }
}

/// The connection of a key that has been idle for longest: its place, and since when.
enum Oldest {
    Idle(usize, Instant),
    Shared(usize, Instant),
}

impl Oldest {
    fn since(&self) -> Instant {
        let (Self::Idle(_, since) | Self::Shared(_, since)) = self;
        *since
    }
}

impl KeyConnections {
    fn oldest(&self) -> Option<Oldest> {
        let idle = self.idle.iter().enumerate().map(|(at, idle)| Oldest::Idle(at, idle.since));
        let unused = self.shared.iter().enumerate().filter(|(_, shared)| shared.connection.streams() == 0);
        let shared = unused.map(|(at, shared)| Oldest::Shared(at, shared.used));
        idle.chain(shared).min_by_key(Oldest::since)
    }

    fn discard(&mut self, now: Instant, limits: &PoolLimits) {
        self.idle.retain(|idle| !idle.connection.is_closed() && now - idle.since < limits.idle);
        self.shared.retain_mut(|shared| {
            if shared.connection.streams() > 0 {
                shared.used = now;
            }
            !shared.connection.is_closed() && now - shared.used < limits.idle
        });
    }

    fn is_empty(&self) -> bool {
        self.idle.is_empty() && self.shared.is_empty() && self.connecting.is_none()
    }
}
