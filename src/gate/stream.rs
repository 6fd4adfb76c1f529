//! A connection of either kind, and how much of it the kernel may keep for us.

use super::Address;
use crate::socket::LOCAL;
use std::{
    io,
    os::fd::AsFd,
    pin::Pin,
    task::{Context, Poll},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, UnixStream},
};

/// How many clients may wait to be accepted: while all connections are taken, and while a gate restarts. The
/// kernel's own bound is `net.core.somaxconn`, 4096.
const WAITING: i32 = 1024;

/// Bounds a listening socket's buffers, and lets more clients wait than the library asks for (128).
pub(super) fn tune_listener(listener: &impl AsFd) -> io::Result<()> {
    LOCAL.bound(listener)?;
    // A second listen(2) changes nothing but the length of the queue.
    Ok(rustix::net::listen(listener, WAITING)?)
}

/// One connection.
pub(super) enum Stream {
    Unix(UnixStream),
    Tcp(TcpStream),
}

impl Stream {
    pub(super) async fn connect(address: &Address) -> io::Result<Self> {
        Ok(match address {
            Address::Unix(path) => Self::Unix(UnixStream::connect(path).await?),
            Address::Tcp(address) => Self::Tcp(TcpStream::connect(address).await?),
            Address::Lent(_) => return Err(io::ErrorKind::Unsupported.into()),
        })
    }

    /// Bounded buffers, without which a connection must not be carried; and no waiting for more to send.
    pub(super) fn tune(&self) -> io::Result<()> {
        match self {
            Self::Unix(stream) => LOCAL.bound(stream),
            Self::Tcp(stream) => {
                // Only latency is at stake: a failure here is none of the connection.
                let _ = stream.set_nodelay(true);
                LOCAL.bound(stream)
            }
        }
    }

    /// A stream that broke must not look like one that ended.
    pub(super) fn reset_on_close(&self) {
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
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        delegate!(self, s => Pin::new(s).poll_read(cx, buf))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        delegate!(self, s => Pin::new(s).poll_write(cx, buf))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self, s => Pin::new(s).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self, s => Pin::new(s).poll_shutdown(cx))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::sockopt::{socket_recv_buffer_size, socket_send_buffer_size};
    use tokio::net::TcpListener;

    /// What the kernel says is the doubled number; that is what counts against a container's memory.
    #[tokio::test]
    async fn the_kernel_buffers_of_both_sides_are_bounded() {
        let sizes = |socket: &dyn AsFd| {
            (
                socket_recv_buffer_size(socket.as_fd()).unwrap(),
                socket_send_buffer_size(socket.as_fd()).unwrap(),
            )
        };
        let most = (2 * LOCAL.receive, 2 * LOCAL.send);

        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        tune_listener(&listener).unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (waiting, _) = listener.accept().await.unwrap();
        assert_eq!(sizes(&waiting), most, "a connection has its listener's bounds from its beginning");

        let (near, _far) = UnixStream::pair().unwrap();
        let near = Stream::Unix(near);
        near.tune().unwrap();
        let Stream::Unix(near) = near else { unreachable!() };
        assert_eq!(sizes(&near), most);
    }
}
