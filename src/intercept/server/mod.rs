//! Accepts connections and serves each of them, within limits and until drained.

mod connection;
mod exchange;
mod request_body;
mod response;
mod tunnel;

use super::{
    Client, Drain, Drained, Event, Handler, Interception, Listener, Peer, ServerLimits, head::ConnectionKind,
};
use crate::socket::{PeerEnd, Socket};
use arc_swap::ArcSwap;
use exchange::{Conversation, Exit};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::timeout,
};

/// After a failed accept, most often for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How long a refused client is given to read why.
const REFUSAL: Duration = Duration::from_secs(2);
/// How many refused clients are told why at the same time; more are closed at once.
const REFUSALS: usize = 64;

/// A forward proxy that ends TLS: one handler, any number of listeners.
pub struct Server<H: Handler> {
    handler: Arc<H>,
    interception: ArcSwap<Interception>,
    limits: ServerLimits,
    connections: Arc<Semaphore>,
    refusals: Arc<Semaphore>,
    handshakes: Semaphore,
    /// Of HTTP/2, on all connections; of HTTP/1 each connection has one.
    exchanges: Arc<Semaphore>,
    clients: AtomicU64,
}

impl<H: Handler> Server<H> {
    /// A server that serves nothing yet.
    #[must_use]
    pub fn new(handler: Arc<H>, interception: Interception, limits: ServerLimits) -> Arc<Self> {
        Arc::new(Self {
            handler,
            interception: ArcSwap::from_pointee(interception),
            connections: Arc::new(Semaphore::new(limits.connections)),
            refusals: Arc::new(Semaphore::new(REFUSALS)),
            handshakes: Semaphore::new(limits.handshakes),
            exchanges: Arc::new(Semaphore::new(limits.exchanges)),
            clients: AtomicU64::new(0),
            limits,
        })
    }

    /// Ends the TLS of new tunnels another way, after the CA changed.
    pub fn swap(&self, interception: Interception) {
        self.interception.store(Arc::new(interception));
    }

    /// Connections that are open now.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.limits.connections - self.connections.available_permits()
    }

    /// Serves until drained: then nothing is accepted any more, and what is in flight has [`ServerLimits::grace`]
    /// to finish.
    pub async fn serve(self: Arc<Self>, listener: Listener, drain: Drain) -> Drained {
        let mut tasks = JoinSet::new();
        loop {
            tokio::select! {
                biased;
                () = drain.started() => break,
                Some(ended) = tasks.join_next(), if !tasks.is_empty() => report(ended),
                accepted = listener.accept() => match accepted {
                    Ok((socket, peer)) => self.admit(socket, peer, &drain, &mut tasks),
                    Err(error) => {
                        tracing::warn!(%error, "a connection could not be accepted");
                        self.handler.observe(Event::AcceptFailed);
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
        drop(listener);
        let finished = timeout(self.limits.grace, async {
            while let Some(ended) = tasks.join_next().await {
                report(ended);
            }
        });
        let _ = finished.await;
        let aborted = tasks.len();
        tasks.shutdown().await;
        Drained { aborted }
    }

    fn admit(self: &Arc<Self>, socket: Socket, peer: Peer, drain: &Drain, tasks: &mut JoinSet<()>) {
        let Ok(permit) = Arc::clone(&self.connections).try_acquire_owned() else {
            self.handler.observe(Event::ConnectionRefused);
            if let Ok(permit) = Arc::clone(&self.refusals).try_acquire_owned() {
                tasks.spawn(refuse(socket, permit, self.limits.connections));
            }
            return;
        };
        let client = Arc::new(Client { id: self.clients.fetch_add(1, Ordering::Relaxed) + 1, peer });
        let (server, drain) = (Arc::clone(self), drain.clone());
        tasks.spawn(async move {
            let _open = OpenConnection { handler: &*server.handler, _permit: permit }.announce();
            let watch = match socket.watch() {
                Ok(watch) => watch,
                Err(error) => return tracing::warn!(%error, "a connection can't be served"),
            };
            tokio::select! {
                () = serve(Arc::clone(&server), client, socket, drain) => {}
                over = watch.over(server.limits.stall) => {
                    if over == PeerEnd::Stalled {
                        server.handler.observe(Event::Stalled);
                    }
                    tracing::debug!(?over, "a client's connection ended");
                }
            }
        });
    }
}

/// Serves a client's connection, and the tunnel or the other protocol that may come of it.
async fn serve<H: Handler>(server: Arc<Server<H>>, client: Arc<Client>, socket: Socket, drain: Drain) {
    let conversation = Conversation::new(Arc::clone(&server), Arc::clone(&client), None);
    match connection::over_http1(socket, ConnectionKind::Proxy, conversation, &drain).await {
        Some(Exit::Tunnel(granted)) => tunnel::serve(server, client, granted, drain).await,
        Some(Exit::Upgrade(switched)) => {
            connection::upgraded::<Socket>(switched, server.limits.total).await;
        }
        None => {}
    }
}

/// A connection that is counted as open until this is dropped.
struct OpenConnection<'a, H: Handler> {
    handler: &'a H,
    _permit: OwnedSemaphorePermit,
}

impl<H: Handler> OpenConnection<'_, H> {
    fn announce(self) -> Self {
        self.handler.observe(Event::ConnectionOpened);
        self
    }
}

impl<H: Handler> Drop for OpenConnection<'_, H> {
    fn drop(&mut self) {
        self.handler.observe(Event::ConnectionClosed);
    }
}

/// Tells a client that there is no room, and listens to it until it has understood.
async fn refuse(mut stream: Socket, _permit: OwnedSemaphorePermit, limit: usize) {
    let text = format!(
        "bottle: there are {limit} connections already, which is the limit; close some and try again\n"
    );
    let answer = format!(
        "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nRetry-After: 1\r\n\
         Connection: close\r\n\r\n{text}",
        text.len()
    );
    let _ = timeout(REFUSAL, async {
        stream.write_all(answer.as_bytes()).await?;
        stream.shutdown().await?;
        let mut ignored = [0; 4096];
        while stream.read(&mut ignored).await? > 0 {}
        Ok::<_, std::io::Error>(())
    })
    .await;
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "a connection's task ended in a panic; the connection is closed, the others go on");
    }
}
