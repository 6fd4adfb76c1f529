//! Clients that are gone although the kernel does not say so.
//!
//! A client that ends while it still has something to send leaves a connection that only its kernel owns: the end comes
//! behind the data, and the data does not move while the far side takes none. The gate is in the client's network namespace,
//! so it can look at that end: in `/proc/net/tcp` a socket without a process has the inode 0 (proc(5)).

use std::{
    collections::HashSet,
    io,
    net::{Ipv4Addr, SocketAddr},
};

/// `FIN_WAIT1` and `CLOSING`: closed, and not all of what was sent is acknowledged.
const CLOSED: [&str; 2] = ["04", "0B"];

/// The addresses of connections that are closed and belong to no process.
pub(super) fn orphans() -> io::Result<HashSet<SocketAddr>> {
    Ok(fs_err::read_to_string("/proc/net/tcp")?.lines().skip(1).filter_map(orphan).collect())
}

fn orphan(line: &str) -> Option<SocketAddr> {
    let mut columns = line.split_whitespace().skip(1);
    let local = columns.next()?;
    let state = columns.nth(1)?;
    let inode = columns.nth(5)?;
    if !CLOSED.contains(&state) || inode != "0" {
        return None;
    }
    let (address, port) = local.split_once(':')?;
    // The bytes of the address as they lie in memory.
    let address = Ipv4Addr::from(u32::from_str_radix(address, 16).ok()?.to_ne_bytes());
    Some(SocketAddr::from((address, u16::from_str_radix(port, 16).ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_closed_and_without_a_process_is_one() {
        let line = |state: &str, inode: &str| {
            format!(
                "   3: 0100007F:8AE2 0100007F:238B {state} 0026D3A4:00000000 04:00000C80 00000000  1000        0 {inode} 3 0"
            )
        };
        assert_eq!(orphan(&line("04", "0")), Some("127.0.0.1:35554".parse().unwrap()));
        assert_eq!(orphan(&line("0B", "0")), Some("127.0.0.1:35554".parse().unwrap()));
        assert_eq!(orphan(&line("04", "4711")), None, "it may still read the answer");
        assert_eq!(orphan(&line("01", "4711")), None);
        assert_eq!(orphan(&line("06", "0")), None, "all was sent");
        assert_eq!(orphan(""), None);
    }
}
