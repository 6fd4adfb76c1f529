//! Clients that are gone although the kernel does not say so.
//!
//! While the far side takes no data, the gate does not read. The end of a client comes behind its data, so the gate does not see it, or can't
//! tell it from the end of only one direction. The gate is in the client's network namespace, so it can look at the
//! client's end: in `/proc/net/tcp` and `tcp6` a socket without a process has the inode 0, and later it is not listed (proc(5)).

use std::{
    collections::HashSet,
    io::{self, BufRead, BufReader},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

/// The local address of a connection and that of its client.
pub(super) type Ends = (SocketAddr, SocketAddr);

/// Which of these connections have a client without a process. The tables hold whatever sockets the agent makes, a million
/// of them if it likes: they are read by the line, and nothing is kept but what is asked about.
pub(super) fn among(connections: &HashSet<Ends>) -> io::Result<HashSet<Ends>> {
    let mut tables = SocketTables::default();
    tables.read(connections, BufReader::new(fs_err::File::open("/proc/net/tcp")?))?;
    match fs_err::File::open("/proc/net/tcp6") {
        Ok(table) => tables.read(connections, BufReader::new(table))?,
        // A kernel without IPv6.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    Ok(tables.orphans())
}

/// What the tables say of the connections that are asked about.
#[derive(Default)]
struct SocketTables {
    /// Our end is in the table: it is that of our network namespace.
    ours: HashSet<Ends>,
    /// A process has the client's end.
    alive: HashSet<Ends>,
}

impl SocketTables {
    fn read(&mut self, connections: &HashSet<Ends>, table: impl BufRead) -> io::Result<()> {
        for line in table.lines() {
            let Some(((local, remote), has_process)) = entry(&line?) else { continue };
            if connections.contains(&(local, remote)) {
                self.ours.insert((local, remote));
            }
            if has_process && connections.contains(&(remote, local)) {
                self.alive.insert((remote, local));
            }
        }
        Ok(())
    }

    /// A client far away has its end in another table.
    fn orphans(self) -> HashSet<Ends> {
        let Self { ours, alive } = self;
        ours.into_iter().filter(|ends| ends.1.ip().is_loopback() && !alive.contains(ends)).collect()
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

    fn is_orphan(lines: &[(&str, &str, &str)]) -> bool {
        let ends = ("127.0.0.1:9099".parse().unwrap(), "127.0.0.1:35554".parse().unwrap());
        orphans(ends, lines)
    }

    fn orphans(ends: Ends, lines: &[(&str, &str, &str)]) -> bool {
        let line = |(local, remote, inode): &(&str, &str, &str)| {
            format!(
                "   3: {local} {remote} 01 00000000:00000000 04:00000C80 00000000  1000        0 {inode} 3 0\n"
            )
        };
        let table: String = lines.iter().map(line).collect();
        let mut tables = SocketTables::default();
        tables.read(&HashSet::from([ends]), table.as_bytes()).unwrap();
        tables.orphans().contains(&ends)
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
        let far = ("127.0.0.1:9099".parse().unwrap(), "192.0.2.1:4000".parse().unwrap());
        assert!(!orphans(far, &[(GATE, "010200C0:0FA0", "11")]));
    }

    #[test]
    fn nothing_is_kept_of_the_sockets_that_are_not_asked_about() {
        let ends = ("127.0.0.1:9099".parse().unwrap(), "127.0.0.1:35554".parse().unwrap());
        let mut tables = SocketTables::default();
        let others =
            (0..20_000).map(|port| format!("   3: {GATE} 0200007F:{port:04X} 06 0:0 03:0 0 0 0 0 3 0\n"));
        tables.read(&HashSet::from([ends]), others.collect::<String>().as_bytes()).unwrap();
        assert_eq!((tables.ours.len(), tables.alive.len()), (0, 0));
    }
}
