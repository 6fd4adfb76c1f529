//! Address ranges of a private origin.

use super::super::findings::{Findings, quoted};
use super::super::item::Item;
use ipnet::IpNet;
use std::{collections::BTreeSet, net::IpAddr};

/// What no route may open: the machine itself, its neighbours on the link, and the services that hand out
/// credentials to whoever asks from the right machine.
const NEVER: &[(&str, &str)] = &[
    ("0.0.0.0/8", "\"this host\" addresses"),
    ("127.0.0.0/8", "loopback addresses"),
    ("169.254.0.0/16", "link-local and metadata addresses"),
    ("100.100.100.200/32", "a metadata address"),
    ("168.63.129.16/32", "a metadata address"),
    ("224.0.0.0/4", "multicast addresses"),
    ("255.255.255.255/32", "the broadcast address"),
    ("::/128", "the unspecified address"),
    ("::1/128", "the loopback address"),
    ("::ffff:0:0/96", "IPv4 addresses in disguise"),
    ("64:ff9b::/96", "IPv4 addresses in disguise"),
    ("fd00:ec2::254/128", "a metadata address"),
    ("fe80::/10", "link-local addresses"),
    ("ff00::/8", "multicast addresses"),
];

pub(super) fn ranges(
    items: Option<Vec<Item<String>>>,
    pointer: &str,
    findings: &mut Findings<'_>,
) -> Vec<IpNet> {
    let mut out = Vec::new();
    let mut seen = BTreeSet::new();
    for (index, text) in items.into_iter().flatten().enumerate() {
        let Some(text) = text.0 else { continue };
        match range(&text) {
            Ok(range) if !seen.insert(range) => {
                let problem = findings.value(
                    "duplicate",
                    &format!("{pointer}[{index}]"),
                    format!("{range} is listed twice"),
                );
                findings.push(problem.hint("remove one of the two"));
            }
            Ok(range) => out.push(range),
            Err((message, hint)) => {
                let problem = findings.value("addresses", &format!("{pointer}[{index}]"), message);
                findings.push(problem.hint(hint));
            }
        }
    }
    out
}

fn range(text: &str) -> Result<IpNet, (String, String)> {
    if let Ok(address) = text.parse::<IpAddr>() {
        let whole = IpNet::from(address);
        return Err((format!("{} is one address, not a range", quoted(text)), format!("write {whole}")));
    }
    let range: IpNet = text.parse().map_err(|_| {
        (
            format!("{} is not a range of addresses", quoted(text)),
            "write it as ADDRESS/BITS: 10.20.0.0/16".to_owned(),
        )
    })?;
    for (never, what) in NEVER {
        let never: Option<IpNet> = never.parse().ok();
        if never.is_some_and(|never| never.contains(&range.network()) || range.contains(&never.network())) {
            let message = format!("{} is never allowed: it holds {what}", quoted(text));
            return Err((message, "name the range of the origin alone".to_owned()));
        }
    }
    let canonical = range.trunc().to_string();
    if canonical != text {
        return Err((format!("{} is not in canonical form", quoted(text)), format!("write {canonical}")));
    }
    Ok(range)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_forbidden_range_is_a_range() {
        assert!(NEVER.iter().all(|(range, _)| range.parse::<IpNet>().is_ok()));
    }

    #[test]
    fn ranges_are_canonical_and_never_reach_the_machine() {
        for good in ["10.20.0.0/16", "192.168.1.7/32", "fd12:3456::/48", "100.64.0.0/16"] {
            assert!(range(good).is_ok(), "{good}");
        }
        let cases = [
            ("10.1.2.3", "write 10.1.2.3/32"),
            ("10.1.2.3/8", "write 10.0.0.0/8"),
            ("FD00:0::/48", "write fd00::/48"),
            ("10.0.0.0/33", "ADDRESS/BITS"),
            ("intranet", "ADDRESS/BITS"),
            ("0.0.0.0/0", "alone"),
            ("::/0", "alone"),
            ("127.0.0.1/32", "alone"),
            ("169.254.169.254/32", "alone"),
            ("169.254.0.0/24", "alone"),
            ("100.64.0.0/10", "alone"),
            ("::1/128", "alone"),
            ("::ffff:10.0.0.1/128", "alone"),
            ("fe80::/64", "alone"),
            ("fd00::/8", "alone"),
        ];
        for (text, hint) in cases {
            let error = range(text).unwrap_err();
            assert!(error.1.contains(hint), "{text}: {error:?}");
        }
    }
}
