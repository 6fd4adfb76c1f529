//! Which addresses may be dialled: the SSRF guard.
//!
//! Two lists. What is in `internal` needs the host's own permission (`addresses`). What is always forbidden no
//! permission opens: loopback, link-local, the metadata services, unspecified, multicast, broadcast. An address
//! that carries an IPv4 address (mapped, compatible, 6to4, NAT64, Teredo) is judged by both.

use ipnet::IpNet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether an address may be dialled for a host that may use the ranges `own`.
#[must_use]
pub(super) fn may_dial(address: IpAddr, internal: &[IpNet], own: &[IpNet]) -> bool {
    let forms = forms(address);
    if forms.iter().any(|form| is_forbidden(*form)) {
        return false;
    }
    if own.iter().any(|range| range.contains(&address)) {
        return true;
    }
    forms.iter().all(|form| !is_reserved(*form) && !internal.iter().any(|range| range.contains(form)))
}

/// The address itself, and the IPv4 address that it carries.
fn forms(address: IpAddr) -> Vec<IpAddr> {
    let embedded = match address {
        IpAddr::V4(_) => None,
        IpAddr::V6(six) => embedded_v4(six).map(IpAddr::V4),
    };
    std::iter::once(address).chain(embedded).collect()
}

fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let v4 = |high: u16, low: u16| Some(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)));
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        // ::/96 (compatible), ::ffff:0:0/96 (mapped), ::ffff:0:0:0/96 (translated); 64:ff9b::/96 (RFC 6052);
        // 2002::/16 (6to4); ISATAP below any prefix (RFC 5214).
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x64, 0xff9b, 0, _, _, _, high, low]
        | [0x2002, high, low, ..]
        | [_, _, _, _, 0 | 0x200, 0x5efe, high, low] => v4(high, low),
        // 2001::/32 (Teredo): the client's address, inverted.
        [0x2001, 0, _, _, _, _, high, low] => v4(!high, !low),
        _ => None,
    }
}

fn is_forbidden(address: IpAddr) -> bool {
    /// Azure's and Oracle's metadata services stand outside of the link-local range.
    const METADATA: [Ipv4Addr; 2] = [Ipv4Addr::new(168, 63, 129, 16), Ipv4Addr::new(192, 0, 0, 192)];
    match address {
        IpAddr::V4(four) => {
            four.is_loopback()
                || four.is_link_local()
                || four.octets()[0] == 0
                || four.is_multicast()
                || four.is_broadcast()
                || METADATA.contains(&four)
        }
        IpAddr::V6(six) => {
            let ec2 = six.segments() == [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254];
            let google = six.segments() == [0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254];
            six.is_loopback()
                || six.is_unspecified()
                || six.is_multicast()
                || six.is_unicast_link_local()
                || ec2
                || google
        }
    }
}

/// Ranges that are nobody's public address whatever a configuration's `internal` says.
fn is_reserved(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(four) => {
            let [a, b, c, _] = four.octets();
            four.is_private()
                || (a == 100 && (64..128).contains(&b))
                || (a == 192 && b == 0 && c == 0)
                || (a == 198 && (18..20).contains(&b))
                || a >= 240
        }
        // The local-use 64:ff9b:1::/48 carries an IPv4 address at a place that its network chooses (RFC 8215).
        IpAddr::V6(six) => {
            six.is_unique_local()
                || six.segments()[0] & 0xffc0 == 0xfec0
                || matches!(six.segments(), [0x64, 0xff9b, 1, ..])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dial(address: &str, own: &str) -> bool {
        let own: Vec<IpNet> = own.split_whitespace().map(|r| r.parse().unwrap()).collect();
        let internal = ["198.51.100.0/24".parse().unwrap()];
        may_dial(address.parse().unwrap(), &internal, &own)
    }

    #[test]
    fn public_addresses_may_be_dialled() {
        for address in ["93.184.216.34", "2606:2800:220:1::1", "2002:5db8:d822::1", "64:ff9b::5db8:d822"] {
            assert!(dial(address, ""), "{address}");
        }
    }

    #[test]
    fn private_addresses_need_the_hosts_own_permission() {
        for address in
            ["10.1.2.3", "172.16.0.1", "192.168.1.1", "100.64.0.1", "198.51.100.7", "fd12::1", "240.0.0.1"]
        {
            assert!(!dial(address, ""), "{address}");
            assert!(dial(address, "0.0.0.0/1 128.0.0.0/1 fc00::/7"), "{address}");
        }
    }

    #[test]
    fn no_permission_opens_what_is_always_forbidden() {
        let forbidden = "127.0.0.1 127.9.9.9 0.0.0.0 0.1.2.3 169.254.169.254 224.0.0.1 255.255.255.255 168.63.129.16 \
             ::1 :: fe80::1 ff02::1 fd00:ec2::254 ::ffff:127.0.0.1 ::127.0.0.1 ::ffff:169.254.169.254 \
             64:ff9b::7f00:1 2002:7f00:1::1 2001:0:1::80ff:fffe";
        for address in forbidden.split_whitespace() {
            assert!(!dial(address, "0.0.0.0/1 128.0.0.0/1 ::/1 8000::/1"), "{address}");
        }
    }

    #[test]
    fn a_private_address_in_an_ipv6_form_is_private() {
        for address in [
            "::ffff:10.0.0.1",
            "64:ff9b::a00:1",
            "2002:a00:1::1",
            "fec0::1",
            "2001:db8::200:5efe:a00:1",
            "64:ff9b:1:a00:1::",
        ] {
            assert!(!dial(address, ""), "{address}");
        }
    }
}
