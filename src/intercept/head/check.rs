//! The check of one complete head (RFC 9112 §3 and §5, RFC 9110 §5 and §7.2).

use super::FaultKind;
use crate::policy::LONGEST_METHOD;
use bytes::Bytes;
use http::{HeaderValue, Method, Uri};

/// What a well-formed head says about itself and about the body that follows.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) method: Method,
    pub(super) target: Bytes,
    pub(super) framing: Framing,
}

/// How the body is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// By its length, which may be 0.
    Length(u64),
    /// By chunks.
    Chunked,
}

/// The longest target that the HTTP library takes.
const MAX_TARGET: usize = u16::MAX as usize - 1;

/// Checks a head whose line ends and bytes were found sound, from request line to empty line.
pub(super) fn check(head: &[u8], tunnelled: bool) -> Result<Head, FaultKind> {
    let mut lines = head.split(|&byte| byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let (method, target, http_1_0) = request_line(lines.next().unwrap_or_default())?;
    let mut fields = Fields::default();
    for line in lines.take_while(|line| !line.is_empty()) {
        let (name, value) = field(line)?;
        fields.note(name, value)?;
    }
    let connect = method == Method::CONNECT;
    fields.require_host(connect)?;
    let framing = fields.framing(http_1_0)?;
    if connect && (tunnelled || fields.announces_body()) {
        return Err(FaultKind::Connect);
    }
    Ok(Head { method, target: Bytes::copy_from_slice(target), framing })
}

fn request_line(line: &[u8]) -> Result<(Method, &[u8], bool), FaultKind> {
    let mut parts = line.split(|&byte| byte == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(FaultKind::RequestLine);
    };
    if method.is_empty() || target.is_empty() || version.is_empty() || line.contains(&b'\t') {
        return Err(FaultKind::RequestLine);
    }
    if method.len() > LONGEST_METHOD || !method.iter().all(|&byte| is_token(byte)) {
        return Err(FaultKind::Method);
    }
    let method = Method::from_bytes(method).map_err(|_| FaultKind::Method)?;
    let http_1_0 = match version {
        b"HTTP/1.1" => false,
        b"HTTP/1.0" => true,
        _ => return Err(FaultKind::Version),
    };
    check_target(&method, target)?;
    Ok((method, target, http_1_0))
}

/// One of the four forms (RFC 9112 §3.2), and something that the library can read: what it can't, it would
/// answer by itself. Which targets are acceptable beyond that is for the handler, which sees the raw bytes.
fn check_target(method: &Method, target: &[u8]) -> Result<(), FaultKind> {
    if target.len() > MAX_TARGET || std::str::from_utf8(target).is_err() {
        return Err(FaultKind::Target);
    }
    let uri = Uri::try_from(target).map_err(|_| FaultKind::Target)?;
    let well_formed = match target {
        b"*" => method == Method::OPTIONS,
        [b'/', ..] => method != Method::CONNECT,
        _ if method == Method::CONNECT => uri.scheme().is_none() && uri.authority().is_some(),
        _ => uri.scheme().is_some() && uri.authority().is_some(),
    };
    if well_formed { Ok(()) } else { Err(FaultKind::Target) }
}

/// Splits and checks one field line; the value comes without the white space around it.
pub(super) fn field(line: &[u8]) -> Result<(&[u8], &[u8]), FaultKind> {
    if matches!(line.first(), Some(b' ' | b'\t')) {
        return Err(FaultKind::ObsFold);
    }
    let colon = line.iter().position(|&byte| byte == b':').ok_or(FaultKind::FieldName)?;
    let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
    if name.is_empty() || !name.iter().all(|&byte| is_token(byte)) {
        return Err(FaultKind::FieldName);
    }
    HeaderValue::from_bytes(value).map_err(|_| FaultKind::ControlByte)?;
    Ok((name, value))
}

/// `tchar` of RFC 9110 §5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// The fields that say whom a message is for and where it ends.
#[derive(Default)]
struct Fields {
    hosts: usize,
    length: Option<u64>,
    chunked: bool,
}

impl Fields {
    fn note(&mut self, name: &[u8], value: &[u8]) -> Result<(), FaultKind> {
        if name.eq_ignore_ascii_case(b"host") {
            self.hosts += 1;
            if self.hosts > 1 || value.contains(&b',') {
                return Err(FaultKind::HostSeveral);
            }
            if value.is_empty() || value.iter().any(|byte| matches!(byte, b' ' | b'\t')) {
                return Err(FaultKind::HostMalformed);
            }
        } else if name.eq_ignore_ascii_case(b"content-length") {
            if self.length.is_some() {
                return Err(FaultKind::ContentLength);
            }
            self.length = Some(decimal(value).ok_or(FaultKind::ContentLength)?);
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            if self.chunked || !value.eq_ignore_ascii_case(b"chunked") {
                return Err(FaultKind::TransferEncoding);
            }
            self.chunked = true;
        }
        Ok(())
    }

    /// The target of a CONNECT says all, and some clients send no `Host` with it; everything else must name its host.
    fn require_host(&self, optional: bool) -> Result<(), FaultKind> {
        if self.hosts == 1 || optional { Ok(()) } else { Err(FaultKind::HostMissing) }
    }

    fn framing(&self, http_1_0: bool) -> Result<Framing, FaultKind> {
        match (self.length, self.chunked) {
            (Some(_), true) => Err(FaultKind::LengthAndEncoding),
            (None, true) if http_1_0 => Err(FaultKind::TransferEncoding),
            (None, true) => Ok(Framing::Chunked),
            (length, false) => Ok(Framing::Length(length.unwrap_or(0))),
        }
    }

    fn announces_body(&self) -> bool {
        self.chunked || self.length.is_some_and(|length| length > 0)
    }
}

/// Digits and nothing else, below the library's bound.
pub(in crate::intercept) fn decimal(value: &[u8]) -> Option<u64> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number: u64 = std::str::from_utf8(value).ok()?.parse().ok()?;
    (number <= u64::MAX - 3).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(head: &str) -> FaultKind {
        check(head.as_bytes(), false).unwrap_err()
    }

    fn framing(fields: &str) -> Framing {
        check(format!("POST / HTTP/1.1\r\nHost: a.test\r\n{fields}\r\n").as_bytes(), false).unwrap().framing
    }

    #[test]
    fn ordinary_heads_say_where_their_body_ends() {
        assert_eq!(framing(""), Framing::Length(0));
        assert_eq!(framing("content-length: 12\r\n"), Framing::Length(12));
        assert_eq!(framing("Transfer-Encoding: Chunked\r\n"), Framing::Chunked);
    }

    #[test]
    fn the_target_is_kept_as_it_came() {
        let head = check(b"GET /a#b?c HTTP/1.1\r\nHost: a.test\r\n\r\n", false).unwrap();
        assert_eq!(head.target, "/a#b?c");
    }

    #[test]
    fn request_lines_have_one_reading() {
        for (line, kind) in [
            ("GET  / HTTP/1.1", FaultKind::RequestLine),
            ("GET / HTTP/1.1 ", FaultKind::RequestLine),
            (" GET / HTTP/1.1", FaultKind::RequestLine),
            ("GET\t/ HTTP/1.1", FaultKind::RequestLine),
            ("GET /", FaultKind::RequestLine),
            ("G(T / HTTP/1.1", FaultKind::Method),
            ("A23456789012345678901234567890123 / HTTP/1.1", FaultKind::Method),
            ("GET / HTTP/1.2", FaultKind::Version),
            ("GET / http/1.1", FaultKind::Version),
            ("PRI * HTTP/2.0", FaultKind::Version),
            ("GET * HTTP/1.1", FaultKind::Target),
            ("GET a/b HTTP/1.1", FaultKind::Target),
            ("GET a.test:443 HTTP/1.1", FaultKind::Target),
            ("CONNECT /a HTTP/1.1", FaultKind::Target),
            ("CONNECT http://a.test/ HTTP/1.1", FaultKind::Target),
        ] {
            assert_eq!(fault(&format!("{line}\r\nHost: a.test\r\n\r\n")), kind, "{line}");
        }
    }

    #[test]
    fn only_a_connect_may_lack_its_host() {
        assert!(check(b"CONNECT a.test:443 HTTP/1.0\r\n\r\n", false).is_ok());
        assert!(check(b"CONNECT a.test:443 HTTP/1.1\r\n\r\n", false).is_ok());
        assert_eq!(fault("GET / HTTP/1.0\r\n\r\n"), FaultKind::HostMissing);
    }

    #[test]
    fn connect_has_no_body_and_no_place_in_a_tunnel() {
        let head = "CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n";
        assert_eq!(fault(&format!("{head}Content-Length: 1\r\n\r\n")), FaultKind::Connect);
        assert_eq!(check(format!("{head}\r\n").as_bytes(), true), Err(FaultKind::Connect));
    }
}
