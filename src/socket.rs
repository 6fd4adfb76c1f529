//! How much of a connection the kernel keeps for us. Without a bound a socket's buffers grow on their own, up to
//! `net.ipv4.tcp_rmem` and `tcp_wmem`: 6 MiB and more for each connection. In cgroup v2 they count against a container's memory.

use rustix::net::sockopt::{set_socket_recv_buffer_size, set_socket_send_buffer_size};
use std::{io, os::fd::AsFd};

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
/// once or not at all, so that small ones are as fast.
pub const LOCAL: Buffers = Buffers { receive: 96 * 1024, send: 32 * 1024 };

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
