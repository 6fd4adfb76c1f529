//! The machine that a container's network leads to.

use std::io;
use std::net::{IpAddr, Ipv4Addr};

/// The kernel's table of routes, in the reader's own network namespace (proc(5)).
const ROUTES: &str = "/proc/net/route";

/// The address of the default gateway. On a bridge of a container engine that is the machine itself, and what the engine
/// forwards from a published port comes from there, whether by a process or by a rule of the kernel's.
///
/// An engine that publishes a port on 127.0.0.1 may all the same forward what a neighbour on the machine's own network
/// sends to the container's address, or to 127.0.0.1 by way of the machine (before Docker 28). Such a client keeps its own
/// address.
pub fn gateway() -> io::Result<IpAddr> {
    let table = fs_err::read_to_string(ROUTES)?;
    let missing = || io::Error::new(io::ErrorKind::NotFound, format!("{ROUTES} has no default gateway"));
    Ok(IpAddr::V4(default_in(&table).ok_or_else(missing)?))
}

/// Columns: interface, destination, gateway, …; addresses as the kernel has them in memory, in hexadecimal.
fn default_in(table: &str) -> Option<Ipv4Addr> {
    let address = |hex: &str| u32::from_str_radix(hex, 16).ok().map(|it| Ipv4Addr::from(it.to_ne_bytes()));
    let gateway = |line: &str| {
        let mut columns = line.split_whitespace().skip(1).map(address);
        let (destination, gateway) = (columns.next()??, columns.next()??);
        (destination.is_unspecified() && !gateway.is_unspecified()).then_some(gateway)
    };
    table.lines().skip(1).find_map(gateway)
}

#[cfg(test)]
#[cfg(target_endian = "little")]
mod tests {
    use super::*;

    #[test]
    fn the_default_route_is_found() {
        let head = "Iface\tDestination\tGateway \tFlags\tRefCnt\n";
        let table = |lines: &str| default_in(&format!("{head}{lines}"));
        let own = "eth0\t000013AC\t00000000\t0001\t0\n";
        assert_eq!(table(&format!("{own}eth0\t00000000\t010013AC\t0003\t0\n")), Some([172, 19, 0, 1].into()));
        assert_eq!(table(own), None);
        assert_eq!(table("eth0\t00000000\t00000000\t0001\t0\n"), None, "a route without a gateway");
        assert_eq!(table("eth0\n\nx\ty\tz\n"), None);
    }
}
