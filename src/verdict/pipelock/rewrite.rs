//! Which bodies can be rewritten: those whose text stands there in clear, and that nobody signed.

use crate::dlp::Form;
use http::{HeaderMap, header};

/// What a body is made of that a secret can be removed from; nothing where it can't.
#[must_use]
pub fn form_of_body(request: &HeaderMap) -> Option<Form> {
    let mut kinds = request.get_all(header::CONTENT_TYPE).iter();
    let (kind, None) = (kinds.next()?, kinds.next()) else { return None };
    let kind = kind.to_str().ok()?.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if request.contains_key(header::CONTENT_ENCODING)
        || request.contains_key(header::CONTENT_RANGE)
        || is_signed(request)
    {
        return None;
    }
    let (_, subtype) = kind.split_once('/')?;
    let is_json = matches!(
        kind.as_str(),
        "application/json"
            | "application/x-ndjson"
            | "application/ndjson"
            | "application/jsonl"
            | "application/json-seq"
    ) || subtype.ends_with("+json");
    let is_text = kind.starts_with("text/")
        || matches!(kind.as_str(), "application/xml" | "application/yaml" | "application/graphql")
        || subtype.ends_with("+xml")
        || subtype.ends_with("+yaml");
    if is_json { Some(Form::Json) } else { is_text.then_some(Form::Text) }
}

/// Whether fields or trailers hold, or announce, a digest or a signature of the body: RFC 9530, RFC 9421, RFC 3230, RFC 1864,
/// and those of signed requests (`AWS4-HMAC-SHA256`, `x-amz-content-sha256`, `x-goog-hash`, `x-hub-signature`).
#[must_use]
pub fn is_signed(fields: &HeaderMap) -> bool {
    const WORDS: [&str; 7] = ["digest", "signature", "checksum", "md5", "sha1", "sha256", "hash"];
    let says = |text: &str| WORDS.iter().any(|word| text.contains(word));
    fields.iter().any(|(name, value)| {
        let value = || String::from_utf8_lossy(value.as_bytes()).to_ascii_lowercase();
        match name.as_str() {
            // Digest authentication signs at most what it says (`qop=auth-int`); signed requests have their algorithm here.
            "authorization" => {
                let scheme = value();
                let scheme = scheme.split([' ', ',']).next().unwrap_or_default();
                !matches!(scheme, "bearer" | "basic" | "token" | "negotiate")
                    && (scheme == "signature"
                        || scheme == "digest"
                        || scheme.contains("hmac")
                        || says(scheme))
            }
            "trailer" | "x-amz-trailer" => says(&value()),
            name => says(name),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, HeaderValue};

    fn fields(list: &[(&str, &str)]) -> HeaderMap {
        let field = |(name, value): &(&str, &str)| {
            (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap())
        };
        list.iter().map(field).collect()
    }

    #[test]
    fn only_text_in_clear_is_rewritten() {
        let form = |kind: &str| form_of_body(&fields(&[("content-type", kind)]));
        for kind in [
            "application/json",
            "Application/JSON; charset=utf-8",
            "application/vnd.api+json",
            "application/x-ndjson",
        ] {
            assert_eq!(form(kind), Some(Form::Json), "{kind}");
        }
        for kind in ["text/plain", "text/markdown; x=y", "application/soap+xml"] {
            assert_eq!(form(kind), Some(Form::Text), "{kind}");
        }
        for kind in [
            "application/octet-stream",
            "multipart/form-data; boundary=x",
            "application/x-www-form-urlencoded",
            "application/grpc",
            "json",
            "",
        ] {
            assert_eq!(form(kind), None, "{kind}");
        }
        assert_eq!(form_of_body(&HeaderMap::new()), None);
        let json = ("content-type", "application/json");
        assert_eq!(form_of_body(&fields(&[json, ("content-type", "text/plain")])), None);
        assert_eq!(form_of_body(&fields(&[json, ("content-encoding", "gzip")])), None);
        assert_eq!(form_of_body(&fields(&[json, ("content-range", "bytes 0-1/9")])), None);
    }

    #[test]
    fn what_is_signed_is_not_rewritten() {
        let json = ("content-type", "application/json");
        for signed in [
            ("authorization", "AWS4-HMAC-SHA256 Credential=a/b, Signature=c"),
            ("authorization", "AWS4-ECDSA-P256-SHA256 Credential=a/b"),
            ("authorization", "Digest username=\"a\", qop=auth-int"),
            ("authorization", "Signature keyId=\"a\""),
            ("content-md5", "Q2hlY2sgSW50ZWdyaXR5IQ=="),
            ("digest", "sha-256=x"),
            ("content-digest", "sha-256=:x:"),
            ("repr-digest", "sha-256=:x:"),
            ("signature", "sig1=:x:"),
            ("x-amz-content-sha256", "UNSIGNED-PAYLOAD"),
            ("x-amz-checksum-crc32", "x"),
            ("x-amz-trailer", "x-amz-checksum-crc32c"),
            ("trailer", "Content-Digest"),
            ("x-goog-hash", "crc32c=x"),
            ("x-hub-signature-256", "sha256=x"),
        ] {
            assert_eq!(form_of_body(&fields(&[json, signed])), None, "{signed:?}");
        }
        for plain in [
            ("authorization", "Bearer a"),
            ("x-api-key", "a"),
            ("trailer", "x-time"),
            ("user-agent", "sha256"),
        ] {
            assert_eq!(form_of_body(&fields(&[json, plain])), Some(Form::Json), "{plain:?}");
        }
    }
}
