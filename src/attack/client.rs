//! A client that writes the bytes it is told to: HTTP libraries correct what an attacker would not.

use super::Outcome;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, pki_types::ServerName};
use std::{
    cell::Cell,
    fmt,
    io::{self, Read, Write},
    net::{TcpStream, ToSocketAddrs},
    sync::Arc,
    time::Duration,
};

/// As much of an answer as a check reads.
const ENOUGH: u64 = 256 * 1024;

/// The proxy, and how long its answers may take.
#[derive(Clone, Debug)]
pub(super) struct ProxyAt {
    address: String,
    patience: Cell<Duration>,
}

impl ProxyAt {
    /// The proxies themselves wait longer for a slow origin.
    const MOST: Duration = Duration::from_secs(10);
    /// Enough for a refusal, which waits for nobody.
    const LEAST: Duration = Duration::from_millis(300);

    /// At `HOST:PORT`.
    pub(super) fn new(address: String) -> Self {
        Self { address, patience: Cell::new(Self::MOST) }
    }

    /// An attempt that waits for an origin that does not answer costs the next one half of the patience, so that a suite with many of
    /// them ends all the same.
    pub(super) fn took(&self, time: Duration) {
        let patience = self.patience.get();
        if time >= patience / 2 {
            self.patience.set((patience / 2).max(Self::LEAST));
        }
    }
}

impl fmt::Display for ProxyAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.address)
    }
}

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
pub(super) fn dial(proxy: &ProxyAt) -> io::Result<TcpStream> {
    let address = proxy.address.to_socket_addrs()?.next().ok_or_else(|| io::Error::other("no address"))?;
    let patience = proxy.patience.get();
    let stream = TcpStream::connect_timeout(&address, patience)?;
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(patience))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Writes `request` to the proxy as it is and reads the answer.
pub(super) fn plain(proxy: &ProxyAt, request: &[u8]) -> io::Result<ProxyAnswer> {
    let mut stream = dial(proxy)?;
    stream.write_all(request)?;
    read_answer(&mut stream)
}

/// Sends the CONNECT request `head` and reads its answer; what follows a 200 stays in the stream.
pub(super) fn connect(stream: &mut TcpStream, head: &[u8]) -> io::Result<ProxyAnswer> {
    stream.write_all(head)?;
    read_head(stream)
}

/// What became of a request inside a tunnel.
#[derive(Debug)]
pub(super) enum Tunnelled {
    /// CONNECT itself was refused.
    Refused(ProxyAnswer),
    /// The tunnel opened and TLS failed in it, or it was closed without an answer.
    NoTls(String),
    /// No answer came in time.
    Silent(String),
    /// The request was answered.
    Answered(ProxyAnswer),
}

/// CONNECT to `authority`, TLS with `sni`, then `request` as it is.
pub(super) fn tunnelled(
    proxy: &ProxyAt,
    authority: &str,
    sni: &str,
    config: Arc<ClientConfig>,
    request: &[u8],
) -> io::Result<Tunnelled> {
    let mut stream = dial(proxy)?;
    let head = format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n");
    let answer = connect(&mut stream, head.as_bytes())?;
    if answer.status != 200 {
        return Ok(Tunnelled::Refused(answer));
    }
    let name = ServerName::try_from(sni.to_owned()).map_err(io::Error::other)?;
    let connection = ClientConnection::new(config, name).map_err(io::Error::other)?;
    let mut tls = StreamOwned::new(connection, stream);
    // A peer that closes while a long request is written may have answered before.
    let sent = tls.write_all(request).and_then(|()| tls.flush());
    match read_answer(&mut tls) {
        Ok(answer) if answer.status == 0 => Ok(Tunnelled::NoTls("the tunnel was closed".to_owned())),
        Ok(answer) => Ok(Tunnelled::Answered(answer)),
        Err(error) if sent.is_ok() && is_silence(&error) => Ok(Tunnelled::Silent(error.to_string())),
        Err(error) => Ok(Tunnelled::NoTls(sent.err().unwrap_or(error).to_string())),
    }
}

