//! Connections: how much of one the kernel keeps for us, and whether its peer is still there.
//!
//! Without a bound a socket's buffers grow on their own, up to
//! `net.ipv4.tcp_rmem` and `tcp_wmem`: 6 MiB and more for each connection. In cgroup v2 they count against a container's memory.

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{FileType, Mode, OFlags},
    net::sockopt::{set_socket_recv_buffer_size, set_socket_send_buffer_size},
};
use std::{
    io::{self, IoSlice},
    net::SocketAddr,
    os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd},
    path::Path,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, UnixStream},
    time::{Instant, sleep},
};

/// How often a connection is looked at.
const TICK: Duration = Duration::from_secs(1);
/// How long what came before a close may take to move on.
const DELIVERY: Duration = Duration::from_secs(5);
/// How often a unix socket is dialled again whose queue of clients is full, and for how long.
const REDIAL: Duration = Duration::from_millis(20);
const REDIALLING: Duration = Duration::from_secs(5);

/// What `SO_RCVBUF` and `SO_SNDBUF` are asked for, in bytes. Linux doubles both, to allow for its own bookkeeping, and
/// takes at most `net.core.rmem_max` and `wmem_max`, 208 KiB unless somebody set them (socket(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buffers {
    /// `SO_RCVBUF`.
    pub receive: usize,
    /// `SO_SNDBUF`.
    pub send: usize,
}

/// Between processes on one machine, where a round trip takes some 50 µs: what is sent is taken by the other side at
/// once or not at all. A send buffer that holds no segment of the loopback (64 KiB) is 40 times slower: each waits for a
/// delayed acknowledgement.
pub const LOCAL: Buffers = Buffers { receive: 96 * 1024, send: 64 * 1024 };

/// Towards an origin, for one exchange: at a round trip of 50 ms, some 4 MB/s are received and 2 MB/s sent.
pub const REMOTE: Buffers = Buffers { receive: 208 * 1024, send: 104 * 1024 };

impl Buffers {
    /// Bounds what the kernel buffers for a socket. On a listening socket it is for what is accepted from it, and for
    /// those that still wait.
    pub fn bound(self, socket: &impl AsFd) -> io::Result<()> {
        set_socket_recv_buffer_size(socket, self.receive)?;
        set_socket_send_buffer_size(socket, self.send)?;
        Ok(())
    }
}

/// A connection of either kind, which remembers when a byte of it moved.
#[derive(Debug)]
pub struct Socket {
    stream: Stream,
    moved: LastMoved,
}

#[derive(Debug)]
enum Stream {
    Unix(UnixStream),
    Tcp(TcpStream),
}

impl From<UnixStream> for Socket {
    fn from(stream: UnixStream) -> Self {
        Self { stream: Stream::Unix(stream), moved: LastMoved::default() }
    }
}

impl From<TcpStream> for Socket {
    fn from(stream: TcpStream) -> Self {
        Self { stream: Stream::Tcp(stream), moved: LastMoved::default() }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.stream {
            Stream::Unix(stream) => stream.as_fd(),
            Stream::Tcp(stream) => stream.as_fd(),
        }
    }
}

impl Socket {
    /// Connects to a TCP address, `HOST:PORT`.
    pub async fn connect_tcp(address: &str) -> io::Result<Self> {
        Ok(TcpStream::connect(address).await?.into())
    }

    /// Connects to a unix socket. While as many clients wait there as the listener allows, so does this one, for a few
    /// seconds: the kernel makes clients wait for TCP only, and of old is content with 128 that do.
    pub async fn connect_unix(path: &Path) -> io::Result<Self> {
        let begun = Instant::now();
        loop {
            match UnixStream::connect(path).await {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && begun.elapsed() < REDIALLING => {
                    sleep(REDIAL).await;
                }
                connected => return Ok(connected?.into()),
            }
        }
    }

    /// The same in a folder where another process writes: a link in the socket's place is not followed.
    pub async fn connect_unix_itself(path: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let handle = rustix::fs::open(path, flags, Mode::empty())?;
        if FileType::from_raw_mode(rustix::fs::fstat(&handle)?.st_mode) != FileType::Socket {
            return Err(io::Error::other("it is not a socket, and a link is not followed"));
        }
        // The very file that was looked at, whatever has its name by now.
        Self::connect_unix(&Path::new("/proc/self/fd").join(handle.as_raw_fd().to_string())).await
    }

