//! What a client says first in a tunnel: the name that it asks for, before anything is answered.

use bytes::BytesMut;
use rustls::server::Acceptor;
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// More than any ClientHello, with room for hybrid key shares and many extensions.
const MAX_HELLO: usize = 48 * 1024;
/// The first byte of a TLS record that carries a handshake (RFC 8446 §5.1).
const HANDSHAKE_RECORD: u8 = 0x16;

/// What a client says first in a tunnel.
pub(super) struct Hello {
    /// The name it asks for, in lower case.
    pub(super) sni: Option<Box<str>>,
    /// All bytes that were read.
    pub(super) bytes: BytesMut,
}

/// A server name has no trailing dot (RFC 6066 §3), but some clients send one.
fn canonical(name: &str) -> Box<str> {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase().into()
}

/// Why there is no ClientHello.
#[derive(Debug)]
pub(super) enum NoHello {
    NotTls,
    Closed,
    Malformed(io::Error),
}

/// Reads a ClientHello without answering it.
pub(super) async fn read_hello<S>(stream: &mut S, mut bytes: BytesMut) -> Result<Hello, NoHello>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut acceptor = Acceptor::default();
    let mut fed = 0;
    loop {
        if bytes.first().is_some_and(|&first| first != HANDSHAKE_RECORD) {
            return Err(NoHello::NotTls);
        }
        while fed < bytes.len() {
            fed += acceptor.read_tls(&mut &bytes[fed..]).map_err(NoHello::Malformed)?;
            match acceptor.accept() {
                Ok(Some(accepted)) => {
                    let sni = accepted.client_hello().server_name().map(canonical);
                    return Ok(Hello { sni, bytes });
                }
                Ok(None) => {}
                Err((error, mut alert)) => {
                    let mut bytes = Vec::new();
                    if alert.write_all(&mut bytes).is_ok() {
                        let _ = stream.write_all(&bytes).await;
                    }
                    return Err(NoHello::Malformed(io::Error::new(io::ErrorKind::InvalidData, error)));
                }
            }
        }
        if bytes.len() >= MAX_HELLO {
            return Err(NoHello::Malformed(io::Error::other("the ClientHello is too large")));
        }
        match stream.read_buf(&mut bytes).await {
            Ok(0) | Err(_) => return Err(NoHello::Closed),
            Ok(_) => {}
        }
    }
}
