//! Connections to upstreams, shared where the protocol allows and kept where it pays.

use super::{
    Connected, Connector, PoolLimits, PoolStats, SendError,
    error::Failure,
    http1::Http1,
    http2::{Http2, StreamCount},
    message::Message,
};
use crate::intercept::{Body, Protocol};
use http::{Request, Response};
use std::{
    collections::HashMap,
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
    places: Mutex<Places<C::Key>>,
    opened: AtomicU64,
    reused: AtomicU64,
    retried: AtomicU64,
}

struct Places<K> {
    by_key: HashMap<K, Place>,
    /// What was taken before the pool was cleared does not come back.
    generation: u64,
    reaper: bool,
}

/// The connections for one key.
#[derive(Default)]
struct Place {
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
    One { connection: Http1, reused: bool },
    Two { id: u64, connection: Http2, count: StreamCount, reused: bool },
}

impl<C: Connector> Pool<C> {
    /// A pool without connections.
    pub fn new(connector: C, limits: PoolLimits) -> Self {
        let places = Mutex::new(Places { by_key: HashMap::new(), generation: 0, reaper: false });
        let (opened, reused, retried) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
        Self(Arc::new(Inner { connector, limits, places, opened, reused, retried }))
    }

    /// The connector.
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

    /// Lets go of every connection: those in use finish what they do and are not used again.
    pub fn clear(&self) {
        let mut places = self.0.places();
        places.by_key.clear();
        places.generation += 1;
    }

    /// What the pool did and holds.
    #[must_use]
    pub fn stats(&self) -> PoolStats {
        let places = self.0.places();
        PoolStats {
            opened: self.0.opened.load(Ordering::Relaxed),
            reused: self.0.reused.load(Ordering::Relaxed),
            retried: self.0.retried.load(Ordering::Relaxed),
            idle: places.by_key.values().map(|place| place.idle.len()).sum(),
            shared: places.by_key.values().map(|place| place.shared.len()).sum(),
        }
    }

    /// `idle` says whether an idle HTTP/1 connection will do.
    async fn attempt(
        &self,
        key: &C::Key,
        message: &Message,
        idle: bool,
    ) -> Result<Response<Body>, Failure<C::Error>> {
        let generation = self.0.places().generation;
        let ready = self.ready(key, idle).await.map_err(|error| Failure { error, unprocessed: false })?;
        match ready {
            Ready::One { connection, reused } => {
                self.count(reused);
                let (pool, key) = (Arc::downgrade(&self.0), key.clone());
                let home = move |connection| {
                    if let Some(pool) = pool.upgrade() {
                        pool.keep(key, generation, connection);
                    }
                };
                connection.send(message, home).await
            }
            Ready::Two { id, connection, count, reused } => {
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
        let connected = self.0.connector.connect(key).await.map_err(SendError::Connect)?;
        let id = self.0.opened.fetch_add(1, Ordering::Relaxed);
        let Connected { stream, protocol, absolute_form, stream_window } = connected;
        let ready = match protocol {
            Protocol::Http1 => {
                let opened = Http1::open(stream, absolute_form).await;
                let connection = opened.map_err(|error| SendError::Handshake(error.into()))?;
                self.0.places().by_key.entry(key.clone()).or_default().protocol = Some(Protocol::Http1);
                Ready::One { connection, reused: false }
            }
            Protocol::Http2 => {
                let opened = Http2::open(stream, stream_window, &self.0.limits).await;
                let connection = opened.map_err(|error| SendError::Handshake(error.into()))?;
                let count = connection.count();
                self.0.share(key, Shared { id, connection: connection.clone(), used: Instant::now() });
                Ready::Two { id, connection, count, reused: false }
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
        let mut places = self.inner.places();
        if let Some(place) = places.by_key.get_mut(&self.key)
            && place.connecting.as_ref().is_some_and(|made| Arc::ptr_eq(made, &self.made))
        {
            place.connecting = None;
            if place.is_empty() && place.protocol.is_none() {
                places.by_key.remove(&self.key);
            }
        }
        self.made.close();
    }
}

impl<C: Connector> Inner<C> {
    fn places(&self) -> MutexGuard<'_, Places<C::Key>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(self: &Arc<Self>, key: &C::Key, idle: bool) -> Taken<C> {
        let now = Instant::now();
        let mut places = self.places();
        let place = places.by_key.entry(key.clone()).or_default();
        place.discard(now, &self.limits);
        let most = self.limits.streams_per_connection;
        if let Some(shared) = place.shared.iter_mut().find(|one| one.connection.has_room(most)) {
            shared.used = now;
            let (id, connection) = (shared.id, shared.connection.clone());
            let count = connection.count();
            return Taken::Ready(Ready::Two { id, connection, count, reused: true });
        }
        if idle && let Some(found) = place.idle.pop() {
            return Taken::Ready(Ready::One { connection: found.connection, reused: true });
        }
        if place.protocol == Some(Protocol::Http1) {
            return Taken::Connect(None);
        }
        if let Some(made) = &place.connecting {
            return Taken::Wait(Arc::clone(made));
        }
        let made = Arc::new(Semaphore::new(0));
        place.connecting = Some(Arc::clone(&made));
        Taken::Connect(Some(Turn { inner: Arc::clone(self), key: key.clone(), made }))
    }

    fn share(self: &Arc<Self>, key: &C::Key, shared: Shared) {
        let mut places = self.places();
        let place = places.by_key.entry(key.clone()).or_default();
        place.protocol = Some(Protocol::Http2);
        place.shared.push(shared);
        self.start_reaper(&mut places);
    }

    fn forget(&self, key: &C::Key, id: u64) {
        if let Some(place) = self.places().by_key.get_mut(key) {
            place.shared.retain(|shared| shared.id != id);
        }
    }

    fn keep(self: &Arc<Self>, key: C::Key, generation: u64, connection: Http1) {
        let mut places = self.places();
        if places.generation != generation {
            return;
        }
        let place = places.by_key.entry(key).or_default();
        if place.idle.len() < self.limits.idle_per_key {
            place.idle.push(Idle { connection, since: Instant::now() });
            self.start_reaper(&mut places);
        }
    }

    /// Looks from time to time for what was idle too long, as long as there is anything.
    fn start_reaper(self: &Arc<Self>, places: &mut Places<C::Key>) {
        if std::mem::replace(&mut places.reaper, true) {
            return;
        }
        let (pool, pause) = (Arc::downgrade(self), self.limits.idle / 2);
        tokio::spawn(async move {
            loop {
                sleep(pause).await;
                let Some(pool) = pool.upgrade() else { return };
                let mut places = pool.places();
                let now = Instant::now();
                places.by_key.retain(|_, place| {
                    place.discard(now, &pool.limits);
                    !place.is_empty()
                });
                if places.by_key.is_empty() {
                    places.reaper = false;
                    return;
                }
            }
        });
    }
}

impl Place {
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
