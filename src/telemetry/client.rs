//! The reading side of the admin listener: one bounded GET, for health checks in an image without a shell.

use std::{
    io::{self, Read as _, Write as _},
    net::{Shutdown, TcpStream, ToSocketAddrs as _},
    time::{Duration, Instant},
};

/// A whole check takes no longer than a few of these.
const TIMEOUT: Duration = Duration::from_secs(4);

/// No page of an admin listener is larger.
const MAX_ANSWER: u64 = 16 * 1024 * 1024;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Neither `http://HOST:PORT/PATH` nor `tcp://HOST:PORT`.
    #[error("`{0}` is neither http://HOST:PORT/PATH nor tcp://HOST:PORT")]
    NotAUrl(String),
    /// Nobody listens, or not in time.
    #[error("no answer from {address}: {source}")]
    Unreachable {
        /// Who was asked.
        address: String,
        /// What the system said.
        source: io::Error,
    },
    /// The answer is not HTTP.
    #[error("what {0} answered is not HTTP")]
    NotHttp(String),
}

/// What was answered.
#[derive(Debug, PartialEq, Eq)]
pub struct AdminAnswer {
    /// The status code; 200 for a `tcp://` address that served the connection.
    pub status: u16,
    /// The body; bytes that are not UTF-8 are replaced.
    pub body: String,
}

/// Asks once. `tcp://` connects, ends its side, and wants the other side to end too: a kernel takes connections for a
/// listening socket that nobody serves, but it does not end them. A relay ends with whatever is behind it.
pub fn get(url: &str) -> Result<AdminAnswer, ClientError> {
    let not_a_url = || ClientError::NotAUrl(url.to_owned());
    if let Some(address) = url.strip_prefix("tcp://") {
        let mut stream = connect(address)?;
        served(&mut stream)
            .map_err(|source| ClientError::Unreachable { address: address.to_owned(), source })?;
        return Ok(AdminAnswer { status: 200, body: String::new() });
    }
    let rest = url.strip_prefix("http://").ok_or_else(not_a_url)?;
    let (address, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
    if address.is_empty() || !path.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(not_a_url());
    }
    ask_at(address, &format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n"))
}

/// Asks a proxy once for a page of a host that it answers itself, in one kind of content.
pub fn get_through(proxy: &str, host: &str, path: &str, accepted: &str) -> Result<AdminAnswer, ClientError> {
    ask_at(proxy, &format!("GET http://{host}{path} HTTP/1.1\r\nHost: {host}\r\nAccept: {accepted}\r\n"))
}

fn ask_at(address: &str, head: &str) -> Result<AdminAnswer, ClientError> {
    let mut stream = connect(address)?;
    let answer = ask(&mut stream, head)
        .map_err(|source| ClientError::Unreachable { address: address.to_owned(), source })?;
    parse(&answer).ok_or_else(|| ClientError::NotHttp(address.to_owned()))
}

fn connect(address: &str) -> Result<TcpStream, ClientError> {
    let dial = || {
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for candidate in address.to_socket_addrs()? {
            match TcpStream::connect_timeout(&candidate, TIMEOUT) {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
        }
        Err(last)
    };
    dial().map_err(|source| ClientError::Unreachable { address: address.to_owned(), source })
}

/// Whatever comes before the end is let pass, within the time.
fn served(stream: &mut TcpStream) -> io::Result<()> {
    stream.shutdown(Shutdown::Write)?;
    let until = Instant::now() + TIMEOUT;
    let unserved =
        || io::Error::new(io::ErrorKind::TimedOut, "the connection was taken, but nobody serves it");
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(unserved());
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut [0; 1024]) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Err(unserved()),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

/// The answer ends with the connection; in HTTP/1.0 it is never chunked.
fn ask(stream: &mut TcpStream, head: &str) -> io::Result<Vec<u8>> {
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    write!(stream, "{head}User-Agent: bottle\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER).read_to_end(&mut answer)?;
    Ok(answer)
}

fn parse(answer: &[u8]) -> Option<AdminAnswer> {
    let end = answer.windows(4).position(|w| w == b"\r\n\r\n")?;
    let head = std::str::from_utf8(answer.get(..end)?).ok()?;
    let status = head.strip_prefix("HTTP/1.")?.get(2..5)?.parse().ok()?;
    let body = String::from_utf8_lossy(answer.get(end + 4..)?).into_owned();
    Some(AdminAnswer { status, body })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_status_and_body() {
        let answer = parse(b"HTTP/1.0 503 Service Unavailable\r\nA: b\r\n\r\nno\n").unwrap();
        assert_eq!(answer, AdminAnswer { status: 503, body: "no\n".to_owned() });
        assert_eq!(parse(b"SSH-2.0-x\r\n\r\n"), None);
        assert_eq!(parse(b"HTTP/1.1 20"), None);
    }

    #[test]
    fn what_is_no_url_is_said() {
        for bad in ["https://127.0.0.1:1/", "127.0.0.1:1", "http:///x", "http://h:1/a b"] {
            let text = get(bad).unwrap_err().to_string();
            assert_eq!(text, format!("`{bad}` is neither http://HOST:PORT/PATH nor tcp://HOST:PORT"));
        }
    }
}
