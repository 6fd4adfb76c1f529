//! The network without the proxy: the agent must see loopback and nothing else.

use super::{Check, Outcome, describe};
use socket2::{Domain, Protocol, Socket, Type};
use std::{
    io,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    time::{Duration, Instant},
};

/// Long enough for a neighbour to answer, short enough for a person to wait.
const PATIENCE: Duration = Duration::from_millis(500);

pub(super) const CHECKS: &[Check] = &[
    Check {
        name: "network/interfaces",
        tried: "find a network interface besides loopback",
        attempt: || interfaces(),
    },
    Check {
        name: "network/tcp",
        tried: "connect to public, private and bridge addresses",
        attempt: || tcp(),
    },
    Check {
        name: "network/ipv6",
        tried: "connect over IPv6",
        attempt: || connect_all(&["[2001:db8::1]:443", "[fd00::1]:443"]),
    },
    Check {
        name: "network/metadata",
        tried: "ask the cloud metadata address",
        attempt: || connect_all(&["169.254.169.254:80", "100.100.100.200:80"]),
    },
    Check {
        name: "network/broadcast",
        tried: "send broadcast and multicast datagrams",
        attempt: || broadcast(),
    },
    Check {
        name: "network/bind-device",
        tried: "send through a named network device",
        attempt: || bind_device(),
    },
    Check { name: "network/raw", tried: "open raw and packet sockets", attempt: || raw_sockets() },
    Check { name: "network/dns", tried: "resolve a name", attempt: || dns() },
];

fn interfaces() -> Outcome {
    match fs_err::read_to_string("/proc/net/dev") {
        Ok(text) => {
            // Tunnel devices that the kernel makes in every namespace (tunl0, sit0, …) are down and carry nothing.
            let up: Vec<_> =
                interface_names(&text).into_iter().filter(|name| name != "lo" && is_up(name)).collect();
            if up.is_empty() {
                Outcome::Held("lo only".to_owned())
            } else {
                Outcome::Broken(format!("also {}", up.join(", ")))
            }
        }
        Err(error) => Outcome::NotTried(error.to_string()),
    }
}

/// The names in the text of `/proc/net/dev` (proc(5): two header lines, then `name: counters`).
fn interface_names(proc_net_dev: &str) -> Vec<String> {
    proc_net_dev
        .lines()
        .skip(2)
        .filter_map(|line| line.split_once(':'))
        .map(|(name, _)| name.trim().to_owned())
        .collect()
}

/// Whether an interface is administratively up: `IFF_UP` is bit 0 of its flags. Unreadable counts as up.
fn is_up(name: &str) -> bool {
    fs_err::read_to_string(format!("/sys/class/net/{name}/flags"))
        .ok()
        .and_then(|flags| u32::from_str_radix(flags.trim().trim_start_matches("0x"), 16).ok())
        .is_none_or(|flags| flags & 1 == 1)
}

fn tcp() -> Outcome {
    connect_all(&[
        "198.51.100.1:443",
        "203.0.113.1:80",
        "10.0.0.1:80",
        "172.17.0.1:22",
        "172.18.0.1:80",
        "192.168.0.1:53",
    ])
}

fn connect_all(addresses: &[&str]) -> Outcome {
    let mut last = String::new();
    for address in addresses {
        let Ok(parsed) = address.parse::<SocketAddr>() else {
            return Outcome::NotTried(format!("{address} is not an address"));
        };
        match std::net::TcpStream::connect_timeout(&parsed, PATIENCE) {
            Ok(_) => return Outcome::Broken(format!("{address} answered")),
            // A refusal or a time-out comes from, or is on the way to, somewhere: there is a route.
            Err(e)
                if matches!(
                    e.kind(),
                    io::ErrorKind::ConnectionRefused | io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock
                ) =>
            {
                return Outcome::Broken(format!("{address}: there is a route ({e})"));
            }
            Err(e) => last = describe(&e),
        }
    }
    Outcome::Held(format!("{} addresses: {last}", addresses.len()))
}