    /// Bounds its buffers, without which a connection must not be carried, and does not wait for more to send.
    pub fn tune(&self) -> io::Result<()> {
        if let Stream::Tcp(stream) = &self.stream {
            // Only latency is at stake: a failure here is none of the connection.
            let _ = stream.set_nodelay(true);
        }
        LOCAL.bound(self)
    }

    /// The local address and that of the peer, if it is TCP.
    #[must_use]
    pub fn addresses(&self) -> Option<(SocketAddr, SocketAddr)> {
        match &self.stream {
            Stream::Unix(_) => None,
            Stream::Tcp(stream) => Some((stream.local_addr().ok()?, stream.peer_addr().ok()?)),
        }
    }

    /// A stream that broke must not look like one that ended. Of a unix socket the kernel says so by itself, where
    /// something was left unread.
    pub fn reset_on_close(&self) {
        if let Stream::Tcp(stream) = &self.stream {
            let _ = stream.set_zero_linger();
        }
    }

    /// What tells when this connection is over, whoever reads from it or does not.
    pub fn watch(&self) -> io::Result<PeerWatch> {
        Ok(PeerWatch { socket: self.as_fd().try_clone_to_owned()?, moved: self.moved.clone() })
    }

    fn note<T>(&self, moved: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if matches!(moved, Poll::Ready(Ok(_))) {
            self.moved.now();
        }
        moved
    }
}

macro_rules! delegate {
    ($self:ident, $stream:ident => $call:expr) => {
        match &mut $self.stream {
            Stream::Unix($stream) => $call,
            Stream::Tcp($stream) => $call,
        }
    };
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = delegate!(self, s => Pin::new(s).poll_read(cx, buf));
        self.note(read)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = delegate!(self, s => Pin::new(s).poll_write(cx, buf));
        self.note(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = delegate!(self, s => Pin::new(s).poll_write_vectored(cx, bufs));
        self.note(written)
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Stream::Unix(stream) => stream.is_write_vectored(),
            Stream::Tcp(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self, s => Pin::new(s).poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self, s => Pin::new(s).poll_shutdown(cx))
    }
}

/// When a byte last moved.
#[derive(Clone, Debug)]
struct LastMoved(Arc<Mutex<Instant>>);

impl Default for LastMoved {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Instant::now())))
    }
}

impl LastMoved {
    fn now(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn still_for(&self) -> Duration {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }
}

/// Looks at a connection from aside. Who forwards bytes does not learn that a client is gone while the other side takes
/// none: it does not read from the client then.
#[derive(Debug)]
pub struct PeerWatch {
    socket: OwnedFd,
    moved: LastMoved,
}

/// Why a connection is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerEnd {
    /// The peer is gone: nothing that is sent to it arrives.
    Gone,
    /// No byte moved for too long.
    Stalled,
}

impl PeerWatch {
    /// For how long no byte has moved.
    #[must_use]
    pub fn still_for(&self) -> Duration {
        self.moved.still_for()
    }

    /// Waits until the peer is gone, or until no byte has moved for `patience`.
    pub async fn over(&self, patience: Duration) -> PeerEnd {
        loop {
            sleep(TICK).await;
            let still = self.still_for();
            if self.is_gone(still) {
                return PeerEnd::Gone;
            }
            if still >= patience {
                return PeerEnd::Stalled;
            }
        }
    }

    /// A reset is final. After a close, bytes that came before it may still be under way to the other side.
    fn is_gone(&self, still: Duration) -> bool {
        let mut polled = [PollFd::new(&self.socket, PollFlags::empty())];
        if poll(&mut polled, Some(&Timespec::default())).is_err() {
            return false;
        }
        let state = polled[0].revents();
        state.contains(PollFlags::ERR) || state.contains(PollFlags::HUP) && still >= DELIVERY
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::sockopt::{socket_recv_buffer_size, socket_send_buffer_size};
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
        time::timeout,
    };

