//! Spellings of `/..` behind an allowed path: whatever the proxy or an origin decodes, folds or drops, none may lead out
//! of the allowlist.

use super::{Finding, Proxy, must_refuse};

/// What some reader takes for `..`, and its name.
const DOTS: [(&str, &str); 24] = [
    ("plain", ".."),
    ("escaped", "%2e%2e"),
    ("half-escaped", ".%2E"),
    ("escaped-twice", "%252e%252e"),
    ("each-digit-escaped", "%25%32%65%25%32%65"),
    ("iis-unicode", "%u002e%u002e"),
    ("overlong-2", "%c0%ae%c0%ae"),
    ("overlong-3", "%e0%80%ae%e0%80%ae"),
    ("full-width", "%ef%bc%8e%ef%bc%8e"),
    ("two-dot-leader", "%e2%80%a5"),
    ("parameter", "..;"),
    ("parameter-with-value", "..;a=b"),
    ("escaped-parameter", "%2e%2e%3b"),
    ("escaped-question-mark", "%2e%2e%3f"),
    ("escaped-number-sign", "%2e%2e%23"),
    ("space", "..%20"),
    ("tab", "..%09"),
    ("carriage-return", "..%0d"),
    ("nul", "..%00"),
    ("nul-before", "%00.."),
    ("no-break-space", "..%c2%a0"),
    ("zero-width-space", ".%e2%80%8b."),
    ("byte-order-mark", "%ef%bb%bf.."),
    ("no-utf-8", "..%ff"),
];

/// What some reader takes for `/`, and its name.
const SEPARATORS: [(&str, &str); 10] = [
    ("slash", "/"),
    ("escaped-slash", "%2f"),
    ("backslash", "\\"),
    ("escaped-backslash", "%5c"),
    ("slash-escaped-twice", "%252f"),
    ("backslash-escaped-twice", "%255c"),
    ("overlong-slash", "%c0%af"),
    ("full-width-slash", "%ef%bc%8f"),
    ("two-slashes", "//"),
    ("dot-between", "/./"),
];

const TRIED: &str = "leave an allowed path by another spelling of `/../`";

/// So many levels up: the allowed path has fewer.
const DEPTH: usize = 8;

/// One request for each pair.
pub(super) fn run(proxy: &Proxy<'_>, findings: &mut Vec<Finding>) {
    let subject = proxy.with_paths();
    for (dots, spelled) in DOTS {
        for (separator, between) in SEPARATORS {
            findings.push(proxy.finding(format!("spelling/{dots}/{separator}"), TRIED, |mark| {
                let allowed = subject.as_ref().map_err(Clone::clone)?;
                let (method, path, host) = (&allowed.method, &allowed.path, &allowed.host);
                let up = format!("{between}{spelled}").repeat(DEPTH);
                let request = format!(
                    "{method} {path}{up}{between}{mark} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n\
                     Connection: close\r\n\r\n"
                );
                Ok(must_refuse(&proxy.ask(host, request.as_bytes())?))
            }));
        }
    }
}