fn broadcast() -> Outcome {
    let socket = match UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)) {
        Ok(socket) => socket,
        Err(error) => return Outcome::NotTried(format!("no UDP socket: {error}")),
    };
    if let Err(error) = socket.set_broadcast(true) {
        return Outcome::NotTried(format!("SO_BROADCAST: {error}"));
    }
    let mut last = String::new();
    for target in ["255.255.255.255:9", "224.0.0.251:5353", "172.17.255.255:9"] {
        match socket.send_to(b"bottle attack", target) {
            Ok(_) => return Outcome::Broken(format!("a datagram left for {target}")),
            Err(error) => last = describe(&error),
        }
    }
    Outcome::Held(last)
}

fn bind_device() -> Outcome {
    let socket = match Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP)) {
        Ok(socket) => socket,
        Err(error) => return Outcome::NotTried(format!("no UDP socket: {error}")),
    };
    let mut last = String::new();
    for device in ["eth0", "eth1", "docker0"] {
        match socket.bind_device(Some(device.as_bytes())) {
            Ok(()) => return Outcome::Broken(format!("bound to {device}")),
            Err(error) => last = format!("{device}: {}", describe(&error)),
        }
    }
    Outcome::Held(last)
}

fn raw_sockets() -> Outcome {
    let attempts = [("raw IPv4", Domain::IPV4, Some(Protocol::ICMPV4)), ("packet", Domain::PACKET, None)];
    let mut last = String::new();
    for (what, domain, protocol) in attempts {
        match Socket::new_raw(domain, Type::RAW, protocol) {
            Ok(_) => return Outcome::Broken(format!("a {what} socket opened")),
            Err(error) => last = format!("{what}: {}", describe(&error)),
        }
    }
    Outcome::Held(last)
}

/// Asks every resolver that the agent could know for `bottle-attack.example`. An answer of any kind, and a
/// wait, mean that a datagram left; refused at once means that nothing listens.
fn dns() -> Outcome {
    let mut resolvers = vec!["127.0.0.11".to_owned(), "127.0.0.1".to_owned(), "127.0.0.53".to_owned()];
    if let Ok(conf) = fs_err::read_to_string("/etc/resolv.conf") {
        resolvers
            .extend(conf.lines().filter_map(|l| l.strip_prefix("nameserver ")).map(|a| a.trim().to_owned()));
    }
    let begun = Instant::now();
    for resolver in &resolvers {
        match ask(resolver) {
            Ok(()) => return Outcome::Broken(format!("{resolver} answered")),
            Err(e) if matches!(e.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock) => {
                return Outcome::Broken(format!("a query left for {resolver}; it was not refused"));
            }
            Err(_) => {}
        }
    }
    Outcome::Held(format!("{} resolvers refused in {} ms", resolvers.len(), begun.elapsed().as_millis()))
}

/// One query for the A record of `bottle-attack.example` (RFC 1035, section 4.1).
fn ask(resolver: &str) -> io::Result<()> {
    const QUERY: &[u8] =
        b"\x2b\x0b\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x0dbottle-attack\x07example\x00\x00\x01\x00\x01";
    let bind = if resolver.contains(':') { "[::]:0" } else { "0.0.0.0:0" };
    let socket = UdpSocket::bind(bind)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.connect((resolver, 53))?;
    socket.send(QUERY)?;
    let mut answer = [0; 512];
    socket.recv(&mut answer).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interface_names_are_read_from_proc() {
        let text = "Inter-|   Receive\n face |bytes\n    lo: 1 2 3\n  eth0: 4 5 6\n";
        assert_eq!(interface_names(text), ["lo", "eth0"]);
    }

    #[test]
    fn a_listener_counts_as_broken_and_so_does_a_refusal() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        assert!(matches!(connect_all(&[&address]), Outcome::Broken(_)));
        drop(listener);
        assert!(
            matches!(connect_all(&[&address]), Outcome::Broken(detail) if detail.contains("there is a route"))
        );
    }

    #[test]
    fn a_resolver_that_answers_is_told_from_one_that_is_absent() {
        // Nothing listens on this port of loopback: refused, not timed out.
        let error = ask("127.0.0.77").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    }
}
