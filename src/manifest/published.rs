//! A port of the agent that the host shows on its loopback.

use crate::stack::GATE;
use std::str::FromStr;

/// A port of the host's 127.0.0.1, and the port on the agent's loopback that it shows. Neither is 0, and the second is none
/// of the stack's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Published {
    host: u16,
    agent: u16,
}

/// Why ports can't be shown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublishedError {
    /// A part is not a number from 1 to 65535.
    #[error("`{0}` is not a port")]
    NotAPort(String),
    /// An address stands before the ports.
    #[error("`{0}` names an address, and a port is shown on 127.0.0.1 only")]
    Address(String),
    /// A protocol stands behind the ports.
    #[error("`{0}` names a protocol, and what is shown is TCP")]
    Protocol(String),
    /// The agent's way out: whoever reached it could act with the bottle's credentials.
    #[error("port {0} of the agent is its way to the proxy, and is never shown")]
    Gate(u16),
}

impl PublishedError {
    /// What to do.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NotAPort(_) => {
                "write HOST:AGENT, each a number from 1 to 65535, or one number for both: \"3000:3000\""
            }
            Self::Address(_) => "remove the address: \"3000:3000\"",
            Self::Protocol(_) => "remove the protocol: \"3000:3000\"",
            Self::Gate(_) => "let the agent's server listen on another port, and name that",
        }
    }
}

impl Published {
    /// Shows the port `agent` at the port `host` of this machine.
    pub fn new(host: u16, agent: u16) -> Result<Self, PublishedError> {
        if host == 0 || agent == 0 {
            return Err(PublishedError::NotAPort("0".to_owned()));
        }
        if agent == GATE.port() {
            return Err(PublishedError::Gate(agent));
        }
        Ok(Self { host, agent })
    }

    /// The port of this machine.
    #[must_use]
    pub fn host(self) -> u16 {
        self.host
    }

    /// The port in the agent's namespace.
    #[must_use]
    pub fn agent(self) -> u16 {
        self.agent
    }

    /// Whether programs take what answers there for a service of this machine's administrator (`ip_unprivileged_port_start`,
    /// ip(7)).
    #[must_use]
    pub fn is_privileged(self) -> bool {
        self.host < 1024
    }
}

/// As much of what somebody wrote as two addresses and ports take.
fn cut(text: &str) -> String {
    text.chars().take(64).collect()
}

impl FromStr for Published {
    type Err = PublishedError;

    fn from_str(text: &str) -> Result<Self, PublishedError> {
        let plain = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        let port = |part: &str| {
            let number = if plain(part) { part.parse().ok() } else { None };
            number.ok_or_else(|| PublishedError::NotAPort(cut(part)))
        };
        if text.contains('/') {
            return Err(PublishedError::Protocol(cut(text)));
        }
        match text.split(':').collect::<Vec<_>>().as_slice() {
            [both] => Self::new(port(both)?, port(both)?),
            [host, agent] => Self::new(port(host)?, port(agent)?),
            _ => Err(PublishedError::Address(cut(text))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_ports_or_one() {
        let read = |text: &str| text.parse::<Published>().map(|it| (it.host(), it.agent()));
        assert_eq!(read("8080:3000"), Ok((8080, 3000)));
        assert_eq!(read("3000"), Ok((3000, 3000)));
        assert_eq!(read("9099:3000"), Ok((9099, 3000)), "a port of this machine, where the gate is not");
        assert!("80:80".parse::<Published>().unwrap().is_privileged());
        assert!(!"1024:80".parse::<Published>().unwrap().is_privileged());
    }

    #[test]
    fn what_is_no_port_of_the_agents_is_said() {
        for (text, said) in [
            ("", "`` is not a port"),
            ("0", "`0` is not a port"),
            ("3000:0", "`0` is not a port"),
            ("65536", "`65536` is not a port"),
            ("+80", "`+80` is not a port"),
            ("3000:", "`` is not a port"),
            ("3000-3010", "`3000-3010` is not a port"),
            (
                "0.0.0.0:3000:3000",
                "`0.0.0.0:3000:3000` names an address, and a port is shown on 127.0.0.1 only",
            ),
            ("[::1]:3000", "`[::1]:3000` names an address, and a port is shown on 127.0.0.1 only"),
            ("53:53/udp", "`53:53/udp` names a protocol, and what is shown is TCP"),
            ("3000:9099", "port 9099 of the agent is its way to the proxy, and is never shown"),
        ] {
            assert_eq!(text.parse::<Published>().unwrap_err().to_string(), said);
        }
    }
}
