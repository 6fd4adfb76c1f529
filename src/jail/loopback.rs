//! The one interface of a new network namespace. It is down when it is made.

use rustix::io::Errno;
use socket2::{Domain, Protocol, Socket, Type};
use std::io::{self, Read as _, Write as _};

/// `AF_NETLINK` and `NETLINK_ROUTE` (netlink(7)).
const NETLINK: (i32, i32) = (16, 0);
/// `RTM_NEWLINK` (rtnetlink(7)).
const NEW_LINK: u16 = 16;
/// `NLM_F_REQUEST | NLM_F_ACK` (netlink(7)).
const REQUEST_AND_ACKNOWLEDGE: u16 = 1 | 4;
/// `NLMSG_ERROR`, which with the number 0 is the acknowledgement.
const ERROR: u16 = 2;
/// `LOOPBACK_IFINDEX` of the kernel's `include/net/flow.h`: the first of every namespace.
const LOOPBACK: i32 = 1;
/// `IFF_UP` (netdevice(7)).
const UP: u32 = 1;
/// `struct nlmsghdr` and `struct ifinfomsg`, 16 bytes each.
const LENGTH: u32 = 32;

/// Brings loopback up in the network namespace of the calling thread, which needs `CAP_NET_ADMIN` there.
pub(super) fn bring_up() -> io::Result<()> {
    let (family, route) = NETLINK;
    let mut socket = Socket::new(Domain::from(family), Type::RAW, Some(Protocol::from(route)))?;
    socket.write_all(&request())?;
    let mut answer = [0; 128];
    let length = socket.read(&mut answer)?;
    acknowledged(answer.get(..length).unwrap_or_default())
}

fn request() -> Vec<u8> {
    let mut message = Vec::new();
    message.extend(LENGTH.to_ne_bytes());
    message.extend(NEW_LINK.to_ne_bytes());
    message.extend(REQUEST_AND_ACKNOWLEDGE.to_ne_bytes());
    message.extend([0; 8]); // sequence and port: the kernel's answer is the only message here
    message.extend([0; 4]); // family, padding, type
    message.extend(LOOPBACK.to_ne_bytes());
    message.extend(UP.to_ne_bytes()); // what the flags shall be
    message.extend(UP.to_ne_bytes()); // which of them are meant
    message
}

fn acknowledged(answer: &[u8]) -> io::Result<()> {
    let kind = answer.get(4..6).and_then(|it| it.try_into().ok()).map(u16::from_ne_bytes);
    let number = answer.get(16..20).and_then(|it| it.try_into().ok()).map(i32::from_ne_bytes);
    match (kind, number) {
        (Some(ERROR), Some(0)) => Ok(()),
        (Some(ERROR), Some(number)) => Err(Errno::from_raw_os_error(number.wrapping_neg()).into()),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "the kernel's answer is no acknowledgement")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_zero_is_an_acknowledgement() {
        assert_eq!(request().len(), LENGTH as usize);
        let answer = |kind: u16, number: i32| {
            let mut bytes = vec![0; 36];
            bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
            bytes[16..20].copy_from_slice(&number.to_ne_bytes());
            acknowledged(&bytes).map_err(|e| e.to_string())
        };
        assert_eq!(answer(2, 0), Ok(()));
        assert_eq!(answer(2, -1).unwrap_err(), "Operation not permitted (os error 1)");
        assert_eq!(answer(16, 0).unwrap_err(), "the kernel's answer is no acknowledgement");
        assert!(acknowledged(&[]).is_err());
    }
}
