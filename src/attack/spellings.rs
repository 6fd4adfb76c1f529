//! Spellings of `/..` behind an allowed path: whatever the proxy or an origin decodes, folds or drops, none may lead out
//! of the allowlist.

use super::proxy::Proxy;
use super::{Finding, Outcome};

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

/// One request for each pair.
pub(super) fn run(proxy: &Proxy) -> Vec<Finding> {
    let pairs = DOTS.iter().flat_map(|dots| SEPARATORS.iter().map(move |separator| (dots, separator)));
    let finding = |((dots, spelled), (separator, between)): (&(&str, &str), &(&str, &str))| Finding {
        name: format!("spelling/{dots}/{separator}").into(),
        tried: TRIED,
        outcome: attempt(proxy, &format!("{between}{spelled}").repeat(DEPTH), between),
    };
    pairs.map(finding).collect()
}

/// So many levels up: the allowed path has fewer.
const DEPTH: usize = 8;

fn attempt(proxy: &Proxy, up: &str, between: &str) -> Outcome {
    proxy.get_behind_an_allowed_path(&format!("{up}{between}bottle-attack")).unwrap_or_else(|outcome| outcome)
}
