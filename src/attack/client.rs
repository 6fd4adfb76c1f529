//! A client that writes the bytes it is told to: HTTP libraries correct what an attacker would not.

use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, pki_types::ServerName};
use std::{
    io::{self, Read, Write},
    net::{TcpStream, ToSocketAddrs},
    sync::Arc,
    time::Duration,
};

/// How long an answer may take; the proxies themselves wait longer for a slow origin.
const PATIENCE: Duration = Duration::from_secs(20);
/// As much of an answer as a check reads.
const ENOUGH: u64 = 256 * 1024;

/// The start of an HTTP/1.1 answer, as far as a check needs it.
#[derive(Clone, Debug, Default)]
pub(super) struct ProxyAnswer {
    /// The status code; 0 when the bytes were no HTTP.
    pub(super) status: u16,
    /// Field lines, as received.
    pub(super) fields: Vec<(String, String)>,
    /// The body, as far as it was read.
    pub(super) body: String,
}

impl ProxyAnswer {
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }

    /// The code that bottle's or pipelock's own refusals carry.
    pub(super) fn reason(&self) -> Option<&str> {
        self.field("x-bottle-reason").or_else(|| self.field("x-pipelock-block-reason"))
    }

    /// The kinds of secrets that the proxies took out of the request, which went on.
    pub(super) fn removed(&self) -> Option<&str> {
        self.field("x-bottle-removed").or_else(|| self.field("x-pipelock-removed"))
    }

    /// Whether one of the proxies answered, and not the origin.
    pub(super) fn is_ours(&self) -> bool {
        self.reason().is_some() || self.status == 0 || self.body.contains("blocked: ")
    }

    fn parse(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|l| l.split(' ').nth(1)).and_then(|s| s.parse().ok()).unwrap_or(0);
        let fields =
            lines.filter_map(|l| l.split_once(':')).map(|(n, v)| (n.to_owned(), v.trim().to_owned()));
        Self { status, fields: fields.collect(), body: body.to_owned() }
    }
}

/// Trusts what the agent trusts: the PEM certificates of one file.
pub(super) fn tls_config(bundle: &str) -> Result<Arc<ClientConfig>, String> {
    use rustls::pki_types::{CertificateDer, pem::PemObject as _};
    let certificates = CertificateDer::pem_file_iter(bundle).map_err(|e| format!("{bundle}: {e}"))?;
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        roots
            .add(certificate.map_err(|e| format!("{bundle}: {e}"))?)
            .map_err(|e| format!("{bundle}: {e}"))?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// A connection to the proxy.
pub(super) fn dial(proxy: &str) -> io::Result<TcpStream> {
    let address = proxy.to_socket_addrs()?.next().ok_or_else(|| io::Error::other("no address"))?;
    let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Writes `request` to the proxy as it is and reads the answer.
pub(super) fn plain(proxy: &str, request: &str) -> io::Result<ProxyAnswer> {
    let mut stream = dial(proxy)?;
    stream.write_all(request.as_bytes())?;
    read_answer(&mut stream)
}

/// Sends the CONNECT request `head` and reads its answer; what follows a 200 stays in the stream.
pub(super) fn connect(stream: &mut TcpStream, head: &str) -> io::Result<ProxyAnswer> {
    stream.write_all(head.as_bytes())?;
    read_head(stream)
}

/// What became of a request inside a tunnel.
#[derive(Debug)]
pub(super) enum Tunnelled {
    /// CONNECT itself was refused.
    Refused(ProxyAnswer),
    /// The tunnel opened and TLS failed in it.
    NoTls(String),
    /// The request was answered.
    Answered(ProxyAnswer),
}

/// CONNECT to `authority`, TLS with `sni`, then `request` as it is.
pub(super) fn tunnelled(
    proxy: &str,
    authority: &str,
    sni: &str,
    config: Arc<ClientConfig>,
    request: &str,
) -> io::Result<Tunnelled> {
    let mut stream = dial(proxy)?;
    let answer = connect(&mut stream, &format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n"))?;
    if answer.status != 200 {
        return Ok(Tunnelled::Refused(answer));
    }
    let name = ServerName::try_from(sni.to_owned()).map_err(io::Error::other)?;
    let connection = ClientConnection::new(config, name).map_err(io::Error::other)?;
    let mut tls = StreamOwned::new(connection, stream);
    if let Err(error) = tls.write_all(request.as_bytes()).and_then(|()| tls.flush()) {
        return Ok(Tunnelled::NoTls(error.to_string()));
    }
    match read_answer(&mut tls) {
        Ok(answer) if answer.status == 0 => Ok(Tunnelled::NoTls("the tunnel was closed".to_owned())),
        Ok(answer) => Ok(Tunnelled::Answered(answer)),
        Err(error) => Ok(Tunnelled::NoTls(error.to_string())),
    }
}

/// Reads until the peer closes (every request here says `Connection: close`), at most [`ENOUGH`].
fn read_answer(stream: &mut impl Read) -> io::Result<ProxyAnswer> {
    let mut bytes = Vec::new();
    match stream.take(ENOUGH).read_to_end(&mut bytes) {
        Ok(_) => {}
        // Some of an answer is an answer: a peer may reset after a refusal, or omit TLS's close_notify.
        Err(_) if !bytes.is_empty() => {}
        Err(error) => return Err(error),
    }
    Ok(ProxyAnswer::parse(&bytes))
}

/// Reads a head, byte by byte so that nothing of the tunnel behind it is taken. A refusal's body follows.
fn read_head(stream: &mut TcpStream) -> io::Result<ProxyAnswer> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && head.len() < 16 * 1024 {
        if stream.read(&mut byte)? == 0 {
            break;
        }
        head.push(byte[0]);
    }
    let mut answer = ProxyAnswer::parse(&head);
    if answer.status != 200 {
        let length = answer.field("content-length").and_then(|l| l.parse().ok()).unwrap_or(0u64);
        let mut body = String::new();
        let _ = stream.take(length.min(ENOUGH)).read_to_string(&mut body);
        answer.body = body;
    }
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_into_status_fields_and_body() {
        let answer = ProxyAnswer::parse(b"HTTP/1.1 403 Forbidden\r\nX-Bottle-Reason: git_push\r\n\r\nno");
        assert_eq!(
            (answer.status, answer.field("x-bottle-reason"), &*answer.body),
            (403, Some("git_push"), "no")
        );
    }

    #[test]
    fn bytes_that_are_no_http_have_status_zero() {
        assert_eq!(ProxyAnswer::parse(b"SSH-2.0-x\r\n").status, 0);
    }
}
