//! Where pipelock is reached: a unix socket, or a host and a port.

use super::listen::unix_path;
use camino::Utf8PathBuf;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// `unix:/run/bottle-upstream/pipelock.sock`, or `127.0.0.1:8888`.
///
/// The textual form is the one in config files and in messages.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ProxyAddress {
    /// A unix socket at an absolute path.
    Unix(Utf8PathBuf),
    /// `HOST:PORT`; the host is looked up at each connection.
    Tcp(String),
}

/// A text that names no proxy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an address of pipelock, the only way out: write `unix:/absolute/path` or `HOST:PORT`")]
pub struct ProxyAddressError(String);

impl FromStr for ProxyAddress {
    type Err = ProxyAddressError;

    fn from_str(text: &str) -> Result<Self, ProxyAddressError> {
        if let Some(path) = unix_path(text) {
            return Ok(Self::Unix(path));
        }
        if is_host_and_port(text) {
            Ok(Self::Tcp(text.to_owned()))
        } else {
            Err(ProxyAddressError(text.to_owned()))
        }
    }
}

/// `HOST:PORT`, loosely: the host is ours or a test's and is looked up, never compared.
fn is_host_and_port(text: &str) -> bool {
    let port = |port: &str| port.parse::<u16>().is_ok_and(|port| port != 0);
    let host = |host: &str| !host.is_empty() && !host.contains('/') && host != "unix";
    text.rsplit_once(':').is_some_and(|(name, tail)| host(name) && port(tail))
}

impl fmt::Display for ProxyAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{path}"),
            Self::Tcp(address) => f.write_str(address),
        }
    }
}

impl TryFrom<String> for ProxyAddress {
    type Error = ProxyAddressError;

    fn try_from(text: String) -> Result<Self, ProxyAddressError> {
        text.parse()
    }
}

impl From<ProxyAddress> for String {
    fn from(address: ProxyAddress) -> Self {
        address.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        for text in ["unix:/run/bottle-upstream/pipelock.sock", "pipelock:8888", "127.0.0.1:1", "[::1]:9100"]
        {
            assert_eq!(text.parse::<ProxyAddress>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn refuses_what_could_be_meant_otherwise() {
        for text in [
            "",
            "unix:",
            "unix:relative.sock",
            "unix:8888",
            "unix:/run/",
            "pipelock",
            ":8888",
            "a:0",
            "http://a:80",
        ] {
            let error = text.parse::<ProxyAddress>().unwrap_err().to_string();
            assert!(error.contains("`unix:/absolute/path` or `HOST:PORT`"), "{error}");
            assert!(error.starts_with(&format!("`{text}` is not an address of pipelock")), "{error}");
        }
    }
}
