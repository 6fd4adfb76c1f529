//! One head that is there as a whole, read as a proxy reads it from a client.

use super::{
    FaultKind, HeadFault,
    filter::{ConnectionKind, RequestFilter, Verdict},
};
use crate::intercept::ServerLimits;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Uri};

/// Reads a head of HTTP/1, from request line to empty line, in a tunnel or outside of one. Gives the request without
/// its body, and its target byte for byte.
pub fn read_head(
    head: &[u8],
    tunnelled: bool,
    limits: &ServerLimits,
) -> Result<(Request<()>, Bytes), HeadFault> {
    let mut filter =
        RequestFilter::new(if tunnelled { ConnectionKind::Tunnel } else { ConnectionKind::Proxy }, limits);
    filter.raw().extend_from_slice(head);
    filter.advance();
    let verdict = filter.take_verdicts().next();
    let fault = |kind| HeadFault { kind, method: None, target: None };
    match verdict {
        Some(Verdict::Sound { method, target }) => {
            let mut request = Request::new(());
            *request.uri_mut() = Uri::try_from(target.as_ref()).map_err(|_| fault(FaultKind::Target))?;
            *request.method_mut() = method;
            // One empty line may stand before the request line (RFC 9112 §2.2).
            let head = head.strip_prefix(b"\r\n").unwrap_or(head);
            for line in head.split(|byte| *byte == b'\n').skip(1) {
                let line = line.strip_suffix(b"\r").unwrap_or(line);
                let Some(colon) = line.iter().position(|byte| *byte == b':') else { break };
                let name = HeaderName::from_bytes(&line[..colon]);
                let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii());
                let (Ok(name), Ok(value)) = (name, value) else { return Err(fault(FaultKind::Disagreement)) };
                request.headers_mut().append(name, value);
            }
            Ok((request, target))
        }
        Some(Verdict::Fault(fault)) => Err(fault),
        None => Err(fault(FaultKind::RequestLine)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_or_its_fault_is_named() {
        let read = |head: &str| read_head(head.as_bytes(), true, &ServerLimits::default());
        let (request, target) =
            read("POST /a?b HTTP/1.1\r\nHost: a.test\r\nX:  1 \r\nx:2\r\nContent-Length: 5\r\n\r\n").unwrap();
        assert_eq!(
            (request.method().as_str(), request.uri().path(), target.as_ref()),
            ("POST", "/a", &b"/a?b"[..])
        );
        assert_eq!(request.headers().get_all("x").iter().collect::<Vec<_>>(), ["1", "2"]);
        let (request, _) = read("\r\nGET http://a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n").unwrap();
        assert_eq!(
            (request.headers().len(), &request.headers()["host"]),
            (1, &HeaderValue::from_static("a.test"))
        );
        for (head, kind) in [
            ("GET / HTTP/1.1\r\nHost: a.test\r\nHost: b.test\r\n\r\n", FaultKind::HostSeveral),
            ("GET / HTTP/1.1\r\nHost: a.test\r\n folded\r\n\r\n", FaultKind::ObsFold),
            ("CONNECT a.test:443 HTTP/1.1\r\nHost: a.test\r\n\r\n", FaultKind::Connect),
            ("GET / HTTP/1.1\r\n", FaultKind::RequestLine),
        ] {
            assert_eq!(read(head).unwrap_err().kind, kind, "{head}");
        }
    }
}
