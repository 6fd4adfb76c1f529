//! The question: a method, a URL and fields, kept as they were written.

use crate::intercept::{HeadFault, ServerLimits, head::read_head};
use crate::policy::{Method, Scheme};
use crate::verdict;
use anyhow::{Context as _, bail};
use bytes::Bytes;
use camino::Utf8Path;
use http::{HeaderMap, HeaderValue, header};

/// A request to explain.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) method: Method,
    pub(super) url: String,
    pub(super) scheme: Scheme,
    /// Host and port as they were written. A host without a canonical form is an answer, not a mistake in the question.
    authority: String,
    /// In origin-form, as it was written.
    pub(super) target: String,
    /// As it would go over the wire.
    pub(super) body: Option<Bytes>,
    fields: Vec<(String, String)>,
}

impl Asked {
    pub(super) fn read(
        method: &str,
        url: &str,
        headers: &[String],
        body: Option<&Utf8Path>,
    ) -> anyhow::Result<Asked> {
        let method = Method::parse(method)?;
        let (scheme, rest) = scheme_of(url)?;
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        let slash = if target.starts_with('/') { "" } else { "/" };
        Ok(Asked {
            method,
            url: url.to_owned(),
            scheme,
            authority: authority.to_owned(),
            target: format!("{slash}{target}"),
            body: body.map(fs_err::read).transpose()?.map(Bytes::from),
            fields: headers.iter().map(|header| field_of(header)).collect::<anyhow::Result<_>>()?,
        })
    }

    /// The request as a client would send it to the first proxy, and as that reads it.
    pub(super) fn on_the_wire(&self, limits: &ServerLimits) -> Result<verdict::WireRequest, HeadFault> {
        let tunnelled = self.scheme == Scheme::Https;
        let origin = if tunnelled { String::new() } else { format!("http://{}", self.authority) };
        let mut head = format!("{} {origin}{} HTTP/1.1\r\n", self.method, self.target);
        let mut add = |name: &str, value: &str| head = format!("{head}{name}: {value}\r\n");
        if self.values("host").next().is_none() {
            add("Host", &self.authority);
        }
        for (name, value) in self.fields() {
            add(name, value);
        }
        let framed = self.values("content-length").chain(self.values("transfer-encoding")).next().is_some();
        if let Some(body) = self.body.as_ref().filter(|_| !framed) {
            add("Content-Length", &body.len().to_string());
        }
        head += "\r\n";
        let (request, target) = read_head(head.as_bytes(), tunnelled, limits)?;
        let connect = tunnelled.then(|| {
            let colon = self.authority.rsplit_once(':');
            let has_port = colon.is_some_and(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()));
            let named = if has_port { self.authority.clone() } else { format!("{}:443", self.authority) };
            let mut fields = HeaderMap::new();
            fields.extend(HeaderValue::from_str(&named).ok().map(|host| (header::HOST, host)));
            (named, fields)
        });
        Ok(verdict::WireRequest { connect, request, target, body: self.body.clone() })
    }

    /// The values of a field, in the order in which they were given.
    pub(super) fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.fields
            .iter()
            .filter(move |(own, _)| own.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// Names, as they were written, and values.
    pub(super) fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

fn scheme_of(url: &str) -> anyhow::Result<(Scheme, &str)> {
    let Some((scheme, rest)) = url.split_once("://") else {
        bail!("`{url}` is not a whole URL: write https://HOST/PATH");
    };
    let scheme = match scheme.to_ascii_lowercase().as_str() {
        "https" => Scheme::Https,
        "http" => Scheme::Http,
        "wss" | "ws" => bail!("a WebSocket begins as a request: ask for GET with http in place of ws"),
        _ => bail!("`{scheme}` can't pass the proxies: only https and http can"),
    };
    Ok((scheme, rest))
}

fn field_of(header: &str) -> anyhow::Result<(String, String)> {
    let (name, value) = header.split_once(':').with_context(|| format!("`{header}` is not NAME: VALUE"))?;
    http::HeaderName::from_bytes(name.as_bytes())
        .with_context(|| format!("`{name}` is not the name of a field"))?;
    let value = value.trim_matches([' ', '\t']);
    HeaderValue::from_str(value).with_context(|| format!("the value of {name} can't be one of a field"))?;
    Ok((name.to_owned(), value.to_owned()))
}
