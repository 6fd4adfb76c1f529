use super::*;
use proptest::prelude::*;

fn parse(text: &str) -> Result<String, HostError> {
    Host::parse(text).map(String::from)
}

#[track_caller]
fn refused(text: &str) -> String {
    Host::parse(text).unwrap_err().to_string()
}

#[test]
fn case_and_one_trailing_dot_are_not_part_of_a_name() {
    for text in ["api.example.test", "API.Example.TEST", "api.example.test."] {
        assert_eq!(parse(text).unwrap(), "api.example.test");
    }
    for name in
        ["localhost", "a", "r3---sn-x.example.test", "1.example", "4.2.example", "xn--mnchen-3ya.example"]
    {
        assert_eq!(parse(name).unwrap(), name);
    }
}

/// `evil.com.` was another name to the policy than to the resolver (smokescreen).
#[test]
fn trailing_dot_cve_2022_24825() {
    assert_eq!(Host::parse("evil.example."), Host::parse("evil.example"));
    for text in ["evil.example..", ".", "..", ".example", "a..example"] {
        assert_eq!(parse(text), Err(HostError::EmptyLabel), "{text}");
    }
}

/// `[example.com]` passed as something else than `example.com` (smokescreen).
#[test]
fn brackets_around_a_name_cve_2022_29188() {
    assert_eq!(refused("[example.test]"), "`[example.test]` is an IP address; only names are allowed");
    assert!(Authority::parse("[example.test]:443", None).is_err());
    for text in ["[::1]", "[::ffff:127.0.0.1]", "::1", "[", "a]", "[fe80::1%25eth0]"] {
        assert!(matches!(parse(text), Err(HostError::IpLiteral(_))), "{text}");
        assert!(Authority::parse(&format!("{text}:443"), None).is_err(), "{text}");
    }
}

/// A NUL cut the name for one reader and not for the other.
#[test]
fn nul_or_control_byte_in_a_host() {
    assert_eq!(
        refused("api.example.test\0.evil.example"),
        "a host consists of letters, digits, hyphens and dots; `\\u{0}` is none of them"
    );
    for text in
        ["a\tb.test", "a\nb.test", "a.test\r\nX-Evil: 1", "a b.test", " a.test", "a.test ", "\u{7f}.test"]
    {
        assert!(matches!(parse(text), Err(HostError::Character(_))), "{text:?}");
    }
    for text in ["a_b.test", "a%2etest", "a%00.test", "a,b.test", "a'b.test", "a$b.test", "a;b.test", "a\"b"]
    {
        assert!(matches!(parse(text), Err(HostError::Character(_))), "{text:?}");
    }
}

#[test]
fn userinfo_and_lookalikes_are_other_hosts_or_none() {
    assert_eq!(parse("api.github.com@evil.example"), Err(HostError::UserInfo));
    assert_eq!(parse("user:secret@evil.example"), Err(HostError::UserInfo));
    assert!(Authority::parse("api.github.com:443@evil.example:443", None).is_err());
    assert_ne!(Host::parse("api.github.com.evil.example"), Host::parse("api.github.com"));
}

#[test]
fn ip_literal_dotted() {
    for text in ["127.0.0.1", "169.254.169.254", "127.0.0.1.", "10.1", "1.2.3", "256.1.1.1", "1.2.3.4.5"] {
        assert!(matches!(parse(text), Err(HostError::IpLiteral(_))), "{text}");
    }
}

#[test]
fn ip_literal_decimal() {
    assert_eq!(refused("2130706433"), "`2130706433` is an IP address; only names are allowed");
    assert!(matches!(parse("99999999999999999999"), Err(HostError::IpLiteral(_))));
}

#[test]
fn ip_literal_octal() {
    for text in ["0177.0.0.1", "017700000001", "0.0.0.01"] {
        assert!(matches!(parse(text), Err(HostError::IpLiteral(_))), "{text}");
    }
}

#[test]
fn ip_literal_hexadecimal() {
    for text in ["0x7f.0.0.1", "0x7f000001", "0X7F000001", "127.0.0.0x1", "0x", "a.0x"] {
        assert!(matches!(parse(text), Err(HostError::IpLiteral(_))), "{text}");
    }
    for name in ["0x7g.example", "0xdead.example", "face.b00c"] {
        assert_eq!(parse(name).unwrap(), name);
    }
}

#[test]
fn ip_literal_mapped_ipv6() {
    for text in ["::ffff:127.0.0.1", "[::ffff:7f00:1]", "0:0:0:0:0:ffff:127.0.0.1"] {
        assert!(matches!(parse(text), Err(HostError::IpLiteral(_))), "{text}");
    }
}

