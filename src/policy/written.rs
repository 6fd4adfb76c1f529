//! A request as a person writes it down: nothing of it is normalised, so that what is asked is what is meant.

use super::{intent::Scheme, method::Method, method::MethodError};

/// A method, a whole URL, and fields, each as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrittenRequest {
    /// The method, in the case in which it would be sent.
    pub method: Method,
    /// The whole URL.
    pub url: String,
    /// Its scheme.
    pub scheme: Scheme,
    /// Host and port. A host without a canonical form is a question that has an answer, not a mistake.
    pub authority: String,
    /// The target in origin-form.
    pub target: String,
    /// Names and values.
    pub fields: Vec<(String, String)>,
}

/// Why a text is not a request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WrittenRequestError {
    /// The method is not one.
    #[error(transparent)]
    Method(#[from] MethodError),
    /// Method and URL in one text that has not two parts.
    #[error("`{0}` is not a method and a URL: write GET https://HOST/PATH")]
    Line(String),
    /// No scheme.
    #[error("`{0}` is not a whole URL: write https://HOST/PATH")]
    Url(String),
    /// A port that no connection can have.
    #[error("`{0}` has no port from 1 to 65535")]
    Port(String),
    /// `ws` and `wss`.
    #[error("a WebSocket begins as a request: ask for GET with http in place of ws")]
    WebSocket,
    /// A scheme that no proxy here speaks.
    #[error("`{0}` can't pass the proxies: only https and http can")]
    Scheme(String),
    /// The name of a field that is not a token.
    #[error("`{0}` is not the name of a field")]
    FieldName(String),
    /// The value of a field that no message can carry.
    #[error("the value of {0} can't be one of a field")]
    FieldValue(String),
}

impl WrittenRequest {
    /// Reads the parts of a request.
    pub fn parse(
        method: &str,
        url: &str,
        fields: Vec<(String, String)>,
    ) -> Result<WrittenRequest, WrittenRequestError> {
        let method = Method::parse(method)?;
        let (scheme, rest) = scheme_of(url)?;
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        let port = authority.rsplit_once(':').map(|(_, port)| port);
        let port = port.filter(|port| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()));
        if port.is_some_and(|port| !port.parse::<u16>().is_ok_and(|port| port > 0)) {
            return Err(WrittenRequestError::Port(authority.to_owned()));
        }
        let slash = if target.starts_with('/') { "" } else { "/" };
        for (name, value) in &fields {
            if http::HeaderName::from_bytes(name.as_bytes()).is_err() {
                return Err(WrittenRequestError::FieldName(name.clone()));
            }
            if http::HeaderValue::from_str(value).is_err() {
                return Err(WrittenRequestError::FieldValue(name.clone()));
            }
        }
        Ok(WrittenRequest {
            method,
            url: url.to_owned(),
            scheme,
            authority: authority.to_owned(),
            target: format!("{slash}{target}"),
            fields,
        })
    }

    /// Reads method and URL from one text: `GET https://api.github.com/user`.
    pub fn parse_line(
        line: &str,
        fields: Vec<(String, String)>,
    ) -> Result<WrittenRequest, WrittenRequestError> {
        match line.split_whitespace().collect::<Vec<_>>()[..] {
            [method, url] => WrittenRequest::parse(method, url, fields),
            _ => Err(WrittenRequestError::Line(line.to_owned())),
        }
    }

    /// The values of a field, in the order in which they were given.
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let named = self.fields.iter().filter(move |(own, _)| own.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.as_str())
    }
}

fn scheme_of(url: &str) -> Result<(Scheme, &str), WrittenRequestError> {
    let Some((scheme, rest)) = url.split_once("://") else {
        return Err(WrittenRequestError::Url(url.to_owned()));
    };
    match scheme.to_ascii_lowercase().as_str() {
        "https" => Ok((Scheme::Https, rest)),
        "http" => Ok((Scheme::Http, rest)),
        "wss" | "ws" => Err(WrittenRequestError::WebSocket),
        _ => Err(WrittenRequestError::Scheme(scheme.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_method_and_a_whole_url() {
        let read = WrittenRequest::parse_line("GET  https://a.test:8443?q=1", Vec::new()).unwrap();
        assert_eq!((read.authority.as_str(), read.target.as_str()), ("a.test:8443", "/?q=1"));
        for (line, why) in [
            ("https://a.test/", "`https://a.test/` is not a method and a URL: write GET https://HOST/PATH"),
            ("GET a.test/", "`a.test/` is not a whole URL: write https://HOST/PATH"),
            ("GET ftp://a.test/", "`ftp` can't pass the proxies: only https and http can"),
            (
                "G,T https://a.test/",
                "`G,T` is not a method: a method is a token such as GET (RFC 9110 §9.1), of 32 bytes at most",
            ),
        ] {
            assert_eq!(WrittenRequest::parse_line(line, Vec::new()).unwrap_err().to_string(), why);
        }
    }

    #[test]
    fn a_field_is_one_that_a_message_can_carry() {
        let with = |name: &str, value: &str| {
            let fields = vec![(name.to_owned(), value.to_owned())];
            WrittenRequest::parse("GET", "https://a.test/", fields).map(drop).unwrap_err().to_string()
        };
        assert_eq!(with("a b", "x"), "`a b` is not the name of a field");
        assert_eq!(with("a", "x\ny"), "the value of a can't be one of a field");
    }
}
