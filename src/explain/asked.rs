//! A request as it would go over the wire.

use crate::intercept::{HeadFault, ServerLimits, head::read_head};
use crate::policy::{Authority, Scheme, WrittenRequest};
use crate::verdict;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};

/// A request to explain.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Method, URL and fields, as they were written.
    pub request: WrittenRequest,
    /// As it would go over the wire.
    pub body: Option<Bytes>,
}

impl Asked {
    /// Host and port, if they have a canonical form.
    pub(super) fn authority(&self) -> Option<Authority> {
        let WrittenRequest { authority, scheme, .. } = &self.request;
        Authority::parse(authority, Some(scheme.default_port())).ok()
    }

    /// The request as a client would send it to the first proxy, and as that reads it.
    pub(super) fn on_the_wire(&self, limits: &ServerLimits) -> Result<verdict::WireRequest, HeadFault> {
        let WrittenRequest { method, url: _, scheme, authority, target, fields } = &self.request;
        let tunnelled = *scheme == Scheme::Https;
        let origin = if tunnelled { String::new() } else { format!("http://{authority}") };
        let mut head = format!("{method} {origin}{target} HTTP/1.1\r\n");
        let mut add = |name: &str, value: &str| head = format!("{head}{name}: {value}\r\n");
        if self.request.values("host").next().is_none() {
            add("Host", authority);
        }
        for (name, value) in fields {
            add(name, value);
        }
        let framing = ["content-length", "transfer-encoding"];
        let framed = framing.iter().any(|name| self.request.values(name).next().is_some());
        if let Some(body) = self.body.as_ref().filter(|_| !framed) {
            add("Content-Length", &body.len().to_string());
        }
        head += "\r\n";
        let (request, target) = read_head(head.as_bytes(), tunnelled, limits)?;
        let connect = tunnelled.then(|| {
            let colon = authority.rsplit_once(':');
            let has_port = colon.is_some_and(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()));
            let named = if has_port { authority.clone() } else { format!("{authority}:443") };
            let mut fields = HeaderMap::new();
            fields.extend(HeaderValue::from_str(&named).ok().map(|host| (header::HOST, host)));
            (named, fields)
        });
        Ok(verdict::WireRequest { connect, request, target, body: self.body.clone() })
    }
}
