//! Where clients connect: a unix socket or a TCP address.

use super::Peer;
use crate::socket::Socket;
use std::{
    io,
    os::unix::fs::{FileTypeExt, PermissionsExt},
    path::{Path, PathBuf},
};
use tokio::net::{TcpListener, UnixListener};

/// A socket that is bound and listens.
#[derive(Debug)]
pub enum Listener {
    /// A unix socket.
    Unix(UnixListener),
    /// A TCP socket.
    Tcp(TcpListener),
}

/// Why there is no listener.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Something stands where the socket belongs, and it is not a socket.
    #[error("`{}` is not a socket: move it away or listen elsewhere", .0.display())]
    NotASocket(PathBuf),
    /// Another process answers there.
    #[error("another process listens on `{}`: stop it first", .0.display())]
    InUse(PathBuf),
    /// Anything else.
    #[error("can't listen on `{place}`: {error}")]
    Io {
        /// The address that was asked for.
        place: String,
        /// Why not.
        #[source]
        error: io::Error,
    },
}

impl Listener {
    /// Binds a unix socket with the permission bits `mode`. A socket file that nobody listens on any more, left
    /// by a process that was ended hard, is replaced; anything else at that path is left alone.
    /// Needs a runtime.
    #[expect(clippy::disallowed_methods, reason = "the error names the file")]
    pub fn unix(path: &Path, mode: u32) -> Result<Self, ListenError> {
        let io = |error| ListenError::Io { place: path.display().to_string(), error };
        remove_stale(path)?;
        let listener = UnixListener::bind(path).map_err(io)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).map_err(io)?;
        Ok(Listener::Unix(listener))
    }

    /// Binds a TCP address, `HOST:PORT`.
    pub async fn tcp(address: &str) -> Result<Self, ListenError> {
        match TcpListener::bind(address).await {
            Ok(listener) => Ok(Listener::Tcp(listener)),
            Err(error) => Err(ListenError::Io { place: address.to_owned(), error }),
        }
    }

    /// The TCP address that was bound; `None` for a unix socket.
    #[must_use]
    pub fn local_addr(&self) -> Option<std::net::SocketAddr> {
        match self {
            Listener::Unix(_) => None,
            Listener::Tcp(listener) => listener.local_addr().ok(),
        }
    }

    pub(super) async fn accept(&self) -> io::Result<(Socket, Peer)> {
        match self {
            Listener::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                let socket = Socket::from(stream);
                socket.tune()?;
                Ok((socket, Peer::Unix))
            }
            Listener::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                let socket = Socket::from(stream);
                socket.tune()?;
                Ok((socket, Peer::Tcp(address)))
            }
        }
    }
}

impl From<UnixListener> for Listener {
    fn from(listener: UnixListener) -> Self {
        Listener::Unix(listener)
    }
}

impl From<TcpListener> for Listener {
    fn from(listener: TcpListener) -> Self {
        Listener::Tcp(listener)
    }
}

#[expect(clippy::disallowed_methods, reason = "the error names the file")]
fn remove_stale(path: &Path) -> Result<(), ListenError> {
    let io = |error| ListenError::Io { place: path.display().to_string(), error };
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(io(error)),
        Ok(found) if !found.file_type().is_socket() => Err(ListenError::NotASocket(path.to_owned())),
        Ok(_) => match std::os::unix::net::UnixStream::connect(path) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                std::fs::remove_file(path).map_err(io)
            }
            Err(error) => Err(io(error)),
            Ok(_) => Err(ListenError::InUse(path.to_owned())),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stale_socket_is_replaced_and_nothing_else_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("egress.sock");
        let first = Listener::unix(&path, 0o660).unwrap();
        assert_eq!(fs_err::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
        let error = Listener::unix(&path, 0o660).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("another process listens on `{}`: stop it first", path.display())
        );
        drop(first);
        Listener::unix(&path, 0o600).unwrap();

        let file = folder.path().join("file");
        fs_err::write(&file, "kept").unwrap();
        let error = Listener::unix(&file, 0o660).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("`{}` is not a socket: move it away or listen elsewhere", file.display())
        );
        assert_eq!(fs_err::read_to_string(&file).unwrap(), "kept");
    }
}