#[test]
fn idn_is_written_as_an_a_label() {
    assert_eq!(refused("münchen.example"), "a host is ASCII: write `xn--mnchen-3ya.example`");
    assert_eq!(parse("XN--MNCHEN-3YA.example").unwrap(), "xn--mnchen-3ya.example");
    assert_eq!(
        refused("xn--mnchen.example"),
        "`xn--mnchen.example` begins like an internationalised name but is none"
    );
    for bad in ["xn--.example", "xn--a.example", "xn---.example", "xn--80ak6aa92e-.example"] {
        assert!(parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn full_width_dot_and_letters_are_refused() {
    for text in [
        "api。example.test",
        "api．example．test",
        "ａpi.example.test",
        "api.example.test\u{200b}",
        "\u{212A}.test",
    ] {
        assert!(matches!(parse(text), Err(HostError::NotAscii { .. })), "{text}");
    }
    assert_eq!(refused("１２７.0.0.1"), "a host is ASCII");
}

#[test]
fn upper_case_is_the_same_host() {
    assert_eq!(Host::parse("API.EXAMPLE.TEST"), Host::parse("api.example.test"));
}

#[test]
fn what_is_more_than_a_name_says_what_is_too_much() {
    let cases = [
        ("", "the host is empty"),
        ("https://x.test/z", "a host has no scheme: write the name alone, without `https://`"),
        ("x.test/z", "a host has no path: `/` and what follows does not belong here"),
        ("x.test?z", "a host has no path: `?` and what follows does not belong here"),
        ("x.test:443", "a host has no port here: leave `:` and what follows away"),
        ("*.x.test", "a host has no wildcard: name each host"),
        ("-a.test", "the label `-a` begins or ends with a hyphen"),
        ("a-.test", "the label `a-` begins or ends with a hyphen"),
    ];
    for (text, said) in cases {
        assert_eq!(refused(text), said);
    }
    let label = "a".repeat(64);
    assert_eq!(parse(&label), Err(HostError::LongLabel(label.clone())));
    assert_eq!(parse(&format!("{}test", "a.".repeat(125))), Err(HostError::Long));
    assert_eq!(parse(&format!("{}bc.", "a.".repeat(125))).unwrap().len(), 252);
}

#[test]
fn an_authority_has_one_strict_port() {
    let parse = |text: &str| Authority::parse(text, None).map(|a| a.to_string());
    assert_eq!(parse("Example.test.:443").unwrap(), "example.test:443");
    assert_eq!(parse("example.test"), Err(HostError::NoPort));
    assert_eq!(Authority::parse("example.test", Some(80)).unwrap().port, 80);
    for text in ["", "0", "65536", "0443", "+443", "-1", "44 3", "443 ", "0x1bb", "４４３", "443\0", "http"]
    {
        let error = parse(&format!("example.test:{text}")).unwrap_err();
        assert_eq!(error, HostError::BadPort(text.to_owned()));
    }
    assert_eq!(HostError::BadPort("0".into()).to_string(), "`0` is not a port: a number from 1 to 65535");
    for text in [":443", "a:443:443", "http://a:443", "u@a:443", "a/b:443", "127.0.0.1:443", "a:443/x"] {
        assert!(parse(text).is_err(), "{text}");
    }
}

#[test]
fn a_host_is_a_string_to_serde() {
    let host: Host = serde_json::from_str("\"Example.TEST\"").unwrap();
    assert_eq!(serde_json::to_string(&host).unwrap(), "\"example.test\"");
    assert!(serde_json::from_str::<Host>("\"127.0.0.1\"").is_err());
}

const NAME: &str = "[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?(\\.[a-z]([a-z0-9]{0,8})?){0,3}";

proptest! {
    #[test]
    fn parsing_is_total_and_its_result_parses_to_itself(text in any::<String>()) {
        if let Ok(host) = Host::parse(&text) {
            prop_assert_eq!(Host::parse(host.as_str()), Ok(host));
        }
        let _ = Authority::parse(&text, Some(443));
    }

    #[test]
    fn parsing_lossy_bytes_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
        let _ = Host::parse(&String::from_utf8_lossy(&bytes));
        let _ = Authority::parse(&String::from_utf8_lossy(&bytes), None);
    }

    #[test]
    fn a_host_never_matches_by_prefix_or_suffix(name in NAME, other in NAME) {
        let Ok(host) = Host::parse(&name) else { return Ok(()) };
        for longer in [format!("{name}.{other}"), format!("{other}.{name}"), format!("{other}{name}"), format!("{name}{other}")] {
            prop_assert_ne!(Host::parse(&longer).ok(), Some(host.clone()));
        }
        prop_assert_eq!(Host::parse(&name.to_ascii_uppercase()), Ok(host.clone()));
        prop_assert_eq!(Host::parse(&format!("{name}.")), Ok(host));
    }

    #[test]
    fn no_address_in_any_notation_is_a_host(address in any::<u32>()) {
        let [a, b, c, d] = address.to_be_bytes();
        for text in [
            format!("{a}.{b}.{c}.{d}"), format!("{address}"), format!("{address:#x}"), format!("0{address:o}"),
            format!("0{a:o}.0{b:o}.0{c:o}.0{d:o}"), format!("{a:#x}.{b:#x}.{c:#x}.{d:#x}"),
            format!("{a}.{}", address & 0x00FF_FFFF), format!("{a}.{b}.{}", address & 0xFFFF), format!("[::ffff:{a}.{b}.{c}.{d}]"),
        ] {
            prop_assert!(matches!(Host::parse(&text), Err(HostError::IpLiteral(_))), "{}", text);
        }
    }
}
