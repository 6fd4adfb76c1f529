//! A listening socket that outlives whoever serves it.
//!
//! The agent shares its loopback with the gate, and may run as the same user. If the gate bound its own port, the
//! agent could bind it as soon as the gate is dead, and then answer other sessions in the gate's place. So the
//! process that holds the network namespace also holds the socket, and hands a copy of it (`SCM_RIGHTS`, unix(7))
//! to each gate that asks. While there is no gate, clients wait in the socket's queue.

use super::{Lend, bind_unix, stream::tune_listener};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg, sockopt::socket_acceptconn,
};
use std::{
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    net::SocketAddr,
    os::fd::{AsFd, OwnedFd},
    path::Path,
    time::Duration,
};
use tokio::{
    io::Interest,
    net::{TcpListener, UnixListener, UnixStream},
    time::{Instant, sleep, timeout_at},
};

/// How long a gate waits for the process that lends the listener, which may still be starting.
pub(super) const LENT_WAIT: Duration = Duration::from_secs(30);
/// Between two tries.
const LENT_PAUSE: Duration = Duration::from_millis(100);
/// How long accepting pauses after it failed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A port that is held, and the socket on which it is lent. It never accepts a connection itself.
#[derive(Debug)]
pub struct LentListener {
    listener: TcpListener,
    socket: UnixListener,
}

impl Lend {
    /// Binds the port and listens on it, then on the unix socket, which only the owner may connect to.
    pub async fn bind(&self) -> io::Result<LentListener> {
        let explain = |place: &dyn std::fmt::Display, e: io::Error| {
            io::Error::new(e.kind(), format!("can't listen on {place}: {e}"))
        };
        let listener = TcpListener::bind(&self.listen).await.map_err(|e| explain(&self.listen, e))?;
        tune_listener(&listener)?;
        let place = format!("unix:{}", self.socket.display());
        let socket = bind_unix(&self.socket).await.map_err(|e| explain(&place, e))?;
        Ok(LentListener { listener, socket })
    }
}

impl LentListener {
    /// The address that is really held (port 0 resolved).
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Lends until it is dropped, to one gate after the other.
    pub async fn serve(self) {
        loop {
            match self.socket.accept().await {
                Ok((gate, _)) => match hand_over(&gate, &self.listener).await {
                    Ok(()) => tracing::info!("the listener was handed to a gate"),
                    Err(error) => tracing::warn!(%error, "could not hand the listener to a gate"),
                },
                Err(error) => {
                    tracing::warn!(%error, "could not accept a gate");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

/// One byte carries it, since ancillary data needs some. It fits into the empty buffer of a new connection.
async fn hand_over(gate: &UnixStream, listener: &TcpListener) -> io::Result<()> {
    gate.async_io(Interest::WRITABLE, || {
        let sockets = [listener.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !control.push(SendAncillaryMessage::ScmRights(&sockets)) {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        sendmsg(gate, &[IoSlice::new(b"L")], &mut control, SendFlags::NOSIGNAL)?;
        Ok(())
    })
    .await
}

/// Borrows the listener that is lent at `path`; waits up to `patience` for whoever lends it.
pub(super) async fn borrow(path: &Path, patience: Duration) -> io::Result<TcpListener> {
    let until = Instant::now() + patience;
    let mut said = false;
    loop {
        let error = match timeout_at(until, ask(path)).await {
            Ok(Ok(listener)) => return Ok(listener),
            Ok(Err(error)) => error,
            Err(_) => io::Error::new(io::ErrorKind::TimedOut, "it does not answer"),
        };
        if !said {
            said = true;
            tracing::info!(lent = %path.display(), %error, "waiting for the process that lends the listener");
        }
        if Instant::now() + LENT_PAUSE >= until {
            let text = format!(
                "no listener was lent on {} within {} s: {error}; is `bottle gate --lend` running?",
                path.display(),
                patience.as_secs()
            );
            return Err(io::Error::new(error.kind(), text));
        }
        sleep(LENT_PAUSE).await;
    }
}

async fn ask(path: &Path) -> io::Result<TcpListener> {
    let lender = UnixStream::connect(path).await?;
    let socket = lender.async_io(Interest::READABLE, || receive(&lender)).await?;
    let nothing = |what| io::Error::new(io::ErrorKind::InvalidData, what);
    let socket = socket.ok_or_else(|| nothing("it sent no socket"))?;
    if !socket_acceptconn(&socket)? {
        return Err(nothing("the socket that it sent does not listen"));
    }
    let listener = std::net::TcpListener::from(socket);
    listener.local_addr().map_err(|_| nothing("the socket that it sent is not TCP"))?;
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

fn receive(lender: &UnixStream) -> io::Result<Option<OwnedFd>> {
    let mut byte = [0];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    recvmsg(lender, &mut [IoSliceMut::new(&mut byte)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let sockets = control.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(sockets) => Some(sockets),
        _ => None,
    });
    Ok(sockets.flatten().next())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_never_lends_is_waited_for_and_then_said() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("l.sock");
        let absent = borrow(&path, Duration::ZERO).await.unwrap_err().to_string();
        assert_eq!(
            absent,
            format!(
                "no listener was lent on {} within 0 s: No such file or directory (os error 2); is `bottle gate \
                 --lend` running?",
                path.display()
            )
        );
        let _silent = UnixListener::bind(&path).unwrap();
        let silent = borrow(&path, Duration::from_millis(50)).await.unwrap_err().to_string();
        assert!(silent.contains("within 0 s: it does not answer; "), "{silent}");
    }

    /// Only a socket that listens is served.
    #[tokio::test]
    async fn another_socket_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("l.sock");
        let lender = UnixListener::bind(&path).unwrap();
        tokio::spawn(async move {
            let (first, _) = lender.accept().await.unwrap();
            first.writable().await.unwrap();
            first.try_write(b"L").unwrap();
            let (_second, _) = lender.accept().await.unwrap();
            std::future::pending::<()>().await;
        });
        let error = ask(&path).await.unwrap_err().to_string();
        assert_eq!(error, "it sent no socket");
    }
}