/// Whether nothing came for as long as an answer may take.
fn is_silence(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

/// TLS in a tunnel, for what is not one request and its answer.
pub(super) struct TlsStream {
    tls: StreamOwned<ClientConnection, TcpStream>,
    silent: bool,
}

/// CONNECT to a host's port 443, and TLS with these protocols offered.
pub(super) fn secure(
    proxy: &ProxyAt,
    host: &str,
    config: Arc<ClientConfig>,
    alpn: &[&[u8]],
) -> Result<TlsStream, Outcome> {
    let opened = (|| {
        let mut stream = dial(proxy)?;
        let answer = connect(
            &mut stream,
            format!("CONNECT {host}:443 HTTP/1.1\r\nHost: {host}:443\r\n\r\n").as_bytes(),
        )?;
        if answer.status != 200 {
            return Err(io::Error::other(format!("the tunnel was refused: {}", answer.status)));
        }
        let mut config = Arc::unwrap_or_clone(config);
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let mut connection = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
        connection.complete_io(&mut stream)?;
        Ok(TlsStream { tls: StreamOwned::new(connection, stream), silent: false })
    })();
    opened.map_err(|error| Outcome::NotTried(format!("the tunnel to {host}: {error}")))
}

impl TlsStream {
    pub(super) fn agreed_on(&self, protocol: &[u8]) -> bool {
        self.tls.conn.alpn_protocol() == Some(protocol)
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.tls.write_all(bytes)?;
        self.tls.flush()
    }

    /// So many bytes, or nothing when the connection ends before, or nothing comes for long.
    pub(super) fn read(&mut self, length: usize) -> Option<Vec<u8>> {
        let mut bytes = vec![0; length];
        match self.tls.read_exact(&mut bytes) {
            Ok(()) => Some(bytes),
            Err(error) => {
                self.silent = is_silence(&error);
                None
            }
        }
    }

    /// Whether the last bytes did not come although the connection is open.
    pub(super) fn is_silent(&self) -> bool {
        self.silent
    }

    /// The head of an answer, up to its empty line.
    pub(super) fn head(&mut self) -> Option<ProxyAnswer> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") && head.len() < 16 * 1024 {
            head.extend(self.read(1)?);
        }
        Some(ProxyAnswer::parse(&head))
    }

    /// Sends bytes, and gives back all that comes until the connection ends.
    pub(super) fn say_and_hear(&mut self, bytes: &[u8]) -> Result<String, Outcome> {
        let untried = |error: io::Error| Outcome::NotTried(error.to_string());
        self.write(bytes).map_err(untried)?;
        let mut heard = Vec::new();
        match (&mut self.tls).take(ENOUGH).read_to_end(&mut heard) {
            Err(error) if is_silence(&error) => Err(untried(error)),
            // A peer that closes without TLS's farewell has closed all the same.
            _ => Ok(String::from_utf8_lossy(&heard).into_owned()),
        }
    }
}

/// Reads until the answer is whole or the peer closes, at most [`ENOUGH`].
fn read_answer(stream: &mut impl Read) -> io::Result<ProxyAnswer> {
    let mut bytes = Vec::new();
    let mut piece = vec![0; 16 * 1024];
    while (bytes.len() as u64) < ENOUGH && !is_whole(&bytes) {
        match stream.read(&mut piece) {
            Ok(0) => break,
            Ok(read) => bytes.extend_from_slice(&piece[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // Some of an answer is an answer: a peer may reset after a refusal, or omit TLS's close_notify.
            Err(_) if !bytes.is_empty() => break,
            Err(error) => return Err(error),
        }
    }
    Ok(ProxyAnswer::parse(&bytes))
}

/// Whether an answer is there to the end that its head says.
fn is_whole(bytes: &[u8]) -> bool {
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4) else {
        return false;
    };
    let answer = ProxyAnswer::parse(&bytes[..end]);
    match answer.field("content-length").and_then(|length| length.parse().ok()) {
        Some(length) => bytes.len() - end >= length,
        None => answer.field("transfer-encoding").is_some() && bytes.ends_with(b"\r\n0\r\n\r\n"),
    }
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
    fn who_waits_in_vain_waits_less_and_never_too_little() {
        let proxy = ProxyAt::new("127.0.0.1:1".to_owned());
        proxy.took(Duration::from_secs(1));
        assert_eq!(proxy.patience.get(), ProxyAt::MOST);
        let mut waited = Duration::ZERO;
        for _ in 0..20 {
            waited += proxy.patience.get();
            proxy.took(proxy.patience.get());
        }
        assert_eq!(proxy.patience.get(), ProxyAt::LEAST);
        assert!(waited < 3 * ProxyAt::MOST, "{waited:?}");
    }

    #[test]
    fn an_answer_is_read_into_status_fields_and_body() {
        let answer = ProxyAnswer::parse(b"HTTP/1.1 403 Forbidden\r\nX-Bottle-Reason: git_push\r\n\r\nno");
        assert_eq!(
            (answer.status, answer.field("x-bottle-reason"), &*answer.body),
            (403, Some("git_push"), "no")
        );
    }

    #[test]
    fn an_answer_ends_where_its_head_says() {
        for (bytes, whole) in [
            (&b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nn"[..], false),
            (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno", true),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n", false),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n", true),
            (b"HTTP/1.1 200 OK\r\n\r\nno", false),
            (b"HTTP/1.1 200 OK\r\n", false),
        ] {
            assert_eq!(is_whole(bytes), whole, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn bytes_that_are_no_http_have_status_zero() {
        assert_eq!(ProxyAnswer::parse(b"SSH-2.0-x\r\n").status, 0);
    }
}
