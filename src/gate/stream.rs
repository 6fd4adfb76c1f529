//! What the gate asks of its sockets.

use super::Address;
use crate::socket::{LOCAL, Socket};
use std::{io, os::fd::AsFd};

/// How many clients may wait to be accepted: while all connections are taken, and while a gate restarts. The
/// kernel's own bound is `net.core.somaxconn`, 4096.
const WAITING: i32 = 1024;

/// Bounds a listening socket's buffers, and lets more clients wait than the library asks for (128).
pub(super) fn tune_listener(listener: &impl AsFd) -> io::Result<()> {
    LOCAL.bound(listener)?;
    // A second listen(2) changes nothing but the length of the queue.
    Ok(rustix::net::listen(listener, WAITING)?)
}

pub(super) async fn connect(address: &Address) -> io::Result<Socket> {
    Ok(match address {
        Address::Unix(path) => Socket::connect_unix(path).await?,
        Address::Tcp(address) => Socket::connect_tcp(address).await?,
        Address::Lent(_) => return Err(io::ErrorKind::Unsupported.into()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::sockopt::{socket_recv_buffer_size, socket_send_buffer_size};
    use tokio::net::{TcpListener, TcpStream};

    #[tokio::test]
    async fn a_connection_has_its_listeners_bounds_from_its_beginning() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        tune_listener(&listener).unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (waiting, _) = listener.accept().await.unwrap();
        let sizes = (socket_recv_buffer_size(&waiting).unwrap(), socket_send_buffer_size(&waiting).unwrap());
        assert_eq!(sizes, (2 * LOCAL.receive, 2 * LOCAL.send));
    }
}
