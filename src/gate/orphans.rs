//! Clients that are gone although the kernel does not say so.
//!
//! While the far side takes no data, the gate does not read. The end of a client comes behind its data, so the gate does not see it, or can't
//! tell it from the end of only one direction. The gate is in the client's network namespace, so it can look at the
//! client's end: in `/proc/net/tcp` and `tcp6` a socket without a process has the inode 0, and later it is not listed (proc(5)).

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

/// The connections of this network namespace: local and remote address, and whether a process has that end.
pub(super) struct Table(HashMap<(SocketAddr, SocketAddr), bool>);

impl Table {
    pub(super) fn read() -> io::Result<Self> {
        let mut text = fs_err::read_to_string("/proc/net/tcp")?;
        match fs_err::read_to_string("/proc/net/tcp6") {
            Ok(more) => text += &more,
            // A kernel without IPv6.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        Ok(Self(text.lines().filter_map(entry).collect()))
    }

    /// Whether the other end of a connection of ours, which is here too, has no process any more.
    pub(super) fn is_orphan(&self, (local, peer): (SocketAddr, SocketAddr)) -> bool {
        peer.ip().is_loopback()
            && self.0.contains_key(&(local, peer))
            && !self.0.get(&(peer, local)).copied().unwrap_or(false)
    }
}

fn entry(line: &str) -> Option<((SocketAddr, SocketAddr), bool)> {
    let mut columns = line.split_whitespace().skip(1);
    let (local, remote) = (address(columns.next()?)?, address(columns.next()?)?);
    Some(((local, remote), columns.nth(6)? != "0"))
}

/// An address as words of 32 bits, each as it lies in memory, and a port.
fn address(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let word = |at: usize| u32::from_str_radix(address.get(at..at + 8)?, 16).ok().map(u32::to_ne_bytes);
    let ip: IpAddr = match address.len() {
        8 => Ipv4Addr::from(word(0)?).into(),
        32 => {
            let bytes = [word(0)?, word(8)?, word(16)?, word(24)?].concat();
            Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).to_canonical()
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GATE: &str = "0100007F:238B";
    const CLIENT: &str = "0100007F:8AE2";
    const MAPPED: &str = "0000000000000000FFFF00000100007F";

    fn table(lines: &[(&str, &str, &str)]) -> Table {
        let line = |(local, remote, inode): &(&str, &str, &str)| {
            format!(
                "   3: {local} {remote} 01 00000000:00000000 04:00000C80 00000000  1000        0 {inode} 3 0"
            )
        };
        Table(lines.iter().filter_map(|it| entry(&line(it))).collect())
    }

    fn is_orphan(lines: &[(&str, &str, &str)]) -> bool {
        let (gate, client) = ("127.0.0.1:9099".parse().unwrap(), "127.0.0.1:35554".parse().unwrap());
        table(lines).is_orphan((gate, client))
    }

    #[test]
    fn only_a_client_without_a_process_is_one() {
        let ours = (GATE, CLIENT, "11");
        assert!(!is_orphan(&[ours, (CLIENT, GATE, "12")]), "it may still read the answer");
        assert!(is_orphan(&[ours, (CLIENT, GATE, "0")]), "closed, and not all of it has arrived");
        assert!(is_orphan(&[ours]), "the kernel has forgotten it");
        assert!(
            is_orphan(&[ours, (CLIENT, "0100007F:1E61", "12")]),
            "the port is used for another connection"
        );
        assert!(!is_orphan(&[]), "the table of another namespace");
    }

    #[test]
    fn a_client_may_have_a_socket_of_ipv6() {
        let (gate, client) = (format!("{MAPPED}:238B"), format!("{MAPPED}:8AE2"));
        assert!(!is_orphan(&[(GATE, CLIENT, "11"), (&client, &gate, "12")]));
        assert!(is_orphan(&[(GATE, CLIENT, "11"), (&client, &gate, "0")]));
    }

    #[test]
    fn one_far_away_can_not_be_told() {
        let far = SocketAddr::from(([192, 0, 2, 1], 4000));
        let gate = "127.0.0.1:9099".parse().unwrap();
        assert!(!Table(HashMap::from([((gate, far), true)])).is_orphan((gate, far)));
    }
}
