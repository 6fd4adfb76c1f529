//! What is looked at in a URL: its length, its entropy, credentials in it.

use super::{
    Destination, Ruleset,
    block::{Block, Part},
};
use percent_encoding::percent_decode_str;
use std::borrow::Cow;

/// A path segment or query value that is shorter tells nothing.
const SHORTEST_VALUE: usize = 20;
/// A label that is shorter tells nothing.
const SHORTEST_LABEL: usize = 8;

impl Ruleset {
    /// Looks at a host.
    pub(super) fn scan_host(&self, host: &str) -> Result<(), Block> {
        // A host that the manifest itself names tells nobody anything.
        if self.allowed.names(host) {
            return Ok(());
        }
        if let Some(finding) = self.scanner(host).name(host) {
            return Err(Block::Dlp { part: Part::Url, finding, location: None });
        }
        let labels: Vec<&str> = host.split('.').collect();
        if labels.len() < 3 || self.label_entropy_exclusions.contains(host) {
            return Ok(());
        }
        // Only a wildcard allows it, and its label is whatever the agent wants it to be.
        if self.strict
            && let Some(bits) = coded(labels[0])
        {
            return Err(Block::Entropy {
                what: "the label of the host",
                bits,
                threshold: CODED_BITS,
                code: "subdomain_entropy",
            });
        }
        let measured = labels[..labels.len() - 2].iter().filter(|l| l.len() >= SHORTEST_LABEL);
        let highest = measured.map(|label| entropy(label.as_bytes())).fold(0.0, f64::max);
        if highest > self.label_entropy {
            return Err(Block::Entropy {
                what: "a label of the host",
                bits: highest,
                threshold: self.label_entropy,
                code: "subdomain_entropy",
            });
        }
        Ok(())
    }

    /// Looks at the target of a request.
    pub(super) fn scan_target(&self, destination: &Destination, target: &str) -> Result<(), Block> {
        let host = destination.authority.host.as_str();
        if let Some(finding) = self.scanner(host).text(target) {
            return Err(Block::Dlp { part: Part::Url, finding, location: None });
        }
        let length = destination.origin().len() + target.len();
        if length > usize::try_from(self.max_url_length).unwrap_or(usize::MAX) {
            return Err(Block::UrlLength { length, limit: self.max_url_length });
        }
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let segments = path.split('/').map(|segment| ("a path segment", "path_entropy", segment));
        let values = query.split('&').filter(|_| !is_signed(query)).map(|pair| {
            let value = pair.split_once('=').map_or(pair, |(_, value)| value);
            ("a query value", "query_entropy", value)
        });
        for (what, code, text) in segments.chain(values).filter(|(_, _, text)| text.len() >= SHORTEST_VALUE) {
            let bits = entropy(&Cow::from(percent_decode_str(text)));
            if bits > self.entropy {
                return Err(Block::Entropy { what, bits, threshold: self.entropy, code });
            }
        }
        Ok(())
    }
}

/// So many letters and digits in a row are no word, and what base 16 or base 32 makes of 12 bytes or more.
const SHORTEST_CODED: usize = 20;
/// Bits per byte that a base of 16 has at least, whatever it codes.
const CODED_BITS: f64 = 3.0;

/// The entropy of a part of a label that looks like bytes in base 16, 32 or 36; nothing for words and for names that a
/// person or a build gives.
fn coded(label: &str) -> Option<f64> {
    let runs = label.split('-').filter(|run| run.len() >= SHORTEST_CODED);
    let mixed = runs.filter(|run| {
        run.bytes().any(|byte| byte.is_ascii_digit()) && run.bytes().any(|byte| byte.is_ascii_alphabetic())
    });
    mixed.map(|run| entropy(run.as_bytes())).filter(|bits| *bits > CODED_BITS).reduce(f64::max)
}

/// Parameters that an origin's signed address has, of which one is a signature: a download, and random by nature.
const SIGNED: [&[&str]; 4] = [
    &["X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Signature"],
    &["X-Goog-Algorithm", "X-Goog-Credential", "X-Goog-Date", "X-Goog-Signature"],
    &["Expires", "Key-Pair-Id", "Signature"],
    &["se", "sp", "sr", "sv", "sig"],
];

/// Whether a query is that of a signed address, by its structure.
fn is_signed(query: &str) -> bool {
    let has = |name: &&str| query.split('&').any(|pair| pair.split('=').next() == Some(*name));
    SIGNED.iter().any(|names| names.iter().all(has))
}

/// Shannon's entropy, in bits per byte.
fn entropy(text: &[u8]) -> f64 {
    let mut counts = [0_u32; 256];
    for byte in text {
        counts[usize::from(*byte)] += 1;
    }
    let total = f64::from(u32::try_from(text.len()).unwrap_or(u32::MAX).max(1));
    counts
        .iter()
        .filter(|count| **count > 0)
        .map(|count| f64::from(*count) / total)
        .map(|share| -share * share.log2())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_that_codes_bytes_is_told_from_a_name() {
        for coded_label in
            ["deadbeef0123456789abcdef", "x-a7f3c9e1b5d2486f0a9c3e7b-y", "mfrggzdfmztwq2lknnwg23tp"]
        {
            assert!(coded(coded_label).is_some(), "{coded_label}");
        }
        for name in [
            "d111111abcdef8",
            "my-app-git-feature-login-page-team-42",
            "internationalisationservice",
            "a1a1a1a1a1a1a1a1a1a1a1a1",
            "xn--bcher-kva",
            "eu-central-1",
        ] {
            assert_eq!(coded(name), None, "{name}");
        }
    }

    #[test]
    fn entropy_is_that_of_the_literature() {
        assert!((entropy(b"aaaaaaaa") - 0.0).abs() < 1e-9);
        assert!((entropy(b"abcdefgh") - 3.0).abs() < 1e-9);
        let wheel = entropy(b"cryptography-44.0.2-cp39-abi3-manylinux_2_34_x86_64.whl");
        assert!((4.0..5.0).contains(&wheel), "{wheel}");
    }
}
