//! What the command line says: sockets to listen on, to connect to, to lend and to borrow.

use std::{fmt, path::PathBuf, str::FromStr};

/// One side of a relay: `unix:PATH`, `HOST:PORT`, or a listener of another process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// The path of a unix socket.
    Unix(PathBuf),
    /// `HOST:PORT`; a name is looked up at each connect.
    Tcp(String),
    /// The unix socket on which another process lends the TCP socket to listen on (see [`Lend`]).
    Lent(PathBuf),
}

/// Why an address, a relay or a loan was not understood.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum AddressError {
    /// No `=` between the two sides.
    #[error("`{0}` is not LISTEN=CONNECT; for example 127.0.0.1:9099=unix:/run/bottle/egress.sock")]
    NotARelay(String),
    /// Not one of the forms of an address.
    #[error("`{0}` is neither unix:/absolute/path nor HOST:PORT")]
    NotAnAddress(String),
    /// `lent:` without an absolute path.
    #[error("`{0}` is not lent:/absolute/path")]
    NotAPath(String),
    /// `lent:` on the side that is dialled.
    #[error("`{0}` can't be connected to: a lent socket is for LISTEN, before the `=`")]
    NotDialled(String),
    /// Not a TCP address and a unix socket.
    #[error(
        "`{0}` is not HOST:PORT=unix:/absolute/path; for example \
         127.0.0.1:9099=unix:/run/bottle-gate/listener.sock"
    )]
    NotALoan(String),
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let wrong = || AddressError::NotAnAddress(text.to_owned());
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.starts_with('/') { Ok(Self::Unix(path.into())) } else { Err(wrong()) };
        }
        if let Some(path) = text.strip_prefix("lent:") {
            let wrong = || AddressError::NotAPath(text.to_owned());
            return if path.starts_with('/') { Ok(Self::Lent(path.into())) } else { Err(wrong()) };
        }
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let port_is_good = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
        if host.is_empty() || !port_is_good || port.parse::<u16>().is_err() {
            return Err(wrong());
        }
        Ok(Self::Tcp(text.to_owned()))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp(address) => f.write_str(address),
            Self::Lent(path) => write!(f, "lent:{}", path.display()),
        }
    }
}

/// Where a relay listens, and where it connects for each client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relay {
    /// The side that clients connect to.
    pub listen: Address,
    /// The side that is dialled for each of them; never [`Address::Lent`].
    pub connect: Address,
}

impl FromStr for Relay {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let (listen, connect) =
            text.split_once('=').ok_or_else(|| AddressError::NotARelay(text.to_owned()))?;
        let (listen, connect) = (listen.parse()?, connect.parse()?);
        if matches!(connect, Address::Lent(_)) {
            return Err(AddressError::NotDialled(connect.to_string()));
        }
        Ok(Self { listen, connect })
    }
}

/// A TCP address to hold, and the unix socket on which its listener is lent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lend {
    /// `HOST:PORT`.
    pub listen: String,
    /// Whoever connects here is handed the listening socket.
    pub socket: PathBuf,
}

impl FromStr for Lend {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let wrong = || AddressError::NotALoan(text.to_owned());
        let (listen, socket) = text.split_once('=').ok_or_else(wrong)?;
        match (listen.parse(), socket.parse()) {
            (Ok(Address::Tcp(listen)), Ok(Address::Unix(socket))) => Ok(Self { listen, socket }),
            _ => Err(wrong()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relay_is_two_addresses() {
        let relay: Relay = "127.0.0.1:9099=unix:/run/bottle/egress.sock".parse().unwrap();
        assert_eq!(relay.listen, Address::Tcp("127.0.0.1:9099".to_owned()));
        assert_eq!(relay.connect, Address::Unix("/run/bottle/egress.sock".into()));
        assert_eq!(relay.connect.to_string(), "unix:/run/bottle/egress.sock");
        let relay: Relay = "lent:/run/l.sock=h:1".parse().unwrap();
        assert_eq!(relay.listen, Address::Lent("/run/l.sock".into()));
        assert_eq!(relay.listen.to_string(), "lent:/run/l.sock");
    }

    #[test]
    fn a_loan_is_a_tcp_address_and_a_unix_socket() {
        let lend: Lend = "127.0.0.1:9099=unix:/run/l.sock".parse().unwrap();
        assert_eq!((lend.listen.as_str(), lend.socket), ("127.0.0.1:9099", "/run/l.sock".into()));
        for bad in ["127.0.0.1:9099", "unix:/a=unix:/b", "h:1=h:2", "h:1=lent:/a"] {
            assert_eq!(
                bad.parse::<Lend>().unwrap_err().to_string(),
                format!(
                    "`{bad}` is not HOST:PORT=unix:/absolute/path; for example \
                     127.0.0.1:9099=unix:/run/bottle-gate/listener.sock"
                )
            );
        }
    }

    #[test]
    fn what_is_no_address_is_said() {
        let error = |text: &str| text.parse::<Relay>().unwrap_err().to_string();
        assert_eq!(
            error("9099"),
            "`9099` is not LISTEN=CONNECT; for example 127.0.0.1:9099=unix:/run/bottle/egress.sock"
        );
        for bad in ["9099", ":9099", "h:", "h:x", "h:70000", "h:+1", "unix:relative", "unix:"] {
            assert_eq!(
                error(&format!("{bad}=h:1")),
                format!("`{bad}` is neither unix:/absolute/path nor HOST:PORT")
            );
        }
        assert_eq!(error("lent:l.sock=h:1"), "`lent:l.sock` is not lent:/absolute/path");
        assert_eq!(
            error("h:1=lent:/l.sock"),
            "`lent:/l.sock` can't be connected to: a lent socket is for LISTEN, before the `=`"
        );
    }
}
