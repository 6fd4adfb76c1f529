//! Whatever parses as a host is canonical: it parses to itself, in LDH, and no resolver takes it for an address.
#![no_main]

use bottle::policy::{Authority, Host};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(host) = Host::parse(text) {
        let name = host.as_str();
        assert_eq!(Host::parse(name).as_ref(), Ok(&host));
        assert!(name.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.')));
        assert!(name.len() <= 253 && !name.starts_with('.') && !name.ends_with('.') && !name.contains(".."));
        assert!(name.parse::<std::net::IpAddr>().is_err());
        assert!(text.trim_end_matches('.').eq_ignore_ascii_case(name));
    }
    if let Ok(authority) = Authority::parse(text, Some(443)) {
        assert_eq!(Authority::parse(&authority.to_string(), None).as_ref(), Ok(&authority));
        assert_ne!(authority.port, 0);
    }
});
