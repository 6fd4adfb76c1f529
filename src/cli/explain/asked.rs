//! The question: a method, a URL and fields, kept as they were written.

use crate::policy::{Authority, HostError, Method, Scheme};
use anyhow::{Context as _, bail};
use camino::Utf8Path;

/// A request to explain.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) method: Method,
    pub(super) url: String,
    pub(super) scheme: Scheme,
    /// What CONNECT would name; a host without a canonical form is an answer, not a mistake in the question.
    pub(super) authority: Result<Authority, HostError>,
    /// In origin-form, as it was written.
    pub(super) target: String,
    /// As it would go over the wire, without a content coding.
    pub(super) body: Option<Vec<u8>>,
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
            authority: Authority::parse(authority, Some(scheme.default_port())),
            target: format!("{slash}{target}"),
            body: body.map(fs_err::read).transpose()?,
            fields: headers.iter().map(|header| field_of(header)).collect::<anyhow::Result<_>>()?,
        })
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
    http::HeaderValue::from_str(value)
        .with_context(|| format!("the value of {name} can't be one of a field"))?;
    Ok((name.to_owned(), value.to_owned()))
}