    async fn tcp() -> (TcpStream, Socket) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (client, listener.accept().await.unwrap().0.into())
    }

    const LONG: Duration = Duration::from_mins(15);

    #[tokio::test]
    async fn a_link_in_the_place_of_a_socket_leads_to_none() {
        let dir = tempfile::tempdir().unwrap();
        let [socket, link, file] = ["socket", "link", "file"].map(|name| dir.path().join(name));
        let _listener = tokio::net::UnixListener::bind(&socket).unwrap();
        fs_err::os::unix::fs::symlink(&socket, &link).unwrap();
        fs_err::write(&file, "").unwrap();
        Socket::connect_unix(&link).await.unwrap();
        Socket::connect_unix_itself(&socket).await.unwrap();
        for other in [link, file] {
            let error = Socket::connect_unix_itself(&other).await.unwrap_err().to_string();
            assert!(error.contains("not a socket, and a link is not followed"), "{error}");
        }
    }

    /// What the kernel says is the doubled number; that is what counts against a container's memory.
    #[tokio::test]
    async fn the_kernel_buffers_of_both_kinds_are_bounded() {
        let (_far, unix) = UnixStream::pair().unwrap();
        let (_client, tcp) = tcp().await;
        for socket in [Socket::from(unix), tcp] {
            socket.tune().unwrap();
            let sizes =
                (socket_recv_buffer_size(&socket).unwrap(), socket_send_buffer_size(&socket).unwrap());
            assert_eq!(sizes, (2 * LOCAL.receive, 2 * LOCAL.send));
        }
    }

    #[tokio::test]
    async fn who_finds_the_queue_of_a_unix_socket_full_waits_for_a_place_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("full.sock");
        let listener = tokio::net::UnixListener::bind(&path).unwrap();
        rustix::net::listen(&listener, 0).unwrap();
        let _first = Socket::connect_unix(&path).await.unwrap();
        let full = UnixStream::connect(&path).await.unwrap_err();
        assert_eq!(full.kind(), io::ErrorKind::WouldBlock);
        let second = tokio::spawn({
            let path = path.clone();
            async move { Socket::connect_unix(&path).await }
        });
        sleep(REDIAL * 3).await;
        assert!(!second.is_finished());
        listener.accept().await.unwrap();
        let second = timeout(LONG, second).await.unwrap().unwrap();
        assert!(second.is_ok(), "{second:?}");
    }

    #[tokio::test]
    async fn a_peer_that_is_gone_is_noticed_although_nobody_reads_what_it_sent() {
        let (mut client, socket) = tcp().await;
        client.write_all(b"unread").await.unwrap();
        let watch = socket.watch().unwrap();
        timeout(TICK * 2, watch.over(LONG)).await.unwrap_err();
        client.set_zero_linger().unwrap();
        drop(client);
        assert_eq!(timeout(TICK * 2, watch.over(LONG)).await.unwrap(), PeerEnd::Gone, "reset");

        let (mut far, near) = UnixStream::pair().unwrap();
        far.write_all(b"unread").await.unwrap();
        let watch = Socket::from(near).watch().unwrap();
        drop(far);
        timeout(DELIVERY / 2, watch.over(LONG)).await.unwrap_err();
        assert_eq!(timeout(DELIVERY * 2, watch.over(LONG)).await.unwrap(), PeerEnd::Gone, "closed");
    }

    #[tokio::test]
    async fn a_peer_that_only_sends_no_more_is_there() {
        let (mut client, mut socket) = tcp().await;
        client.shutdown().await.unwrap();
        let watch = socket.watch().unwrap();
        timeout(DELIVERY + TICK * 2, watch.over(LONG)).await.unwrap_err();
        socket.write_all(b"late").await.unwrap();
        let mut read = [0; 4];
        client.read_exact(&mut read).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn silence_ends_it_and_bytes_in_either_direction_put_that_off() {
        let (mut client, mut socket) = tcp().await;
        let watch = socket.watch().unwrap();
        let begun = Instant::now();
        let patience = Duration::from_secs(10);
        let traffic = async {
            for n in 0..6 {
                sleep(Duration::from_secs(9)).await;
                if n % 2 == 0 {
                    socket.write_all(b"x").await.unwrap();
                } else {
                    client.write_all(b"y").await.unwrap();
                    socket.read_exact(&mut [0]).await.unwrap();
                }
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = traffic => {}
            over = watch.over(patience) => assert_eq!(over, PeerEnd::Stalled),
        }
        let lasted = begun.elapsed().as_secs();
        assert!((6 * 9 + 10..6 * 9 + 13).contains(&lasted), "{lasted}");
    }
}
